package consent

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// TestOpenDirCustodian: a folder retains when its custodian is named beside it,
// whose key alone brings the patient back; a file that names nobody opens nothing.
func TestOpenDirCustodian(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	row := sealed(t, people(t, cfg), ayu, Treatment)
	_, err = cfg.Retain(ctx, ayu.ID, "officer", untilNextYear())
	require.ErrorIs(t, err, keyring.ErrEmpty)
	require.NoError(t, cfg.Close())

	key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "safe"))
	require.NoError(t, err)
	other, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "other"))
	require.NoError(t, err)
	for _, wrong := range []string{"", "nobody", key.Custodian().String() + " and more", key.Custodian().String()[1:]} {
		require.NoError(t, os.WriteFile(dir+custodianSuffix, []byte(wrong), 0o600))
		_, err = OpenDir(ctx, dir)
		require.ErrorIs(t, err, keyring.ErrKEK, "%.10q", wrong)
		require.ErrorIs(t, ReplayDir(ctx, dir), keyring.ErrKEK)
	}
	require.NoError(t, os.WriteFile(dir+custodianSuffix, []byte(key.Custodian().String()+"\n"), 0o600))
	require.NoError(t, ReplayDir(ctx, dir))
	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	defer cfg.Close()
	_, err = cfg.Retain(ctx, ayu.ID, "officer", untilNextYear())
	require.NoError(t, err)
	_, err = open(people(t, cfg), ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, keyring.ErrRetained)
	require.ErrorIs(t, cfg.EndRetention(ctx, ayu.ID, "custodian", other), keyring.ErrKEK)
	require.NoError(t, cfg.EndRetention(ctx, ayu.ID, "custodian", key))
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}})
	require.NoError(t, err)
	_, err = open(people(t, cfg), ayu.ID, row.Sealed, care)
	require.NoError(t, err)
}

// TestThiefCustodian: who puts another key in the place of the custodian's, before
// anybody is retained or after, gets nobody's keys; whoever has the ring may change it.
func TestThiefCustodian(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	write := func(text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(dir+custodianSuffix, []byte(text+"\n"), 0o600))
	}
	var keys [2]string
	for i := range keys {
		key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "safe"))
		require.NoError(t, err)
		keys[i] = key.Custodian().String()
	}
	write(keys[0])
	for range 2 {
		cfg, err := OpenDir(ctx, dir)
		require.NoError(t, err)
		require.NoError(t, cfg.Close())
	}
	write(keys[1])
	_, err := OpenDir(ctx, dir)
	require.ErrorIs(t, err, ErrTampered)
	require.ErrorIs(t, ReplayDir(ctx, dir), ErrTampered)

	require.NoError(t, os.Remove(dir+custodianSuffix))
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	place, _, err := cfg.Ring.Anchored(ctx, "audit")
	require.NoError(t, err)
	require.NoError(t, cfg.Ring.Anchor(ctx, "audit", place, place+1, sha256.Sum256([]byte(keys[1]))))
	require.NoError(t, cfg.Close())
	write(keys[0])
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, ErrTampered, "the old one is another now")
	write(keys[1])
	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	require.NoError(t, cfg.Close())
}

// TestThiefCustodianFile: a file that others may write is nobody's word, and one
// that never ends holds nobody.
func TestThiefCustodianFile(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "safe"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(dir+custodianSuffix, []byte(key.Custodian().String()), 0o600))
	for mode, want := range map[os.FileMode]error{0o620: keyring.ErrKEK, 0o602: keyring.ErrKEK, 0o644: nil} {
		require.NoError(t, os.Chmod(dir+custodianSuffix, mode))
		cfg, err := OpenDir(ctx, dir)
		require.ErrorIs(t, err, want, "%v", mode)
		if err == nil {
			require.NoError(t, cfg.Close())
		}
	}
	require.NoError(t, os.Remove(dir+custodianSuffix))
	require.NoError(t, os.Symlink("/dev/zero", dir+custodianSuffix))
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, fs.ErrInvalid)
}
