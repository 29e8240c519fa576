package keyring_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

func TestJournalHead(t *testing.T) {
	w := newWorld(t, "consent/log", "clinical")
	ctx := t.Context()
	seq, hash, err := w.ring.JournalHead(ctx)
	require.NoError(t, err)
	require.NotZero(t, seq)
	require.NoError(t, w.ring.JournalHolds(ctx, seq, hash))
	require.NoError(t, w.ring.JournalHolds(ctx, 0, hash))
	require.NoError(t, w.ring.Anchor(ctx, "consent/log", 0, 7, [32]byte{7}))
	next, newer, err := w.ring.Only().JournalHead(ctx)
	require.NoError(t, err, "needs no grant")
	require.Equal(t, seq+1, next)
	for _, r := range []*keyring.Ring{w.ring, w.open(t)} {
		require.NoError(t, r.JournalHolds(ctx, seq, hash))
		require.NoError(t, r.JournalHolds(ctx, next, newer))
		requireError(t, r.JournalHolds(ctx, next, hash), keyring.ErrRolledBack)
		requireError(t, r.JournalHolds(ctx, next+1, newer), keyring.ErrRolledBack)
	}
	require.NoError(t, w.ring.Close())
	_, _, err = w.ring.JournalHead(ctx)
	requireError(t, err, keyring.ErrClosed)
	requireError(t, w.ring.JournalHolds(ctx, seq, hash), keyring.ErrClosed)
}
