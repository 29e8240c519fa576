package consent_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// A sealed row is its own revision, for each sealing has an id of its own: of
// two writers that read the same row the second finds it replaced, and begins
// again with the newer one. Update carries the fields that it is not told of.
func ExampleRecords_Update() {
	ctx := context.Background()
	cfg, err := consent.OpenDir(ctx, "revision")
	check(err)
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	db, err := sqlite.Open("revision-app.db") // the application's own
	check(err)
	_, err = db.Exec(`CREATE TABLE patients (id TEXT PRIMARY KEY, sealed BLOB NOT NULL)`)
	check(err)
	p := Patient{"p-1", "9271060312000001", "Ardianto Putra", []string{"J45 Asthma"}}
	row, err := patients.Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	check(err)
	_, err = db.Exec(`INSERT INTO patients VALUES ($1, $2)`, p.ID, row.Sealed)
	check(err)
	_, err = cfg.Give(ctx, consent.Consent{Subject: p.ID, Purposes: []consent.Purpose{consent.Treatment}})
	check(err)

	// Two read it before either writes.
	desk, doctor := read(ctx, db, "p-1"), read(ctx, db, "p-1")
	diagnose := func(old envelope.Sealed) error {
		return write(ctx, db, patients, old, &Patient{ID: "p-1", Diagnosis: []string{"J45 Asthma", "I10 Hypertension"}}, "dr-ayu", "Diagnosis")
	}
	fmt.Println(write(ctx, db, patients, desk, &Patient{ID: "p-1", Name: "Ardianto Putra Jaya"}, "desk-1", "Name"))
	err = diagnose(doctor)
	fmt.Println(err)
	if errors.Is(err, errReplaced) {
		fmt.Println(diagnose(read(ctx, db, "p-1")))
	}

	out := Patient{ID: "p-1"}
	check(patients.Open(ctx, &out, read(ctx, db, "p-1"), consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}))
	fmt.Println(out.Name, out.Diagnosis)
	check(errors.Join(db.Close(), cfg.Close()))
	// Output:
	// <nil>
	// replaced meanwhile
	// <nil>
	// Ardianto Putra Jaya [J45 Asthma I10 Hypertension]
}

var errReplaced = errors.New("replaced meanwhile")

func read(ctx context.Context, db *sql.DB, id string) (sealed envelope.Sealed) {
	check(db.QueryRowContext(ctx, `SELECT sealed FROM patients WHERE id = $1`, id).Scan(&sealed))
	return sealed
}

func write(ctx context.Context, db *sql.DB, patients *consent.Records[Patient], old envelope.Sealed, p *Patient, actor, field string) error {
	row, err := patients.Update(ctx, old, p, consent.Request{Purpose: consent.Treatment, Actor: actor}, field)
	if err != nil {
		return err
	}
	result, err := db.ExecContext(ctx, `UPDATE patients SET sealed = $1 WHERE id = $2 AND sealed = $3`, row.Sealed, p.ID, old)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	return errReplaced
}
