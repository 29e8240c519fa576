package envelope_test

import (
	"context"
	"fmt"
	"iter"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// A row lies in one column, beside the ids and what is clear, and is its own
// revision: of two writers that read the same row, one finds it replaced.
func ExampleSealed() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "rahasia")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(filepath.Join(dir, "app.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE patients (id TEXT PRIMARY KEY, clinic TEXT, sealed BYTEA)"); err != nil {
		log.Fatal(err)
	}
	p := Patient{ID: "p1", NIK: "9271060312000001", Clinic: "Solo"}
	row, err := patients.Seal(ctx, &p, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO patients VALUES ($1, $2, $3)", p.ID, p.Clinic, row); err != nil {
		log.Fatal(err)
	}

	out := Patient{ID: "p1"}
	var old envelope.Sealed
	if err := db.QueryRow("SELECT clinic, sealed FROM patients WHERE id = $1", out.ID).Scan(&out.Clinic, &old); err != nil {
		log.Fatal(err)
	}
	if err := patients.Open(ctx, &out, old); err != nil {
		log.Fatal(err)
	}
	fmt.Println(out.NIK, out.Clinic)

	out.Allergies = []string{"penisilin"}
	newer, err := patients.Seal(ctx, &out, nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		result, err := db.Exec("UPDATE patients SET sealed = $1 WHERE id = $2 AND sealed = $3", newer, out.ID, old)
		if err != nil {
			log.Fatal(err)
		}
		n, _ := result.RowsAffected()
		fmt.Println("replaced:", n)
	}
	// Output:
	// 9271060312000001 Solo
	// replaced: 1
	// replaced: 0
}

// An import seals all that it can, and says of the rest why not.
func ExampleCodec_SealAll() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	list := []*Patient{{ID: "p1", NIK: "9271060312000001"}, {NIK: "9202121212000002"}, {ID: "p3"}}
	i := 0
	for row, err := range patients.SealAll(ctx, slices.Values(list), nil) {
		fmt.Printf("record %d: %d bytes, %v\n", i, len(row), err)
		i++
	}
	// Output:
	// record 0: 322 bytes, <nil>
	// record 1: 0 bytes, envelope: empty id, type or record: type "patient" has no subject id
	// record 2: 258 bytes, <nil>
}

// A page of a table is opened with one question for keys.
func ExampleCodec_OpenAll() {
	ctx := context.Background()
	patients, err := envelope.NewCodec[Patient]("patient", exampleRing(ctx))
	if err != nil {
		log.Fatal(err)
	}
	type line struct { // of the table
		id     string
		sealed envelope.Sealed
	}
	var page []line
	for _, p := range []*Patient{{ID: "p1", NIK: "9271060312000001"}, {ID: "p2", NIK: "9202121212000002"}} {
		row, err := patients.Seal(ctx, p, nil)
		if err != nil {
			log.Fatal(err)
		}
		page = append(page, line{p.ID, row})
	}

	var rows iter.Seq2[*Patient, envelope.Sealed] = func(yield func(*Patient, envelope.Sealed) bool) {
		for _, l := range page {
			if !yield(&Patient{ID: l.id}, l.sealed) {
				return
			}
		}
	}
	for p, err := range patients.OpenAll(ctx, rows, "NIK") {
		fmt.Println(p.ID, p.NIK, err)
	}
	// Output:
	// p1 9271060312000001 <nil>
	// p2 9202121212000002 <nil>
}
