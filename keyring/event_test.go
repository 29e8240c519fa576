package keyring_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// hook keeps what it is told.
type hook struct {
	mu     sync.Mutex
	events []keyring.Event
}

func (h *hook) tell(e keyring.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// take returns what it was told since, as words.
func (h *hook) take() (words []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		words = append(words, strings.TrimSpace(e.Action+" "+e.Keyset))
	}
	h.events = nil
	return words
}

// requireLines checks that events are those lines of the journal.
func requireLines(t *testing.T, w *world, events []keyring.Event) {
	t.Helper()
	lines := strings.Split(w.text(t), "\n")
	last := uint64(0)
	for _, e := range events {
		require.Equal(t, "clinic", e.Ring)
		if e.Action == "export" {
			require.Zero(t, e.Entry)
			require.Zero(t, e.Hash)
			continue
		}
		require.Greater(t, e.Entry, last, "in order, each once")
		last = e.Entry
		line := lines[e.Entry-1]
		require.Equal(t, keyring.Hash(sha256.Sum256([]byte(line))), e.Hash)
		f := strings.Fields(line)
		at, err := time.Parse(time.RFC3339Nano, f[2])
		require.NoError(t, err)
		require.True(t, at.Equal(e.Time))
		require.Equal(t, time.UTC, e.Time.Location())
		require.NotContains(t, fmt.Sprintf("%+v", e), alice)
	}
}

// Every action once, in order, and none for an anchor.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w, h := newWorld(t), &hook{}
		w.Config.Store, w.Config.Events = keyring.NewMemoryStore(), h.tell
		w.rewrite(t, "")
		key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
		require.NoError(t, err)
		w.Config.Custodian = key.Custodian()
		r, err := keyring.Create(ctx, "clinic", w.Config)
		require.NoError(t, err)
		transfer := newKEK()
		var out []byte
		for _, do := range []struct {
			told string
			run  func() error
		}{
			{"create ring", func() error { return nil }},
			{"create-keyset clinical", func() error { return r.CreateKeyset(ctx, "clinical") }},
			{"create-keyset research/ui", func() error { return r.CreateKeyset(ctx, "research/ui") }},
			{"rotate clinical", func() error { _, err := r.Rotate(ctx, "clinical"); return err }},
			{"", func() error { return r.Anchor(ctx, "clinical", 0, 1, [32]byte{1}) }},
			{"", func() error { _, err := r.CreateSubject(ctx, alice, "clinical"); return err }},
			{"", func() error { _, err := r.Rewrap(ctx, keyring.Rewrapping{}); return err }},
			{"rewrap research/ui", func() error {
				_, err := r.Rewrap(ctx, keyring.Rewrapping{KEK: transfer, Keysets: []string{"research/ui"}})
				return err
			}},
			{"state clinical", func() error { return r.SetState(ctx, "clinical", 1, keyring.Suspended) }},
			{"export clinical", func() (err error) { out, err = r.ExportKeyset(ctx, "clinical", transfer); return err }},
			{"import clinical-2", func() error { return r.ImportKeyset(ctx, "clinical-2", out, transfer) }},
			{"rekey", func() error { return r.Rekey(ctx, alice) }},
			{"end-rekey", func() error { time.Sleep(rekeyed); return r.EndRekey(ctx, alice) }},
			{"retain", func() error { _, err := r.Retain(ctx, alice, kept(1)); return err }},
			{"retain", func() error { _, err := r.Retain(ctx, alice, kept(2)); return err }},
			{"end-retention", func() error { return r.EndRetention(ctx, alice, key) }},
			{"shred", func() error { _, err := r.Shred(ctx, alice); return err }},
			{"", func() error { _, err := r.Shred(ctx, alice); return err }},
		} {
			require.NoError(t, do.run(), do.told)
			requireLines(t, w, h.events)
			if do.told == "" {
				require.Empty(t, h.take())
			} else {
				require.Equal(t, []string{do.told}, h.take())
			}
		}
		_, err = r.Rotate(ctx, "nothing")
		require.Error(t, err)
		require.Empty(t, h.take())

		require.NoError(t, r.Close())
		w.rewrite(t, "")
		require.NoError(t, keyring.Reseed(ctx, w.Config))
		require.Equal(t, []string{"reseed"}, h.take())
	})
}

func TestEventOfAReseed(t *testing.T) {
	w, h := inhabited(t), &hook{}
	w.Config.Events = h.tell
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(t.Context(), w.Config))
	require.Len(t, h.events, 1)
	require.Equal(t, keyring.Hash(sha256.Sum256([]byte(strings.Split(w.text(t), "\n")[0]))), h.events[0].Hash)
	require.EqualValues(t, 4, h.events[0].Entry)
}

