package consent

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/pseudo"
)

// tenant is a clinic with a ring of its own. Every clinic here has the same
// patient, who consents to treatment and research, and the same type and recipient.
type tenant struct {
	cfg *Config
	r   *Records[person]
	row Row
	dir string
}

func tenants(t *testing.T) (a, b *tenant) {
	t.Helper()
	dir := t.TempDir()
	open := func(name string) *tenant {
		x := &tenant{dir: filepath.Join(dir, name)}
		var err error
		x.cfg, err = OpenDir(t.Context(), x.dir)
		require.NoError(t, err)
		t.Cleanup(func() { _ = x.cfg.Close() })
		x.cfg.Guard = Guard{People: Limit{Hour: 1, Day: 1}}
		x.cfg.Policy = mergeConfig(t).Policy
		x.r = people(t, x.cfg)
		x.row = sealed(t, x.r, ayu)
		_, err = x.cfg.Give(t.Context(), Consent{ID: "c", Subject: ayu.ID, Purposes: []Purpose{Treatment, Research}, Sensitivity: []Label{AnyLabel}})
		require.NoError(t, err)
		require.NoError(t, x.cfg.AddRecipient(t.Context(), study.Recipient))
		return x
	}
	return open("menteng"), open("kemang")
}

// TestTenantsOpen: what one clinic sealed does not open, update, move or leave in
// the other, whose patient of that id consents to it all.
func TestTenantsOpen(t *testing.T) {
	ctx := context.Background()
	a, b := tenants(t)
	_, err := open(a.r, ayu.ID, a.row.Sealed, care)
	require.NoError(t, err)
	_, err = open(b.r, ayu.ID, b.row.Sealed, care)
	require.NoError(t, err, "each its own; else the refusals below say nothing")

	got, err := open(b.r, ayu.ID, a.row.Sealed, care)
	require.ErrorIs(t, err, envelope.ErrOpen)
	require.Equal(t, person{ID: ayu.ID}, got)
	require.Equal(t, NotAuthentic, last(t, b.cfg.Log).Reason)
	for _, err := range b.r.OpenAll(ctx, each([]stored{{ayu.ID, a.row.Sealed}}), care) {
		require.ErrorIs(t, err, envelope.ErrOpen)
	}
	_, err = b.r.Update(ctx, a.row.Sealed, &person{ID: ayu.ID, Name: "X"}, care, "Name")
	require.ErrorIs(t, err, envelope.ErrOpen)
	_, err = b.r.Rebind(ctx, a.row.Sealed, &person{ID: ayu.ID}, &person{ID: "p-other"}, registrar)
	require.ErrorIs(t, err, envelope.ErrOpen)
	table, err := b.r.Export(ctx, each([]stored{{ayu.ID, a.row.Sealed}}), study)
	require.NoError(t, err)
	for row, err := range table.Rows() {
		require.ErrorIs(t, err, envelope.ErrOpen)
		require.Nil(t, row)
	}

	inbox, _, app := intakeClinic(t, b.cfg)
	_, to, _ := intakeClinic(t, a.cfg)
	item, err := intakeOf[person](t, "person", to).Seal(&ayu, careTag)
	require.NoError(t, err)
	_, err = accepting(t, b.r, app, inbox, item)
	require.ErrorIs(t, err, envelope.ErrOpen)
}

// TestTenantsFind: neither a token nor a pseudonym is in both clinics.
func TestTenantsFind(t *testing.T) {
	ctx := context.Background()
	a, b := tenants(t)
	for _, field := range []string{"NIK", "Phone"} {
		require.NotEqual(t, a.row.Tokens[field], b.row.Tokens[field])
	}
	found, err := b.r.Lookup(ctx, "NIK", ayu.NIK, care)
	require.NoError(t, err)
	require.Equal(t, []pseudo.Token{b.row.Tokens["NIK"]}, found)
	by := care
	by.FoundBy = a.row.Tokens["NIK"]
	_, err = open(b.r, ayu.ID, b.row.Sealed, by)
	require.ErrorIs(t, err, ErrTokenMismatch)
	pseudonym := func(x *tenant) any {
		table, err := x.r.Export(ctx, each([]stored{{ayu.ID, x.row.Sealed}}), study)
		require.NoError(t, err)
		rows := readAll(t, table)
		require.Len(t, rows, 1)
		return rows[0][0]
	}
	require.NotEqual(t, pseudonym(a), pseudonym(b), "the same patient for the same recipient")
}

