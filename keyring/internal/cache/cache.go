// Package cache keeps values per (compartment, subject), bounded in number and
// age, and lets callers that miss the same ones share one load.
package cache

import (
	"container/list"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// Above smallCache entries the cache is split, so that cores do not queue.
const (
	smallCache = 1024
	manyShards = 16
)

type scope struct{ compartment, subject string }

// Cache is safe for concurrent use. Values of one subject lie in one shard, so
// that a record of several compartments takes one lock.
type Cache[V any] struct {
	seed  maphash.Seed
	max   int // entries a shard
	age   int64
	start time.Time
	epoch atomic.Uint64 // of the newest drop
	shut  atomic.Bool   // nothing enters any more
	shard []shard
}

type shard struct {
	mu    sync.Mutex
	keys  map[scope]*list.Element // of *item
	order list.List               // most recently used first
}

type item[V any] struct {
	scope scope
	value V
	until int64
}

// New returns a cache of at most that many values, each kept for age.
func New[V any](entries int, age time.Duration) *Cache[V] {
	n := 1
	if entries > smallCache {
		n = manyShards
	}
	c := &Cache[V]{seed: maphash.MakeSeed(), max: entries / n, age: int64(age), start: time.Now(), shard: make([]shard, n)}
	for i := range c.shard {
		c.shard[i].keys = map[scope]*list.Element{}
	}
	return c
}

func (c *Cache[V]) of(subject string) *shard {
	return &c.shard[maphash.String(c.seed, subject)%uint64(len(c.shard))]
}

// Now is nanoseconds since the cache was made. It is monotonic: a changed wall
// clock must not prolong a value's life.
func (c *Cache[V]) Now() int64 { return int64(time.Since(c.start)) }

// Get fills out with the subject's values in those compartments and reports
// whether it had them all. now is a recent Now.
func (c *Cache[V]) Get(now int64, subject string, compartments []string, out []V) bool {
	s := c.of(subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, name := range compartments {
		el, ok := s.keys[scope{name, subject}]
		if !ok {
			return false
		}
		it := el.Value.(*item[V])
		if now >= it.until {
			s.remove(el, it.scope)
			return false
		}
		s.order.MoveToFront(el)
		out[i] = it.value
	}
	return true
}

// Epoch changes with every drop.
func (c *Cache[V]) Epoch() uint64 { return c.epoch.Load() }

// Put keeps values that were loaded while epoch was current. One that may have
// been dropped since its load began must not enter.
func (c *Cache[V]) Put(epoch uint64, subject string, compartments []string, values []V) {
	s := c.of(subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.epoch.Load() != epoch || c.shut.Load() {
		return
	}
	until := c.Now() + c.age
	for i, name := range compartments {
		at := scope{name, subject}
		if el, ok := s.keys[at]; ok {
			s.remove(el, at)
		}
		s.keys[at] = s.order.PushFront(&item[V]{at, values[i], until})
	}
	for s.order.Len() > c.max {
		el := s.order.Back()
		s.remove(el, el.Value.(*item[V]).scope)
	}
}

// Drop forgets the values for which gone is true, those being loaded included.
func (c *Cache[V]) Drop(gone func(V) bool) {
	c.epoch.Add(1) // before the shards: a Put that comes later is refused, one that came earlier is swept
	for i := range c.shard {
		c.shard[i].mu.Lock()
		for el := c.shard[i].order.Front(); el != nil; {
			next := el.Next()
			if it := el.Value.(*item[V]); gone(it.value) {
				c.shard[i].remove(el, it.scope)
			}
			el = next
		}
		c.shard[i].mu.Unlock()
	}
}

// Clear forgets all values.
func (c *Cache[V]) Clear() { c.Drop(func(V) bool { return true }) }

// Close forgets all values for good.
func (c *Cache[V]) Close() {
	c.shut.Store(true)
	c.Clear()
}

func (s *shard) remove(el *list.Element, at scope) {
	delete(s.keys, at)
	s.order.Remove(el)
}
