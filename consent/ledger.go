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
	"github.com/rahasia/rahasia/envelope"
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
// It is written through [Config.Give] and [Config.Withdraw]. A Ledger is safe
// for concurrent use.
type Ledger struct {
	ring  *keyring.Ring
	chain func() *evidence.Chain // a closure, so that what prints the ledger does not walk into it
}

type eventBody struct {
	Kind    string   `cbor:"1,keyasint"` // "given" or "withdrawn"
	ID      string   `cbor:"2,keyasint"` // of the consent
	At      instant  `cbor:"3,keyasint"`
	Consent *granted `cbor:"4,keyasint,omitempty"`
}

type granted struct {
	Purposes        []Purpose       `cbor:"1,keyasint"`
	Refused         bool            `cbor:"2,keyasint,omitempty"`
	Actors          []string        `cbor:"3,keyasint,omitempty"`
	Roles           []string        `cbor:"4,keyasint,omitempty"`
	Confidentiality Confidentiality `cbor:"5,keyasint,omitempty"`
	Sensitivity     []Label         `cbor:"6,keyasint,omitempty"`
	Obligations     []Obligation    `cbor:"7,keyasint,omitempty"`
	From            *instant        `cbor:"8,keyasint,omitempty"` // absent: unbounded
	Until           *instant        `cbor:"9,keyasint,omitempty"`
}

// OpenLedger opens the ledger of ring in db, a SQLite database whose tables it
// makes where they are missing; with a nil db the ledger lives in memory and
// dies with the process. The whole chain is verified first: [ErrTampered] where
// a link does not hold, or where an older copy was put in its place. A ring has
// one ledger, and the keyset "consent/ledger".
func OpenLedger(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Ledger, error) {
	if ring == nil {
		return nil, fmt.Errorf("consent: open ledger: %w", ErrConfig)
	}
	if _, err := ring.Keyset(ctx, evidence.ChainKeyset); err != nil {
		return nil, fmt.Errorf("consent: open ledger: %w", err)
	}
	c, err := evidence.OpenChain(ctx, ring, db)
	if err != nil {
		return nil, fmt.Errorf("consent: open ledger: %w", err)
	}
	return &Ledger{ring, func() *evidence.Chain { return c }}, nil
}

// Of returns the patient's consents and refusals in the order given, the
// withdrawn ones with their time, those that other processes wrote too. Errors:
// [ErrSubject], [ErrTampered], keyring.ErrShredded for an erased patient, of
// whom the events remain.
func (l *Ledger) Of(ctx context.Context, subject string) ([]Consent, error) {
	all, err := l.of(ctx, subject)
	if _, gone := l.ring.Subject(ctx, cmp.Or(subject, "-"), auditCompartment); err == nil && errors.Is(gone, keyring.ErrShredded) {
		err = gone
	}
	if err != nil {
		return nil, fmt.Errorf("consent: read ledger: %w", err)
	}
	return all, nil
}

func (l *Ledger) of(ctx context.Context, subject string) ([]Consent, error) {
	if subject == "" {
		return nil, ErrSubject
	}
	bodies, err := l.chain().Of(ctx, subject)
	if err != nil {
		return nil, err
	}
	return replay(bodies, subject)
}

// give appends a consent that check has passed.
func (l *Ledger) give(ctx context.Context, c Consent, at time.Time) error {
	return l.append(ctx, c.Subject, eventBody{Kind: "given", ID: c.ID, At: instantOf(at), Consent: newGranted(c)}, func(all []Consent) error {
		if indexOf(all, c.ID) >= 0 {
			return ErrExists
		}
		return nil
	})
}

func newGranted(c Consent) *granted {
	return &granted{
		Purposes: c.Purposes, Refused: c.Refused, Actors: c.Actors, Roles: c.Roles,
		Confidentiality: c.Confidentiality, Sensitivity: c.Sensitivity, Obligations: c.Obligations,
		From: bound(c.From), Until: bound(c.Until),
	}
}

var errAgain = errors.New("already withdrawn")

