package consent

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// numbered is one of several records that a patient has.
type numbered struct {
	ID     string `phi:"subject"`
	Number string `phi:"record"`
	Note   string `phi:"text"`
}

// An extract is JSON, which could not name an id that is not UTF-8: nothing is made
// under one, by no way in.
func TestIDsAreTexts(t *testing.T) {
	ctx := context.Background()
	cfg := mergeConfig(t)
	cfg.Provision = true
	r, err := NewRecords[numbered]("numbered", cfg)
	require.NoError(t, err)
	_, to, _ := intakeClinic(t, cfg)
	branch := intakeOf[numbered](t, "numbered", to)
	from := &numbered{"p-1", "1", "n"}
	row, err := r.Seal(ctx, from, careTag)
	require.NoError(t, err)
	size, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
	for _, bad := range []*numbered{{"p\xff", "1", "n"}, {"p-2", "\xff1", "n"}} {
		_, err := r.Seal(ctx, bad, careTag)
		require.ErrorIs(t, err, ErrLimit)
		_, err = r.SealAll(ctx, []*numbered{from, bad}, careTag)
		require.ErrorIs(t, err, ErrLimit)
		_, err = r.Rebind(ctx, row.Sealed, from, bad, registrar)
		require.ErrorIs(t, err, ErrLimit)
		_, err = branch.Seal(bad, careTag)
		require.ErrorIs(t, err, ErrLimit)
	}
	_, err = cfg.Give(ctx, Consent{Subject: "p\xff", Purposes: []Purpose{Treatment}})
	require.ErrorIs(t, err, ErrLimit)
	after, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.Equal(t, size, after, "and nothing is logged")
}

// What JSON has escapes for, and what looks like a replacement, is proven as it is.
func TestExtractOfUnusualIDs(t *testing.T) {
	ctx := context.Background()
	cfg, _ := sqlConfig(t)
	cfg.Provision = true
	r, err := NewRecords[numbered]("numbered", cfg)
	require.NoError(t, err)
	vkey, err := cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	for _, n := range []*numbered{{"p\u2028<&>\"\\", "\x00\u2029\x7f", "n"}, {"p\ufffd", "\U0010ffff", "n"}} {
		_, err := r.Seal(ctx, n, careTag)
		require.NoError(t, err)
		file, err := cfg.Log.Extract(ctx, n.ID)
		require.NoError(t, err)
		got, err := CheckExtract(file, vkey)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, []string{n.ID, n.Number}, []string{got[0].Subject, got[0].Record})
	}
}
