package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Flights lets callers that want the same values at once wait for one load.
// The zero value is ready.
type Flights[V any] struct {
	mu    sync.Mutex
	calls map[string]*flight[V]
}

type flight[V any] struct {
	done   chan struct{}
	values []V
	err    error
}

// Do returns what load returns, or what the load of the same id that is under
// way will. A caller whose load gave up because its context ended does not
// take the others along.
func (f *Flights[V]) Do(ctx context.Context, id string, load func() ([]V, error)) ([]V, error) {
	for {
		own, other := f.join(id)
		if own != nil {
			return f.fly(id, own, load)
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if !gaveUp(other.err) || ctx.Err() != nil {
			return slices.Clone(other.values), other.err
		}
	}
}

// join returns a new flight, or the one under way.
func (f *Flights[V]) join(id string) (own, other *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if other := f.calls[id]; other != nil {
		return nil, other
	}
	if f.calls == nil {
		f.calls = map[string]*flight[V]{}
	}
	own = &flight[V]{done: make(chan struct{}), err: errors.New("load did not end")}
	f.calls[id] = own
	return own, nil
}

// fly loads for all that wait, and lets them go even if load panics.
func (f *Flights[V]) fly(id string, own *flight[V], load func() ([]V, error)) ([]V, error) {
	defer func() {
		f.mu.Lock()
		delete(f.calls, id)
		f.mu.Unlock()
		close(own.done)
	}()
	own.values, own.err = load()
	return slices.Clone(own.values), own.err
}

func gaveUp(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
