package clinic

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// AddVisit writes a consultation, and gives v its id and time. Only who may open
// the patient may write about them.
func (c *Clinic) AddVisit(ctx context.Context, u User, v *Visit, why Why) error {
	tag, err := c.writing(ctx, u, v.Patient, why)
	if err != nil {
		return err
	}
	if v.Complaint == "" || v.Diagnosis == "" || len(v.Complaint) > 2000 || len(v.Diagnosis) > 200 {
		return fmt.Errorf("%w: a visit needs a complaint and a diagnosis", ErrInput)
	}
	v.ID, v.At = envelope.NewID(), tag.Time
	row, err := c.visits.Seal(ctx, v, tag)
	if err != nil {
		return err
	}
	return c.within(ctx, func(tx *sql.Tx) error { return insertVisit(ctx, tx, v, row) })
}

// writing returns with what facts of collection a doctor's new record about a
// patient is sealed, once it is decided and logged that they may treat them.
func (c *Clinic) writing(ctx context.Context, u User, patient string, why Why) (consent.Tag, error) {
	if err := u.must(Doctor); err != nil {
		return consent.Tag{}, err
	}
	row, err := c.patientRow(ctx, patient)
	if err != nil {
		return consent.Tag{}, err
	}
	req := c.treating(u, why)
	if _, err := c.openPatient(ctx, &Patient{ID: patient, Branch: row.branch}, row.sealed, req); err != nil {
		return consent.Tag{}, err
	}
	tag := consent.Tag{Purpose: req.Purpose, Basis: consent.Consented, Actor: u.Name, Policy: noticeVersion, Author: u.Name, Time: c.now()}
	if why.Justification != "" {
		tag.Basis = consent.VitalInterest // the patient was not asked
	}
	return tag, nil
}

// UpdatePatient writes a patient's allergies and conditions anew. All else of the
// record is carried as it is, what this doctor may not see included. revision is
// that of the chart that the doctor has looked at: ErrConflict where the record
// is another one by now.
func (c *Clinic) UpdatePatient(ctx context.Context, u User, p *Patient, revisionSeen string, why Why) error {
	if err := u.must(Doctor); err != nil {
		return err
	}
	if tooMany(p.Allergies) || tooMany(p.Conditions) {
		return fmt.Errorf("%w: a list is too long", ErrInput)
	}
	row, err := c.patientRow(ctx, p.ID)
	if err != nil {
		return err
	}
	if revision(row.sealed) != revisionSeen {
		return ErrConflict
	}
	next, err := c.patients.Update(ctx, row.sealed, p, c.treating(u, why), "Allergies", "Conditions")
	if err = c.misfiled(err); err != nil {
		return err
	}
	// Only in place of the row that was carried from, or a write in between is lost.
	result, err := c.db.ExecContext(ctx, `UPDATE patients SET sealed = $1 WHERE id = $2 AND sealed = $3`, next.Sealed, p.ID, row.sealed)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return ErrConflict
	}
	return nil
}
