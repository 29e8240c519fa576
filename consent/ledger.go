package consent

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/keyring"
)

// Ledger is the append-only record of what patients allowed, refused and
// withdrew. Events are sealed, name their patient by a keyed reference only,
// and are chained by MAC, so that whoever holds the database but not the keys
// reads nothing, forges nothing, and cannot drop an event that this process has
// seen. An end of the chain that was cut off while no process was running is
// noticed against the audit log ([NewRecords] compares), and if both were
// cut, only against a [Log.Checkpoint] that left the house.
//
// It is written through [Config.Give], [Config.Withdraw] and what withdraws for
// them ([Config.WithdrawAll], [Config.EndRepresentation], [Config.Retain]). A
// Ledger is safe for concurrent use, and processes may share its database.
type Ledger struct {
	ring  *keyring.Ring
	chain func() *evidence.Chain // a closure, so that what prints the ledger does not walk into it

	replayed func() *replays // likewise
}

// The kinds of an event.
const (
	eventGiven         = "given"         // a consent or refusal; it ends the one that it supersedes
	eventWithdrawn     = "withdrawn"     // one of them, or where no id is named every permit
	eventUnrepresented = "unrepresented" // every permit that a representative gave
)

// eventBody is an event as it is sealed.
type eventBody struct {
	Kind    string   `cbor:"1,keyasint"`
	ID      string   `cbor:"2,keyasint,omitempty"` // of the consent; of the representative
	At      instant  `cbor:"3,keyasint"`           // when it was recorded
	Consent *granted `cbor:"4,keyasint,omitempty"`
}

// granted is a consent as its event carries it.
type granted struct {
	Base       ruleBody         `cbor:"1,keyasint"`
	Except     []ruleBody       `cbor:"2,keyasint,omitempty"`
	Hold       bool             `cbor:"3,keyasint,omitempty"`
	GivenBy    *representedBody `cbor:"4,keyasint,omitempty"`
	Supersedes string           `cbor:"5,keyasint,omitempty"`
}

type representedBody struct {
	ID       string   `cbor:"1,keyasint"`
	Relation string   `cbor:"2,keyasint,omitempty"`
	Until    *instant `cbor:"3,keyasint,omitempty"`
}

type ruleBody struct {
	Purposes        []Purpose       `cbor:"1,keyasint,omitempty"`
	Refused         bool            `cbor:"2,keyasint,omitempty"`
	Actors          []string        `cbor:"3,keyasint,omitempty"`
	Roles           []string        `cbor:"4,keyasint,omitempty"`
	Confidentiality Confidentiality `cbor:"5,keyasint,omitempty"`
	Sensitivity     []Label         `cbor:"6,keyasint,omitempty"`
	Obligations     []Obligation    `cbor:"7,keyasint,omitempty"`
	From            *instant        `cbor:"8,keyasint,omitempty"` // absent: unbounded
	Until           *instant        `cbor:"9,keyasint,omitempty"`
	Actions         []Action        `cbor:"10,keyasint,omitempty"`
	Types           []string        `cbor:"11,keyasint,omitempty"` // of the data, as those that follow
	Records         []string        `cbor:"12,keyasint,omitempty"`
	Authors         []string        `cbor:"13,keyasint,omitempty"`
	Related         []string        `cbor:"14,keyasint,omitempty"`
	DataFrom        *instant        `cbor:"15,keyasint,omitempty"`
	DataUntil       *instant        `cbor:"16,keyasint,omitempty"`
}

func newRuleBody(r Rule) ruleBody {
	return ruleBody{
		Purposes: r.Purposes, Refused: r.Refused, Actors: r.Actors, Roles: r.Roles, Confidentiality: r.Confidentiality,
		Sensitivity: r.Sensitivity, Obligations: r.Obligations, From: bound(r.From), Until: bound(r.Until), Actions: r.Actions,
		Types: r.Data.Types, Records: r.Data.Records, Authors: r.Data.Authors, Related: r.Data.Related,
		DataFrom: bound(r.Data.From), DataUntil: bound(r.Data.Until),
	}
}

func (b *ruleBody) rule() Rule {
	return Rule{
		Refused: b.Refused, Purposes: b.Purposes, Actions: b.Actions, Actors: b.Actors, Roles: b.Roles, Confidentiality: b.Confidentiality,
		Sensitivity: b.Sensitivity, Obligations: b.Obligations, From: b.From.time(), Until: b.Until.time(),
		Data: Selection{Types: b.Types, Records: b.Records, Authors: b.Authors, Related: b.Related, From: b.DataFrom.time(), Until: b.DataUntil.time()},
	}
}

