package keyring_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// oneKey returns alice's key in clinical.
func oneKey(t testing.TB, r *keyring.Ring) *keyring.SubjectKey {
	t.Helper()
	keys, err := r.Subject(t.Context(), alice, "clinical")
	require.NoError(t, err)
	return keys[0]
}

// record seals under a generation, and opens what was sealed.
func record(t testing.TB, k *keyring.SubjectKey, generation uint32) string {
	t.Helper()
	a, err := k.Record(generation)
	require.NoError(t, err)
	return sealed(a)
}

func requireNoRecord(t testing.TB, k *keyring.SubjectKey, generations ...uint32) {
	t.Helper()
	for _, g := range generations {
		a, err := k.Record(g)
		requireError(t, err, keyring.ErrUnknownGeneration)
		require.True(t, a.IsZero())
	}
}

const rekeyed = 61 * time.Second // after which EndRekey may

func TestRekey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		first := oneKey(t, w.ring)
		was, derived := record(t, first, 1), secret.Expose(first.Derive("x"))
		requireNoRecord(t, first, 0, 2, 1<<32-1)
		calls := w.kek.opens.Load()
		require.NoError(t, w.ring.Rekey(ctx, alice))
		require.Equal(t, calls, w.kek.opens.Load(), "the keysets are loaded")

		second := oneKey(t, w.ring) // at once
		require.EqualValues(t, 2, second.Generation())
		require.Equal(t, was, record(t, second, 1), "what was sealed before opens")
		fresh := record(t, second, 2)
		require.NotEqual(t, was, fresh)
		require.NotEqual(t, derived, secret.Expose(second.Derive("x")), "of the newest")
		_, ok := first.DeriveOlder("x")
		require.False(t, ok)
		older, ok := second.DeriveOlder("x")
		require.True(t, ok)
		require.Equal(t, derived, secret.Expose(older), "and of the one before")
		requireNoRecord(t, second, 0, 3)
		require.Equal(t, fresh, record(t, oneKey(t, w.open(t)), 2))
		budis, err := w.ring.Subject(ctx, budi, "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 1, budis[0].Generation())

		requireError(t, w.ring.Rekey(ctx, alice), keyring.ErrState) // one at a time
		requireError(t, w.ring.EndRekey(ctx, alice), keyring.ErrState)
		time.Sleep(60*time.Second - time.Nanosecond)
		requireError(t, w.ring.EndRekey(ctx, alice), keyring.ErrState)
		require.Equal(t, was, record(t, oneKey(t, w.ring), 1))
		time.Sleep(time.Nanosecond)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		requireNoRecord(t, oneKey(t, w.ring), 1)
		_, ok = oneKey(t, w.ring).DeriveOlder("x")
		require.False(t, ok)
		require.Equal(t, fresh, record(t, oneKey(t, w.ring), 2))
		requireError(t, w.ring.EndRekey(ctx, alice), keyring.ErrState)
		require.Len(t, keyring.Rows(w.Store)[w.ring.TagOf("clinical", alice)].Wrapped, 60, "the older key is gone from the row")

		require.NoError(t, w.ring.Rekey(ctx, alice)) // and again
		third := oneKey(t, w.ring)
		require.EqualValues(t, 3, third.Generation())
		require.Equal(t, fresh, record(t, third, 2))
		requireNoRecord(t, third, 1)
		require.NotContains(t, w.text(t), alice)
		_ = w.ring.Close()
	})
}

