package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// checkEvery bounds how long an erasure by another process goes unseen.
const checkEvery = 5 * time.Second

// commitPatience is how long a commit may take once its entry is journalled
// and the caller's own context no longer counts.
const commitPatience = time.Minute

// fresh makes sure that store and journal were compared within checkEvery. It
// fails closed: a store that cannot be asked may hide an erasure.
func (c *core) fresh(ctx context.Context) (now int64, err error) {
	now = c.cache.Now()
	if now-c.checked.Load() < int64(checkEvery) {
		return now, nil
	}
	select {
	case c.checking <- struct{}{}:
		defer func() { <-c.checking }()
	case <-ctx.Done():
		return 0, fmt.Errorf("keyring: compare store and journal: %w", ctx.Err())
	}
	now = c.cache.Now() // before the comparison: what comes during it may be missed
	if now-c.checked.Load() < int64(checkEvery) {
		return now, nil // another caller just did it
	}
	if err := c.compare(ctx); err != nil {
		return 0, err
	}
	c.checked.Store(now)
	c.proveAll(ctx)
	return now, nil
}

func (c *core) compare(ctx context.Context) error {
	if _, err := c.catchUp(); err != nil {
		return err
	}
	head, err := c.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("keyring: compare store and journal: %w", err)
	}
	if c.level(head) {
		return nil
	}
	return c.settle(ctx) // a writer is between the two, or died there
}

// level reports whether a store with this head has all that the journal has.
func (c *core) level(head Head) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Whole() && c.chain.Head == journal.Head(head)
}

// catchUp takes in what was added to the journal, and drops what that makes
// stale. It reports whether a torn line follows.
func (c *core) catchUp() (torn bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, err := c.log.Size()
	if err != nil {
		return false, fmt.Errorf("keyring: journal: %w", err)
	}
	if size == c.chain.Offset {
		return false, nil
	}
	if size > c.chain.Offset {
		if torn, err = c.readFrom(c.chain); err == nil {
			c.observe()
			return torn, nil
		}
	}
	return c.reread()
}

// reread reads the journal from its start: it was cut or replaced.
func (c *core) reread() (torn bool, err error) {
	again := journal.NewChain(c.control.journal, c.ring)
	torn, err = c.readFrom(again)
	if err != nil {
		return false, err
	}
	again.Keep(c.chain) // what this process saw erased stays so, whatever the file says now
	c.chain = again
	c.checked.Store(-int64(checkEvery)) // compare with the store before anything else
	c.cache.Clear()
	c.observe()
	return torn, nil
}

func (c *core) readFrom(chain *journal.Chain) (torn bool, err error) {
	r, err := c.log.Read(chain.Offset)
	if err != nil {
		return false, fmt.Errorf("keyring: read journal: %w", err)
	}
	torn, err = chain.Read(r, nil)
	if err = errors.Join(err, r.Close()); err != nil {
		return false, fmt.Errorf("keyring: %w", err)
	}
	return torn, nil
}

// observe drops from the caches what new entries make stale. c.mu is held.
func (c *core) observe() {
	touched, keysets := c.chain.News()
	c.slots.renew(keysets)
	if len(touched)+len(keysets) == 0 {
		return
	}
	// Also what a keyset's older revision opened: a version may be suspended.
	gone := make(map[Tag]bool, len(touched))
	for _, t := range touched {
		gone[t] = true
	}
	c.cache.Drop(func(k *SubjectKey) bool { return gone[k.erasure] || slices.Contains(keysets, k.compartment) })
}

// settle brings store and journal level, alone among all writers.
func (c *core) settle(ctx context.Context) error {
	if c.tell != nil { // by a goroutine: the caller has the turn of a load, which a hook may wait for
		defer func() { go c.tellAll() }()
	}
	return c.locked(ctx, func() error { return c.settleLocked(ctx) })
}

// exclusive is writing with store and journal level.
func (c *core) exclusive(ctx context.Context, do func() error) error {
	return c.writing(ctx, func() error {
		if err := c.settleLocked(ctx); err != nil {
			return err
		}
		return do()
	})
}

