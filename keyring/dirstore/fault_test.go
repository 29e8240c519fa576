package dirstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/dirstore"
)

// calls are those that write, on what prepared made.
var calls = map[string]func(context.Context, *dirstore.Store) error{
	"StageKeyset": func(ctx context.Context, s *dirstore.Store) error {
		return s.StageKeyset(ctx, keyring.KeysetRecord{Name: "k", Revision: 2, Digest: [32]byte{9}, Wrapped: []byte("next")})
	},
	"CreateKeys": func(ctx context.Context, s *dirstore.Store) error {
		_, err := s.CreateKeys(ctx, []keyring.KeyRecord{key(1), key(2), key(3)})
		return err
	},
	"SwapKeys": func(ctx context.Context, s *dirstore.Store) error {
		retained := key(1)
		retained.State = keyring.Retained
		_, err := s.SwapKeys(ctx, []keyring.Swap{{Old: key(1), New: retained}})
		return err
	},
	"Commit": func(ctx context.Context, s *dirstore.Store) error {
		dead := keyring.KeyRecord{Tag: key(1).Tag, Compartment: "c", State: keyring.Destroyed, Wrapped: []byte("gone")}
		return s.Commit(ctx, keyring.Change{Prev: keyring.Head{Ring: "r", Seq: 1}, Head: keyring.Head{Ring: "r", Seq: 2},
			Activate: keyring.KeysetRecord{Name: "k", Revision: 2}, Keys: []keyring.KeyRecord{dead}})
	},
}

// prepared makes a store with a head, an active keyset, a staged one and a key.
func prepared(t testing.TB, dir string) *dirstore.Store {
	ctx, s := t.Context(), open(t, dir)
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{key(1)})
	require.NoError(t, err)
	set := keyring.KeysetRecord{Name: "k", Revision: 1, Wrapped: []byte("the first keyset")}
	require.NoError(t, s.StageKeyset(ctx, set))
	require.NoError(t, s.Commit(ctx, keyring.Change{Head: keyring.Head{Ring: "r", Seq: 1}, Activate: set}))
	set.Revision, set.Wrapped = 2, []byte("two")
	require.NoError(t, s.StageKeyset(ctx, set))
	return s
}

// state is all that is in a store, as text; reading it finishes what was left.
func state(t testing.TB, dir string) string {
	s := open(t, dir)
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	keysets, err := s.Keysets(t.Context())
	require.NoError(t, err)
	live, err := s.StaleKeys(t.Context(), "c", 0, nil, 99)
	require.NoError(t, err)
	rest, err := s.Inactive(t.Context(), nil, 99)
	require.NoError(t, err)
	staged, err := filepath.Glob(filepath.Join(dir, "staged", "*"))
	require.NoError(t, err)
	all := fmt.Sprint(head, keysets, live, rest)
	for _, path := range staged {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		all += string(b)
	}
	for _, gone := range []string{"intent", "done"} {
		require.NoFileExists(t, filepath.Join(dir, gone))
	}
	return all
}

// broken puts something at a path that the store's next step fails at, and
// returns what takes it away again.
func broken(t testing.TB, dir, step string) (mend func()) {
	what, name, _ := strings.Cut(step, " ")
	path := filepath.Join(dir, name)
	switch what {
	case "intent":
		return replaced(t, filepath.Join(dir, "intent.new"), true)
	case "committed":
		return replaced(t, filepath.Join(dir, "intent"), true)
	case "write":
		old, fresh := replaced(t, path, true), replaced(t, path+".new", true)
		return func() { old(); fresh() }
	case "rename", "remove":
		return replaced(t, path, false) // either would take a link away
	case "done":
		return replaced(t, filepath.Join(dir, "done"), false)
	case "unsynced":
		return replaced(t, filepath.Join(dir, "done"), true)
	}
	if name == "." { // the store holds its own folder open: the next step fails
		return replaced(t, filepath.Join(dir, "done"), false)
	}
	return replaced(t, path, true)
}

// replaced puts a link that leads to itself in the place of path, which no call
// but a removal gets past, or else a folder that is not empty.
func replaced(t testing.TB, path string, loop bool) (mend func()) {
	aside := filepath.Join(t.TempDir(), "aside")
	moved := os.Rename(path, aside) == nil
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	if loop {
		require.NoError(t, os.Symlink(path, path))
	} else {
		require.NoError(t, os.MkdirAll(filepath.Join(path, "full"), 0o700))
	}
	return func() {
		require.NoError(t, os.RemoveAll(path))
		if moved {
			require.NoError(t, os.Rename(aside, path))
		}
	}
}