func TestRekeyRefuses(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before, rows := w.text(t), keyring.Backup(w.Store)
	for _, rekey := range []func(*keyring.Ring, string) error{
		func(r *keyring.Ring, id string) error { return r.Rekey(ctx, id) },
		func(r *keyring.Ring, id string) error { return r.EndRekey(ctx, id) },
	} {
		requireError(t, rekey(w.ring, ""), keyring.ErrEmpty)
		requireError(t, rekey(w.ring, "patient-alise"), keyring.ErrNoSubjectKey)
		requireError(t, rekey(w.ring.Only("clinical"), alice), keyring.ErrNotGranted)
	}
	requireError(t, w.ring.EndRekey(ctx, alice), keyring.ErrState)
	require.Equal(t, before, w.text(t))
	require.Equal(t, keyring.Rows(rows), keyring.Rows(w.Store))

	w.retainAlice(t, 1)
	requireError(t, w.ring.Rekey(ctx, alice), keyring.ErrRetained)
	requireError(t, w.ring.EndRekey(ctx, alice), keyring.ErrRetained)
	_, err := w.ring.Shred(ctx, budi)
	require.NoError(t, err)
	requireError(t, w.ring.Rekey(ctx, budi), keyring.ErrShredded)
	requireError(t, w.ring.EndRekey(ctx, budi), keyring.ErrShredded)
	require.NoError(t, w.ring.Close())
	requireError(t, w.ring.Rekey(ctx, alice), keyring.ErrClosed)
	requireError(t, w.ring.EndRekey(ctx, alice), keyring.ErrClosed)
}

// Two processes: the new generation is seen within 5 seconds, and so is the end
// of the older one, by a process that had it in memory.
func TestRekeyBetweenProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		other := w.open(t)
		was := record(t, oneKey(t, other), 1)
		require.NoError(t, w.ring.Rekey(ctx, alice))
		require.Equal(t, was, record(t, oneKey(t, other), 1), "whatever it sees")
		time.Sleep(5*time.Second + time.Millisecond)
		k := oneKey(t, other)
		require.EqualValues(t, 2, k.Generation())
		require.Equal(t, was, record(t, k, 1))
		time.Sleep(rekeyed)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		time.Sleep(5*time.Second + time.Millisecond)
		requireNoRecord(t, oneKey(t, other), 1)
		_ = other.Close()
		_ = w.ring.Close()
	})
}

// A load that began before a rekeying serves nobody who asks after it.
func TestRekeyDuringALoad(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	store := &pausingStore{Store: w.Store, read: make(chan struct{}), goOn: make(chan struct{})}
	read := store.read
	cfg := w.Config
	cfg.Store = store
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	slow := make(chan uint32)
	go func() {
		keys, err := r.Subject(ctx, alice, "clinical")
		if err != nil {
			t.Error(err)
		}
		slow <- keys[0].Generation()
	}()
	<-read
	require.NoError(t, r.Rekey(ctx, alice))
	require.EqualValues(t, 2, oneKey(t, r).Generation())
	close(store.goOn)
	<-slow
	require.EqualValues(t, 2, oneKey(t, r).Generation(), "it left nothing in memory")
}

// Rekeyed, retained and brought back, rewrapped: both generations are what they were.
func TestRekeyAndTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := withCustodian(t)
		require.NoError(t, w.ring.Rekey(ctx, alice))
		k := oneKey(t, w.ring)
		one, two := record(t, k, 1), record(t, k, 2)
		check := func() {
			t.Helper()
			k := oneKey(t, w.open(t))
			require.Equal(t, two, record(t, k, 2))
			require.Equal(t, one, record(t, k, 1))
		}
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		report, err := w.ring.Rewrap(ctx, keyring.Rewrapping{})
		require.NoError(t, err)
		require.Equal(t, 2, report.Done)
		check()
		w.retainAlice(t, 1)
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
		check()
		time.Sleep(rekeyed)
		// A key made since the rekeying is none of its business.
		require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
		_, err = w.ring.CreateSubject(ctx, alice, "audit")
		require.NoError(t, err)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		requireNoRecord(t, oneKey(t, w.open(t)), 1)
		require.NoError(t, w.ring.Rekey(ctx, alice))
		keys, err := w.ring.Subject(ctx, alice, "audit", "clinical", "identity")
		require.NoError(t, err)
		for i, want := range []uint32{2, 3, 3} {
			require.Equal(t, want, keys[i].Generation())
		}
		_ = w.ring.Close()
	})
}

