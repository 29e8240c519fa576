package keyring_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// people makes subjects with a key in each compartment and returns what their
// keys seal.
func people(t testing.TB, r *keyring.Ring, n int, compartments ...string) map[string][]string {
	out := map[string][]string{}
	for i := range n {
		id := fmt.Sprint("patient-", i)
		keys, err := r.CreateSubject(t.Context(), id, compartments...)
		require.NoError(t, err)
		out[id] = tokens(t, keys)
	}
	return out
}

// requireSame checks that all have the keys they had, and under which version.
func requireSame(t testing.TB, r *keyring.Ring, want map[string][]string, version uint32, compartments ...string) {
	t.Helper()
	for id, had := range want {
		keys, err := r.Subject(t.Context(), id, compartments...)
		require.NoError(t, err)
		require.Equal(t, had, tokens(t, keys))
		for _, k := range keys {
			require.Equal(t, version, k.Version())
		}
	}
}

func TestRewrapSubjects(t *testing.T) {
	w := newWorld(t, "clinical", "identity")
	want := people(t, w.ring, 30, "clinical", "identity")
	for _, name := range []string{"clinical", "identity"} {
		_, err := w.ring.Rotate(t.Context(), name)
		require.NoError(t, err)
	}
	before := keyring.Backup(w.Store)
	calls := w.kek.opens.Load() + w.kek.wraps.Load()
	r := w.ring

	var told []keyring.Report
	report, err := r.Rewrap(t.Context(), keyring.Rewrapping{DryRun: true, Progress: func(p keyring.Report) { told = append(told, p) }})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Left: 60}, report)
	require.Len(t, told, 2)
	require.Equal(t, keyring.Rows(before), keyring.Rows(w.Store), "a dry run wrote")

	report, err = r.Rewrap(t.Context(), keyring.Rewrapping{Keysets: []string{"clinical"}})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 30}, report)
	report, err = r.Rewrap(t.Context(), keyring.Rewrapping{})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 30}, report)
	report, err = r.Rewrap(t.Context(), keyring.Rewrapping{})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{}, report)
	require.Equal(t, calls, w.kek.opens.Load()+w.kek.wraps.Load(), "subject keys cost no KEK call")
	requireSame(t, w.open(t), want, 2, "clinical", "identity")
}

func TestRewrapKeysets(t *testing.T) {
	w := newWorld(t, "clinical", "lookup/patient/NIK")
	want := people(t, w.ring, 3, "clinical")
	old, next := w.kek, newKEK()
	before := keyring.Backup(w.Store)

	report, err := w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: next, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Left: 3}, report)
	require.Equal(t, keyring.ActiveKeysets(before), keyring.ActiveKeysets(w.Store))

	report, err = w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: next, Keysets: []string{"clinical"}})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 1}, report)
	w.KEK = keyring.AnyKEK(next, old)
	requireSame(t, w.open(t), want, 1, "clinical")
	report, err = w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: next})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 2}, report)
	_, err = w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err, "the ring goes on with the new KEK")

	w.KEK = next
	requireSame(t, w.open(t), want, 1, "clinical")
	w.KEK = old
	_, err = keyring.Open(t.Context(), w.Config)
	requireError(t, err, keyring.ErrKEK)
}

// One that cannot be moved is reported, by its reason, and stays as it was.
func TestRewrapFailures(t *testing.T) {
	w := newWorld(t, "clinical", "identity")
	want := people(t, w.ring, 5, "clinical")
	_, err := w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	rows := keyring.Rows(w.Store)
	torn, lost := w.ring.TagOf("clinical", "patient-1"), w.ring.TagOf("clinical", "patient-3")
	damage := func(tag keyring.Tag, do func(*keyring.KeyRecord)) {
		rec := rows[tag]
		do(&rec)
		rows[tag] = rec
	}
	damage(torn, func(r *keyring.KeyRecord) { r.Commitment[0]++ })
	damage(lost, func(r *keyring.KeyRecord) { r.Version = 77 })
	report, err := w.ring.Rewrap(t.Context(), keyring.Rewrapping{})
	require.NoError(t, err)
	require.Equal(t, 3, report.Done)
	require.Equal(t, 2, report.Failed)
	require.Zero(t, report.Left)
	reasons := map[keyring.Tag]error{torn: keyring.ErrCorrupt, lost: keyring.ErrUnknownVersion}
	for _, f := range report.Failures {
		require.Equal(t, "clinical", f.Keyset)
		requireError(t, f.Err, reasons[f.Tag])
		delete(reasons, f.Tag)
	}
	require.Empty(t, reasons)
	delete(want, "patient-1")
	delete(want, "patient-3")
	requireSame(t, w.open(t), want, 2, "clinical")

	// A KEK that does not give back what it was given gets no keyset.
	liar := newKEK()
	liar.unwrap_ = func([]byte) []byte { return []byte("something else") }
	report, err = w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: liar})
	require.NoError(t, err)
	require.Equal(t, 3, report.Failed)
	for _, f := range report.Failures {
		requireError(t, f.Err, keyring.ErrKEK)
	}
	requireSame(t, w.open(t), want, 2, "clinical")
}

