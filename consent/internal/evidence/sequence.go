package evidence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/keyring"
)

// sequencer is what a process remembers between two steps of giving blocks their
// places.
type sequencer struct {
	epoch int64     // of the lease that this process took last
	head  tlog.Tree // that this process signed last, and found sound before
	note  []byte
	held  tlog.Tree           // the newest anchor that head was found to hold
	edge  map[int64]tlog.Hash // the stored hashes that head, and what comes next, is made of
}

// failure is what keeps this process's blocks from getting their places.
type failure struct {
	err   error
	since time.Time
	final bool // it has lasted too long
}

const (
	stepBlocks  = 64                     // in one step
	stepPause   = 10 * time.Millisecond  // between two, so that what comes meanwhile is taken together
	busyPause   = 25 * time.Millisecond  // while another process has the lease
	failPause   = 100 * time.Millisecond // after an error
	maxOwn      = 512                    // blocks of this process without a place, before it waits for them
	seqPatience = 10 * time.Second       // how long steps may fail before nothing is appended any more
)

// refusal is why nothing more may be appended: blocks that were changed by other
// hands, or that cannot get their places for too long.
func (t *Tree) refusal() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failing
	if !f.final && !errors.Is(f.err, ErrTampered) {
		return nil
	}
	if !t.tending {
		t.tending = true // it may be over: whoever appends next is told
		go t.seeTo()
	}
	return fmt.Errorf("earlier entries have no place: %w", f.err)
}

// tend notes blocks that this process wrote and sees to it that they get places.
func (t *Tree) tend(blocks []block) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range blocks {
		t.own[blocks[i].id] = struct{}{}
	}
	if !t.tending && (!t.inMemory || len(t.own) >= maxOwn/2) { // in memory mostly whoever reads does it
		t.tending = true
		go t.seeTo()
	}
}

