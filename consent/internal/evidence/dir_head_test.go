package evidence

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDirHeadSpelling: a head has one spelling, and its numbers are those of a
// tree that has something in it.
func TestDirHeadSpelling(t *testing.T) {
	whole := headText{Size: 5, Epoch: 1, Until: 3, Blocks: 5, End: 99, Last: 7, Note: "note\n"}
	text := whole.encode()
	whole.Format = headFormat
	got, err := decodeHead([]byte(text))
	require.NoError(t, err)
	require.Equal(t, whole, got)
	for _, bad := range []string{
		"", strings.TrimSpace(text), text + "\n", " " + text, text + text,
		strings.Replace(text, `"size"`, `"Size"`, 1), strings.Replace(text, `{`, `{"more":1,`, 1), strings.Replace(text, `/v1`, `/v2`, 1),
		strings.Replace(text, `"size":5`, `"size":5.0`, 1), strings.Replace(text, `"epoch":1,`, `"epoch":1,"epoch":1,`, 1),
	} {
		got, err := decodeHead([]byte(bad))
		require.ErrorIs(t, err, ErrTampered, bad)
		require.Zero(t, got)
	}
	for name, change := range map[string]func(*headText){
		"no size": func(h *headText) { h.Size, h.Blocks = 0, 0 }, "no epoch": func(h *headText) { h.Epoch = 0 }, "a time before all": func(h *headText) { h.Until = -1 },
		"no blocks": func(h *headText) { h.Blocks = 0 }, "more blocks than leaves": func(h *headText) { h.Blocks = 6 },
		"no end": func(h *headText) { h.End = 0 }, "no last": func(h *headText) { h.Last = 0 }, "below zero": func(h *headText) { h.Size, h.Blocks = -5, -6 },
		"too long": func(h *headText) { h.Note = strings.Repeat("n", maxHead) },
	} {
		h := whole
		change(&h)
		_, err := decodeHead([]byte(h.encode()))
		require.ErrorIs(t, err, ErrTampered, name)
	}
	longest := whole
	longest.Note = strings.Repeat("n", maxHead-len(text)+len(whole.Note)+1) // "\n" is two in JSON
	require.Len(t, longest.encode(), maxHead)
	_, err = decodeHead([]byte(longest.encode()))
	require.NoError(t, err)
}

// TestTamperPlacesTakenBack: under a head whose note is the one that this process
// signed last, a block that has its place is given back to those that wait. It
// does not get another.
func TestTamperPlacesTakenBack(t *testing.T) {
	ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
	tree := place{dir: dir}.tree(t, ring)
	tree.tending = true // the test alone takes steps
	require.NoError(t, tree.Append(ctx, []byte("a")))
	require.NoError(t, tree.settle(ctx))
	b, err := os.ReadFile(filepath.Join(dir, treeHead))
	require.NoError(t, err)
	before, err := decodeHead(b)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("b")))
	require.NoError(t, tree.settle(ctx))
	setHead(t, dir, func(h *headText) { h.Blocks, h.End, h.Last = before.Blocks, before.End, before.Last })
	_, err = tree.sequence(ctx)
	require.ErrorIs(t, err, ErrTampered)
}

// TestProveAllOutside: there is no proof of an entry that there is not.
func TestProveAllOutside(t *testing.T) {
	tree := openTree(t, newRing(t), nil)
	require.NoError(t, tree.Append(ctx, []byte("a"), []byte("b")))
	proofs, _, err := tree.ProveAll(ctx, []int64{0, 1})
	require.NoError(t, err)
	require.Len(t, proofs, 2)
	for _, i := range []int64{-1, 2, 1 << 62} {
		_, _, err := tree.ProveAll(ctx, []int64{0, i})
		require.ErrorContains(t, err, "no such entry", i)
	}
}

// TestTamperFirstOfPlace: whoever goes on from a tree looks at what its last block
// is, also where the places say that there is none.
func TestTamperFirstOfPlace(t *testing.T) {
	ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
	tree := place{dir: dir}.tree(t, ring)
	tree.tending = true // the test alone takes steps
	require.NoError(t, tree.Append(ctx, []byte("a")))
	require.NoError(t, tree.settle(ctx))
	require.NoError(t, tree.Append(ctx, []byte("b")))
	path := filepath.Join(dir, treePlaces)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	p := decodePlace(b)
	p.first = 5
	require.NoError(t, os.WriteFile(path, appendPlace(nil, p), 0o600))
	tree.step.note = nil // as in a process that begins
	_, err = tree.sequence(ctx)
	require.ErrorIs(t, err, ErrTampered)
}

// TestDirChainUpTo: events are asked for up to one, and there may be more.
func TestDirChainUpTo(t *testing.T) {
	chain := place{dir: filepath.Join(t.TempDir(), "evidence")}.chain(t, newRing(t))
	for i := range 3 {
		require.NoError(t, chain.Append(ctx, "p", []byte{byte(i)}, agree))
	}
	s := chain.store.(*dirChain)
	for ref := range s.by {
		for n := range uint64(4) {
			got, err := s.of(ctx, []reference{ref}, n)
			require.NoError(t, err)
			require.Len(t, got, int(n))
		}
	}
}
