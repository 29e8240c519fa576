package clinic

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Chart is what somebody may see of a patient. What is withheld is named and is
// zero in the records.
type Chart struct {
	Patient   Patient
	Withheld  []consent.Withheld
	Visits    []VisitView // newest first
	Files     []FileView
	Emergency bool   // opened because of a justification
	Revision  string // of the patient's row, for [Clinic.UpdatePatient]
}

// VisitView is a visit as far as it may be seen.
type VisitView struct {
	Visit
	Withheld []consent.Withheld
}

// FileView is a file as far as it may be seen.
type FileView struct {
	File
	Withheld []consent.Withheld
}

// Why is for what, and how, a chart is opened.
type Why struct {
	FoundBy       pseudo.Token // by which a search found the patient: the record must be the one that it names
	Justification string       // of an emergency
}

// Find returns the patients who have an identifier: field is NIK or Phone. The
// database is asked for tokens and never learns the identifier. Each patient who
// is found is opened, and so counted and logged, as far as the consents allow;
// one of whom nothing may be seen is there by id alone. Whom the guard has stopped
// still finds somebody in an emergency.
func (c *Clinic) Find(ctx context.Context, u User, field, value string, why Why) ([]Found, error) {
	if err := u.must(Doctor); err != nil {
		return nil, err
	}
	columns := map[string]string{"NIK": "nik_a = $1 OR nik_b = $1", "Phone": "phone = $1"}[field]
	if columns == "" {
		return nil, ErrInput
	}
	tokens, err := c.patients.Lookup(ctx, field, value, c.treating(u, why))
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, t := range tokens {
		rows, err := collect(ctx, c.db, scanPatient, `SELECT id, branch, sealed FROM patients WHERE `+columns, t.Bytes())
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			f := Found{Token: t, Patient: Patient{ID: r.id, Branch: r.branch}}
			f.Withheld, err = c.openPatient(ctx, &f.Patient, r.sealed, c.treating(u, Why{FoundBy: t, Justification: why.Justification}))
			if errors.Is(err, keyring.ErrRetained) { // a family has one telephone: the others are found
				err = &consent.DeniedError{Action: "open", Type: "patient", Purpose: consent.Treatment, Reason: consent.Retained}
			}
			if f.Refused = (*consent.DeniedError)(nil); err != nil && !errors.As(err, &f.Refused) {
				return nil, err
			}
			found = append(found, f)
		}
	}
	return found, nil
}

// Found is a patient whom a search found.
type Found struct {
	Token    pseudo.Token // by which
	Patient  Patient
	Withheld []consent.Withheld
	Refused  *consent.DeniedError // why nothing may be seen; nil: something may
}

// Chart opens a patient's chart for a doctor.
func (c *Clinic) Chart(ctx context.Context, u User, id string, why Why) (*Chart, error) {
	if err := u.must(Doctor); err != nil {
		return nil, err
	}
	return c.chart(ctx, id, c.treating(u, why))
}

// treating is a doctor's request.
func (c *Clinic) treating(u User, why Why) consent.Request {
	req := u.request(consent.Treatment)
	req.FoundBy = why.FoundBy
	if why.Justification != "" {
		req.Purpose, req.Justification = consent.EmergencyTreatment, why.Justification
		// The permit obliges to keep nothing beyond the purpose: pages are for no cache.
		req.Fulfils = []consent.Obligation{"NOPERSISTP"}
	}
	return req
}

func (c *Clinic) chart(ctx context.Context, id string, req consent.Request) (*Chart, error) {
	row, err := c.patientRow(ctx, id)
	if err != nil {
		return nil, err
	}
	chart := &Chart{Patient: Patient{ID: row.id, Branch: row.branch}, Emergency: req.Justification != "", Revision: revision(row.sealed)}
	if chart.Withheld, err = c.openPatient(ctx, &chart.Patient, row.sealed, req); err != nil {
		return nil, err
	}
	req.FoundBy = pseudo.Token{} // the other records have no lookup fields
	if chart.Visits, err = openAll(ctx, c, c.visits, "visits", id, req, func(id, patient string) *Visit {
		return &Visit{ID: id, Patient: patient}
	}, func(v *Visit, w []consent.Withheld) VisitView { return VisitView{*v, w} }); err != nil {
		return nil, err
	}
	slices.SortStableFunc(chart.Visits, func(a, b VisitView) int { return b.At.Compare(a.At) })
	chart.Files, err = openAll(ctx, c, c.files, "files", id, req, func(id, patient string) *File {
		return &File{ID: id, Patient: patient}
	}, func(f *File, w []consent.Withheld) FileView { return FileView{*f, w} })
	return chart, err
}

