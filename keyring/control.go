package keyring

import (
	"bytes"
	"crypto/hmac"
	"fmt"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// The labels of the control keyset: three keys, and what the index key tags.
const (
	labelIndexKey     = "rahasia/index-key/v1"     // PRF of the control keyset: ring
	labelJournalKey   = "rahasia/journal-key/v1"   // PRF of the control keyset: ring
	labelTombstoneKey = "rahasia/tombstone-key/v1" // PRF of the control keyset: ring
	labelSubjectTag   = "rahasia/subject-tag/v1"   // MAC under the index key: compartment, subject
	labelErasureTag   = "rahasia/erasure-tag/v1"   // MAC under the index key: subject
	labelTombstone    = "rahasia/tombstone/v1"     // MAC under the tombstone key: ring, compartment, tag, erasure tag
)

// control is what the control keyset derives.
type control struct {
	ring                      string
	index, journal, tombstone secret.MAC
}

func newControl(ring string, ks *Keyset) (control, error) {
	c := control{ring: ring}
	for _, d := range []struct {
		label string
		to    *secret.MAC
	}{{labelIndexKey, &c.index}, {labelJournalKey, &c.journal}, {labelTombstoneKey, &c.tombstone}} {
		key, err := ks.Derive(ks.Primary(), d.label, ring)
		if err != nil {
			return control{}, err
		}
		if *d.to, err = secret.NewMAC(key); err != nil {
			return control{}, fmt.Errorf("keyring: keyset %q: %w", ks.name, err)
		}
	}
	return c, nil
}

// subjectTag names the subject's row in one compartment.
func (c *control) subjectTag(compartment, subject string) Tag {
	var buf [320]byte
	sum := secret.Sum(c.index, lp.Append(buf[:0], labelSubjectTag, compartment, subject))
	return Tag(sum[:16])
}

// erasureTag names the subject in the journal, in all compartments at once.
func (c *control) erasureTag(subject string) Tag {
	var buf [320]byte
	sum := secret.Sum(c.index, lp.Append(buf[:0], labelErasureTag, subject))
	return Tag(sum[:16])
}

// buryRow returns the tombstone of a row: nothing of the key, and proof that
// a holder of the ring's keys erased it.
func (c *control) buryRow(compartment string, tag, erasure Tag) KeyRecord {
	mac := c.tombstoneMAC(compartment, tag, erasure)
	return KeyRecord{
		Tag: tag, Compartment: compartment, State: Destroyed,
		Wrapped: append(bytes.Clone(erasure[:]), mac[:]...),
	}
}

// buried checks a tombstone and returns the erasure tag in it.
func (c *control) buried(rec *KeyRecord) (Tag, error) {
	if !isCompartment(rec.Compartment) { // not quoted: whoever planted it would be
		return Tag{}, fmt.Errorf("keyring: tombstone in no compartment: %w", ErrCorrupt)
	}
	bad := fmt.Errorf("keyring: tombstone in compartment %q: %w", rec.Compartment, ErrCorrupt)
	if len(rec.Wrapped) != len(Tag{})+32 {
		return Tag{}, bad
	}
	erasure := Tag(rec.Wrapped[:16])
	if want := c.buryRow(rec.Compartment, rec.Tag, erasure); !sameTombstone(&want, rec) {
		return Tag{}, bad
	}
	return erasure, nil
}

func sameTombstone(a, b *KeyRecord) bool {
	return a.Tag == b.Tag && a.Compartment == b.Compartment && a.State == b.State &&
		a.Generation == b.Generation && a.Version == b.Version && a.Commitment == b.Commitment &&
		hmac.Equal(a.Wrapped, b.Wrapped)
}

func (c *control) tombstoneMAC(compartment string, tag, erasure Tag) [32]byte {
	b := lp.Append(nil, labelTombstone, c.ring, compartment)
	return secret.Sum(c.tombstone, lp.Append(b, tag[:], erasure[:]))
}

// tombstones returns the rows that e, a shred, leaves.
func (c *control) tombstones(e *journal.Entry) []KeyRecord {
	recs := make([]KeyRecord, len(e.Wipes))
	for i, w := range e.Wipes {
		recs[i] = c.buryRow(w.Compartment, w.Tag, e.Erasure)
	}
	return recs
}
