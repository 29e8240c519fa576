package clinic

import (
	"context"
	"database/sql"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// TakeOver takes records over from another system: patients with what each of
// them chose, by id, and their visits. A page of records is sealed with one write
// of the audit log. progress is told how many are done of the patients' choices,
// the patients and the visits.
func (c *Clinic) TakeOver(ctx context.Context, u User, patients []*Patient, choices map[string][]string, visits []*Visit, progress func(done int)) error {
	// Some of these people were never asked, and none has seen this clinic's notice.
	tag := consent.Tag{Purpose: consent.Treatment, Basis: consent.LegalObligation, Actor: u.Name}
	done := 0
	tell := func(n int) { done += n; progress(done) }
	for _, p := range patients {
		for _, key := range choices[p.ID] {
			if err := c.allow(ctx, p.ID, key, "takeover", u.Name); err != nil {
				return err
			}
		}
		tell(1)
	}
	if err := takeOver(ctx, c, c.patients, patients, tag, insertPatient, tell); err != nil {
		return err
	}
	return takeOver(ctx, c, c.visits, visits, tag, insertVisit, tell)
}

// page is how many records share a write of the audit log and a transaction.
const page = 100

func takeOver[T any](ctx context.Context, c *Clinic, records *consent.Records[T], src []*T, tag consent.Tag,
	insert func(context.Context, *sql.Tx, *T, consent.Row) error, done func(int)) error {
	for len(src) > 0 {
		some := src[:min(len(src), page)]
		src = src[len(some):]
		rows, err := records.SealAll(ctx, some, tag)
		if err != nil {
			return err
		}
		if err := c.within(ctx, func(tx *sql.Tx) error {
			for i, t := range some {
				if err := insert(ctx, tx, t, rows[i]); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		done(len(some))
	}
	return nil
}

func insertVisit(ctx context.Context, tx *sql.Tx, v *Visit, row consent.Row) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO visits (id, patient, sealed) VALUES ($1, $2, $3)`, v.ID, v.Patient, row.Sealed)
	return err
}

// NewID returns an id for a record that is taken over.
func NewID() string { return envelope.NewID() }

// Empty reports whether there is no patient yet.
func (c *Clinic) Empty(ctx context.Context) (bool, error) {
	var n int
	err := c.db.QueryRowContext(ctx, `SELECT count(*) FROM patients`).Scan(&n)
	return n == 0, err
}
