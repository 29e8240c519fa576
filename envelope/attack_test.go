package envelope

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// visit is the record of the attacks: three compartments, and fields of one
// length, so that a moved one fits.
type visit struct {
	Patient string `phi:"subject"`
	ID      string `phi:"record"`
	A, B, C []byte
	Name    []byte `phi:"name"`
	Phone   []byte `phi:"phone"`
	HIV     []byte `phi:"sensitive,label=HIV"`
}

func newVisit(patient, id string, c byte) *visit {
	v := &visit{Patient: patient, ID: id}
	for i, f := range []*[]byte{&v.A, &v.B, &v.C, &v.Name, &v.Phone, &v.HIV} {
		*f = bytes.Repeat([]byte{c, byte('a' + i)}, 4)
	}
	return v
}

// attack is a field of play: what an attacker may hold, all of it valid.
type attack struct {
	ring  *keyring.Ring
	codec *Codec[visit]
	row   Sealed // the record that is attacked
	older Sealed // the same record, an earlier sealing
	other Sealed // another record of the same patient
	far   Sealed // another patient's record of the same id
}

func newAttack(t testing.TB) *attack {
	a := &attack{ring: newRing(t, "clinic", "clinical", "identity", "sensitive")}
	a.codec = newCodec[visit](t, "visit", a.ring)
	a.older = seal(t, a.codec, newVisit("p1", "v1", '0'))
	a.row = seal(t, a.codec, newVisit("p1", "v1", '1'))
	a.other = seal(t, a.codec, newVisit("p1", "v2", '2'))
	a.far = seal(t, a.codec, newVisit("p2", "v1", '3'))
	return a
}

// refused checks that a row does not open in any way that could touch what was
// attacked, and that nothing of it comes out.
func (a *attack) refused(t *testing.T, name string, row Sealed, fields ...string) {
	t.Helper()
	ctx := context.Background()
	for _, fields := range [][]string{nil, fields} {
		dst := visit{Patient: "p1", ID: "v1", A: []byte("kept")}
		want := dst
		err := a.codec.Open(ctx, &dst, row, fields...)
		require.ErrorIs(t, err, ErrOpen, "%s %v", name, fields)
		require.Equal(t, want, dst, "%s: something was set", name)
	}
	r, err := a.codec.Begin(ctx, &visit{Patient: "p1", ID: "v1"}, row)
	if err == nil { // manifests are whole; the values are not
		dst := visit{Patient: "p1", ID: "v1"}
		require.ErrorIs(t, a.codec.OpenFields(r, &dst, "A", "B", "C", "Name", "Phone", "HIV"), ErrOpen, name)
		require.Equal(t, visit{Patient: "p1", ID: "v1"}, dst)
		_, err = a.codec.Reseal(ctx, r, &dst, nil, nil)
	}
	require.ErrorIs(t, err, ErrOpen, name)
}

// where returns the bounds of lead, manifest and fields of a section in a row.
func where(t testing.TB, a *attack, row Sealed, compartment string) (bounds []int) {
	var l layout
	require.NoError(t, l.parse(row))
	i := l.find(row, compartment)
	r, err := a.codec.Begin(context.Background(), of(a, row), row)
	require.NoError(t, err)
	o := &r.read().sections[i]
	at := l.spans[i].start
	bounds = append(bounds, at, at+leadSize, at+leadSize+len(o.manifest)+overhead)
	for _, e := range o.entries {
		bounds = append(bounds, bounds[len(bounds)-1]+int(e.length)+overhead)
	}
	require.Equal(t, l.spans[i].end, bounds[len(bounds)-1])
	return bounds
}

// of returns whose record a row of the attack is.
func of(a *attack, row Sealed) *visit {
	switch {
	case bytes.Equal(row, a.other):
		return &visit{Patient: "p1", ID: "v2"}
	case bytes.Equal(row, a.far):
		return &visit{Patient: "p2", ID: "v1"}
	}
	return &visit{Patient: "p1", ID: "v1"}
}

