package envelope

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/cbortest"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/value"
)

var update = flag.Bool("update", false, "write the vector files")

// A vector with every intermediate value, in the order of docs/SPEC.md.
type vector struct {
	Comment string          `json:"comment"`
	Context vectorContext   `json:"context"`
	SealID  string          `json:"seal_id"`
	Header  string          `json:"header"`
	Parts   []vectorSection `json:"sections"`
	Row     string          `json:"row"`
}

type vectorContext struct {
	Label      string `json:"label"`
	Ring       string `json:"ring"`
	Subject    string `json:"subject"`
	RecordType string `json:"record_type"`
	Record     string `json:"record"`
}

type vectorSection struct {
	Compartment    string        `json:"compartment"`
	Generation     uint32        `json:"generation"`
	RecordKey      string        `json:"record_key"`
	Tag            string        `json:"tag"`
	Fields         []vectorField `json:"fields"`
	Unpadded       int           `json:"unpadded_length"`
	Length         int           `json:"length"`
	Manifest       string        `json:"manifest"`
	AAD            string        `json:"lead_aad"`
	LeadNonce      string        `json:"lead_nonce"`
	LeadPlain      string        `json:"lead_plaintext"`
	Lead           string        `json:"lead"`
	ManifestNonce  string        `json:"manifest_nonce"`
	ManifestSealed string        `json:"manifest_sealed"`
}

type vectorField struct {
	Name   string `json:"name"`
	Type   uint64 `json:"type"`
	Value  string `json:"value"`
	Nonce  string `json:"nonce"`
	Sealed string `json:"sealed"`
}

// vectorInput is the fixed input of the first vector: two compartments, one of
// them with a tag, a NULL that is not there, and the empty text that is.
func vectorInput(t testing.TB) (binding, [12]byte, []refSection, [][]byte) {
	keys := [][]byte{bytes.Repeat([]byte{0x11}, 32), bytes.Repeat([]byte{0x22}, 32)}
	sections := []refSection{
		{Compartment: "clinical", Generation: 1, Tag: []byte("label=HIV"), Fields: []refField{
			{"Diagnosis", uint64(value.List), mustHex(t, "826345313164492d3130")},
			{"Notes", uint64(value.Text), mustHex(t, "60")},
			{"Weight", uint64(value.Float), mustHex(t, "fb404f59999999999a")},
		}},
		{Compartment: "identity", Generation: 2, Fields: []refField{
			{"Born", uint64(value.Time), mustHex(t, "833a5e0be0ff00196420")},
			{"NIK", uint64(value.Text), append([]byte{0x70}, "9271060312000001"...)},
		}},
	}
	for i := range sections {
		key, err := secret.NewKey(keys[i])
		require.NoError(t, err)
		sections[i].Key, err = secret.NewAEAD(key)
		require.NoError(t, err)
	}
	b := binding{ring: "ring-1", subject: "patient-1", recordType: "visit", record: "visit-7"}
	id := [12]byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xff, 0xff, 0xff, 0xfe}
	return b, id, sections, keys
}

func mustHex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func makeVector(t testing.TB, b binding, id [12]byte, sections []refSection, keys [][]byte) vector {
	row, steps := refSeal(t, b, id, sections)
	h := hex.EncodeToString
	v := vector{
		Comment: "Row format v1. Bytes in hex. Keys are fixed for this file only. Type codes: docs/SPEC.md.",
		Context: vectorContext{recordLabel, b.ring, b.subject, b.recordType, b.record},
		SealID:  h(id[:]),
		Row:     h(row),
	}
	end := 14
	for i, s := range sections {
		x := steps[i]
		end += 1 + len(s.Compartment) + 8
		out := vectorSection{
			Compartment: s.Compartment, Generation: s.Generation, RecordKey: h(keys[i]), Tag: h(s.Tag),
			Unpadded: x.Unpadded, Length: x.Length, Manifest: h(x.Manifest),
			AAD: h(x.AAD), LeadNonce: h(x.Nonces[0]), LeadPlain: h(x.LeadPlain), Lead: h(x.Lead),
			ManifestNonce: h(x.Nonces[1]), ManifestSealed: h(x.ManifestSealed),
		}
		for j, f := range s.Fields {
			out.Fields = append(out.Fields, vectorField{f.Name, f.Type, h(f.Value), h(x.Nonces[j+2]), h(x.Fields[j])})
		}
		v.Parts = append(v.Parts, out)
	}
	v.Header = h(row[:end])
	return v
}

