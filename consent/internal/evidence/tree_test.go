package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"
)

// last calls f with the newest leaf, if there is one.
func last(ctx context.Context, tree *Tree, f func(leaf []byte) error) error {
	n, err := tree.Size(ctx)
	if err != nil || n == 0 {
		return err
	}
	return tree.Leaves(ctx, n-1, func(_ int64, leaf []byte) error { return f(leaf) })
}

// TestTreePages reads more leaves than fit into a page, from anywhere on.
func TestTreePages(t *testing.T) {
	const n = 20*blockLeaves + 3
	for _, db := range []*sql.DB{nil, newDB(t)} {
		tree := openTree(t, newRing(t), db)
		require.NoError(t, last(ctx, tree, func([]byte) error { return errors.New("of an empty tree") }))
		leaves := make([][]byte, n)
		for i := range leaves {
			leaves[i] = fmt.Append(nil, i)
		}
		require.NoError(t, tree.Append(ctx, leaves...))
		for _, from := range []int64{0, 1, blockLeaves, n - 1, n, n + 9} {
			next := from
			require.NoError(t, tree.Leaves(ctx, from, func(i int64, leaf []byte) error {
				require.Equal(t, next, i)
				require.Equal(t, fmt.Sprint(i), string(leaf))
				next++
				return nil
			}))
			require.Equal(t, max(from, n), next)
		}
		require.NoError(t, last(ctx, tree, func(leaf []byte) error {
			require.Equal(t, fmt.Sprint(n-1), string(leaf))
			return nil
		}))
		stop := errors.New("stop")
		require.ErrorIs(t, tree.Leaves(ctx, 3, func(int64, []byte) error { return stop }), stop)
		_, err := tree.Verify(ctx, func([]byte) error { return stop })
		require.ErrorIs(t, err, stop)
		key, err := tree.VerifierKey(ctx)
		require.NoError(t, err)
		for _, i := range []int64{0, blockLeaves, n - 1} {
			leaf, hashes, checkpoint, err := tree.Prove(ctx, i)
			require.NoError(t, err)
			require.NoError(t, CheckProof(key, i, leaf, hashes, checkpoint))
			require.ErrorIs(t, CheckProof(key, i+1, leaf, hashes, checkpoint), ErrTampered)
			require.NoError(t, tree.Extends(ctx, checkpoint))
		}
		for _, i := range []int64{-1, n} {
			_, _, _, err := tree.Prove(ctx, i)
			require.Error(t, err)
		}
	}
}