// graft copies piece k of a section (0 the lead, 1 the manifest, then fields)
// from one row over that of another.
func graft(t testing.TB, a *attack, to Sealed, toIn string, toK int, from Sealed, fromIn string, fromK int) Sealed {
	x, y := where(t, a, to, toIn), where(t, a, from, fromIn)
	piece := from[y[fromK]:y[fromK+1]]
	require.Len(t, piece, x[toK+1]-x[toK])
	out := bytes.Clone(to)
	copy(out[x[toK]:], piece)
	return out
}

func TestAttackMoveField(t *testing.T) {
	a := newAttack(t)
	require.NoError(t, a.codec.Open(context.Background(), &visit{Patient: "p1", ID: "v1"}, a.row))
	a.refused(t, "between fields", graft(t, a, a.row, "clinical", 2, a.row, "clinical", 3), "A")
	a.refused(t, "between fields of another compartment", graft(t, a, a.row, "identity", 2, a.row, "identity", 3), "Name")
	a.refused(t, "between compartments", graft(t, a, a.row, "clinical", 2, a.row, "identity", 2), "A")
	a.refused(t, "between records", graft(t, a, a.row, "clinical", 3, a.other, "clinical", 3), "B")
	a.refused(t, "between patients", graft(t, a, a.row, "clinical", 3, a.far, "clinical", 3), "B")
	a.refused(t, "an older version", graft(t, a, a.row, "clinical", 4, a.older, "clinical", 4), "C")

	swapped := graft(t, a, a.row, "clinical", 2, a.row, "clinical", 3)
	x := where(t, a, a.row, "clinical")
	copy(swapped[x[3]:], a.row[x[2]:x[3]])
	a.refused(t, "two fields swapped", swapped, "B")
}

func TestAttackMoveManifest(t *testing.T) {
	a := newAttack(t)
	for _, from := range []Sealed{a.older, a.other, a.far} {
		a.refused(t, "lead", graft(t, a, a.row, "clinical", 0, from, "clinical", 0), "A")
		a.refused(t, "manifest", graft(t, a, a.row, "clinical", 1, from, "clinical", 1), "A")
	}
	a.refused(t, "lead of another compartment", graft(t, a, a.row, "clinical", 0, a.row, "identity", 0), "A")
}

// TestAttackMoveSection takes whole sections, with their part of the header
// and without.
func TestAttackMoveSection(t *testing.T) {
	a := newAttack(t)
	for _, from := range []Sealed{a.older, a.other, a.far} {
		for _, c := range []struct{ compartment, field string }{{"clinical", "A"}, {"identity", "Name"}, {"sensitive", "HIV"}} {
			x, y := where(t, a, a.row, c.compartment), where(t, a, from, c.compartment)
			out := bytes.Clone(a.row)
			copy(out[x[0]:x[len(x)-1]], from[y[0]:y[len(y)-1]])
			a.refused(t, c.compartment, out, c.field)

			copy(out[1:13], from[1:13]) // the seal id of the mixed-in section
			fields := []string{c.field}
			if &from[0] == &a.older[0] {
				// Header and section are now those of the older row, so this is a
				// replay of it with its other sections destroyed: what can be
				// replayed whole can be replayed in part, but never mixed.
				fields = nil
			}
			a.refused(t, c.compartment+" with seal id", out, fields...)
		}
	}
}

