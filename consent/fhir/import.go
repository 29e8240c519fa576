package fhir

import (
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// Dialect is a way of reading the provisions of a FHIR R4 Consent. The zero
// Dialect is none, and an error. Each allows one level of provisions inside the root's.
type Dialect uint8

const (
	// BaseR4 is the text of FHIR R4 itself: policyRule says OPTIN or OPTOUT, the
	// root provision is the exception from it, without a type, and what is nested in it
	// is an exception from the exception, with its type. A period of the root provision
	// is refused: HL7's examples mean three different things by it.
	BaseR4 Dialect = iota + 1

	// TypedRoot is IHE's Privacy Consent on FHIR and LEAP: every provision has its type,
	// the root's is the rule and its period the consent's, and those nested in it are exceptions,
	// the last that matches deciding. One may be of the root's type; it then adds to it.
	TypedRoot

	// Alternating is FHIR R5's reading in R4's form: the root provision has
	// its type, and those nested in it the opposite one, stated or not.
	Alternating
)

// Options say how a resource is to be read. Dialect, Zone and Local are required.
type Options struct {
	Dialect Dialect

	// Zone is where the dates of the resource are from, such as Asia/Jakarta: a
	// day that ends a period lasts until its midnight there.
	Zone *time.Location

	// Local returns the ids that a FHIR reference has in this system: one for the
	// patient and for data, and for an actor one for each person meant, so all
	// members of a group, as of now. None: the reference is not known here, and a permit that
	// rests on it is refused. It must treat what it gets as untrusted.
	Local func(reference string) []string

	// Purposes are what a permit is for that names no purpose, such as one whose
	// policy is a form for treatment. Without them such a permit is refused.
	Purposes []consent.Purpose

	// LabelLevel is how far a permit reaches that names sensitivity labels and no
	// level. Empty is N: restricted data stays closed. IHE's notes read such a
	// permit as V, of the labelled data alone; here what a higher level opens it
	// opens of data without a label too, so say it only where all restricted data
	// carries its label.
	LabelLevel consent.Confidentiality
}

// Imported is a consent that was read, for [consent.Config.Give].
type Imported struct {
	// Consent has the id of the resource, and is given by the performer where
	// that is not the patient.
	Consent consent.Consent

	// Widened names the elements of refusals that the decision does not
	// evaluate, so that these refusals apply to more than the resource says.
	Widened []string
}

// importing is one import: its options, its first error, and what it widened.
type importing struct {
	o       *Options
	err     error
	widened []string
}

func (in *importing) fail(path string, err error) {
	if in.err == nil {
		in.err = &ElementError{path, err}
	}
}

// Import reads a FHIR R4 Consent in JSON, of 1 MiB at most. It must be active and of the scope
// patient-privacy. It neither fetches what the resource refers to nor checks
// that it is authentic: who gives it to you decides what opens.
//
// Errors are an [ElementError] with [ErrMalformed], [ErrAmbiguous],
// [ErrNotEvaluated], [ErrNotInForce] or [ErrOptions].
func Import(resource []byte, o Options) (Imported, error) {
	if o.Dialect < BaseR4 || o.Dialect > Alternating || o.Zone == nil || o.Local == nil || o.LabelLevel != "" && rank(o.LabelLevel) < 0 {
		return Imported{}, &ElementError{"Options", ErrOptions}
	}
	obj, err := parse(resource)
	if err != nil {
		return Imported{}, &ElementError{"Consent", err}
	}
	in := &importing{o: &o}
	c := in.consent(in.element("Consent", obj))
	if in.err != nil {
		return Imported{}, in.err
	}
	return Imported{c, in.widened}, nil
}

func (in *importing) consent(e *element) (c consent.Consent) {
	if e.text("resourceType") != "Consent" {
		in.fail("Consent.resourceType", ErrMalformed)
	}
	if e.text("status") != "active" {
		in.fail("Consent.status", ErrNotInForce)
	}
	if scope := e.one("scope"); scope == nil || !scope.isScope() {
		in.fail("Consent.scope", ErrNotInForce)
	}
	c.ID = e.text("id")
	c.Subject = in.patient(e)
	c.GivenBy = in.performer(e, c.Subject)
	e.ignore("meta", "language", "text", "contained", "extension", "identifier", "category", "dateTime",
		"organization", "sourceAttachment", "sourceReference", "policy")
	rule := in.policyRule(e.one("policyRule"))
	root := e.one("provision")
	if in.err != nil {
		return c
	}
	switch in.o.Dialect {
	case BaseR4:
		in.underPolicy(&c, rule, root)
	default:
		in.typed(&c, rule, root)
	}
	in.verified(e)
	if !e.whole() {
		in.fail("Consent", ErrNotEvaluated)
	}
	return c
}

func (e *element) isScope() bool {
	code, ok := e.concept(systemScope)
	return ok && code == scopePrivacy
}

func (in *importing) patient(e *element) string {
	p := e.one("patient")
	if p == nil {
		in.fail("Consent.patient", ErrMalformed)
		return ""
	}
	ids, ok := p.reference()
	if !ok || len(ids) != 1 {
		in.fail("Consent.patient", ErrNotEvaluated)
		return ""
	}
	return ids[0]
}

// performer returns who agreed in the patient's place.
func (in *importing) performer(e *element, patient string) (by *consent.Representative) {
	for _, p := range e.all("performer") {
		ids, ok := p.reference()
		switch {
		case !ok || len(ids) != 1:
			in.fail(p.path, ErrNotEvaluated)
		case ids[0] == patient:
		case by != nil:
			in.fail(p.path, ErrAmbiguous) // whose authority it is that ends
		default:
			by = &consent.Representative{ID: ids[0]}
		}
	}
	return by
}

// verified refuses a consent of which it is recorded that nobody could verify it.
func (in *importing) verified(e *element) {
	for _, v := range e.all("verification") {
		if yes, _ := v.take("verified"); yes != true {
			in.fail(v.at("verified"), ErrNotInForce)
		}
	}
}

// reference returns the local ids of a Reference; ok is false where there is none.
func (e *element) reference() (ids []string, ok bool) {
	ref := e.text("reference")
	e.ignore("id", "type", "identifier", "display")
	if !e.whole() || ref == "" || ref[0] == '#' {
		return nil, false
	}
	ids = slices.Clone(e.in.o.Local(ref))
	if len(ids) == 0 || slices.Contains(ids, "") {
		return nil, false
	}
	return ids, true
}

// policy is what policyRule says.
type policy uint8

const (
	policyNone  policy = iota // there is none, or one that is a text of law
	policyIn                  // OPTIN
	policyOut                 // OPTOUT
	policyOther               // another of HL7's codes, or several
)

func (in *importing) policyRule(e *element) (rule policy) {
	if e == nil {
		return policyNone
	}
	for _, c := range e.all("coding") {
		system, code, ok := c.coding()
		switch {
		case system != systemActCode && ok:
		case rule != policyNone || !ok:
			return policyOther
		case code == "OPTIN":
			rule = policyIn
		case code == "OPTOUT":
			rule = policyOut
		default:
			rule = policyOther
		}
	}
	e.ignore("id", "text")
	if !e.whole() {
		return policyOther
	}
	return rule
}

// underPolicy reads a consent of the dialect BaseR4.
func (in *importing) underPolicy(c *consent.Consent, rule policy, root *element) {
	if !in.byPolicy(c, rule) || root == nil {
		return
	}
	optIn := rule == policyIn
	p := &provision{element: root, permit: !optIn}
	if said, stated := p.says(); stated && said != p.permit {
		in.fail(root.at("type"), ErrAmbiguous)
	}
	if _, ok := root.take("period"); ok {
		in.fail(root.at("period"), ErrAmbiguous)
	}
	nested := root.all("provision")
	c.Except = in.rulesOf(p)
	for _, e := range nested {
		n := &provision{element: e, permit: optIn, inside: p}
		if said, stated := n.says(); !stated || said != n.permit {
			in.fail(e.at("type"), ErrAmbiguous)
		}
		in.exception(c, n)
	}
}

// byPolicy makes c what the policy says of itself, if it says anything.
func (in *importing) byPolicy(c *consent.Consent, rule policy) bool {
	switch {
	case rule == policyIn && len(in.o.Purposes) > 0:
		c.Purposes, c.Confidentiality, c.Sensitivity = slices.Clone(in.o.Purposes), highest, []consent.Label{consent.AnyLabel}
	case rule == policyOut:
		c.Purposes, c.Refused = everyPurpose(), true
	default: // OPTIN too, where nobody says what it allows
		in.fail("Consent.policyRule", ErrAmbiguous)
		return false
	}
	return true
}

// rulesOf returns what the root provision says. Where it names no purposes a
// permit is for those that the caller knows, and a refusal for all.
func (in *importing) rulesOf(p *provision) []consent.Rule {
	rules := p.rules()
	if p.permit {
		in.named(p, &rules[0])
		return rules
	}
	for i := range rules {
		if len(rules[i].Purposes) == 0 {
			rules[i].Purposes = everyPurpose()
		}
	}
	return rules
}

// typed reads a consent of the dialects TypedRoot and Alternating.
func (in *importing) typed(c *consent.Consent, rule policy, root *element) {
	if root == nil {
		in.fail("Consent.provision", ErrAmbiguous)
		return
	}
	p := &provision{element: root}
	said, stated := p.says()
	p.permit = said
	if !stated {
		in.fail(root.at("type"), ErrAmbiguous)
	}
	if said && (rule == policyOut || rule == policyOther) || !said && rule == policyIn {
		in.fail("Consent.policyRule", ErrAmbiguous)
	}
	nested := root.all("provision")
	rules := in.rulesOf(p)
	for i := range rules {
		c.From, c.Until = rules[i].From, rules[i].Until
		rules[i].From, rules[i].Until = time.Time{}, time.Time{}
	}
	setBase(c, rules[0])
	c.Except = rules[1:]
	for _, e := range nested {
		in.exception(c, in.typedInside(p, e))
	}
}

// typedInside is a provision inside p, of the type that the dialect gives it.
func (in *importing) typedInside(p *provision, e *element) *provision {
	n := &provision{element: e, inside: p}
	said, stated := n.says()
	n.permit = said
	if in.o.Dialect == Alternating {
		n.permit = !p.permit
		stated = !stated || said == n.permit
	}
	if !stated {
		in.fail(e.at("type"), ErrAmbiguous)
	}
	return n
}

// named gives a permit the purposes that the caller knows, where it has none.
func (in *importing) named(p *provision, r *consent.Rule) {
	if len(r.Purposes) == 0 {
		r.Purposes = slices.Clone(in.o.Purposes)
	}
	if len(r.Purposes) == 0 {
		in.fail(p.at("purpose"), ErrAmbiguous)
	}
}

// exception appends what a nested provision says to c.
func (in *importing) exception(c *consent.Consent, p *provision) {
	if _, ok := p.take("provision"); ok {
		in.fail(p.at("provision"), ErrNotEvaluated) // deeper than the dialect goes
	}
	rules := p.rules()
	if p.permit {
		in.bounded(c, p, &rules[0])
	}
	c.Except = append(c.Except, rules...)
}

// bounded keeps a nested permit within what the provision around it speaks of.
func (in *importing) bounded(c *consent.Consent, p *provision, r *consent.Rule) {
	around := p.inside
	switch {
	case around.wide:
		in.fail(around.path, ErrNotEvaluated) // a refusal that is wider than it says has no exceptions
	case around.permit && p.unlabelled:
		r.Confidentiality, r.Sensitivity = c.Confidentiality, slices.Clone(c.Sensitivity)
	}
	switch {
	case in.o.Dialect == BaseR4:
		// An exception from a refusal under OPTIN: beyond that refusal the policy
		// permits, but only for the purposes that it is for.
		for _, q := range r.Purposes {
			if !slices.Contains(c.Purposes, q) {
				in.fail(p.at("purpose"), ErrAmbiguous)
			}
		}
	case len(r.Purposes) == 0 && !around.named:
		in.named(p, r)
	}
}

// setBase makes r what c says before its exceptions.
func setBase(c *consent.Consent, r consent.Rule) {
	c.Refused, c.Purposes, c.Actors, c.Actions = r.Refused, r.Purposes, r.Actors, r.Actions
	c.Confidentiality, c.Sensitivity, c.Data = r.Confidentiality, r.Sensitivity, r.Data
}
