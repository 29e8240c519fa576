package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// copied makes a store in a database of all that a ring of one compartment has in another.
func copied(t testing.TB, from keyring.Store, db *sql.DB) *sqlstore.Store {
	ctx, to := t.Context(), storeIn(t, db)
	head, err := from.Head(ctx)
	require.NoError(t, err)
	keysets, err := from.Keysets(ctx)
	require.NoError(t, err)
	for _, rec := range keysets {
		now, err := to.Head(ctx)
		require.NoError(t, err)
		for revision := uint64(1); revision <= rec.Revision; revision++ { // in turn, as a store takes them
			staged := rec
			staged.Revision = revision
			require.NoError(t, to.StageKeyset(ctx, staged))
			require.NoError(t, to.Commit(ctx, keyring.Change{Prev: now, Head: head, Activate: staged}))
			now = head
		}
	}
	keys, err := from.StaleKeys(ctx, "clinical", 0, nil, 1<<30)
	require.NoError(t, err)
	_, err = to.CreateKeys(ctx, keys)
	require.NoError(t, err)
	return to
}

// rotated returns a ring in memory with subject keys under version 1 of two.
func rotated(t testing.TB, subjects int) keyring.Config {
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), rand.Text()))
	require.NoError(t, err)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	r, err := keyring.Create(t.Context(), "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(t.Context(), "clinical"))
	for i := range subjects {
		_, err := r.CreateSubject(t.Context(), fmt.Sprint("patient-", i), "clinical")
		require.NoError(t, err)
	}
	_, err = r.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	return cfg
}

func TestRewrap(t *testing.T) {
	cfg := rotated(t, 1500)
	cfg.Store = copied(t, cfg.Store, openDB(t, filepath.Join(t.TempDir(), "keys.db")))
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	report, err := r.Rewrap(ctx, keyring.Rewrapping{Progress: func(keyring.Report) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, keyring.Report{Done: 1000, Left: 500}, report)
	report, err = r.Rewrap(t.Context(), keyring.Rewrapping{})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 500}, report)
	keys, err := r.Subject(t.Context(), "patient-1499", "clinical")
	require.NoError(t, err)
	require.Equal(t, uint32(2), keys[0].Version())
}

// Subject keys a second, the fsync of every page included. The bar of DESIGN §9
// is 20,000.
func BenchmarkRewrap(b *testing.B) {
	const n = 20000
	cfg := rotated(b, n)
	memory := cfg.Store
	for _, kind := range []struct {
		name  string
		fresh func(testing.TB) database
	}{{"sqlite", freshSQLite}, {"postgres", func(t testing.TB) database { return freshPostgres(sqlstore.Server.Start(t))(t) }}} {
		b.Run(kind.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				cfg.Store = copied(b, memory, kind.fresh(b).open(b))
				r, err := keyring.Open(b.Context(), cfg)
				require.NoError(b, err)
				b.StartTimer()
				report, err := r.Rewrap(b.Context(), keyring.Rewrapping{})
				require.NoError(b, err)
				require.Equal(b, keyring.Report{Done: n}, report)
			}
			b.ReportMetric(float64(b.N)*n/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

// A page of patients with keys in three compartments, by the number of
// patients: loaded by a process that has none of them, or created.
func BenchmarkRingSubjects(b *testing.B) {
	cfg := rotated(b, 0)
	cfg.Store = newStore(b, filepath.Join(b.TempDir(), "keys.db"))
	cfg.Journal = keyring.NewMemoryJournal()
	cfg.CacheEntries = 1 // nearly none
	r, err := keyring.Create(b.Context(), "clinic", cfg)
	require.NoError(b, err)
	all := []string{"identity", "clinical", "sensitive"}
	for _, name := range all {
		require.NoError(b, r.CreateKeyset(b.Context(), name))
	}
	made := 0
	for _, n := range []int{1, 50, 1000} {
		ids := make([]string, n)
		next := func() {
			for i := range ids {
				made++
				ids[i] = fmt.Sprint("patient-", made)
			}
		}
		b.Run(fmt.Sprint("create/", n), func(b *testing.B) {
			for b.Loop() {
				next()
				_, err := r.CreateSubjects(b.Context(), ids, all...)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "patients/s")
		})
		b.Run(fmt.Sprint("get/", n), func(b *testing.B) {
			for b.Loop() {
				_, err := r.Subjects(b.Context(), ids, all...)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "patients/s")
		})
	}
}
