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
	check(err)
	defer os.RemoveAll(dir)
	apart, err := os.MkdirTemp("", "apart") // key and journal are kept and backed up apart from the rest
	check(err)
	defer os.RemoveAll(apart)
	kek, err := keyring.CreateKeyFile(filepath.Join(apart, "key"))
	check(err)
	journal, err := keyring.OpenJournal(filepath.Join(apart, "erasure.journal"))
	check(err)
	store, err := dirstore.Open(filepath.Join(dir, "keys"))
	check(err)
	ring, err := keyring.Create(ctx, "field-clinic", keyring.Config{Store: store, Journal: journal, KEK: kek}) // from then on keyring.Open
	check(err)
	defer ring.Close()
	for _, name := range []string{"audit", "consent/ledger", "consent/log"} {
		check(ring.CreateKeyset(ctx, name))
	}
	ledger, err := consent.OpenLedgerDir(ctx, ring, filepath.Join(dir, "evidence"))
	check(err)
	audit, err := consent.OpenLogDir(ctx, ring, filepath.Join(dir, "evidence"))
	check(err)
	cfg := &consent.Config{Ring: ring, Ledger: ledger, Log: audit, Provision: true} // NewRecords makes the keysets of its type
	_, err = cfg.Give(ctx, consent.Consent{Subject: "p-1", Purposes: []consent.Purpose{consent.Treatment}, Recorder: "clerk-2"})
	check(err)
	n, err := cfg.Log.Verify(ctx)
	fmt.Println(n, "entry,", err)
	// Output: 1 entry, <nil>
}
