package consent_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// A configuration by hand: the keys under a passphrase, in a database of their own;
// ledger and log in another; the journal elsewhere. Then a second service that
// holds the keys of one compartment only.
func Example_byHand() {
	ctx := context.Background()
	const dsn = "file:%s?_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=secure_delete(on)&_pragma=busy_timeout(10000)"
	keys, err := sql.Open("sqlite", fmt.Sprintf(dsn, "keys.db"))
	check(err)
	records, err := sql.Open("sqlite", fmt.Sprintf(dsn, "consent.db"))
	check(err)
	store, err := sqlstore.New(ctx, keys)
	check(err)
	journal, err := keyring.OpenJournal("erasure.journal") // on another disk, with backups of its own
	check(err)
	kek, err := keyring.Passphrase("correct horse battery staple") // or a key file, or keyring.TinkAEAD of a key service
	check(err)

	ring, err := keyring.Create(ctx, "clinic", keyring.Config{Store: store, Journal: journal, KEK: kek}) // later: keyring.Open
	check(err)
	for _, name := range []string{"audit", "consent/ledger", "consent/log", "identity", "clinical", "lookup/patient/NIK"} {
		check(ring.CreateKeyset(ctx, name))
	}
	ledger, err := consent.OpenLedger(ctx, ring, records)
	check(err)
	audit, err := consent.OpenLog(ctx, ring, records)
	check(err)
	cfg := &consent.Config{Ring: ring, Ledger: ledger, Log: audit, Roles: map[string][]string{
		"doctor":     {"identity", "clinical"},
		"laboratory": {"clinical"},
	}}
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	check(err)
	p := Patient{"p-1", "9271060312000001", "Ardianto Putra", []string{"J45 Asthma"}}
	row, err := patients.Seal(ctx, &p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented, Actor: "registration"})
	check(err)
	_, err = cfg.Give(ctx, consent.Consent{Subject: p.ID, Purposes: []consent.Purpose{consent.Treatment}})
	check(err)

	// The laboratory's service: another process, with a KEK that opens no more.
	lab := &consent.Config{Ring: ring.Only("clinical", "audit", "consent/ledger", "consent/log"), Ledger: ledger, Log: audit, Roles: cfg.Roles}
	type view struct {
		ID        string   `phi:"subject"`
		Name      string   `phi:"name"`
		Diagnosis []string `phi:"clinical"`
	}
	views, err := consent.NewRecords[view]("patient", lab)
	check(err)
	out := view{ID: p.ID}
	err = views.Open(ctx, &out, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "lab-3", Role: "laboratory"})
	if partial := (*consent.WithheldError)(nil); errors.As(err, &partial) {
		fmt.Println(out.Diagnosis, "withheld:", partial.Fields[0].Field+",", partial.Fields[0].Reason)
	} else {
		check(err)
	}
	// Output:
	// [J45 Asthma] withheld: Name, the role may not open this compartment
}