// EndRekey destroys the older generation in the package of a retention whose end
// was cut short, too.
func TestEndRekeyEmptiesALeftPackage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := withCustodian(t)
		w.retainAlice(t, 1)
		custody := w.ring.CustodyTagOf(alice)
		left := keyring.Rows(w.Store)[custody]
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
		w.putRow(left) // as if the last step had not come
		require.NoError(t, w.ring.Rekey(ctx, alice))
		require.Equal(t, left, keyring.Rows(w.Store)[custody])
		time.Sleep(rekeyed)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		require.Len(t, keyring.Rows(w.Store)[custody].Wrapped, 48)
		_ = w.ring.Close()
	})
}

// Rows of before: put back, or in a store that was restored.
func TestAttackRowFromBeforeARekey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		tag := w.ring.TagOf("clinical", alice)
		row := func() keyring.KeyRecord { return keyring.Rows(w.Store)[tag] }
		old := row()
		require.NoError(t, w.ring.Rekey(ctx, alice))
		during := row()
		k := oneKey(t, w.ring)
		two := record(t, k, 2)

		keyring.Rows(w.Store)[tag] = old
		for _, r := range []*keyring.Ring{w.open(t), w.open(t)} {
			_, err := r.Subject(ctx, alice, "clinical")
			requireError(t, err, keyring.ErrRolledBack)
			_, err = r.CreateSubject(ctx, alice, "clinical")
			requireError(t, err, keyring.ErrRolledBack)
			requireError(t, r.Rekey(ctx, alice), keyring.ErrRolledBack)
			time.Sleep(rekeyed)
			requireError(t, r.EndRekey(ctx, alice), keyring.ErrRolledBack)
		}
		keyring.Rows(w.Store)[tag] = during
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		ended := row()
		require.NotEqual(t, during, ended)
		keyring.Rows(w.Store)[tag] = during // below the floor
		k = oneKey(t, w.open(t))
		require.Equal(t, two, record(t, k, 2))
		requireNoRecord(t, k, 1)
		require.NoError(t, w.open(t).EndRekey(ctx, alice), "called again it cleans up")
		require.Len(t, row().Wrapped, 60)

		// A generation that was never made.
		forged := ended
		forged.Generation = 9
		keyring.Rows(w.Store)[tag] = forged
		_, err := w.open(t).Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrCorrupt)
		_ = w.ring.Close()
	})
}

// A restored store has not the new key: that is said, and only what is sealed
// since is lost. Where the row is gone too, a new key has a generation of its own.
func TestRestoreFromBeforeARekey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		before := keyring.Backup(w.Store)
		require.NoError(t, w.ring.Rekey(ctx, alice))
		for _, gone := range []bool{false, true} {
			keyring.PutBack(w.Store, before)
			if gone {
				for _, c := range []string{"clinical", "identity"} {
					delete(keyring.Rows(w.Store), w.ring.TagOf(c, alice))
				}
			}
			require.NoError(t, keyring.Replay(ctx, w.Config))
			r := w.open(t)
			_, err := r.CreateSubject(ctx, alice, "clinical")
			if !gone {
				requireError(t, err, keyring.ErrRolledBack)
				continue
			}
			require.NoError(t, err)
			k := oneKey(t, r)
			require.EqualValues(t, 3, k.Generation())
			requireNoRecord(t, k, 1, 2)
			three := record(t, k, 3)
			time.Sleep(rekeyed)
			requireError(t, r.EndRekey(ctx, alice), keyring.ErrState)
			require.NoError(t, r.Rekey(ctx, alice))
			k = oneKey(t, r)
			require.EqualValues(t, 4, k.Generation())
			require.Equal(t, three, record(t, k, 3))
			time.Sleep(rekeyed)
			require.NoError(t, r.EndRekey(ctx, alice))
			_ = r.Close()
		}
		_ = w.ring.Close()
	})
}