// TestCancelledInABatch: who gives up does not take the others of its batch along.
func TestCancelledInABatch(t *testing.T) {
	tree := openTree(t, newRing(t), nil)
	gate := make(chan struct{})
	tree.store = gated{tree.store, gate}
	given, cancel := context.WithCancel(ctx)
	first, second := make(chan error, 1), make(chan error, 1)
	tree.writing.Lock() // a write is under way: both wait for the next
	go func() { first <- tree.Append(given, []byte("a")) }()
	require.Eventually(t, func() bool { tree.mu.Lock(); defer tree.mu.Unlock(); return tree.waiting != nil }, 20*time.Second, time.Millisecond)
	go func() { second <- tree.Append(ctx, []byte("b")) }()
	require.Eventually(t, func() bool { tree.mu.Lock(); defer tree.mu.Unlock(); return len(tree.waiting.leaves) == 2 }, 20*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	tree.writing.Unlock()
	close(gate)
	require.NoError(t, <-second)
	n, err := tree.Verify(ctx, func([]byte) error { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

type gated struct {
	treeStore
	gate chan struct{}
}

func (g gated) queue(ctx context.Context, b []block, size int64) error {
	<-g.gate
	if err := ctx.Err(); err != nil {
		return err
	}
	return g.treeStore.queue(ctx, b, size)
}

// TestSaboteurTree: a log that says it has written and drops the entry is
// noticed by whoever reads, and nothing is appended any more.
func TestSaboteurTree(t *testing.T) {
	for name, drops := range map[string]func(treeStore) treeStore{
		"before it had its place": func(s treeStore) treeStore { return droppingQueue{s} },
		"with its place":          func(s treeStore) treeStore { return droppingGrowth{s} },
	} {
		tree, err := OpenTree(ctx, newRing(t), nil)
		require.NoError(t, err)
		require.NoError(t, tree.Append(ctx, []byte("a")))
		require.NoError(t, tree.settle(ctx))
		tree.store = drops(tree.store)
		require.NoError(t, tree.Append(ctx, []byte("b")))
		tree.seeTo()
		require.ErrorIs(t, tree.Append(ctx, []byte("c")), ErrTampered, name)
	}
}

type droppingQueue struct{ treeStore }

func (droppingQueue) queue(context.Context, []block, int64) error { return nil }

type droppingGrowth struct{ treeStore }

func (d droppingGrowth) grow(ctx context.Context, g *growth) error {
	fake := *g
	fake.hashes, fake.note, fake.size = nil, g.old.note, g.old.size
	return d.treeStore.grow(ctx, &fake)
}

// TestTreeFailedWrite: a write that fails leaves the tree as it was, and the
// next one works.
func TestTreeFailedWrite(t *testing.T) {
	tree, err := OpenTree(ctx, newRing(t), nil)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("a")))
	whole := tree.store
	tree.store = full{whole}
	require.ErrorContains(t, tree.Append(ctx, []byte("b")), "disk full")
	tree.store = whole
	require.NoError(t, tree.Append(ctx, []byte("c"), []byte("d")))
	var leaves []string
	n, err := tree.Verify(ctx, func(leaf []byte) error {
		leaves = append(leaves, string(leaf))
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, []string{"a", "c", "d"}, leaves)
}

type full struct{ treeStore }

func (full) queue(context.Context, []block, int64) error { return errors.New("disk full") }

// TestTreeIsRFC6962 compares the root with one computed from the definition.
func TestTreeIsRFC6962(t *testing.T) {
	tree, err := OpenTree(ctx, newRing(t), nil)
	require.NoError(t, err)
	var leaves []tlog.Hash
	for i := range 21 {
		leaf := fmt.Append(nil, "leaf ", i)
		require.NoError(t, tree.Append(ctx, leaf))
		leaves = append(leaves, tlog.RecordHash(leaf))
		if i%3 != 0 {
			continue // two steps or more at a time
		}
		require.NoError(t, tree.settle(ctx))
		require.Equal(t, root(leaves), tree.newest().Hash)
	}
}

// root is MTH of RFC 6962, section 2.1.
func root(h []tlog.Hash) tlog.Hash {
	if len(h) == 1 {
		return h[0]
	}
	k := 1
	for 2*k < len(h) {
		k *= 2
	}
	return tlog.NodeHash(root(h[:k]), root(h[k:]))
}

// TestTreeRotation: heads signed under an older key version still verify.
func TestTreeRotation(t *testing.T) {
	ring := newRing(t)
	tree, err := OpenTree(ctx, ring, nil)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("a")))
	old, err := tree.VerifierKey(ctx)
	require.NoError(t, err)
	_, err = ring.Rotate(ctx, TreeKeyset)
	require.NoError(t, err)
	_, err = tree.Checkpoint(ctx)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("b")))
	now, err := tree.VerifierKey(ctx)
	require.NoError(t, err)
	require.NotEqual(t, old, now)
	leaf, hashes, checkpoint, err := tree.Prove(ctx, 0)
	require.NoError(t, err)
	require.NoError(t, CheckProof(now, 0, leaf, hashes, checkpoint))
	require.ErrorIs(t, CheckProof(old, 0, leaf, hashes, checkpoint), ErrTampered)
}

func TestEmptyTree(t *testing.T) {
	tree, err := OpenTree(ctx, newRing(t), nil)
	require.NoError(t, err)
	head, err := tree.Checkpoint(ctx)
	require.NoError(t, err)
	require.Nil(t, head)
	n, err := tree.Verify(ctx, nil)
	require.NoError(t, err)
	require.Zero(t, n)
	_, _, _, err = tree.Prove(ctx, 0)
	require.Error(t, err)
}
