package consent

import (
	"slices"
	"time"

	"github.com/rahasia/rahasia/pseudo"
)

// Consent is what a patient allowed or refused, as [Config.Give] keeps it.
// Attributes are ANDed, the values inside one are ORed, and an empty one does
// not constrain, but for Purposes, which must not be empty.
type Consent struct {
	ID      string // assigned by Give when empty; unique among the patient's
	Subject string // whose consent; the id that records carry as `phi:"subject"`

	Purposes []Purpose // and everything below them, but for the purposes that must be named (docs/RATIONALE.md)
	Refused  bool      // a refusal: it overrides every permit it meets
	Actors   []string  // who may act; empty: anyone the service lets in
	Roles    []string  // in which role; empty: any

	// Confidentiality is a high-water mark. A permit reaches data of this
	// level or lower, a refusal data of this level or higher. Empty is Normal
	// for a permit and every level for a refusal.
	Confidentiality Confidentiality

	// Sensitivity are the labels that a permit reaches: labelled data needs
	// each of its labels, or an ancestor, here. A refusal with labels meets
	// data that carries one of them; without labels it meets all data.
	Sensitivity []Label

	Obligations []Obligation // what the one who acts must discharge
	From, Until time.Time    // valid in [From, Until); zero is unbounded

	Withdrawn time.Time // when it was withdrawn; set by the ledger only
}

// Request says who wants to act and for which one purpose.
type Request struct {
	Purpose Purpose // exactly one
	Actor   string  // who; an id, it is written into the audit log
	Role    string  // in which role; must be one of Config.Roles where those are set

	// FoundBy is the lookup token by which the row was found. Open derives it
	// again from the record and refuses a row that someone filed under
	// another's token. Zero: the row was not found by a token.
	FoundBy pseudo.Token

	Recipient string // Export: for whom the table is made; see Config.AddRecipient
}

// Data are the labels of what a request wants to see.
type Data struct {
	Confidentiality Confidentiality // empty is Normal
	Sensitivity     []Label
}

// Reason says why something was not opened. What a caller is told depends on
// the request, the type and the patient's consents; where a label that only the
// record carries decided, it is always [NoConsent], so that the label is not
// given away. The audit log has the true one.
type Reason string

// Reasons of a [Decision] and of what is [Withheld].
const (
	Permitted     Reason = "permitted by the patient's consent"
	NoConsent     Reason = "no live consent covers this purpose and data"
	Refused       Reason = "the patient refused this"
	NotYet        Reason = "the consent is not valid yet"
	Expired       Reason = "the consent has expired"
	Ended         Reason = "the consent was withdrawn"
	Unknown       Reason = "the purpose or a label is not a known code"
	RoleForbids   Reason = "the role may not open this compartment"
	KeyNotGranted Reason = "this service holds no key for this compartment"
	ExportOnly    Reason = "this purpose sees pseudonyms only: use Export"
	CannotFulfil  Reason = "the consent obliges to something that is not done here"
	Erased        Reason = "the patient was erased"
	NotAuthentic  Reason = "the row does not open as the record that was asked for"
	NotFoundBy    Reason = "the record is not the one that the token names"
	Unreadable    Reason = "the record cannot be read"
	MaySearch     Reason = "the role may search this field"
	NoRole        Reason = "the request names no role, or one that is not configured"
	NotGeneral    Reason = "the value cannot be generalised"
)

// Decision is the answer of [Decide].
type Decision struct {
	Permit      bool
	Reason      Reason
	Consent     string       // id of the consent that decided; empty where none did
	Obligations []Obligation // what a permit obliges to, sorted
	Until       time.Time    // the answer may change from here on; zero: not by the time of a consent in force
}

// Decide is the decision, a pure function: the same consents of one patient,
// request, labels and time give the same answer, in whatever order the consents
// come. It is staged, and a later stage is asked only where the earlier ones
// are silent:
//
//  1. an unknown purpose or label is a refusal;
//  2. a live refusal of the patient's that meets the request is a refusal;
//  3. a live permit that covers purpose, actor, role, time and every label is a permit;
//  4. everything else is a refusal.
//
// Research purposes carry [Pseudonymise] whether the consent says so or not.
// Decide says nothing about roles and keys; [Records] asks those besides.
func Decide(consents []Consent, req Request, data Data, now time.Time) Decision {
	if !req.Purpose.known() || !data.known() {
		return Decision{Reason: Unknown}
	}
	if d := refusal(consents, req, data, now); d.Reason == Refused {
		return d
	}
	return permission(consents, req, data, now)
}

