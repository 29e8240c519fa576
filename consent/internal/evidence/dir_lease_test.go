package evidence

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// setHead writes another head into a folder.
func setHead(t *testing.T, dir string, change func(*headText)) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, treeHead))
	require.NoError(t, err)
	h, err := decodeHead(b)
	require.NoError(t, err)
	change(&h)
	require.NoError(t, os.WriteFile(filepath.Join(dir, treeHead), []byte(h.encode()), 0o600))
}

// TestLeaseDir: nobody writes under another's lease, with an old epoch or on
// another size, or other blocks; one that has run out is taken, and so is one that
// a clock, set back since, would keep for longer than a lease lasts.
func TestLeaseDir(t *testing.T) {
	ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
	tree := place{dir: dir}.tree(t, ring)
	tree.tending = true // the test alone takes steps
	require.NoError(t, tree.Append(ctx, []byte("a")))
	require.NoError(t, tree.settle(ctx))
	require.NoError(t, tree.Append(ctx, []byte("b")))
	held := func() { // anew each time: a slow disk must not let it run out
		setHead(t, dir, func(h *headText) { h.Epoch, h.Until = 7, time.Now().Add(lease-100*time.Millisecond).UnixMilli() })
	}
	held()
	busy, err := tree.sequence(ctx)
	require.NoError(t, err)
	require.True(t, busy)
	var now state
	var waiting []block
	require.NoError(t, tree.store.view(ctx, func(v treeView) error {
		if now, err = v.state(); err == nil {
			waiting, err = v.unplaced(9)
		}
		return err
	}))
	require.Len(t, waiting, 1)
	for name, change := range map[string]func(g *growth){
		"another's lease": func(g *growth) { g.mine = false },
		"an old epoch":    func(g *growth) { g.old.epoch = 6 },
		"another size":    func(g *growth) { g.old.size = 2 },
		"another end":     func(g *growth) { g.old.placed.end++ },
		"another block":   func(g *growth) { g.blocks = []block{{id: waiting[0].id + 1}} },
		"a block more":    func(g *growth) { g.blocks = append(g.blocks, block{id: waiting[0].id + 1}) },
	} {
		g := &growth{old: now, mine: true, blocks: waiting[:1:1], size: 2}
		change(g)
		held()
		require.ErrorIs(t, tree.store.grow(ctx, g), errMoved, name)
	}
	for _, until := range []time.Time{time.UnixMilli(1), time.Now().Add(time.Hour)} {
		setHead(t, dir, func(h *headText) { h.Until = until.UnixMilli() })
		require.NoError(t, tree.Append(ctx, []byte("c")))
		busy, err = tree.sequence(ctx)
		require.NoError(t, err)
		require.False(t, busy)
	}
	n, err := tree.Size(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
}

// FuzzDirHead: what passes as a head is what encode writes.
func FuzzDirHead(f *testing.F) {
	f.Add([]byte(headText{Size: 5, Epoch: 1, Blocks: 5, End: 99, Last: 7, Note: "rahasia/r\n5\n"}.encode()))
	f.Add([]byte(`{"format":"rahasia/dir-log-head/v1","size":1}` + "\n"))
	f.Add([]byte("{}"))
	f.Add([]byte(headText{Size: 5, Epoch: 1, Blocks: 5, End: 99, Last: 7}.encode() + " "))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := decodeHead(b); err == nil && h.encode() != string(b) {
			t.Errorf("%q is not canonical", b)
		} else if err != nil {
			require.ErrorIs(t, err, ErrTampered)
		}
	})
}

// FuzzDirEvent: events and blocks encode to what they were decoded from.
func FuzzDirEvent(f *testing.F) {
	e := event{seq: 3, version: 1, body: []byte("body")}
	b := block{id: 9, version: 1, leaves: appendLeaf(nil, []byte("leaf"))}
	f.Add(e.encode())
	f.Add(b.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		if e, err := decodeEvent(in); err == nil {
			require.Equal(t, in, e.encode())
		} else {
			require.ErrorIs(t, err, ErrTampered)
		}
		if b, err := decodeBlock(in); err == nil {
			require.Equal(t, in, b.encode())
			require.Positive(t, b.id)
		} else {
			require.ErrorIs(t, err, ErrTampered)
		}
	})
}
