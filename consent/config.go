package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

// Config is what [Records] work with: keys, consents, audit log and rules.
// [OpenDir] makes the embedded one; a service that keeps its keys in a key
// service and its stores in its own databases fills the fields itself. Ring,
// Ledger and Log are required, and of one ring: [ErrConfig] where one is missing
// or another ring's. Tenants that must not reach each other have a ring each.
// What the zero value of each other field means stands with it. Set the fields
// before [NewRecords], which checks them, and change none after it.
type Config struct {
	Ring   *keyring.Ring
	Ledger *Ledger
	Log    *Log

	// Roles are the compartments that each role may open, such as
	// {"laboratory": {"clinical"}}. With no roles a request names none, and every
	// actor may open all compartments; with some, a request without one of them is
	// refused.
	Roles map[string][]string

	// Policy is what may be done without the patient's consent: on another legal
	// basis, in an emergency. The zero Policy allows nothing.
	Policy Policy

	// Observe opens for some weeks what is denied only because no patient has been
	// asked yet. The zero Observe opens nothing.
	Observe Observe

	// Guard limits how many different patients an actor reaches. The zero Guard
	// has the limits of people: 200 an hour, 1,000 a day.
	Guard Guard

	// Provision lets NewRecords create the keysets that its type needs and
	// the ring lacks. OpenDir sets it. A service that is granted keysets by
	// somebody else leaves it false, and a missing keyset is an error.
	Provision bool

	// Now is the clock of decisions and entries; nil is time.Now.
	Now func() time.Time

	closers []func() error
}

func (c *Config) createKeysets(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := c.Ring.CreateKeyset(ctx, name); err != nil && !errors.Is(err, keyring.ErrExists) {
			return err
		}
	}
	return nil
}

// Close closes what OpenDir opened, in reverse order, and before that tells the
// journal how far ledger and log have come. What the caller opened stays open.
func (c *Config) Close() error {
	var errs []error
	if len(c.closers) > 0 && c.whole() == nil {
		errs = append(errs, c.anchor(context.Background()))
	}
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	c.closers = nil
	return errors.Join(errs...)
}

// AddRecipient makes the domain in which a recipient's exports are
// pseudonymised, the keyset "recipient/" + recipient: nobody can join two
// recipients' tables by pseudonym, and destroying one recipient's keyset ends
// that recipient's pseudonyms alone. It is an explicit step, once for each
// recipient, so that a misspelt name is an error and not a new recipient; a
// name is of letters, digits, '.', '_' and '-'. Rotating the keyset during a
// study gives its patients new pseudonyms. Errors: keyring.ErrName,
// keyring.ErrExists, [ErrConfig].
func (c *Config) AddRecipient(ctx context.Context, recipient string) error {
	err := c.whole()
	if err == nil {
		err = c.Ring.CreateKeyset(ctx, recipientDomain(recipient))
	}
	if err != nil {
		return fmt.Errorf("consent: add recipient: %w", err)
	}
	return nil
}

func recipientDomain(recipient string) string { return "recipient/" + recipient }

// Give records a patient's consent, or refusal where consent.Refused is set, and
// returns its id. It is in force when Give returns. Consents add up: a second
// permit widens the first, and both have to be withdrawn.
//
// A permit has its entry in the audit log before it is in force, a refusal is in
// force before it has; so where Give of a refusal returns an error beside the
// id, the refusal is in force, and to give it again with that id completes
// what failed. A consent that supersedes another ends it in the same event: that
// is how one is renewed or changed without a gap. Errors: [ErrSubject],
// [ErrCode], [ErrPeriod], [ErrExists], [ErrNoConsent] for one that supersedes
// none, [ErrLimit], [ErrAudit], [ErrTampered], [ErrConfig], keyring.ErrShredded for
// an erased patient.
func (c *Config) Give(ctx context.Context, consent Consent) (id string, err error) {
	if err = c.whole(); err == nil {
		err = consent.check()
	}
	if err == nil {
		id, err = consent.ID, c.give(ctx, consent)
	}
	if err != nil {
		if !consent.Refused {
			id = ""
		}
		return id, fmt.Errorf("consent: give: %w", err)
	}
	return id, nil
}

