package keyring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

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
	labelCustodyTag   = "rahasia/custody-tag/v1"   // MAC under the index key: erasure tag
	labelTombstone    = "rahasia/tombstone/v1"     // MAC under the tombstone key: ring, compartment, tag, erasure tag
	labelStub         = "rahasia/stub/v1"          // the same, then until and basis
	labelCustodyRow   = "rahasia/custody-row/v1"   // the same, then the package
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
	mac := c.rowMAC(labelTombstone, compartment, tag, erasure, nil)
	return KeyRecord{
		Tag: tag, Compartment: compartment, State: Destroyed,
		Wrapped: append(bytes.Clone(erasure[:]), mac[:]...),
	}
}

// stubRow returns what a retention leaves of a row: nothing of the key, until
// when and why it is with the custodian, and proof of it.
func (c *control) stubRow(compartment string, tag, erasure Tag, until time.Time, basis string) KeyRecord {
	why := append(binary.BigEndian.AppendUint64(nil, uint64(until.Unix())), basis...)
	mac := c.rowMAC(labelStub, compartment, tag, erasure, why)
	return KeyRecord{
		Tag: tag, Compartment: compartment, State: Retained,
		Wrapped: append(append(bytes.Clone(erasure[:]), mac[:]...), why...),
	}
}

// custodyTag names the row that holds a retained subject's package.
func (c *control) custodyTag(erasure Tag) Tag {
	sum := secret.Sum(c.index, lp.Append(nil, labelCustodyTag, string(erasure[:])))
	return Tag(sum[:16])
}

// custodyRow returns the row of a package, or of none where the retention is over.
func (c *control) custodyRow(erasure Tag, sealed []byte) KeyRecord {
	tag := c.custodyTag(erasure)
	mac := c.rowMAC(labelCustodyRow, controlKeyset, tag, erasure, sealed)
	return KeyRecord{
		Tag: tag, Compartment: controlKeyset, State: Retained,
		Wrapped: append(append(bytes.Clone(erasure[:]), mac[:]...), sealed...),
	}
}

// markerSize is of the erasure tag and the MAC that a row out of service begins with.
const markerSize = len(Tag{}) + 32

// marked checks a row that is out of service, and returns the erasure tag in it.
func (c *control) marked(rec *KeyRecord) (Tag, error) {
	if rec.Compartment != controlKeyset && !isCompartment(rec.Compartment) { // not quoted: whoever planted it would be
		return Tag{}, fmt.Errorf("keyring: row out of service in no compartment: %w", ErrCorrupt)
	}
	bad := fmt.Errorf("keyring: row out of service in compartment %q: %w", rec.Compartment, ErrCorrupt)
	if len(rec.Wrapped) < markerSize {
		return Tag{}, bad
	}
	erasure, rest := Tag(rec.Wrapped[:16]), rec.Wrapped[markerSize:]
	var want KeyRecord
	switch {
	case rec.State == Destroyed:
		want = c.buryRow(rec.Compartment, rec.Tag, erasure)
	case rec.State == Retained && rec.Compartment == controlKeyset:
		want = c.custodyRow(erasure, rest)
	case rec.State == Retained && len(rest) > 8:
		want = c.stubRow(rec.Compartment, rec.Tag, erasure, stubUntil(rest), string(rest[8:]))
	}
	if !want.Equal(rec) {
		return Tag{}, bad
	}
	return erasure, nil
}

// stubUntil returns the time in what follows the MAC of a stub.
func stubUntil(why []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(why)), 0).UTC()
}

// rowMAC is the proof in a row out of service; what follows it is more.
func (c *control) rowMAC(label, compartment string, tag, erasure Tag, more []byte) [32]byte {
	b := lp.Append(nil, label, c.ring, compartment)
	return secret.Sum(c.tombstone, append(lp.Append(b, tag[:], erasure[:]), more...))
}

// markers returns the rows that e, a shred or a retention, leaves of those.
func (c *control) markers(e *journal.Entry, of []journal.Wipe) []KeyRecord {
	recs := make([]KeyRecord, len(of))
	for i, w := range of {
		if e.Kind == journal.Retain {
			recs[i] = c.stubRow(w.Compartment, w.Tag, e.Erasure, e.Retention.Until, e.Retention.Basis)
		} else {
			recs[i] = c.buryRow(w.Compartment, w.Tag, e.Erasure)
		}
	}
	return recs
}
