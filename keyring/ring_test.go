package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

func TestCreateAndOpen(t *testing.T) {
	w := newWorld(t, "clinical")
	require.Equal(t, "clinic", w.ring.ID())
	again := w.open(t)
	require.Equal(t, "clinic", again.ID())
	a, err := w.ring.Keyset(t.Context(), "clinical")
	require.NoError(t, err)
	b, err := again.Keyset(t.Context(), "clinical")
	require.NoError(t, err)
	require.Equal(t, derived(t, a, 1), derived(t, b, 1))

	_, err = keyring.Create(t.Context(), "clinic", w.Config)
	requireError(t, err, keyring.ErrExists)
	other := w.Config
	other.Store = keyring.NewMemoryStore()
	_, err = keyring.Create(t.Context(), "other", other)
	requireError(t, err, keyring.ErrExists) // the journal is another ring's
}

func derived(t testing.TB, k *keyring.Keyset, version uint32) string {
	key, err := k.Derive(version, "test/v1", "part")
	require.NoError(t, err)
	return fmt.Sprintf("%x", secret.Expose(key))
}

func TestCreateRefuses(t *testing.T) {
	ctx := t.Context()
	good := func() keyring.Config {
		return keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: newKEK()}
	}
	for name, c := range map[string]struct {
		id     string
		change func(*keyring.Config)
		want   error
	}{
		"no id":        {"", func(*keyring.Config) {}, keyring.ErrEmpty},
		"bad id":       {"a b", func(*keyring.Config) {}, keyring.ErrName},
		"long id":      {strings.Repeat("a", 65), func(*keyring.Config) {}, keyring.ErrName},
		"no store":     {"a", func(c *keyring.Config) { c.Store = nil }, keyring.ErrEmpty},
		"no journal":   {"a", func(c *keyring.Config) { c.Journal = nil }, keyring.ErrEmpty},
		"zero journal": {"a", func(c *keyring.Config) { c.Journal = &keyring.Journal{} }, keyring.ErrEmpty},
		"no KEK":       {"a", func(c *keyring.Config) { c.KEK = nil }, keyring.ErrKEK},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good()
			c.change(&cfg)
			_, err := keyring.Create(ctx, c.id, cfg)
			requireError(t, err, c.want)
			if cfg.Store != nil {
				_, err = keyring.Open(ctx, cfg)
				require.Error(t, err)
			}
		})
	}
	cfg := good()
	cfg.CacheAge = -1
	_, err := keyring.Create(ctx, "a", cfg)
	require.ErrorContains(t, err, "negative")
	_, err = keyring.Open(ctx, good())
	requireError(t, err, keyring.ErrNoRing)
}

func TestCreateKeyset(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	for _, name := range []string{"clinical", "a", strings.Repeat("z", 32), "lookup/patient/NIK", "research/ui-2026", "consent/log"} {
		require.NoError(t, w.ring.CreateKeyset(ctx, name), name)
		requireError(t, w.ring.CreateKeyset(ctx, name), keyring.ErrExists)
		k, err := w.ring.Keyset(ctx, name)
		require.NoError(t, err)
		require.Equal(t, name, k.Name())
		require.EqualValues(t, 1, k.Primary())
		require.Equal(t, []uint32{1}, k.Versions())
	}
	requireError(t, w.ring.CreateKeyset(ctx, ""), keyring.ErrEmpty)
	for _, name := range []string{"ring", "Clinical", "a b", "a/../b", "/", strings.Repeat("z", 33), strings.Repeat("z", 128) + "/a"} {
		requireError(t, w.ring.CreateKeyset(ctx, name), keyring.ErrName)
		_, err := w.ring.Keyset(ctx, name)
		requireError(t, err, keyring.ErrName)
		_, err = w.ring.Rotate(ctx, name)
		requireError(t, err, keyring.ErrName)
	}
	_, err := w.ring.Keyset(ctx, "typo")
	requireError(t, err, keyring.ErrNoKeyset)
	_, err = w.ring.Rotate(ctx, "typo")
	requireError(t, err, keyring.ErrNoKeyset)
}