func (c *Config) give(ctx context.Context, consent Consent) error {
	given, err := c.Ledger.of(ctx, consent.Subject)
	if err != nil {
		return err
	}
	i := indexOf(given, consent.ID)
	if i >= 0 && !(consent.Refused && given[i].same(consent)) {
		return ErrExists
	}
	ended := indexOf(given, consent.Supersedes)
	if consent.Supersedes != "" && ended < 0 {
		return fmt.Errorf("superseded: %w", ErrNoConsent)
	}
	entry, err := c.ledgerEntry(ctx, "give", consent.Subject, consent.ID, consent.Purposes[0])
	if err != nil {
		return err
	}
	event := func() error {
		if i >= 0 {
			return nil // in force since a Give that could not finish
		}
		return c.Ledger.give(ctx, consent, c.now())
	}
	entry.Actor = consent.Recorder
	closes := consent.Refused && len(consent.Except) == 0 && (ended < 0 || !given[ended].Refused)
	return c.inOrder(ctx, closes, event, entry)
}

// inOrder does an event of the ledger and writes its entry. What closes
// something is in force first; what opens something is logged first. A crash in
// between errs on the patient's side both times. Every event is anchored, so
// that no older copy undoes it, and so that an anchor does not tell what it was.
func (c *Config) inOrder(ctx context.Context, closes bool, event func() error, entry *logBody) error {
	write := func() error { return c.Log.append(ctx, entry) }
	anchor := func() error { return c.anchor(ctx) }
	steps := []func() error{write, event, anchor}
	if closes {
		steps = []func() error{event, anchor, write}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// anchor tells the journal, which lies apart, how far ledger and log have come.
func (c *Config) anchor(ctx context.Context) error {
	if err := errors.Join(c.Ledger.chain().Anchor(ctx), c.Log.tree().Anchor(ctx)); err != nil {
		return fmt.Errorf("%w: anchor: %w", ErrAudit, err)
	}
	return nil
}

// Withdraw ends a consent, or a refusal, from now on, and the next decision
// knows it; by is who records it, an id for the audit log. It rewrites no
// record. The withdrawal of a permit is in force even where Withdraw returns
// [ErrAudit], because its entry in the audit log could not be written, or an
// error of the journal, which keeps an older copy of the ledger from bringing it
// back; call it again then. To withdraw one purpose of several, give a refusal
// of it. Errors: [ErrNoConsent], [ErrSubject], [ErrConfig], [ErrTampered].
func (c *Config) Withdraw(ctx context.Context, subject, id, by string) error {
	err := c.whole()
	if err == nil && id == "" {
		err = ErrNoConsent
	}
	if err == nil {
		err = c.end(ctx, "withdraw", subject, id, by, func(given []Consent) bool {
			i := indexOf(given, id)
			return i < 0 || !given[i].Refused
		}, c.Ledger.withdraw)
	}
	if err != nil {
		return fmt.Errorf("consent: withdraw: %w", err)
	}
	return nil
}

// WithdrawAll ends every consent that permits something, and leaves what the
// patient refused. What is processed on another legal basis goes on: a [Consent]
// that refuses, or one on Hold, stops it. Otherwise as [Config.Withdraw]; where
// nothing is permitted it does nothing.
func (c *Config) WithdrawAll(ctx context.Context, subject, by string) error {
	err := c.whole()
	if err == nil {
		err = c.end(ctx, "withdraw", subject, "", by, func([]Consent) bool { return true }, c.Ledger.withdraw)
	}
	if err != nil {
		return fmt.Errorf("consent: withdraw all: %w", err)
	}
	return nil
}

// EndRepresentation ends what a representative permitted in the patient's place,
// such as when a child comes of age or a court appoints another guardian; what
// was refused stands until it is withdrawn. Otherwise as [Config.Withdraw], with
// [ErrNoConsent] for somebody who gave none.
func (c *Config) EndRepresentation(ctx context.Context, subject, representative, by string) error {
	err := c.whole()
	if err == nil && representative == "" {
		err = ErrNoConsent
	}
	if err == nil {
		err = c.end(ctx, "unrepresent", subject, representative, by, func([]Consent) bool { return true }, c.Ledger.unrepresent)
	}
	if err != nil {
		return fmt.Errorf("consent: end representation: %w", err)
	}
	return nil
}

// end does an event that ends consents of a patient. closes says, from what was
// given, whether that closes something, which is then in force before its entry.
func (c *Config) end(ctx context.Context, action, subject, id, by string, closes func([]Consent) bool, event func(ctx context.Context, subject, id string, at time.Time) error) error {
	if !text(by) {
		return ErrLimit
	}
	given, err := c.Ledger.of(ctx, subject)
	if err != nil {
		return err
	}
	entry, err := c.ledgerEntry(ctx, action, subject, id, "")
	if err != nil {
		return err
	}
	entry.Actor = by
	return c.inOrder(ctx, closes(given), func() error { return event(ctx, subject, id, c.now()) }, entry)
}

// ledgerEntry makes the entry of an act on a patient's consents or keys.
func (c *Config) ledgerEntry(ctx context.Context, action, subject, id string, p Purpose) (*logBody, error) {
	b := &logBody{
		Time: c.now().UnixNano(), Action: action, Purpose: p, Outcome: "done",
		Decision: envelope.NewID(), Ledger: c.Ledger.chain().Len(),
	}
	keys, err := c.auditKey(ctx, action, subject)
	if action != "give" && (gone(err) || errors.Is(err, keyring.ErrNoSubjectKey)) {
		return b, nil // logged without the name, which nobody can know any more, or not now
	}
	if err != nil {
		return nil, err
	}
	if id == "" {
		return b, b.sealRef(keys[0], subject, "")
	}
	return b, b.sealRef(keys[0], subject, "", id)
}

// auditKey returns the key that names a patient in the log. It is made with the
// patient's first act and never again: a patient who has consents and no such
// key has lost it to other hands, and a new one would hide all entries so far.
func (c *Config) auditKey(ctx context.Context, action, subject string) ([]*keyring.SubjectKey, error) {
	keys, err := c.Ring.Subject(ctx, subject, auditCompartment)
	if action != "give" || !errors.Is(err, keyring.ErrNoSubjectKey) {
		return keys, err
	}
	if given, err := c.Ledger.of(ctx, subject); err != nil {
		return nil, err
	} else if len(given) > 0 { // another process's first act, perhaps, which made the key since
		if keys, err = c.Ring.Subject(ctx, subject, auditCompartment); errors.Is(err, keyring.ErrNoSubjectKey) {
			return nil, errAuditKey
		}
		return keys, err
	}
	return c.Ring.CreateSubject(ctx, subject, auditCompartment)
}

var errAuditKey = fmt.Errorf("the patient's key in compartment %q is gone: %w", auditCompartment, ErrTampered)

func (c *Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// whole refuses a configuration that could not decide or not audit, and one that
// would decide by the consents of another tenant.
func (c *Config) whole() error {
	if c == nil || c.Ring == nil || c.Ledger == nil || c.Log == nil {
		return ErrConfig
	}
	if id := c.Ring.ID(); c.Ledger.ring.ID() != id || c.Log.ring.ID() != id {
		return fmt.Errorf("ledger or log of another ring: %w", ErrConfig)
	}
	if err := c.Observe.check(c.now()); err != nil {
		return fmt.Errorf("observe: %w", err)
	}
	if err := c.Guard.check(); err != nil {
		return err
	}
	return c.Policy.check()
}

// check refuses a ledger that has lost events which the log knows of, and keys
// whose journal has lost what it knows of.
func (c *Config) check(ctx context.Context) error {
	if err := c.whole(); err != nil {
		return err
	}
	newest, err := c.Log.newest(ctx)
	if err == nil {
		err = c.Log.journalHolds(ctx, newest)
	}
	if err == nil {
		err = c.Ledger.chain().Refresh(ctx) // after the log was read: what it knows of is there by now
	}
	if err != nil {
		return err
	}
	if c.Ledger.chain().Len() < newest.Ledger {
		return fmt.Errorf("ledger: %w: shorter than the audit log says", ErrTampered)
	}
	return nil
}

// roleKnown reports whether a request may name this role.
func (c *Config) roleKnown(role string) bool {
	_, ok := c.Roles[role]
	return ok || len(c.Roles) == 0 && role == ""
}

// roleMay reports whether a role may open a compartment.
func (c *Config) roleMay(role, compartment string) bool {
	if len(c.Roles) == 0 {
		return role == ""
	}
	return slices.Contains(c.Roles[role], compartment)
}
