package consent

import (
	"bytes"
	"testing"

	"github.com/rahasia/rahasia/internal/lp"
)

// FuzzTag: what parses as a tag is canonical.
func FuzzTag(f *testing.F) {
	full := sectionTag{
		Purpose: Treatment, Basis: Consented, Consent: "c", Policy: "2026-01", Confidentiality: Restricted,
		Sensitivity: []Label{"HIV", "PSY"}, Retain: 1 << 33, Fields: map[string][]Label{"A": {"HIV"}, "BB": {"STD"}},
	}
	for _, s := range []sectionTag{full, {Purpose: Treatment, Basis: Contract, Confidentiality: Normal}} {
		b, err := encode(s)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := parseTag(b); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(b, 0))
	}
	f.Add([]byte{})
	f.Add([]byte{0xa1, 0x18, 0x01, 0x65, 'T', 'R', 'E', 'A', 'T'})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseTag(b)
		if err != nil {
			return
		}
		again, err := encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%x parses and encodes as %x", b, again)
		}
	})
}

// FuzzRef: a log entry's name of patient and record.
func FuzzRef(f *testing.F) {
	f.Add([]byte{0, 1, 'p', 0, 2, 'r', 's'})
	f.Add([]byte{0, 1, 'p', 0, 0})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 9, 'p'})
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, ok := parseRef(b)
		if ok && !bytes.Equal(lp.Append(nil, parts...), b) {
			t.Errorf("%x is not canonical", b)
		}
	})
}