func TestRotate(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical")
	other := w.open(t)
	before, err := w.ring.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	v, err := w.ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
	old, err := w.ring.Keyset(ctx, "clinical")
	require.NoError(t, err)
	v, err = w.ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 3, v)
	k, err := w.ring.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 3, k.Primary())
	require.Equal(t, []uint32{3, 2, 1}, k.Versions())
	require.Equal(t, []uint32{2, 1}, old.Versions(), "a snapshot stays what it was")
	require.Len(t, map[string]bool{derived(t, k, 1): true, derived(t, k, 2): true, derived(t, k, 3): true}, 3)

	for name, r := range map[string]*keyring.Ring{"this": w.ring, "other": other, "new": w.open(t)} {
		t.Run(name, func(t *testing.T) {
			keys, err := r.Subject(ctx, alice, "clinical")
			require.NoError(t, err)
			require.Equal(t, tokens(t, before), tokens(t, keys), "what was sealed before opens")
			require.EqualValues(t, 1, keys[0].Version())
			keys, err = r.CreateSubject(ctx, "new to "+name, "clinical")
			require.NoError(t, err)
			require.EqualValues(t, 3, keys[0].Version(), "new keys use the new version")
		})
	}
}

func TestDerive(t *testing.T) {
	w := newWorld(t, "clinical")
	k, err := w.ring.Keyset(t.Context(), "clinical")
	require.NoError(t, err)
	_, err = k.Derive(2, "label")
	requireError(t, err, keyring.ErrUnknownVersion)
	_, err = k.Derive(1, "")
	requireError(t, err, keyring.ErrEmpty)
	_, err = k.Derive(1, "label", strings.Repeat("a", 1<<16))
	requireError(t, err, keyring.ErrName)
	seen := map[string]bool{}
	for _, parts := range [][]string{{"a"}, {"a", ""}, {"a", "b"}, {"ab"}, {"a", "b", "c"}, {"a", "bc"}} {
		key, err := k.Derive(1, parts[0], parts[1:]...)
		require.NoError(t, err)
		seen[string(secret.Expose(key))] = true
	}
	require.Len(t, seen, 6)
}

func TestOnly(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "identity", "clinical", "research/ui-2026")
	_, err := w.ring.CreateSubject(ctx, alice, "identity", "clinical")
	require.NoError(t, err)
	store := &faultyStore{Store: w.Store}
	cfg := w.Config
	cfg.Store = store
	full, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	view := full.Only("clinical", "never-made")
	store.calls.Store(0)
	kekCalls := w.kek.opens.Load()
	for what, err := range map[string]error{
		"keyset":        second(view.Keyset(ctx, "identity")),
		"domain":        second(view.Keyset(ctx, "research/ui-2026")),
		"subject":       second(view.Subject(ctx, alice, "identity")),
		"one of two":    second(view.Subject(ctx, alice, "clinical", "identity")),
		"create":        second(view.CreateSubject(ctx, alice, "identity")),
		"rotate":        second(view.Rotate(ctx, "identity")),
		"create keyset": view.CreateKeyset(ctx, "audit"),
	} {
		t.Run(what, func(t *testing.T) { requireError(t, err, keyring.ErrNotGranted) })
	}
	require.Zero(t, store.calls.Load(), "refused before any call of the store")
	require.Equal(t, kekCalls, w.kek.opens.Load(), "refused before any call of the KEK")
	_, err = view.Shred(ctx, alice)
	requireError(t, err, keyring.ErrNotGranted)

	_, err = view.Subject(ctx, alice, "clinical")
	require.NoError(t, err)
	require.True(t, view.Granted("clinical"))
	require.True(t, view.Granted("ring"))
	require.False(t, view.Granted("identity"))
	require.True(t, full.Granted("identity"))
	require.Equal(t, "clinic", view.ID())

	narrower := view.Only("identity", "clinical")
	require.False(t, narrower.Granted("identity"), "a view of a view grants no more")
	require.True(t, narrower.Granted("clinical"))
	none := full.Only()
	_, err = none.Keyset(ctx, "clinical")
	requireError(t, err, keyring.ErrNotGranted)

	_, err = full.Subject(ctx, alice, "identity", "clinical")
	require.NoError(t, err)
	_, err = view.Subject(ctx, alice, "identity")
	requireError(t, err, keyring.ErrNotGranted) // although it is in the shared cache
}

