package dirstore_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/dirstore"
	"github.com/rahasia/rahasia/keyring/internal/killtest"
	"github.com/rahasia/rahasia/keyring/keyringtest"
)

func open(t testing.TB, dir string) *dirstore.Store {
	s, err := dirstore.Open(dir)
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	keyringtest.TestStore(t, func(t *testing.T) keyring.Store { return open(t, filepath.Join(t.TempDir(), "keys")) })
}

func TestKill(t *testing.T) {
	killtest.Run(t, killtest.Stores{
		Fresh: func(t testing.TB) string { return filepath.Join(t.TempDir(), "keys") },
		Copy: func(t testing.TB, from string) string {
			to := filepath.Join(t.TempDir(), "keys")
			killtest.CopyFolder(t, from, to)
			return to
		},
		Open: func(t testing.TB, place string, point func()) keyring.Store {
			s := open(t, place)
			s.SetFault(func(string) { point() })
			return s
		},
	})
}

func key(n byte) keyring.KeyRecord {
	return keyring.KeyRecord{Tag: keyring.Tag{n}, Compartment: "c", Generation: 1, Version: 1, State: keyring.Active, Wrapped: bytes.Repeat([]byte{n}, 60)}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := dirstore.Open("")
	require.ErrorIs(t, err, keyring.ErrEmpty)
	_, err = dirstore.Open(filepath.Join(dir, "no", "parent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = dirstore.Open(file)
	require.ErrorIs(t, err, fs.ErrInvalid)
}

// Stores of one directory are processes to each other.
func TestRaceOfProcesses(t *testing.T) {
	const n = 16
	dir := filepath.Join(t.TempDir(), "keys")
	var made [n][]keyring.KeyRecord
	var wg sync.WaitGroup
	for i := range n {
		s := open(t, dir)
		wg.Go(func() {
			rec := key(1)
			rec.Wrapped = []byte{byte(i)}
			var err error
			made[i], err = s.CreateKeys(t.Context(), []keyring.KeyRecord{rec})
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	for i := range made {
		require.Equal(t, made[0], made[i])
	}
}

// Files are for their owner alone, and hold nothing of a key once a tombstone
// took its place.
func TestAttackThiefReadsTheFiles(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "keys")
	s := open(t, dir)
	rec := key(7)
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{rec, key(8)})
	require.NoError(t, err)
	// A second name keeps the old file's blocks in sight, as a disk does.
	var link string
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Base(filepath.Dir(path)) == "07" {
			link = filepath.Join(t.TempDir(), "blocks")
			return os.Link(path, link)
		}
		return err
	}))
	require.NotEmpty(t, link)
	dead := keyring.KeyRecord{Tag: rec.Tag, Compartment: "c", State: keyring.Destroyed, Wrapped: []byte("gone")}
	require.NoError(t, s.Commit(ctx, keyring.Change{Head: keyring.Head{Ring: "r", Seq: 1}, Keys: []keyring.KeyRecord{dead}}))
	blocks, err := os.ReadFile(link)
	require.NoError(t, err)
	require.Empty(t, bytes.Trim(blocks, "\x00"), "the old file was not overwritten")
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, path)
		require.NotContains(t, []string{"intent", "done"}, d.Name())
		return nil
	}))
}

// A keyset that has lost a version since is not on the disk by design: neither
// the file that was the active one, nor the staged one that it came from.
func TestAttackThiefReadsAnOldKeyset(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "keys")
	s := open(t, dir)
	var head keyring.Head
	var blocks []string
	link := func(folder string) {
		files, err := os.ReadDir(filepath.Join(dir, folder))
		require.NoError(t, err)
		require.Len(t, files, 1)
		to := filepath.Join(t.TempDir(), "blocks")
		require.NoError(t, os.Link(filepath.Join(dir, folder, files[0].Name()), to))
		blocks = append(blocks, to)
	}
	for revision := uint64(1); revision <= 2; revision++ {
		rec := keyring.KeysetRecord{Name: "k", Revision: revision, Wrapped: bytes.Repeat([]byte{byte(revision)}, 100)}
		other := rec
		other.Wrapped = bytes.Repeat([]byte{9}, 100)
		require.NoError(t, s.StageKeyset(ctx, other))
		link("staged") // replaced by the next
		require.NoError(t, s.StageKeyset(ctx, rec))
		if revision == 1 {
			link("staged") // removed when it is activated
		}
		next := head
		next.Ring, next.Seq = "r", revision
		require.NoError(t, s.Commit(ctx, keyring.Change{Prev: head, Head: next, Activate: rec}))
		head = next
		if revision == 1 {
			link("active") // replaced by the second
		}
	}
	require.Len(t, blocks, 4)
	for i, path := range blocks {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NotEmpty(t, b)
		require.Empty(t, bytes.Trim(b, "\x00"), "the old file %d was not overwritten", i)
	}
}

// Files that another program changed or swapped are refused, not believed.
func TestAttackOnFiles(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "keys")
	s := open(t, dir)
	a, b := key(1), key(2)
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{a, b})
	require.NoError(t, err)
	file := func(n string) string { return filepath.Join(dir, "keys", n, n+"000000000000000000000000000000") }
	one, err := os.ReadFile(file("01"))
	require.NoError(t, err)
	for what, content := range map[string][]byte{
		"empty": nil, "cut": one[:len(one)-1], "longer": append(bytes.Clone(one), '\n'), "spaces": bytes.Replace(one, []byte(":"), []byte(": "), 1),
		"another's": one, "unknown member": bytes.Replace(one, []byte("{"), []byte(`{"x":1,`), 1), "zeros": make([]byte, len(one)),
	} {
		require.NoError(t, os.WriteFile(file("02"), content, 0o600))
		_, err := s.Keys(ctx, []keyring.Tag{b.Tag})
		require.ErrorIs(t, err, keyring.ErrCorrupt, what)
		_, err = s.Inactive(ctx, nil, 10)
		require.ErrorIs(t, err, keyring.ErrCorrupt, what)
		_, err = s.CreateKeys(ctx, []keyring.KeyRecord{b})
		require.ErrorIs(t, err, keyring.ErrCorrupt, what)
	}
	outside := filepath.Join(filepath.Dir(dir), "outside")
	intent := `{"format":"rahasia/dir-intent/v1","writes":[{"path":"../outside","data":"eA=="}]}` + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "intent"), []byte(intent), 0o600))
	_, err = s.Head(ctx)
	require.ErrorIs(t, err, keyring.ErrCorrupt)
	require.NoFileExists(t, outside)
}
