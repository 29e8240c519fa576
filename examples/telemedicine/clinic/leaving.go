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
// wherever a copy of it lies, cannot be read any more. It cannot be undone.
func (c *Clinic) Erase(ctx context.Context, u User, patient string) (keyring.Receipt, error) {
	if err := u.must(Officer); err != nil {
		return keyring.Receipt{}, err
	}
	// Nobody is erased who has not asked, or has thought better of it.
	var done int64
	err := c.db.QueryRowContext(ctx, `SELECT done FROM erasures WHERE patient = $1`, patient).Scan(&done)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && done != 0) {
		err = ErrNotFound
	}
	if err != nil {
		return keyring.Receipt{}, err
	}
	receipt, err := c.cfg.Erase(ctx, patient, u.Name)
	if err != nil {
		return keyring.Receipt{}, err
	}
	// The keys are gone. The tokens are made by the house's keys and not by the
	// patient's, so they are deleted; a crash before that leaves the request, and
	// erasing again returns the same receipt.
	return receipt, c.within(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE patients SET nik_a = NULL, nik_b = NULL, phone = NULL WHERE id = $1`, patient); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE erasures SET done = $1, outcome = $2 WHERE patient = $3`, c.now().UnixMilli(), receipt.String(), patient)
		return err
	})
}
