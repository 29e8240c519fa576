package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Replay brings a store that [Open] refused as [ErrRolledBack], because it was
// restored from a backup, up to its journal: it commits every missing entry,
// so that who was erased stays erased. A ring that opens is left as it is.
//
// A keyset whose newer revision the backup does not hold is lost: Replay then
// still writes every erasure, and returns ErrRolledBack naming those keysets.
// Restore a newer backup and replay again. If there is none, what was sealed
// since under the lost versions is lost too; to go on with the old ones move the
// journal aside and [Reseed].
//
// No ring may be open on the store meanwhile.
func Replay(ctx context.Context, cfg Config) error {
	c, err := load(ctx, cfg)
	if err != nil {
		return err
	}
	return c.writing(ctx, func() error { return c.replayLocked(ctx) })
}

// replayLocked is Replay of a ring whose control keyset is known.
func (c *core) replayLocked(ctx context.Context) error {
	head, err := c.align(ctx)
	if err != nil {
		return err
	}
	if !c.level(head) {
		steps, err := c.after(head)
		if err != nil {
			return err
		}
		if len(steps) == 0 {
			return explain(head, steps)
		}
		if err := c.replay(ctx, steps); err != nil {
			return err
		}
	}
	if err := c.rebury(ctx); err != nil {
		return err
	}
	return c.compareKeysets(ctx)
}

// replay commits steps one by one; from the first that cannot be, only
// their tombstones.
func (c *core) replay(ctx context.Context, steps []journal.Step) error {
	if err := c.log.Sync(); err != nil { // its writer may have died before this
		return fmt.Errorf("keyring: sync journal: %w", err)
	}
	head := Head(steps[0].Prev)
	for _, s := range steps {
		s.Prev = journal.Head(head) // a reseed's own entries begin elsewhere
		err := c.redo(ctx, s)
		if err == nil {
			head = Head(s.Head)
			continue
		}
		if !errors.Is(err, ErrConflict) || s.Entry.Kind != journal.Keyset {
			return fmt.Errorf("keyring: replay entry %d: %w", s.Entry.Seq, err)
		}
		return c.buryRest(ctx)
	}
	return nil
}

// buryRest writes what can be written of a journal that the store cannot follow
// to its end, and says why it cannot.
func (c *core) buryRest(ctx context.Context) error {
	if err := c.rebury(ctx); err != nil {
		return err
	}
	lost, err := c.lostKeysets(ctx)
	if err != nil {
		return err
	}
	return fmt.Errorf("keyring: erasures replayed; the store lacks the newer revision of keysets %q: %w", lost, ErrRolledBack)
}

// buryBatch is how many rows rebury compares in one call of the store.
const buryBatch = 500

// rebury writes the tombstone of every erasure, and the stub of every retention,
// that the journal tells of and the store has not, single rows restored from a
// backup among them.
func (c *core) rebury(ctx context.Context) error {
	head, err := c.store.Head(ctx)
	if err != nil {
		return fmt.Errorf("keyring: store's head: %w", err)
	}
	var entries []*journal.Entry
	if _, err = c.walk(func(s journal.Step) { entries = append(entries, s.Entry) }); err != nil {
		return err
	}
	var wants []KeyRecord
	for _, e := range entries {
		marks, err := c.leave(ctx, e)
		if err != nil {
			return fmt.Errorf("keyring: replay entry %d: %w", e.Seq, err)
		}
		wants = append(wants, marks...)
	}
	left, err := c.leftPackages(ctx, entries)
	if err != nil {
		return err
	}
	wants = append(wants, left...)
	for batch := range slices.Chunk(wants, buryBatch) {
		if err := c.buryBatch(ctx, head, batch); err != nil {
			return err
		}
	}
	return nil
}

