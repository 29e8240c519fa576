package consent_test

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// A login was stolen: which patients must be told, and until when.
func ExampleConfig_Investigate() {
	ctx := context.Background()
	cfg, err := consent.OpenDir(ctx, "incident")
	check(err)
	defer cfg.Close()
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	var ids []string // in earnest, SELECT id FROM patients
	for _, id := range []string{"p-1", "p-2", "p-3"} {
		row, err := patients.Seal(ctx, &Patient{ID: id, Diagnosis: []string{"J45 Asthma"}}, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
		check(err)
		_, err = cfg.Give(ctx, consent.Consent{Subject: id, Purposes: []consent.Purpose{consent.Treatment}})
		check(err)
		if id != "p-3" {
			check(patients.Open(ctx, &Patient{ID: id}, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "dr-stolen"}))
		}
		ids = append(ids, id)
	}

	found := time.Date(2026, 3, 3, 8, 0, 0, 0, time.FixedZone("WIB", 7*60*60))
	report, err := cfg.Investigate(ctx, consent.Incident{Actor: "dr-stolen", Found: found}, slices.Values(ids))
	check(err)
	fmt.Println("notices until", report.NotifyBy)
	for _, p := range report.Patients { // or report.Text(consent.Indonesian), or as JSON
		fmt.Println(p.Subject, p.Actions, p.Fields)
	}
	// Output:
	// notices until 2026-03-06 08:00:00 +0700 WIB
	// p-1 [open] [patient.Diagnosis patient.NIK patient.Name]
	// p-2 [open] [patient.Diagnosis patient.NIK patient.Name]
}