// writing runs do alone among all writers, and tells of what it did. The caller
// has nothing that a hook could wait for.
func (c *core) writing(ctx context.Context, do func() error) error {
	defer c.tellAll()
	return c.locked(ctx, do)
}

// locked runs do alone among all writers. Whoever called it calls tellAll.
func (c *core) locked(ctx context.Context, do func() error) error {
	release, err := c.log.Lock(ctx)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	defer func() {
		c.notices.add(c.noted...) // before others write: in the journal's order
		c.noted = nil
		release()
	}()
	return do()
}

func (c *core) settleLocked(ctx context.Context) error {
	head, err := c.align(ctx)
	if err != nil {
		return err
	}
	if c.level(head) {
		return nil
	}
	return c.complete(ctx, head)
}

// complete commits what a store lacks, if that is one entry whose writer died
// or gave up between journal and store, with any number of anchors, which do
// nothing to a store.
func (c *core) complete(ctx context.Context, head Head) error {
	steps, err := c.after(head)
	if err != nil {
		return err
	}
	others := 0
	for _, s := range steps {
		if s.Entry.Kind != journal.Anchor {
			others++
		}
	}
	if len(steps) == 0 || others > 1 {
		return explain(head, steps)
	}
	return c.replay(ctx, steps)
}

// align reads both sides and cuts a torn line off the journal: its writer died
// before it could acknowledge it, for only one writes at a time.
func (c *core) align(ctx context.Context) (Head, error) {
	torn, err := c.catchUp()
	if err != nil {
		return Head{}, err
	}
	if torn {
		c.mu.RLock()
		offset := c.chain.Offset
		c.mu.RUnlock()
		if err := c.log.Truncate(offset); err != nil {
			return Head{}, fmt.Errorf("keyring: cut torn journal entry: %w", err)
		}
	}
	head, err := c.store.Head(ctx)
	if err != nil {
		return Head{}, fmt.Errorf("keyring: store's head: %w", err)
	}
	return head, nil
}

// redo commits an entry whose writer is gone. The keyset that it activates may
// be active already, for a reseed only tells of it; or the journal's newest is,
// where a store has an older head than its keysets.
func (c *core) redo(ctx context.Context, s journal.Step) error {
	marks, err := c.leave(ctx, s.Entry)
	if err != nil {
		return err
	}
	left, err := c.leftPackages(ctx, []*journal.Entry{s.Entry})
	if err != nil {
		return err
	}
	ch := c.change(s, append(marks, left...))
	if want := s.Entry.Keyset; want.Name != "" {
		rec, err := c.store.Keyset(ctx, want.Name)
		if err != nil && !errors.Is(err, ErrNoKeyset) {
			return err
		}
		if newest, _ := c.mark(want.Name); markOf(rec) == want || markOf(rec) == newest {
			ch.Activate = KeysetRecord{}
		}
	}
	if err := c.store.Commit(ctx, ch); err != nil {
		return err
	}
	c.note("complete", s)
	return nil
}

// change is what a step does to a store, and to its rows.
func (c *core) change(s journal.Step, rows []KeyRecord) Change {
	e := s.Entry
	ch := Change{Prev: Head(s.Prev), Head: Head(s.Head), Keys: rows}
	if e.Kind == journal.Create || e.Kind == journal.Keyset {
		ch.Activate = KeysetRecord{Name: e.Keyset.Name, Revision: e.Keyset.Revision, Digest: e.Keyset.Digest}
	}
	return ch
}

// write journals e, which nobody acknowledged yet, and commits it. The lock is
// held and store and journal are level. Once it is journalled it counts: if the
// commit fails, whoever comes next completes it.
func (c *core) write(ctx context.Context, action string, e *journal.Entry) (journal.Step, error) {
	return c.writeOver(ctx, action, e, e.Wipes)
}

