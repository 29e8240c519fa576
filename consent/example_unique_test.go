package consent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
)

// A NIK that may be entered once has two UNIQUE columns, nik_a and nik_b, so that
// it stays unique while its keys are rotated.
func ExampleRow() {
	type Citizen struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik,lookup,unique"`
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "unique")
	check(err)
	defer os.RemoveAll(dir)
	cfg, err := consent.OpenDir(ctx, filepath.Join(dir, "demo"))
	check(err)
	defer cfg.Close()
	citizens, err := consent.NewRecords[Citizen]("citizen", cfg)
	check(err)
	row, err := citizens.Seal(ctx, &Citizen{"p-1", "9271060312000001"}, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	check(err)
	nik := row.Unique["NIK"] // INSERT INTO citizen (id, sealed, nik_a, nik_b) VALUES ($1, $2, $3, $4), with row.Sealed, nik[0], nik[1]
	tokens, err := citizens.Lookup(ctx, "NIK", "9271 0603 1200 0001", consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"})
	check(err) // … WHERE nik_a = ANY($1) OR nik_b = ANY($1)
	fmt.Println(len(tokens), nik[0].V == tokens[0], nik[1].Valid)
	// Output: 1 true false
}
