//go:build unix

package keyring_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// inTime fails if do goes on long after its context ended.
func inTime(t *testing.T, do func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Fatal("hangs beyond its context")
		return nil
	}
}

// deafKEK never answers, and hears of no context: a client without one, as
// TinkAEAD takes, whose service accepts connections and says nothing.
type deafKEK struct {
	keyring.KEK
	wraps, unwraps bool
	release        chan struct{}
}

func (k deafKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	if k.wraps {
		<-k.release
	}
	return k.KEK.Wrap(ctx, plaintext, ad)
}

func (k deafKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	if k.unwraps {
		<-k.release
	}
	return k.KEK.Unwrap(ctx, wrapped, ad)
}

func TestAttackDeafKEK(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for _, wraps := range []bool{true, false} {
		w := newWorld(t, "clinical")
		_, err := w.ring.CreateSubject(t.Context(), alice, "clinical")
		require.NoError(t, err)
		deaf := deafKEK{w.kek, wraps, !wraps, release}
		cfg := w.Config
		cfg.KEKs = map[string]keyring.KEK{"clinical": deaf, "audit": deaf}
		r, err := keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		for name, do := range map[string]func(ctx context.Context) error{
			"create": func(ctx context.Context) error {
				empty := newWorld(t).Config
				empty.Store, empty.Journal, empty.KEK = keyring.NewMemoryStore(), keyring.NewMemoryJournal(), deaf
				_, err := keyring.Create(ctx, "clinic", empty)
				return err
			},
			"open": func(ctx context.Context) error {
				cfg := w.Config
				cfg.KEK = deaf
				_, err := keyring.Open(ctx, cfg)
				if wraps {
					return context.DeadlineExceeded // it wraps nothing
				}
				return err
			},
			"create keyset": func(ctx context.Context) error { return r.CreateKeyset(ctx, "audit") },
			"rotate":        func(ctx context.Context) error { _, err := r.Rotate(ctx, "clinical"); return err },
			"export":        func(ctx context.Context) error { _, err := w.ring.Export(ctx, deaf); return err },
			"export keyset": func(ctx context.Context) error {
				_, err := w.ring.ExportKeyset(ctx, "clinical", deaf)
				return err
			},
			"rewrap": func(ctx context.Context) error {
				_, err := w.open(t).Rewrap(ctx, keyring.Rewrapping{KEK: deafKEK{newKEK(), wraps, !wraps, release}})
				return err
			},
		} {
			t.Run(fmt.Sprint(name, wraps), func(t *testing.T) {
				require.ErrorIs(t, inTime(t, do), context.DeadlineExceeded)
			})
		}
		_, err = w.open(t).Shred(t.Context(), alice)
		require.NoError(t, err)
	}
}

// Whoever can write the journal's folder puts a pipe in its place: nothing waits
// for a writer that never comes, and no key is served.
func TestAttackJournalIsAPipe(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "journal")
	w := newWorld(t, "clinical")
	j, err := keyring.OpenJournal(path)
	require.NoError(t, err)
	w.Config.Store, w.Config.Journal = keyring.NewMemoryStore(), j
	w.ring, err = keyring.Create(ctx, "clinic", w.Config)
	require.NoError(t, err)
	require.NoError(t, w.ring.CreateKeyset(ctx, "clinical"))
	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	for _, do := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := keyring.Open(ctx, w.Config); return err },
		func(ctx context.Context) error { _, err := w.ring.Shred(ctx, alice); return err },
		func(ctx context.Context) error { return w.ring.CreateKeyset(ctx, "audit") },
		func(ctx context.Context) error { return keyring.Reseed(ctx, w.Config) },
	} {
		require.Error(t, inTime(t, do))
	}
}

func TestAttackKeyFileIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	require.ErrorIs(t, inTime(t, func(context.Context) error { _, err := keyring.OpenKeyFile(path); return err }), keyring.ErrKEK)
	require.ErrorIs(t, inTime(t, func(context.Context) error { _, err := keyring.OpenCustodianKey(path); return err }), keyring.ErrKEK)
}

// tellingKEK says in its error what it was given to wrap.
type tellingKEK struct {
	keyring.KEK
	given *[]byte
}

func (k tellingKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	*k.given = bytes.Clone(plaintext)
	return k.KEK.Wrap(ctx, plaintext, ad)
}

func (k tellingKEK) Unwrap(context.Context, []byte, []byte) ([]byte, error) {
	return nil, fmt.Errorf("cannot unwrap %x", *k.given)
}

// The error of a KEK that has just been given the keys is not quoted, whichever
// of its methods it comes from.
func TestAttackKEKTellsInItsError(t *testing.T) {
	w := newWorld(t, "clinical")
	telling := tellingKEK{w.kek, new([]byte)}
	cfg := w.Config
	cfg.KEKs = map[string]keyring.KEK{"audit": telling}
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	for _, do := range []func() error{
		func() error { return r.CreateKeyset(t.Context(), "audit") },
		func() error { _, err := r.Export(t.Context(), telling); return err },
	} {
		err := do()
		requireError(t, err, keyring.ErrKEK)
		for _, key := range keyring.KeysetSecrets(*telling.given) {
			require.NotContains(t, err.Error(), hex.EncodeToString(key))
		}
	}
}

// A planted export of the greatest length, of keysets that are nothing.
func TestAttackExportExhausts(t *testing.T) {
	w := newWorld(t)
	for _, each := range []string{"{},", "null,"} {
		text := `{"format":"rahasia/ring-export/v1","ring":"clinic","keysets":[` + strings.Repeat(each, 16<<20/len(each)) + "{}]}\n"
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		requireError(t, keyring.Restore(t.Context(), w.Config, []byte(text), newKEK()), keyring.ErrCorrupt)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(6*len(text)))
	}
}
