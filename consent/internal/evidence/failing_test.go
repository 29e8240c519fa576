package evidence

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFailingStore fails each n-th call of a store: what was acknowledged is
// there, whatever failed in between, and everything still verifies.
func TestFailingStore(t *testing.T) {
	broken := errors.New("store is down")
	refused := 0
	defer func() { require.Greater(t, refused, 40) }()
	for n := 1; n < 8; n++ {
		ring := newRing(t)
		chain, err := OpenChain(ctx, ring, nil)
		require.NoError(t, err)
		tree, err := OpenTree(ctx, ring, nil)
		require.NoError(t, err)
		f, g := &failing{chainStore: chain.store, every: n, err: broken}, &failing{treeStore: tree.store, every: n, err: broken}
		chain.store, tree.store = failingChain{f}, failingTree{g}
		var events, leaves []string
		for i := range 40 {
			body := fmt.Append(nil, i)
			if err := chain.Append(ctx, "p", body, agree); err == nil {
				events = append(events, string(body))
			} else {
				require.ErrorIs(t, err, broken)
			}
			if err := tree.Append(ctx, body); err == nil {
				leaves = append(leaves, string(body))
			} else {
				require.ErrorIs(t, err, broken)
				refused++
			}
			if i%3 == 0 {
				_ = tree.settle(ctx)
			}
		}
		if n > 5 { // an append makes up to five calls
			require.NotEmpty(t, events)
			require.NotEmpty(t, leaves)
			require.Less(t, len(events), 40)
		}
		f.every, g.every = 0, 0
		got, err := chain.Of(ctx, "p")
		require.NoError(t, err)
		require.Equal(t, events, texts(got))
		var stored [][]byte
		size, err := tree.Verify(ctx, func(leaf []byte) error {
			stored = append(stored, leaf)
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, len(leaves), size)
		require.Equal(t, leaves, texts(stored))
	}
}

func texts(b [][]byte) []string {
	var out []string
	for _, x := range b {
		out = append(out, string(x))
	}
	return out
}

// failing fails each call whose number is a multiple of every.
type failing struct {
	chainStore chainStore
	treeStore  treeStore
	calls      int
	every      int
	err        error
}

func (f *failing) call() error {
	f.calls++
	if f.every > 0 && f.calls%f.every == 0 {
		return f.err
	}
	return nil
}

type failingChain struct{ *failing }

func (f failingChain) after(ctx context.Context, seq uint64) ([]event, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.chainStore.after(ctx, seq)
}

func (f failingChain) of(ctx context.Context, r []reference, upTo uint64) ([]event, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.chainStore.of(ctx, r, upTo)
}

func (f failingChain) append(ctx context.Context, e event) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.chainStore.append(ctx, e)
}

type failingTree struct{ *failing }

func (f failingTree) queue(ctx context.Context, b []block, size int64) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.treeStore.queue(ctx, b, size)
}

func (f failingTree) view(ctx context.Context, do func(treeView) error) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.treeStore.view(ctx, do)
}

func (f failingTree) grow(ctx context.Context, g *growth) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.treeStore.grow(ctx, g)
}
