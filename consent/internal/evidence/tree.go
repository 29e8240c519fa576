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
// time is written together, and gets its place in the tree soon after: by one
// sequencer at a time, in whichever process, under a lease.
type Tree struct {
	ring     *keyring.Ring
	store    treeStore
	inMemory bool

	mu      sync.Mutex
	waiting *batch             // what the next write takes along
	seen    tlog.Tree          // the newest head that this process has verified
	own     map[int64]struct{} // blocks that this process wrote and has not seen in the tree
	tending bool               // a goroutine sees to them
	lastID  int64
	failing failure

	writing sync.Mutex // held while a batch is written
	turn    sync.Mutex // held by this process's sequencer
	step    sequencer  // its state

	anchored atomic.Int64 // leaves that the journal knows of
	told     atomic.Int64 // when this process last told it
	derived  atomic.Pointer[treeKeys]
}

type batch struct {
	leaves [][]byte
	done   chan struct{}
	err    error
}

// OpenTree opens the tree of ring in db, and gives leaves that a process left
// without a place theirs. Its signed head must be there, match the stored
// hashes, and hold what [Tree.Anchor] last told the ring's journal; [Tree.Verify]
// goes through the leaves as well.
func OpenTree(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Tree, error) {
	if db == nil {
		return treeOver(ctx, ring, &memoryTree{}, true)
	}
	s, err := newSQLTree(ctx, db)
	if err != nil {
		return nil, err
	}
	return treeOver(ctx, ring, s, false)
}

func treeOver(ctx context.Context, ring *keyring.Ring, store treeStore, inMemory bool) (*Tree, error) {
	t := &Tree{ring: ring, store: store, own: map[int64]struct{}{}, inMemory: inMemory}
	if err := t.checked(ctx, func(treeView, tlog.Tree) error { return nil }); err != nil {
		return nil, err
	}
	return t, nil
}

// known are the heads that the stored tree must hold: the last that this process
// has seen, and the one that the journal was told of.
func (t *Tree) known(ctx context.Context) ([]tlog.Tree, error) {
	all := []tlog.Tree{t.newest()}
	if t.inMemory {
		return all, nil
	}
	place, digest, err := t.ring.Anchored(ctx, TreeKeyset)
	if err != nil {
		return nil, err
	}
	t.anchored.Store(int64(place)) // of 63 bits
	return append(all, tlog.Tree{N: int64(place), Hash: digest}), nil
}

func (t *Tree) newest() tlog.Tree {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

// saw notes a head that holds the last one.
func (t *Tree) saw(now tlog.Tree) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.N > t.seen.N {
		t.seen = now
	}
}

// Anchor tells the ring's journal how far the tree has grown, with all that was
// appended before, so that another one in its place is noticed: when it is
// opened, and by whoever has it open. A tree in memory has no copies.
func (t *Tree) Anchor(ctx context.Context) error {
	if t.inMemory {
		return nil
	}
	if err := t.settle(ctx); err != nil {
		return err
	}
	return t.anchor(ctx)
}

