package envelope

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	fx "github.com/fxamacker/cbor/v2"

	"github.com/rahasia/rahasia/internal/cbortest"
	"github.com/rahasia/rahasia/internal/value"
)

// noInput fails if an error repeats some of the input.
func noInput(t *testing.T, err error, input []byte) {
	const window = 12
	for i := 0; i+window <= len(input); i++ {
		if bytes.Count(input[i:i+window], input[i:i+1]) < window && strings.Contains(err.Error(), string(input[i:i+window])) {
			t.Fatalf("%q repeats the input", err)
		}
	}
}

// FuzzHeader: what parses as a row is made again, to the byte, from what was
// read.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(anyRow(f)))
	f.Add([]byte(nil))
	f.Add([]byte{0x11})
	f.Add(append(bytes.Repeat([]byte{0x11}, 13), 1, 1, 'a', 0, 0, 0, 1, 0, 0, 0, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Inspect(b)
		if err != nil {
			if !reflect.DeepEqual(h, Header{}) {
				t.Fatal("a result beside an error")
			}
			noInput(t, err, b)
			return
		}
		out := append([]byte{kindVersion}, h.SealID[:]...)
		out = append(out, byte(len(h.Sections)))
		total := 0
		for _, s := range h.Sections {
			out = appendSpan(out, s.Compartment, s.Generation, s.Length)
			total += s.Length
		}
		if !bytes.HasPrefix(b, out) || len(out)+total != len(b) {
			t.Fatalf("%x", b)
		}
	})
}

// FuzzManifest: what parses is made again, to the byte, and is read alike by a
// general decoder; and what that decoder reads as deterministic CBOR of the
// right shape, parses.
func FuzzManifest(f *testing.F) {
	b, id, sections, _ := vectorInput(f)
	_, steps := refSeal(f, b, id, sections)
	for _, s := range steps {
		f.Add(s.Manifest)
	}
	f.Add([]byte{0x81, 0x40})
	f.Add([]byte{0x82, 0x40, 0x83, 0x61, 'a', 1, 1})
	f.Add([]byte{0x83, 0x40, 0x83, 0x61, 'a', 1, 1, 0x83, 0x61, 'b', 2, 0x18, 30})
	enc, dec := cbortest.Judge(f)
	columns := []column{
		{name: "Diagnosis", code: value.List}, {name: "Notes", code: value.Text}, {name: "Notes of more than 16 bytes", code: 1}, {name: "a", code: 1}, {name: "b", code: 2}, {name: "d", code: 3},
	}
	for i := range columns {
		columns[i].setEntry(appendEntry(nil, []byte(columns[i].name), columns[i].code))
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		tag, entries, rest, err := parseManifest(m, nil, nil)
		_, again, _, err2 := parseManifest(m, nil, columns)
		if (err == nil) != (err2 == nil) || len(entries) != len(again) {
			t.Fatalf("the expected columns change what parses: %x", m)
		}
		for i := range again {
			e := again[i]
			want := int16(-1)
			for j, c := range columns {
				if c.name == string(e.name(m)) {
					want = int16(j)
				}
			}
			if e.column != want || e.code != entries[i].code || e.length != entries[i].length || e.offset != entries[i].offset || e.at != entries[i].at {
				t.Fatalf("%x: entry %d: %+v, %+v", m, i, e, entries[i])
			}
		}
		var list []fx.RawMessage
		_, judged := dec.UnmarshalFirst(m, &list)
		if err != nil {
			noInput(t, err, m)
			return
		}
		if judged != nil || len(list) != 1+len(entries) {
			t.Fatalf("%x: judged %v", m, judged)
		}
		var index []byte
		for i, e := range entries {
			index = appendLength(appendEntry(index, e.name(m), e.code), int(e.length))
			var f []any
			if err := dec.Unmarshal(list[i+1], &f); err != nil || len(f) != 3 || f[0] != string(e.name(m)) || f[1] != uint64(e.code) || f[2] != uint64(e.length) {
				t.Fatalf("%x: entry %d is %v", m, i, f)
			}
		}
		out := appendManifest(nil, tag, index, len(entries))
		if !bytes.Equal(out, m[:len(m)-len(rest)]) {
			t.Fatalf("%x is made again as %x", m, out)
		}
		var any any
		if err := dec.Unmarshal(out, &any); err != nil {
			t.Fatal(err)
		}
		if again, err := enc.Marshal(any); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%x is not deterministic: %x", out, again)
		}
	})
}

