package consent

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// An empty log or ledger where the ring's should be, for a path was mistyped
// perhaps, is refused, and the error says what is missing.
func TestElsewhere(t *testing.T) {
	ctx := context.Background()
	cfg, _ := sqlConfig(t)
	r := people(t, cfg)
	sealed(t, r, ayu, Treatment)
	size, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 2, size)
	_, err = OpenLogDir(ctx, cfg.Ring, filepath.Join(t.TempDir(), "empty"))
	require.ErrorIs(t, err, ErrTampered)
	require.ErrorContains(t, err, "0 entries, where there were 2")
	_, err = OpenLedgerDir(ctx, cfg.Ring, filepath.Join(t.TempDir(), "empty"))
	require.ErrorIs(t, err, ErrTampered)
	require.ErrorContains(t, err, "an older copy, or another")
}
