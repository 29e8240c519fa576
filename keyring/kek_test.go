package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// With the same passphrase and a higher cost, Rewrap is an upgrade; a lower
// cost changes nothing.
func TestPassphraseUpgrade(t *testing.T) {
	ctx := t.Context()
	low, err := keyring.Passphrase("pass")
	require.NoError(t, err)
	w := newWorld(t)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: low}
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	keys, err := r.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	higher := func() keyring.KEK {
		k, err := keyring.PassphraseCost("pass", keyring.Argon2id{Memory: 64<<10 + 8, Passes: 4, Lanes: 2})
		require.NoError(t, err)
		return k
	}
	costs := func() (out []string) {
		for _, rec := range keyring.ActiveKeysets(cfg.Store) {
			out = append(out, fmt.Sprintf("%x", rec.Wrapped[:10]))
		}
		return out
	}
	const before, after = "01000100000000000304", "01000100080000000402"
	require.Equal(t, []string{before, before}, costs())

	report, err := r.Rewrap(ctx, keyring.Rewrapping{KEK: higher(), DryRun: true})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Left: 2}, report)
	require.Equal(t, []string{before, before}, costs())
	cfg.Metrics = &count{} // the notion reaches through what counts the calls, and through AnyKEK
	r, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	report, err = r.Rewrap(ctx, keyring.Rewrapping{KEK: keyring.AnyKEK(higher(), w.kek)})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 2}, report)
	require.Equal(t, []string{after, after}, costs())

	cfg.KEK, err = keyring.Passphrase("pass")
	require.NoError(t, err)
	r, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	for range 2 {
		again, err := keyring.Passphrase("pass")
		require.NoError(t, err)
		report, err = r.Rewrap(ctx, keyring.Rewrapping{KEK: again})
		require.NoError(t, err)
		require.Equal(t, keyring.Report{}, report, "never a downgrade")
		_, err = r.Rotate(ctx, "clinical")
		require.NoError(t, err)
		require.Equal(t, []string{after, after}, costs())
	}
	same, err := r.Subject(ctx, alice, "clinical")
	require.NoError(t, err)
	require.Equal(t, token(t, keys[0]), token(t, same[0]))
	_, err = keyring.PassphraseCost("pass", keyring.Argon2id{Memory: 1 << 10, Passes: 3, Lanes: 4})
	requireError(t, err, keyring.ErrKEK)
	_, err = keyring.PassphraseCost("", keyring.Argon2id{})
	requireError(t, err, keyring.ErrEmpty)
}

// Rewrap moves what an older KEK of AnyKEK opens under its first.
func TestRewrapUnderTheFirst(t *testing.T) {
	w := newWorld(t, "clinical")
	next := newKEK()
	report, err := w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: keyring.AnyKEK(next, w.kek)})
	require.NoError(t, err)
	require.Equal(t, keyring.Report{Done: 2}, report)
	w.KEK = next
	w.open(t)
}

// wrapsOnly unwraps nothing.
type wrapsOnly struct{ keyring.KEK }

func (wrapsOnly) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return nil, errors.New("may not")
}

// The first of AnyKEK must give back by itself what it wrapped: the others go.
func TestSaboteurFirstOfAny(t *testing.T) {
	w := newWorld(t, "clinical")
	good := newKEK()
	report, err := w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: keyring.AnyKEK(wrapsOnly{good}, good, w.kek)})
	require.NoError(t, err)
	require.Equal(t, 2, report.Failed)
	requireError(t, report.Failures[0].Err, keyring.ErrKEK)
	w.open(t)
}

// A KEK that gives a keyset to whoever names another is refused where it wraps,
// by name, and is no hindrance where it unwraps what it wrapped before.
func TestSaboteurUnboundKEK(t *testing.T) {
	w := newWorld(t, "clinical")
	unbound := newKEK()
	unbound.wrap = func(p []byte) []byte { return unbound.aead.Seal(nil, nil, p, nil) }
	unbound.unwrap_ = func(b []byte) []byte { p, _ := unbound.aead.Open(nil, nil, b, nil); return p }
	const says = "does not bind the associated data"
	report, err := w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: unbound})
	require.NoError(t, err)
	require.Equal(t, 2, report.Failed)
	require.ErrorContains(t, report.Failures[0].Err, says)
	_, err = keyring.Create(t.Context(), "clinic", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: unbound})
	requireError(t, err, keyring.ErrKEK)
	require.ErrorContains(t, err, says)
	_, err = w.ring.Export(t.Context(), unbound)
	require.ErrorContains(t, err, says)
	_, err = w.ring.ExportKeyset(t.Context(), "clinical", unbound)
	require.NoError(t, err, "Tink's form binds nothing")

	bind := w.kek.aead
	w.kek.unwrap_ = func(b []byte) []byte { // one of before the probe
		for _, ad := range [][]byte{keyring.KeysetAD("clinic", "ring"), keyring.KeysetAD("clinic", "clinical")} {
			if p, err := bind.Open(nil, nil, b, ad); err == nil {
				return p
			}
		}
		return nil
	}
	r := w.open(t)
	_, err = r.Keyset(t.Context(), "clinical")
	require.NoError(t, err, "loading asks nothing more")
	_, err = r.Rotate(t.Context(), "clinical")
	require.ErrorContains(t, err, says)
}

func TestKeyFileRing(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "kek")
	_, err := keyring.OpenKeyFile(path)
	require.Error(t, err)
	kek, err := keyring.CreateKeyFile(path)
	require.NoError(t, err)
	_, err = keyring.CreateKeyFile(path)
	requireError(t, err, keyring.ErrExists)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	_, err = keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	cfg.KEK, err = keyring.OpenKeyFile(path)
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
