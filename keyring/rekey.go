package keyring

import (
	"context"
	"fmt"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Rekey gives a subject a new key, one generation up, in every compartment of
// the ring where it has one: after a key has leaked, say. New records are sealed
// under it, in this process at once, in others within 5 seconds; those sealed
// before open as before, until [Ring.EndRekey]. In between the application seals
// the subject's records again; the generation is in each row's header.
//
// Killed on the way it can be called again. While a rekeying is under way another
// is [ErrState]. A subject without a key is [ErrNoSubjectKey]; one that was erased
// [ErrShredded]; one that is retained a [RetainedError]. The view must hold every
// compartment. A backup of the store from before it has not the new key: the
// subject's rows are refused from then on ([ErrRolledBack]), those sealed before
// too, until a newer backup is restored, for the older key may be the leaked one.
func (r *Ring) Rekey(ctx context.Context, subject string) error {
	return r.aloneWithKeysets(ctx, subject, func(c *core, erasure Tag) error {
		rows, err := c.serving(ctx, "rekey", subject, erasure)
		if err != nil {
			return err
		}
		e := &journal.Entry{Kind: journal.Rekey, Erasure: erasure}
		var swaps []Swap
		for _, old := range rows.in(Active) {
			rec, span, err := c.nextGeneration(ctx, old)
			if err != nil {
				return err
			}
			if rec.Generation != old.Generation {
				swaps = append(swaps, Swap{*old, rec})
			}
			e.Spans = append(e.Spans, journal.Respan{Compartment: rec.Compartment, Tag: rec.Tag, Span: span})
		}
		// Rows first: their keys are random, and the journal cannot make them
		// again. Until it tells of them, they are one generation that nobody needs.
		if err := c.swap(ctx, swaps); err != nil {
			return err
		}
		_, err = c.write(ctx, "rekey", e)
		return err
	})
}

// EndRekey takes the older generation of a subject's keys out of service and
// destroys it. Whatever is still sealed under it is lost: [ErrUnknownGeneration].
// Call it when all records are sealed anew, and not within 60 seconds of
// [Ring.Rekey], when another process may still be sealing under the old one,
// otherwise [ErrState]. So is a subject of which no rekeying is under way. Other
// errors are those of Rekey; killed on the way it can be called again.
func (r *Ring) EndRekey(ctx context.Context, subject string) error {
	return r.aloneWithKeysets(ctx, subject, func(c *core, erasure Tag) error {
		rows, err := c.serving(ctx, "end rekeying", subject, erasure)
		if err != nil {
			return err
		}
		if age := c.rekeyedFor(erasure); age < destroyAfter {
			return fmt.Errorf("keyring: end rekeying: it began %v ago, less than %v: %w", age.Round(time.Second), destroyAfter, ErrState)
		}
		e, swaps, err := c.endOfSpans(ctx, erasure, rows)
		if err != nil {
			return err
		}
		// The journal first: from then on the older key opens nothing, whatever
		// becomes of the rows.
		if len(e.Spans) > 0 {
			if _, err := c.write(ctx, "end-rekey", e); err != nil {
				return err
			}
		} else if len(swaps) == 0 {
			return fmt.Errorf("keyring: end rekeying: none is under way: %w", ErrState)
		}
		if err := c.swap(ctx, swaps); err != nil || !c.holdsPackage(rows.custody) {
			return err
		}
		// The package of a retention whose end was cut short holds the older one.
		return c.putRow(ctx, rows.custody, c.custodyRow(erasure, nil))
	})
}

// serving returns the rows of a subject that is in service and has a key.
func (c *core) serving(ctx context.Context, stage, subject string, erasure Tag) (*rows, error) {
	if err := c.barred(erasure); err != nil {
		return nil, err
	}
	rows, err := c.rows(ctx, subject, erasure)
	if err != nil {
		return nil, err
	}
	for _, rec := range rows.recs {
		if rec != nil && rec.State != Active {
			return nil, c.checkMarker(rec, erasure)
		}
	}
	if len(rows.in(Active)) == 0 {
		return nil, fmt.Errorf("keyring: %s: %w", stage, ErrNoSubjectKey)
	}
	return rows, nil
}

// nextGeneration returns the row with one generation more, or old itself where
// a call that was killed had made it.
func (c *core) nextGeneration(ctx context.Context, old *KeyRecord) (rec KeyRecord, span journal.Span, err error) {
	now := c.span(old.Tag)
	switch {
	case old.Generation < now.Newest:
		return rec, span, olderThan(old, now)
	case old.Generation == now.Newest && now.Floor < now.Newest:
		return rec, span, fmt.Errorf("keyring: rekey: a rekeying is under way: %w", ErrState)
	}
	ks, keys, err := c.opened(ctx, old, c.settledKeyset)
	if err != nil {
		return rec, span, err
	}
	if old.Generation > now.Newest && !keys.older.IsZero() {
		return *old, journal.Span{Newest: old.Generation, Floor: old.Generation - 1}, nil
	}
	rec = KeyRecord{Tag: old.Tag, Compartment: old.Compartment, Generation: old.Generation + 1}
	span = journal.Span{Newest: rec.Generation, Floor: old.Generation}
	return rec, span, wrapRowProved(c.ring, ks, &rec, rowKeys{newest: secret.Random(), older: keys.newest})
}

// olderThan says that a row is of a backup from before a rekeying.
func olderThan(rec *KeyRecord, span journal.Span) error {
	return fmt.Errorf("keyring: subject key in compartment %q is of generation %d, the journal's newest is %d: %w",
		rec.Compartment, rec.Generation, span.Newest, ErrRolledBack)
}

// endOfSpans returns the entry that ends a rekeying, and the rows that have an
// older key still.
func (c *core) endOfSpans(ctx context.Context, erasure Tag, rows *rows) (e *journal.Entry, swaps []Swap, err error) {
	e = &journal.Entry{Kind: journal.Rekey, Erasure: erasure}
	for _, old := range rows.in(Active) {
		span := c.span(old.Tag)
		if old.Generation > span.Newest {
			continue // made since, or by a Rekey that is to be called again
		} else if old.Generation < span.Newest {
			return nil, nil, olderThan(old, span)
		}
		ks, keys, err := c.opened(ctx, old, c.settledKeyset)
		if err != nil {
			return nil, nil, err
		}
		if !keys.older.IsZero() {
			rec := *old
			if err := wrapRowProved(c.ring, ks, &rec, rowKeys{newest: keys.newest}); err != nil {
				return nil, nil, err
			}
			swaps = append(swaps, Swap{*old, rec})
		}
		if span.Floor < span.Newest {
			e.Spans = append(e.Spans, journal.Respan{
				Compartment: old.Compartment, Tag: old.Tag, Span: journal.Span{Newest: span.Newest, Floor: span.Newest},
			})
		}
	}
	return e, swaps, nil
}

// swap replaces rows, all of them: a rewrapping that moved one meanwhile makes
// the caller look again.
func (c *core) swap(ctx context.Context, swaps []Swap) error {
	if len(swaps) == 0 {
		return nil
	}
	n, err := c.store.SwapKeys(ctx, swaps)
	if err != nil {
		return fmt.Errorf("keyring: write subject keys: %w", err)
	}
	if n != len(swaps) {
		return fmt.Errorf("keyring: %d of %d subject keys changed meanwhile; call again: %w", len(swaps)-n, len(swaps), ErrConflict)
	}
	return nil
}

// rekeyedFor returns how long ago a subject was last rekeyed.
func (c *core) rekeyedFor(erasure Tag) time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return time.Since(c.chain.Rekeyed[erasure])
}