// writeOver is write where not all rows that e names can be written over.
func (c *core) writeOver(ctx context.Context, action string, e *journal.Entry, over []journal.Wipe) (journal.Step, error) {
	s, err := c.append(e)
	if err != nil {
		return s, err
	}
	c.note(action, s)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitPatience)
	defer cancel()
	marks := c.markers(e, over)
	if err := c.store.Commit(ctx, c.change(s, marks)); err != nil {
		return s, fmt.Errorf("keyring: commit entry %d: %w", e.Seq, err)
	}
	return s, c.confirm(ctx, marks) // a trigger in a database may swallow them
}

// append adds e to the journal and to the chain.
func (c *core) append(e *journal.Entry) (journal.Step, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Who deletes the lock's file lets in a second writer, and two entries of one
	// number would end the journal.
	if size, err := c.log.Size(); err != nil {
		return journal.Step{}, fmt.Errorf("keyring: journal: %w", err)
	} else if size != c.chain.Offset {
		return journal.Step{}, fmt.Errorf("keyring: the journal changed although its lock is held; call again: %w", ErrConflict)
	}
	if err := c.chain.Write(c.log.Append, e); err != nil {
		return journal.Step{}, fmt.Errorf("keyring: journal entry %d: %w", e.Seq, err)
	}
	c.observe()
	return journal.Step{Entry: e, Prev: c.chain.Prev, Head: c.chain.Head}, nil
}

// explain tells why a store that lacks those steps cannot go on; none means
// that its head is not the journal's.
func explain(head Head, steps []journal.Step) error {
	if len(steps) == 0 {
		return fmt.Errorf("keyring: store is at entry %d, which the journal has not: %w", head.Seq, ErrJournalLost)
	}
	return fmt.Errorf("keyring: store is at entry %d, journal at %d: %w", head.Seq, steps[len(steps)-1].Head.Seq, ErrRolledBack)
}

// walk reads the whole journal, verified, and calls each with every entry.
func (c *core) walk(each func(journal.Step)) (*journal.Chain, error) {
	r, err := c.log.Read(0)
	if err != nil {
		return nil, fmt.Errorf("keyring: read journal: %w", err)
	}
	chain := journal.NewChain(c.control.journal, c.ring)
	_, err = chain.Read(r, each)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return chain, nil
}

// findStep returns the first or the newest step of the journal that is wanted.
func (c *core) findStep(newest bool, wanted func(*journal.Entry) bool) (step journal.Step, err error) {
	_, err = c.walk(func(s journal.Step) {
		if (newest || step.Entry == nil) && wanted(s.Entry) {
			step = s
		}
	})
	if err != nil {
		return journal.Step{}, err
	}
	if step.Entry == nil { // the journal was cut since it was read
		return journal.Step{}, fmt.Errorf("keyring: the journal lost an entry: %w", ErrJournalLost)
	}
	return step, nil
}

// after returns the steps from a store's head to the journal's, oldest first;
// none if the head is not on the journal's chain or a reseed is unfinished.
func (c *core) after(head Head) ([]journal.Step, error) {
	var steps []journal.Step
	chain, err := c.walk(func(s journal.Step) {
		if Head(s.Prev) == head {
			steps = append(steps[:0], s) // again at a reseed repeated from this head
		} else if len(steps) > 0 {
			steps = append(steps, s)
		}
	})
	if err != nil || !chain.Whole() || len(steps) == 0 {
		return nil, err
	}
	return steps, nil
}

// lostKeysets returns the names whose active record is not the journal's.
func (c *core) lostKeysets(ctx context.Context) ([]string, error) {
	recs, err := c.store.Keysets(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: list keysets: %w", err)
	}
	c.mu.RLock()
	want := maps.Clone(c.chain.Keysets)
	c.mu.RUnlock()
	for _, rec := range recs {
		m, known := want[rec.Name]
		if !known {
			return nil, fmt.Errorf("keyring: the store has a keyset that the journal never had: %w", ErrCorrupt)
		}
		if m == markOf(rec) {
			delete(want, rec.Name)
		}
	}
	return slices.Sorted(maps.Keys(want)), nil
}
