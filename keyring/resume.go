package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rahasia/rahasia/keyring/internal/custody"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// EndRetention brings a retained subject's keys back into service, for a court
// or because the subject returns: the custodian's key opens the package, and
// each key is wrapped anew under its compartment's keyset, proved to unwrap to
// the same. What was sealed before opens again. It needs the private key in this
// process: run it on the custodian's machine, with the store in reach, rather
// than carry the key to the service.
//
// Killed on the way it can be called again. A subject that is not retained is
// [ErrState]; another custodian's key [ErrKEK]; a package that was changed
// [ErrCorrupt]. The view must hold every compartment.
func (r *Ring) EndRetention(ctx context.Context, subject string, with *CustodianKey) error {
	if with == nil || with.private.IsZero() {
		return fmt.Errorf("keyring: end retention: custodian's key: %w", ErrEmpty)
	}
	return r.aloneWithKeysets(ctx, subject, func(c *core, erasure Tag) error {
		if c.isErased(erasure) {
			return c.barred(erasure)
		}
		rows, err := c.rows(ctx, subject, erasure)
		if err != nil {
			return err
		}
		return c.resume(ctx, erasure, rows, with)
	})
}

// resume brings keys back: rows first, then the journal, then the package goes.
// Until the journal has it, the subject counts as retained.
func (c *core) resume(ctx context.Context, erasure Tag, rows *rows, with *CustodianKey) error {
	_, retained := c.retention(erasure)
	if rows.custody == nil || len(rows.custody.Wrapped) <= markerSize {
		if retained {
			return fmt.Errorf("keyring: end retention: the package is gone: %w", ErrCorrupt)
		}
		return fmt.Errorf("keyring: end retention: the subject is not retained: %w", ErrState)
	}
	if _, err := c.marked(rows.custody); err != nil { // with the tag, which is of one subject
		return err
	}
	all, err := custody.Unseal(with.private, c.ring, erasure, rows.custody.Wrapped[markerSize:])
	if errors.Is(err, custody.ErrPackage) {
		return fmt.Errorf("keyring: end retention: %w", ErrCorrupt)
	} else if err != nil {
		return err
	}
	if err := c.putBack(ctx, erasure, rows, all); err != nil {
		return err
	}
	if retained {
		if _, err := c.write(ctx, "end-retention", &journal.Entry{Kind: journal.Resume, Erasure: erasure}); err != nil {
			return err
		}
	}
	for _, stub := range rows.in(Retained) {
		if !slices.ContainsFunc(all, func(k custody.Keys) bool { return k.Compartment == stub.Compartment }) {
			return fmt.Errorf("keyring: end retention: the package, which is kept, lacks the key in compartment %q: %w", stub.Compartment, ErrCorrupt)
		}
	}
	return c.putRow(ctx, rows.custody, c.custodyRow(erasure, nil))
}

// putBack writes the keys of a package in the places of their stubs.
func (c *core) putBack(ctx context.Context, erasure Tag, rows *rows, all []custody.Keys) error {
	var swaps []Swap
	var fresh, want []KeyRecord
	for _, k := range all {
		i := slices.Index(rows.compartments, k.Compartment)
		if i < 0 {
			return fmt.Errorf("keyring: end retention: no compartment %q: %w", k.Compartment, ErrCorrupt)
		}
		old := rows.recs[i]
		if kept, err := c.keeps(ctx, old, k, erasure); err != nil {
			return err
		} else if kept {
			continue
		}
		rec, err := c.unpack(ctx, rows.tags[i], k)
		if err != nil {
			return err
		}
		if old == nil {
			fresh = append(fresh, rec)
		} else {
			swaps = append(swaps, Swap{*old, rec})
		}
		want = append(want, rec)
	}
	if len(fresh) > 0 {
		if _, err := c.store.CreateKeys(ctx, fresh); err != nil {
			return fmt.Errorf("keyring: write subject keys: %w", err)
		}
	}
	if len(swaps) > 0 {
		if _, err := c.store.SwapKeys(ctx, swaps); err != nil {
			return fmt.Errorf("keyring: write subject keys: %w", err)
		}
	}
	return c.confirm(ctx, want)
}

// keeps reports whether row stays as it is: it has the package's key, where a
// call that was killed came this far, or a newer one. A row of a backup that has
// an older one, or none, gives way.
func (c *core) keeps(ctx context.Context, row *KeyRecord, k custody.Keys, erasure Tag) (bool, error) {
	if row == nil {
		return false, nil
	}
	if row.State != Active {
		if was, err := c.marked(row); err != nil || was != erasure {
			return false, fmt.Errorf("keyring: end retention: stub in compartment %q: %w", k.Compartment, ErrCorrupt)
		} else if row.State == Destroyed { // no package brings back who was erased
			return false, fmt.Errorf("keyring: end retention: the store knows an erasure that the journal does not: %w", ErrJournalLost)
		}
		return false, nil
	}
	_, keys, err := c.opened(ctx, row, c.settledKeyset)
	switch {
	case errors.Is(err, ErrCorrupt):
		return false, nil
	case err != nil:
		return false, err
	case row.Generation < k.Generation || row.Generation < c.span(row.Tag).Newest:
		return false, nil
	case row.Generation > k.Generation:
		return true, nil
	case !equalKeys(rowKeys{newest: keys.newest}, rowKeys{newest: k.Keys[0]}):
		return false, fmt.Errorf("keyring: end retention: subject key in compartment %q is not the package's: %w", row.Compartment, ErrCorrupt)
	}
	return true, nil
}

// unpack wraps one compartment's keys for their row.
func (c *core) unpack(ctx context.Context, tag Tag, k custody.Keys) (KeyRecord, error) {
	rec := KeyRecord{Tag: tag, Compartment: k.Compartment, Generation: k.Generation}
	if span := c.span(tag); k.Generation < span.Newest {
		return rec, olderThan(&rec, span)
	}
	ks, err := c.settledKeyset(ctx, k.Compartment)
	if err != nil {
		return rec, err
	}
	keys := rowKeys{newest: k.Keys[0]}
	if len(k.Keys) > 1 {
		keys.older = k.Keys[1]
	}
	return rec, wrapRowProved(c.ring, ks, &rec, keys)
}
