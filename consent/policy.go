package consent

import (
	"fmt"
	"slices"
	"time"
)

// Policy is the controller's part of every decision: the same for all patients,
// and pure data. The zero Policy permits nothing but what a consent does.
type Policy struct {
	// Bases permit without a consent, on another legal basis. A patient's
	// refusal overrides them.
	Bases []LegalBasis

	// Reversals permit reversible tokens to be turned back or translated.
	Reversals []ReversalBasis

	Emergency Emergency
}

// LegalBasis is a rule on which the controller processes without consent: UU
// PDP 27/2022, article 20(2) (b) to (f).
type LegalBasis struct {
	Basis   Basis
	Article string // the law that it rests on, such as "Permenkes 24/2022 art. 35"; it is written into the audit log

	// Rule is whom it permits what. It must name purposes, must not be Refused,
	// and reaches no labels but those that it names.
	Rule Rule
}

// Emergency says who may declare one. It is declared by asking for exactly
// [EmergencyTreatment] or [BreakGlass], with a justification.
type Emergency struct {
	// Roles that may declare an emergency; none: nobody. [Policy.Decide] is told
	// the role and believes it.
	Roles []string

	// Compartments are what an emergency opens, the least that care needs; none:
	// every one that the role may open. What lies in others opens as for a request
	// that declares nothing. [Policy.Decide] does not know compartments: [Records]
	// sees to it.
	Compartments []string

	OverRefusals bool          // break-glass opens against the patient's refusal as well; never against a Hold
	For          time.Duration // how long the permit holds; zero is 15 minutes
}

// emergencyFor is how long an emergency's permit holds where the policy does
// not say: the length of the act, and not of the shift.
const emergencyFor = 15 * time.Minute

// check refuses a policy that would permit what nobody has thought of.
func (p *Policy) check() error {
	for i := range p.Bases {
		b := &p.Bases[i]
		switch err := b.Rule.check(); {
		case !b.Basis.known() || b.Basis == Consented:
			return fmt.Errorf("policy: basis %d: %w", i, ErrNoBasis)
		case b.Article == "" || !text(b.Article):
			return fmt.Errorf("policy: basis %d: article: %w", i, ErrLimit)
		case len(b.Rule.Purposes) == 0 || b.Rule.Refused:
			return fmt.Errorf("policy: basis %d: purposes: %w", i, ErrCode)
		case err != nil:
			return fmt.Errorf("policy: basis %d: %w", i, err)
		}
	}
	for i := range p.Reversals {
		if err := p.Reversals[i].check(); err != nil {
			return fmt.Errorf("policy: reversal %d: %w", i, err)
		}
	}
	if p.Emergency.For < 0 || !text(p.Emergency.Roles...) || !text(p.Emergency.Compartments...) {
		return fmt.Errorf("policy: emergency: %w", ErrLimit)
	}
	return nil
}

// emergency reports whether a request declares an emergency that p allows. The
// purpose is taken literally: what lies below it declares nothing.
func (p *Policy) emergency(a *asking) bool {
	return p != nil && (a.req.Purpose == BreakGlass || a.req.Purpose == EmergencyTreatment) &&
		a.req.Justification != "" && slices.Contains(p.Emergency.Roles, a.req.Role)
}

// reaches reports whether an emergency opens what lies in a compartment.
func (e *Emergency) reaches(compartment string) bool {
	return len(e.Compartments) == 0 || slices.Contains(e.Compartments, compartment)
}

// overrides reports whether the request breaks the glass over refusals.
func (p *Policy) overrides(a *asking) bool {
	return p.emergency(a) && a.req.Purpose == BreakGlass && p.Emergency.OverRefusals
}

// inEmergency is the permit of an emergency: short, and audited to the patient's view.
func (p *Policy) inEmergency(consents []Consent, now time.Time) Decision {
	until := p.Emergency.For
	if until == 0 {
		until = emergencyFor
	}
	d := Decision{Permit: true, Reason: InEmergency, Obligations: []Obligation{"AUDIT", "AUDTR", "NOPERSISTP"}, Until: now.Add(until)}
	if next := nextChange(consents, now); !next.IsZero() && next.Before(d.Until) {
		d.Until = next
	}
	return d
}

// byLaw is the first of the bases that covers the request, with the obligations
// of all that do.
func (p *Policy) byLaw(a *asking) (d Decision) {
	if p == nil {
		return d
	}
	for i := range p.Bases {
		b := &p.Bases[i]
		if b.Rule.gap(a) != none {
			continue
		}
		if !d.Permit {
			d = Decision{Permit: true, Reason: ByLaw, Article: b.Article}
		}
		d.Obligations = append(d.Obligations, b.Rule.Obligations...)
	}
	if d.Permit {
		d.Obligations = obliged(d.Obligations, a)
	}
	return d
}
