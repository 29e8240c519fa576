package consent

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rahasia/rahasia/envelope"
)

// Consent is what a patient allowed or refused, as [Config.Give] keeps it.
// Attributes are ANDed, the values inside one are ORed, and an empty one does
// not constrain, but for Purposes, which must not be empty.
//
// Except are exceptions, in order: the last one that meets a request decides,
// and the consent itself where none does. That is the residual list of IHE's
// Privacy Consent on FHIR.
type Consent struct {
	ID      string // assigned by Give when empty; unique among the patient's
	Subject string // whose consent; the id that records carry as `phi:"subject"`

	Purposes []Purpose // and everything below them, but for the purposes that must be named (docs/RATIONALE.md)
	Refused  bool      // a refusal: it overrides every permit it meets
	Actors   []string  // who may act; empty: anyone the service lets in
	Roles    []string  // in which role; empty: any
	Actions  []Action  // to do what; empty: anything
	Data     Selection // with which data; empty: all

	// Confidentiality is a high-water mark. A permit reaches data of this
	// level or lower, a refusal data of this level or higher. Empty is Normal
	// for a permit and every level for a refusal.
	Confidentiality Confidentiality

	// Sensitivity are the labels that a permit reaches: labelled data needs
	// each of its labels, or an ancestor, here, or [AnyLabel]. A refusal with labels meets
	// data that carries one of them; without labels it meets all data.
	Sensitivity []Label

	Obligations []Obligation // what the one who acts must discharge
	From, Until time.Time    // valid in [From, Until); zero is unbounded

	Except []Rule

	// Hold makes a refusal a prohibition: of the controller who was asked to
	// suspend processing (UU PDP 27/2022, article 41), or of a court. Nothing
	// overrides it, an emergency neither.
	Hold bool

	GivenBy    *Representative // who gave it in the patient's place; nil: the patient
	Supersedes string          // id of an earlier consent, which ends when this one is given
	Recorder   string          // who recorded it: an id for the audit log; not kept in the ledger

	// Set by the ledger only: when it ended, and whether that was a withdrawal
	// ([Ended]), a consent in its place ([Superseded]) or the end of a
	// representation ([NotRepresented]).
	Withdrawn time.Time
	Because   Reason
}

// Representative is who speaks for a patient: a parent, a guardian, the holder
// of a power of attorney. When the authority ends, what it permitted ends too,
// and what it refused stands; see [Config.EndRepresentation].
type Representative struct {
	ID       string
	Relation string    // such as a code of HL7 v3 RoleCode: MTH, GUARD, POWATT
	Until    time.Time // when the authority ends, such as at full age; zero: not stated
}

// live returns why c is not in force at now, or "".
func (c *Consent) live(now time.Time) Reason {
	switch by := c.GivenBy; {
	case !c.Withdrawn.IsZero() && !now.Before(c.Withdrawn):
		return cmp.Or(c.Because, Ended)
	case !c.From.IsZero() && now.Before(c.From):
		return NotYet
	case !c.Until.IsZero() && !now.Before(c.Until):
		return Expired
	case by != nil && !c.Refused && !by.Until.IsZero() && !now.Before(by.Until):
		return NotRepresented
	}
	return ""
}

// effect is what one consent, or one rule, says to a request.
type effect uint8

const (
	silent effect = iota
	permits
	refuses
)

func (r *Rule) effect() effect {
	if r.Refused {
		return refuses
	}
	return permits
}

// says returns what c says to a request, and which rule decided: -1 for the
// consent itself, or the place of the exception. It does not ask whether c is
// in force.
func (c *Consent) says(a *asking) (e effect, by int) {
	for i := len(c.Except) - 1; i >= 0; i-- {
		r := c.Except[i].under(c)
		if r.gap(a) == none {
			return r.effect(), i
		}
	}
	base := c.base()
	if base.gap(a) == none {
		return base.effect(), -1
	}
	return silent, -1
}

