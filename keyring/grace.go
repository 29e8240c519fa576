package keyring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// defaultGrace is Config.Grace where that is zero, leastGrace what counts for less.
const (
	defaultGrace = 15 * time.Minute
	leastGrace   = time.Second
)

// askEvery is how long after a KEK unwrapped a keyset that is in use it is
// asked again whether it still does, if the grace is not shorter than three of these.
const askEvery = 5 * time.Minute

// askPatience is how long one call of a KEK may take before its callers give up.
const askPatience = 10 * time.Second

// askPause is how long a KEK that failed is not asked again where callers wait
// for it: they get the error that it gave.
const askPause = time.Second

// call is one call of a keyset's KEK: in a goroutine of its own, so that no
// caller waits longer than its context allows, and the only one of its keyset,
// so that a KEK that hangs for ever costs one goroutine.
type call struct {
	name   string
	rec    KeysetRecord // what it shall unwrap
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed at the end
	err    error         // once done is closed
}

// failure is a call that failed.
type failure struct {
	digest [32]byte
	at     time.Time // when it ended
	err    error
}

func (c *call) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// await waits for the end of a call, for its patience at most.
func (c *call) await(ctx context.Context) error {
	select {
	case <-c.done:
		return c.err
	case <-c.ctx.Done():
		if c.over() {
			return c.err
		}
		return c.overdue()
	case <-ctx.Done():
		return fmt.Errorf("keyring: load keyset %q: %w", c.name, ctx.Err())
	}
}

// overdue is the error of a call whose context has ended; nil while it has not.
func (c *call) overdue() error {
	switch {
	case c.ctx.Err() == nil:
		return nil
	case errors.Is(c.ctx.Err(), context.Canceled):
		return fmt.Errorf("keyring: %w", ErrClosed)
	}
	return fmt.Errorf("keyring: unwrap keyset %q: no answer within %v: %w", c.name, askPatience, ErrKEK)
}

// proveAfter is how long after the last proof the next is due.
func (s *slots) proveAfter() time.Duration { return max(min(askEvery, s.grace/3), askPause) }

func (s *slots) rereadAfter() time.Duration { return min(rereadEvery, s.proveAfter()) }

// provePause is how long a KEK is not asked again after a failed proof, while
// nobody waits for it: 15 to 30 seconds where askEvery counts, and not the same
// for all processes.
func (s *slots) provePause() time.Duration {
	d := s.proveAfter() / 20
	return max(d+rand.N(d), askPause)
}

// underWay returns the call that callers without a keyset must wait for, or
// the error that they get at once.
func (s *slots) underWay(at *slot) (*call, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.call != nil {
		return at.call, at.call.overdue()
	}
	if f := at.failure; f != nil && time.Since(f.at) < askPause {
		return nil, f.err
	}
	return nil, nil
}

// explain adds to a KEK's error that the grace is over, if it is.
func (s *slots) explain(at *slot, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.expired && errors.Is(err, ErrKEK) {
		return fmt.Errorf("%w; unreachable for longer than the grace time of %v", err, s.grace)
	}
	return err
}

// ask calls the KEK of a keyset for a record that was read when want was seen.
// If a call is under way, it returns that, whatever it was asked for. A KEK that
// failed at this record less than pause ago is not called.
func (c *core) ask(ctx context.Context, at *slot, rec KeysetRecord, seen uint64, pause time.Duration) (*call, error) {
	kek, err := c.keks.of(at.name)
	if err != nil {
		return nil, err
	}
	s := &c.slots
	s.mu.Lock()
	defer s.mu.Unlock()
	switch f := at.failure; {
	case s.closed:
		return nil, fmt.Errorf("keyring: %w", ErrClosed)
	case at.call != nil:
		return at.call, at.call.overdue()
	case f != nil && f.digest == rec.Digest && time.Since(f.at) < pause:
		return nil, f.err
	}
	asked := &call{name: at.name, rec: rec, done: make(chan struct{})}
	// The caller's values, for a KEK that looks at them; not its end, for others wait too.
	asked.ctx, asked.cancel = context.WithTimeout(context.WithoutCancel(ctx), askPatience)
	at.call = asked
	go c.unwrapAside(at, asked, kek, seen)
	return asked, nil
}

// unwrapAside is the goroutine of a call.
func (c *core) unwrapAside(at *slot, asked *call, kek KEK, seen uint64) {
	var ks *Keyset
	err := fmt.Errorf("keyring: unwrap keyset %q: the KEK panicked: %w", at.name, ErrKEK)
	defer func() {
		_ = recover() // of what may hold a key, and what no caller could catch here
		c.slots.answered(at, asked, ks, seen, err)
		asked.cancel()
	}()
	ks, _, err = openRevision(asked.ctx, lateKEK{kek}, c.ring, at.name, asked.rec)
	if late := asked.overdue(); late != nil && err != nil {
		err = late
	}
}

// answered takes in what a KEK answered.
func (s *slots) answered(at *slot, asked *call, ks *Keyset, seen uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at.call = nil
	if err == nil {
		err = s.take(at, &loaded{ks, asked.rec, seen, ks.unwrapped})
	}
	if err != nil {
		at.failure = &failure{asked.rec.Digest, time.Now(), err}
	}
	asked.err = err
	close(asked.done)
}

// take makes what a KEK unwrapped the loaded keyset, or the proof that it still
// would. s.mu is held.
func (s *slots) take(at *slot, l *loaded) error {
	old := at.loaded.Load()
	switch again := old != nil && old.rec.Digest == l.rec.Digest; {
	case time.Since(l.proved) >= s.grace:
		return fmt.Errorf("keyring: unwrap keyset %q: the answer took longer than the grace time: %w", at.name, ErrKEK)
	case again && !old.keyset.equal(l.keyset):
		return fmt.Errorf("keyring: unwrap keyset %q: it has become another: %w", at.name, ErrKEK)
	case again:
		s.put(at, &loaded{old.keyset, old.rec, old.at, l.proved})
	case old == nil || old.at <= l.at: // otherwise a rotation was quicker
		s.put(at, l)
	}
	return nil
}

// expire forgets a keyset whose grace is over, and the subject keys under it.
func (s *slots) expire(at *slot) {
	s.mu.Lock()
	l := at.loaded.Load()
	over := l != nil && time.Since(l.proved) >= s.grace
	if over {
		at.loaded.Store(nil) // first: what is loaded from now on asks the KEK
		at.expired = true
	}
	s.mu.Unlock()
	if over {
		s.forget(at.name)
	}
}

// prove asks the KEK again whether it unwraps a loaded keyset, if that is due.
// It waits for nothing.
func (c *core) prove(ctx context.Context, at *slot) {
	l := at.loaded.Load()
	if l == nil || time.Since(l.proved) < c.slots.proveAfter() {
		return
	}
	_, _ = c.ask(ctx, at, l.rec, l.at, c.slots.provePause()) // the grace bears an error
}

// proveAll is prove for all loaded keysets. Callers whose subject keys come from
// memory ask for no keyset.
func (c *core) proveAll(ctx context.Context) {
	if m := c.slots.byName.Load(); m != nil {
		for _, at := range *m {
			c.prove(ctx, at)
		}
	}
}
