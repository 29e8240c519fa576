package keyring

import (
	"context"
	"fmt"
	"math"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Anchor tells the journal how far a record that is kept elsewhere has grown,
// such as a ledger of consents: to a place, which only ever rises, with the
// digest of the record there. Whoever opens the record asks [Ring.Anchored] and
// so notices an older copy put in its place, for the journal lies apart from it
// and takes nothing back. name is the name of the keyset that the record is
// sealed under, and prev the newest place that the caller knows and has found in
// its record: if the journal has another, set by another process perhaps, that
// is [ErrConflict]; ask [Ring.Anchored] again, which knows it then, and look
// whether the record holds it. Otherwise one of two records that have parted
// could cover the other's anchor. A place not above prev changes nothing.
//
// Errors: [ErrName], [ErrConflict], [ErrNotGranted], [ErrNoKeyset], [ErrClosed],
// and those of a journal or store that fails; the anchor may be set then.
func (r *Ring) Anchor(ctx context.Context, name string, prev, place uint64, digest [32]byte) error {
	c, err := r.allow(name)
	if err == nil {
		err = checkKeyset(name)
	}
	if err == nil && place > math.MaxInt64 {
		err = fmt.Errorf("keyring: anchor %q: place beyond 63 bits: %w", name, ErrName)
	}
	if err != nil {
		return err
	}
	return c.exclusive(ctx, func() error {
		if _, known := c.mark(name); !known {
			return fmt.Errorf("keyring: anchor %q: %w", name, ErrNoKeyset)
		}
		if now := c.anchor(name).Revision; now != prev {
			return fmt.Errorf("keyring: anchor %q: the newest place is %d: %w", name, now, ErrConflict)
		} else if now >= place {
			return nil
		}
		_, err := c.write(ctx, "", &journal.Entry{Kind: journal.Anchor, Anchor: journal.Mark{Name: name, Revision: place, Digest: digest}})
		return err
	})
}

// Anchored returns the newest place that was anchored under that name, and its
// digest; 0 if there is none. An anchor of another process is seen within 5
// seconds. Errors: [ErrNotGranted], [ErrClosed], and those of a journal or
// store that fails.
func (r *Ring) Anchored(ctx context.Context, name string) (place uint64, digest [32]byte, err error) {
	c, err := r.allow(name)
	if err != nil {
		return 0, digest, err
	}
	if _, err := c.fresh(ctx); err != nil {
		return 0, digest, err
	}
	m := c.anchor(name)
	return m.Revision, m.Digest, nil
}

func (c *core) anchor(name string) journal.Mark {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Anchors[name]
}
