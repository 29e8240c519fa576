package envelope

import (
	"bytes"
	"database/sql"
	"math/rand/v2"
	"reflect"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/value"
)

// TestAttackRandom gives every parser a million inputs: random ones, and valid
// ones with a few bytes changed, cut or doubled. None may make it panic, or
// allocate what the input only claims to hold.
func TestAttackRandom(t *testing.T) {
	row := anyRow(t)
	text, err := row.MarshalText()
	require.NoError(t, err)
	b, id, sections, _ := vectorInput(t)
	_, steps := refSeal(t, b, id, sections)
	columns := []column{{name: "a"}, {name: "b"}}
	for i := range columns {
		columns[i].setEntry(appendEntry(nil, []byte(columns[i].name), 5))
	}
	coder := func(v any) (*value.Coder, []byte, reflect.Type) {
		c, err := value.New(reflect.TypeOf(v))
		require.NoError(t, err)
		p := reflect.New(reflect.TypeOf(v))
		p.Elem().Set(reflect.ValueOf(v))
		out, err := c.Write(nil, p.Elem())
		require.NoError(t, err)
		return c, out, p.Type().Elem()
	}
	parsers := map[string]struct {
		valid []byte
		parse func([]byte)
	}{
		"row":      {row, func(b []byte) { _, _ = Inspect(b) }},
		"text":     {text, func(b []byte) { _ = new(Sealed).UnmarshalText(b) }},
		"json":     {append(append([]byte{'"'}, text...), '"'), func(b []byte) { _ = new(Sealed).UnmarshalJSON(b) }},
		"scan":     {row, func(b []byte) { _ = new(Sealed).Scan(b) }},
		"manifest": {steps[0].Manifest, func(b []byte) { _, _, _, _ = parseManifest(b, nil, columns) }},
		"skip":     {steps[0].Manifest, func(b []byte) { _, _ = cbor.Skip(b, 0) }},
	}
	type parser = struct {
		valid []byte
		parse func([]byte)
	}
	reference, err := testObject().MarshalBinary()
	require.NoError(t, err)
	referenceText, err := testObject().MarshalText()
	require.NoError(t, err)
	m, i := anyMessage(t), anyItem(t)
	parsers["object's reference"] = parser{reference, func(b []byte) { _ = new(Object).UnmarshalBinary(b) }}
	parsers["object's reference as text"] = parser{referenceText, func(b []byte) { _ = new(Object).UnmarshalText(b) }}
	parsers["message"] = parser{m, func(b []byte) { _ = checkMessage(b) }}
	parsers["message as text"] = parser{must(m.MarshalText()), func(b []byte) { _ = new(Message).UnmarshalText(b) }}
	parsers["message as JSON"] = parser{must(m.MarshalJSON()), func(b []byte) { _ = new(Message).UnmarshalJSON(b) }}
	parsers["item"] = parser{i, func(b []byte) { _ = checkItem(b) }}
	parsers["item as text"] = parser{must(i.MarshalText()), func(b []byte) { _ = new(Item).UnmarshalText(b) }}
	parsers["item as JSON"] = parser{must(i.MarshalJSON()), func(b []byte) { _ = new(Item).UnmarshalJSON(b) }}
	parsers["content"] = parser{appendContent(nil, "p1", []byte("payload")), func(b []byte) { _, _, _ = parseContent(b) }}
	parsers["credential"] = parser{credentialText(t, anyCredential(t)), func(b []byte) { _, _ = parseCredential(b) }}
	for name, v := range map[string]any{
		"object": opaque{
			Name: "a", When: time.Unix(1, 2), Tags: []string{"x"}, Null: sql.NullString{String: "y", Valid: true},
			Deep: map[string][]*box{"a": {nil, {1, 2.5}}},
		},
		"list": [][]int{{1, -300}, nil, {70000}}, "map": map[uint16]*string{1: nil, 2: ptr("")}, "arrays": [2][3]byte{},
	} {
		c, out, typ := coder(v)
		parsers[name] = struct {
			valid []byte
			parse func([]byte)
		}{out, func(b []byte) { _, _ = c.Read(b, reflect.New(typ).Elem()) }}
	}
	n := 1_000_000
	if testing.Short() || raceEnabled { // the detector finds nothing in one goroutine, and takes minutes
		n = 20_000
	}
	for name, p := range parsers {
		t.Run(name, func(t *testing.T) {
			random(t, n, p.valid, p.parse)
		})
	}
}