// room waits until not too many blocks of this process are without a place.
func (t *Tree) room(ctx context.Context) error {
	for {
		t.mu.Lock()
		n := len(t.own)
		t.mu.Unlock()
		if n < maxOwn {
			return nil
		}
		if err := t.refusal(); err != nil {
			return err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// seeTo gives blocks places until all of this process's have theirs, or that
// fails for too long.
func (t *Tree) seeTo() {
	for {
		busy, err := t.tended()
		t.mu.Lock()
		t.failing.final = err != nil && time.Since(t.failing.since) >= seqPatience
		if err == nil && len(t.own) == 0 || t.failing.final || errors.Is(err, ErrTampered) {
			t.tending = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		wait := stepPause
		if err != nil {
			wait = failPause
		} else if busy {
			wait = busyPause
		}
		time.Sleep(wait)
	}
}

// tended takes one step of seeTo.
func (t *Tree) tended() (busy bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), writePatience)
	defer cancel()
	if busy, err = t.sequence(ctx); err == nil && t.anchorDue(anchorLeaves, anchorWait) {
		err = t.anchor(ctx)
	}
	if err != nil {
		t.note(err)
	}
	return busy, err
}

// settle returns when everything that was appended before has its place.
func (t *Tree) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	var upTo int64
	err := t.store.view(ctx, func(v treeView) (err error) {
		upTo, err = v.newestUnplaced()
		return err
	})
	if err != nil || upTo == 0 {
		return err
	}
	for {
		busy, err := t.sequence(ctx)
		if err != nil {
			return err
		}
		first := upTo + 1
		err = t.store.view(ctx, func(v treeView) error {
			found, err := v.unplaced(1)
			if err == nil && len(found) > 0 {
				first = found[0].id
			}
			return err
		})
		if err != nil || first > upTo {
			return err
		}
		if busy {
			if err := pause(ctx, busyPause); err != nil {
				return err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sequence takes one step: blocks without a place, in the order of their ids but
// whichever are there, get the next ones. Busy means that another process has the
// lease, or had. Nothing that is known about a block, such as that its id is
// higher than another's, replaces that it has no place yet: a write that began
// earlier may be committed later.
func (t *Tree) sequence(ctx context.Context) (busy bool, err error) {
	t.turn.Lock()
	defer t.turn.Unlock()
	if busy, err = t.takeStep(ctx); err == nil || ctx.Err() == nil { // a caller who gives up is no failure
		t.note(err)
	}
	return busy, err
}

// note keeps in mind that steps fail, and since when.
func (t *Tree) note(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.failing = failure{}
	case t.failing.err == nil:
		t.failing = failure{err: err, since: time.Now()}
	default:
		t.failing.err = err
	}
}

func (t *Tree) takeStep(ctx context.Context) (busy bool, err error) {
	keys, err := t.keys(ctx) // before the view: the ring may need the same connection
	if err != nil {
		return false, err
	}
	known, err := t.known(ctx) // before the view: it may be of a state before the next write
	if err != nil {
		return false, err
	}
	own := t.owned() // before the view, for the same reason
	var g *growth
	var next tlog.Tree
	err = t.store.view(ctx, func(v treeView) error {
		now, err := v.state()
		if err != nil {
			return err
		}
		blocks, err := v.unplaced(stepBlocks + 1)
		if err != nil {
			return err
		}
		if len(blocks) == 0 || string(now.note) != string(t.step.note) { // otherwise nobody else can have placed any
			if err := t.lost(v, keys, own); err != nil {
				return err
			}
		}
		if len(blocks) == 0 {
			return nil
		}
		if busy = now.held && now.epoch != t.step.epoch; busy {
			return nil
		}
		g = &growth{old: now, mine: now.held, blocks: blocks[:min(len(blocks), stepBlocks)], keep: len(blocks) > stepBlocks}
		next, err = t.grown(keys, v, g, known)
		return err
	})
	if err != nil || g == nil {
		return busy, err
	}
	if err := t.store.grow(ctx, g); errors.Is(err, errMoved) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	t.step.epoch = g.old.epoch
	if !g.mine {
		t.step.epoch++
	}
	t.step.head, t.step.note = next, g.note
	t.saw(next)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range g.blocks {
		delete(t.own, g.blocks[i].id)
	}
	return false, nil
}

// grown fills in what a step writes: places, hashes, and the signed head.
func (t *Tree) grown(keys *treeKeys, v treeView, g *growth, known []tlog.Tree) (next tlog.Tree, err error) {
	// What is signed below vouches for all before it: so that must be signed already.
	now, err := t.soundHead(keys, v, g.old, known)
	if err != nil {
		return next, err
	}
	r := &growing{old: t.step.edge, first: tlog.StoredHashCount(now.N)}
	next.N = now.N
	for i := range g.blocks {
		b := &g.blocks[i]
		b.first = next.N
		leaves, err := b.open(keys.of, t.ring.ID())
		if err != nil {
			return next, err
		}
		for _, leaf := range leaves {
			h, err := tlog.StoredHashes(next.N, leaf, r)
			if err != nil {
				return next, err
			}
			r.added, next.N = append(r.added, h...), next.N+1
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
	if s := &t.step; s.note != nil && string(s.note) == string(now.note) && s.head.N == now.size && !now.beyond && s.held == anchor && seen.N <= s.head.N {
		return s.head, nil
	}
	r := &growing{under: v, edge: map[int64]tlog.Hash{}}
	head, err := t.headOf(keys, now, r)
	if err == nil {
		err = holds(v, head, known...)
	}
	if err != nil {
		return head, err
	}
	t.step.edge, t.step.held = r.edge, anchor
	return head, nil
}

// owned are the blocks that this process wrote and has not seen in the tree.
func (t *Tree) owned() []int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Keys(t.own))
}

// lost looks at the blocks that this process wrote and that others may have given
// their places: each must be in the tree, or still wait.
func (t *Tree) lost(v treeView, keys *treeKeys, own []int64) error {
	for ids := range slices.Chunk(own, 100) {
		found, err := v.byID(ids)
		if err != nil {
			return err
		}
		if len(found) != len(ids) {
			return fmt.Errorf("a block of this process is gone: %w", ErrTampered)
		}
		for i := range found {
			if found[i].first == unplaced {
				continue
			}
			if err := t.inTree(v, keys.of, &found[i]); err != nil {
				return err
			}
			t.mu.Lock()
			delete(t.own, found[i].id)
			t.mu.Unlock()
		}
	}
	return nil
}

// inTree checks that a block's leaves are where it says.
func (t *Tree) inTree(v treeView, ks *keyring.Keyset, b *block) error {
	leaves, err := b.open(ks, t.ring.ID())
	if err != nil {
		return err
	}
	at := make([]int64, len(leaves))
	for i := range leaves {
		at[i] = tlog.StoredHashIndex(0, b.first+int64(i))
	}
	stored, err := v.ReadHashes(at)
	if err != nil {
		return err
	}
	for i := range leaves {
		if tlog.RecordHash(leaves[i]) != stored[i] {
			return fmt.Errorf("entry %d: %w", b.first+int64(i), ErrTampered)
		}
	}
	return nil
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

func (g *growing) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		h, ok := g.old[x]
		if n := x - g.first; n >= 0 && n < int64(len(g.added)) {
			h, ok = g.added[n], true
		}
		if !ok {
			return nil, errors.New("no such hash")
		}
		out[i] = h
	}
	return out, nil
}