// OpenLedger opens the ledger of ring in db, a SQLite or PostgreSQL database
// whose tables it makes where they are missing; with a nil db the ledger lives in
// memory and dies with the process. The whole chain is verified first:
// [ErrTampered] where a link does not hold, where an older copy was put in its
// place, or where a trigger, a view or the like was planted among the tables. A
// ring has one ledger, and the keyset "consent/ledger".
func OpenLedger(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Ledger, error) {
	return openLedger(ctx, ring, func() (*evidence.Chain, error) { return evidence.OpenChain(ctx, ring, db) })
}

// OpenLedgerDir is [OpenLedger] over files in the folder at dir, for who has no
// SQL database: a device, a command. The folder is made if it is not there; its
// parent must be. It may be that of [OpenLogDir], and what is said there holds
// here.
func OpenLedgerDir(ctx context.Context, ring *keyring.Ring, dir string) (*Ledger, error) {
	return openLedger(ctx, ring, func() (*evidence.Chain, error) { return evidence.OpenChainDir(ctx, ring, dir) })
}

func openLedger(ctx context.Context, ring *keyring.Ring, open func() (*evidence.Chain, error)) (*Ledger, error) {
	if ring == nil {
		return nil, fmt.Errorf("consent: open ledger: %w", ErrConfig)
	}
	if _, err := ring.Keyset(ctx, evidence.ChainKeyset); err != nil {
		return nil, fmt.Errorf("consent: open ledger: %w", err)
	}
	c, err := open()
	if err != nil {
		return nil, fmt.Errorf("consent: open ledger: %w", err)
	}
	return newLedger(ring, c), nil
}

func newLedger(ring *keyring.Ring, c *evidence.Chain) *Ledger {
	m := &replays{}
	return &Ledger{ring: ring, chain: func() *evidence.Chain { return c }, replayed: func() *replays { return m }}
}

// Of returns the patient's consents and refusals in the order given, the
// withdrawn ones with their time, those that other processes wrote too. Errors:
// [ErrSubject], [ErrTampered], keyring.ErrShredded for an erased patient, of
// whom the events remain.
func (l *Ledger) Of(ctx context.Context, subject string) ([]Consent, error) {
	bodies, err := l.bodies(ctx, subject) // not what of keeps: this is the caller's to change
	var all []Consent
	if err == nil {
		all, err = replay(bodies, subject, time.Time{})
	}
	if _, gone := l.ring.Subject(ctx, cmp.Or(subject, "-"), auditCompartment); err == nil && errors.Is(gone, keyring.ErrShredded) {
		err = gone
	}
	if err != nil {
		return nil, fmt.Errorf("consent: read ledger: %w", err)
	}
	return all, nil
}

// At returns what [Ledger.Of] would have returned at the time known: to answer
// for an old decision ask [Policy.Explain] for its time with what was known at
// that time, which what was recorded later does not change.
func (l *Ledger) At(ctx context.Context, subject string, known time.Time) ([]Consent, error) {
	bodies, err := l.bodies(ctx, subject)
	var all []Consent
	if err == nil {
		all, err = replay(bodies, subject, known)
	}
	if err != nil {
		return nil, fmt.Errorf("consent: read ledger: %w", err)
	}
	return all, nil
}

// of is Of with the consents that are kept, which must not be changed. An event
// that any process has recorded since is in them, as in those of Of.
func (l *Ledger) of(ctx context.Context, subject string) ([]Consent, error) {
	if subject == "" {
		return nil, ErrSubject
	}
	kept, mark := l.replayed().get(subject)
	bodies, now, err := l.chain().Since(ctx, subject, mark)
	if err != nil {
		return nil, err
	}
	if now == mark {
		return kept, nil
	}
	all, err := replay(bodies, subject, time.Time{})
	if err != nil {
		return nil, err
	}
	l.replayed().put(subject, all, now)
	return all, nil
}

func (l *Ledger) bodies(ctx context.Context, subject string) ([][]byte, error) {
	if subject == "" {
		return nil, ErrSubject
	}
	return l.chain().Of(ctx, subject)
}

// give appends a consent that check has passed.
func (l *Ledger) give(ctx context.Context, c Consent, at time.Time) error {
	return l.append(ctx, c.Subject, eventBody{Kind: eventGiven, ID: c.ID, At: instantOf(at), Consent: newGranted(c)}, func(all []Consent) error {
		switch {
		case indexOf(all, c.ID) >= 0:
			return ErrExists
		case c.Supersedes != "" && indexOf(all, c.Supersedes) < 0:
			return fmt.Errorf("superseded: %w", ErrNoConsent)
		}
		return nil
	})
}

func newGranted(c Consent) *granted {
	base := c.base()
	base.From, base.Until = c.From, c.Until
	g := &granted{Base: newRuleBody(base), Hold: c.Hold, Supersedes: c.Supersedes}
	for _, r := range c.Except {
		g.Except = append(g.Except, newRuleBody(r))
	}
	if by := c.GivenBy; by != nil {
		g.GivenBy = &representedBody{by.ID, by.Relation, bound(by.Until)}
	}
	return g
}

