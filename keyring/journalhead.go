package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// JournalHead returns the number and the hash of the newest entry of the erasure
// journal, as this ring knows it: another process's is known within 5 seconds.
// Kept in a record elsewhere, such as an audit log, it shows later, by
// [Ring.JournalHolds], that journal and store were not put back together to an
// older day. It needs no grant. Errors: [ErrClosed], and those of a journal or
// store that fails.
func (r *Ring) JournalHead(ctx context.Context) (seq uint64, hash [32]byte, err error) {
	c, err := r.allow()
	if err == nil {
		_, err = c.fresh(ctx)
	}
	if err != nil {
		return 0, hash, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Head.Seq, c.chain.Head.Hash, nil
}

// JournalHolds reads the journal and returns [ErrRolledBack] unless it has the
// entry that [Ring.JournalHead] once returned, or was begun anew since, by a
// restoration. Nothing holds number 0. Other errors: [ErrClosed], and those of a
// journal that fails.
func (r *Ring) JournalHolds(ctx context.Context, seq uint64, hash [32]byte) error {
	c, err := r.allow()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil || seq == 0 {
		return err
	}
	lines, err := c.log.Read(0)
	if err != nil {
		return fmt.Errorf("keyring: read journal: %w", err)
	}
	holds := false
	_, err = journal.NewChain(c.control.journal, c.ring).Read(lines, func(s journal.Step) {
		holds = holds || s.Head.Seq == seq && s.Head.Hash == hash || s.Entry.Kind == journal.Reseed && s.Entry.Base.Seq >= seq
	})
	if err = errors.Join(err, lines.Close()); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if !holds {
		return fmt.Errorf("keyring: the journal lacks its entry %d: %w", seq, ErrRolledBack)
	}
	return nil
}
