package consent_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/dirstore"
)

// All in files: keys, consents and log without a database.
func ExampleOpenLedgerDir() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "files")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	store, err := dirstore.Open(filepath.Join(dir, "keys"))
	if err != nil {
		panic(err)
	}
	journal, err := keyring.OpenJournal(filepath.Join(dir, "erasure.journal"))
	if err != nil {
		panic(err)
	}
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, "key"))
	if err != nil {
		panic(err)
	}
	ring, err := keyring.Create(ctx, "field-clinic", keyring.Config{Store: store, Journal: journal, KEK: kek})
	if err != nil {
		panic(err)
	}
	defer ring.Close()
	for _, name := range []string{"audit", "consent/ledger", "consent/log"} {
		if err := ring.CreateKeyset(ctx, name); err != nil {
			panic(err)
		}
	}
	cfg := &consent.Config{Ring: ring}
	if cfg.Ledger, err = consent.OpenLedgerDir(ctx, ring, filepath.Join(dir, "evidence")); err != nil {
		panic(err)
	}
	if cfg.Log, err = consent.OpenLogDir(ctx, ring, filepath.Join(dir, "evidence")); err != nil {
		panic(err)
	}
	if _, err := cfg.Give(ctx, consent.Consent{Subject: "p-1", Purposes: []consent.Purpose{consent.Treatment}, Recorder: "clerk-2"}); err != nil {
		panic(err)
	}
	n, err := cfg.Log.Verify(ctx)
	fmt.Println(n, "entry,", err)
	// Output: 1 entry, <nil>
}
