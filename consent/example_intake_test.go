package consent_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// A branch registers patients for the clinic and can read none of them. Its
// queue delivers twice; the clinic has the record once.
func ExampleRecords_Accept() {
	ctx := context.Background()
	cfg, err := consent.OpenDir(ctx, "clinic")
	check(err)
	check(cfg.Ring.CreateKeyset(ctx, "inbox/branches"))
	inbox, err := envelope.NewInbox("branches", cfg.Ring)
	check(err)
	check(inbox.Enrol(ctx, "branch-2", "branch-2.credential")) // carry the file to the branch, and delete it here
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	db, err := sqlite.Open("app.db") // the application's own
	check(err)
	_, err = db.Exec(`CREATE TABLE patients (id TEXT PRIMARY KEY, sealed BLOB, nik_token TEXT);
		CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY)`)
	check(err)

	// In the branch: a public key, and nothing that opens.
	to, err := envelope.OpenIntake("branch-2.credential")
	check(err)
	intake, err := consent.NewIntake[Patient]("patient", to)
	check(err)
	item, err := intake.Seal(&Patient{"p-1", "9271060312000001", "Ardianto Putra", nil}, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	check(err)

	// In the clinic.
	for range 2 {
		tx, err := db.Begin()
		check(err)
		got, err := patients.Accept(ctx, tx, inbox, item)
		if errors.Is(err, envelope.ErrReplayed) {
			check(tx.Rollback())
			fmt.Println("came before")
			continue
		}
		check(err)
		_, err = tx.Exec(`INSERT INTO patients VALUES (?, ?, ?)`, got.Record.ID, got.Sealed, got.Tokens["NIK"].String())
		check(err)
		check(tx.Commit())
		fmt.Println("accepted from", got.Sender)
	}
	check(errors.Join(db.Close(), cfg.Close()))
	// Output:
	// accepted from branch-2
	// came before
}
