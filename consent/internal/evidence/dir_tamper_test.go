package evidence

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/tape"
	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/keyring"
)

// forged is a folder's content, for somebody who knows its format and has no key:
// checksums and places on the tapes are made anew.
type forged struct {
	events, blocks [][]byte
	rows           []placeRow // whose place is a number of blocks
	hashes         []byte
	head           headText // whose end is a number of blocks
}

func readForged(t *testing.T, dir string) *forged {
	f := &forged{}
	var at []int64
	f.events, _ = readTape(t, dir, "ledger")
	f.blocks, at = readTape(t, dir, treeTape)
	rows, err := os.ReadFile(filepath.Join(dir, treePlaces))
	require.NoError(t, err)
	for row := range slices.Chunk(rows, placeSize) {
		r := decodePlace(row)
		r.at = int64(slices.Index(at, r.at))
		f.rows = append(f.rows, r)
	}
	f.hashes, err = os.ReadFile(filepath.Join(dir, treeHashes))
	require.NoError(t, err)
	head, err := os.ReadFile(filepath.Join(dir, treeHead))
	require.NoError(t, err)
	f.head, err = decodeHead(head)
	require.NoError(t, err)
	f.head.End = int64(slices.Index(at, f.head.End))
	return f
}

func readTape(t *testing.T, dir, name string) (records [][]byte, at []int64) {
	shared, err := folder.Make(dir)
	require.NoError(t, err)
	tp, err := tape.Open(ctx, shared, name, nil)
	require.NoError(t, err)
	require.NoError(t, tp.View(ctx, func(r *tape.Reader) error {
		for next := int64(0); next != r.End(); {
			at = append(at, next)
			var b []byte
			if b, next, err = r.Read(next); err != nil {
				return err
			}
			records = append(records, b)
		}
		at = append(at, r.End())
		return nil
	}))
	return records, at
}

func (f *forged) write(t *testing.T, dir string) {
	for name, records := range map[string][][]byte{"ledger": f.events, treeTape: f.blocks} {
		old, err := filepath.Glob(filepath.Join(dir, name+"-*"))
		require.NoError(t, err)
		for _, path := range append(old, filepath.Join(dir, name+".mark")) {
			require.NoError(t, os.RemoveAll(path))
		}
		shared, err := folder.Make(dir)
		require.NoError(t, err)
		tp, err := tape.Open(ctx, shared, name, nil)
		require.NoError(t, err)
		for _, r := range records {
			require.NoError(t, tp.Alone(ctx, func(w *tape.Writer) error { return w.Append(r) }))
		}
	}
	_, at := readTape(t, dir, treeTape)
	var rows []byte
	for _, r := range f.rows {
		rows = appendPlace(rows, placeRow{r.first, at[min(int(r.at), len(at)-1)], r.id})
	}
	h := f.head
	h.End = at[min(int(h.End), len(at)-1)]
	for name, b := range map[string][]byte{treePlaces: rows, treeHashes: f.hashes, treeHead: []byte(h.encode())} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
}

// filled makes a folder with events, blocks that have places and one that has none.
func filled(t *testing.T, ring *keyring.Ring, dir string) (*Chain, *Tree) {
	t.Helper()
	chain, tree := place{dir: dir}.chain(t, ring), place{dir: dir}.tree(t, ring)
	tree.tending = true
	tree.told.Store(1 << 62)
	for i := range 5 {
		require.NoError(t, chain.Append(ctx, "p", fmt.Append(nil, i), agree))
		require.NoError(t, tree.Append(ctx, fmt.Append(nil, i)))
		require.NoError(t, tree.settle(ctx))
	}
	require.NoError(t, tree.Append(ctx, []byte("5")))
	return chain, tree
}