// TestAttackDrop drops fields, sections and their traces in the header.
func TestAttackDrop(t *testing.T) {
	a := newAttack(t)
	var l layout
	require.NoError(t, l.parse(a.row))
	for i, c := range []struct{ compartment, field string }{{"clinical", "A"}, {"identity", "Name"}, {"sensitive", "HIV"}} {
		span := l.spans[i]
		cut := slices.Delete(bytes.Clone(a.row), span.start, span.end)
		require.ErrorIs(t, a.codec.Open(context.Background(), of(a, a.row), cut), ErrFormat)

		head := slices.Delete(cut, span.at-1, span.at+span.size+8) // and from the header
		head[13]--
		require.NoError(t, checkRow(head), "the row is well formed")
		a.refused(t, "section "+c.compartment, head, c.field)

		renamed := bytes.Clone(a.row) // a compartment that the type does not have
		renamed[span.at+span.size-1]++
		a.refused(t, "renamed "+c.compartment, renamed, c.field)
	}
	x := where(t, a, a.row, "clinical")
	field := slices.Delete(bytes.Clone(a.row), x[4], x[5])
	require.ErrorIs(t, a.codec.Open(context.Background(), of(a, a.row), field), ErrFormat)
	zero := bytes.Clone(a.row)
	clear(zero[x[4]:x[5]])
	a.refused(t, "a field zeroed", zero, "C")

	reordered := slices.Concat(a.row[:l.header], a.row[l.spans[1].start:l.spans[1].end], a.row[l.spans[0].start:l.spans[0].end], a.row[l.spans[2].start:])
	a.refused(t, "sections in another order", reordered, "A")
}

// TestAttackHeader sets every byte of the header to every other value.
func TestAttackHeader(t *testing.T) {
	a := newAttack(t)
	var l layout
	require.NoError(t, l.parse(a.row))
	ctx := context.Background()
	for i := range l.header {
		for x := 1; x < 256; x++ {
			row := bytes.Clone(a.row)
			row[i] ^= byte(x)
			for _, fields := range [][]string{nil, {"A"}, {"HIV"}} {
				dst := visit{Patient: "p1", ID: "v1"}
				if err := a.codec.Open(ctx, &dst, row, fields...); !isOpen(err) {
					t.Fatalf("byte %d ^ %#x: %v", i, x, err)
				}
			}
		}
	}
}

func isOpen(err error) bool { return errors.Is(err, ErrOpen) }

// TestAttackGeneration: a generation that the subject has not is a typed error
// and still the flat one.
func TestAttackGeneration(t *testing.T) {
	a := newAttack(t)
	var l layout
	require.NoError(t, l.parse(a.row))
	row := bytes.Clone(a.row)
	binary.BigEndian.PutUint32(row[l.spans[0].at+l.spans[0].size:], 7)
	err := a.codec.Open(context.Background(), of(a, a.row), row, "A")
	require.ErrorIs(t, err, keyring.ErrUnknownGeneration)
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorContains(t, err, "clinical")
}

// TestAttackBitFlip flips every bit of the row.
func TestAttackBitFlip(t *testing.T) {
	a := newAttack(t)
	ctx := context.Background()
	for i := range a.row {
		for bit := range 8 {
			row := bytes.Clone(a.row)
			row[i] ^= 1 << bit
			dst := visit{Patient: "p1", ID: "v1"}
			if err := a.codec.Open(ctx, &dst, row); !isOpen(err) {
				t.Fatalf("byte %d bit %d: %v", i, bit, err)
			}
			if dst.A != nil || dst.HIV != nil {
				t.Fatalf("byte %d bit %d: something was set", i, bit)
			}
		}
	}
}

// TestAttackLength truncates the row to every length and makes it longer.
func TestAttackLength(t *testing.T) {
	a := newAttack(t)
	ctx := context.Background()
	for n := range a.row {
		err := a.codec.Open(ctx, of(a, a.row), a.row[:n])
		require.ErrorIs(t, err, ErrFormat, "%d bytes", n)
		require.ErrorIs(t, err, ErrOpen)
	}
	for _, more := range [][]byte{{0}, make([]byte, 16), make([]byte, 64), a.row} {
		require.ErrorIs(t, a.codec.Open(ctx, of(a, a.row), slices.Concat(a.row, more)), ErrFormat)
	}
}