// Each step of the store on its files fails in turn: the call says so, and
// when the disk is well again all of it is done or nothing.
func TestFaultFiles(t *testing.T) {
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			whole := filepath.Join(t.TempDir(), "whole")
			require.NoError(t, call(t.Context(), prepared(t, whole)))
			steps := map[string]bool{}
			for at, last := 1, false; !last; at++ {
				dir := filepath.Join(t.TempDir(), "keys")
				s := prepared(t, dir)
				before := state(t, dir)
				mend, n := func() {}, 0
				s.SetFault(func(step string) {
					if n++; n == at {
						steps[strings.Fields(step)[0]] = true
						mend = broken(t, dir, step)
					}
				})
				err := call(t.Context(), s)
				last = n < at
				require.Equal(t, last, err == nil, "step %d", at)
				mend()
				require.Contains(t, []string{before, state(t, whole)}, state(t, dir), "step %d", at)
			}
			for _, step := range []string{"intent", "committed", "write", "rename", "sync", "done", "unsynced", "remove"} {
				require.True(t, steps[step], step)
			}
		})
	}
}

// What is read is a directory where a file should be, or the reverse.
func TestFaultReading(t *testing.T) {
	ctx := t.Context()
	base := t.TempDir()
	n := 0
	for what, spoil := range map[string]func(dir string) error{
		"lock":   func(dir string) error { return replaceByFolder(filepath.Join(dir, "lock")) },
		"head":   func(dir string) error { return replaceByFolder(filepath.Join(dir, "head")) },
		"active": func(dir string) error { return replaceByFile(filepath.Join(dir, "active")) },
		"keyset": func(dir string) error { return eachIn(filepath.Join(dir, "active"), replaceByFolder) },
		"staged": func(dir string) error { return eachIn(filepath.Join(dir, "staged"), replaceByFolder) },
		"key":    func(dir string) error { return eachIn(filepath.Join(dir, "keys", "01"), replaceByFolder) },
		"keys":   func(dir string) error { return replaceByFile(filepath.Join(dir, "keys", "01")) },
		"stranger": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "keys", "01", "note.txt"), nil, 0o600)
		},
		"another's keyset": func(dir string) error {
			return eachIn(filepath.Join(dir, "active"), func(path string) error { return os.Rename(path, path[:len(path)-2]+"60") })
		},
	} {
		n++
		dir := filepath.Join(base, fmt.Sprint(n))
		s := prepared(t, dir)
		require.NoError(t, spoil(dir), what)
		failed := 0
		_, err := s.Head(ctx)
		failed += count(t, err)
		_, err = s.Keysets(ctx)
		failed += count(t, err)
		_, err = s.Keyset(ctx, "k")
		failed += count(t, err)
		_, err = s.Keys(ctx, []keyring.Tag{key(1).Tag})
		failed += count(t, err)
		_, err = s.Inactive(ctx, nil, 9)
		failed += count(t, err)
		for _, call := range calls {
			failed += count(t, call(ctx, s))
		}
		require.NotZero(t, failed, what)
	}
}

func count(t testing.TB, err error) int {
	if err == nil {
		return 0
	}
	require.ErrorContains(t, err, "dirstore: ")
	return 1
}

func replaceByFolder(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.Mkdir(path, 0o700)
}

func replaceByFile(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.WriteFile(path, nil, 0o600)
}

func eachIn(dir string, do func(path string) error) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := do(filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// Who waits for another goroutine, or for another process, waits no longer
// than its context.
func TestFaultWaiting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s, other := prepared(t, dir), open(t, dir)
	there, on := make(chan struct{}), make(chan struct{})
	s.SetFault(func(step string) {
		if step == "intent" {
			close(there)
			<-on
		}
	})
	done := make(chan error)
	go func() { done <- calls["CreateKeys"](context.Background(), s) }()
	<-there
	for _, waits := range []*dirstore.Store{s, other} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := waits.Head(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	close(on)
	require.NoError(t, <-done)
	ctx, cancel := context.WithCancel(t.Context())
	s.SetFault(func(string) {})
	cancel()
	for _, call := range calls {
		require.ErrorIs(t, call(ctx, s), context.Canceled)
	}
}

// What a process that died was writing is not a file of the store, and is
// overwritten with zeros before its place is used again.
func TestLeftovers(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "keys")
	s := prepared(t, dir)
	blocks := filepath.Join(t.TempDir(), "blocks")
	for _, name := range []string{"intent.new", "active/b0.new", "keys/01/" + strings.Repeat("01", 16) + ".new"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("half of a keyset"), 0o600))
	}
	require.NoError(t, os.Link(filepath.Join(dir, "intent.new"), blocks))
	recs, err := s.Keysets(ctx)
	require.NoError(t, err)
	require.Len(t, recs, 1)
	live, err := s.StaleKeys(ctx, "c", 0, nil, 9)
	require.NoError(t, err)
	require.Len(t, live, 1)
	require.NoError(t, calls["CreateKeys"](ctx, s))
	b, err := os.ReadFile(blocks)
	require.NoError(t, err)
	require.NotContains(t, string(b), "keyset")
}