func second[T any](_ T, err error) error { return err }

// Each keyset may have a KEK of its own, and a service only some of them.
func TestKEKs(t *testing.T) {
	ctx := t.Context()
	control, clinical := newKEK(), newKEK()
	cfg := keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(),
		KEKs: map[string]keyring.KEK{"ring": control, "clinical": clinical},
	}
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	requireError(t, r.CreateKeyset(ctx, "identity"), keyring.ErrKEK)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	delete(cfg.KEKs, "clinical")
	_, err = r.Rotate(ctx, "clinical")
	require.NoError(t, err, "the ring's map is its own")
	poor, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = poor.Keyset(ctx, "clinical")
	requireError(t, err, keyring.ErrKEK)
	cfg.KEKs["clinical"] = control
	wrong, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = wrong.Keyset(ctx, "clinical")
	requireError(t, err, keyring.ErrKEK)
}

// KEK calls are per keyset and process, never per record.
func TestKEKCallsAreCounted(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "identity", "clinical")
	for i := range 100 {
		_, err := w.ring.CreateSubject(ctx, fmt.Sprint("p", i), "identity", "clinical")
		require.NoError(t, err)
	}
	w.kek.opens.Store(0)
	w.kek.wraps.Store(0)
	cfg := w.Config
	cfg.CacheEntries = 10 // so that most come from the store
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 300 {
				if _, err := r.Subject(ctx, fmt.Sprint("p", (i*7+g)%100), "identity", "clinical"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 3, w.kek.opens.Load(), "ring, identity, clinical")
	require.Zero(t, w.kek.wraps.Load())
	_, err = r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 1, w.kek.wraps.Load())
	require.EqualValues(t, 6, w.kek.opens.Load(), "a rotation opens the old one, proves the new one, and that it is bound")
}

func TestStoreCallsForAPatient(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "identity", "clinical", "sensitive")
	store := &faultyStore{Store: w.Store}
	cfg := w.Config
	cfg.Store = store
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = r.CreateSubject(ctx, alice, "identity", "clinical", "sensitive")
	require.NoError(t, err)
	store.calls.Store(0)
	_, err = r.CreateSubject(ctx, budi, "identity", "clinical", "sensitive")
	require.NoError(t, err)
	require.EqualValues(t, 2, store.calls.Load())
	_, err = r.Subject(ctx, alice, "identity", "clinical", "sensitive")
	require.NoError(t, err)
	require.EqualValues(t, 2, store.calls.Load(), "from the cache")
	fresh, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = fresh.Subject(ctx, alice, "identity", "clinical", "sensitive")
	require.NoError(t, err)
	store.calls.Store(0)
	_, err = fresh.Subject(ctx, budi, "identity", "clinical", "sensitive")
	require.NoError(t, err)
	require.EqualValues(t, 1, store.calls.Load())
}

func TestClose(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical")
	_, err := w.ring.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	view := w.ring.Only("clinical")
	require.NoError(t, view.Close())
	require.NoError(t, w.ring.Close())
	for what, err := range map[string]error{
		"keyset":        second(w.ring.Keyset(ctx, "clinical")),
		"subject":       second(w.ring.Subject(ctx, alice, "clinical")),
		"create":        second(w.ring.CreateSubject(ctx, alice, "clinical")),
		"rotate":        second(w.ring.Rotate(ctx, "clinical")),
		"shred":         second(w.ring.Shred(ctx, alice)),
		"create keyset": w.ring.CreateKeyset(ctx, "audit"),
		"view":          second(view.Keyset(ctx, "clinical")),
	} {
		t.Run(what, func(t *testing.T) { requireError(t, err, keyring.ErrClosed) })
	}
	require.Equal(t, "clinic", w.ring.ID())
	_, err = w.open(t).Subject(ctx, alice, "clinical")
	require.NoError(t, err, "the store stays open")
}

