package consent

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/rahasia/rahasia/internal/lp"
)

// FuzzTag: what parses as a tag is canonical.
func FuzzTag(f *testing.F) {
	full := sectionTag{
		Purpose: Treatment, Basis: Consented, Consent: "c", Policy: "2026-01", Confidentiality: Restricted,
		Sensitivity: []Label{"HIV", "PSY"}, Retain: 1 << 33, Fields: map[string][]Label{"A": {"HIV"}, "BB": {"STD"}, "": {}},
		Author: "dr", Related: []string{"e", "f"}, Time: new(int64),
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
		var library sectionTag
		refused := decode(b, &library) != nil || !library.wellFormed()
		if err != nil && !refused && !bytes.Contains(b, []byte{0xf6}) { // a null where a list could be
			t.Errorf("%x is refused", b)
		}
		if err != nil {
			return
		}
		if refused || !reflect.DeepEqual(s, library) {
			t.Errorf("%x is read as %v and not as %v", b, s, library)
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

// FuzzEvent: what reads as a ledger event is what give and withdraw write.
func FuzzEvent(f *testing.F) {
	c := Consent{
		ID: "c", Purposes: []Purpose{Treatment}, Refused: true, Actors: []string{"a"}, Roles: []string{"r"}, Confidentiality: Restricted,
		Sensitivity: []Label{"HIV"}, Obligations: []Obligation{Deidentify}, From: noon, Until: year(9999),
		Actions: []Action{Access}, Data: Selection{Types: []string{"lab"}, Records: []string{"r"}, Authors: []string{"dr"}, Related: []string{"e"}, From: noon, Until: year(9999)},
		Except: []Rule{{Purposes: []Purpose{BreakGlass}, Until: noon}}, GivenBy: &Representative{ID: "ibu", Relation: "MTH", Until: noon}, Supersedes: "b",
	}
	for _, b := range []eventBody{
		{Kind: "unrepresented", ID: "ibu", At: instantOf(noon)},
		{Kind: "withdrawn", At: instantOf(noon)},
		{Kind: "given", ID: "c", At: instantOf(noon), Consent: newGranted(c)},
		{Kind: "given", ID: "c", Consent: newGranted(Consent{Purposes: c.Purposes})},
		{Kind: "withdrawn", ID: "c", At: instantOf(year(1900))},
	} {
		text, err := encodeReadable(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)-1])
		f.Add(append(text, 0))
	}
	f.Add([]byte{0xa3, 0x01, 0x65, 'g', 'i', 'v', 'e', 'n', 0x02, 0x60, 0x03, 0x82, 0x00, 0x18, 0x00})
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := replay([][]byte{text}, "p", time.Time{})
		var b eventBody
		readable := decode(text, &b) == nil
		if err == nil && !readable {
			t.Fatalf("%x replays and does not read", text)
		}
		if !readable {
			return
		}
		if again, err := encode(b); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%x reads and encodes as %x", text, again)
		}
		new(Policy).Decide(all, care, Data{}, noon)
		for _, c := range all {
			if c.Subject != "p" || c.ID != b.ID {
				t.Errorf("%x is another's", text)
			}
		}
	})
}

// FuzzEntry: what reads as an entry of the log is what the log writes.
func FuzzEntry(f *testing.F) {
	for _, b := range []*logBody{
		{Action: "start", Outcome: "done"},
		{
			Time: noon.UnixNano(), Actor: "dr", Role: "r", Purpose: Treatment, Action: "open", Type: "person", Fields: []string{"A", "B"},
			Withheld: []string{"C"}, Outcome: "done", Reason: Permitted, Decision: "d", Recipient: "u", Ledger: 1 << 40, Subject: []byte{1, 2},
		},
	} {
		text, err := encode(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		f.Add(text[:len(text)-1])
		f.Add(append(text, 0))
	}
	f.Add([]byte{0xbf, 0xff})
	f.Fuzz(func(t *testing.T, text []byte) {
		var b logBody
		if decode(text, &b) != nil {
			return
		}
		if again, err := encode(&b); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%x reads and encodes as %x", text, again)
		}
		if e := b.entry(7); e.Index != 7 || e.Actor != b.Actor || e.Subject != "" {
			t.Errorf("%x is shown as %v", text, e)
		}
	})
}
