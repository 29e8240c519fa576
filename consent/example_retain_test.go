package consent_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// A patient asks for erasure, and a law obliges to keep the record: its keys go to
// a custodian, and nobody here opens it any more.
func ExampleConfig_Retain() {
	ctx := context.Background()
	tmp, err := os.MkdirTemp("", "retain")
	check(err)
	defer os.RemoveAll(tmp)
	dir := filepath.Join(tmp, "demo")
	key, err := keyring.CreateCustodianKey(filepath.Join(tmp, "safe")) // on the custodian's own machine
	check(err)
	check(os.WriteFile(dir+".custodian", []byte(key.Custodian().String()), 0o600)) // the public half, beside the folder

	cfg, err := consent.OpenDir(ctx, dir)
	check(err)
	defer cfg.Close()
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	p := Patient{ID: "p-1", Name: "Ardianto Putra"}
	row, err := patients.Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	check(err)

	why := keyring.Retention{Until: time.Now().AddDate(25, 0, 0), Basis: "Permenkes 24/2022 art. 39"}
	_, err = cfg.Retain(ctx, p.ID, "privacy-officer", why)
	check(err)
	err = patients.Open(ctx, &p, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"})
	fmt.Println(errors.Is(err, keyring.ErrRetained))
	_, err = cfg.Erase(ctx, p.ID, "privacy-officer") // before the time
	fmt.Println(errors.Is(err, keyring.ErrRetained))
	// Output:
	// true
	// true
}
