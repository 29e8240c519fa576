package clinic

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/rahasia/rahasia/keyring"
)

// Erasure is a patient's wish to be erased, and what became of it.
type Erasure struct {
	Patient string    `json:"patient"`
	Asked   time.Time `json:"asked"`

	// Until is how long the records are kept out of service before they are erased,
	// because of Basis. Zero: nobody has decided so.
	Until time.Time `json:"until,omitzero"`
	Basis string    `json:"basis,omitempty"`

	Done    time.Time `json:"done,omitzero"` // zero: not erased
	Receipt string    `json:"receipt,omitempty"`
}

// Waits reports whether nobody has decided.
func (e Erasure) Waits() bool { return e.Done.IsZero() && e.Until.IsZero() }

// Kept reports whether the records are kept out of service.
func (e Erasure) Kept() bool { return e.Done.IsZero() && !e.Until.IsZero() }

// LastDay is within the last day of those on which the records are kept.
func (e Erasure) LastDay() time.Time { return e.Until.Add(-time.Second) }

func scanErasure(rows *sql.Rows) (e Erasure, err error) {
	var asked, until, done int64
	err = rows.Scan(&e.Patient, &asked, &until, &e.Basis, &done, &e.Receipt)
	e.Asked = time.UnixMilli(asked)
	if until > 0 {
		e.Until = time.UnixMilli(until)
	}
	if done > 0 {
		e.Done = time.UnixMilli(done)
	}
	return e, err
}

const erasures = `SELECT patient, asked, until, basis, done, outcome FROM erasures`

// Erasure returns the patient's own, or nil.
func (c *Clinic) Erasure(ctx context.Context, u User) (*Erasure, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	rows, err := collect(ctx, c.db, scanErasure, erasures+` WHERE patient = $1`, u.Patient)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// AskErasure records that the patient wants to be erased. The privacy officer
// decides: a law may oblige the clinic to keep the records for a time.
func (c *Clinic) AskErasure(ctx context.Context, u User) error {
	if err := u.must(Self); err != nil {
		return err
	}
	_, err := c.db.ExecContext(ctx, `INSERT INTO erasures (patient, asked, done, outcome) VALUES ($1, $2, 0, '') ON CONFLICT (patient) DO NOTHING`,
		u.Patient, c.now().UnixMilli())
	return err
}

// UnaskErasure takes the wish back, as long as nothing was done.
func (c *Clinic) UnaskErasure(ctx context.Context, u User) error {
	if err := u.must(Self); err != nil {
		return err
	}
	_, err := c.db.ExecContext(ctx, `DELETE FROM erasures WHERE patient = $1 AND done = 0 AND until = 0`, u.Patient)
	return err
}

// Erasures returns who asked to be erased: those who wait first, then those who
// are kept, by the date, then the newest who were erased.
func (c *Clinic) Erasures(ctx context.Context, u User) ([]Erasure, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	return collect(ctx, c.db, scanErasure, erasures+` ORDER BY CASE done WHEN 0 THEN 0 ELSE 1 END, done DESC, until, asked LIMIT 200`)
}

// Erase destroys the keys of a patient who asked for it: every record of theirs,
// wherever a copy of it lies, cannot be read any more. It cannot be undone. Who has
// not asked, or has thought better of it, is [ErrNotFound]; who is kept until a date
// that is to come, [keyring.ErrRetained].
func (c *Clinic) Erase(ctx context.Context, u User, patient string) (receipt keyring.Receipt, err error) {
	if err := u.must(Officer); err != nil {
		return receipt, err
	}
	return c.erase(ctx, patient, u.Name)
}

func (c *Clinic) erase(ctx context.Context, patient, by string) (receipt keyring.Receipt, err error) {
	err = c.decided(ctx, patient, func(tx *sql.Tx) (err error) {
		if receipt, err = c.cfg.Erase(ctx, patient, by); err != nil {
			return err
		}
		// Tokens are made by the house's keys and not by the patient's.
		if _, err := tx.ExecContext(ctx, `UPDATE patients SET nik_a = NULL, nik_b = NULL, phone = NULL WHERE id = $1`, patient); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE erasures SET done = $1, outcome = $2 WHERE patient = $3`, c.now().UnixMilli(), receipt.String(), patient)
		return err
	})
	return receipt, err
}

// Retain takes a patient who asked for erasure out of service, because a law
// obliges to keep the records: all that they allowed ends, nobody in this house
// opens anything, and erasing waits for why.Until. The search tokens stay, so that
// the same person is not registered anew beside records that are still there.
// Who is kept already can be kept longer. A date or a basis that cannot be taken is
// [ErrInput].
func (c *Clinic) Retain(ctx context.Context, u User, patient string, why keyring.Retention) (receipt keyring.Receipt, err error) {
	if err := u.must(Officer); err != nil {
		return receipt, err
	}
	err = c.decided(ctx, patient, func(tx *sql.Tx) (err error) {
		receipt, err = c.cfg.Retain(ctx, patient, u.Name, why)
		if kept := (*keyring.RetainedError)(nil); errors.As(err, &kept) && kept.Basis == why.Basis && kept.Until.Equal(why.Until.Truncate(time.Second)) {
			err = nil // it was done, and the process ended before it was written here
		}
		if errors.Is(err, keyring.ErrName) {
			err = fmt.Errorf("%w: %w", ErrInput, err)
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE erasures SET until = $1, basis = $2, outcome = $3 WHERE patient = $4`,
			why.Until.UnixMilli(), why.Basis, receipt.String(), patient)
		return err
	})
	return receipt, err
}

// decided does what was decided of a patient who asks to be erased. The request is
// held until the keys are gone, so that nobody withdraws it in between. Where the
// commit fails it is still there, and doing it again completes it.
func (c *Clinic) decided(ctx context.Context, patient string, do func(*sql.Tx) error) error {
	return c.within(ctx, func(tx *sql.Tx) error {
		held, err := tx.ExecContext(ctx, `UPDATE erasures SET outcome = outcome WHERE patient = $1 AND done = 0`, patient)
		if err != nil {
			return err
		}
		if n, err := held.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, ErrNotFound)
		}
		// What branches sent is sealed for the inbox, and not under the patient's keys:
		// it goes, whosever it is, now that it has been taken in.
		if _, err := tx.ExecContext(ctx, `UPDATE arrivals SET record = $1, choices = $1 WHERE state <> $2`, []byte{}, Waiting); err != nil {
			return err
		}
		return do(tx)
	})
}

// retentionEnd is who erases when the time is over, in the audit log.
const retentionEnd = "retention-end"

// eraseInTime erases those whose time is over, once an hour: the library keeps no
// list of the dates (UU PDP 27/2022, article 44).
func (c *Clinic) eraseInTime(ctx context.Context) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if err := c.EraseDue(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("erase: what is due", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// EraseDue erases the patients who were kept until a date that is over. One that
// fails keeps the others from nothing.
func (c *Clinic) EraseDue(ctx context.Context) error {
	due, err := collect(ctx, c.db, scanText, `SELECT patient FROM erasures WHERE done = 0 AND until > 0 AND until <= $1`, c.now().UnixMilli())
	if err != nil {
		return err
	}
	var errs []error
	for _, patient := range due {
		_, err := c.erase(ctx, patient, retentionEnd)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