// What another process does is seen in time: a rotation within 60 seconds, an
// erasure within 5.
func TestBoundsBetweenProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		defer w.ring.Close()
		other := w.open(t)
		defer other.Close()
		for _, id := range []string{alice, budi} {
			_, err := w.ring.CreateSubject(ctx, id, "clinical")
			require.NoError(t, err)
			_, err = other.Subject(ctx, id, "clinical")
			require.NoError(t, err)
		}
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		k, err := other.Keyset(ctx, "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 1, k.Primary(), "not asked again yet")
		time.Sleep(60 * time.Second)
		synctest.Wait()
		k, err = other.Keyset(ctx, "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 2, k.Primary())

		// Sooner, where a subject was asked for: the journal tells.
		_, err = w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		_, err = other.Subject(ctx, budi, "clinical")
		require.NoError(t, err)
		k, err = other.Keyset(ctx, "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 3, k.Primary())

		// Reading again what has not changed needs no KEK.
		calls := w.kek.opens.Load()
		time.Sleep(60 * time.Second)
		synctest.Wait()
		_, err = other.Keyset(ctx, "clinical")
		require.NoError(t, err)
		require.Equal(t, calls, w.kek.opens.Load())

		_, err = other.Subject(ctx, alice, "clinical") // compares now
		require.NoError(t, err)
		_, err = w.ring.Shred(ctx, alice)
		require.NoError(t, err)
		_, err = other.Subject(ctx, alice, "clinical")
		require.NoError(t, err, "within the bound, from its cache")
		time.Sleep(5 * time.Second)
		_, err = other.Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrShredded)
		_, err = other.Subject(ctx, budi, "clinical")
		require.NoError(t, err)
	})
}

// An older revision put back under a running process is refused when it is read again.
func TestAttackKeysetRestoredUnderARunningProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		defer w.ring.Close()
		old := keyring.ActiveKeysets(w.Store)["clinical"]
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		keyring.ActiveKeysets(w.Store)["clinical"] = old
		time.Sleep(60 * time.Second)
		synctest.Wait()
		_, err = w.ring.Keyset(ctx, "clinical")
		requireError(t, err, keyring.ErrRolledBack)
	})
}

// A row under a version that this process has not seen makes it look at once,
// and one under a version that nobody has does not make it look each time.
func TestUnknownVersionIsLookedUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		defer w.ring.Close()
		store := &faultyStore{Store: w.Store}
		cfg := w.Config
		cfg.Store = store
		other, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		defer other.Close()
		_, err = other.Keyset(ctx, "clinical")
		require.NoError(t, err)
		_, err = w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		_, err = w.ring.CreateSubject(ctx, alice, "clinical")
		require.NoError(t, err)
		keys, err := other.Subject(ctx, alice, "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 2, keys[0].Version())

		_, err = w.ring.CreateSubject(ctx, budi, "clinical")
		require.NoError(t, err)
		tag := w.ring.TagOf("clinical", budi)
		rec := keyring.Rows(w.Store)[tag]
		rec.Version = 77
		keyring.Rows(w.Store)[tag] = rec
		time.Sleep(time.Second)
		store.calls.Store(0)
		for range 100 {
			_, err = other.Subject(ctx, budi, "clinical")
			requireError(t, err, keyring.ErrUnknownVersion)
		}
		require.LessOrEqual(t, store.calls.Load(), int32(102), "a hundred rows, and the keyset once or twice")
	})
}

