package consent

import (
	"fmt"
	"slices"
	"time"

	"github.com/rahasia/rahasia/pseudo"
)

// Request says who wants to act and for which one purpose.
type Request struct {
	Purpose Purpose // exactly one
	Actor   string  // who; an id, it is written into the audit log
	Role    string  // in which role; must be one of Config.Roles where those are set

	// Action is what is to be done. [Records] states its own, whatever is here.
	Action Action

	// Fulfils are obligations that the caller discharges or heeds once it has the
	// plaintext, besides those that Records discharges itself. A permit that
	// obliges to anything else is a refusal.
	Fulfils []Obligation

	// Justification says why an emergency cannot wait for a consent: required
	// for what [Policy.Emergency] allows; or why tokens are turned back. It is
	// sealed into the audit log.
	Justification string

	// FoundBy is the lookup token by which the row was found. Open derives it
	// again from the record and refuses a row that someone filed under
	// another's token. Zero: the row was not found by a token.
	FoundBy pseudo.Token

	Recipient string // Export: for whom the table is made; see Config.AddRecipient
	Gate      Gate   // Export: what the table must obey before a row of it is given

	Job string // the registered job that asks, see [Guard]; empty for a person
}

// Data describes what a request wants to see. What is left empty besides the
// labels is unknown: no permit that asks for it is met, and every refusal is.
type Data struct {
	Confidentiality Confidentiality // empty is Normal
	Sensitivity     []Label

	Type    string    // record type
	Record  string    // record id
	Author  string    // who made it
	Related []string  // the encounters and episodes that it belongs to
	Time    time.Time // clinical time

	later bool // level, author, relations and time will be known when the record's tag has been opened: until then nothing fails for them
}

// Reason says why something was not opened. What a caller is told depends on
// the request, the type and the patient's consents; where a label that only the
// record carries decided, it is always [NoConsent], so that the label is not
// given away. The audit log has the true one.
type Reason string

// Reasons of a [Decision] and of what is [Withheld].
const (
	Permitted   Reason = "permitted by the patient's consent"
	ByLaw       Reason = "permitted on another legal basis than consent"
	InEmergency Reason = "permitted in an emergency, to be reviewed"
	WouldDeny   Reason = "no consent covers this: it is opened for as long as this service only observes"
	Prohibited  Reason = "processing is suspended or prohibited"
	NoConsent   Reason = "no live consent covers this purpose and data"
	Refused     Reason = "the patient refused this"
	NotYet      Reason = "the consent is not valid yet"
	Expired     Reason = "the consent has expired"
	Ended       Reason = "the consent was withdrawn"
	Superseded  Reason = "another consent took its place"

	// NotRepresented is the reason where who gave the consent no longer speaks for the patient.
	NotRepresented Reason = "who gave the consent no longer represents the patient"

	Unknown       Reason = "the purpose or a label is not a known code"
	RoleForbids   Reason = "the role may not open this compartment"
	KeyNotGranted Reason = "this service holds no key for this compartment"
	ExportOnly    Reason = "this purpose sees pseudonyms only: use Export"
	CannotFulfil  Reason = "the consent obliges to something that is not done here"
	Erased        Reason = "the patient was erased"
	Retained      Reason = "the patient's records are kept out of service, as a law obliges to"
	NotAuthentic  Reason = "the row does not open as the record that was asked for"
	NotFoundBy    Reason = "the record is not the one that the token names"
	Unreadable    Reason = "the record cannot be read"
	MaySearch     Reason = "the role may search this field"
	NoRole        Reason = "the request names no role, or one that is not configured"
	NotGeneral    Reason = "the value cannot be generalised"
	TooFew        Reason = "too few patients in the table are alike"
	TooMany       Reason = "the actor has reached as many patients as the limit allows"
	NoRight       Reason = "no basis is configured for turning these tokens back"
	NoJob         Reason = "the request names a job that is not registered for its actor"
)

// Decision is the answer of [Policy.Decide].
type Decision struct {
	Permit      bool
	Reason      Reason
	Consent     string       // id of the consent that decided; empty where none did
	Rule        int          // which of its exceptions decided, from 1; 0: the consent itself
	Article     string       // of the legal basis that decided, where Reason is ByLaw
	Obligations []Obligation // what a permit obliges to, sorted
	Until       time.Time    // the answer may change from here on; zero: not by the time alone
}