// TestAttackContext asks for a valid row as something else.
func TestAttackContext(t *testing.T) {
	a := newAttack(t)
	ctx := context.Background()
	require.ErrorIs(t, a.codec.Open(ctx, &visit{Patient: "p2", ID: "v1"}, a.row), ErrOpen, "subject")
	require.ErrorIs(t, a.codec.Open(ctx, &visit{Patient: "p1", ID: "v2"}, a.row), ErrOpen, "record")
	require.ErrorIs(t, a.codec.Open(ctx, &visit{Patient: "v1", ID: "p1"}, a.row), ErrOpen, "both")
	require.ErrorIs(t, newCodec[visit](t, "visits", a.ring).Open(ctx, of(a, a.row), a.row), ErrOpen, "type")

	err := a.codec.Open(ctx, &visit{Patient: "nobody", ID: "v1"}, a.row)
	require.ErrorIs(t, err, ErrOpen)
	require.ErrorIs(t, err, keyring.ErrNoSubjectKey)

	foreign := newRing(t, "other", "clinical", "identity", "sensitive")
	c := newCodec[visit](t, "visit", foreign)
	require.ErrorIs(t, c.Open(ctx, of(a, a.row), a.row), ErrOpen, "ring without the subject")
	seal(t, c, newVisit("p1", "v1", 'x'))
	require.ErrorIs(t, c.Open(ctx, of(a, a.row), a.row), ErrOpen, "ring")
}

// TestAttackRing: the ring's id is bound even where the keys are the same.
func TestAttackRing(t *testing.T) {
	b, id, sections, _ := vectorInput(t)
	row, _ := refSeal(t, b, id, sections)
	var l layout
	require.NoError(t, l.parse(row))
	opens := func(b binding) bool {
		var o section
		return new(scratch).openSection(&o, row, l.header, &l.spans[0], &b, sections[0].Key, nil)
	}
	require.True(t, opens(b))
	for _, change := range []func(*binding){
		func(b *binding) { b.ring += "x" },
		func(b *binding) { b.subject += "x" },
		func(b *binding) { b.recordType += "x" },
		func(b *binding) { b.record += "x" },
		func(b *binding) { b.subject, b.recordType = b.subject+"v", b.recordType[1:] }, // the same bytes in a row
	} {
		other := b
		change(&other)
		require.False(t, opens(other))
	}
}

// crafted are sections that no sealer writes, made from the first one of
// vectorInput: each is also a vector.
func crafted() map[string]func(s *refSection) {
	edit := func(f func(m []byte) []byte) func(s *refSection) {
		return func(s *refSection) { s.manifest = f }
	}
	return map[string]func(s *refSection){
		"padding is not zero":         edit(func(m []byte) []byte { m[len(m)-1] = 1; return m }),
		"padding is not zero at once": edit(func(m []byte) []byte { m[52] = 1; return m }),
		"a bucket too much":           edit(func(m []byte) []byte { return append(m, make([]byte, 64)...) }),
		"no padding":                  edit(func(m []byte) []byte { return bytes.TrimRight(m, "\x00") }),
		"long head of the array":      edit(func(m []byte) []byte { return append([]byte{0x98, 0x04}, m[1:len(m)-1]...) }),
		"long head of the tag":        edit(func(m []byte) []byte { return slices.Concat(m[:1], []byte{0x58, 9}, m[2:len(m)-1]) }),
		"long head of a name":         edit(func(m []byte) []byte { return slices.Concat(m[:12], []byte{0x78, 9}, m[13:len(m)-1]) }),
		"indefinite array":            edit(func(m []byte) []byte { m[0] = 0x9f; return m }),
		"a field too many":            edit(func(m []byte) []byte { m[0]++; return m }),
		"a field too few":             edit(func(m []byte) []byte { m[0]--; return m }),
		"no tag":                      edit(func(m []byte) []byte { m[0], m[1] = 0x80, 0; return m }),
		"empty manifest":              edit(func(m []byte) []byte { clear(m); return m }),
		"wrong length of a field":     edit(func(m []byte) []byte { m[23]++; return m }),
		"type zero":                   edit(func(m []byte) []byte { m[22] = 0; return m }),
		"control character in a name": edit(func(m []byte) []byte { m[13] = 1; return m }),
		"names descend":               func(s *refSection) { slices.Reverse(s.Fields) },
		"a field twice":               func(s *refSection) { s.Fields[1] = s.Fields[0] },
		"empty name":                  func(s *refSection) { s.Fields[0].Name = "" },
		"long name":                   func(s *refSection) { s.Fields[0].Name = string(bytes.Repeat([]byte{'a'}, 65)) },
		"type beyond 23":              func(s *refSection) { s.Fields[0].Type = 24 },
		"empty value":                 func(s *refSection) { s.Fields[1].Value = nil },
		"long tag":                    func(s *refSection) { s.Tag = make([]byte, maxTag+1) },
		"lead too large":              func(s *refSection) { s.size = 1 << 31 },
		"lead of all ones":            func(s *refSection) { s.size = 1<<32 - 1 },
		"lead too small":              func(s *refSection) { s.size = 30 },
		"lead takes the fields":       func(s *refSection) { s.size = 192 - 36 },
		"length off the rule":         func(s *refSection) { s.length = 193 },
	}
}