// attacks on a folder as filled makes it. Those that are not seen by others than
// the process that has it open need a checkpoint or an anchor.
func attacks() map[string]func(f *forged) {
	swap := func(all [][]byte, a, b int) { all[a], all[b] = all[b], all[a] }
	id := func(b []byte) int64 { return int64(binary.BigEndian.Uint64(b)) }
	return map[string]func(f *forged){
		"event changed":         func(f *forged) { f.events[2][eventHead] ^= 1 },
		"event's mac":           func(f *forged) { f.events[2][61] ^= 1 },
		"event's subject":       func(f *forged) { f.events[2][13] ^= 1 },
		"event dropped":         func(f *forged) { f.events = slices.Delete(f.events, 2, 3) },
		"events in other order": func(f *forged) { swap(f.events, 2, 3) },
		"event twice":           func(f *forged) { f.events = append(f.events, f.events[4]) },
		"event renumbered":      func(f *forged) { f.events = slices.Insert(f.events, 1, f.events[0]); f.events[1][7] = 2 },
		"event cut short":       func(f *forged) { f.events[4] = f.events[4][:20] },
		"block changed":         func(f *forged) { f.blocks[2][len(f.blocks[2])-1] ^= 1 },
		"block's mac":           func(f *forged) { f.blocks[2][12] ^= 1 },
		"block's version":       func(f *forged) { f.blocks[2][8] ^= 1 },
		"block's id":            func(f *forged) { f.blocks[2][7] ^= 1; f.rows[2].id = id(f.blocks[2]) },
		"block cut short":       func(f *forged) { f.blocks[2] = f.blocks[2][:20] },
		"block empty":           func(f *forged) { f.blocks[5] = f.blocks[5][:blockHead] },
		"block dropped":         func(f *forged) { f.blocks = slices.Delete(f.blocks, 2, 3); f.head.End-- },
		"blocks in other order": func(f *forged) { swap(f.blocks, 2, 3) },
		"and their rows":        func(f *forged) { swap(f.blocks, 2, 3); f.rows[2].id, f.rows[3].id = f.rows[3].id, f.rows[2].id },
		"block twice":           func(f *forged) { f.blocks = append(f.blocks, f.blocks[1]) },
		"waiting block twice":   func(f *forged) { f.blocks = append(f.blocks, f.blocks[5]) },
		"waiting block changed": func(f *forged) { f.blocks[5][len(f.blocks[5])-1] ^= 1 },
		"row of another":        func(f *forged) { f.rows[2] = f.rows[1] },
		"row's place":           func(f *forged) { f.rows[2].at = 3 },
		"row's index":           func(f *forged) { f.rows[2].first = 3 },
		"last row's place":      func(f *forged) { f.rows[4].at, f.rows[4].id = 3, f.rows[3].id },
		"row dropped":           func(f *forged) { f.rows = f.rows[:4] },
		"row and count":         func(f *forged) { f.rows = f.rows[:4]; f.head.Blocks-- },
		"placed again": func(f *forged) {
			f.rows = f.rows[:4]
			f.head.Blocks, f.head.End, f.head.Last = 4, 4, f.rows[3].id
		},
		"placed again, row set": func(f *forged) {
			f.rows = f.rows[:4]
			f.rows[3].first = 4
			f.head.Blocks, f.head.End, f.head.Last = 4, 4, f.rows[3].id
		},
		"placed again, rows set": func(f *forged) {
			f.rows = append(f.rows[:4], placeRow{4, 3, f.rows[3].id})
			f.head.End, f.head.Last = 4, f.rows[3].id
		},
		"hash changed":      func(f *forged) { f.hashes[70] ^= 1 },
		"a leaf's hash":     func(f *forged) { f.hashes[1] ^= 1 },
		"hashes cut":        func(f *forged) { f.hashes = f.hashes[:len(f.hashes)-32] },
		"hashes gone":       func(f *forged) { f.hashes = nil },
		"head's size":       func(f *forged) { f.head.Size-- },
		"head's size, more": func(f *forged) { f.head.Size++ },
		"head's count":      func(f *forged) { f.head.Blocks = 1 << 40; f.head.Size = 1 << 41 },
		"head's end":        func(f *forged) { f.head.End = 6 },
		"head's id":         func(f *forged) { f.head.Last++ },
		"head's note":       func(f *forged) { f.head.Note = strings.Replace(f.head.Note, "\n5\n", "\n4\n", 1) },
		"no note":           func(f *forged) { f.head.Note = "" },
	}
}

