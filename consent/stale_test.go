package consent

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
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

// TestBypassStalePage: who dawdles in a loop does not open on a consent that has
// expired meanwhile, nor under a version that was suspended.
func TestBypassStalePage(t *testing.T) {
	for name, stop := range map[string]func(cfg *Config, now *time.Time) error{
		"expired": func(_ *Config, now *time.Time) error { *now = now.AddDate(1, 0, 0); return nil },
		"suspended": func(cfg *Config, _ *time.Time) error {
			if _, err := cfg.Ring.Rotate(context.Background(), "identity"); err != nil {
				return err
			}
			time.Sleep(2 * time.Minute)
			return cfg.Ring.SetState(context.Background(), "identity", 1, keyring.Suspended)
		},
	} {
		for _, export := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", export), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					cfg, now := memoryConfig(t), noon
					cfg.Now = func() time.Time { return now }
					require.NoError(t, cfg.AddRecipient(ctx, "x"))
					r := people(t, cfg)
					rows := map[string]Row{}
					for _, id := range []string{"p-1", "p-2"} {
						p := ayu
						p.ID = id
						rows[id] = sealed(t, r, p)
						_, err := cfg.Give(ctx, Consent{Subject: id, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}, Until: now.AddDate(0, 1, 0)})
						require.NoError(t, err)
					}
					in := func(yield func(*person, envelope.Sealed) bool) {
						_ = yield(&person{ID: "p-1"}, rows["p-1"].Sealed) && yield(&person{ID: "p-2"}, rows["p-2"].Sealed)
					}
					given, stopped := 0, false
					dawdle := func(err error) {
						if err == nil {
							given++
						}
						if !stopped {
							stopped = true
							require.NoError(t, stop(cfg, &now))
							time.Sleep(answerAge)
						}
					}
					if export {
						req := care
						req.Recipient, req.Gate = "x", Gate{Ungated: "a test"}
						table, err := r.Export(ctx, in, req)
						require.NoError(t, err)
						for _, err := range table.Rows() {
							dawdle(err)
						}
					} else {
						for _, err := range r.OpenAll(ctx, in, care) {
							dawdle(err)
						}
					}
					require.Equal(t, 1, given)
				})
			})
		}
	}
}
