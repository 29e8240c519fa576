package consent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

// Config is what [Records] work with: keys, consents, audit log and roles.
// [OpenDir] makes the embedded one; a service that keeps its keys in a key
// service and its stores in its own databases fills the fields itself.
type Config struct {
	Ring   *keyring.Ring
	Ledger *Ledger
	Log    *Log

	// Roles are the compartments that each role may open. With no roles a
	// request may leave its role empty; with some, a request without one of
	// them is refused.
	Roles map[string][]string

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
	if len(c.closers) > 0 && c.Log != nil {
		errs = append(errs, c.anchor(context.Background())())
	}
	for i := len(c.closers) - 1; i >= 0; i-- {
		errs = append(errs, c.closers[i]())
	}
	c.closers = nil
	return errors.Join(errs...)
}

// AddRecipient makes the domain in which a recipient's exports are
// pseudonymised: nobody can join two recipients' tables, and destroying one
// recipient's keyset ends that recipient's pseudonyms alone. It is an explicit
// step, once for each recipient, so that a misspelt name is an error and not a
// new recipient.
func (c *Config) AddRecipient(ctx context.Context, recipient string) error {
	if err := c.Ring.CreateKeyset(ctx, recipientDomain(recipient)); err != nil {
		return fmt.Errorf("consent: add recipient: %w", err)
	}
	return nil
}

func recipientDomain(recipient string) string { return "recipient/" + recipient }

// Give records a patient's consent, or refusal where c.Refused is set, and
// returns its id. It is in force when Give returns. A permit has its entry in
// the audit log before it is in force, a refusal is in force before it has: in a
// crash between the two, and where Give returns [ErrAudit], the patient is the
// better protected. Errors: [ErrSubject], [ErrCode], [ErrPeriod],
// [ErrExists], [ErrLimit], keyring.ErrShredded for an erased patient.
func (c *Config) Give(ctx context.Context, consent Consent) (id string, err error) {
	if err = consent.check(); err == nil {
		err = c.give(ctx, consent)
	}
	if err != nil {
		return "", fmt.Errorf("consent: give: %w", err)
	}
	return consent.ID, nil
}

func (c *Config) give(ctx context.Context, consent Consent) error {
	given, err := c.Ledger.of(ctx, consent.Subject)
	if err != nil {
		return err
	}
	if indexOf(given, consent.ID) >= 0 {
		return ErrExists
	}
	entry := func() error { return c.logLedger(ctx, "give", consent.Subject, consent.ID, consent.Purposes[0]) }
	event := func() error { return c.Ledger.give(ctx, consent, c.now()) }
	if consent.Refused {
		return inOrder(event, c.anchor(ctx), entry)
	}
	return inOrder(entry, event)
}

// anchor tells the journal, which lies apart, how far ledger and log have come.
// It follows whatever closes something: an older copy that had it open again
// is then noticed, and one that has less open does no harm.
func (c *Config) anchor(ctx context.Context) func() error {
	return func() error {
		return errors.Join(c.Ledger.chain.Anchor(ctx), c.Log.tree.Anchor(ctx))
	}
}

func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// Withdraw ends a consent from now on, and the next decision knows it. It
// rewrites no record. The withdrawal is in force even where Withdraw returns
// [ErrAudit], because its entry in the audit log could not be written, or an
// error of the journal, which keeps an older copy of the ledger from bringing
// the consent back; call it again then. Errors: [ErrNoConsent], [ErrSubject].
func (c *Config) Withdraw(ctx context.Context, subject, id string) error {
	err := inOrder(
		func() error { return c.Ledger.withdraw(ctx, subject, id, c.now()) },
		c.anchor(ctx),
		func() error { return c.logLedger(ctx, "withdraw", subject, id, "") },
	)
	if err != nil {
		return fmt.Errorf("consent: withdraw: %w", err)
	}
	return nil
}

// Erase destroys the patient's keys in every compartment of the ring: every
// record, wherever a copy of it lies, is unreadable from then on, and so is the
// patient's name in the audit log, whose entries stay. The receipt says what is
// gone and what is not yet: the application deletes the token columns of the
// patient's rows itself. Erasing cannot be undone, not by an old copy of the key
// store either; see keyring.Ring.Shred. For a subject that nothing is known of
// it returns keyring.ErrNoSubjectKey.
func (c *Config) Erase(ctx context.Context, subject string) (keyring.Receipt, error) {
	if err := c.logLedger(ctx, "erase", subject, "", ""); err != nil {
		return keyring.Receipt{}, fmt.Errorf("consent: erase: %w", err)
	}
	receipt, err := c.Ring.Shred(ctx, subject)
	if err != nil {
		return keyring.Receipt{}, fmt.Errorf("consent: erase: %w", err)
	}
	return receipt, nil
}

func (c *Config) logLedger(ctx context.Context, action, subject, id string, p Purpose) error {
	b := &logBody{
		Time: c.now().UnixNano(), Action: action, Purpose: p, Outcome: "done", Consent: id,
		Decision: envelope.NewID(), Ledger: c.Ledger.chain.Len(),
	}
	keys, err := c.auditKey(ctx, action, subject)
	switch {
	case errors.Is(err, keyring.ErrShredded) && action != "give": // logged without the name, which nobody may know any more
	case err != nil:
		return err
	default:
		if err := b.sealRef(keys[0], subject, ""); err != nil {
			return err
		}
	}
	return c.Log.append(ctx, b)
}

// auditKey makes the key that names a patient in the log with the patient's
// first act. Erasing one who is not known must not make one up.
func (c *Config) auditKey(ctx context.Context, action, subject string) ([]*keyring.SubjectKey, error) {
	if action == "erase" {
		return c.Ring.Subject(ctx, subject, auditCompartment)
	}
	return c.Ring.CreateSubject(ctx, subject, auditCompartment)
}

func (c *Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// check refuses a configuration that could not decide or not audit, and a
// ledger that has lost events which the log knows of.
func (c *Config) check(ctx context.Context) error {
	if c == nil || c.Ring == nil || c.Ledger == nil || c.Log == nil {
		return ErrConfig
	}
	known, err := c.Log.ledgerLength(ctx)
	if err != nil {
		return err
	}
	if c.Ledger.chain.Len() < known {
		return fmt.Errorf("ledger: %w: shorter than the audit log says", ErrTampered)
	}
	return nil
}