// examine opens a folder and goes through everything.
func examine(ring *keyring.Ring, dir string) (events, leaves []string, err error) {
	chain, err := OpenChainDir(ctx, ring, dir)
	if err != nil {
		return nil, nil, err
	}
	bodies, err := chain.Of(ctx, "p")
	if err != nil {
		return nil, nil, err
	}
	tree, err := OpenTreeDir(ctx, ring, dir)
	if err != nil {
		return nil, nil, err
	}
	_, err = tree.Verify(ctx, func(leaf []byte) error {
		leaves = append(leaves, string(leaf))
		return nil
	})
	return texts(bodies), leaves, err
}

func refused(t *testing.T, attack string, err error) {
	t.Helper()
	if attack == "block's version" { // a key that there is not
		require.ErrorIs(t, err, keyring.ErrUnknownVersion)
		return
	}
	require.ErrorIs(t, err, ErrTampered)
}

// TestTamperDir: what is done to the files is noticed by who opens them next.
func TestTamperDir(t *testing.T) {
	for name, attack := range attacks() {
		t.Run(name, func(t *testing.T) {
			ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
			filled(t, ring, dir)
			f := readForged(t, dir)
			attack(f)
			f.write(t, dir)
			_, _, err := examine(ring, dir)
			refused(t, name, err)
		})
	}
	t.Run("none", func(t *testing.T) { // or the attacks prove nothing
		ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
		filled(t, ring, dir)
		readForged(t, dir).write(t, dir)
		events, leaves, err := examine(ring, dir)
		require.NoError(t, err)
		require.Len(t, events, 5)
		require.Len(t, leaves, 6)
	})
}

// TestTamperDirRunning: the process that has the folder open notices, what only
// it can tell too.
func TestTamperDirRunning(t *testing.T) {
	all := attacks()
	all["tail cut"] = func(f *forged) { f.events = f.events[:4] }
	all["all events"] = func(f *forged) { f.events = nil }
	all["waiting block dropped"] = func(f *forged) { f.blocks = f.blocks[:5] }
	all["another waiting block"] = func(f *forged) { f.blocks[5] = f.blocks[0] }
	for name, attack := range all {
		t.Run(name, func(t *testing.T) {
			ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
			chain, tree := filled(t, ring, dir)
			f := readForged(t, dir)
			attack(f)
			f.write(t, dir)
			_, err := chain.Of(ctx, "p")
			if err == nil {
				_, err = tree.Verify(ctx, func([]byte) error { return nil })
			}
			if err == nil { // it has verified what it read before
				_, _, err = examine(ring, dir)
			}
			refused(t, name, err)
		})
	}
}

// TestTamperDirBytes: any byte of any file changed, one at a time, is noticed or
// changes nothing: every byte where RAHASIA_KILL is "all", else every ninth.
func TestTamperDirBytes(t *testing.T) {
	ring, whole := newRing(t), filepath.Join(t.TempDir(), "evidence")
	filled(t, ring, whole)
	events, leaves, err := examine(ring, whole)
	require.NoError(t, err)
	require.Len(t, leaves, 6)
	files, err := os.ReadDir(whole)
	require.NoError(t, err)
	noticed := 0
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(whole, f.Name()))
		require.NoError(t, err)
		step := 1
		if os.Getenv("RAHASIA_KILL") != "all" {
			step = 9
		}
		for at := rand.IntN(step); at < len(b); at += step {
			dir := filepath.Join(t.TempDir(), "evidence")
			require.NoError(t, os.CopyFS(dir, os.DirFS(whole)))
			b[at] ^= 0x55
			require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name()), b, 0o600))
			b[at] ^= 0x55
			e, l, err := examine(ring, dir)
			if err != nil {
				require.ErrorIs(t, err, ErrTampered, "%s, byte %d", f.Name(), at)
				noticed++
				continue
			}
			require.Equal(t, events, e, "%s, byte %d", f.Name(), at)
			require.Equal(t, leaves, l, "%s, byte %d", f.Name(), at)
		}
	}
	require.Greater(t, noticed, 50)
}

