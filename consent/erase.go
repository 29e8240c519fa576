package consent

import (
	"context"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/keyring"
)

// Erase destroys the patient's keys in every compartment of the ring: every
// record, wherever a copy of it lies, is unreadable from then on, and so is the
// patient's name in the audit log, whose entries stay. by is who records it, an
// id for the audit log. The receipt says what is gone and what is not yet: the
// application deletes the token columns of the patient's rows itself. Erasing
// cannot be undone, not by an old copy of the key store either; see
// keyring.Ring.Shred.
//
// A patient whose records a law obliges to keep is not erased but retained, and
// erased when the time is over: [Config.Retain]. Until then Erase returns a
// *keyring.RetainedError. For a subject that nothing is known of it returns
// keyring.ErrNoSubjectKey; besides: [ErrAudit], [ErrConfig], [ErrLimit],
// keyring.ErrNotGranted. The log has an entry before and one after: with
// [ErrAudit] the keys may be gone already, and Erase again, which then returns
// the same receipt, completes the log.
func (c *Config) Erase(ctx context.Context, subject, by string) (keyring.Receipt, error) {
	receipt, err := c.erase(ctx, subject, by, "", func() (keyring.Receipt, error) { return c.Ring.Shred(ctx, subject) })
	if err != nil {
		return keyring.Receipt{}, fmt.Errorf("consent: erase: %w", err)
	}
	return receipt, nil
}

// EraseRetained erases a retained patient before the time is over, by an
// authority that says so, such as a court; it stands in log, journal and receipt
// and names no person. See keyring.Ring.ShredRetained. Otherwise as
// [Config.Erase]; keyring.ErrName for an authority that cannot be written.
func (c *Config) EraseRetained(ctx context.Context, subject, by, authority string) (keyring.Receipt, error) {
	receipt, err := c.erase(ctx, subject, by, authority, func() (keyring.Receipt, error) { return c.Ring.ShredRetained(ctx, subject, authority) })
	if err != nil {
		return keyring.Receipt{}, fmt.Errorf("consent: erase retained: %w", err)
	}
	return receipt, nil
}

func (c *Config) erase(ctx context.Context, subject, by, authority string, shred func() (keyring.Receipt, error)) (receipt keyring.Receipt, err error) {
	if err := c.whole(); err != nil {
		return receipt, err
	}
	if !text(by, authority) {
		return receipt, ErrLimit
	}
	entry, err := c.ledgerEntry(ctx, "erase", subject, "", "")
	if err != nil {
		return receipt, err
	}
	entry.Actor, entry.Article = by, authority
	if entry.Subject == nil {
		// A mistyped id is in no log. Who was erased is: the entry completes the first.
		if _, err := c.Ring.Subject(ctx, subject, auditCompartment); !errors.Is(err, keyring.ErrRetained) {
			if receipt, err = shred(); err == nil {
				err = c.Log.append(context.WithoutCancel(ctx), entry)
			}
			return receipt, err
		}
	}
	err = c.announced(ctx, entry, subject, func() (bool, error) { // before: the patient can be named only while the key lives
		receipt, err = shred()
		return err == nil, err
	})
	return receipt, err
}

// announced writes the entry of an act on a patient's keys, does it, and closes it
// by a second entry, which says whether what was announced is so: beside an error
// too, where a process that died on the way had come as far. That one carries the
// journal's head after the act: without it key store and journal could be put
// back together to before the act, and nobody would notice until something else
// is logged.
func (c *Config) announced(ctx context.Context, entry *logBody, subject string, act func() (done bool, err error)) error {
	if err := c.Log.append(ctx, entry); err != nil {
		return err
	}
	done, err := act()
	ctx = context.WithoutCancel(ctx)
	closing := *entry
	closing.Time, closing.Outcome = c.now().UnixNano(), "completed"
	if !done {
		closing.Outcome = "failed"
	} else if closing.Subject == nil { // the act may have brought back the key that names the patient
		keys, none := c.Ring.Subject(ctx, subject, auditCompartment)
		if none == nil {
			err = closing.sealRef(keys[0], subject, "")
		}
	}
	return errors.Join(err, c.Log.append(ctx, &closing))
}

