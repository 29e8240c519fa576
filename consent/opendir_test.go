package consent

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

func TestOpenDir(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	row := sealed(t, people(t, cfg), ayu, Treatment)
	require.NoError(t, cfg.Close())
	require.NoError(t, cfg.Close(), "twice is no error")

	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	defer cfg.Close()
	got, err := open(people(t, cfg), ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err)
	require.Equal(t, ayu.Name, got.Name)
	n, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 4, n, "the first entry is the folder's own")

	key, err := os.Stat(dir + keySuffix)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), key.Mode().Perm())
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range files {
		i, err := f.Info()
		require.NoError(t, err)
		require.Zero(t, i.Mode().Perm()&0o077, f.Name())
	}
	_, err = os.Stat(dir + ".new")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestOpenDirRefusesHalf(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	require.NoError(t, cfg.Close())

	require.NoError(t, os.Rename(dir+keySuffix, dir+".away"))
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, ErrHalf, "the key is lost")
	require.NoFileExists(t, dir+keySuffix)
	require.NoError(t, os.Rename(dir+".away", dir+keySuffix))

	require.NoError(t, os.Rename(dir, dir+".away"))
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, ErrHalf, "the folder is lost")
	require.NoDirExists(t, dir)
	require.NoError(t, os.Mkdir(dir, 0o700))
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, ErrHalf, "an empty folder in its place")
	require.NoError(t, os.Remove(dir))
	require.NoError(t, os.Rename(dir+".away", dir))

	other := filepath.Join(t.TempDir(), "other")
	second, err := OpenDir(ctx, other)
	require.NoError(t, err)
	require.NoError(t, second.Close())
	require.NoError(t, os.Rename(other+keySuffix, dir+keySuffix))
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, keyring.ErrKEK, "another folder's key")

	for _, name := range []string{keysFile, recordsFile, journalFile} {
		require.NoError(t, os.Rename(filepath.Join(dir, name), dir+".away"))
		_, err = OpenDir(ctx, dir)
		require.ErrorIs(t, err, ErrHalf, name)
		require.NoFileExists(t, filepath.Join(dir, name))
		require.NoError(t, os.Rename(dir+".away", filepath.Join(dir, name)))
	}
}

// TestKillOpenDir stops the making of a folder after each of its steps, as a
// crash would, and opens again.
func TestKillOpenDir(t *testing.T) {
	ctx := context.Background()
	for name, crash := range map[string]func(dir string){
		"while it was made": func(dir string) {
			require.NoError(t, os.Mkdir(dir+".new-123", 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir+".new-123", keysFile), []byte("torn"), 0o600))
		},
		"before the folder was moved": func(dir string) {
			require.NoError(t, makeFolder(ctx, dir))
			require.NoError(t, os.Rename(dir, dir+".new-123"))
		},
		"before the key was moved": func(dir string) { require.NoError(t, makeFolder(ctx, dir)) },
		"before the key was removed": func(dir string) {
			require.NoError(t, makeFolder(ctx, dir))
			require.NoError(t, os.Link(filepath.Join(dir, innerKey), dir+keySuffix))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "demo")
			crash(dir)
			for range 2 {
				cfg, err := OpenDir(ctx, dir)
				require.NoError(t, err)
				require.NoFileExists(t, filepath.Join(dir, innerKey))
				p := ayu
				p.ID = envelope.NewID()
				sealed(t, people(t, cfg), p, Treatment)
				require.NoError(t, cfg.Close())
			}
		})
	}
}

