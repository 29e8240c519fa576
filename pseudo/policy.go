package pseudo

import (
	"cmp"
	"fmt"
	"reflect"
	"time"

	"github.com/rahasia/rahasia/internal/phi"
)

// A Form is what a de-identified table makes of a field. It prints as its name.
type Form string

// The forms. A form that does not fit a field's kind or Go type is [ErrPolicy] when
// the [Deidentifier] is made.
const (
	FormDrop     Form = "drop"     // left out, whatever it is
	FormKeep     Form = "keep"     // copied: sex, clinical, sensitive, date, birthdate, region and clear fields; never an identifier, a free text or an untagged field, nor by its kind alone what holds a time.Time and is no date
	FormToken    Form = "token"    // the token of the value in the domain, as text: kinds that may be looked up
	FormYear     Form = "year"     // as [Year] has it: date, birthdate
	FormMonth    Form = "month"    // "2026-03", or only the year where no more is known; the oldest as [Year] has it: date, birthdate
	FormAgeBand  Form = "ageband"  // as [AgeBand] has it: birthdate
	FormShifted  Form = "shifted"  // moved by [Domain.DateShift]; the oldest as [Year] has it: date, birthdate
	FormProvince Form = "province" // the first two digits of the code: region
	FormRegency  Form = "regency"  // the first four digits, or two where no more is known: region
)

// A Policy says which form each field of a table has: the form of its stored name
// in Fields, or else that of its kind in Kinds, or else [FormDrop]. A kind that is
// not named is dropped; so are free text and fields without a tag, which no policy
// can keep, and fields tagged clear unless Fields names them. The presets are
// [SafeHarbor] and [Strict]; change the copy that they return.
type Policy struct {
	Kinds  map[Kind]Form   // by the kind of the tag, such as "birthdate"
	Fields map[string]Form // by stored name, such as "Visit.Start"
	At     time.Time       // the day that ages are counted at: the table's. Required.
	Band   int             // years in a band of FormAgeBand, 1 to 90
	Within int             // days that FormShifted moves at most, 1 to 3650
}

// SafeHarbor returns the policy after HIPAA's Safe Harbor method, 45 CFR
// 164.514(b)(2)(i): dates as years, with all of 90 and older in one class; places
// as provinces; sex and coded clinical fields kept; all else dropped. docs/SPEC.md,
// "De-identification", goes through the 18 identifiers.
//
// It is not the whole of that method. Nothing here sees what a clinical field
// holds: codes belong there, and what a person wrote is kind text. The pseudonym
// is made from the subject's id, which 164.514(c)(1) does not allow for a code that
// stays in a table: drop the first cell of each row, or call the table pseudonymous.
// And (b)(2)(ii) asks that nobody knows of a way to identify a patient by what is
// left: that is for the k gate and for people.
func SafeHarbor(at time.Time) Policy {
	return Policy{At: at, Kinds: map[Kind]Form{
		"birthdate": FormYear,
		"date":      FormYear,
		"region":    FormProvince,
		"sex":       FormKeep,
		"clinical":  FormKeep,
	}}
}

// Strict returns a policy that tells less than [SafeHarbor]: ages in bands of ten
// years and no other date.
func Strict(at time.Time) Policy {
	p := SafeHarbor(at)
	p.Kinds["birthdate"], p.Band = FormAgeBand, 10
	delete(p.Kinds, "date")
	return p
}

// check refuses what is wrong with p whatever the type.
func (p *Policy) check(plan *phi.Plan) error {
	if p.At.IsZero() {
		return fmt.Errorf("%w: At, the day that ages are counted at, is zero", ErrPolicy)
	}
	for kind := range p.Kinds {
		if _, ok := phi.KindByName(string(kind)); !ok {
			return fmt.Errorf("%w: unknown kind %q", ErrPolicy, kind)
		}
	}
	named := map[string]int{}
	for i := range plan.Fields {
		named[plan.Fields[i].Name]++
	}
	for i := range plan.Clear {
		named[plan.Clear[i].Name]++
	}
	for name := range p.Fields {
		if named[name] != 1 {
			return fmt.Errorf("%w: %d fields of %v have the stored name %q", ErrPolicy, named[name], plan.Type, name)
		}
	}
	return nil
}

// form returns the form of a field, or why it cannot have it.
func (p *Policy) form(f *phi.Field) (Form, error) {
	form, byName := p.Fields[f.Name]
	named := byName
	if !named { // a clear field has no kind, and so no form by it
		form, named = p.Kinds[Kind(f.Kind.Name)]
	}
	if !named {
		return FormDrop, nil
	}
	why := p.unfit(form, f)
	if why == "" && form == FormKeep && !byName && !isDateKind(f) && phi.HoldsTime(f.Type) {
		why = "it holds a date, which is kept of kinds date and birthdate or where Fields names the field"
	}
	if why != "" {
		return "", fmt.Errorf("%w: %s, form %q: %s", ErrPolicy, f.Go, form, why)
	}
	return form, nil
}

// unfit returns why a field cannot have a form; empty if it can.
func (p *Policy) unfit(form Form, f *phi.Field) string {
	kind, text := f.Kind.Name, fieldType(f.Type).Kind() == reflect.String
	const wantDate = "want a date or birthdate that is a time.Time or a text"
	switch form {
	case FormDrop:
		return ""
	case FormKeep:
		return unless(keepable(f), "an identifier, a free text or a field without a tag is never kept")
	case FormToken:
		return unless(f.Kind.Lookup && Kind(kind).normalizer() != "" && text, "want a text of a kind that may be looked up")
	case FormYear, FormMonth:
		return unless(dated(f), wantDate)
	case FormShifted:
		return cmp.Or(unless(within(p.Within, maxShift), fmt.Sprintf("want Within from 1 to %d days", maxShift)), unless(dated(f), wantDate))
	case FormAgeBand:
		return cmp.Or(unless(within(p.Band, topAge), fmt.Sprintf("want Band from 1 to %d years", topAge)),
			unless(dated(f) && kind == "birthdate", "want a birthdate that is a time.Time or a text"))
	case FormProvince, FormRegency:
		return unless(kind == "region" && text, "want a region that is a text")
	}
	return "there is no such form"
}

func within(n, most int) bool { return 1 <= n && n <= most }

func unless(fits bool, why string) string {
	if fits {
		return ""
	}
	return why
}

// fieldType returns what is behind a pointer or a sql.Null.
func fieldType(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	if f, ok := phi.NullValue(t); ok {
		return f.Type
	}
	return t
}

// keepable reports whether a field may be kept as it is. What is not listed is an
// identifier, free text or unknown.
func keepable(f *phi.Field) bool {
	switch f.Kind.Name {
	case "sex", "clinical", "sensitive", "date", "birthdate", "region":
		return true
	}
	return f.Clear
}

func isDateKind(f *phi.Field) bool { return f.Kind.Name == "date" || f.Kind.Name == "birthdate" }

// dated reports whether a field is a date or birthdate that is a time.Time or a
// text.
func dated(f *phi.Field) bool {
	t := fieldType(f.Type)
	return isDateKind(f) && (phi.IsTime(t) || t.Kind() == reflect.String)
}
