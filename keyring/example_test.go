package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/rahasia/rahasia/keyring"
)

// A ring in memory, with a key file for its KEK.
func newRing() (*keyring.Ring, keyring.Config) {
	dir, err := os.MkdirTemp("", "keyring")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, "kek"))
	if err != nil {
		log.Fatal(err)
	}
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	ring, err := keyring.Create(context.Background(), "clinic", cfg)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"identity", "clinical"} {
		if err := ring.CreateKeyset(context.Background(), name); err != nil {
			log.Fatal(err)
		}
	}
	return ring, cfg
}

func Example() {
	ctx := context.Background()
	ring, _ := newRing()
	defer ring.Close()

	keys, err := ring.CreateSubject(ctx, "patient-1", "identity", "clinical")
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range keys {
		fmt.Println(k)
	}
	receipt, err := ring.Shred(ctx, "patient-1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("keys destroyed:", receipt.Compartments)
	_, err = ring.Subject(ctx, "patient-1", "clinical")
	fmt.Println(errors.Is(err, keyring.ErrShredded))
	// Output:
	// keyring.SubjectKey(identity, generation 1)
	// keyring.SubjectKey(clinical, generation 1)
	// keys destroyed: [clinical identity]
	// true
}

func ExampleOpen() {
	ctx := context.Background()
	_, cfg := newRing()

	ring, err := keyring.Open(ctx, cfg)
	switch {
	case errors.Is(err, keyring.ErrNoRing):
		// a new system: keyring.Create, once, by hand
	case errors.Is(err, keyring.ErrRolledBack):
		// a restored backup: keyring.Replay, then Open again
	case errors.Is(err, keyring.ErrJournalLost):
		// find the journal; if it is gone for good, keyring.Reseed
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(ring)
	// Output: keyring.Ring(clinic)
}

func ExampleRing_Rotate() {
	ctx := context.Background()
	ring, _ := newRing()
	old, err := ring.CreateSubject(ctx, "patient-1", "clinical")
	if err != nil {
		log.Fatal(err)
	}
	version, err := ring.Rotate(ctx, "clinical")
	if err != nil {
		log.Fatal(err)
	}
	keys, err := ring.CreateSubject(ctx, "patient-2", "clinical")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(version, old[0].Version(), keys[0].Version())
	// Output: 2 1 2
}

// A key service is replaced: every process knows both while the keysets move.
func ExampleRing_Rewrap() {
	ctx := context.Background()
	ring, cfg := newRing()
	next, err := keyring.Passphrase("the next of at least 80 random bits")
	if err != nil {
		log.Fatal(err)
	}
	cfg.KEK = keyring.AnyKEK(next, cfg.KEK) // what other processes open the ring with

	report, err := ring.Rewrap(ctx, keyring.Rewrapping{KEK: next})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Done, report.Left, report.Failed)

	cfg.KEK = next // the old one is no longer needed
	_, err = keyring.Open(ctx, cfg)
	fmt.Println(err)
	// Output:
	// 3 0 0
	// <nil>
}

// A patient asks for erasure, and a law obliges to keep: the keys go to a
// custodian, and come back by the custodian's private key alone.
func ExampleRing_Retain() {
	ctx := context.Background()
	_, cfg := newRing()
	dir, err := os.MkdirTemp("", "custodian")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	private, err := keyring.CreateCustodianKey(filepath.Join(dir, "key")) // on the custodian's own machine
	if err != nil {
		log.Fatal(err)
	}
	cfg.Custodian, err = keyring.ParseCustodian(private.Custodian().String()) // the service has the public key
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := ring.CreateSubject(ctx, "patient-1", "clinical"); err != nil {
		log.Fatal(err)
	}
	receipt, err := ring.Retain(ctx, "patient-1", keyring.Retention{
		Until: time.Date(2051, 11, 22, 0, 0, 0, 0, time.UTC), Basis: "Permenkes 24/2022 art. 39",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Action, receipt.Compartments)
	_, err = ring.Subject(ctx, "patient-1", "clinical")
	fmt.Println(err)
	_, err = ring.Shred(ctx, "patient-1") // before the end date by an authority alone: ShredRetained
	fmt.Println(errors.Is(err, keyring.ErrRetained))

	// The patient returns, or a court asks.
	if err := ring.EndRetention(ctx, "patient-1", private); err != nil {
		log.Fatal(err)
	}
	keys, err := ring.Subject(ctx, "patient-1", "clinical")
	fmt.Println(keys, err)
	// Output:
	// retained [clinical]
	// keyring: subject retained until 2051-11-22T00:00:00Z: Permenkes 24/2022 art. 39
	// true
	// [keyring.SubjectKey(clinical, generation 1)] <nil>
}

// A key has leaked: new records under a new one, the old records sealed again,
// and then, a minute later at the earliest, EndRekey.
func ExampleRing_Rekey() {
	ctx := context.Background()
	ring, _ := newRing()
	if _, err := ring.CreateSubject(ctx, "patient-1", "clinical"); err != nil {
		log.Fatal(err)
	}
	if err := ring.Rekey(ctx, "patient-1"); err != nil {
		log.Fatal(err)
	}
	keys, err := ring.Subject(ctx, "patient-1", "clinical")
	if err != nil {
		log.Fatal(err)
	}
	_, old := keys[0].Record(1)
	fmt.Println(keys[0], old)
	err = ring.EndRekey(ctx, "patient-1")
	fmt.Println(errors.Is(err, keyring.ErrState)) // another process may be sealing under the old one
	// Output:
	// keyring.SubjectKey(clinical, generation 2) <nil>
	// true
}

// A version that may be compromised: a new one, its keys moved, suspended. A
// minute later it can be destroyed.
func ExampleRing_SetState() {
	ctx := context.Background()
	ring, _ := newRing()
	if _, err := ring.Rotate(ctx, "clinical"); err != nil {
		log.Fatal(err)
	}
	if _, err := ring.Rewrap(ctx, keyring.Rewrapping{Keysets: []string{"clinical"}}); err != nil {
		log.Fatal(err)
	}
	if err := ring.SetState(ctx, "clinical", 1, keyring.Suspended); err != nil {
		log.Fatal(err)
	}
	clinical, err := ring.Keyset(ctx, "clinical")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(clinical.States())
	// Output: map[1:suspended 2:active]
}

// The keys of a page of patients by one call of the store.
func ExampleRing_Subjects() {
	ctx := context.Background()
	ring, _ := newRing()
	if _, err := ring.CreateSubjects(ctx, []string{"patient-1", "patient-2"}, "identity", "clinical"); err != nil {
		log.Fatal(err)
	}
	page, err := ring.Subjects(ctx, []string{"patient-2", "patient-9"}, "clinical")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(page[0].Keys, page[0].Err)
	fmt.Println(page[1].Keys, page[1].Err)
	// Output:
	// [keyring.SubjectKey(clinical, generation 1)] <nil>
	// [] keyring: compartment "clinical": no subject key
}

// A service that handles only identity cannot ask for more by mistake.
func ExampleRing_Only() {
	ring, _ := newRing()
	reception := ring.Only("identity")
	_, err := reception.Keyset(context.Background(), "clinical")
	fmt.Println(err)
	// Output: keyring: keyset "clinical": keyset not granted
}

// A keyset moves to another ring, or to any program with Tink, under a KEK that
// both may use; never in clear.
func ExampleRing_ExportKeyset() {
	ctx := context.Background()
	ring, _ := newRing()
	transfer, err := keyring.Passphrase("told on the telephone, once")
	if err != nil {
		log.Fatal(err)
	}
	encrypted, err := ring.ExportKeyset(ctx, "clinical", transfer)
	if err != nil {
		log.Fatal(err)
	}
	other, _ := newRing()
	if err := other.ImportKeyset(ctx, "clinical-of-old", encrypted, transfer); err != nil {
		log.Fatal(err)
	}
	keyset, err := other.Keyset(ctx, "clinical-of-old")
	fmt.Println(keyset, err)
	// Output: keyring.Keyset(clinical-of-old) <nil>
}

func ExampleReplay() {
	ctx := context.Background()
	_, cfg := newRing() // its store was just restored from a backup
	if err := keyring.Replay(ctx, cfg); err != nil {
		log.Fatal(err)
	}
	_, err := keyring.Open(ctx, cfg)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleReseed() {
	ctx := context.Background()
	_, cfg := newRing()
	cfg.Journal = keyring.NewMemoryJournal() // the journal's disk is gone, for good
	_, err := keyring.Open(ctx, cfg)
	fmt.Println(errors.Is(err, keyring.ErrJournalLost))
	if err := keyring.Reseed(ctx, cfg); err != nil {
		log.Fatal(err)
	}
	_, err = keyring.Open(ctx, cfg)
	fmt.Println(err)
	// Output:
	// true
	// <nil>
}

// The KEK is gone; the ring comes back under another, from its export.
func ExampleRestore() {
	ctx := context.Background()
	ring, cfg := newRing()
	second, err := keyring.Passphrase("of the export; random, and in other hands")
	if err != nil {
		log.Fatal(err)
	}
	export, err := ring.Export(ctx, second) // after every change of a keyset
	if err != nil {
		log.Fatal(err)
	}

	cfg.KEK, err = keyring.PassphraseCost("a new one", keyring.Argon2id{Memory: 96 << 10, Passes: 3, Lanes: 4})
	if err != nil {
		log.Fatal(err)
	}
	if err := keyring.Restore(ctx, cfg, export, second); err != nil {
		log.Fatal(err)
	}
	ring, err = keyring.Open(ctx, cfg)
	fmt.Println(ring, err)
	// Output: keyring.Ring(clinic) <nil>
}