func (d *Data) known() bool {
	return d.Confidentiality.rank() > 0 && !slices.ContainsFunc(d.Sensitivity, func(l Label) bool { return !l.known() })
}

// refusal is stage 2.
func refusal(consents []Consent, req Request, data Data, now time.Time) (d Decision) {
	for i := range consents {
		if c := &consents[i]; c.Refused && c.meets(req, data) && c.live(now) == "" {
			d = better(d, Decision{Reason: Refused, Consent: c.ID})
		}
	}
	return d
}

// permission is stages 3 and 4. Where several permits cover, the obligations of
// all of them hold, so that a second consent never loosens the first.
func permission(consents []Consent, req Request, data Data, now time.Time) Decision {
	d := Decision{Reason: NoConsent}
	var obligations []Obligation
	for i := range consents {
		c := &consents[i]
		if c.Refused || !c.reaches(req, data) {
			continue
		}
		if why := c.live(now); why != "" {
			d = better(d, Decision{Reason: why, Consent: c.ID})
			continue
		}
		d = better(d, Decision{Permit: true, Reason: Permitted, Consent: c.ID})
		obligations = append(obligations, c.Obligations...)
	}
	if !d.Permit {
		return d
	}
	if Research.covers(req.Purpose, true) {
		obligations = append(obligations, Pseudonymise)
	}
	slices.Sort(obligations)
	d.Obligations = slices.Compact(obligations)
	d.Until = nextChange(consents, now)
	return d
}

// better keeps the more telling of two findings of one stage, and breaks a tie
// by consent id, so that order does not matter.
func better(a, b Decision) Decision {
	order := []Reason{NoConsent, NotYet, Expired, Ended, Refused, Permitted}
	switch i, j := slices.Index(order, a.Reason), slices.Index(order, b.Reason); {
	case j > i, i == j && b.Consent < a.Consent:
		return b
	}
	return a
}

// live returns why c is not in force at now, or "".
func (c *Consent) live(now time.Time) Reason {
	switch {
	case !c.Withdrawn.IsZero() && !now.Before(c.Withdrawn):
		return Ended
	case !c.From.IsZero() && now.Before(c.From):
		return NotYet
	case !c.Until.IsZero() && !now.Before(c.Until):
		return Expired
	}
	return ""
}

func (c *Consent) addresses(req Request) bool {
	return slices.ContainsFunc(c.Purposes, func(p Purpose) bool { return p.covers(req.Purpose, !c.Refused) }) &&
		(len(c.Actors) == 0 || slices.Contains(c.Actors, req.Actor)) &&
		(len(c.Roles) == 0 || slices.Contains(c.Roles, req.Role))
}

// reaches reports whether the permit c covers data asked for by req.
func (c *Consent) reaches(req Request, data Data) bool {
	if !c.addresses(req) || data.Confidentiality.rank() > c.Confidentiality.rank() {
		return false
	}
	for _, l := range data.Sensitivity {
		if !slices.ContainsFunc(c.Sensitivity, func(own Label) bool { return own.covers(l) }) {
			return false
		}
	}
	return true
}

// meets reports whether the refusal c speaks of data asked for by req.
func (c *Consent) meets(req Request, data Data) bool {
	if !c.addresses(req) || c.Confidentiality != "" && data.Confidentiality.rank() < c.Confidentiality.rank() {
		return false
	}
	return len(c.Sensitivity) == 0 || slices.ContainsFunc(data.Sensitivity, func(l Label) bool {
		return slices.ContainsFunc(c.Sensitivity, func(own Label) bool { return own.covers(l) })
	})
}

// nextChange is the first boundary of any consent after now.
func nextChange(consents []Consent, now time.Time) time.Time {
	var next time.Time
	for i := range consents {
		for _, t := range []time.Time{consents[i].From, consents[i].Until, consents[i].Withdrawn} {
			if t.After(now) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}
