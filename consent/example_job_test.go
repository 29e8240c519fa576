package consent_test

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// A nightly report reads more patients than a person may: it is registered with
// the guard, under a limit of its own and for the login that runs it.
func ExampleRecords_OpenAll() {
	ctx := context.Background()
	cfg, err := consent.OpenDir(ctx, "nightly")
	check(err)
	defer cfg.Close()
	cfg.Guard = consent.Guard{
		People: consent.Limit{Hour: 2},
		Jobs:   map[string]consent.Job{"asthma-report": {Actors: []string{"svc-report"}, Limit: consent.Limit{Day: 5}}},
		Alert:  func(a consent.Alert) { fmt.Println("alert:", a.Actor, a.Job, a.Hour) },
	}
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	stored := map[string]envelope.Sealed{} // in earnest, a table
	ids := []string{"p-1", "p-2", "p-3", "p-4"}
	for i, id := range ids {
		p := Patient{ID: id, Diagnosis: []string{[]string{"J45 Asthma", "I10 Hypertension"}[i%2]}}
		row, err := patients.Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
		check(err)
		stored[id] = row.Sealed
		_, err = cfg.Give(ctx, consent.Consent{Subject: id, Purposes: []consent.Purpose{consent.Operations}})
		check(err)
	}

	var table iter.Seq2[*Patient, envelope.Sealed] = func(yield func(*Patient, envelope.Sealed) bool) { // in earnest, sql.Rows
		for _, id := range ids {
			if !yield(&Patient{ID: id}, stored[id]) {
				return
			}
		}
	}
	report := func(req consent.Request) (read, refused int) {
		for _, err := range patients.OpenAll(ctx, table, req) {
			if errors.Is(err, consent.ErrDenied) {
				refused++
				continue
			}
			check(err)
			read++
		}
		return read, refused
	}
	fmt.Println(report(consent.Request{Purpose: consent.Operations, Actor: "svc-report", Job: "asthma-report"}))
	fmt.Println(report(consent.Request{Purpose: consent.Operations, Actor: "dr-ayu"}))
	fmt.Println(report(consent.Request{Purpose: consent.Operations, Actor: "dr-ayu", Job: "asthma-report"}))
	// Output:
	// 4 0
	// alert: dr-ayu  2
	// 2 2
	// 0 4
}
