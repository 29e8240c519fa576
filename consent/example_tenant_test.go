package consent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// A ring for each tenant: two clinics in one program, each with keys, consents
// and log of its own. What one has sealed the other cannot open, whatever its
// consents say.
func Example_tenants() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tenants")
	check(err)
	defer os.RemoveAll(dir)
	clinics := map[string]*consent.Records[Patient]{}
	for _, name := range []string{"menteng", "kemang"} {
		cfg, err := consent.OpenDir(ctx, filepath.Join(dir, name))
		check(err)
		defer cfg.Close()
		clinics[name], err = consent.NewRecords[Patient]("patient", cfg)
		check(err)
		_, err = cfg.Give(ctx, consent.Consent{Subject: "p-1", Purposes: []consent.Purpose{consent.Treatment}})
		check(err)
	}
	p := Patient{"p-1", "9271060312000001", "Ardianto Putra", []string{"J45 Asthma"}}
	row, err := clinics["menteng"].Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"menteng", "kemang"} {
		out := Patient{ID: "p-1"}
		err := clinics[name].Open(ctx, &out, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"})
		fmt.Printf("%s: %q %v\n", name, out.Name, errors.Is(err, envelope.ErrOpen))
	}
	// Output:
	// menteng: "Ardianto Putra" false
	// kemang: "" true
}