// Decide is the decision, a pure function: the same policy, consents of one
// patient, request, data and time give the same answer, in whatever order the
// consents come. It is staged, and a later stage is asked only where the
// earlier ones are silent:
//
//  1. a purpose, action or label that is not a known code is a refusal;
//  2. a [Consent] on Hold that meets the request is a prohibition;
//  3. a refusal of the patient's that meets it is a refusal, of a consent or of
//     an exception in one; an emergency overrides it only where the policy says so;
//  4. a declared emergency that the policy allows is a permit;
//  5. a consent that covers purpose, action, actor, role, data, time and every
//     label is a permit;
//  6. so is another legal basis of the policy's that covers them;
//  7. everything else is a refusal.
//
// A consent that is not in force says nothing. Research purposes carry
// [Pseudonymise] whether a consent says so or not. A nil policy knows neither
// emergencies nor legal bases. Decide says nothing about roles' compartments
// and keys; [Records] asks those besides.
func (p *Policy) Decide(consents []Consent, req Request, data Data, now time.Time) Decision {
	if !req.Purpose.known() || !data.known() || req.Action != "" && !req.Action.known() {
		return Decision{Reason: Unknown}
	}
	a := newAsking(&req, &data, now)
	f := find(consents, &a)
	switch {
	case f.held.Reason != "":
		return f.held
	case f.refused.Reason != "" && !p.overrides(&a):
		return f.refused
	case p.emergency(&a):
		return p.inEmergency(consents, now)
	case f.permit.Permit:
		f.permit.Obligations = obliged(f.obligations, &a)
		f.permit.Until = nextChange(consents, now)
		return f.permit
	}
	if d := p.byLaw(&a); d.Permit {
		d.Until = nextChange(consents, now)
		return d
	}
	if f.permit.Reason == "" {
		return Decision{Reason: NoConsent}
	}
	return f.permit
}

func (d *Data) known() bool {
	if d.Confidentiality.rank() == 0 {
		return false
	}
	for _, l := range d.Sensitivity {
		if !l.known() {
			return false
		}
	}
	return true
}

// findings are what a patient's consents say, by stage. Of several that say the
// same the one with the lowest id is named, so that order does not matter.
type findings struct {
	held, refused Decision
	permit        Decision     // or why a consent that would permit does not
	obligations   []Obligation // of every consent that permits: a second one never loosens the first
}

func find(consents []Consent, a *asking) (f findings) {
	for i := range consents {
		c := &consents[i]
		said, by := c.says(a)
		if said == silent {
			continue
		}
		why := c.live(a.now)
		d := Decision{Reason: why, Consent: c.ID, Rule: by + 1}
		switch {
		case said == refuses && why != "": // no longer, or not yet
		case said == refuses && c.Hold:
			d.Reason = Prohibited
			f.held = better(f.held, d)
		case said == refuses:
			d.Reason = Refused
			f.refused = better(f.refused, d)
		case why != "":
			f.permit = better(f.permit, d)
		default:
			d.Permit, d.Reason = true, Permitted
			f.permit = better(f.permit, d)
			f.obligations = c.obligations(f.obligations, by)
		}
	}
	return f
}

// better keeps the more telling of two findings of one stage, and breaks a tie
// by consent id.
func better(a, b Decision) Decision {
	if a.Reason == "" {
		return b
	}
	order := [...]Reason{NotYet, Expired, NotRepresented, Superseded, Ended, Permitted}
	i, j := slices.Index(order[:], a.Reason), slices.Index(order[:], b.Reason)
	if j > i || i == j && b.Consent < a.Consent {
		return b
	}
	return a
}

// obliged adds what the purpose itself obliges to, and sorts.
func obliged(list []Obligation, a *asking) []Obligation {
	if slices.Contains(a.line[:a.deep], Research) {
		list = append(list, Pseudonymise)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// nextChange is the first boundary of any consent after now.
func nextChange(consents []Consent, now time.Time) (next time.Time) {
	for i := range consents {
		consents[i].boundaries(func(t time.Time) {
			if t.After(now) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		})
	}
	return next
}

// check refuses a request that lacks what every one needs.
func (req *Request) check() error {
	switch {
	case req.Purpose == "":
		return fmt.Errorf("purpose: %w", ErrRequest)
	case req.Actor == "":
		return fmt.Errorf("actor: %w", ErrRequest)
	case !text(string(req.Purpose), req.Actor, req.Role, req.Recipient, req.Justification, req.Job):
		return ErrLimit
	}
	return req.Gate.check()
}
