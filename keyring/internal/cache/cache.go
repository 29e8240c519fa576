// Package cache keeps values per (compartment, subject), bounded in number and
// age, and lets callers that miss the same ones share one load.
package cache

import (
	"container/list"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Above smallCache entries the cache is split, so that cores do not queue.
const (
	smallCache = 1024
	manyShards = 16
)

// Cache is safe for concurrent use. Values of one subject lie in one entry, so
// that a record of several compartments takes one lock and one look.
type Cache[V any] struct {
	seed  maphash.Seed
	max   int // values a shard
	age   int64
	start time.Time
	epoch atomic.Uint64 // of the newest drop
	shut  atomic.Bool   // nothing enters any more
	shard []shard[V]
}

type shard[V any] struct {
	mu       sync.Mutex
	subjects map[string]*list.Element // of *entry[V]
	order    list.List                // most recently used first
	values   int
}

// entry is what is kept of one subject, one item a compartment.
type entry[V any] struct {
	subject string
	items   []item[V]
}

type item[V any] struct {
	compartment string
	value       V
	until       int64
}

// New returns a cache of at most that many values, each kept for age.
func New[V any](entries int, age time.Duration) *Cache[V] {
	n := 1
	if entries > smallCache {
		n = manyShards
	}
	c := &Cache[V]{seed: maphash.MakeSeed(), max: entries / n, age: int64(age), start: time.Now(), shard: make([]shard[V], n)}
	for i := range c.shard {
		c.shard[i].subjects = map[string]*list.Element{}
	}
	return c
}

func (c *Cache[V]) of(subject string) *shard[V] {
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
	el, ok := s.subjects[subject]
	if !ok {
		return false
	}
	e := el.Value.(*entry[V])
	for i, name := range compartments {
		it := e.find(name)
		if it == nil {
			return false
		}
		if now >= it.until {
			s.remove(el, func(it item[V]) bool { return now >= it.until })
			return false
		}
		out[i] = it.value
	}
	s.order.MoveToFront(el)
	return true
}

func (e *entry[V]) find(compartment string) *item[V] {
	for i := range e.items {
		if e.items[i].compartment == compartment {
			return &e.items[i]
		}
	}
	return nil
}

// Epoch changes with every drop.
func (c *Cache[V]) Epoch() uint64 { return c.epoch.Load() }

// Put keeps values that were loaded while epoch was current. One that may have
// been dropped since its load began must not enter.
func (c *Cache[V]) Put(epoch uint64, subject string, compartments []string, values []V) {
	s := c.of(subject)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.epoch.Load() != epoch || c.shut.Load() || len(compartments) == 0 {
		return
	}
	el, ok := s.subjects[subject]
	if !ok {
		el = s.order.PushFront(&entry[V]{subject, make([]item[V], 0, len(compartments))})
		s.subjects[subject] = el
	}
	s.order.MoveToFront(el)
	e, until := el.Value.(*entry[V]), c.Now()+c.age
	for i, name := range compartments {
		if it := e.find(name); it != nil {
			it.value, it.until = values[i], until
			continue
		}
		e.items = append(e.items, item[V]{name, values[i], until})
		s.values++
	}
	for s.values > c.max {
		s.remove(s.order.Back(), func(item[V]) bool { return true })
	}
}

// Drop forgets the values for which gone is true, those being loaded included.
func (c *Cache[V]) Drop(gone func(V) bool) {
	c.epoch.Add(1) // before the shards: a Put that comes later is refused, one that came earlier is swept
	for i := range c.shard {
		c.shard[i].mu.Lock()
		for el := c.shard[i].order.Front(); el != nil; {
			next := el.Next()
			c.shard[i].remove(el, func(it item[V]) bool { return gone(it.value) })
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

// remove forgets those items of an entry for which gone is true.
func (s *shard[V]) remove(el *list.Element, gone func(item[V]) bool) {
	e := el.Value.(*entry[V])
	n := len(e.items)
	e.items = slices.DeleteFunc(e.items, gone)
	s.values -= n - len(e.items)
	if len(e.items) == 0 {
		delete(s.subjects, e.subject)
		s.order.Remove(el)
	}
}
