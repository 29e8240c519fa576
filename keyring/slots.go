package keyring

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// rereadEvery bounds how long another process's rotation goes unseen.
const rereadEvery = 60 * time.Second

// missingFor is how long a version that was looked for and not found is not
// looked for again.
const missingFor = time.Second

// slots hold the loaded keysets by name. The map is replaced and never
// changed, so that a lookup takes no lock.
type slots struct {
	mu     sync.Mutex
	byName atomic.Pointer[map[string]*slot]
	closed bool
}

// slot is one keyset. What is loaded is current while it was read at want; a
// timer, or an entry in the journal, raises want.
type slot struct {
	turn    chan struct{} // one loader at a time
	want    atomic.Uint64
	loaded  atomic.Pointer[loaded]
	timer   *time.Timer // guarded by slots.mu
	missing uint32      // the version last looked for in vain, guarded by turn
	asked   time.Time   // when; guarded by turn
}

type loaded struct {
	keyset *Keyset
	at     uint64
}

// current returns the loaded keyset unless it is due to be read again.
func (s *slot) current() *Keyset {
	if l := s.loaded.Load(); l != nil && l.at == s.want.Load() {
		return l.keyset
	}
	return nil
}

func (s *slots) get(name string) *slot {
	if m := s.byName.Load(); m != nil {
		return (*m)[name]
	}
	return nil
}

// add returns the slot of name, made if need be.
func (s *slots) add(name string) *slot {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.get(name); at != nil {
		return at
	}
	next := map[string]*slot{}
	if m := s.byName.Load(); m != nil {
		next = maps.Clone(*m)
	}
	at := &slot{turn: make(chan struct{}, 1)}
	next[name] = at
	s.byName.Store(&next)
	return at
}

// renew makes the next use of each named keyset read the store.
func (s *slots) renew(names []string) {
	for _, name := range names {
		if at := s.get(name); at != nil {
			at.want.Add(1)
		}
	}
}

// fill puts a keyset read when want was seen into at, and sets its timer.
func (s *slots) fill(at *slot, ks *Keyset, seen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := at.loaded.Load(); s.closed || l != nil && l.at > seen {
		return // a rotation was quicker
	}
	at.loaded.Store(&loaded{ks, seen})
	if at.timer == nil {
		at.timer = time.AfterFunc(rereadEvery, func() { at.want.Add(1) })
	} else {
		at.timer.Reset(rereadEvery)
	}
}

// close forgets all keysets.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if m := s.byName.Load(); m != nil {
		for _, at := range *m {
			if at.timer != nil {
				at.timer.Stop()
			}
		}
	}
	s.byName.Store(nil)
}

// keyset returns the current keyset of name, which was granted.
func (c *core) keyset(ctx context.Context, name string) (*Keyset, error) {
	if at := c.slots.get(name); at != nil {
		if ks := at.current(); ks != nil {
			return ks, nil
		}
	}
	return c.loadKeyset(ctx, name, 0)
}

// loadKeyset reads a keyset from the store, and calls its KEK only if what is
// stored is not what is loaded. With an unknown version, it reads although the
// loaded one is current.
func (c *core) loadKeyset(ctx context.Context, name string, unknown uint32) (*Keyset, error) {
	if err := checkKeyset(name); err != nil {
		return nil, err
	}
	if _, known := c.mark(name); !known {
		if _, err := c.catchUp(); err != nil {
			return nil, err
		}
		if _, known := c.mark(name); !known {
			return nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrNoKeyset)
		}
	}
	at := c.slots.add(name)
	select {
	case at.turn <- struct{}{}:
		defer func() { <-at.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("keyring: load keyset %q: %w", name, ctx.Err())
	}
	if ks := at.current(); ks != nil && !at.worthReading(ks, unknown) {
		return ks, nil
	}
	seen := at.want.Load() // before the read: what is renewed during it stays due
	rec, err := c.record(ctx, name)
	if err != nil {
		return nil, err
	}
	var ks *Keyset
	if l := at.loaded.Load(); l != nil {
		ks = l.keyset
	}
	if ks == nil || ks.digest != rec.Digest {
		kek, err := c.keks.of(name)
		if err != nil {
			return nil, err
		}
		if ks, _, err = openRevision(ctx, kek, c.ring, name, rec); err != nil {
			return nil, err
		}
	}
	c.slots.fill(at, ks, seen)
	return ks, nil
}

// worthReading reports whether an unknown version should make a current keyset
// be read: it may be another process's newest, and it may be an attacker's
// row that asks for a read each time.
func (s *slot) worthReading(ks *Keyset, unknown uint32) bool {
	_, known := ks.keys[unknown]
	if unknown == 0 || known || unknown == s.missing && time.Since(s.asked) < missingFor {
		return false
	}
	s.missing, s.asked = unknown, time.Now()
	return true
}