// The journal is lost, and with it which generation is the newest: the rows tell.
func TestReseedOfTheRekeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		for _, ended := range []bool{false, true} {
			w := inhabited(t)
			require.NoError(t, w.ring.Rekey(ctx, alice))
			two := record(t, oneKey(t, w.ring), 2)
			time.Sleep(rekeyed)
			newest := uint32(2) // a rekeying that the journal has lost goes on
			if ended {
				require.NoError(t, w.ring.EndRekey(ctx, alice))
				newest = 3
			}
			w.rewrite(t, "")
			require.NoError(t, keyring.Reseed(ctx, w.Config))
			r := w.open(t)
			require.Equal(t, two, record(t, oneKey(t, r), 2))
			requireError(t, r.EndRekey(ctx, alice), keyring.ErrState)
			require.NoError(t, r.Rekey(ctx, alice))
			k := oneKey(t, r)
			require.Equal(t, newest, k.Generation())
			require.Equal(t, two, record(t, k, 2))
			time.Sleep(rekeyed)
			require.NoError(t, r.EndRekey(ctx, alice))
			_ = r.Close()
			_ = w.ring.Close()
		}
	})
}

// A rewrapping that moves a row in between: the call is to be made again, and
// then goes on with the keys that it has made.
func TestRekeyBesideARewrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		was := record(t, oneKey(t, w.ring), 1)
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		store := &rewrappingStore{Store: w.Store}
		cfg := w.Config
		cfg.Store = store
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		mover := w.open(t)
		store.do = func() {
			_, err := mover.Rewrap(ctx, keyring.Rewrapping{})
			require.NoError(t, err)
		}
		requireError(t, r.Rekey(ctx, alice), keyring.ErrConflict)
		half, err := w.open(t).Subject(ctx, alice, "clinical", "identity")
		require.NoError(t, err)
		require.EqualValues(t, 1, half[0].Generation())
		require.EqualValues(t, 2, half[1].Generation(), "the row that was not moved has its key")
		two := record(t, half[1], 2)
		require.NoError(t, r.Rekey(ctx, alice))
		keys, err := r.Subject(ctx, alice, "clinical", "identity")
		require.NoError(t, err)
		require.EqualValues(t, 2, keys[0].Generation())
		require.Equal(t, was, record(t, keys[0], 1))
		require.Equal(t, two, record(t, keys[1], 2), "not made twice")

		time.Sleep(rekeyed)
		_, err = w.open(t).Rotate(ctx, "clinical")
		require.NoError(t, err)
		mover = w.open(t)
		store.do = func() {
			_, err := mover.Rewrap(ctx, keyring.Rewrapping{})
			require.NoError(t, err)
		}
		requireError(t, r.EndRekey(ctx, alice), keyring.ErrConflict)
		requireNoRecord(t, oneKey(t, w.open(t)), 1)
		require.NoError(t, r.EndRekey(ctx, alice))
		require.Len(t, keyring.Rows(w.Store)[w.ring.TagOf("clinical", alice)].Wrapped, 60)
		_ = r.Close()
		_ = w.ring.Close()
	})
}

// rewrappingStore does something once, before rows are swapped.
type rewrappingStore struct {
	keyring.Store
	do func()
}

func (s *rewrappingStore) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	if do := s.do; do != nil {
		s.do = nil
		do()
	}
	return s.Store.SwapKeys(ctx, swaps)
}

// Rekeyed, retained, read by many at once, under -race: every record opens.
func TestRekeyRace(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	one := record(t, oneKey(t, w.ring), 1)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		r := w.open(t)
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				keys, err := r.Subject(ctx, alice, "clinical")
				if err != nil {
					t.Error(err)
					return
				}
				if a, err := keys[0].Record(1); err != nil || sealed(a) != one {
					t.Error("a record that does not open", err)
				}
			}
		})
	}
	var writers sync.WaitGroup
	for range 4 {
		r := w.open(t)
		writers.Go(func() {
			if _, err := r.Rotate(ctx, "clinical"); err != nil {
				t.Error(err)
			}
			if _, err := r.Rewrap(ctx, keyring.Rewrapping{}); err != nil {
				t.Error(err)
			}
			err := r.Rekey(ctx, alice)
			for errors.Is(err, keyring.ErrConflict) {
				err = r.Rekey(ctx, alice)
			}
			if err != nil && !errors.Is(err, keyring.ErrState) { // another did it
				t.Error(err)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	k := oneKey(t, w.open(t))
	require.EqualValues(t, 2, k.Generation())
	require.Equal(t, one, record(t, k, 1))
}
