package keyring

import (
	"context"
	"fmt"
	"slices"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// rows are the rows of one subject.
type rows struct {
	compartments []string
	tags         []Tag
	recs         []*KeyRecord // as the store has them; nil where it has none
	custodyTag   Tag
	custody      *KeyRecord
}

func newRows(wipes []journal.Wipe, custodyTag Tag) *rows {
	r := &rows{custodyTag: custodyTag}
	for _, w := range wipes {
		r.compartments, r.tags = append(r.compartments, w.Compartment), append(r.tags, w.Tag)
	}
	return r
}

// rows reads the rows of a subject in all compartments of the ring.
func (c *core) rows(ctx context.Context, subject string, erasure Tag) (*rows, error) {
	r := &rows{compartments: c.compartments(), custodyTag: c.custodyTag(erasure)}
	for _, name := range r.compartments {
		r.tags = append(r.tags, c.subjectTag(name, subject))
	}
	return r, r.load(ctx, c)
}

func (r *rows) load(ctx context.Context, c *core) error {
	at := map[Tag]int{}
	for i, tag := range r.tags {
		at[tag] = i
	}
	recs, err := c.store.Keys(ctx, append([]Tag{r.custodyTag}, r.tags...))
	if err != nil {
		return fmt.Errorf("keyring: load subject keys: %w", err)
	}
	r.recs, r.custody = make([]*KeyRecord, len(r.tags)), nil
	for i := range recs {
		rec := &recs[i]
		j, asked := at[rec.Tag]
		switch {
		case rec.Tag == r.custodyTag && rec.Compartment == controlKeyset:
			r.custody = rec
		case asked && rec.Compartment == r.compartments[j]:
			r.recs[j] = rec
		default:
			return fmt.Errorf("keyring: the store returned a key that was not asked for: %w", ErrCorrupt)
		}
	}
	return nil
}

// in returns those in a state, by ascending compartment.
func (r *rows) in(state State) (recs []*KeyRecord) {
	for _, rec := range r.recs {
		if rec != nil && rec.State == state {
			recs = append(recs, rec)
		}
	}
	return recs
}

// wipes returns all rows as an entry tells of them, without the custody row.
func (r *rows) wipes() []journal.Wipe {
	wipes := make([]journal.Wipe, len(r.tags))
	for i, tag := range r.tags {
		wipes[i] = journal.Wipe{Compartment: r.compartments[i], Tag: tag, Had: r.recs[i] != nil && r.recs[i].State != Destroyed}
	}
	return wipes
}

// wipesOf returns those of recs as an entry tells of them.
func (r *rows) wipesOf(recs []*KeyRecord) []journal.Wipe {
	return slices.DeleteFunc(r.wipes(), func(w journal.Wipe) bool {
		return !slices.ContainsFunc(recs, func(rec *KeyRecord) bool { return rec.Tag == w.Tag })
	})
}

// held returns those wipes that had a key.
func held(wipes []journal.Wipe) []journal.Wipe {
	return slices.DeleteFunc(wipes, func(w journal.Wipe) bool { return !w.Had })
}

// putRow writes a row in the place of old, or where there was none, and reads
// it back.
func (c *core) putRow(ctx context.Context, old *KeyRecord, row KeyRecord) error {
	var err error
	if old == nil {
		_, err = c.store.CreateKeys(ctx, []KeyRecord{row})
	} else {
		_, err = c.store.SwapKeys(ctx, []Swap{{*old, row}})
	}
	if err != nil {
		return fmt.Errorf("keyring: write subject keys: %w", err)
	}
	return c.confirm(ctx, []KeyRecord{row})
}

// confirm checks that the store holds these rows now.
func (c *core) confirm(ctx context.Context, want []KeyRecord) error {
	if len(want) == 0 {
		return nil
	}
	tags := make([]Tag, len(want))
	for i := range want {
		tags[i] = want[i].Tag
	}
	have, err := c.store.Keys(ctx, tags)
	if err != nil {
		return fmt.Errorf("keyring: read subject keys back: %w", err)
	}
	found := map[Tag]*KeyRecord{}
	for i := range have {
		found[have[i].Tag] = &have[i]
	}
	for i := range want {
		rec := found[want[i].Tag]
		if rec != nil && rec.State == Active && want[i].State == Active && rec.Version != want[i].Version {
			return fmt.Errorf("keyring: read subject keys back: compartment %q was rewrapped meanwhile; call again: %w", want[i].Compartment, ErrConflict)
		} else if rec == nil || !rec.Equal(&want[i]) {
			return fmt.Errorf("keyring: read subject keys back: compartment %q is not as it was written: %w", want[i].Compartment, ErrCorrupt)
		}
	}
	return nil
}
