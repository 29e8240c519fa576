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
	return r.alone(ctx, subject, func(c *core, erasure Tag) error {
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
	if was, err := c.marked(rows.custody); err != nil {
		return err
	} else if was != erasure {
		return fmt.Errorf("keyring: end retention: the package is another subject's: %w", ErrCorrupt)
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
		if _, err := c.write(ctx, "resume", &journal.Entry{Kind: journal.Resume, Erasure: erasure}); err != nil {
			return err
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
		rec, err := c.unpack(ctx, rows.tags[i], k)
		if err != nil {
			return err
		}
		switch old := rows.recs[i]; {
		case old == nil:
			fresh = append(fresh, rec)
		case old.State == Active: // a call that was killed came this far
			if err := c.sameKeys(ctx, old, &rec); err != nil {
				return err
			}
			continue
		default:
			if was, err := c.marked(old); err != nil || was != erasure {
				return fmt.Errorf("keyring: end retention: stub in compartment %q: %w", k.Compartment, ErrCorrupt)
			}
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

// unpack wraps one compartment's keys for their row.
func (c *core) unpack(ctx context.Context, tag Tag, k custody.Keys) (KeyRecord, error) {
	rec := KeyRecord{Tag: tag, Compartment: k.Compartment, Generation: k.Generation}
	if k.Generation < c.span(tag).Newest {
		return rec, fmt.Errorf("keyring: end retention: the package's key in compartment %q is older than the journal's: %w", k.Compartment, ErrRolledBack)
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

// sameKeys checks that two rows hold the same keys.
func (c *core) sameKeys(ctx context.Context, a, b *KeyRecord) error {
	ks, err := c.settledKeyset(ctx, a.Compartment)
	if err != nil {
		return err
	}
	of, err := openCommitted(c.ring, ks, a)
	if err != nil {
		return err
	}
	other, err := openCommitted(c.ring, ks, b)
	if err != nil {
		return err
	}
	if a.Generation != b.Generation || !equalKeys(of, other) {
		return fmt.Errorf("keyring: end retention: subject key in compartment %q is not the package's: %w", a.Compartment, ErrCorrupt)
	}
	return nil
}