// Retain is for a patient who asks for erasure (UU PDP 27/2022, article 43)
// whose records a law obliges to keep, such as Permenkes 24/2022, article 39: it
// stops all processing now, and erasing waits for why.Until, after which
// [Config.Erase] erases for good. Whatever the patient permitted ends, as by
// [Config.WithdrawAll]; then the patient's keys go to the custodian of the ring
// (keyring.Config.Custodian) and out of service. Nothing opens from then on, for
// nobody in this house, on whatever legal basis; nor does [Log.History]. The
// audit log names why.Basis.
//
// Consents end even where Retain then returns an error; call it again. After a
// crash the patient may be retained already: the same call is then a
// *keyring.RetainedError of that date and basis, and completes the log. Errors:
// those of keyring.Ring.Retain (keyring.ErrEmpty without a custodian, see
// [OpenDir], keyring.ErrName for a bad basis or date, keyring.ErrNoSubjectKey),
// and those of [Config.Withdraw].
func (c *Config) Retain(ctx context.Context, subject, by string, why keyring.Retention) (receipt keyring.Receipt, err error) {
	if err = c.WithdrawAll(ctx, subject, by); err != nil {
		return receipt, fmt.Errorf("consent: retain: %w", err)
	}
	if err = c.kept(ctx, "retain", subject, by, why.Basis, func() (bool, error) {
		receipt, err = c.Ring.Retain(ctx, subject, why)
		is := (*keyring.RetainedError)(nil)
		return err == nil || errors.As(err, &is) && is.Basis == why.Basis && is.Until.Unix() == why.Until.Unix(), err
	}); err != nil {
		return keyring.Receipt{}, fmt.Errorf("consent: retain: %w", err)
	}
	return receipt, nil
}

// EndRetention brings a retained patient's keys back into service, for a court
// or because the patient returns. What was permitted before stays ended: a
// record opens on a new consent or another legal basis. It runs where the
// custodian's key is; see keyring.Ring.EndRetention. The act is logged before,
// when the patient cannot be named, and once it is done by name. Where the keys
// are in service, because a process died before it could write that, it is
// keyring.ErrState, and completes the log. Errors: those of
// keyring.Ring.EndRetention, [ErrAudit], [ErrConfig], [ErrLimit].
func (c *Config) EndRetention(ctx context.Context, subject, by string, with *keyring.CustodianKey) error {
	err := c.kept(ctx, "return", subject, by, "", func() (bool, error) {
		err := c.Ring.EndRetention(ctx, subject, with)
		return err == nil || errors.Is(err, keyring.ErrState), err
	})
	if err != nil {
		return fmt.Errorf("consent: end retention: %w", err)
	}
	return nil
}

// kept does an act on the custody of a patient's keys, once it is logged.
func (c *Config) kept(ctx context.Context, action, subject, by, article string, act func() (done bool, err error)) error {
	if err := c.whole(); err != nil {
		return err
	}
	if !text(by, article) {
		return ErrLimit
	}
	entry, err := c.ledgerEntry(ctx, action, subject, "", "")
	if err != nil {
		return err
	}
	entry.Actor, entry.Article = by, article
	return c.announced(ctx, entry, subject, act)
}

// gone reports whether err says that a patient's keys are out of service, for
// good or until they are brought back.
func gone(err error) bool {
	return errors.Is(err, keyring.ErrShredded) || errors.Is(err, keyring.ErrRetained)
}

// goneReason is the reason that the log has for that.
func goneReason(err error) Reason {
	if errors.Is(err, keyring.ErrRetained) {
		return Retained
	}
	return Erased
}
