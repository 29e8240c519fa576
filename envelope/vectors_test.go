package envelope

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/secret"
)

// rejection is a vector that must not open. testdata/vectors/README.md says
// what its parts are.
type rejection struct {
	Comment string        `json:"comment"`
	Expect  string        `json:"expect"`
	Context vectorContext `json:"context"`
	Keys    []vectorKey   `json:"keys"`
	Row     string        `json:"row"`
}

type vectorKey struct {
	Compartment string `json:"compartment"`
	Generation  uint32 `json:"generation"`
	RecordKey   string `json:"record_key"`
}

// rejections returns them by file name.
func rejections(t testing.TB) map[string]rejection {
	b, id, sections, keys := vectorInput(t)
	good, steps := refSeal(t, b, id, sections)
	out := map[string]rejection{}
	add := func(name, expect string, b binding, row []byte) {
		v := rejection{Comment: name, Expect: expect, Row: hex.EncodeToString(row)}
		v.Context = vectorContext{recordLabel, b.ring, b.subject, b.recordType, b.record}
		for i, s := range sections {
			v.Keys = append(v.Keys, vectorKey{s.Compartment, s.Generation, hex.EncodeToString(keys[i])})
		}
		out[vectorFile("row_reject", name)] = v
	}
	for name, change := range malformedRows(len(steps[0].AAD) - len(contextOf(b, "clinical"))) {
		expect := "structure"
		if name == "another version" {
			expect = "version"
		}
		add(name, expect, b, change(bytes.Clone(good)))
	}
	for name, change := range map[string]func(b *binding){
		"another ring":        func(b *binding) { b.ring += "x" },
		"another subject":     func(b *binding) { b.subject += "x" },
		"another record type": func(b *binding) { b.recordType += "x" },
		"another record":      func(b *binding) { b.record += "x" },
		"parts run together":  func(b *binding) { b.subject, b.recordType = b.subject+"v", b.recordType[1:] },
	} {
		other := b
		change(&other)
		add(name, "lead", other, good)
	}
	header := 14 + 9 + 8 + 9 + 8
	flip := func(at int) []byte { row := bytes.Clone(good); row[at] ^= 1; return row }
	first := header + steps[0].Length
	add("seal id changed", "lead", b, flip(1))
	add("lead changed", "lead", b, flip(header))
	add("manifest changed", "manifest", b, flip(header+leadSize))
	add("field changed", "field", b, flip(first-1))
	add("sections of two sealings", "lead", b, slices.Concat(good[:first], otherSealing(t, b, sections)[first:]))
	other := slices.Clone(sections)
	other[1].Generation++
	row, _ := refSeal(t, b, id, other)
	add("key of another generation", "key", b, row)
	for name, change := range crafted() {
		if name == "length off the rule" || name == "no padding" {
			continue // its structure shows it
		}
		mine := slices.Clone(sections)
		mine[0].Fields = slices.Clone(mine[0].Fields)
		change(&mine[0])
		row, _ := refSeal(t, b, id, mine)
		add("manifest "+name, "manifest", b, row)
	}
	for name, field := range map[string]refField{
		"long head":     {"V", 6, []byte{0x58, 1, 1}},
		"bytes behind":  {"V", 6, []byte{0x41, 1, 0}},
		"bytes missing": {"V", 6, []byte{0x42, 1}},
		"indefinite":    {"V", 6, []byte{0x5f, 0x41, 1, 0xff}},
		"not UTF-8":     {"V", 5, []byte{0x61, 0xff}},
		"long integer":  {"V", 2, []byte{0x18, 1}},
		"long float":    {"V", 4, []byte{0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0}},
		"another NaN":   {"V", 4, []byte{0xf9, 0x7e, 0x01}},
		"keys descend":  {"V", 10, []byte{0xa2, 0x61, 'b', 1, 0x61, 'a', 1}},
		"key twice":     {"V", 10, []byte{0xa2, 0x61, 'a', 1, 0x61, 'a', 1}},
		"CBOR tag":      {"V", 7, []byte{0xc1, 0x01}},
		"undefined":     {"V", 9, []byte{0x81, 0xf7}},
		"key of bytes":  {"V", 10, []byte{0xa1, 0x41, 'a', 1}},
		"inside 33":     {"V", 9, append(bytes.Repeat([]byte{0x81}, 33), 1)},
	} {
		mine := slices.Clone(sections)
		mine[0].Fields = []refField{field}
		row, _ := refSeal(t, b, id, mine)
		add("value "+name, "value", b, row)
	}
	return out
}

func contextOf(b binding, compartment string) []byte { return b.appendTo(nil, compartment) }

func otherSealing(t testing.TB, b binding, sections []refSection) []byte {
	row, _ := refSeal(t, b, [12]byte{7}, sections)
	return row
}