// leftPackages returns tombstones for packages of erased subjects that their
// entries do not name: a store restored from a backup may have one that the
// store had not when the subject was erased.
func (c *core) leftPackages(ctx context.Context, entries []*journal.Entry) (left []KeyRecord, err error) {
	for batch := range slices.Chunk(entries, buryBatch) {
		whose := map[Tag]Tag{}
		var tags []Tag
		for _, e := range batch {
			if e.Kind == journal.Shred && !slices.ContainsFunc(e.Wipes, func(w journal.Wipe) bool { return w.Compartment == controlKeyset }) {
				tag := c.custodyTag(e.Erasure)
				whose[tag], tags = e.Erasure, append(tags, tag)
			}
		}
		if len(tags) == 0 {
			continue
		}
		recs, err := c.store.Keys(ctx, tags)
		if err != nil {
			return nil, fmt.Errorf("keyring: load subject keys: %w", err)
		}
		for i := range recs {
			erasure, asked := whose[recs[i].Tag]
			if !asked {
				return nil, fmt.Errorf("keyring: the store returned a key that was not asked for: %w", ErrCorrupt)
			}
			left = append(left, c.buryRow(controlKeyset, recs[i].Tag, erasure))
		}
	}
	return left, nil
}

func (c *core) buryBatch(ctx context.Context, head Head, batch []KeyRecord) error {
	missing := map[Tag]KeyRecord{}
	var tags []Tag
	for _, rec := range batch {
		missing[rec.Tag] = rec
		tags = append(tags, rec.Tag)
	}
	have, err := c.store.Keys(ctx, tags)
	if err != nil {
		return fmt.Errorf("keyring: load subject keys: %w", err)
	}
	for i := range have {
		if want := missing[have[i].Tag]; want.Equal(&have[i]) {
			delete(missing, have[i].Tag)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	recs := slices.Collect(maps.Values(missing))
	if err := c.store.Commit(ctx, Change{Prev: head, Head: head, Keys: recs}); err != nil {
		return fmt.Errorf("keyring: write tombstones: %w", err)
	}
	return nil
}

// Reseed makes a journal anew from the store, after [ErrJournalLost]. It goes
// on from what a shorter or diverging journal still says, so that every
// erasure that either side knows stays one.
//
// Danger: it believes the store. What was erased or retained after the store was
// last backed up, if the store is a restored backup, and what the lost journal
// alone knew, comes back to life; anchors that only it had are gone, and so is
// what it knew of rekeyings: rows from before one pass again. Look for the
// journal first, and for the receipts.
//
// A journal that is not lost is [ErrExists]; a store that is only behind it
// [ErrRolledBack], for [Replay]; a journal of another ring or one that was
// changed [ErrCorrupt]: move it away first. No ring may be open meanwhile.
func Reseed(ctx context.Context, cfg Config) error {
	c, err := load(ctx, cfg)
	if err != nil {
		return err
	}
	return c.writing(ctx, func() error { return c.reseedLocked(ctx) })
}

// reseedLocked is Reseed of a ring whose control keyset is known.
func (c *core) reseedLocked(ctx context.Context) error {
	head, err := c.align(ctx)
	if err != nil {
		return err
	}
	if c.level(head) {
		return fmt.Errorf("keyring: reseed: the journal is whole: %w", ErrExists)
	}
	if head.Seq > maxBelieved { // the journal would end here
		return fmt.Errorf("keyring: reseed: store's head: %w", ErrCorrupt)
	}
	if steps, err := c.after(head); err != nil {
		return err
	} else if len(steps) > 0 {
		return fmt.Errorf("keyring: reseed: %w", explain(head, steps))
	}
	keysets, err := c.keysetEntries(ctx)
	if err != nil {
		return err
	}
	rows, err := c.rowEntries(ctx)
	if err != nil {
		return err
	}
	return c.reseed(ctx, head, append(keysets, rows...))
}

// maxBelieved bounds the numbers that Reseed takes from a store: whoever wrote
// them, those that follow fit into 63 bits.
const maxBelieved = 1 << 62

// reseed journals a reseed entry and those that tell the store's state, all in
// one write, and then brings the store to the last.
func (c *core) reseed(ctx context.Context, base Head, entries []*journal.Entry) error {
	first := &journal.Entry{Kind: journal.Reseed, Ring: c.ring, Base: journal.Head(base), Count: uint64(len(entries))}
	err := c.chain.Write(c.log.Append, append([]*journal.Entry{first}, entries...)...)
	if err != nil {
		return fmt.Errorf("keyring: reseed: %w", err)
	}
	// Some entry follows: the control keyset's at least.
	c.note("reseed", journal.Step{Entry: first, Prev: first.Base, Head: journal.Head{Ring: c.ring, Seq: first.Seq, Hash: entries[0].Prev}})
	if err := c.rebury(ctx); err != nil {
		return err
	}
	if err := c.store.Commit(ctx, Change{Prev: base, Head: Head(c.chain.Head)}); err != nil {
		return fmt.Errorf("keyring: reseed: %w", err)
	}
	return nil
}

// keysetEntries returns an entry for each active keyset.
func (c *core) keysetEntries(ctx context.Context) ([]*journal.Entry, error) {
	recs, err := c.store.Keysets(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: list keysets: %w", err)
	}
	var entries []*journal.Entry
	compartments := 0
	for _, rec := range recs {
		if isCompartment(rec.Name) {
			compartments++
		}
		if rec.Name != controlKeyset && checkKeyset(rec.Name) != nil || rec.Revision > maxBelieved ||
			rec.Digest != keysetDigest(c.ring, rec.Name, rec.Revision, rec.Wrapped) {
			return nil, fmt.Errorf("keyring: reseed: a keyset record differs from its digest: %w", ErrCorrupt)
		}
		entries = append(entries, &journal.Entry{Kind: journal.Keyset, Keyset: markOf(rec)})
	}
	if compartments > journal.MaxCompartments { // no line could name them all: nobody could be erased
		return nil, fmt.Errorf("keyring: reseed: %d compartments: %w", compartments, ErrCorrupt)
	}
	return entries, nil
}

// rowEntries returns an entry for each erasure and each retention that the
// store knows and what is left of the journal does not.
func (c *core) rowEntries(ctx context.Context) ([]*journal.Entry, error) {
	found := map[Tag]*journal.Entry{}
	for after := (*Tag)(nil); ; {
		recs, err := c.store.Inactive(ctx, after, buryBatch)
		if err != nil {
			return nil, fmt.Errorf("keyring: list rows out of service: %w", err)
		}
		for i := range recs {
			// A store that goes back would keep its caller going for ever.
			if after != nil && bytes.Compare(recs[i].Tag[:], after[:]) <= 0 {
				return nil, fmt.Errorf("keyring: list rows out of service: the store returned one that was not asked for: %w", ErrCorrupt)
			}
			erasure, err := c.marked(&recs[i])
			if err != nil {
				return nil, err
			}
			if found[erasure] == nil {
				found[erasure] = &journal.Entry{Erasure: erasure}
			}
			tellOf(found[erasure], &recs[i])
			after = &recs[i].Tag
		}
		if len(recs) < buryBatch {
			break
		}
	}
	var entries []*journal.Entry
	for _, e := range found {
		if c.isNews(e) {
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b *journal.Entry) int { return bytes.Compare(a.Erasure[:], b.Erasure[:]) })
	return entries, nil
}

// tellOf adds to e, of the row's subject, what a row out of service proves: one
// tombstone makes it an erasure of all rows, otherwise a stub makes it a
// retention, until the latest date.
func tellOf(e *journal.Entry, rec *KeyRecord) {
	wipe := journal.Wipe{Compartment: rec.Compartment, Tag: rec.Tag, Had: rec.State == Retained}
	switch {
	case rec.State == Destroyed:
		e.Kind = journal.Shred
	case rec.Compartment == controlKeyset:
		wipe.Had = len(rec.Wrapped) > markerSize
		e.Retention.Digest = sha256.Sum256(rec.Wrapped)
	default:
		if e.Kind == "" {
			e.Kind = journal.Retain
		}
		why := rec.Wrapped[markerSize:]
		if until := stubUntil(why); until.After(e.Retention.Until) {
			e.Retention.Until, e.Retention.Basis = until, string(why[8:])
		}
	}
	e.AddWipe(wipe)
}

// isNews reports whether e tells what the journal does not, and completes it.
func (c *core) isNews(e *journal.Entry) bool {
	if c.isErased(e.Erasure) {
		return false
	}
	if e.Kind == journal.Retain {
		now, known := c.retention(e.Erasure)
		e.Wipes = slices.DeleteFunc(e.Wipes, func(w journal.Wipe) bool { return w.Compartment == controlKeyset })
		return !known || e.Retention.Until.After(now.Until)
	}
	return e.Kind == journal.Shred
}