// TestOpenDirTwiceAtOnce: of many that make one folder at the same time, all
// end up with the same, and no key is replaced.
func TestOpenDirTwiceAtOnce(t *testing.T) {
	ctx := context.Background()
	for range 5 {
		dir := filepath.Join(t.TempDir(), "demo")
		var wg sync.WaitGroup
		ids := make([]string, 6)
		for i := range ids {
			wg.Go(func() {
				cfg, err := OpenDir(ctx, dir)
				if err != nil {
					t.Error(err)
					return
				}
				ids[i] = cfg.Ring.ID()
				if err := cfg.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, id := range ids {
			require.Equal(t, ids[0], id)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

// TestOldKeyStore puts the folder's whole key store back as it was before an
// erasure: the patient stays erased, the others open.
func TestOldKeyStore(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	budi := ayu
	budi.ID = "p-budi"
	rowAyu, rowBudi := sealed(t, people(t, cfg), ayu, Treatment), sealed(t, people(t, cfg), budi, Treatment)
	require.NoError(t, cfg.Close())
	old := t.TempDir()
	copyFile(t, filepath.Join(dir, "keys.db"), filepath.Join(old, "keys.db"))

	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	_, err = cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	require.NoError(t, cfg.Close())
	for _, f := range []string{"keys.db", "keys.db-wal", "keys.db-shm"} {
		_ = os.Remove(filepath.Join(dir, f))
	}
	copyFile(t, filepath.Join(old, "keys.db"), filepath.Join(dir, "keys.db"))

	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	defer cfg.Close()
	_, err = open(people(t, cfg), ayu.ID, rowAyu.Sealed, care)
	require.ErrorIs(t, err, keyring.ErrShredded)
	_, err = open(people(t, cfg), budi.ID, rowBudi.Sealed, care)
	require.IsType(t, &WithheldError{}, err)
}

// TestAttackOldRecords puts ledger and log back as they were before a withdrawal, or
// before a refusal: no key is needed for that, and it is noticed.
func TestAttackOldRecords(t *testing.T) {
	for name, stop := range map[string]func(*Config, string) error{
		"withdrawal": func(c *Config, id string) error { return c.Withdraw(context.Background(), ayu.ID, id, "clerk") },
		"refusal": func(c *Config, _ string) error {
			_, err := c.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
			return err
		},
		"an opening": func(c *Config, _ string) error {
			_, err := people(t, c).Lookup(context.Background(), "NIK", ayu.NIK, care)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			dir := filepath.Join(t.TempDir(), "demo")
			cfg, err := OpenDir(ctx, dir)
			require.NoError(t, err)
			sealed(t, people(t, cfg), ayu)
			id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
			require.NoError(t, cfg.Close())
			old := filepath.Join(t.TempDir(), recordsFile)
			copyFile(t, filepath.Join(dir, recordsFile), old)

			cfg, err = OpenDir(ctx, dir)
			require.NoError(t, err)
			require.NoError(t, stop(cfg, id))
			require.NoError(t, cfg.Close())
			for _, f := range []string{recordsFile, recordsFile + "-wal", recordsFile + "-shm"} {
				_ = os.Remove(filepath.Join(dir, f))
			}
			copyFile(t, old, filepath.Join(dir, recordsFile))
			_, err = OpenDir(ctx, dir)
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

// TestReplayDir: two erasures behind, the folder does not open until it is
// replayed, and then both stay erased.
func TestReplayDir(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	budi, citra := ayu, ayu
	budi.ID, citra.ID = "p-budi", "p-citra"
	rows := map[string]Row{}
	for _, p := range []person{ayu, budi, citra} {
		rows[p.ID] = sealed(t, people(t, cfg), p, Treatment)
	}
	require.NoError(t, cfg.Close())
	old := filepath.Join(t.TempDir(), keysFile)
	copyFile(t, filepath.Join(dir, keysFile), old)
	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	for _, id := range []string{ayu.ID, budi.ID} {
		_, err = cfg.Erase(ctx, id, "clerk")
		require.NoError(t, err)
	}
	require.NoError(t, cfg.Close())
	for _, f := range []string{keysFile, keysFile + "-wal", keysFile + "-shm"} {
		_ = os.Remove(filepath.Join(dir, f))
	}
	copyFile(t, old, filepath.Join(dir, keysFile))
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, keyring.ErrRolledBack)
	require.NoError(t, ReplayDir(ctx, dir))
	require.NoError(t, ReplayDir(ctx, dir), "twice is no error")
	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	defer cfg.Close()
	for _, id := range []string{ayu.ID, budi.ID} {
		_, err = open(people(t, cfg), id, rows[id].Sealed, care)
		require.ErrorIs(t, err, keyring.ErrShredded)
	}
	_, err = open(people(t, cfg), citra.ID, rows[citra.ID].Sealed, care)
	require.IsType(t, &WithheldError{}, err)
	require.ErrorIs(t, ReplayDir(ctx, filepath.Join(t.TempDir(), "none")), os.ErrNotExist)
}

func TestClosedConfig(t *testing.T) {
	ctx := context.Background()
	cfg, err := OpenDir(ctx, filepath.Join(t.TempDir(), "demo"))
	require.NoError(t, err)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	require.NoError(t, cfg.Close())
	got, err := open(r, ayu.ID, row.Sealed, care)
	require.Error(t, err)
	require.Equal(t, person{ID: ayu.ID}, got)
	_, err = r.Seal(ctx, &ayu, careTag)
	require.ErrorIs(t, err, keyring.ErrClosed)
}
