package pseudo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rahasia/rahasia/internal/phi"
)

// pseudonymColumn is the name of a table's first column.
const pseudonymColumn = "pseudonym"

// Unfit is the cell of a value that cannot take its column's form: a malformed
// code, a birth date that lies in the future, an age band that a bare year of birth
// does not decide. It holds nothing of the value, and prints as "(unfit)". For
// the gate of package risk it is a quasi-identifier's value of its own.
type Unfit struct{}

// String returns "(unfit)".
func (Unfit) String() string { return "(unfit)" }

// A Deidentifier makes rows of a table for one recipient out of records of type T,
// by T's tags and a policy. Make one for each table: all its rows are under the key
// version that was the domain's primary when it was made, so that a rotation
// meanwhile does not give a patient two pseudonyms. Labels and consents play no part
// here: give it only records that may be released. It is safe for concurrent use.
// A Deidentifier that did not come from [NewDeidentifier] returns [ErrNoDomain].
type Deidentifier[T any] struct {
	domain  *Domain
	version uint32
	plan    *phi.Plan
	at      time.Time // of the policy
	band    int       // of the policy
	shifter shifter
	fields  []deidentified
}

type deidentified struct {
	field *phi.Field
	form  Form
}

// NewDeidentifier returns the de-identifier of T's fields for the recipient whose
// domain it is; a lookup domain is [ErrNoDomain]. A policy that does not fit T is
// [ErrPolicy]: a kind or a field that is not there, a form that does not fit, a zero
// At, a date that is kept beside a shifted one, or two columns of tokens of one kind,
// which could be joined although only one is about the patient. The other errors are
// those of the domain and of T's tags.
func NewDeidentifier[T any](ctx context.Context, domain *Domain, policy Policy) (*Deidentifier[T], error) {
	plan, err := phi.For(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	p, err := domain.current(ctx)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(domain.name, lookupPrefix) {
		return nil, fmt.Errorf("%w: %q is a lookup domain, whose tokens would join the table to the database", ErrNoDomain, domain.name)
	}
	if err := policy.check(plan); err != nil {
		return nil, err
	}
	x := &Deidentifier[T]{domain: domain, version: p.versions[0], plan: plan, at: policy.At, band: policy.Band}
	for _, fields := range [][]phi.Field{plan.Fields, plan.Clear} {
		for i := range fields {
			f := &fields[i]
			form, err := policy.form(f)
			if err != nil {
				return nil, err
			}
			if form == FormDrop {
				continue
			}
			if form == FormShifted {
				if x.shifter, err = domain.shifterAt(p, x.version, policy.Within); err != nil {
					return nil, err
				}
			}
			x.fields = append(x.fields, deidentified{f, form})
		}
	}
	if err := cmp.Or(namedTwice(x.fields), keptBesideShifted(x.fields)); err != nil {
		return nil, err
	}
	return x, nil
}

// namedTwice refuses a second column of tokens of one kind, and a second pseudonym.
func namedTwice(fields []deidentified) error {
	tokens := map[string]bool{}
	for _, f := range fields {
		if f.field.Name == pseudonymColumn {
			return fmt.Errorf("%w: %s is named like the first column", ErrPolicy, f.field.Go)
		}
		if f.form == FormToken && tokens[f.field.Kind.Name] {
			return fmt.Errorf("%w: %s: a second column of tokens of kind %q", ErrPolicy, f.field.Go, f.field.Kind.Name)
		}
		tokens[f.field.Kind.Name] = tokens[f.field.Kind.Name] || f.form == FormToken
	}
	return nil
}

// keptBesideShifted refuses a date as it is beside a shifted one: an admission and a
// discharge a few days apart tell the shift, and with it all dates of the patient.
func keptBesideShifted(fields []deidentified) error {
	if !slices.ContainsFunc(fields, func(f deidentified) bool { return f.form == FormShifted }) {
		return nil
	}
	for _, f := range fields {
		if f.form == FormKeep && (isDateKind(f.field) || phi.HoldsTime(f.field.Type)) {
			return fmt.Errorf("%w: %s: a date that is kept tells how far the others are shifted", ErrPolicy, f.field.Go)
		}
	}
	return nil
}

// Format writes the name of the domain, whatever the verb.
func (x *Deidentifier[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, x.text()) }

// LogValue is the name of the domain.
func (x *Deidentifier[T]) LogValue() slog.Value { return slog.StringValue(x.text()) }

func (x *Deidentifier[T]) text() string {
	if x == nil || x.domain == nil {
		return "pseudo.Deidentifier()"
	}
	return "pseudo.Deidentifier(" + x.domain.Name() + ")"
}

// Columns returns the names of the table's columns: "pseudonym", the token of the
// subject in the domain as text, and then the stored names of those fields of T that
// are not dropped, sealed ones first, in the order of their declaration.
func (x *Deidentifier[T]) Columns() []string {
	if x == nil || x.domain == nil {
		return nil
	}
	columns := append(make([]string, 0, 1+len(x.fields)), pseudonymColumn)
	for _, f := range x.fields {
		columns = append(columns, f.field.Name)
	}
	return columns
}

// Row returns the row of a record: a cell for each of [Deidentifier.Columns]. A
// cell is nil where the record has no value: NULL, and, where the form is not keep,
// an empty text or a zero time; [Unfit] where a value cannot take the form; in a
// column keep the field's own Go value, not behind a pointer; in a column shifted a
// time.Time, or a text where the field is one or the patient belongs to the oldest;
// a string in all others. A kept slice or map is the record's own.
//
// A subject id that is missing is a [*FormatError]; a key version that can no
// longer be read, because the domain was rotated and the old version suspended,
// [keyring.ErrUnknownVersion]: make another table. Give the rows of a table in an
// order that says nothing, or two recipients join theirs line by line, and let none
// leave without the k gate: a row without names still tells who it is about.
func (x *Deidentifier[T]) Row(ctx context.Context, src *T) ([]any, error) {
	if x == nil || x.domain == nil {
		return nil, ErrNoDomain
	}
	if src == nil {
		return nil, fmt.Errorf("%w: no record", ErrField)
	}
	root := reflect.ValueOf(src).Elem()
	subject, _ := x.plan.Subject.Text(root)
	subject, place, err := Subject.normalize(subject)
	if err != nil {
		return nil, err
	}
	p, err := x.domain.current(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := p.at(x.version)
	if err != nil {
		return nil, err
	}
	row := append(make([]any, 0, 1+len(x.fields)), keys.token(place, subject).String())
	for i := range x.fields {
		cell, err := x.cell(&x.fields[i], root, subject, keys)
		switch {
		case errors.Is(err, ErrRange) || errors.As(err, new(*FormatError)):
			cell = Unfit{}
		case err != nil:
			return nil, fmt.Errorf("pseudo: field %q: %w", x.fields[i].field.Name, err)
		}
		row = append(row, cell)
	}
	return row, nil
}

// cell makes the form of one field. A value that cannot take it is ErrRange or a
// FormatError.
func (x *Deidentifier[T]) cell(f *deidentified, root reflect.Value, subject string, keys *tokenKeys) (any, error) {
	v, ok := plainValue(f.field, root)
	if !ok {
		return nil, nil
	}
	if f.form == FormKeep {
		return v.Interface(), nil
	}
	if v.IsZero() {
		return nil, nil
	}
	switch f.form {
	case FormToken:
		normal, place, err := Kind(f.field.Kind.Name).normalize(v.String())
		if err != nil {
			return nil, err
		}
		return keys.token(place, normal).String(), nil
	case FormProvince:
		return truncateRegion(v.String(), 2)
	case FormRegency:
		return truncateRegion(v.String(), 4)
	}
	return x.date(f, v, subject)
}

// date makes the form of a date.
func (x *Deidentifier[T]) date(f *deidentified, v reflect.Value, subject string) (any, error) {
	var d partialDate
	when, full := v.Interface().(time.Time)
	if full {
		d = dateOf(when)
	} else {
		var err error
		if d, err = parseDate(v.String()); err != nil {
			return nil, err
		}
	}
	if f.field.Kind.Name == "birthdate" && d.after(x.at) {
		return nil, fmt.Errorf("%w: the birth date lies in the future", ErrRange)
	}
	if f.form == FormAgeBand {
		return d.ageBand(x.at, x.band)
	}
	if oldest := oldestYear(x.at); d.year <= oldest {
		return orEarlier(oldest), nil
	}
	switch f.form {
	case FormYear:
		return fmt.Sprintf("%04d", d.year), nil
	case FormMonth:
		return d.month7(), nil
	case FormShifted:
		return x.shifted(d, when, full, subject)
	}
	return nil, fmt.Errorf("%w: form %s", ErrPolicy, strconv.Quote(string(f.form))) // NewDeidentifier let none through
}

// shifted moves a date, which is a time.Time where full.
func (x *Deidentifier[T]) shifted(d partialDate, when time.Time, full bool, subject string) (any, error) {
	s, err := x.shifter.shift(subject)
	if err != nil {
		return nil, err
	}
	if !full {
		if d.day == 0 {
			return nil, fmt.Errorf("%w: a month or a year cannot be shifted by days", ErrRange)
		}
		when = d.first()
	}
	moved, err := s.Apply(when)
	if err != nil {
		return nil, err
	}
	if oldest := oldestYear(x.at); moved.Year() <= oldest {
		return orEarlier(oldest), nil // a date that no row can truly have would tell the shift
	}
	if !full {
		return moved.Format(time.DateOnly), nil
	}
	return moved, nil
}

// plainValue returns the value of a field behind its pointer or sql.Null, and
// false where it is NULL.
func plainValue(f *phi.Field, root reflect.Value) (reflect.Value, bool) {
	v, ok := f.Value(root)
	if !ok {
		return v, false
	}
	if _, null := phi.NullValue(v.Type()); null {
		return v.Field(0), v.Field(1).Bool()
	}
	switch v.Kind() {
	case reflect.Pointer:
		return v.Elem(), !v.IsNil()
	case reflect.Slice, reflect.Map:
		return v, !v.IsNil()
	}
	return v, true
}
