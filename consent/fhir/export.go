package fhir

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// ExportOptions say what a resource needs and a consent does not have. Zone,
// Policy and Reference are required.
type ExportOptions struct {
	// Zone is that in which times are written.
	Zone *time.Location

	// Policy is the URI of the policy that the patient was shown.
	Policy string

	// Reference returns the FHIR reference of a local id. The element is where it
	// will stand: patient, performer, actor, instance, related or authoredby. Empty is an
	// error.
	Reference func(element, id string) string

	Given        time.Time // when the consent was given; zero: not stated
	Organization string    // reference of the controller; empty: not stated
}

// Export writes a consent as a FHIR R4 Consent in JSON, in the dialect
// [TypedRoot]. It reads back, by [Import], as a consent that decides the same, but that a refusal of what is related
// to something refuses that as well. One that has ended is inactive, and does
// not read back.
//
// What FHIR cannot say, or says in a way that others read as more of a permit,
// is [ErrNotExpressible]: roles, record types, obligations, a Hold, data selected by
// several attributes, a level together with labels. Not written, because it
// changes no decision: what the consent supersedes, the relation of a representative,
// whose authority's end becomes the permit's. A level alone is written
// as that level; a system that does not hold labels apart from levels will show it
// labelled data of that level too.
func Export(c consent.Consent, o ExportOptions) ([]byte, error) {
	if o.Zone == nil || o.Policy == "" || o.Reference == nil {
		return nil, &ElementError{"ExportOptions", ErrOptions}
	}
	x := &exporting{o: &o}
	resource := x.consent(&c)
	if x.err != nil {
		return nil, x.err
	}
	text, err := json.Marshal(resource)
	if err != nil {
		return nil, &ElementError{"Consent", ErrNotExpressible}
	}
	return text, nil
}

// exporting is one export, and its first error.
type exporting struct {
	o   *ExportOptions
	err error
}

// member is a JSON object; encoding/json writes its members in the order of their names.
type member map[string]any

func (x *exporting) fail(path string) {
	if x.err == nil {
		x.err = &ElementError{path, ErrNotExpressible}
	}
}

func (x *exporting) consent(c *consent.Consent) member {
	as, by, until := performer(c)
	status := "active"
	if !c.Withdrawn.IsZero() {
		status = "inactive"
	}
	if c.Hold {
		x.fail("Consent")
	}
	base := consent.Rule{
		Refused: c.Refused, Purposes: c.Purposes, Actors: c.Actors, Roles: c.Roles, Actions: c.Actions, Data: c.Data,
		Confidentiality: c.Confidentiality, Sensitivity: c.Sensitivity, Obligations: c.Obligations, From: c.From, Until: until,
	}
	root := x.provision("Consent.provision", base, false)
	var nested []member
	for i, r := range c.Except {
		path := "Consent.provision.provision[" + strconv.Itoa(i) + "]"
		nested = append(nested, x.provision(path, under(r, c), !c.Refused && !reachesAll(&base)))
	}
	if nested != nil {
		root["provision"] = nested
	}
	out := member{
		"resourceType": "Consent", "status": status, "scope": concept(systemScope, scopePrivacy), "category": []member{concept(systemLOINC, "59284-0")},
		"patient": x.reference("Consent.patient", "patient", c.Subject), "performer": []member{x.reference("Consent.performer[0]", as, by)},
		"policy": []member{{"uri": x.o.Policy}}, "provision": root,
	}
	if c.ID != "" {
		out["id"] = c.ID
	}
	if !x.o.Given.IsZero() {
		text, ok := startText(x.o.Given.Truncate(time.Second), x.o.Zone)
		if out["dateTime"] = text; !ok {
			x.fail("Consent.dateTime")
		}
	}
	if x.o.Organization != "" {
		out["organization"] = []member{{"reference": x.o.Organization}}
	}
	return out
}

// performer returns who agreed, as what, and until when that holds.
func performer(c *consent.Consent) (as, id string, until time.Time) {
	if c.GivenBy == nil {
		return "patient", c.Subject, c.Until
	}
	until = c.Until
	if ends := c.GivenBy.Until; !c.Refused && !ends.IsZero() && (until.IsZero() || ends.Before(until)) {
		until = ends
	}
	return "performer", c.GivenBy.ID, until
}

