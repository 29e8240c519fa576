package consent

import (
	"context"
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
