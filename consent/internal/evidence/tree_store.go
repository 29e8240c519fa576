package evidence

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// treeStore keeps blocks of leaves, the tree's hashes and its signed head.
type treeStore interface {
	// queue makes blocks durable that have no place yet, all or none. It returns
	// errTaken where an id is taken, and errShorter where the tree has fewer
	// leaves than size. It may give the blocks other ids and sign them anew.
	queue(ctx context.Context, blocks []block, size int64) error
	// view runs f on one state.
	view(ctx context.Context, f func(treeView) error) error
	// grow gives blocks their places and makes that durable, all of it or nothing.
	// It returns errMoved where another sequencer has the lease, or the tree another
	// size or a block a place by now.
	grow(ctx context.Context, g *growth) error
}

type treeView interface {
	tlog.HashReader
	state() (state, error)
	placed(from, to int64, each func(*block) error) error // those with leaves in [from, to), by place
	unplaced(most int) ([]block, error)                   // by id, or in the order that they came
	byID(ids []int64) ([]block, error)                    // those that there are
	newestUnplaced() (id int64, err error)                // 0 where there is none
}

// state is the tree's head row.
type state struct {
	size   int64
	epoch  int64  // of the lease, rises with every holder
	held   bool   // the lease has not run out
	beyond bool   // a block claims a place that the tree does not have
	note   []byte // signed; nil for an empty tree
	placed placed // where the store keeps blocks in their order
}

// placed is what a store that keeps blocks in their order knows of those that
// have places: all others come after them.
type placed struct {
	blocks int64 // how many
	end    int64 // where the last ends
	id     int64 // its id
}

// growth is what one step of a sequencer writes.
type growth struct {
	old    state // the tree must be like that
	mine   bool  // the lease is this sequencer's
	size   int64
	blocks []block // with their places
	at     int64   // stored index of the first hash
	hashes []tlog.Hash
	note   []byte
	keep   bool   // the lease, for more is waiting
	placed placed // set by grow, as state has it from then on
}

var (
	errTaken   = errors.New("the block's id is taken")
	errShorter = errors.New("the tree is shorter than it was")
)

// memoryTree keeps the log in memory, for one process, which needs no lease.
type memoryTree struct {
	mu      sync.RWMutex
	blocks  pages[block] // placed, in order
	waiting []block
	hashes  pages[tlog.Hash]
	now     state
}

func (m *memoryTree) queue(_ context.Context, blocks []block, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.now.size < size {
		return errShorter
	}
	m.waiting = append(m.waiting, blocks...)
	return nil
}

func (m *memoryTree) view(_ context.Context, f func(treeView) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return f(m)
}

func (m *memoryTree) grow(_ context.Context, g *growth) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if g.old.size != m.now.size || len(g.blocks) > len(m.waiting) {
		return errMoved
	}
	m.waiting = slices.Delete(m.waiting, 0, len(g.blocks))
	m.blocks.append(g.blocks)
	m.hashes.append(g.hashes)
	m.now = state{size: g.size, note: g.note}
	return nil
}

func (m *memoryTree) state() (state, error) { return m.now, nil }

func (m *memoryTree) placed(from, to int64, each func(*block) error) error {
	i := sort.Search(m.blocks.len(), func(i int) bool { return m.blocks.at(i).first > from }) - 1 // the last that begins there, or before
	for i = max(i, 0); i < m.blocks.len() && m.blocks.at(i).first < to; i++ {
		if err := each(m.blocks.at(i)); err != nil {
			return err
		}
	}
	return nil
}

func (m *memoryTree) unplaced(most int) ([]block, error) {
	return slices.Clone(m.waiting[:min(most, len(m.waiting))]), nil
}

func (m *memoryTree) byID(ids []int64) (out []block, err error) {
	for i := range m.blocks.len() {
		if b := m.blocks.at(i); slices.Contains(ids, b.id) {
			out = append(out, *b)
		}
	}
	for i := range m.waiting {
		if slices.Contains(ids, m.waiting[i].id) {
			out = append(out, m.waiting[i])
		}
	}
	return out, nil
}

func (m *memoryTree) newestUnplaced() (int64, error) {
	if len(m.waiting) == 0 {
		return 0, nil
	}
	return m.waiting[len(m.waiting)-1].id, nil
}

func (m *memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(m.hashes.len()) {
			return nil, ErrTampered
		}
		out[i] = *m.hashes.at(int(x))
	}
	return out, nil
}
