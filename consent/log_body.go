package consent

import (
	"cmp"
	"slices"
	"strings"

	items "github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/keyring"
)

// keyVersions are the keys that an act needed, while its entry is being written.
type keyVersions []keyVersion

type keyVersion struct {
	compartment string
	version     uint32
}

// versionsOf are those of keys, behind dst, in the order of deterministic CBOR:
// shorter names first.
func versionsOf(dst keyVersions, keys []*keyring.SubjectKey) keyVersions {
	dst = slices.Grow(dst, len(keys))
	for _, k := range keys {
		dst = append(dst, keyVersion{k.Compartment(), k.Version()})
	}
	slices.SortFunc(dst, func(a, b keyVersion) int {
		return cmp.Or(cmp.Compare(len(a.compartment), len(b.compartment)), strings.Compare(a.compartment, b.compartment))
	})
	return dst
}

// appendTo appends the CBOR of b behind dst, with the newest entry of the erasure
// journal.
func (b *logBody) appendTo(dst []byte, seq uint64, hash []byte) []byte {
	var w mapWriter
	w.begin(dst)
	w.int(1, b.Time)
	w.must(2, b.Actor)
	w.text(3, b.Role)
	w.text(4, string(b.Purpose))
	w.must(5, b.Action)
	w.text(6, b.Type)
	writeTexts(&w, 7, b.Fields)
	writeTexts(&w, 8, b.Withheld)
	w.must(9, b.Outcome)
	w.text(10, string(b.Reason))
	w.uint(11, uint64(b.Count))
	w.text(12, b.Decision)
	w.text(13, b.Recipient)
	w.uint(14, b.Ledger)
	w.bytes(15, b.Subject)
	w.text(16, b.Article)
	w.text(17, b.Justification)
	w.uint(18, uint64(b.K))
	w.uint(19, seq)
	w.text(20, b.Job)
	w.bytes(21, b.Patient)
	if len(b.under) > 0 {
		w.key(22)
		w.b = items.AppendHead(w.b, items.Map, uint64(len(b.under)))
		for _, k := range b.under {
			w.item(k.compartment)
			w.b = items.AppendHead(w.b, items.Uint, uint64(k.version))
		}
	}
	w.bytes(23, hash)
	return w.b
}