// TestAttackWithTheKey: whoever has the right key still cannot make a row that
// has two encodings, or hides bytes.
func TestAttackWithTheKey(t *testing.T) {
	b, id, sections, _ := vectorInput(t)
	try := func(change func(s *refSection)) error {
		mine := slices.Clone(sections)
		mine[0].Fields = slices.Clone(mine[0].Fields)
		change(&mine[0])
		row, _ := refSeal(t, b, id, mine)
		var l layout
		if err := l.parse(row); err != nil {
			return err
		}
		var o section
		if !new(scratch).openSection(&o, row, l.header, &l.spans[0], &b, mine[0].Key, nil) {
			return ErrOpen
		}
		return nil
	}
	require.NoError(t, try(func(*refSection) {}))
	for name, change := range crafted() {
		require.ErrorIs(t, try(change), ErrOpen, name)
	}
}

// TestAttackEncoding: a value that its key sealed and no codec would write is
// refused, whatever it decodes to.
func TestAttackEncoding(t *testing.T) {
	type one struct {
		ID string `phi:"subject"`
		V  []byte
		S  string
		N  int
	}
	ctx := context.Background()
	ring := newRing(t, "clinic", "clinical")
	c := newCodec[one](t, "one", ring)
	keys, err := ring.CreateSubject(ctx, "p1", "clinical")
	require.NoError(t, err)
	key, err := keys[0].Record(keys[0].Generation())
	require.NoError(t, err)
	for _, tc := range []struct {
		name  string
		field refField
		want  error
	}{
		{"good", refField{"V", 6, []byte{0x41, 1}}, nil},
		{"long head", refField{"V", 6, []byte{0x58, 1, 1}}, ErrOpen},
		{"bytes behind", refField{"V", 6, []byte{0x41, 1, 0}}, ErrOpen},
		{"bytes missing", refField{"V", 6, []byte{0x42, 1}}, ErrOpen},
		{"indefinite", refField{"V", 6, []byte{0x5f, 0x41, 1, 0xff}}, ErrOpen},
		{"null", refField{"V", 6, []byte{0xf6}}, ErrType},
		{"text for bytes", refField{"V", 6, []byte{0x61, 'a'}}, ErrType},
		{"another type code", refField{"V", 5, []byte{0x41, 1}}, ErrType},
		{"unknown type code", refField{"V", 23, []byte{0x41, 1}}, ErrType},
		{"not UTF-8", refField{"S", 5, []byte{0x61, 0xff}}, ErrOpen},
		{"bytes behind a text", refField{"S", 5, []byte{0x61, 'a', 0}}, ErrOpen},
		{"bytes behind an integer", refField{"N", 2, []byte{1, 0}}, ErrOpen},
		{"long integer", refField{"N", 2, []byte{0x18, 1}}, ErrOpen},
		{"too large for int", refField{"N", 2, []byte{0x1b, 0xff, 0, 0, 0, 0, 0, 0, 0}}, ErrType},
	} {
		b := binding{ring: "clinic", subject: "p1", recordType: "one", record: "p1"}
		row, _ := refSeal(t, b, [12]byte{1}, []refSection{{Compartment: "clinical", Generation: keys[0].Generation(), Key: key, Fields: []refField{tc.field}}})
		dst := one{ID: "p1", S: "kept"}
		err := c.Open(ctx, &dst, row)
		if tc.want == nil {
			require.NoError(t, err, tc.name)
			require.Equal(t, []byte{1}, dst.V)
			require.Empty(t, dst.S, "absent is set to zero")
			continue
		}
		require.ErrorIs(t, err, tc.want, tc.name)
		require.ErrorContains(t, err, tc.field.Name)
		require.Equal(t, one{ID: "p1", S: "kept"}, dst, tc.name)
	}
}