// successes returns the sections of the vectors that open, by file name.
func successes(t testing.TB) map[string][]refSection {
	_, _, two, _ := vectorInput(t)
	text := func(n int) []byte {
		return append(cbor.AppendHead(nil, cbor.Text, uint64(n)), bytes.Repeat([]byte{'a'}, n)...)
	}
	empty := slices.Clone(two)
	empty[0].Tag, empty[0].Fields, empty[1].Fields = nil, nil, nil
	large := slices.Clone(two[1:])
	large[0].Tag, large[0].Fields = bytes.Repeat([]byte{1}, 300), []refField{{"Long", 5, text(3000)}, {"Notes", 5, text(1500)}}
	types := slices.Clone(two[:1])
	types[0].Tag, types[0].Fields = nil, nil
	for i, value := range []string{
		"f5", "3903e7", "1bffffffffffffffff", "f93c00", "63c3a974", "4100", "831a6553f10001196270", "43010203",
		"83f60120", "a201616102f6", "a2634c6f7701644869676818ff", "a0", "60",
	} {
		code := uint64(i + 1)
		if i == 12 {
			code = 23 // as of a later version
		}
		types[0].Fields = append(types[0].Fields, refField{fmt.Sprintf("code %02d", code), code, mustHex(t, value)})
	}
	return map[string][]refSection{"row_v1.json": two, "row_empty_sections.json": empty, "row_large.json": large, "row_types.json": types}
}

// TestVectors: the reference, the files and the sealer agree on every byte, and
// the opener reads them.
func TestVectors(t *testing.T) {
	b, id, _, keys := vectorInput(t)
	all, vectors := successes(t), map[string]vector{}
	for name, sections := range all {
		own := keys
		if sections[0].Compartment == "identity" {
			own = keys[1:]
		}
		vectors[name] = makeVector(t, b, id, sections, own)
	}
	checkFiles(t, "row", vectors, rejections(t))
	for name, v := range vectors {
		checkVector(t, b, id, all[name], v)
	}
}

func checkVector(t *testing.T, b binding, id [12]byte, sections []refSection, v vector) {
	s := new(scratch)
	refParts(s, sections)
	row, err := s.seal(nil, &b, id)
	require.NoError(t, err)
	require.Equal(t, v.Row, hex.EncodeToString(row))

	_, dec := cbortest.Judge(t)
	var l layout
	require.NoError(t, l.parse(row))
	for i := range sections {
		var o section
		require.True(t, s.openSection(&o, row, l.header, &l.spans[i], &b, sections[i].Key, nil))
		require.Equal(t, string(sections[i].Tag), string(o.tag))
		var n nonce
		n.set(id[:])
		for j, f := range sections[i].Fields {
			value, err := o.open(nil, secret.Cipher(o.key), &n, j)
			require.NoError(t, err)
			require.Equal(t, f.Value, value)
			require.Equal(t, f.Name, string(o.entries[j].name(o.manifest)))
			require.Equal(t, f.Type, uint64(o.entries[j].code))
			require.NoError(t, dec.Wellformed(value), "%s is no CBOR", f.Name)
			rest, err := cbor.Skip(value, 0)
			require.NoError(t, err, f.Name)
			require.Empty(t, rest)
		}
	}
}

// TestPaddingRule compares the bit arithmetic with the search, and checks that
// a padded length is its own.
func TestPaddingRule(t *testing.T) {
	for n := 1; n < 70_000; n++ {
		p := padded(n)
		if p != refPad(n) || p < n || padded(p) != p {
			t.Fatalf("%d is padded to %d, not %d", n, p, refPad(n))
		}
		if n > 1024 && (p-n)*100 > 12*n {
			t.Fatalf("%d is padded to %d, more than 12%%", n, p)
		}
	}
	for n := maxRow / 2; n <= maxRow; n += 65_537 {
		require.Equal(t, padded(n), padded(padded(n)))
		require.LessOrEqual(t, padded(n), maxRow)
	}
}
