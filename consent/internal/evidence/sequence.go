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

	placed placed // with head
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
	n := t.mine(blocks)
	if !t.tending && (!t.inMemory || n >= maxOwn/2) { // in memory mostly whoever reads does it, or hold
		t.tending = true
		go t.seeTo()
	}
}

// mine notes blocks that this process wrote, and returns how many of its own are
// without a place. t.mu is held.
func (t *Tree) mine(blocks []block) int {
	for i := range blocks {
		t.own[blocks[i].id] = struct{}{}
	}
	return len(t.own)
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
		more := t.inMemory && len(t.own) >= t.stepBlocks()
		t.mu.Unlock()
		wait := stepPause
		if err != nil {
			wait = failPause
		} else if busy {
			wait = busyPause
		} else if more {
			wait = 0 // a whole step waits already, no disk profits from a pause, and who appends may wait for room
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
		most := t.stepBlocks()
		blocks, err := v.unplaced(most + 1)
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
		g = &growth{old: now, mine: now.held, blocks: blocks[:min(len(blocks), most)], keep: len(blocks) > most}
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
	t.stepped(g, next)
	return false, nil
}

// stepBlocks is how many blocks a step takes at most: in memory, where nobody waits
// for the lease, as many as wait when a step is begun, for a signature costs more
// than all else in it.
func (t *Tree) stepBlocks() int {
	if t.inMemory {
		return maxOwn / 2
	}
	return stepBlocks
}

// stepped remembers a step that is done. t.turn is held.
func (t *Tree) stepped(g *growth, next tlog.Tree) {
	t.step.epoch = g.old.epoch
	if !g.mine {
		t.step.epoch++
	}
	t.step.head, t.step.note, t.step.placed = next, g.note, g.placed
	t.saw(next)
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range g.blocks {
		delete(t.own, g.blocks[i].id)
	}
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
