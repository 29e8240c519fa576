package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/keyring"
)

// Tree is a transparency log: an append-only list of leaves under a Merkle
// tree (RFC 6962) whose head is signed. What several callers append at the same
// time is written together.
type Tree struct {
	ring  *keyring.Ring
	store treeStore

	mu      sync.Mutex
	waiting *batch    // what the next write takes along
	seen    tlog.Tree // the last head that this process wrote or opened with

	writing  sync.Mutex   // held while a batch is written
	anchored atomic.Int64 // leaves that the journal knows of
	told     atomic.Int64 // when this process last told it
	derived  atomic.Pointer[treeKeys]
}

// treeStore keeps leaves, the tree's hashes and its signed head.
type treeStore interface {
	// update runs f on the newest state, alone among all processes, and makes
	// what f puts durable, all of it or nothing, before it returns.
	update(ctx context.Context, f func(treeTx) error) error
	// view runs f on one state.
	view(ctx context.Context, f func(treeView) error) error
}

type treeView interface {
	tlog.HashReader
	size() (int64, error)
	head() ([]byte, error)                                // the signed note; nil for an empty tree
	leaves(from, to int64, each func([]byte) error) error // [from, to), in order; an error where one is missing
}

type treeTx interface {
	treeView
	put(first int64, leaves [][]byte, at int64, hashes []tlog.Hash, note []byte) error
}

type batch struct {
	leaves [][]byte
	done   chan struct{}
	err    error
}