// openPatient opens a patient, and returns what was withheld.
func (c *Clinic) openPatient(ctx context.Context, p *Patient, row envelope.Sealed, req consent.Request) ([]consent.Withheld, error) {
	return withheld(c.misfiled(c.patients.Open(ctx, p, row, req)))
}

// misfiled takes a row that lies under another's token for a refusal. Somebody wrote
// into the database by hand, or worse: the log says so.
func (c *Clinic) misfiled(err error) error {
	if !errors.Is(err, consent.ErrTokenMismatch) {
		return err
	}
	c.log.Error("search: a row lies under another patient's token")
	return &consent.DeniedError{Action: "open", Type: "patient", Purpose: consent.Treatment, Reason: consent.NotFoundBy}
}

// withheld takes a partial answer for an answer: what is missing in it is shown.
func withheld(err error) ([]consent.Withheld, error) {
	if partial := (*consent.WithheldError)(nil); errors.As(err, &partial) {
		return partial.Fields, nil
	}
	return nil, err
}

// openAll opens all of a patient's records of a type. One of which nothing may be
// seen is left out.
func openAll[T, V any](ctx context.Context, c *Clinic, records *consent.Records[T], table, patient string, req consent.Request,
	of func(id, patient string) *T, view func(*T, []consent.Withheld) V) ([]V, error) {
	rows, err := collect(ctx, c.db, func(rows *sql.Rows) (r sealedRow, err error) {
		err = rows.Scan(&r.id, &r.sealed)
		return r, err
	}, `SELECT id, sealed FROM `+table+` WHERE patient = $1 ORDER BY id`, patient)
	if err != nil {
		return nil, err
	}
	var out []V
	for t, err := range records.OpenAll(ctx, sequence(rows, func(r sealedRow) *T { return of(r.id, patient) }), req) {
		missing, err := withheld(err)
		if denied := (*consent.DeniedError)(nil); errors.As(err, &denied) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, view(t, missing))
	}
	return out, nil
}

// sealedRow is a record as the application's tables hold it.
type sealedRow struct {
	id, patient, branch string
	sealed              envelope.Sealed
}

// sequence pairs each row with a T that says whose it is.
func sequence[T any](rows []sealedRow, of func(sealedRow) *T) iter.Seq2[*T, envelope.Sealed] {
	return func(yield func(*T, envelope.Sealed) bool) {
		for _, r := range rows {
			if !yield(of(r), r.sealed) {
				return
			}
		}
	}
}

func scanPatient(rows *sql.Rows) (r sealedRow, err error) {
	err = rows.Scan(&r.id, &r.branch, &r.sealed)
	return r, err
}

func (c *Clinic) patientRow(ctx context.Context, id string) (sealedRow, error) {
	rows, err := collect(ctx, c.db, scanPatient, `SELECT id, branch, sealed FROM patients WHERE id = $1`, id)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return sealedRow{}, err
	}
	return rows[0], nil
}

// Has is nil where there is such a patient, and [ErrNotFound] where there is none.
func (c *Clinic) Has(ctx context.Context, id string) error {
	_, err := c.patientRow(ctx, id)
	return err
}

// revision names a sealed row as it is now: each sealing has an id, which whoever
// holds the row can see.
func revision(row envelope.Sealed) string {
	header, err := envelope.Inspect(row)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(header.SealID[:])
}

// EmergencyLasts is how long a justification opens a chart to who gave it.
func EmergencyLasts() time.Duration { return policy().Emergency.For }

// OpensInEmergency reports whether a justification opens a field of a chart. Notes of
// counselling lie in the compartment that [policy] leaves out.
func OpensInEmergency(field string) bool { return field != "Counselling" }