// TestAttackDirAnchor: an older folder in the place of the one that was anchored.
func TestAttackDirAnchor(t *testing.T) {
	for _, what := range []string{"ledger", "log"} {
		ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
		chain, tree := filled(t, ring, dir)
		older := filepath.Join(t.TempDir(), "older")
		require.NoError(t, os.CopyFS(older, os.DirFS(dir)))
		if what == "ledger" {
			require.NoError(t, chain.Append(ctx, "p", []byte("withdrawn"), agree))
			require.NoError(t, chain.Anchor(ctx))
		} else {
			require.NoError(t, tree.Append(ctx, []byte("more")))
			require.NoError(t, tree.Anchor(ctx))
		}
		_, _, err := examine(ring, dir)
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.CopyFS(dir, os.DirFS(older)))
		_, _, err = examine(ring, dir)
		require.ErrorIs(t, err, ErrTampered, what)
		require.NoError(t, os.RemoveAll(dir))
		_, _, err = examine(ring, dir)
		require.ErrorIs(t, err, ErrTampered, "nothing in its place")
	}
}

// TestAttackDirLinks: nothing outside the folder is read or written, and no pipe
// holds its reader.
func TestAttackDirLinks(t *testing.T) {
	for _, name := range []string{"ledger-0000000000000000", "ledger.mark", "ledger.lock", "log-0000000000000000", "log.head", "log.head.new", "log.hashes", "log.places"} {
		ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
		filled(t, ring, dir)
		path, outside := filepath.Join(dir, name), filepath.Join(t.TempDir(), "outside")
		if err := os.Rename(path, outside); err != nil {
			require.NoError(t, os.WriteFile(outside, nil, 0o600))
		}
		require.NoError(t, os.Symlink(outside, path))
		before, err := os.ReadFile(outside)
		require.NoError(t, err)
		_, _, err = examine(ring, dir)
		require.Error(t, err, name)
		after, err := os.ReadFile(outside)
		require.NoError(t, err)
		require.Equal(t, before, after, name)
	}
}

// TestDirRepaired: a process that has met a changed event goes on when the right
// one is back.
func TestDirRepaired(t *testing.T) {
	ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
	reader := place{dir: dir}.chain(t, ring)
	filled(t, ring, dir)
	right := readForged(t, dir)
	wrong := readForged(t, dir)
	wrong.events[2][13] ^= 1
	wrong.write(t, dir)
	for range 2 {
		_, err := reader.Of(ctx, "p")
		require.ErrorIs(t, err, ErrTampered)
	}
	right.write(t, dir)
	got, err := reader.Of(ctx, "p")
	require.NoError(t, err)
	require.Len(t, got, 5)
}

// TestTamperDirHighest: nobody gets stuck at a planted block with the highest id.
func TestTamperDirHighest(t *testing.T) {
	ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
	_, tree := filled(t, ring, dir)
	f := readForged(t, dir)
	b := slices.Clone(f.blocks[5])
	copy(b, "\x7f\xff\xff\xff\xff\xff\xff\xff")
	f.blocks = append(f.blocks, b)
	f.write(t, dir)
	require.ErrorIs(t, tree.Append(ctx, []byte("x")), ErrTampered)
}

// TestDirSegments: chain and tree over many segments, a late clock, and what
// pages hold.
func TestDirSegments(t *testing.T) {
	ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
	chain, tree := place{dir: dir}.chain(t, ring), place{dir: dir}.tree(t, ring)
	chain.store.(*dirChain).tape.Segment, tree.store.(*dirTree).tape.Segment = 3000, 3000
	tree.lastID = 1 << 62 // as if the clock had been set back since
	for i := range eventPage + 10 {
		if i%20 == 0 {
			require.NoError(t, chain.Append(ctx, fmt.Sprint("p", i%3), fmt.Append(nil, i), agree))
		}
		require.NoError(t, tree.Append(ctx, fmt.Append(nil, i)))
	}
	other := place{dir: dir}.tree(t, ring)
	require.NoError(t, other.Append(ctx, []byte("1010")))
	want := 0
	n, err := other.Verify(ctx, func(leaf []byte) error {
		require.Equal(t, fmt.Sprint(want), string(leaf))
		want++
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, eventPage+11, n)
	got, err := place{dir: dir}.chain(t, ring).Of(ctx, "p1")
	require.NoError(t, err)
	require.Len(t, got, 17)
	segments, err := filepath.Glob(filepath.Join(dir, "l*-*"))
	require.NoError(t, err)
	require.Greater(t, len(segments), 20)
}