func TestRewrapRefuses(t *testing.T) {
	w := newWorld(t, "clinical", "identity", "research/ui")
	ctx, clinical := t.Context(), w.ring.Only("clinical")
	for what, c := range map[string]struct {
		ring *keyring.Ring
		job  keyring.Rewrapping
		want error
	}{
		"another's compartment":    {clinical, keyring.Rewrapping{Keysets: []string{"identity"}}, keyring.ErrNotGranted},
		"control keyset of a part": {clinical, keyring.Rewrapping{Keysets: []string{"ring"}, KEK: newKEK()}, keyring.ErrNotGranted},
		"subject keys of a domain": {w.ring, keyring.Rewrapping{Keysets: []string{"research/ui"}}, keyring.ErrName},
		"no name":                  {w.ring, keyring.Rewrapping{Keysets: []string{"A"}, KEK: newKEK()}, keyring.ErrName},
		"no keyset":                {w.ring, keyring.Rewrapping{Keysets: []string{"audit"}}, keyring.ErrNoKeyset},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := c.ring.Rewrap(ctx, c.job)
			requireError(t, err, c.want)
		})
	}
	next := newKEK()
	report, err := clinical.Rewrap(ctx, keyring.Rewrapping{KEK: next})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 1}, report, "a view moves its own")
	require.NoError(t, w.ring.Close())
	_, err = w.ring.Rewrap(ctx, keyring.Rewrapping{})
	requireError(t, err, keyring.ErrClosed)
}

// Readers, creators and erasers beside it: nothing is lost, none comes back.
func TestRewrapRace(t *testing.T) {
	w := newWorld(t, "clinical")
	want := people(t, w.ring, 40, "clinical")
	_, err := w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	var wait sync.WaitGroup
	for range 3 {
		r := w.open(t)
		wait.Go(func() {
			if _, err := r.Rewrap(t.Context(), keyring.Rewrapping{}); err != nil {
				t.Error(err)
			}
		})
		wait.Go(func() {
			for i := range 40 {
				id := fmt.Sprint("patient-", i)
				keys, err := r.Subject(t.Context(), id, "clinical")
				if i%4 != 0 && err != nil {
					t.Error(err)
				} else if err == nil && token(t, keys[0]) != want[id][0] {
					t.Error("another key")
				}
			}
		})
	}
	eraser := w.open(t)
	wait.Go(func() {
		for i := 0; i < 40; i += 4 {
			if _, err := eraser.Shred(t.Context(), fmt.Sprint("patient-", i)); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
	for i := 0; i < 40; i += 4 {
		id := fmt.Sprint("patient-", i)
		_, err := w.open(t).Subject(t.Context(), id, "clinical")
		requireError(t, err, keyring.ErrShredded)
		delete(want, id)
	}
	requireSame(t, w.open(t), want, 2, "clinical")
}

// Cancelled between two pages it says how far it came.
func TestRewrapCancelled(t *testing.T) {
	w := newWorld(t, "clinical", "identity")
	people(t, w.ring, 4, "clinical", "identity")
	for _, name := range []string{"clinical", "identity"} {
		_, err := w.ring.Rotate(t.Context(), name)
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	report, err := w.ring.Rewrap(ctx, keyring.Rewrapping{Progress: func(keyring.Report) { cancel() }})
	requireError(t, err, context.Canceled)
	require.Equal(t, keyring.Report{Done: 4, Left: 4}, report)
	report, err = w.ring.Rewrap(t.Context(), keyring.Rewrapping{})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 4}, report)
}

// backwards is a store that returns a page again and again.
type backwards struct{ keyring.Store }

func (s backwards) StaleKeys(ctx context.Context, compartment string, version uint32, _ *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.Store.StaleKeys(ctx, compartment, version, nil, limit)
}

func TestRewrapAttackEndlessPages(t *testing.T) {
	w := newWorld(t, "clinical")
	people(t, w.ring, 4, "clinical")
	_, err := w.ring.Rotate(t.Context(), "clinical")
	require.NoError(t, err)
	w.Store = backwards{w.Store}
	_, err = w.open(t).Rewrap(t.Context(), keyring.Rewrapping{DryRun: true})
	requireError(t, err, keyring.ErrCorrupt)
}
