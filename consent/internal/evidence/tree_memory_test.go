package evidence

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPages: a list of pages is the list.
func TestPages(t *testing.T) {
	var p pages[int]
	var want []int
	for n := range 100 {
		more := make([]int, n*7%400)
		for i := range more {
			more[i] = len(want) + i
		}
		p.append(more)
		want = append(want, more...)
		require.Equal(t, len(want), p.len())
	}
	require.Greater(t, len(want), 3*pageLen)
	for i := range want {
		require.Equal(t, want[i], *p.at(i))
	}
}

// TestMemoryTree: leaves that come at the same time, more of them than wait for a
// place, are each there once, and who gives up appends nothing.
func TestMemoryTree(t *testing.T) {
	tree := openTree(t, newRing(t), nil)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, tree.Append(gone, []byte("x")), context.Canceled)
	buf := make([][]byte, 8)
	var wg sync.WaitGroup
	for g := range buf {
		wg.Go(func() {
			for i := range 200 {
				buf[g] = fmt.Append(buf[g][:0], g, "-", i)
				if err := tree.Append(ctx, buf[g], []byte("same")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Less(t, len(tree.own), maxOwn, "others have places without a reader")
	seen := map[string]int{}
	n, err := tree.Verify(ctx, func(leaf []byte) error { seen[string(leaf)]++; return nil })
	require.NoError(t, err)
	require.EqualValues(t, 3200, n)
	require.Equal(t, 1600, seen["same"])
	delete(seen, "same")
	require.Len(t, seen, 1600)
	require.Empty(t, tree.own)
	for from := range int64(20) { // a page of an entry may begin within a block
		var got []string
		err := tree.Leaves(ctx, from, func(i int64, leaf []byte) error {
			if got = append(got, string(leaf)); len(got) == 3 {
				return errStuck
			}
			return nil
		})
		require.ErrorIs(t, err, errStuck)
		require.Len(t, got, 3)
	}
}

// TestMemoryTreeRefuses: leaves that can get no places end in a refusal.
func TestMemoryTreeRefuses(t *testing.T) {
	tree := openTree(t, newRing(t), nil)
	m := tree.store.(*memoryTree)
	m.now.size, m.now.note = 1, []byte("not a head")
	var err error
	for n := 0; err == nil && n <= maxOwn; n++ {
		err = tree.Append(ctx, []byte("a"))
	}
	require.ErrorIs(t, err, ErrTampered)
}