// consent is the consent that g carries.
func (g *granted) consent(id, subject string) Consent {
	base := g.Base.rule()
	c := Consent{
		ID: id, Subject: subject, Purposes: base.Purposes, Refused: base.Refused, Actions: base.Actions, Actors: base.Actors, Roles: base.Roles,
		Data: base.Data, Confidentiality: base.Confidentiality, Sensitivity: base.Sensitivity, Obligations: base.Obligations,
		From: base.From, Until: base.Until, Hold: g.Hold, Supersedes: g.Supersedes,
	}
	for i := range g.Except {
		c.Except = append(c.Except, g.Except[i].rule())
	}
	if by := g.GivenBy; by != nil {
		c.GivenBy = &Representative{by.ID, by.Relation, by.Until.time()}
	}
	return c
}

var errAgain = errors.New("already withdrawn")

// withdraw ends a consent, or with no id every permit. Ending what has ended is
// no error and adds no event.
func (l *Ledger) withdraw(ctx context.Context, subject, id string, at time.Time) error {
	return l.end(ctx, subject, eventBody{Kind: eventWithdrawn, ID: id, At: instantOf(at)}, func(all []Consent) error {
		if id != "" && indexOf(all, id) < 0 {
			return ErrNoConsent
		}
		return nil
	})
}

// unrepresent ends the permits that a representative gave.
func (l *Ledger) unrepresent(ctx context.Context, subject, representative string, at time.Time) error {
	return l.end(ctx, subject, eventBody{Kind: eventUnrepresented, ID: representative, At: instantOf(at)}, func(all []Consent) error {
		if !slices.ContainsFunc(all, func(c Consent) bool { return c.GivenBy != nil && c.GivenBy.ID == representative }) {
			return ErrNoConsent
		}
		return nil
	})
}

// end appends an event that ends something, unless there is nothing to end.
func (l *Ledger) end(ctx context.Context, subject string, b eventBody, check func([]Consent) error) error {
	if subject == "" {
		return ErrSubject
	}
	err := l.append(ctx, subject, b, func(all []Consent) error {
		if err := check(all); err != nil {
			return err
		}
		for i := range all {
			if b.ends(&all[i]) {
				return nil
			}
		}
		return errAgain
	})
	if errors.Is(err, errAgain) {
		return nil
	}
	return err
}

// append adds an event if check agrees to what the patient's events say so far.
func (l *Ledger) append(ctx context.Context, subject string, b eventBody, check func([]Consent) error) error {
	body, err := encodeReadable(b)
	if err != nil {
		return err
	}
	return l.chain().Append(ctx, subject, body, func(bodies [][]byte) error {
		all, err := replay(bodies, subject, time.Time{})
		if err != nil {
			return err
		}
		return check(all)
	})
}

// replay builds a patient's consents from the events, of those recorded until
// known; a zero time is all.
func replay(bodies [][]byte, subject string, known time.Time) ([]Consent, error) {
	var all []Consent
	for _, body := range bodies {
		var b eventBody
		if err := decode(body, &b); err != nil || !b.sound() {
			return nil, ErrTampered
		}
		if known.IsZero() || !b.At.time().After(known) {
			all = b.apply(all, subject)
		}
	}
	return all, nil
}

func (b *eventBody) sound() bool {
	switch b.Kind {
	case eventGiven:
		return b.Consent != nil && b.ID != ""
	case eventWithdrawn:
		return b.Consent == nil
	case eventUnrepresented:
		return b.Consent == nil && b.ID != ""
	}
	return false
}

func indexOf(all []Consent, id string) int {
	return slices.IndexFunc(all, func(c Consent) bool { return c.ID == id })
}

// apply adds the event to the consents built from the ones before it.
func (b *eventBody) apply(all []Consent, subject string) []Consent {
	for i := range all {
		if c := &all[i]; b.ends(c) {
			c.Withdrawn, c.Because = b.At.time(), b.because()
		}
	}
	if b.Consent == nil {
		return all
	}
	return append(all, b.Consent.consent(b.ID, subject))
}

// ends reports whether b ends c, which has not ended yet. What ends many ends
// permits alone: a refusal ends when it is named.
func (b *eventBody) ends(c *Consent) bool {
	switch {
	case !c.Withdrawn.IsZero():
		return false
	case b.Kind == eventGiven:
		return b.Consent.Supersedes == c.ID && c.ID != ""
	case b.Kind == eventUnrepresented:
		return !c.Refused && c.GivenBy != nil && c.GivenBy.ID == b.ID
	}
	return b.ID == c.ID || b.ID == "" && !c.Refused
}

func (b *eventBody) because() Reason {
	switch b.Kind {
	case eventGiven:
		return Superseded
	case eventUnrepresented:
		return NotRepresented
	}
	return Ended
}

// same reports whether c says what d says.
func (c Consent) same(d Consent) bool { return reflect.DeepEqual(newGranted(c), newGranted(d)) }