func (t *Tree) anchor(ctx context.Context) error {
	for {
		var now tlog.Tree
		err := t.sound(ctx, func(_ treeView, head tlog.Tree) error {
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

// The journal is told how far the log has come after so many leaves, or with
// the first one after so long: as much may be lost unseen with an older copy
// after a crash.
const (
	anchorLeaves = 1000
	anchorWait   = 10 * time.Second
)

// anchorDue reports whether leaves that the journal does not know of are many,
// or have waited long.
func (t *Tree) anchorDue(leaves int64, wait time.Duration) bool {
	n := t.newest().N - t.anchored.Load()
	return !t.inMemory && (n >= leaves || n > 0 && time.Since(time.Unix(0, t.told.Load())) > wait)
}

// Append returns when the leaves are durable. It joins what others append
// meanwhile into one write. It does not wait until they have their place in the
// tree, which is soon: where that fails, and goes on failing, Append refuses, and
// so it does where the store has fewer leaves than this process has seen or a
// block that this process wrote is gone.
func (t *Tree) Append(ctx context.Context, leaves ...[]byte) error {
	for _, leaf := range leaves {
		if len(leaf) > maxLeaf {
			return errors.New("leaf too long")
		}
	}
	if len(leaves) == 0 {
		return nil
	}
	if err := t.refusal(); err != nil {
		return err
	}
	if m, ok := t.store.(*memoryTree); ok {
		return t.hold(ctx, m, leaves)
	}
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
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	full := t.room(ctx)
	t.mu.Lock()
	t.waiting = nil // whoever comes now waits for the next write
	t.mu.Unlock()
	if b.err = full; b.err == nil {
		b.err = t.write(ctx, b.leaves)
	}
	close(b.done)
}

// write makes leaves durable. t.writing is held.
func (t *Tree) write(ctx context.Context, leaves [][]byte) error {
	ks, err := t.ring.Keyset(ctx, TreeKeyset) // before the transaction: the ring may need the same connection
	if err != nil {
		return err
	}
	// An anchor beyond what this process knows of: another has been at work, or this is an older copy.
	if known, err := t.known(ctx); err != nil {
		return err
	} else if len(known) > 1 && known[1].N > known[0].N {
		if err := t.sound(ctx, func(treeView, tlog.Tree) error { return nil }); err != nil {
			return err
		}
	}
	blocks := blocksOf(leaves)
	for {
		for i := range blocks {
			t.lastID = max(t.lastID+1, time.Now().UnixNano())
			blocks[i].id = t.lastID
			if err := blocks[i].sign(ks, t.ring.ID()); err != nil {
				return err
			}
		}
		err := t.store.queue(ctx, blocks, t.newest().N)
		switch {
		case errors.Is(err, errTaken):
			continue // by another process in the same nanosecond
		case errors.Is(err, errShorter):
			return fmt.Errorf("%w: %w", err, ErrTampered)
		case err != nil:
			return err
		}
		t.lastID = max(t.lastID, blocks[len(blocks)-1].id)
		t.tend(blocks)
		return nil
	}
}

// Leaves calls each with every leaf from index from on, in order, of one state
// of the tree, each verified against the signed head.
func (t *Tree) Leaves(ctx context.Context, from int64, each func(index int64, leaf []byte) error) error {
	ks, err := t.ring.Keyset(ctx, TreeKeyset) // before the view, as in checked
	if err != nil {
		return err
	}
	return t.checked(ctx, func(v treeView, now tlog.Tree) error {
		return t.leaves(ks, v, from, now.N, func(i int64, leaf []byte) error {
			err := verifyLeaf(v, i, leaf)
			if err == nil {
				err = each(i, leaf)
			}
			return err
		})
	})
}

// leaves calls each with the leaves in [from, to), all of them and in order.
func (t *Tree) leaves(ks *keyring.Keyset, v treeView, from, to int64, each func(int64, []byte) error) error {
	if from >= to {
		return nil
	}
	next := int64(unplaced)
	err := v.placed(from, to, func(b *block) error {
		if next == unplaced && b.first <= from {
			next = b.first
		}
		if b.first != next {
			return fmt.Errorf("entry %d: %w", max(next, from), ErrTampered)
		}
		all, err := b.open(ks, t.ring.ID())
		if err != nil {
			return fmt.Errorf("entry %d: %w", max(next, from), err)
		}
		for _, leaf := range all {
			if next >= from && next < to {
				if err := each(next, leaf); err != nil {
					return fmt.Errorf("entry %d: %w", next, err)
				}
			}
			next++
		}
		return nil
	})
	if err == nil && next < to {
		err = fmt.Errorf("entry %d: %w", max(next, from), ErrTampered)
	}
	return err
}

// Size returns the number of leaves.
func (t *Tree) Size(ctx context.Context) (n int64, err error) {
	err = t.checked(ctx, func(_ treeView, now tlog.Tree) error {
		n = now.N
		return nil
	})
	return n, err
}
