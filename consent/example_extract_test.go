package consent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
)

// A patient asks who looked, and takes the answer home: a file that says so and
// proves it. Whoever has the clinic's published key can check it, years later.
func ExampleLog_Extract() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "extract")
	check(err)
	defer os.RemoveAll(dir)
	cfg, err := consent.OpenDir(ctx, filepath.Join(dir, "demo"))
	check(err)
	defer cfg.Close()
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	p := Patient{ID: "p-1", Name: "Ardianto Putra"}
	row, err := patients.Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented, Actor: "clerk-2"})
	check(err)
	out := Patient{ID: p.ID}
	fmt.Println(patients.Open(ctx, &out, row.Sealed, consent.Request{Purpose: consent.Marketing, Actor: "ads"}))

	file, err := cfg.Log.Extract(ctx, p.ID) // serve it as application/json
	check(err)
	key, err := cfg.Log.VerifierKey(ctx) // published
	check(err)

	entries, err := consent.CheckExtract(file, key) // anywhere: it needs no ring
	check(err)
	for _, e := range entries {
		fmt.Println(e.Actor, e.Action, e.Purpose, e.Outcome)
	}
	// Output:
	// consent: open patient for HMARKT: denied: no live consent covers this purpose and data
	// clerk-2 seal TREAT done
	// ads open HMARKT refused
}
