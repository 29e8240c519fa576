package clinic

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// AddVisit writes a consultation, and gives v its id and time.
func (c *Clinic) AddVisit(ctx context.Context, u User, v *Visit) error {
	if err := u.must(Doctor); err != nil {
		return err
	}
	if v.Complaint == "" || v.Diagnosis == "" {
		return fmt.Errorf("%w: a visit needs a complaint and a diagnosis", ErrInput)
	}
	if _, err := c.patientRow(ctx, v.Patient); err != nil {
		return err
	}
	v.ID, v.At = envelope.NewID(), c.now()
	row, err := c.visits.Seal(ctx, v, consent.Tag{
		Purpose: consent.Treatment, Basis: consent.Consented, Actor: u.Name, Policy: noticeVersion, Author: u.Name, Time: v.At,
	})
	if err != nil {
		return err
	}
	return c.within(ctx, func(tx *sql.Tx) error { return insertVisit(ctx, tx, v, row) })
}