// under writes out what an exception takes over from its consent: in FHIR what is absent does not constrain.
func under(r consent.Rule, c *consent.Consent) consent.Rule {
	if len(r.Purposes) == 0 {
		r.Purposes = c.Purposes
	}
	r.Obligations = slices.Concat(r.Obligations, c.Obligations)
	if r.Refused {
		return r
	}
	if len(r.Actors) == 0 {
		r.Actors = c.Actors
	}
	if len(r.Roles) == 0 {
		r.Roles = c.Roles
	}
	if len(r.Actions) == 0 {
		r.Actions = c.Actions
	}
	if d := &r.Data; len(d.Types)+len(d.Records)+len(d.Authors)+len(d.Related) == 0 && d.From.IsZero() && d.Until.IsZero() {
		r.Data = c.Data
	}
	return r
}

// reachesAll reports whether a permit reaches every level and label.
func reachesAll(r *consent.Rule) bool {
	return r.Confidentiality == highest && slices.Contains(r.Sensitivity, consent.AnyLabel)
}

// provision writes a rule. marked says that the permit around it names labels,
// which a permit without any would be read as taking over.
func (x *exporting) provision(path string, r consent.Rule, marked bool) member {
	out := member{"type": "permit"}
	if r.Refused {
		out["type"] = "deny"
	}
	if len(r.Roles)+len(r.Obligations) > 0 || len(r.Purposes) == 0 {
		x.fail(path)
	}
	x.put(out, "purpose", codings(systemPurpose, r.Purposes))
	var actors, actions []member
	for i, id := range r.Actors {
		to := path + ".actor[" + strconv.Itoa(i) + "]"
		actors = append(actors, member{"role": concept(systemParticipation, "IRCP"), "reference": x.reference(to, "actor", id)})
	}
	for _, a := range r.Actions {
		actions = append(actions, concept(systemAction, string(a)))
	}
	x.put(out, "actor", actors)
	x.put(out, "action", actions)
	x.put(out, "securityLabel", x.labels(path+".securityLabel", &r, marked))
	x.put(out, "data", x.data(path+".data", &r.Data))
	x.period(out, path, "period", r.From, r.Until)
	x.period(out, path, "dataPeriod", r.Data.From, r.Data.Until)
	return out
}

func (x *exporting) put(to member, name string, list []member) {
	if len(list) > 0 {
		to[name] = list
	}
}

func (x *exporting) labels(path string, r *consent.Rule, marked bool) []member {
	level := r.Confidentiality
	if level == "" && !r.Refused {
		level = consent.Normal
	}
	labelled := len(r.Sensitivity) > 0
	every := slices.Contains(r.Sensitivity, consent.AnyLabel)
	alone := level == "" || !r.Refused && level == highest // it does not constrain beside labels
	switch {
	case !labelled && level == "":
		return nil
	case !labelled:
		return codings(systemConfidentiality, []consent.Confidentiality{level})
	case !r.Refused && every && level == highest && !marked:
		return nil
	case every, !alone:
		x.fail(path)
	}
	return codings(systemActCode, r.Sensitivity)
}

func (x *exporting) data(path string, s *consent.Selection) (out []member) {
	kinds := 0
	for _, k := range [...]struct {
		meaning string
		ids     []string
	}{{"instance", s.Records}, {"related", s.Related}, {"authoredby", s.Authors}} {
		if len(k.ids) > 0 {
			kinds++
		}
		for _, id := range k.ids {
			out = append(out, member{"meaning": k.meaning, "reference": x.reference(path, k.meaning, id)})
		}
	}
	if kinds > 1 || len(s.Types) > 0 {
		x.fail(path) // FHIR takes them for alternatives, and classes for resource types
	}
	return out
}

func (x *exporting) period(to member, path, name string, from, until time.Time) {
	p := member{}
	write := func(name string, t time.Time, text func(time.Time, *time.Location) (string, bool)) {
		if t.IsZero() {
			return
		}
		s, ok := text(t, x.o.Zone)
		if p[name] = s; !ok {
			x.fail(path)
		}
	}
	write("start", from, startText)
	write("end", until, endText)
	if len(p) > 0 {
		to[name] = p
	}
}

func (x *exporting) reference(path, element, id string) member {
	ref := x.o.Reference(element, id)
	if ref == "" {
		x.fail(path)
	}
	return member{"reference": ref}
}

func concept(system, code string) member {
	return member{"coding": codings(system, []string{code})}
}

func codings[S ~string](system string, codes []S) (out []member) {
	for _, c := range codes {
		out = append(out, member{"system": system, "code": string(c)})
	}
	return out
}
