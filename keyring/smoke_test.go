package keyring_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

func TestSmoke(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	db, err := sqlite.Open(filepath.Join(dir, "keys ?#%.db"))
	require.NoError(t, err)
	defer db.Close()
	st, err := sqlstore.New(ctx, db)
	require.NoError(t, err)
	j, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, "kek"))
	require.NoError(t, err)
	cfg := keyring.Config{Store: st, Journal: j, KEK: kek}
	r, err := keyring.Create(ctx, "demo", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	require.NoError(t, r.CreateKeyset(ctx, "identity"))
	ks, err := r.CreateSubject(ctx, "p1", "clinical", "identity")
	require.NoError(t, err)
	v, err := r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 2, v)
	_ = ks
	r2, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = r2.Subject(ctx, "p1", "clinical", "identity")
	require.NoError(t, err)
	rec, err := r.Shred(ctx, "p1")
	require.NoError(t, err)
	t.Log(rec)
	_, err = r.Subject(ctx, "p1", "clinical")
	require.ErrorIs(t, err, keyring.ErrShredded)
	rec2, err := r2.Shred(ctx, "p1")
	require.NoError(t, err)
	require.Equal(t, rec, rec2)
	r3, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = r3.CreateSubject(ctx, "p1", "clinical")
	require.ErrorIs(t, err, keyring.ErrShredded)
}