// If store and journal cannot be compared, an erasure may hide: fail closed.
func TestAttackStoreSilencedToHideAnErasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		defer w.ring.Close()
		store := &faultyStore{Store: w.Store}
		cfg := w.Config
		cfg.Store = store
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		defer r.Close()
		_, err = r.CreateSubject(ctx, alice, "clinical")
		require.NoError(t, err)
		store.at = store.calls.Load() + 1
		_, err = r.Subject(ctx, alice, "clinical")
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		_, err = r.Subject(ctx, alice, "clinical")
		requireError(t, err, errStore)
		store.at = 0
		_, err = r.Subject(ctx, alice, "clinical")
		require.NoError(t, err, "and goes on when it can")
	})
}

func TestSubject(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "identity", "clinical")
	keys, err := w.ring.CreateSubject(ctx, alice, "clinical", "identity")
	require.NoError(t, err)
	require.Len(t, keys, 2)
	require.Equal(t, []string{"clinical", "identity"}, []string{keys[0].Compartment(), keys[1].Compartment()})
	require.NotEqual(t, token(t, keys[0]), token(t, keys[1]))
	require.EqualValues(t, 1, keys[0].Generation())
	for name, r := range map[string]*keyring.Ring{"cached": w.ring, "loaded": w.open(t)} {
		t.Run(name, func(t *testing.T) {
			again, err := r.Subject(ctx, alice, "identity", "clinical")
			require.NoError(t, err)
			require.Equal(t, []string{token(t, keys[1]), token(t, keys[0])}, tokens(t, again))
			one, err := r.Subject(ctx, alice, "identity")
			require.NoError(t, err)
			require.Equal(t, token(t, keys[1]), token(t, one[0]))
			same, err := r.CreateSubject(ctx, alice, "identity")
			require.NoError(t, err)
			require.Equal(t, token(t, keys[1]), token(t, same[0]))
		})
	}
	_, err = keys[0].Record(2)
	requireError(t, err, keyring.ErrUnknownGeneration)
	_, err = keys[0].Record(0)
	requireError(t, err, keyring.ErrUnknownGeneration)
	require.NotEqual(t, secret.Expose(keys[0].Derive("rahasia/audit-key/v1")), secret.Expose(keys[0].Derive("rahasia/object-key/v1")))

	for what, c := range map[string]struct {
		subject      string
		compartments []string
		want         error
	}{
		"empty subject":  {"", []string{"clinical"}, keyring.ErrEmpty},
		"long subject":   {strings.Repeat("a", 256), []string{"clinical"}, keyring.ErrName},
		"no compartment": {alice, nil, keyring.ErrEmpty},
		"domain":         {alice, []string{"research/ui"}, keyring.ErrName},
		"control":        {alice, []string{"ring"}, keyring.ErrName},
		"twice":          {alice, []string{"clinical", "clinical"}, keyring.ErrName},
		"never made":     {alice, []string{"audit"}, keyring.ErrNoKeyset},
		"garbage":        {alice, []string{strings.Repeat("x", 1<<17)}, keyring.ErrName},
	} {
		t.Run(what, func(t *testing.T) {
			for _, r := range []*keyring.Ring{w.ring, w.open(t)} {
				_, err := r.Subject(ctx, c.subject, c.compartments...)
				requireError(t, err, c.want)
				_, err = r.CreateSubject(ctx, c.subject, c.compartments...)
				requireError(t, err, c.want)
			}
		})
	}
	_, err = w.ring.Subject(ctx, budi, "clinical")
	requireError(t, err, keyring.ErrNoSubjectKey)
	_, err = w.ring.CreateSubject(ctx, strings.Repeat("a", 255), "clinical")
	require.NoError(t, err)
	_, err = w.ring.CreateSubject(ctx, "\xff\x00 any bytes", "clinical")
	require.NoError(t, err)
}