// The writer died between journal and store: it has told, and who completes it
// tells that. Replay tells of each, a failed creation of its entry.
func TestEventOfACompletion(t *testing.T) {
	ctx := t.Context()
	w, h, other := withCustodian(t), &hook{}, &hook{}
	before := keyring.Backup(w.Store)
	store := &failingCommit{Store: w.Store}
	cfg := w.Config
	cfg.Store, cfg.Events = store, h.tell
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	require.Empty(t, h.take())
	store.fail = true
	_, err = r.Retain(ctx, alice, kept(1))
	requireError(t, err, errStore)
	require.Equal(t, []string{"retain"}, h.take())
	w.Config.Events = other.tell
	w.ring = w.open(t)
	require.Equal(t, keyring.Hash(sha256.Sum256([]byte(lastLine(t, w.world)))), other.events[0].Hash)
	require.Equal(t, []string{"complete"}, other.take())
	w.open(t)
	require.Empty(t, other.take(), "once")

	_, err = w.ring.Shred(ctx, budi)
	require.NoError(t, err)
	require.NoError(t, w.ring.Anchor(ctx, "clinical", 0, 1, [32]byte{1}))
	other.take()
	keyring.PutBack(w.Store, before)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	requireLines(t, w.world, other.events)
	require.Equal(t, []string{"complete", "complete"}, other.take())

	cfg = keyring.Config{Store: &failingCommit{Store: keyring.NewMemoryStore(), fail: true}, Journal: keyring.NewMemoryJournal(), KEK: w.kek, Events: h.tell}
	_, err = keyring.Create(ctx, "clinic", cfg)
	requireError(t, err, errStore)
	require.Equal(t, []string{"create ring"}, h.take(), "it is in the journal")
}

func lastLine(t testing.TB, w *world) string {
	lines := strings.Split(strings.TrimSuffix(w.text(t), "\n"), "\n")
	return lines[len(lines)-1]
}

// A hook that uses the ring, for what it is told of and for what it does itself:
// it waits for nobody, and its own changes come after.
func TestEventsOfAHookThatUsesTheRing(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	var r *keyring.Ring
	var words []string
	w.Config.Events = func(e keyring.Event) {
		words = append(words, "<"+e.Action)
		if e.Action == "rotate" {
			_, err := r.CreateSubject(ctx, "someone", "clinical")
			require.NoError(t, err)
			require.NoError(t, r.Anchor(ctx, "clinical", 0, 1, [32]byte{1}))
			_, err = r.Shred(ctx, "someone")
			require.NoError(t, err)
			_, err = r.Subject(ctx, alice, "clinical")
			require.NoError(t, err)
		}
		words = append(words, e.Action+">")
	}
	r = w.open(t)
	_, err := r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.Equal(t, []string{"<rotate", "rotate>", "<shred", "shred>"}, words)
}

// What a load has to complete is told of too, by somebody whom the hook can
// wait for: it asks for the very key and the keyset that is being loaded.
func TestEventsOfALoadDoNotDeadlock(t *testing.T) {
	for name, load := range map[string]func(r *keyring.Ring) error{
		"subject": func(r *keyring.Ring) error { _, err := r.Subject(context.Background(), budi, "clinical"); return err },
		"keyset":  func(r *keyring.Ring) error { _, err := r.Keyset(context.Background(), "audit"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				w := withCustodian(t)
				var r *keyring.Ring
				var told []string
				w.Config.Events = func(e keyring.Event) {
					told = append(told, e.Action)
					if len(told) > 1 {
						return
					}
					_, err := r.Keyset(ctx, "audit")
					require.NoError(t, err)
					_, err = r.Subject(ctx, budi, "clinical")
					require.NoError(t, err)
					_, err = r.Rotate(ctx, "identity")
					require.NoError(t, err)
				}
				r = w.open(t)
				store := &failingCommit{Store: w.Store}
				cfg := w.Config
				cfg.Store, cfg.Events = store, nil
				dying, err := keyring.Open(ctx, cfg)
				require.NoError(t, err)
				store.fail = true
				requireError(t, dying.CreateKeyset(ctx, "audit"), errStore)
				if name == "subject" {
					time.Sleep(6 * time.Second) // until it compares store and journal
				}
				require.NoError(t, load(r))
				synctest.Wait()
				require.Equal(t, []string{"complete", "rotate"}, told)
				_, _, _ = r.Close(), dying.Close(), w.ring.Close()
			})
		})
	}
}

// A hook that panics is its caller's panic, and the next event is told.
func TestEventsAfterAPanic(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	h, panics := &hook{}, true
	w.Config.Events = func(e keyring.Event) {
		if panics {
			panics = false
			panic("hook")
		}
		h.tell(e)
	}
	r := w.open(t)
	require.PanicsWithValue(t, "hook", func() { _, _ = r.Rotate(ctx, "clinical") })
	_, err := r.Shred(ctx, alice)
	require.NoError(t, err)
	require.Equal(t, []string{"shred"}, h.take())
}

// Many at once: the journal's order, each once.
func TestEventsRace(t *testing.T) {
	ctx := t.Context()
	w, h := newWorld(t, "clinical", "identity"), &hook{}
	w.Config.Events = h.tell
	r := w.open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			id := fmt.Sprint("p", i)
			if _, err := r.CreateSubject(ctx, id, "clinical"); err != nil {
				t.Error(err)
			}
			if err := r.Rekey(ctx, id); err != nil {
				t.Error(err)
			}
			if _, err := r.Shred(ctx, id); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Len(t, h.events, 16)
	requireLines(t, w, h.events)
}

// An event and a receipt that are logged or filed name their entry as the
// journal does.
func TestHashIsWrittenAsInTheJournal(t *testing.T) {
	w := inhabited(t)
	receipt, err := w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	_, err = w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	filed, err := json.Marshal(receipt)
	require.NoError(t, err)
	hex := receipt.Hash.String()
	require.Contains(t, string(filed), `"Hash":"`+hex+`"`)
	require.Contains(t, lastLine(t, w), " "+hex+" keyset ", "the line after the erasure's")
}