// obligations appends what the rule at by obliges to, and the consent.
func (c *Consent) obligations(list []Obligation, by int) []Obligation {
	list = append(list, c.Obligations...)
	if by >= 0 {
		list = append(list, c.Except[by].Obligations...)
	}
	return list
}

// boundaries calls yield with each time at which what c says may change.
func (c *Consent) boundaries(yield func(time.Time)) {
	yield(c.From)
	yield(c.Until)
	yield(c.Withdrawn)
	if c.GivenBy != nil {
		yield(c.GivenBy.Until)
	}
	for i := range c.Except {
		yield(c.Except[i].From)
		yield(c.Except[i].Until)
	}
}

// check refuses a consent that no decision could use, and gives it an id.
func (c *Consent) check() error {
	base := c.base()
	base.From, base.Until = c.From, c.Until
	if err := checkIDs(c.Subject, ""); err != nil {
		return err
	}
	if len(c.Purposes) == 0 {
		return fmt.Errorf("purposes: %w", ErrCode)
	}
	if err := base.check(); err != nil {
		return err
	}
	for i := range c.Except {
		if err := c.Except[i].check(); err != nil {
			return fmt.Errorf("exception %d: %w", i+1, err)
		}
	}
	switch {
	case !c.Withdrawn.IsZero() || c.Because != "":
		return ErrPeriod
	case c.Hold && (!c.Refused || len(c.Except) > 0):
		return fmt.Errorf("hold: a prohibition refuses, without exceptions: %w", ErrCode)
	case !text(c.ID, c.Supersedes, c.Recorder), len(c.Except) > maxList:
		return ErrLimit
	}
	if err := c.GivenBy.check(); err != nil {
		return err
	}
	if c.ID == "" {
		c.ID = envelope.NewID()
	}
	return nil
}

// check refuses a representative whom nobody could name again; nil is the patient.
func (r *Representative) check() error {
	switch {
	case r == nil:
		return nil
	case r.ID == "":
		return fmt.Errorf("representative: %w", ErrSubject)
	case !text(r.ID, r.Relation):
		return ErrLimit
	}
	return nil
}

// check refuses a rule that names what is not known, and one that nothing could meet.
func (r *Rule) check() error {
	switch {
	case slices.ContainsFunc(r.Purposes, func(p Purpose) bool { return !p.known() }):
		return fmt.Errorf("purposes: %w", ErrCode)
	case slices.ContainsFunc(r.Actions, func(a Action) bool { return !a.known() }):
		return fmt.Errorf("actions: %w", ErrCode)
	case r.Confidentiality.rank() == 0:
		return fmt.Errorf("confidentiality: %w", ErrCode)
	case slices.ContainsFunc(r.Sensitivity, func(s Label) bool { return s != AnyLabel && !s.known() }):
		return fmt.Errorf("sensitivity: %w", ErrCode)
	case slices.ContainsFunc(r.Obligations, func(o Obligation) bool { return !o.known() }):
		return fmt.Errorf("obligations: %w", ErrCode)
	case !ordered(r.From, r.Until), !ordered(r.Data.From, r.Data.Until):
		return ErrPeriod
	case !text(r.Actors...), !text(r.Roles...), !text(r.Data.Types...), !text(r.Data.Records...), !text(r.Data.Authors...), !text(r.Data.Related...):
		return ErrLimit
	case max(len(r.Purposes), len(r.Actions), len(r.Sensitivity), len(r.Obligations), len(r.Actors), len(r.Roles)) > maxList,
		max(len(r.Data.Types), len(r.Data.Records), len(r.Data.Authors), len(r.Data.Related)) > maxList:
		return ErrLimit
	}
	return nil
}

// ordered reports whether [from, until) can hold a time.
func ordered(from, until time.Time) bool {
	return from.IsZero() || until.IsZero() || from.Before(until)
}