// A type that gains a compartment creates only the key that is missing.
func TestCreateSubjectAddsWhatIsMissing(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "identity", "clinical")
	before, err := w.ring.CreateSubject(ctx, alice, "identity")
	require.NoError(t, err)
	_, err = w.open(t).Subject(ctx, alice, "identity", "clinical")
	requireError(t, err, keyring.ErrNoSubjectKey)
	after, err := w.open(t).CreateSubject(ctx, alice, "identity", "clinical")
	require.NoError(t, err)
	require.Equal(t, token(t, before[0]), token(t, after[0]))
	require.Len(t, keyring.Rows(w.Store), 2)
}

// Sixteen that create one subject at once, in one process and in several, get one key.
func TestCreateSubjectRace(t *testing.T) {
	stores := map[string]func(t *testing.T) keyring.Store{
		"memory": func(*testing.T) keyring.Store { return keyring.NewMemoryStore() },
		"SQLite": func(t *testing.T) keyring.Store {
			db, err := sqlite.Open(filepath.Join(t.TempDir(), "keys.db"))
			require.NoError(t, err)
			t.Cleanup(func() { db.Close() })
			s, err := sqlstore.New(t.Context(), db)
			require.NoError(t, err)
			return s
		},
	}
	for name, open := range stores {
		for _, processes := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/%d", name, processes), func(t *testing.T) {
				ctx := t.Context()
				cfg := keyring.Config{Store: open(t), Journal: keyring.NewMemoryJournal(), KEK: newKEK()}
				r, err := keyring.Create(ctx, "clinic", cfg)
				require.NoError(t, err)
				require.NoError(t, errors.Join(r.CreateKeyset(ctx, "identity"), r.CreateKeyset(ctx, "clinical")))
				rings := []*keyring.Ring{r}
				for len(rings) < processes {
					r, err := keyring.Open(ctx, cfg)
					require.NoError(t, err)
					rings = append(rings, r)
				}
				for round := range 5 {
					got := make([][]string, 16)
					var wg sync.WaitGroup
					for i := range got {
						wg.Go(func() {
							keys, err := rings[i%processes].CreateSubject(ctx, fmt.Sprint("p", round), "identity", "clinical")
							if err != nil {
								t.Error(err)
								return
							}
							got[i] = tokens(t, keys)
						})
					}
					wg.Wait()
					for i := range got {
						require.Equal(t, got[0], got[i])
					}
				}
			})
		}
	}
}

func TestCacheBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		defer w.ring.Close()
		store := &faultyStore{Store: w.Store}
		cfg := w.Config
		cfg.Store, cfg.CacheEntries, cfg.CacheAge = store, 2, 3*time.Second
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		defer r.Close()
		for _, id := range []string{"a", "b", "c"} {
			_, err = r.CreateSubject(ctx, id, "clinical")
			require.NoError(t, err)
		}
		loads := func(id string) int32 {
			before := store.calls.Load()
			_, err := r.Subject(ctx, id, "clinical")
			require.NoError(t, err)
			return store.calls.Load() - before
		}
		require.Zero(t, loads("c"))
		require.Zero(t, loads("b"))
		require.EqualValues(t, 1, loads("a"), "two entries")
		time.Sleep(3 * time.Second)
		require.EqualValues(t, 1, loads("a"), "three seconds")
	})
}

func TestContextEnds(t *testing.T) {
	w := newWorld(t, "clinical")
	r := w.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"open":          second(keyring.Open(ctx, w.Config)),
		"keyset":        second(r.Keyset(ctx, "clinical")),
		"create":        second(r.CreateSubject(ctx, alice, "clinical")),
		"rotate":        second(r.Rotate(ctx, "clinical")),
		"shred":         second(r.Shred(ctx, alice)),
		"create keyset": r.CreateKeyset(ctx, "audit"),
		"create ring":   second(keyring.Create(ctx, "x", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: newKEK()})),
	} {
		t.Run(what, func(t *testing.T) { requireError(t, err, context.Canceled) })
	}
	_, err := w.open(t).CreateSubject(t.Context(), alice, "clinical")
	require.NoError(t, err, "nothing was broken by it")
}
