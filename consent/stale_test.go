package consent

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

// twoRings are two processes' views of one key store and journal.
func twoRings(t *testing.T) (a, b *keyring.Ring) {
	t.Helper()
	ctx := context.Background()
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	keys := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	a, err = keyring.Create(ctx, "ring-test", keys)
	require.NoError(t, err)
	for _, name := range []string{evidence.ChainKeyset, evidence.TreeKeyset, auditCompartment} {
		require.NoError(t, a.CreateKeyset(ctx, name))
	}
	b, err = keyring.Open(ctx, keys)
	require.NoError(t, err)
	return a, b
}

// TestBypassStale: what one process records closes the next opening of another
// that shares the database.
func TestBypassStale(t *testing.T) {
	ctx := context.Background()
	for name, dial := range map[string]func(t *testing.T) func() *sql.DB{
		"sqlite": func(t *testing.T) func() *sql.DB {
			file := filepath.Join(t.TempDir(), "consent.db")
			return func() *sql.DB {
				db, err := sqlite.Open(file)
				require.NoError(t, err)
				t.Cleanup(func() { _ = sqlite.Close(db) })
				return db
			}
		},
		"postgres": func(t *testing.T) func() *sql.DB {
			dsn := pgtest.Start(t).Database(t)
			return func() *sql.DB { return pgtest.Open(t, dsn) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			dialled := dial(t)
			ring1, ring2 := twoRings(t)
			defer ring1.Close()
			defer ring2.Close()
			here, there := &Config{Ring: ring1, Provision: true}, &Config{Ring: ring2, Provision: true}
			reopen(t, here, dialled())
			reopen(t, there, dialled())
			r, other := people(t, here), people(t, there)
			row := sealed(t, r, ayu)
			for _, closes := range []func(id string) error{
				func(id string) error { return here.Withdraw(ctx, ayu.ID, id, "clerk") },
				func(string) error { return here.WithdrawAll(ctx, ayu.ID, "clerk") },
				func(string) error { // last: it stays
					_, err := here.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
					return err
				},
			} {
				id, err := here.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}})
				require.NoError(t, err)
				_, err = open(other, ayu.ID, row.Sealed, care)
				require.NoError(t, err)
				require.NoError(t, closes(id))
				_, err = open(other, ayu.ID, row.Sealed, care)
				require.ErrorIs(t, err, ErrDenied)
			}
		})
	}
}

// TestBypassStaleKeys: an erasure by another process is known within 5 seconds,
// where the key store lies in a database of its own.
func TestBypassStaleKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		ring1, ring2 := twoRings(t)
		defer ring1.Close()
		defer ring2.Close()
		here := &Config{Ring: ring1, Provision: true}
		reopen(t, here, nil)
		there := *here // ledger and log in memory, shared
		there.Ring = ring2
		r, other := people(t, here), people(t, &there)
		row := sealed(t, r, ayu)
		_, err := here.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}})
		require.NoError(t, err)
		_, err = open(other, ayu.ID, row.Sealed, care)
		require.NoError(t, err)
		_, err = here.Erase(ctx, ayu.ID, "clerk")
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		_, err = open(other, ayu.ID, row.Sealed, care)
		require.ErrorIs(t, err, keyring.ErrShredded)
	})
}