// withdraw ends a consent. Ending one twice is no error and adds no event.
func (l *Ledger) withdraw(ctx context.Context, subject, id string, at time.Time) error {
	if subject == "" {
		return ErrSubject
	}
	err := l.append(ctx, subject, eventBody{Kind: "withdrawn", ID: id, At: instantOf(at)}, func(all []Consent) error {
		switch i := indexOf(all, id); {
		case i < 0:
			return ErrNoConsent
		case !all[i].Withdrawn.IsZero():
			return errAgain
		}
		return nil
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
		all, err := replay(bodies, subject)
		if err != nil {
			return err
		}
		return check(all)
	})
}

// replay builds a patient's consents from the events.
func replay(bodies [][]byte, subject string) ([]Consent, error) {
	var all []Consent
	for _, body := range bodies {
		var b eventBody
		if err := decode(body, &b); err != nil || (b.Kind == "given") != (b.Consent != nil) || b.Kind != "given" && b.Kind != "withdrawn" {
			return nil, ErrTampered
		}
		all = b.apply(all, subject)
	}
	return all, nil
}

func indexOf(all []Consent, id string) int {
	return slices.IndexFunc(all, func(c Consent) bool { return c.ID == id })
}

// apply adds the event to the consents built from the ones before it.
func (b *eventBody) apply(all []Consent, subject string) []Consent {
	if b.Kind == "withdrawn" {
		if i := indexOf(all, b.ID); i >= 0 {
			all[i].Withdrawn = b.At.time()
		}
		return all
	}
	g := b.Consent
	return append(all, Consent{
		ID: b.ID, Subject: subject, Purposes: g.Purposes, Refused: g.Refused, Actors: g.Actors, Roles: g.Roles,
		Confidentiality: g.Confidentiality, Sensitivity: g.Sensitivity, Obligations: g.Obligations,
		From: g.From.time(), Until: g.Until.time(),
	})
}

// instant is a time to the nanosecond, of any year.
type instant struct {
	_     struct{} `cbor:",toarray"`
	Sec   int64    // since 1970
	Nanos int64
}

func instantOf(t time.Time) instant {
	return instant{Sec: t.Unix(), Nanos: int64(t.Nanosecond())}
}

// bound is the instant of one end of a period; none for a zero time.
func bound(t time.Time) *instant {
	if t.IsZero() {
		return nil
	}
	i := instantOf(t)
	return &i
}

func (i *instant) time() time.Time {
	if i == nil {
		return time.Time{}
	}
	return time.Unix(i.Sec, i.Nanos)
}

// same reports whether c says what d says.
func (c Consent) same(d Consent) bool {
	c.Withdrawn = time.Time{}
	return reflect.DeepEqual(newGranted(c), newGranted(d))
}

// check refuses a consent that no decision could use, and gives it an id.
func (c *Consent) check() error {
	switch {
	case c.Subject == "":
		return ErrSubject
	case len(c.Purposes) == 0 || slices.ContainsFunc(c.Purposes, func(p Purpose) bool { return !p.known() }):
		return fmt.Errorf("purposes: %w", ErrCode)
	case c.Confidentiality.rank() == 0:
		return fmt.Errorf("confidentiality: %w", ErrCode)
	case slices.ContainsFunc(c.Sensitivity, func(s Label) bool { return !s.known() }):
		return fmt.Errorf("sensitivity: %w", ErrCode)
	case slices.ContainsFunc(c.Obligations, func(o Obligation) bool { return !o.known() }):
		return fmt.Errorf("obligations: %w", ErrCode)
	case !c.Withdrawn.IsZero(), !c.From.IsZero() && !c.Until.IsZero() && !c.From.Before(c.Until):
		return ErrPeriod
	case !text(c.ID), !text(c.Actors...), !text(c.Roles...):
		return ErrLimit
	case max(len(c.Purposes), len(c.Sensitivity), len(c.Obligations), len(c.Actors), len(c.Roles)) > maxList:
		return ErrLimit
	}
	if c.ID == "" {
		c.ID = envelope.NewID()
	}
	return nil
}
