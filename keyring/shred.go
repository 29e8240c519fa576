package keyring

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Receipt tells what an erasure did and what it could not do. It names no
// subject: whoever files it says whose it is.
type Receipt struct {
	Ring         string    // the ring's id
	Entry        uint64    // sequence number of the journal's entry
	Hash         [32]byte  // SHA-256 of that entry, to be found again in the journal
	Time         time.Time // of the entry, UTC
	Compartments []string  // those in which there was a key, now destroyed; ascending
	Remains      []string  // what else must go, in plain sentences
}

// String returns the receipt as a few lines of text.
func (r Receipt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "erased in ring %s, journal entry %d of %s, SHA-256 %x\n", r.Ring, r.Entry, r.Time.Format(time.RFC3339), r.Hash)
	fmt.Fprintf(&b, "keys destroyed: %s\n", strings.Join(r.Compartments, ", "))
	for _, s := range r.Remains {
		fmt.Fprintf(&b, "remains: %s\n", s)
	}
	return b.String()
}

// remains is what no key store can erase.
func remains() []string {
	return []string{
		"Lookup tokens of this subject in the application's tables: delete those columns or rows.",
		"Pseudonyms that recipients hold, and reversible tokens, until the keyset of their domain is destroyed.",
		"Backups of the key store made before this entry, for whoever may use the key-encryption key, until every version of it that wrapped those keysets is destroyed.",
		"Pages that the key store's disk, file system or database has not overwritten yet.",
		"What was opened before and copied; keys in the memory of other processes, for at most 5 seconds.",
	}
}

// Shred erases a subject: in every compartment of the ring the wrapped key is
// overwritten by a tombstone, and none is ever made again for this subject.
// Reading gives [ErrShredded] from then on, in this process at once, in others
// within 5 seconds. There is no way back.
//
// The order is journal, store, receipt. An error of the store after the
// journal was written means that the erasure counts and is not finished: the
// next call that reads the store finishes it. Shredding a subject again returns
// the receipt of the first time.
//
// The view must hold every compartment of the ring, otherwise [ErrNotGranted].
// A subject that has no key in any compartment is [ErrNoSubjectKey]: a
// mistyped id must not look like an erasure.
func (r *Ring) Shred(ctx context.Context, subject string) (Receipt, error) {
	c, err := r.allow()
	if err != nil {
		return Receipt{}, err
	}
	if err := checkSubject(subject); err != nil {
		return Receipt{}, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Receipt{}, err
	}
	defer unlock()
	if err := c.settleLocked(ctx); err != nil {
		return Receipt{}, err
	}
	if _, err := r.allow(c.compartments()...); err != nil {
		return Receipt{}, err
	}
	erasure := c.erasureTag(subject)
	if c.isErased(erasure) {
		return c.receiptOf(erasure)
	}
	e, err := c.wipes(ctx, subject, erasure)
	if err != nil {
		return Receipt{}, err
	}
	if err := c.write(ctx, e); err != nil {
		return Receipt{}, err
	}
	return c.receipt(journal.Step{Entry: e, Head: journal.Head(c.newest())}), nil
}

func (c *core) newest() Head {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return Head(c.chain.Head)
}

// wipes returns the entry that erases a subject, which must have a key.
func (c *core) wipes(ctx context.Context, subject string, erasure Tag) (*journal.Entry, error) {
	e := &journal.Entry{Kind: journal.Shred, Erasure: erasure}
	var tags []Tag
	for _, name := range c.compartments() {
		tag := c.subjectTag(name, subject)
		tags = append(tags, tag)
		e.Wipes = append(e.Wipes, journal.Wipe{Compartment: name, Tag: tag})
	}
	recs, err := c.store.Keys(ctx, tags)
	if err != nil {
		return nil, fmt.Errorf("keyring: load subject keys: %w", err)
	}
	any := false
	for i := range e.Wipes {
		for _, rec := range recs {
			if rec.Tag == e.Wipes[i].Tag {
				e.Wipes[i].Had, any = rec.State != Destroyed, true
			}
		}
	}
	if !any {
		return nil, fmt.Errorf("keyring: shred: %w", ErrNoSubjectKey)
	}
	return e, nil
}

func (c *core) receipt(s journal.Step) Receipt {
	r := Receipt{Ring: c.ring, Entry: s.Entry.Seq, Hash: s.Head.Hash, Time: s.Entry.At, Remains: remains()}
	for _, w := range s.Entry.Wipes {
		if w.Had {
			r.Compartments = append(r.Compartments, w.Compartment)
		}
	}
	return r
}

// receiptOf returns the receipt of an erasure in the past.
func (c *core) receiptOf(erasure Tag) (Receipt, error) {
	var receipt Receipt
	found := false
	_, err := c.walk(func(s journal.Step) {
		if !found && s.Entry.Kind == journal.Shred && s.Entry.Erasure == erasure {
			receipt, found = c.receipt(s), true
		}
	})
	if err != nil {
		return Receipt{}, err
	}
	if !found { // the journal was cut since it was read
		return Receipt{}, fmt.Errorf("keyring: shred: the journal lost the entry: %w", ErrJournalLost)
	}
	return receipt, nil
}