// TestAttackNonces: no nonce repeats within a row, and the seal id is fresh.
func TestAttackNonces(t *testing.T) {
	b, id, sections, _ := vectorInput(t)
	_, steps := refSeal(t, b, id, sections)
	var n nonce
	n.set(id[:])
	for _, s := range steps {
		seen := map[string]bool{}
		for i, want := range s.Nonces {
			got := n.at(uint32(i))
			require.Equal(t, want, got)
			require.False(t, seen[string(got)])
			seen[string(got)] = true
		}
	}
	a := newAttack(t)
	ids := map[[12]byte]bool{}
	for range 1000 {
		ids[[12]byte(sealID(seal(t, a.codec, newVisit("p1", "v1", '1'))))] = true
	}
	require.Len(t, ids, 1000)
}

// TestAttackCallersSlices: nothing is written to a caller's slice, nor behind
// it, nor kept.
func TestAttackCallersSlices(t *testing.T) {
	a := newAttack(t)
	ctx := context.Background()
	buffer := append(bytes.Clone(a.row), make([]byte, 64)...)
	row := Sealed(buffer[:len(a.row)]) // with room behind it
	dst := visit{Patient: "p1", ID: "v1"}
	require.NoError(t, a.codec.Open(ctx, &dst, row))
	r, err := a.codec.Begin(ctx, &dst, row)
	require.NoError(t, err)
	require.Equal(t, append(bytes.Clone(a.row), make([]byte, 64)...), buffer)

	clear(buffer) // the caller's to do
	got := visit{Patient: "p1", ID: "v1"}
	require.NoError(t, a.codec.OpenFields(r, &got, "A", "HIV"))
	require.Equal(t, dst.A, got.A)

	dst.A = append(dst.A, "longer"...) // values lie side by side in one allocation
	require.Equal(t, newVisit("p1", "v1", '1').B, dst.B)
	tag := make([]byte, 4, 64)
	_, err = a.codec.Seal(ctx, &dst, map[string][]byte{"clinical": tag})
	require.NoError(t, err)
	require.Equal(t, make([]byte, 64), tag[:64])

	tagged, err := a.codec.Seal(ctx, &dst, map[string][]byte{"clinical": []byte("tag")})
	require.NoError(t, err)
	r, err = a.codec.Begin(ctx, &dst, tagged)
	require.NoError(t, err)
	clear(r.Tag("clinical"))
	_ = append(r.Tag("clinical"), 1)
	require.Equal(t, "tag", string(r.Tag("clinical")))
}
