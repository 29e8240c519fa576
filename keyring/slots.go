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

// maxLooks is how many versions are looked for in that time: rows that somebody
// wrote may name one each.
const maxLooks = 3

// slots hold the loaded keysets by name. The map is replaced and never
// changed, so that a lookup takes no lock.
type slots struct {
	grace  time.Duration     // how long a keyset outlives its KEK's last answer
	forget func(name string) // drops the subject keys under a keyset; called without mu

	mu     sync.Mutex
	byName atomic.Pointer[map[string]*slot]
	closed bool
}

// slot is one keyset. What is loaded is current while it was read at want; a
// timer, or an entry in the journal, raises want.
type slot struct {
	name    string
	turn    chan struct{} // one loader at a time
	want    atomic.Uint64
	loaded  atomic.Pointer[loaded]
	missing uint32    // the version last looked for in vain, guarded by turn
	asked   time.Time // when the first of looks was; guarded by turn
	looks   int       // for versions that were not there, within missingFor; guarded by turn

	// Guarded by slots.mu.
	reread, end *time.Timer // when to read again, and when the grace is over
	call        *call       // of the KEK, under way
	failure     *failure    // if that is what the KEK answered last
	expired     bool        // the grace is over, and the KEK has not unwrapped it since
}

// loaded is a keyset and what it was read from.
type loaded struct {
	keyset *Keyset
	rec    KeysetRecord
	at     uint64    // want, before it was read
	proved time.Time // when the KEK was last asked for it and gave it
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
	at := &slot{name: name, turn: make(chan struct{}, 1)}
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

// fill makes l what at has loaded, unless that is newer.
func (s *slots) fill(at *slot, l *loaded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := at.loaded.Load(); now == nil || now.at <= l.at {
		s.put(at, l)
	}
}

// put makes l what at has loaded, and sets the timers.
func (s *slots) put(at *slot, l *loaded) {
	left := s.grace - time.Since(l.proved)
	if s.closed || left <= 0 {
		return
	}
	if old := at.loaded.Swap(l); old == nil || old.keyset != l.keyset { // otherwise it was only proved
		set(&at.reread, s.rereadAfter(), func() { at.want.Add(1) })
	}
	at.failure, at.expired = nil, false
	set(&at.end, left, func() { s.expire(at) })
}

// set makes a timer call do after d.
func set(timer **time.Timer, d time.Duration, do func()) {
	if *timer == nil {
		*timer = time.AfterFunc(d, do)
	} else {
		(*timer).Reset(d)
	}
}

// same notes that the store, read when want was seen, still has the revision
// that is loaded, and returns that; nil if it is loaded no more.
func (s *slots) same(at *slot, digest [32]byte, seen uint64) *Keyset {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := at.loaded.Load()
	if now == nil || now.rec.Digest != digest || s.closed {
		return nil
	}
	again := *now
	again.at = max(again.at, seen)
	at.loaded.Store(&again)
	at.reread.Reset(s.rereadAfter())
	return now.keyset
}

// close forgets all keysets, and ends the calls of KEKs.
func (s *slots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if m := s.byName.Load(); m != nil {
		for _, at := range *m {
			if at.end != nil {
				at.reread.Stop()
				at.end.Stop()
			}
			if at.call != nil {
				at.call.cancel()
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
	for first := true; !c.closed.Load(); first = false {
		if ks := at.current(); ks != nil && !(first && at.worthReading(ks, unknown)) {
			return ks, nil
		}
		ks, err := c.readKeyset(ctx, at)
		if err != nil {
			return nil, c.slots.explain(at, err)
		} else if ks != nil {
			return ks, nil
		}
	}
	return nil, fmt.Errorf("keyring: %w", ErrClosed)
}

// readKeyset reads a keyset once, at its turn, and waits for its KEK if there is
// nothing to go on with meanwhile. It returns nil if that is worth another look.
func (c *core) readKeyset(ctx context.Context, at *slot) (*Keyset, error) {
	old := at.loaded.Load()
	if old == nil { // before the store is read, which shall not suffer when the KEK is down
		if under, err := c.slots.underWay(at); err != nil {
			return nil, err
		} else if under != nil {
			return nil, under.await(ctx)
		}
	}
	seen := at.want.Load() // before the read: what is renewed during it stays due
	rec, err := c.record(ctx, at.name)
	if err != nil {
		return nil, err
	}
	if old != nil && old.rec.Digest == rec.Digest {
		c.prove(ctx, at)
		return c.slots.same(at, rec.Digest, seen), nil
	}
	// Another revision: the old one is nothing to go on with, for a version may
	// have been suspended in it.
	asked, err := c.ask(ctx, at, rec, seen, askPause)
	if err != nil {
		return nil, err
	}
	err = asked.await(ctx)
	if asked.rec.Digest != rec.Digest && asked.over() {
		return nil, nil // that was another revision's, and says nothing of this one
	}
	if l := at.loaded.Load(); err == nil && l != nil && l.rec.Digest == rec.Digest {
		return l.keyset, nil
	}
	return nil, err
}

// worthReading reports whether an unknown version should make a current keyset
// be read: it may be another process's newest, and it may be an attacker's
// row that asks for a read each time.
func (s *slot) worthReading(ks *Keyset, unknown uint32) bool {
	_, known := ks.keys[unknown]
	if unknown == 0 || known {
		return false
	}
	if time.Since(s.asked) >= missingFor {
		s.asked, s.looks = time.Now(), 0
	} else if unknown == s.missing || s.looks >= maxLooks {
		return false
	}
	s.missing = unknown
	s.looks++
	return true
}
