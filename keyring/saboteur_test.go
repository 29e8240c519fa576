package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// saboteur is a store that does not do what it says.
type saboteur struct {
	keyring.Store
	created func([]keyring.KeyRecord) []keyring.KeyRecord
	keyset  func(keyring.KeysetRecord) keyring.KeysetRecord
}

func (s *saboteur) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	got, err := s.Store.CreateKeys(ctx, recs)
	if err == nil && s.created != nil {
		got = s.created(got)
	}
	return got, err
}

func (s *saboteur) Keyset(ctx context.Context, name string) (keyring.KeysetRecord, error) {
	rec, err := s.Store.Keyset(ctx, name)
	if err == nil && s.keyset != nil {
		rec = s.keyset(rec)
	}
	return rec, err
}

// A store that keeps no new key, or answers with another's, gives none.
func TestSaboteurStoreCreates(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	of := func(id string) keyring.KeyRecord { return keyring.Rows(w.Store)[w.ring.TagOf("clinical", id)] }
	for what, created := range map[string]func([]keyring.KeyRecord) []keyring.KeyRecord{
		"keeps nothing": func([]keyring.KeyRecord) []keyring.KeyRecord { return nil },
		"keeps half":    func(r []keyring.KeyRecord) []keyring.KeyRecord { return r[:1] },
		"another's":     func(r []keyring.KeyRecord) []keyring.KeyRecord { return append(r[:1], of(budi)) },
		"another's as own": func(r []keyring.KeyRecord) []keyring.KeyRecord {
			tag := r[0].Tag
			r[0] = of(budi)
			r[0].Tag = tag
			return r
		},
	} {
		t.Run(what, func(t *testing.T) {
			cfg := w.Config
			cfg.Store = &saboteur{Store: keyring.Backup(w.Store), created: created}
			r, err := keyring.Open(ctx, cfg)
			require.NoError(t, err)
			keys, err := r.CreateSubject(ctx, "someone new", "clinical", "identity")
			requireError(t, err, keyring.ErrCorrupt)
			require.Nil(t, keys)
			require.Error(t, pageOf(r.CreateSubjects(ctx, []string{"someone else", "and else"}, "clinical", "identity")))
		})
	}
}

// A store that did not keep a keyset as it was written is noticed before
// anything is made under it.
func TestSaboteurStoreKeysets(t *testing.T) {
	w := newWorld(t, "clinical")
	store := &saboteur{Store: w.Store}
	cfg := w.Config
	cfg.Store = store
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	old := keyring.ActiveKeysets(w.Store)["clinical"]
	store.keyset = func(rec keyring.KeysetRecord) keyring.KeysetRecord {
		if rec.Name == "clinical" {
			return old
		}
		return rec
	}
	_, err = r.Rotate(t.Context(), "clinical")
	requireError(t, err, keyring.ErrCorrupt)
}

// A tombstone that another process wrote just now is believed once the
// journal tells of it, and it is asked at once.
func TestTombstoneOfAnotherProcess(t *testing.T) {
	w := inhabited(t)
	other := w.open(t)
	_, err := w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	_, err = other.Subject(t.Context(), alice, "clinical")
	requireError(t, err, keyring.ErrShredded)
	_, err = other.Shred(t.Context(), alice)
	require.NoError(t, err)
}

// The journal is cut under a ring that was told of the erasure: no receipt.
func TestShredAgainWithoutItsEntry(t *testing.T) {
	w := inhabited(t)
	_, err := w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	before := keyring.Backup(w.Store)
	w.cutLines(t, 1)
	_, err = w.ring.Shred(t.Context(), alice)
	requireError(t, err, keyring.ErrJournalLost)
	require.Equal(t, keyring.Rows(before), keyring.Rows(w.Store))
}

func TestTooManyCompartments(t *testing.T) {
	w := newWorld(t)
	for i := range 512 {
		require.NoError(t, w.ring.CreateKeyset(t.Context(), fmt.Sprint("c", i)))
	}
	requireError(t, w.ring.CreateKeyset(t.Context(), "one-more"), keyring.ErrName)
	require.NoError(t, w.ring.CreateKeyset(t.Context(), "domains/are-not-counted"))
	_, err := w.ring.CreateSubject(t.Context(), alice, "c0", "c511")
	require.NoError(t, err)
	_, err = w.open(t).Shred(t.Context(), alice)
	require.NoError(t, err)
}

// All of several KEKs fail: each says why; one that hangs is the last to be asked.
func TestAnyKEKFails(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical")
	first, second := newKEK(), newKEK()
	for k, text := range map[*testKEK]string{first: "no route to the first", second: "no route to the second"} {
		err := errors.New(text)
		k.fail.Store(&err)
	}
	w.KEK = keyring.AnyKEK(first, second)
	_, err := keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrKEK)
	require.ErrorContains(t, err, "the first")
	require.ErrorContains(t, err, "the second")

	calls := second.opens.Load()
	short, cancel := context.WithCancel(ctx)
	w.KEK = keyring.AnyKEK(slowKEK{}, second)
	cancel()
	cfg := w.Config
	cfg.Store = patient{w.Store}
	_, err = keyring.Open(short, cfg)
	requireError(t, err, context.Canceled)
	require.Equal(t, calls, second.opens.Load())
}

// patient is a store that answers whatever the context.
type patient struct{ keyring.Store }

func (s patient) Head(context.Context) (keyring.Head, error) {
	return s.Store.Head(context.Background())
}
func (s patient) Keyset(_ context.Context, name string) (keyring.KeysetRecord, error) {
	return s.Store.Keyset(context.Background(), name)
}

// A dry run tells of a keyset that has no KEK, and a ring closed meanwhile ends it.
func TestRewrapWithoutKEK(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical", "identity")
	people(t, w.ring, 2, "clinical", "identity")
	cfg := w.Config
	cfg.KEK, cfg.KEKs = nil, map[string]keyring.KEK{"ring": w.kek}
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	report, err := r.Rewrap(ctx, keyring.Rewrapping{KEK: newKEK(), Keysets: []string{"clinical"}, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, 1, report.Failed)
	requireError(t, report.Failures[0].Err, keyring.ErrKEK)
	_, err = r.Rewrap(ctx, keyring.Rewrapping{})
	requireError(t, err, keyring.ErrKEK)
	_, err = r.ExportKeyset(ctx, "clinical", newKEK())
	requireError(t, err, keyring.ErrKEK)
	requireError(t, r.ImportKeyset(ctx, "imported", tinkFile(t, "one.json"), keyring.TinkAEAD(tinkMaster(t))), keyring.ErrKEK)

	for _, name := range []string{"clinical", "identity"} {
		_, err = w.ring.Rotate(ctx, name)
		require.NoError(t, err)
	}
	_, err = w.ring.Rewrap(ctx, keyring.Rewrapping{Progress: func(keyring.Report) { w.ring.Close() }})
	requireError(t, err, keyring.ErrClosed)
}