// OpenTree opens the tree of ring in db. Its signed head must be there, match
// the stored hashes, and hold what [Tree.Anchor] last told the ring's journal;
// [Tree.Verify] goes through the leaves as well.
func OpenTree(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Tree, error) {
	t := &Tree{ring: ring, store: newMemoryTree()}
	if db != nil {
		s, err := newSQLTree(ctx, db)
		if err != nil {
			return nil, err
		}
		t.store = s
	}
	err := t.checked(ctx, func(_ treeView, now tlog.Tree) error {
		t.seen = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// known are the heads that the stored tree must hold: the last that this process
// has seen, and the one that the journal was told of.
func (t *Tree) known(ctx context.Context) ([]tlog.Tree, error) {
	t.mu.Lock()
	all := []tlog.Tree{t.seen}
	t.mu.Unlock()
	if t.inMemory() {
		return all, nil
	}
	place, digest, err := t.ring.Anchored(ctx, TreeKeyset)
	if err != nil {
		return nil, err
	}
	t.anchored.Store(int64(place)) // of 63 bits
	return append(all, tlog.Tree{N: int64(place), Hash: digest}), nil
}

func (t *Tree) inMemory() bool {
	_, memory := t.store.(*memoryTree)
	return memory
}

// Anchor tells the ring's journal how far the tree has grown, so that another
// one in its place is noticed: when it is opened, and by whoever has it open. A
// tree in memory has no copies.
func (t *Tree) Anchor(ctx context.Context) error {
	if t.inMemory() {
		return nil
	}
	for {
		var now tlog.Tree
		err := t.checked(ctx, func(_ treeView, head tlog.Tree) error {
			now = head
			return nil
		})
		prev := t.anchored.Load()
		if err != nil || now.N == prev {
			return err
		}
		err = t.ring.Anchor(ctx, TreeKeyset, uint64(prev), uint64(now.N), now.Hash)
		if err == nil {
			t.anchored.Store(now.N)
			t.told.Store(time.Now().UnixNano())
		}
		if !errors.Is(err, keyring.ErrConflict) {
			return err
		}
		// Another process anchored since: only a tree that holds its anchor may go on.
	}
}

// AnchorDue reports whether leaves that the journal does not know of are many,
// or have waited long.
func (t *Tree) AnchorDue(leaves int64, wait time.Duration) bool {
	t.mu.Lock()
	n := t.seen.N - t.anchored.Load()
	t.mu.Unlock()
	return !t.inMemory() && (n >= leaves || n > 0 && time.Since(time.Unix(0, t.told.Load())) > wait)
}

// Append returns when the leaves are durable in the tree. It joins what others
// append meanwhile into one write.
func (t *Tree) Append(ctx context.Context, leaves ...[]byte) error {
	t.mu.Lock()
	b, leads := t.waiting, false
	if b == nil {
		b, leads = &batch{done: make(chan struct{})}, true
		t.waiting = b
	}
	b.leaves = append(b.leaves, leaves...)
	t.mu.Unlock()
	if leads {
		go t.lead(context.WithoutCancel(ctx), b) // one caller's cancellation must not fail the others in its batch
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err() // the leaves may still be written
	}
}

// writePatience bounds a write once no caller's context does.
const writePatience = time.Minute

func (t *Tree) lead(ctx context.Context, b *batch) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	t.waiting = nil // whoever comes now waits for the next write
	t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	b.err = t.write(ctx, b.leaves)
	close(b.done)
}

// write integrates leaves into the tree and signs the new head. t.writing is held.
func (t *Tree) write(ctx context.Context, leaves [][]byte) error {
	keys, err := t.keys(ctx) // before the transaction: the ring may need the same connection
	if err != nil {
		return err
	}
	known, err := t.known(ctx)
	if err != nil {
		return err
	}
	var next tlog.Tree
	err = t.store.update(ctx, func(tx treeTx) error {
		// What is signed below vouches for all before it: so that must be signed already.
		now, err := t.checkedHead(keys, tx)
		if err == nil {
			err = holds(tx, now, known...)
		}
		if err != nil {
			return err
		}
		size := now.N
		grown := &growing{old: tx, first: tlog.StoredHashCount(size)}
		for i, leaf := range leaves {
			h, err := tlog.StoredHashes(size+int64(i), leaf, grown)
			if err != nil {
				return err
			}
			grown.added = append(grown.added, h...)
		}
		next.N = size + int64(len(leaves))
		if next.Hash, err = tlog.TreeHash(next.N, grown); err != nil {
			return err
		}
		signed, err := t.sign(keys, next)
		if err != nil {
			return err
		}
		return tx.put(size, leaves, grown.first, grown.added, signed)
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.seen = next
	t.mu.Unlock()
	return nil
}

// Leaves calls each with every leaf from index from on, in order, of one state
// of the tree, each verified against the signed head.
func (t *Tree) Leaves(ctx context.Context, from int64, each func(index int64, leaf []byte) error) error {
	return t.checked(ctx, func(v treeView, now tlog.Tree) error {
		if from >= now.N {
			return nil
		}
		i := from - 1
		return v.leaves(from, now.N, func(leaf []byte) error {
			i++
			err := verifyLeaf(v, i, leaf)
			if err == nil {
				err = each(i, leaf)
			}
			if err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			return nil
		})
	})
}

// Last calls f with the newest leaf, verified, if there is one.
func (t *Tree) Last(ctx context.Context, f func(leaf []byte) error) error {
	return t.checked(ctx, func(v treeView, now tlog.Tree) error {
		if now.N == 0 {
			return nil
		}
		return v.leaves(now.N-1, now.N, func(leaf []byte) error {
			if err := verifyLeaf(v, now.N-1, leaf); err != nil {
				return err
			}
			return f(leaf)
		})
	})
}

// growing reads the hashes of a tree whose newest ones are not stored yet.
type growing struct {
	old   tlog.HashReader
	first int64
	added []tlog.Hash
}

// ReadHashes is tlog.HashReader's.
func (g *growing) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	var old, places []int64
	for i, x := range indexes {
		if x >= g.first {
			if x-g.first >= int64(len(g.added)) {
				return nil, errors.New("no such hash")
			}
			out[i] = g.added[x-g.first]
			continue
		}
		old, places = append(old, x), append(places, int64(i))
	}
	if len(old) == 0 {
		return out, nil
	}
	hashes, err := g.old.ReadHashes(old)
	if err != nil {
		return nil, err
	}
	for i, h := range hashes {
		out[places[i]] = h
	}
	return out, nil
}
