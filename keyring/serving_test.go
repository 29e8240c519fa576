package keyring_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// TestServing: who was erased or retained is not served, in another process
// within 5 seconds, and a view that holds nothing can ask.
func TestServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		custodian, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
		require.NoError(t, err)
		w.Custodian = custodian.Custodian()
		here, there := w.open(t), w.open(t)
		defer func() { _, _, _ = w.ring.Close(), here.Close(), there.Close() }()
		for _, id := range []string{alice, budi, "citra"} {
			_, err := here.CreateSubject(ctx, id, "clinical")
			require.NoError(t, err)
			require.NoError(t, there.Serving(ctx, id))
		}
		require.NoError(t, there.Serving(ctx, "nobody"), "one who never had a key")

		_, err = here.Shred(ctx, alice)
		require.NoError(t, err)
		until := time.Now().Add(time.Hour)
		_, err = here.Retain(ctx, budi, keyring.Retention{Until: until, Basis: "a test"})
		require.NoError(t, err)
		require.NoError(t, there.Serving(ctx, alice), "what this test relies on: it has not looked yet")
		time.Sleep(5 * time.Second)
		for _, r := range []*keyring.Ring{here, there, there.Only()} {
			requireError(t, r.Serving(ctx, alice), keyring.ErrShredded)
			err := r.Serving(ctx, budi)
			requireError(t, err, keyring.ErrRetained)
			var retained *keyring.RetainedError
			require.ErrorAs(t, err, &retained)
			require.Equal(t, until.Unix(), retained.Until.Unix())
			require.NoError(t, r.Serving(ctx, "citra"))
		}
		require.NoError(t, here.EndRetention(ctx, budi, custodian))
		require.NoError(t, here.Serving(ctx, budi))
	})
}

func TestServingRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t)
		store := &faultyStore{Store: w.Store}
		w.Store = store
		r := w.open(t)
		defer func() { _, _ = w.ring.Close(), r.Close() }()
		requireError(t, r.Serving(ctx, ""), keyring.ErrEmpty)
		requireError(t, r.Serving(ctx, strings.Repeat("x", 256)), keyring.ErrName)
		calls := store.calls.Load()
		for range 10 {
			require.NoError(t, r.Serving(ctx, alice))
		}
		require.Equal(t, calls, store.calls.Load(), "it is asked for every message")
		time.Sleep(5 * time.Second)
		store.at = store.calls.Load() + 1
		requireError(t, r.Serving(ctx, alice), errStore)
		require.NoError(t, r.Close())
		requireError(t, r.Serving(ctx, alice), keyring.ErrClosed)
	})
}

// TestKeysetAt: a version that another process has just made is found at once,
// and one that nobody made is looked for once a second.
func TestKeysetAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "topic/lab")
		store := &faultyStore{Store: w.Store}
		w.Store = store
		r := w.open(t)
		defer func() { _, _ = w.ring.Close(), r.Close() }()
		ks, err := r.KeysetAt(ctx, "topic/lab", 1)
		require.NoError(t, err)
		require.EqualValues(t, 1, ks.Primary())
		_, err = w.ring.Rotate(ctx, "topic/lab")
		require.NoError(t, err)
		ks, err = r.KeysetAt(ctx, "topic/lab", 2)
		require.NoError(t, err)
		require.EqualValues(t, 2, ks.Primary())
		_, err = ks.Derive(2, "a label")
		require.NoError(t, err)

		_, err = r.KeysetAt(ctx, "topic/lab", 3)
		requireError(t, err, keyring.ErrUnknownVersion)
		calls := store.calls.Load()
		for range 10 {
			_, err = r.KeysetAt(ctx, "topic/lab", 3)
			requireError(t, err, keyring.ErrUnknownVersion)
			_, err = r.KeysetAt(ctx, "topic/lab", 1)
			require.NoError(t, err)
		}
		require.Equal(t, calls, store.calls.Load())
		_, err = w.ring.Rotate(ctx, "topic/lab")
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = r.KeysetAt(ctx, "topic/lab", 3)
		require.NoError(t, err)

		require.NoError(t, w.ring.SetState(ctx, "topic/lab", 1, keyring.Suspended))
		_, err = w.ring.KeysetAt(ctx, "topic/lab", 1)
		requireError(t, err, keyring.ErrUnknownVersion)
		_, err = r.KeysetAt(ctx, "topic/none", 1)
		requireError(t, err, keyring.ErrNoKeyset)
		_, err = r.Only().KeysetAt(ctx, "topic/lab", 1)
		requireError(t, err, keyring.ErrNotGranted)
		store.at = store.calls.Load() + 1
		_, err = r.KeysetAt(ctx, "topic/lab", 9)
		requireError(t, err, errStore)
	})
}

// BenchmarkServing is what every message and item pays.
func BenchmarkServing(b *testing.B) {
	ctx := context.Background()
	w := newWorld(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := w.ring.Serving(ctx, alice); err != nil {
			b.Fatal(err)
		}
	}
}