func anyMessage(t testing.TB) Message {
	return message(t, newTopic(t, "lab", newRing(t, "r", "topic/lab")), "p1", "x")
}

func anyItem(t testing.TB) Item {
	return sealItem(t, enrol(t, newInbox(t, "branches", newRing(t, "r", "inbox/branches")), "s"), "p1", "x")
}

// random is deterministic but for what runs beside it.
func random(t *testing.T, n int, valid []byte, parse func([]byte)) {
	const inputs, most = 512, 4 << 20 // bytes that so many inputs may make all parsers allocate
	in := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	before := uint64(0)
	r := rand.New(rand.NewPCG(1, uint64(len(valid))))
	buffer := make([]byte, 0, 2*len(valid)+64)
	for i := range n {
		if i%inputs == 0 {
			metrics.Read(in)
			now := in[0].Value.Uint64()
			if i > 0 && now-before > most {
				t.Fatalf("%d bytes allocated", now-before)
			}
			before = now
		}
		parse(mutate(r, buffer[:0], valid))
	}
}

// mutate appends an input to dst.
func mutate(r *rand.Rand, dst, valid []byte) []byte {
	if r.IntN(4) == 0 {
		for range r.IntN(64) {
			dst = append(dst, byte(r.Uint32()))
		}
		return dst
	}
	dst = append(dst, valid...)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(dst) + 1)
		switch r.IntN(6) {
		case 0:
			dst = dst[:at]
		case 1:
			dst = append(dst, dst[at:min(len(dst), at+8)]...)
		case 2: // a length that lies
			if at < len(dst) {
				tail := bytes.Clone(dst[at+1:])
				dst = append(cbor.AppendHead(dst[:at], dst[at]>>5, r.Uint64()>>r.IntN(64)), tail...)
			}
		default:
			if at < len(dst) {
				dst[at] = byte(r.Uint32())
			}
		}
		if len(dst) == 0 {
			return dst
		}
	}
	return dst
}

// TestAttackFresh: all bytes that must be fresh by each sealing are, and of one
// subject and text no two sealings share anything else.
func TestAttackFresh(t *testing.T) {
	a, o := newAttack(t), newObjects(t)
	topic := newTopic(t, "lab", newRing(t, "r", "topic/lab"))
	intake := enrol(t, newInbox(t, "branches", newRing(t, "r", "inbox/branches")), "s")
	const enc = itemFixed + 1
	for name, c := range map[string]struct {
		from, to int
		seal     func() []byte
	}{
		"seal id":       {1, 1 + idSize, func() []byte { return seal(t, a.codec, newVisit("p1", "v1", '1')) }},
		"message":       {5, messageHeader, func() []byte { return message(t, topic, "p1", "x") }},
		"encapsulation": {enc, enc + inboxEnc, func() []byte { return sealItem(t, intake, "p1", "x") }},
		"item's salt":   {enc + inboxEnc + itemMAC, enc + inboxEnc + itemMAC + 24, func() []byte { return sealItem(t, intake, "p1", "x") }},
		"object's salt": {0, 24, func() []byte { b, _ := sealObject(t, o, "p1", nil); return b }},
		"object's id": {10, 16, func() []byte {
			_, object := sealObject(t, o, "p1", nil)
			return object.id[:]
		}},
	} {
		first := c.seal()
		varies := make([]bool, c.to-c.from)
		for range 8 {
			for i, b := range c.seal()[c.from:c.to] {
				varies[i] = varies[i] || b != first[c.from+i]
			}
		}
		for i, v := range varies { // a byte is the same nine times with a chance of 2⁻⁶⁴
			require.True(t, v, "%s: byte %d does not change", name, i)
		}
	}
}