// malformedRows change a good row, with a header of that length, of the
// compartments "clinical" and "identity", so that its structure alone shows it.
func malformedRows(header int) map[string]func([]byte) []byte {
	u32 := binary.BigEndian.PutUint32
	length := 14 + 9 + 4 // of the first section's length
	return map[string]func([]byte) []byte{
		"empty":                   func([]byte) []byte { return nil },
		"another kind":            func(b []byte) []byte { b[0] = 0x21; return b },
		"kind zero":               func(b []byte) []byte { b[0] = 0x01; return b },
		"another version":         func(b []byte) []byte { b[0] = 0x12; return b },
		"no sections":             func(b []byte) []byte { b[13] = 0; return b[:14] },
		"seventeen sections":      func(b []byte) []byte { b[13] = 17; return b },
		"header cut off":          func(b []byte) []byte { return b[:header-1] },
		"header alone":            func(b []byte) []byte { return b[:header] },
		"row cut off":             func(b []byte) []byte { return b[:len(b)-1] },
		"a byte more":             func(b []byte) []byte { return append(b, 0) },
		"a bucket more":           func(b []byte) []byte { return append(b, make([]byte, 64)...) },
		"compartment empty":       func(b []byte) []byte { return slices.Concat(b[:14], []byte{0}, b[23:]) },
		"compartment capital":     func(b []byte) []byte { b[15] = 'C'; return b },
		"compartment digit first": func(b []byte) []byte { b[15] = '1'; return b },
		"compartment of 33 bytes": func(b []byte) []byte {
			return slices.Concat(b[:14], []byte{33}, bytes.Repeat([]byte{'c'}, 33), b[23:])
		},
		"compartments descend":    func(b []byte) []byte { b[15], b[32] = 'x', 'b'; return b },
		"compartment twice":       func(b []byte) []byte { copy(b[32:40], b[15:23]); return b },
		"section of 0 bytes":      func(b []byte) []byte { u32(b[length:], 0); return b },
		"section of 32 bytes":     func(b []byte) []byte { u32(b[length:], 32); return b },
		"section off the padding": func(b []byte) []byte { u32(b[length:], 193); return b },
		"section over the limit":  func(b []byte) []byte { u32(b[length:], 1<<27); return b },
		"section of all ones":     func(b []byte) []byte { u32(b[length:], 1<<32-1); return b },
		"lengths moved":           func(b []byte) []byte { u32(b[length:], 256); return b },
	}
}

// TestVectorRejections: each row is refused where its file says.
func TestVectorRejections(t *testing.T) {
	all := rejections(t)
	t.Logf("%d vectors are refused", len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		var v rejection
		readVector(t, name, &v)
		require.Equal(t, v.Expect, refusal(t, v), name)
	}
}

const vectorFolder = "testdata/vectors/"

// vectorFile is the name of a scenario's file.
func vectorFile(kind, scenario string) string {
	return kind + "_" + strings.NewReplacer(": ", "_", " ", "_").Replace(scenario) + ".json"
}

// checkFiles compares the files of a kind, one for each scenario that opens or
// does not, with what makes them; with -update it writes them.
func checkFiles[A, B any](t testing.TB, kind string, opens map[string]A, refused map[string]B) {
	require.NotEmpty(t, opens)
	want := map[string]any{}
	for name, v := range opens {
		want[name] = v
	}
	for name, v := range refused {
		require.NotContains(t, want, name)
		want[name] = v
	}
	onDisk, err := filepath.Glob(vectorFolder + kind + "_*.json")
	require.NoError(t, err)
	if *update {
		for _, path := range onDisk {
			require.NoError(t, os.Remove(path))
		}
		for name, v := range want {
			require.NoError(t, os.WriteFile(vectorFolder+name, marshalVector(t, v), 0o644))
		}
		onDisk, _ = filepath.Glob(vectorFolder + kind + "_*.json")
	}
	require.Len(t, onDisk, len(want))
	for name, v := range want {
		file, err := os.ReadFile(vectorFolder + name)
		require.NoError(t, err)
		require.Equal(t, string(marshalVector(t, v)), string(file), name)
	}
}

func readVector(t testing.TB, name string, v any) {
	file, err := os.ReadFile(vectorFolder + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(file, v))
}

func marshalVector(t testing.TB, v any) []byte {
	b, err := json.MarshalIndent(v, "", "\t")
	require.NoError(t, err)
	return append(b, '\n')
}

// refusal opens all of a vector and returns where that fails.
func refusal(t testing.TB, v rejection) string {
	row := mustHex(t, v.Row)
	b := binding{ring: v.Context.Ring, subject: v.Context.Subject, recordType: v.Context.RecordType, record: v.Context.Record}
	var l layout
	switch _, err := Inspect(row); {
	case err != nil && strings.Contains(err.Error(), ErrVersion.Error()):
		return "version"
	case err != nil:
		require.ErrorIs(t, err, ErrFormat)
		return "structure"
	}
	require.NoError(t, l.parse(row))
	for i := range l.n {
		span := &l.spans[i]
		at := slices.IndexFunc(v.Keys, func(k vectorKey) bool {
			return k.Compartment == string(span.name(row)) && k.Generation == span.generation
		})
		if at < 0 {
			return "key"
		}
		key, err := secret.NewKey(mustHex(t, v.Keys[at].RecordKey))
		require.NoError(t, err)
		aead, err := secret.NewAEAD(key)
		require.NoError(t, err)
		var o section
		if !new(scratch).openSection(&o, row, l.header, span, &b, aead, nil) {
			n := refNonce([12]byte(sealID(row)), 0)
			ad := append(contextOf(b, v.Keys[at].Compartment), row[:l.header]...)
			if _, err := secret.Cipher(aead).Open(nil, n, row[span.start:span.start+leadSize], ad); err != nil {
				return "lead"
			}
			return "manifest"
		}
		var n nonce
		n.set(sealID(row))
		for j := range o.entries {
			value, err := o.open(nil, secret.Cipher(aead), &n, j)
			if err != nil {
				return "field"
			}
			if rest, err := cbor.Skip(value, 0); err != nil || len(rest) > 0 {
				return "value"
			}
		}
	}
	return "opens"
}
