package clinic

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/rahasia/rahasia/keyring"
)

// Leaving is a patient who asks to be erased.
type Leaving struct {
	Patient string
	Asked   time.Time
	Done    time.Time // zero: it waits for the officer
	Receipt string    // of what was done
}

// Leavings returns who asked to be erased: those who wait first, then the newest.
func (c *Clinic) Leavings(ctx context.Context, u User) ([]Leaving, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	return collect(ctx, c.db, func(rows *sql.Rows) (l Leaving, err error) {
		var asked, done int64
		err = rows.Scan(&l.Patient, &asked, &done, &l.Receipt)
		if l.Asked = time.UnixMilli(asked); done != 0 {
			l.Done = time.UnixMilli(done)
		}
		return l, err
	}, `SELECT patient, asked, done, outcome FROM erasures ORDER BY CASE done WHEN 0 THEN 0 ELSE 1 END, done DESC, asked LIMIT 200`)
}

// Erase destroys the keys of a patient who asked for it: every record of theirs,
// wherever a copy of it lies, cannot be read any more. It cannot be undone. Who has
// not asked, or has thought better of it, is [ErrNotFound].
func (c *Clinic) Erase(ctx context.Context, u User, patient string) (receipt keyring.Receipt, err error) {
	if err := u.must(Officer); err != nil {
		return receipt, err
	}
	// The request is taken first and held until the keys are gone, so that nobody
	// withdraws it in between. Tokens are made by the house's keys and not by the
	// patient's, so they are deleted. Where the commit fails the request is still
	// there, and erasing again returns the same receipt.
	err = c.within(ctx, func(tx *sql.Tx) error {
		taken, err := tx.ExecContext(ctx, `UPDATE erasures SET done = $1 WHERE patient = $2 AND done = 0`, c.now().UnixMilli(), patient)
		if err != nil {
			return err
		}
		if n, err := taken.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, ErrNotFound)
		}
		if receipt, err = c.cfg.Erase(ctx, patient, u.Name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE patients SET nik_a = NULL, nik_b = NULL, phone = NULL WHERE id = $1`, patient); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE erasures SET outcome = $1 WHERE patient = $2`, receipt.String(), patient)
		return err
	})
	return receipt, err
}
