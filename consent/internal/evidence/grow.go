package evidence

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/keyring"
)

// grown fills in what a step writes: places, hashes, and the signed head.
func (t *Tree) grown(keys *treeKeys, v treeView, g *growth, known []tlog.Tree) (next tlog.Tree, err error) {
	// What is signed below vouches for all before it: so that must be signed already.
	now, err := t.soundHead(keys, v, g.old, known)
	if err != nil {
		return next, err
	}
	r := &growing{old: t.step.edge, first: tlog.StoredHashCount(now.N), added: make([]tlog.Hash, 0, 2*len(g.blocks))}
	next.N = now.N
	for i := range g.blocks {
		b := &g.blocks[i]
		b.first = next.N
		leaves, err := b.open(keys.of, t.ring.ID())
		if err != nil {
			return next, err
		}
		for _, leaf := range leaves {
			if err := r.add(next.N, leaf); err != nil {
				return next, err
			}
			next.N++
		}
	}
	r.edge = map[int64]tlog.Hash{}
	if next.Hash, err = tlog.TreeHash(next.N, r); err != nil {
		return next, err
	}
	g.size, g.at, g.hashes = next.N, r.first, r.added
	g.note, err = t.sign(keys, next)
	t.step.edge, t.step.head, t.step.note = r.edge, tlog.Tree{}, nil // sound once g is stored
	return next, err
}

// soundHead verifies the stored head, unless it is the very one that this
// process signed last, and leaves its edge in t.step.
func (t *Tree) soundHead(keys *treeKeys, v treeView, now state, known []tlog.Tree) (tlog.Tree, error) {
	seen, anchor := known[0], tlog.Tree{}
	if len(known) > 1 {
		anchor = known[1]
	}
	if s := &t.step; s.note != nil && string(s.note) == string(now.note) && s.placed == now.placed && s.head.N == now.size && !now.beyond && s.held == anchor && seen.N <= s.head.N {
		return s.head, nil
	}
	r := &growing{under: v, edge: map[int64]tlog.Hash{}}
	head, err := t.headOf(keys, now, r)
	if err == nil {
		err = holds(v, head, known...)
	}
	if err == nil && now.placed != (placed{}) {
		err = t.endHolds(v, keys.of, now)
	}
	if err != nil {
		return head, err
	}
	t.step.edge, t.step.held = r.edge, anchor
	return head, nil
}

// endHolds checks that the last block with a place is the one at the end of the
// tree, for where it ends the next begin.
func (t *Tree) endHolds(v treeView, ks *keyring.Keyset, now state) error {
	err := fmt.Errorf("the end of the tree: %w", ErrTampered)
	if now.size == 0 {
		return err
	}
	if failed := v.placed(now.size-1, now.size, func(b *block) error {
		leaves, open := b.open(ks, t.ring.ID())
		if open != nil || b.id != now.placed.id || b.first+int64(len(leaves)) != now.size {
			return ErrTampered
		}
		err = t.inTree(v, ks, b)
		return err
	}); failed != nil {
		return failed
	}
	return err
}

// growing reads the hashes of a tree whose newest ones are not stored yet, and
// notes which it was asked for.
type growing struct {
	under tlog.HashReader     // or
	old   map[int64]tlog.Hash // what is stored
	first int64               // index of the first that is added
	added []tlog.Hash
	edge  map[int64]tlog.Hash // what was read, if it is to be noted
}

// ReadHashes is tlog.HashReader's.
func (g *growing) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	if g.under != nil {
		out, err = g.under.ReadHashes(indexes)
	} else {
		out, err = g.read(indexes)
	}
	if err == nil && g.edge != nil {
		for i, x := range indexes {
			g.edge[x] = out[i]
		}
	}
	return out, err
}

func (g *growing) read(indexes []int64) (out []tlog.Hash, err error) {
	out = make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if out[i], err = g.at(x); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (g *growing) at(x int64) (tlog.Hash, error) {
	if n := x - g.first; n >= 0 && n < int64(len(g.added)) {
		return g.added[n], nil
	}
	h, ok := g.old[x]
	if !ok {
		return h, errors.New("no such hash")
	}
	return h, nil
}

// add adds the hashes that leaf n completes, as tlog.StoredHashes returns them: its
// own, and that of every perfect tree which ends with it.
func (g *growing) add(n int64, leaf []byte) error {
	h := tlog.RecordHash(leaf)
	g.added = append(g.added, h)
	for level := 0; n>>level&1 == 1; level++ {
		left, err := g.at(tlog.StoredHashIndex(level, n>>level-1))
		if err != nil {
			return err
		}
		h = tlog.NodeHash(left, h)
		g.added = append(g.added, h)
	}
	return nil
}
