package keyring_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

func TestAnchor(t *testing.T) {
	w := newWorld(t, "consent/ledger", "clinical")
	ctx := t.Context()
	place, digest, err := w.ring.Anchored(ctx, "consent/ledger")
	require.NoError(t, err)
	require.Zero(t, place)
	require.Zero(t, digest)

	require.NoError(t, w.ring.Anchor(ctx, "consent/ledger", 0, 7, [32]byte{7}))
	require.NoError(t, w.ring.Anchor(ctx, "consent/ledger", 7, 9, [32]byte{9}))
	lines := strings.Count(w.text(t), "\n")
	require.NoError(t, w.ring.Anchor(ctx, "consent/ledger", 9, 8, [32]byte{8}), "an older place")
	requireError(t, w.ring.Anchor(ctx, "consent/ledger", 7, 10, [32]byte{8}), keyring.ErrConflict)
	require.Equal(t, lines, strings.Count(w.text(t), "\n"))
	for _, r := range []*keyring.Ring{w.ring, w.open(t)} {
		place, digest, err = r.Anchored(ctx, "consent/ledger")
		require.NoError(t, err)
		require.EqualValues(t, 9, place)
		require.Equal(t, [32]byte{9}, digest)
	}
	// The ring goes on as before.
	_, err = w.ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	w.open(t)
}

func TestAnchorErrors(t *testing.T) {
	w := newWorld(t, "consent/ledger")
	ctx := t.Context()
	requireError(t, w.ring.Anchor(ctx, "consent/log", 0, 1, [32]byte{}), keyring.ErrNoKeyset)
	requireError(t, w.ring.Anchor(ctx, "ring", 0, 1, [32]byte{}), keyring.ErrName)
	requireError(t, w.ring.Anchor(ctx, "A", 0, 1, [32]byte{}), keyring.ErrName)
	requireError(t, w.ring.Anchor(ctx, "consent/ledger", 0, 1<<63, [32]byte{}), keyring.ErrName)
	requireError(t, w.ring.Only().Anchor(ctx, "consent/ledger", 0, 1, [32]byte{}), keyring.ErrNotGranted)
	_, _, err := w.ring.Only().Anchored(ctx, "consent/ledger")
	requireError(t, err, keyring.ErrNotGranted)
	require.NoError(t, w.ring.Close())
	requireError(t, w.ring.Anchor(ctx, "consent/ledger", 0, 1, [32]byte{}), keyring.ErrClosed)
	_, _, err = w.ring.Anchored(ctx, "consent/ledger")
	requireError(t, err, keyring.ErrClosed)
}

// TestAttackAnchor: the journal's anchor is cut off, or set back. The store
// knows better.
func TestAttackAnchor(t *testing.T) {
	w := newWorld(t, "consent/ledger")
	require.NoError(t, w.ring.Anchor(t.Context(), "consent/ledger", 0, 7, [32]byte{7}))
	whole := w.text(t)
	w.cutLines(t, 1)
	_, err := keyring.Open(t.Context(), w.Config)
	requireError(t, err, keyring.ErrJournalLost)
	w.rewrite(t, strings.Replace(whole, "consent/ledger 7 ", "consent/ledger 6 ", 1))
	_, err = keyring.Open(t.Context(), w.Config)
	requireError(t, err, keyring.ErrCorrupt)
}

// TestAnchorsDoNotPutAStoreBehind: a store from before some anchors, and one
// erasure between them, is completed; with two erasures it was rolled back.
func TestAnchorsDoNotPutAStoreBehind(t *testing.T) {
	for erasures, want := range []error{nil, nil, keyring.ErrRolledBack} {
		w := newWorld(t, "clinical", "consent/ledger")
		ctx := t.Context()
		for _, who := range []string{alice, budi} {
			_, err := w.ring.CreateSubject(ctx, who, "clinical")
			require.NoError(t, err)
		}
		old, err := w.Store.Head(ctx)
		require.NoError(t, err)
		require.NoError(t, w.ring.Anchor(ctx, "consent/ledger", 0, 1, [32]byte{1}))
		for i, who := range []string{alice, budi}[:erasures] {
			_, err = w.ring.Shred(ctx, who)
			require.NoError(t, err)
			require.NoError(t, w.ring.Anchor(ctx, "consent/ledger", uint64(i+1), uint64(i+2), [32]byte{2}))
		}
		newest, err := w.Store.Head(ctx)
		require.NoError(t, err)
		require.NoError(t, w.Store.Commit(ctx, keyring.Change{Prev: newest, Head: old}), "as an older copy has it")
		r, err := keyring.Open(ctx, w.Config)
		if want != nil {
			requireError(t, err, want)
			continue
		}
		require.NoError(t, err)
		again, err := w.Store.Head(ctx)
		require.NoError(t, err)
		require.Equal(t, newest, again)
		_, err = r.Subject(ctx, alice, "clinical")
		if erasures > 0 {
			requireError(t, err, keyring.ErrShredded)
		} else {
			require.NoError(t, err)
		}
	}
}
