//go:build unix

package dirstore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// thiefStore is a store with two keys in a folder, and a file beside it that is
// none of the store's business: a key file, say.
func thiefStore(t *testing.T) (s keyring.Store, dir, outside string) {
	root := t.TempDir()
	dir, outside = filepath.Join(root, "keys"), filepath.Join(root, "kek")
	require.NoError(t, os.WriteFile(outside, []byte("the key file"), 0o600))
	s = open(t, dir)
	_, err := s.CreateKeys(t.Context(), []keyring.KeyRecord{key(1), key(2)})
	require.NoError(t, err)
	return s, dir, outside
}

func requireUntouched(t *testing.T, outside string) {
	t.Helper()
	b, err := os.ReadFile(outside)
	require.NoError(t, err)
	require.Equal(t, "the key file", string(b))
}

// keyPath is the file of key(n).
func keyPath(dir string, n int) string {
	name := fmt.Sprintf("%02x", n)
	return filepath.Join(dir, "keys", name, name+"000000000000000000000000000000")
}

// Whoever can write into the store's folder must not write, through the process,
// where they cannot: by an intent that leads through a link.
func TestAttackIntentThroughALink(t *testing.T) {
	for name, plant := range map[string]func(dir, outside string) string{
		"folder": func(dir, outside string) string {
			_ = os.Symlink(filepath.Dir(outside), filepath.Join(dir, "out"))
			return "out/kek"
		},
		"shard": func(dir, outside string) string {
			_ = os.RemoveAll(filepath.Join(dir, "keys", "01"))
			_ = os.Symlink(filepath.Dir(outside), filepath.Join(dir, "keys", "01"))
			return "keys/01/kek"
		},
		"file": func(dir, outside string) string {
			_ = os.Symlink(outside, filepath.Join(dir, "keys", "01", "x"))
			return "keys/01/x"
		},
		"its new form": func(dir, outside string) string {
			_ = os.Symlink(outside, filepath.Join(dir, "head.new"))
			return "head"
		},
	} {
		for _, data := range []string{`"` + base64.StdEncoding.EncodeToString([]byte("planted")) + `"`, "null"} {
			t.Run(name+data, func(t *testing.T) {
				s, dir, outside := thiefStore(t)
				intent := fmt.Sprintf(`{"format":"rahasia/dir-intent/v1","writes":[{"path":"%s","data":%s}]}`+"\n", plant(dir, outside), data)
				require.NoError(t, os.WriteFile(filepath.Join(dir, "intent"), []byte(intent), 0o600))
				_, _ = s.Head(t.Context())
				requireUntouched(t, outside)
			})
		}
	}
}

// A key's file that is a link to another: replacing it, as an erasure does,
// overwrites what it leads to.
func TestAttackEraseThroughALink(t *testing.T) {
	s, dir, outside := thiefStore(t)
	for _, plant := range []string{keyPath(dir, 1), keyPath(dir, 1) + ".new", filepath.Join(dir, "intent.new"), filepath.Join(dir, "done")} {
		_ = os.Remove(plant)
		require.NoError(t, os.Symlink(outside, plant))
		dead := key(1)
		dead.State, dead.Wrapped = keyring.Destroyed, []byte("gone")
		_ = s.Commit(t.Context(), keyring.Change{Head: keyring.Head{Ring: "clinic", Seq: 1}, Keys: []keyring.KeyRecord{dead}})
		requireUntouched(t, outside)
		_ = os.Remove(plant)
	}
}

// A pipe in a file's place has no end and no writer: reading it must not hold
// the process for ever, beyond its context.
func TestAttackPipe(t *testing.T) {
	for _, name := range []string{"head", "intent", "intent.new", "done", "key", "key.new", "lock"} {
		t.Run(name, func(t *testing.T) {
			s, dir, _ := thiefStore(t)
			path := filepath.Join(dir, name)
			switch name {
			case "key":
				path = keyPath(dir, 1)
			case "key.new":
				path = keyPath(dir, 1) + ".new"
			}
			_ = os.Remove(path)
			require.NoError(t, syscall.Mkfifo(path, 0o600))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = s.Head(ctx)
				_, _ = s.Keys(ctx, []keyring.Tag{key(1).Tag})
				dead := key(1)
				dead.State = keyring.Destroyed
				_ = s.Commit(ctx, keyring.Change{Head: keyring.Head{Ring: "clinic", Seq: 1}, Keys: []keyring.KeyRecord{dead}})
			}()
			select {
			case <-done:
			case <-time.After(5 * time.Second):
				unblock(path)
				t.Fatal("hangs beyond its context")
			}
		})
	}
}

// unblock lets go who waits for the other end of a pipe.
func unblock(path string) {
	for range 20 {
		if f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			_ = f.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// A file with a hole costs a thief nothing: it must not fill the memory.
func TestAttackHugeFile(t *testing.T) {
	const huge = 1 << 29
	for _, name := range []string{"head", "intent", "intent.new", "done", "key", "key.new", "active"} {
		t.Run(name, func(t *testing.T) {
			s, dir, _ := thiefStore(t)
			path := filepath.Join(dir, name)
			switch name {
			case "key":
				path = keyPath(dir, 1)
			case "key.new":
				path = keyPath(dir, 1) + ".new"
			case "active":
				require.NoError(t, os.MkdirAll(filepath.Join(dir, "active"), 0o700))
				path = filepath.Join(dir, "active", "c5h6")
			}
			_ = os.Remove(path)
			require.NoError(t, os.WriteFile(path, nil, 0o600))
			require.NoError(t, os.Truncate(path, huge))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _ = s.Head(t.Context())
			_, _ = s.Keysets(t.Context())
			_, err := s.Keys(t.Context(), []keyring.Tag{key(1).Tag})
			if name == "key" && !errors.Is(err, keyring.ErrCorrupt) {
				t.Error(err)
			}
			dead := key(1)
			dead.State = keyring.Destroyed
			_ = s.Commit(t.Context(), keyring.Change{Head: keyring.Head{Ring: "clinic", Seq: 1}, Keys: []keyring.KeyRecord{dead}})
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(huge/8))
		})
	}
}
