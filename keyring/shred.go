package keyring

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Receipt tells what an erasure or a retention did and what it could not do. It
// names no subject: whoever files it says whose it is.
type Receipt struct {
	Action string    // "erased" or "retained"
	Until  time.Time // of a retention, UTC; else zero
	// Basis is what obliges to a retention, or by whose authority a subject was
	// erased ([Ring.ShredRetained]); else empty.
	Basis        string
	Ring         string    // the ring's id
	Entry        uint64    // sequence number of the journal's entry
	Hash         Hash      // of that entry, to be found again in the journal
	Time         time.Time // of the entry, UTC
	Compartments []string  // those in which there was a key, now destroyed, or the custodian's; ascending
	Remains      []string  // what is not done by it, in plain sentences
}

// String returns the receipt as a few lines of text.
func (r Receipt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in ring %s, journal entry %d of %s, SHA-256 %s\n", r.Action, r.Ring, r.Entry, r.Time.Format(time.RFC3339), r.Hash)
	keys := "destroyed"
	if r.Action == retained {
		keys = "with the custodian"
		fmt.Fprintf(&b, "until: %s\n", r.Until.Format(time.RFC3339))
	}
	if r.Basis != "" {
		fmt.Fprintf(&b, "basis: %s\n", r.Basis)
	}
	fmt.Fprintf(&b, "keys %s: %s\n", keys, strings.Join(r.Compartments, ", "))
	for _, s := range r.Remains {
		fmt.Fprintf(&b, "remains: %s\n", s)
	}
	return b.String()
}

// What a receipt tells of.
const (
	erased   = "erased"
	retained = "retained"
)

// remains is what no key store can do.
func remains(e *journal.Entry) []string {
	const (
		backups = "Backups of the key store made before this entry, for whoever may use the key-encryption key, until every version of it that wrapped those keysets is destroyed."
		pages   = "Pages that the key store's disk, file system or database has not overwritten yet."
		copies  = "What was opened before and copied; keys in the memory of other processes, for at most 5 seconds."
	)
	if e.Kind == journal.Retain {
		return []string{
			"The keys, sealed to the custodian: whoever holds the custodian's private key and this package can open what they sealed, also after the end date, until the subject is erased.",
			"Lookup tokens of this subject in the application's tables, and pseudonyms that recipients hold: they still find and link the records.",
			backups, pages, copies,
		}
	}
	all := []string{
		"Lookup tokens of this subject in the application's tables: delete those columns or rows.",
		"Pseudonyms that recipients hold, and reversible tokens, until the keyset of their domain is destroyed.",
		backups, pages, copies,
	}
	if slices.ContainsFunc(e.Wipes, func(w journal.Wipe) bool { return w.Compartment == controlKeyset }) {
		all = append(all, "Backups of the key store made during a retention, for whoever holds the custodian's private key, until that is destroyed.")
	}
	return all
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
//
// A subject that is retained is a [RetainedError] until the end date.
func (r *Ring) Shred(ctx context.Context, subject string) (Receipt, error) {
	return r.shred(ctx, subject, "")
}

// ShredRetained erases like [Ring.Shred], even a subject that is retained and
// whose end date has not come, by an authority that says so: a court, a
// regulator's order, 1 to 128 printable ASCII characters without underscores, the
// first a letter or a digit, otherwise [ErrName]. It stands in journal and receipt
// in clear: it names no person. Other errors are those of Shred.
func (r *Ring) ShredRetained(ctx context.Context, subject, authority string) (Receipt, error) {
	if !journal.Phrase(authority) {
		return Receipt{}, fmt.Errorf("keyring: shred: authority: %w", ErrName)
	}
	return r.shred(ctx, subject, authority)
}

func (r *Ring) shred(ctx context.Context, subject, authority string) (receipt Receipt, err error) {
	err = r.alone(ctx, subject, func(c *core, erasure Tag) error {
		if c.isErased(erasure) {
			s, err := c.findStep(false, func(e *journal.Entry) bool { return e.Kind == journal.Shred && e.Erasure == erasure })
			if err != nil {
				return err
			}
			if err := c.buryAgain(ctx, subject, s.Entry); err != nil {
				return err
			}
			receipt = c.receipt(s)
			return nil
		}
		if until, ok := c.retention(erasure); ok && authority == "" && time.Now().Before(until.Until) {
			return c.barred(erasure)
		}
		e, err := c.wipes(ctx, subject, erasure)
		if err != nil {
			return err
		}
		e.Authority = authority
		s, err := c.write(ctx, "shred", e)
		if err != nil {
			return err
		}
		receipt = c.receipt(s)
		return nil
	})
	return receipt, err
}

// buryAgain makes sure that an erased subject has nothing but tombstones in the
// store: also where rows came back from a backup, some of them such as the entry
// does not name.
func (c *core) buryAgain(ctx context.Context, subject string, e *journal.Entry) error {
	rows, err := c.rows(ctx, subject, e.Erasure)
	if err != nil {
		return err
	}
	all := journal.Entry{Kind: journal.Shred, Erasure: e.Erasure, Wipes: slices.Clone(e.Wipes)}
	for i, rec := range rows.recs {
		if rec != nil {
			all.AddWipe(journal.Wipe{Compartment: rows.compartments[i], Tag: rows.tags[i]})
		}
	}
	if rows.custody != nil {
		all.AddWipe(journal.Wipe{Compartment: controlKeyset, Tag: rows.custodyTag})
	}
	marks := c.markers(&all, all.Wipes)
	c.mu.RLock()
	head := Head(c.chain.Head)
	c.mu.RUnlock()
	if err := c.buryBatch(ctx, head, marks); err != nil {
		return err
	}
	return c.confirm(ctx, marks)
}

// wipes returns the entry that erases a subject, which must have a key.
func (c *core) wipes(ctx context.Context, subject string, erasure Tag) (*journal.Entry, error) {
	rows, err := c.rows(ctx, subject, erasure)
	if err != nil {
		return nil, err
	}
	e := &journal.Entry{Kind: journal.Shred, Erasure: erasure, Wipes: rows.wipes()}
	_, kept := c.retention(erasure) // the journal knows the subject, whatever a restored store has lost
	if !kept && rows.custody == nil && !slices.ContainsFunc(rows.recs, func(rec *KeyRecord) bool { return rec != nil }) {
		return nil, fmt.Errorf("keyring: shred: %w", ErrNoSubjectKey)
	}
	if rows.custody != nil {
		e.AddWipe(journal.Wipe{Compartment: controlKeyset, Tag: rows.custodyTag, Had: len(rows.custody.Wrapped) > markerSize})
	}
	return e, nil
}

func (c *core) receipt(s journal.Step) Receipt {
	e := s.Entry
	r := Receipt{
		Action: erased, Basis: e.Authority, Ring: c.ring, Entry: e.Seq, Hash: s.Head.Hash, Time: e.At, Remains: remains(e),
	}
	if e.Kind == journal.Retain {
		r.Action, r.Until, r.Basis = retained, e.Retention.Until, e.Retention.Basis
	}
	for _, w := range e.Wipes {
		if w.Had && w.Compartment != controlKeyset {
			r.Compartments = append(r.Compartments, w.Compartment)
		}
	}
	return r
}