// TestTenantsCount: an actor who has reached the limit of one clinic has not that
// of the other, and consents and erasures of one are none of the other.
func TestTenantsCount(t *testing.T) {
	ctx := context.Background()
	a, b := tenants(t)
	second := ayu
	second.ID = "p-second"
	row := sealed(t, a.r, second, Treatment)
	_, err := open(a.r, ayu.ID, a.row.Sealed, care)
	require.NoError(t, err)
	_, err = open(a.r, second.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
	require.Equal(t, TooMany, last(t, a.cfg.Log).Reason)
	_, err = open(b.r, ayu.ID, b.row.Sealed, care)
	require.NoError(t, err)

	require.NoError(t, a.cfg.Withdraw(ctx, ayu.ID, "c", "clerk"))
	_, err = a.cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	_, err = open(b.r, ayu.ID, b.row.Sealed, care)
	require.NoError(t, err)
	history, err := b.cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.False(t, slices.ContainsFunc(history, func(e Entry) bool { return e.Action == "erase" || e.Action == "withdraw" }))
	require.Zero(t, investigate(t, b.cfg, Incident{Actor: "clerk"}, []string{ayu.ID}).Entries)
}

// TestTenantsProve: what one clinic's log and receipts prove is proved of it alone.
func TestTenantsProve(t *testing.T) {
	ctx := context.Background()
	a, b := tenants(t)
	placed(t, a.cfg.Log)
	proof, err := a.cfg.Log.Prove(ctx, 1)
	require.NoError(t, err)
	for _, x := range []*tenant{a, b} {
		key, err := x.cfg.Log.VerifierKey(ctx)
		require.NoError(t, err)
		of, err := x.cfg.ReceiptKeys(ctx)
		require.NoError(t, err)
		receipt, err := a.cfg.Receipt(ctx, ayu.ID, "c", "clerk", clinicNotice)
		require.NoError(t, err)
		_, receipts := CheckReceipt(receipt, of...)
		for i, err := range []error{proof.Check(key), x.cfg.Log.Extends(ctx, proof.Checkpoint), receipts} {
			if x == a {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, []error{ErrTampered, ErrTampered, ErrReceipt}[i])
			}
		}
	}
}

// TestTenantsMixedUp: ledger and log of one clinic do not serve the other's
// keys, in a configuration or in a database.
func TestTenantsMixedUp(t *testing.T) {
	ctx := context.Background()
	a, b := tenants(t)
	for name, mixed := range map[string]*Config{
		"ledger": {Ring: a.cfg.Ring, Ledger: b.cfg.Ledger, Log: a.cfg.Log},
		"log":    {Ring: a.cfg.Ring, Ledger: a.cfg.Ledger, Log: b.cfg.Log},
		"keys":   {Ring: b.cfg.Ring, Ledger: a.cfg.Ledger, Log: a.cfg.Log},
	} {
		_, err := NewRecords[person]("person", mixed)
		require.ErrorIs(t, err, ErrConfig, name)
		_, err = mixed.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
		require.ErrorIs(t, err, ErrConfig, name)
		_, err = mixed.Erase(ctx, ayu.ID, "clerk")
		require.ErrorIs(t, err, ErrConfig, name)
	}
	view := &Config{Ring: a.cfg.Ring.Only(append(slices.Clone(a.r.plan.Compartments), auditCompartment, pseudo.LookupDomain("person", "NIK"), pseudo.LookupDomain("person", "Phone"))...), Ledger: a.cfg.Ledger, Log: a.cfg.Log}
	_, err := open(people(t, view), ayu.ID, a.row.Sealed, care)
	require.NoError(t, err, "a view of the ring is of the ring")

	require.NoError(t, a.cfg.Close())
	db, err := sqlite.Open(filepath.Join(a.dir, recordsFile))
	require.NoError(t, err)
	defer db.Close()
	for _, open := range []func(*sql.DB) error{
		func(db *sql.DB) error { _, err := OpenLedger(ctx, b.cfg.Ring, db); return err },
		func(db *sql.DB) error { _, err := OpenLog(ctx, b.cfg.Ring, db); return err },
	} {
		require.ErrorIs(t, open(db), ErrTampered)
	}
}
