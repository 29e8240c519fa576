package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

func TestPassphraseRing(t *testing.T) {
	ctx := t.Context()
	kek, err := keyring.Passphrase("right")
	require.NoError(t, err)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	cfg.KEK, err = keyring.Passphrase("right")
	require.NoError(t, err)
	r, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	cfg.KEK, err = keyring.Passphrase("wrong")
	require.NoError(t, err)
	_, err = keyring.Open(ctx, cfg)
	requireError(t, err, keyring.ErrKEK)
	_, err = keyring.Passphrase("")
	requireError(t, err, keyring.ErrEmpty)
}

func TestKeyFileRing(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "kek")
	_, err := keyring.KeyFile(path)
	require.Error(t, err)
	kek, err := keyring.CreateKeyFile(path)
	require.NoError(t, err)
	_, err = keyring.CreateKeyFile(path)
	requireError(t, err, keyring.ErrExists)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	_, err = keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	cfg.KEK, err = keyring.KeyFile(path)
	require.NoError(t, err)
	_, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
}

// A KEK that leaves the keys readable, or cannot give them back, is caught
// before anything is stored under it.
func TestSaboteurKEKs(t *testing.T) {
	ctx := t.Context()
	for name, sabotage := range map[string]func(*testKEK){
		"returns the plaintext": func(k *testKEK) {
			k.wrap = func(p []byte) []byte { return p }
			k.unwrap_ = func(w []byte) []byte { return w }
		},
		"appends the plaintext": func(k *testKEK) {
			k.wrap = func(p []byte) []byte { return append([]byte("header"), p...) }
			k.unwrap_ = func(w []byte) []byte { return w[6:] }
		},
		"gives nothing back": func(k *testKEK) { k.unwrap_ = func([]byte) []byte { return nil } },
		"gives another back": func(k *testKEK) { k.unwrap_ = func(w []byte) []byte { return make([]byte, len(w)) } },
		"cannot unwrap":      func(k *testKEK) { k.wrap = func(p []byte) []byte { return make([]byte, 60) } },
		"wraps to too much": func(k *testKEK) {
			var kept []byte
			k.wrap = func(p []byte) []byte { kept = bytes.Clone(p); return make([]byte, 64<<10+1) }
			k.unwrap_ = func([]byte) []byte { return kept }
		},
		"wraps to garbage": func(k *testKEK) { k.wrap = func(p []byte) []byte { return make([]byte, 1<<20) } },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "clinical")
			before, err := w.Store.Head(ctx)
			require.NoError(t, err)
			sabotage(w.kek)
			requireError(t, w.ring.CreateKeyset(ctx, "identity"), keyring.ErrKEK)
			_, err = w.ring.Rotate(ctx, "clinical")
			require.Error(t, err)
			after, err := w.Store.Head(ctx)
			require.NoError(t, err)
			require.Equal(t, before, after)
			require.Empty(t, keyring.StagedKeysets(w.Store))

			cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: w.kek}
			_, err = keyring.Create(ctx, "clinic", cfg)
			requireError(t, err, keyring.ErrKEK)
		})
	}
}

func TestKEKDown(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical", "identity")
	_, err := w.ring.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	r := w.open(t)
	_, err = r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	down := errors.New("connection refused by the key service")
	w.kek.fail.Store(&down)
	_, err = r.Keyset(ctx, "identity")
	requireError(t, err, keyring.ErrKEK)
	require.ErrorContains(t, err, "connection refused", "who operates it must see why")
	require.NotErrorIs(t, err, down, "a third party's error is quoted, not promised")
	_, err = r.Rotate(ctx, "clinical")
	requireError(t, err, keyring.ErrKEK)
	requireError(t, r.CreateKeyset(ctx, "audit"), keyring.ErrKEK)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrKEK)
	_, err = r.Subject(ctx, alice, "clinical")
	require.NoError(t, err, "what is loaded works")
	_, err = r.Shred(ctx, alice)
	require.NoError(t, err, "erasing needs no KEK")
	w.kek.fail.Store(nil)
	require.Eventually(t, func() bool {
		_, err := r.Keyset(ctx, "identity")
		return err == nil
	}, 10*time.Second, 100*time.Millisecond, "and works when it is back")
}

// slowKEK waits for its context.
type slowKEK struct{ keyring.KEK }

func (slowKEK) Unwrap(ctx context.Context, _, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, errors.New("timed out somehow")
}

func TestKEKTimesOut(t *testing.T) {
	w := newWorld(t, "clinical")
	cfg := w.Config
	cfg.KEKs = map[string]keyring.KEK{"clinical": slowKEK{w.kek}}
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err = r.Keyset(ctx, "clinical")
	requireError(t, err, context.DeadlineExceeded)
}
