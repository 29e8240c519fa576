package envelope

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rahasia/rahasia/keyring"
)

// page is how many records of a batch are in memory at a time, and share one
// question for keys.
const page = 1024

// stride is how many records of a page a core takes at a time.
const stride = 16

// SealAll seals many records, as [Codec.Seal] does one, on all cores, and
// yields their rows in order: for each record its row, or why there is none.
// The keys of 1,024 records come by one question to the ring, and no more
// records than these are taken from the sequence before their rows are yielded.
// slices.Values makes a sequence of a slice.
//
// A record must not change until its row is yielded. When ctx ends, what comes
// next is its error, and the last.
func (c *Codec[T]) SealAll(ctx context.Context, records iter.Seq[*T], tags map[string][]byte) iter.Seq2[Sealed, error] {
	return func(yield func(Sealed, error) bool) {
		k := c.core()
		in := func(yield func(item) bool) {
			for src := range records {
				if !yield(newItem(src, nil)) {
					return
				}
			}
		}
		k.pages(ctx, in, func(items []item) {
			k.ask(ctx, items, k.plan.Compartments, k.ring.CreateSubjects, k.unsealed)
			spread(items, func(it *item) {
				it.row, it.err = k.sealWith(nil, &it.bind, it.keys, it.v, tags)
				it.keys = nil // not to be kept while the caller is at it
			})
		}, func(it *item) bool { return yield(it.row, it.err) })
	}
}

// OpenAll opens the named fields of many rows, or all of T's, as [Codec.Open]
// does one, on all cores. Each row comes with the record to set, which says by
// its subject and record fields whose row is asked for, and is yielded in
// order: with an error, unchanged. No record may come twice. For the rest it is
// like [Codec.SealAll].
func (c *Codec[T]) OpenAll(ctx context.Context, rows iter.Seq2[*T, Sealed], fields ...string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		k := c.core()
		in := func(yield func(item) bool) {
			for dst, row := range rows {
				if !yield(newItem(dst, row)) {
					return
				}
			}
		}
		compartments := k.granted()
		k.pages(ctx, in, func(items []item) {
			k.ask(ctx, items, compartments, k.ring.Subjects, k.later)
			spread(items, func(it *item) {
				it.err = k.open(ctx, it.v, it.row, fields, &known{compartments, it.keys})
				it.keys = nil
			})
		}, func(it *item) bool {
			dst, _ := it.of.(*T)
			return yield(dst, it.err)
		})
	}
}

// item is one record of a batch.
type item struct {
	of   any           // *T
	v    reflect.Value // what it points at
	row  Sealed
	bind binding
	keys []*keyring.SubjectKey
	err  error
}

func newItem[T any](of *T, row Sealed) item {
	it := item{of: of, row: row}
	if of != nil {
		it.v = reflect.ValueOf(of).Elem()
	}
	return it
}

// pages takes items page by page, has each page worked on, and yields them.
func (c *core) pages(ctx context.Context, in iter.Seq[item], work func([]item), yield func(*item) bool) {
	items := make([]item, 0, 64)
	flush := func() bool {
		work(items)
		for i := range items {
			if !yield(&items[i]) {
				return false
			}
		}
		clear(items) // rows and records are the caller's now
		items = items[:0]
		return true
	}
	for it := range in {
		if err := ctx.Err(); err != nil {
			if len(items) > 0 {
				it = items[0]
			}
			it.row, it.err = nil, fmt.Errorf("envelope: batch of type %q: %w", c.recordType, err)
			yield(&it)
			return
		}
		if it.v.IsValid() {
			it.err = c.bind(&it.bind, it.v)
		} else {
			it.err = fmt.Errorf("%w: no record", ErrEmpty)
		}
		if items = append(items, it); len(items) == page && !flush() {
			return
		}
	}
	if len(items) > 0 {
		flush()
	}
}

// ask gets the keys of a page. An error becomes what wrap makes of it; if that
// is none, the item stays without keys.
func (c *core) ask(ctx context.Context, items []item, compartments []string,
	ask func(context.Context, []string, ...string) ([]keyring.SubjectKeys, error), wrap func(error) error) {
	subjects := make([]string, 0, len(items))
	for i := range items {
		if items[i].err == nil {
			subjects = append(subjects, items[i].bind.subject)
		}
	}
	if len(subjects) == 0 || len(compartments) == 0 {
		return
	}
	keys, err := ask(ctx, subjects, compartments...)
	next := 0
	for i := range items {
		it := &items[i]
		if it.err != nil {
			continue
		}
		found := keyring.SubjectKeys{Err: err}
		if err == nil {
			found = keys[next]
		}
		next++
		if it.keys = found.Keys; found.Err != nil {
			it.err = wrap(found.Err)
		}
	}
}

// later puts off the errors that may not be those of the row: it may lack a
// section whose key is missing. Its own opening asks for what it has.
func (c *core) later(err error) error {
	for _, e := range named {
		if errors.Is(err, e) {
			return nil
		}
	}
	return c.refused(err)
}

// spread works on the items that have no error yet, on all cores. A panic, as
// of a MarshalBinary of the caller's, comes out where the caller can catch it.
func spread(items []item, work func(*item)) {
	workers := min(runtime.GOMAXPROCS(0), (len(items)+stride-1)/stride)
	var (
		next   atomic.Int64
		wait   sync.WaitGroup
		failed atomic.Pointer[any]
	)
	run := func() {
		defer wait.Done()
		defer func() {
			if p := recover(); p != nil {
				failed.Store(&p)
			}
		}()
		for {
			at := int(next.Add(stride)) - stride
			if at >= len(items) {
				return
			}
			for i := at; i < min(at+stride, len(items)); i++ {
				if items[i].err == nil {
					work(&items[i])
				}
			}
		}
	}
	wait.Add(workers)
	for range workers - 1 {
		go run()
	}
	run()
	wait.Wait()
	if p := failed.Load(); p != nil {
		panic(*p)
	}
}

// granted returns the compartments of T that the ring may ask for. A field that
// is absent is looked for in all of them, so that asking for fewer would ask
// again for each record.
func (c *core) granted() []string {
	return slices.DeleteFunc(slices.Clone(c.plan.Compartments), func(name string) bool { return !c.ring.Granted(name) })
}
