package consent

import (
	"cmp"
	"slices"
	"strings"

	items "github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/keyring"
)

// logBody is an entry as it is sealed.
type logBody struct {
	Time      int64    `cbor:"1,keyasint"` // nanoseconds since 1970
	Actor     string   `cbor:"2,keyasint"`
	Role      string   `cbor:"3,keyasint,omitempty"`
	Purpose   Purpose  `cbor:"4,keyasint,omitempty"`
	Action    string   `cbor:"5,keyasint"`
	Type      string   `cbor:"6,keyasint,omitempty"`
	Fields    []string `cbor:"7,keyasint,omitempty"`
	Withheld  []string `cbor:"8,keyasint,omitempty"`
	Outcome   string   `cbor:"9,keyasint"`
	Reason    Reason   `cbor:"10,keyasint,omitempty"`
	Decision  string   `cbor:"12,keyasint,omitempty"`
	Recipient string   `cbor:"13,keyasint,omitempty"`
	Ledger    uint64   `cbor:"14,keyasint,omitempty"` // events in the ledger that the decision knew
	Subject   []byte   `cbor:"15,keyasint,omitempty"` // patient, record and consents, sealed under the patient's audit key

	Article       string `cbor:"16,keyasint,omitempty"`
	Justification string `cbor:"17,keyasint,omitempty"`
	K             int    `cbor:"18,keyasint,omitempty"` // of an export's gate

	Job     string            `cbor:"20,keyasint,omitempty"`
	Patient []byte            `cbor:"21,keyasint,omitempty"` // the same in all entries of a patient; made of the audit key
	Keys    map[string]uint32 `cbor:"22,keyasint,omitempty"` // by compartment, the version that wraps the patient's key

	Journal     uint64 `cbor:"19,keyasint,omitempty"` // number and hash of the erasure journal's newest entry
	JournalHash []byte `cbor:"23,keyasint,omitempty"`

	under keyVersions // what Keys is written from
	text  []byte      // memory of sealRef
}

// keyVersions are the keys that an act needed, while its entry is being written.
type keyVersions []keyVersion

type keyVersion struct {
	compartment string
	version     uint32
}

// versionsOf are those of keys, behind dst, in the order of deterministic CBOR:
// shorter names first.
func versionsOf(dst keyVersions, keys []*keyring.SubjectKey) keyVersions {
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