// FuzzOpen: no row but the one that was sealed opens.
func FuzzOpen(f *testing.F) {
	a := newAttack(f)
	for _, row := range []Sealed{a.row, a.older, a.other, a.far, a.row[:40], nil} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dst := visit{Patient: "p1", ID: "v1"}
		err := a.codec.Open(context.Background(), &dst, b)
		if bytes.Equal(b, a.row) || bytes.Equal(b, a.older) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !isOpen(err) || dst.A != nil || dst.HIV != nil {
			t.Fatalf("%v %v", err, dst)
		}
		noInput(t, err, b)
	})
}

// FuzzSection: bytes that the right key sealed as a manifest never make the
// opener panic, and are never opened unless they are canonical.
func FuzzSection(f *testing.F) {
	b, id, sections, _ := vectorInput(f)
	_, steps := refSeal(f, b, id, sections)
	f.Add(steps[0].Manifest)
	f.Add(steps[1].Manifest)
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) < 30 || len(m) > 1<<16 {
			return
		}
		mine := []refSection{sections[0]}
		mine[0].manifest = func([]byte) []byte { return m }
		row, x := refSeal(t, b, id, mine)
		var l layout
		if l.parse(row) != nil {
			return
		}
		var o section
		if new(scratch).openSection(&o, row, l.header, &l.spans[0], &b, mine[0].Key, nil) {
			mine[0].manifest = nil
			mine[0].Tag, mine[0].Fields = o.tag, nil
			at := 0
			fields := row[l.spans[0].start+len(x[0].Lead)+len(x[0].ManifestSealed):]
			for _, e := range o.entries {
				mine[0].Fields = append(mine[0].Fields, refField{string(e.name(o.manifest)), uint64(e.code), make([]byte, e.length)})
				at += int(e.length) + overhead
			}
			if at != len(fields) || !bytes.Equal(append(refManifest(t, &mine[0]), make([]byte, len(m))...)[:len(m)], m) {
				t.Fatalf("%x", m)
			}
		}
	})
}

// FuzzLead: a lead that the right key sealed opens a section only if it says
// how long the manifest is.
func FuzzLead(f *testing.F) {
	b, id, sections, _ := vectorInput(f)
	_, steps := refSeal(f, b, id, sections)
	size := uint32(len(steps[0].Manifest))
	for _, n := range []uint32{size, 1, size - 1, size + 1, size + 16, 1 << 16, 1 << 31, math.MaxUint32 - 15, math.MaxUint32} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n uint32) {
		if n == 0 { // the reference sealer takes that for the truth
			return
		}
		mine := []refSection{sections[0]}
		mine[0].size = n
		row, _ := refSeal(t, b, id, mine)
		var l layout
		if err := l.parse(row); err != nil {
			t.Fatal(err)
		}
		var o section
		if new(scratch).openSection(&o, row, l.header, &l.spans[0], &b, mine[0].Key, nil) != (n == size) {
			t.Fatal(n)
		}
		if !o.opened && (o.tag != nil || o.fields != nil) {
			t.Fatal("a result beside a refusal")
		}
	})
}

// FuzzText, FuzzJSON and FuzzScan: one spelling of each row.
func FuzzText(f *testing.F) {
	text, _ := anyRow(f).MarshalText()
	f.Add(text)
	f.Add([]byte("EQ"))
	f.Add([]byte("EQ\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Sealed
		if err := s.UnmarshalText(b); err != nil {
			if s != nil {
				t.Fatal("a result beside an error")
			}
			noInput(t, err, b)
			return
		}
		if out, err := s.MarshalText(); err != nil || !bytes.Equal(out, b) {
			t.Fatalf("%q is written as %q", b, out)
		}
	})
}

func FuzzJSON(f *testing.F) {
	b, _ := json.Marshal(anyRow(f))
	f.Add(b)
	f.Add([]byte("null"))
	f.Add([]byte(`"EQ\u0041"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Sealed
		if err := s.UnmarshalJSON(b); err != nil {
			noInput(t, err, b)
			return
		}
		if out, err := s.MarshalJSON(); err != nil || !bytes.Equal(out, b) {
			t.Fatalf("%q is written as %q", b, out)
		}
	})
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(anyRow(f)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Sealed
		if err := s.Scan(b); err != nil {
			noInput(t, err, b)
			return
		}
		if v, err := s.Value(); err != nil || !bytes.Equal(v.([]byte), b) {
			t.Fatalf("%x", b)
		}
	})
}
