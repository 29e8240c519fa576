package consent_test

import (
	"context"
	"fmt"
	"log"

	"github.com/rahasia/rahasia/consent"
)

type Patient struct {
	ID        string   `phi:"subject"`    // whose record; an opaque id, stays clear
	NIK       string   `phi:"nik,lookup"` // encrypted, and found again by token
	Name      string   `phi:"name"`
	Diagnosis []string `phi:"clinical"`
}

func Example() {
	ctx := context.Background()
	cfg, err := consent.OpenDir(ctx, "demo") // keys, consents and audit log
	check(err)
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	p := Patient{"p-1", "9271060312000001", "Ardianto Putra", []string{"J45 Asthma"}}
	row, err := patients.Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	check(err) // store row.Sealed in one column, row.Tokens["NIK"] in an indexed one
	_, err = cfg.Give(ctx, consent.Consent{Subject: p.ID, Purposes: []consent.Purpose{consent.Treatment}})
	check(err)
	out := Patient{ID: p.ID} // whom you ask for; the row never says
	check(patients.Open(ctx, &out, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}))
	fmt.Println(out.Name, out.Diagnosis)
	fmt.Println(patients.Open(ctx, &out, row.Sealed, consent.Request{Purpose: consent.Marketing, Actor: "ads"}))
	check(cfg.Close())
	// Output:
	// Ardianto Putra [J45 Asthma]
	// consent: open patient for HMARKT: denied: no live consent covers this purpose and data
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
