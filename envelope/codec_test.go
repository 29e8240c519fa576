package envelope

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
)

type person struct {
	ID       string  `phi:"subject"`
	NIK      string  `phi:"nik,lookup"`
	Name     *string `phi:"name"`
	Notes    string
	Serology string `phi:"sensitive,label=HIV"`
	Clinic   string `phi:"clear"`
}

var everywhere = []string{"clinical", "identity", "sensitive"}

func newPerson() *person {
	return &person{ID: "p1", NIK: "9271060312000001", Notes: "batuk", Serology: "negatif", Clinic: "Solo"}
}

func TestCodecRoundTrip(t *testing.T) {
	ctx := context.Background()
	c := newCodec[person](t, "patient", newRing(t, "r", everywhere...))
	src := newPerson()
	row := seal(t, c, src)
	for _, hidden := range []string{src.ID, src.NIK, src.Notes, src.Serology, src.Clinic, "HIV", "Serology", "patient"} {
		require.NotContains(t, string(row), hidden)
	}
	dst := person{ID: "p1", Clinic: "as it was"}
	require.NoError(t, c.Open(ctx, &dst, row))
	require.Equal(t, person{ID: "p1", NIK: src.NIK, Notes: src.Notes, Serology: src.Serology, Clinic: "as it was"}, dst)

	dst = person{ID: "p1", NIK: "as it was", Name: ptr("zeroed")}
	require.NoError(t, c.Open(ctx, &dst, row, "Notes", "Name", "Notes"))
	require.Equal(t, person{ID: "p1", NIK: "as it was", Notes: src.Notes}, dst)

	require.NotEqual(t, row, seal(t, c, src))
}

// TestCodecHides: within a bucket of 64 bytes neither a NULL nor a length nor
// a label changes how long a row is.
func TestCodecHides(t *testing.T) {
	c := newCodec[person](t, "patient", newRing(t, "r", everywhere...))
	want := len(seal(t, c, newPerson()))
	p := newPerson()
	p.Notes, p.Name = "batuk pilek sejak 3 hari, demam", ptr("Contoh")
	require.Len(t, seal(t, c, p), want)
	row, err := c.Seal(context.Background(), p, map[string][]byte{"sensitive": []byte("HIV")})
	require.NoError(t, err)
	require.Len(t, row, want)

	lengths := map[int]bool{}
	for n := range 1024 {
		p.Notes = strings.Repeat("x", n)
		lengths[len(seal(t, c, p))] = true
	}
	require.LessOrEqual(t, len(lengths), 1024/64+2)
}

// TestCodecBadInput: each a typed error, nothing sealed, nothing set.
func TestCodecBadInput(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	c := newCodec[person](t, "patient", ring)
	row := seal(t, c, newPerson())
	long := strings.Repeat("x", 256)

	_, err := NewCodec[person]("", ring)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = NewCodec[person]("patient", nil)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = NewCodec[person](long, ring)
	require.ErrorIs(t, err, ErrLimit)
	_, err = NewCodec[struct {
		ID string `phi:"subject"`
		A  string `phi:"nik,lokup"`
	}]("t", ring)
	var tag *phi.TagError
	require.ErrorAs(t, err, &tag)
	require.ErrorContains(t, err, `unknown option "lokup"`)

	for _, p := range []*person{nil, {NIK: "1"}, {ID: ""}} {
		_, err = c.Seal(ctx, p, nil)
		require.ErrorIs(t, err, ErrEmpty)
		require.ErrorIs(t, c.Open(ctx, p, row), ErrEmpty)
		_, err = c.Begin(ctx, p, row)
		require.ErrorIs(t, err, ErrEmpty)
		require.ErrorIs(t, c.OpenFields(nil, p, "NIK"), ErrEmpty)
		_, err = c.Reseal(ctx, nil, p, nil, nil)
		require.ErrorIs(t, err, ErrEmpty)
	}
	require.ErrorIs(t, c.OpenFields(&Reading{}, newPerson()), ErrEmpty)
	_, err = c.Seal(ctx, &person{ID: long}, nil)
	require.ErrorIs(t, err, ErrLimit)
	require.NotContains(t, err.Error(), "xxx")
	require.ErrorIs(t, c.Open(ctx, &person{ID: long}, row), ErrLimit)

	require.ErrorIs(t, c.Open(ctx, newPerson(), row, "Serologi"), ErrField)
	require.ErrorIs(t, c.Open(ctx, newPerson(), row, "Clinic"), ErrField, "clear")
	require.ErrorIs(t, c.Open(ctx, newPerson(), row, "ID"), ErrField, "a role")

	require.ErrorIs(t, c.Open(ctx, newPerson(), nil), ErrFormat)
	require.ErrorIs(t, c.Open(ctx, newPerson(), row[:20]), ErrFormat)
	other := bytes.Clone(row)
	other[0] = 0x21
	require.ErrorIs(t, c.Open(ctx, newPerson(), other), ErrFormat)
	for _, v := range []byte{0x10, 0x12, 0x1f} {
		other[0] = v
		err = c.Open(ctx, newPerson(), other)
		require.ErrorIs(t, err, ErrVersion)
		require.NotErrorIs(t, err, ErrFormat)
	}

	_, err = c.Seal(ctx, newPerson(), map[string][]byte{"clinic": nil})
	require.ErrorIs(t, err, ErrCompartment)
	_, err = c.Seal(ctx, newPerson(), map[string][]byte{"clinical": make([]byte, maxTag+1)})
	require.ErrorIs(t, err, ErrLimit)
}

// TestCodecRing: what keyring says passes through, typed.
func TestCodecRing(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	c := newCodec[person](t, "patient", ring)
	row := seal(t, c, newPerson())

	_, err := newCodec[person](t, "patient", newRing(t, "bare")).Seal(ctx, newPerson(), nil)
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
	err = newCodec[person](t, "patient", newRing(t, "bare", everywhere...)).Open(ctx, newPerson(), row)
	require.ErrorIs(t, err, keyring.ErrNoSubjectKey)

	_, err = ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	require.NoError(t, c.Open(ctx, newPerson(), row), "after rotation")
	p := newPerson()
	p.ID = "p2"
	require.NoError(t, c.Open(ctx, &person{ID: "p2"}, seal(t, c, p)))

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.NoError(t, c.Open(cancelled, newPerson(), row), "the keys are in memory: nothing is waited for")
	_, err = c.Seal(cancelled, &person{ID: "p3"}, nil)
	require.ErrorIs(t, err, context.Canceled)

	_, err = ring.Shred(ctx, "p1")
	require.NoError(t, err)
	require.ErrorIs(t, c.Open(ctx, newPerson(), row), keyring.ErrShredded)
	_, err = c.Seal(ctx, newPerson(), nil)
	require.ErrorIs(t, err, keyring.ErrShredded)

	require.NoError(t, ring.Close())
	require.ErrorIs(t, c.Open(ctx, newPerson(), row), keyring.ErrClosed)
	_, err = c.Seal(ctx, newPerson(), nil)
	require.ErrorIs(t, err, keyring.ErrClosed)
}

// TestCodecOnly: a service that is granted some compartments reads those, and
// cannot write.
func TestCodecOnly(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	src := newPerson()
	src.Name = ptr("Contoh")
	row := seal(t, newCodec[person](t, "patient", ring), src)
	c := newCodec[person](t, "patient", ring.Only("identity"))

	dst := person{ID: "p1"}
	require.NoError(t, c.Open(ctx, &dst, row, "NIK", "Name"))
	require.Equal(t, person{ID: "p1", NIK: src.NIK, Name: src.Name}, dst)

	dst = person{ID: "p1"}
	require.ErrorIs(t, c.Open(ctx, &dst, row), keyring.ErrNotGranted)
	require.ErrorIs(t, c.Open(ctx, &dst, row, "NIK", "Notes"), keyring.ErrNotGranted)
	require.Equal(t, person{ID: "p1"}, dst)
	_, err := c.Seal(ctx, src, nil)
	require.ErrorIs(t, err, keyring.ErrNotGranted)

	r, err := c.Begin(ctx, src, row, "identity")
	require.NoError(t, err)
	require.Equal(t, everywhere, r.Compartments())
	require.ErrorIs(t, c.OpenFields(r, &dst, "Notes"), ErrCompartment)
	_, err = c.Reseal(ctx, r, src, []string{"NIK"}, nil)
	require.ErrorIs(t, err, ErrCompartment)

	// A partial grant that the row has nothing of cannot tell absent from cut off.
	type lab struct {
		ID     string `phi:"subject"`
		Result string `phi:"clinical,in=lab"`
	}
	require.NoError(t, ring.CreateKeyset(ctx, "lab"))
	err = newCodec[lab](t, "patient", ring.Only("lab")).Open(ctx, &lab{ID: "p1"}, row)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
}

func TestCodecBegin(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	c := newCodec[person](t, "patient", ring)
	src := newPerson()
	tags := map[string][]byte{"clinical": []byte("T1"), "sensitive": []byte("HIV")}
	row, err := c.Seal(ctx, src, tags)
	require.NoError(t, err)

	r, err := c.Begin(ctx, &person{ID: "p1"}, row)
	require.NoError(t, err)
	require.Equal(t, everywhere, r.Compartments())
	require.Equal(t, []byte("T1"), r.Tag("clinical"))
	require.Equal(t, []byte("HIV"), r.Tag("sensitive"))
	require.Equal(t, []byte{}, r.Tag("identity"), "an empty tag of an open section")
	require.Nil(t, r.Tag("lab"))
	require.True(t, r.Has("NIK"))
	require.True(t, r.Has("Serology"))
	require.False(t, r.Has("Name"), "NULL")
	require.False(t, r.Has("Clinic"), "clear")
	require.False(t, r.Has(""))
	h, err := Inspect(row)
	require.NoError(t, err)
	require.Equal(t, h.SealID, r.SealID())

	dst := person{ID: "p1"}
	require.NoError(t, c.OpenFields(r, &dst))
	require.Equal(t, person{ID: "p1"}, dst, "none named, none opened")
	require.NoError(t, c.OpenFields(r, &dst, "Notes"))
	require.Equal(t, person{ID: "p1", Notes: src.Notes}, dst)
	require.ErrorIs(t, c.OpenFields(r, &dst, "nothing"), ErrField)
	require.ErrorIs(t, c.OpenFields(r, &person{ID: "p2"}, "Notes"), ErrOpen, "into another's record")
	require.ErrorIs(t, newCodec[person](t, "patient", ring).OpenFields(r, &dst, "Notes"), ErrOpen, "of another codec")

	one, err := c.Begin(ctx, &dst, row, "clinical", "lab")
	require.NoError(t, err)
	require.Nil(t, one.Tag("sensitive"))
	require.False(t, one.Has("Serology"))
	require.True(t, one.Has("Notes"))
	none, err := c.Begin(ctx, &dst, row, "lab")
	require.NoError(t, err, "the header is authenticated by a section of its own")
	require.Equal(t, everywhere, none.Compartments())

	var zero Reading
	require.Nil(t, zero.Compartments())
	require.Nil(t, zero.Tag("clinical"))
	require.False(t, zero.Has("NIK"))
	require.Equal(t, [12]byte{}, zero.SealID())

	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got := person{ID: "p1"}
			if err := c.OpenFields(r, &got, "NIK", "Notes"); err != nil || got.NIK != src.NIK || got.Notes != src.Notes {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
}

// Types of the same record, as it changes over the years.
type (
	personV2 struct { // a compartment and a field more, one field less
		ID       string  `phi:"subject"`
		NIK      string  `phi:"nik"`
		Name     *string `phi:"name"`
		Serology string  `phi:"sensitive"`
		Allergy  string  `phi:"clinical"`
		Lab      string  `phi:"clinical,in=lab"`
	}
	personMoved struct { // Serology in another compartment
		ID       string `phi:"subject"`
		Serology string `phi:"clinical"`
		Notes    string
	}
	personLess struct { // knows one field
		ID  string `phi:"subject"`
		NIK string `phi:"nik"`
	}
)

func TestCodecSchemaChanges(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", append(everywhere, "lab")...)
	v1 := newCodec[person](t, "patient", ring)
	row := seal(t, v1, newPerson())

	v2 := newCodec[personV2](t, "patient", ring)
	dst := personV2{ID: "p1", Allergy: "zeroed", Lab: "zeroed"}
	require.NoError(t, v2.Open(ctx, &dst, row))
	require.Equal(t, personV2{ID: "p1", NIK: newPerson().NIK, Serology: "negatif"}, dst)

	less := personLess{ID: "p1"}
	require.NoError(t, newCodec[personLess](t, "patient", ring).Open(ctx, &less, row))
	require.Equal(t, newPerson().NIK, less.NIK)

	moved := newCodec[personMoved](t, "patient", ring)
	for _, fields := range [][]string{nil, {"Serology"}} {
		m := personMoved{ID: "p1", Serology: "kept"}
		err := moved.Open(ctx, &m, row, fields...)
		require.ErrorIs(t, err, ErrCompartment)
		require.ErrorContains(t, err, "Serology")
		require.Equal(t, "kept", m.Serology)
	}
	require.NoError(t, moved.Open(ctx, &personMoved{ID: "p1"}, row, "Notes"))
	r, err := moved.Begin(ctx, &personMoved{ID: "p1"}, row)
	require.NoError(t, err)
	_, err = moved.Reseal(ctx, r, &personMoved{ID: "p1"}, []string{"Serology"}, nil)
	require.ErrorIs(t, err, ErrCompartment)
	row, err = moved.Reseal(ctx, r, &personMoved{ID: "p1", Notes: "baru"}, []string{"Notes"}, nil)
	require.NoError(t, err)
	p := person{ID: "p1"}
	require.NoError(t, v1.Open(ctx, &p, row))
	require.Equal(t, "negatif", p.Serology, "carried where it was")
	require.Equal(t, "baru", p.Notes)
}

// TestCodecReseal: the named fields change, everything else is carried.
func TestCodecReseal(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", append(everywhere, "lab")...)
	v1, v2 := newCodec[person](t, "patient", ring), newCodec[personV2](t, "patient", ring)
	src := newPerson()
	src.Name = ptr("Contoh")
	row, err := v1.Seal(ctx, src, map[string][]byte{"clinical": []byte("T1"), "identity": []byte("T2")})
	require.NoError(t, err)

	// An older type's record, updated by a newer one that does not know Notes.
	r, err := v2.Begin(ctx, &personV2{ID: "p1"}, row)
	require.NoError(t, err)
	change := personV2{ID: "p1", NIK: "not named", Serology: "positif", Allergy: "ikan", Lab: "x"}
	row2, err := v2.Reseal(ctx, r, &change, []string{"Serology", "Allergy", "Name"}, map[string][]byte{"identity": {}})
	require.NoError(t, err)
	h1, _ := Inspect(row)
	h2, err := Inspect(row2)
	require.NoError(t, err)
	require.NotEqual(t, h1.SealID, h2.SealID)
	require.Len(t, h2.Sections, 4, "the compartment that the type has gained")

	p := person{ID: "p1"}
	require.NoError(t, v1.Open(ctx, &p, row2))
	require.Equal(t, person{ID: "p1", NIK: src.NIK, Notes: src.Notes, Serology: "positif"}, p, "Name was set to NULL")
	q := personV2{ID: "p1"}
	require.NoError(t, v2.Open(ctx, &q, row2))
	require.Equal(t, personV2{ID: "p1", NIK: src.NIK, Serology: "positif", Allergy: "ikan"}, q)
	r2, err := v2.Begin(ctx, &q, row2)
	require.NoError(t, err)
	require.Equal(t, []byte("T1"), r2.Tag("clinical"), "carried")
	require.Equal(t, []byte{}, r2.Tag("identity"), "replaced by an empty one")
	require.True(t, r2.Has("Notes"))

	// The other way round: a type that knows less carries compartments whole.
	less := newCodec[personLess](t, "patient", ring)
	rl, err := less.Begin(ctx, &personLess{ID: "p1"}, row2)
	require.NoError(t, err)
	row3, err := less.Reseal(ctx, rl, &personLess{ID: "p1", NIK: "9104224606000005"}, []string{"NIK"}, nil)
	require.NoError(t, err)
	q.NIK = "9104224606000005"
	q2 := personV2{ID: "p1"}
	require.NoError(t, v2.Open(ctx, &q2, row3))
	require.Equal(t, q, q2)
	carriedBytes(t, ring, row2, row3)

	_, err = less.Reseal(ctx, rl, &personLess{ID: "p2"}, nil, nil)
	require.ErrorIs(t, err, ErrOpen)
	_, err = less.Reseal(ctx, rl, &personLess{ID: "p1"}, []string{"Notes"}, nil)
	require.ErrorIs(t, err, ErrField)
	_, err = less.Reseal(ctx, rl, &personLess{ID: "p1"}, nil, map[string][]byte{"nowhere": nil})
	require.ErrorIs(t, err, ErrCompartment)
	_, err = newCodec[personLess](t, "patient", ring.Only("identity")).Begin(ctx, &personLess{ID: "p1"}, row2)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
}

// carriedBytes checks that all but the NIK is the same in two rows, byte for byte.
func carriedBytes(t *testing.T, ring *keyring.Ring, a, b Sealed) {
	values := func(row Sealed) map[string]string {
		c := newCodec[personLess](t, "patient", ring)
		r, err := c.Begin(context.Background(), &personLess{ID: "p1"}, row)
		require.NoError(t, err)
		out := map[string]string{}
		s := new(scratch)
		x := r.read()
		for i := range x.sections {
			o := &x.sections[i]
			from := len(s.values)
			for j := range o.entries {
				require.NoError(t, x.carry(s, o, j))
				name := string(o.entries[j].name(o.manifest))
				out[name] = fmt.Sprint(o.entries[j].code, " ", s.values[from:])
				from = len(s.values)
			}
		}
		delete(out, "NIK")
		return out
	}
	require.Equal(t, values(a), values(b))
	require.NotEmpty(t, values(a))
}

// TestCodecRevision: the row itself is the revision that an UPDATE compares.
func TestCodecRevision(t *testing.T) {
	ctx := context.Background()
	c := newCodec[person](t, "patient", newRing(t, "r", everywhere...))
	row := seal(t, c, newPerson())
	r, err := c.Begin(ctx, newPerson(), row)
	require.NoError(t, err)
	seen := map[[12]byte]bool{r.SealID(): true}
	for range 100 {
		again, err := c.Reseal(ctx, r, newPerson(), nil, nil)
		require.NoError(t, err)
		id := [12]byte(sealID(again))
		require.False(t, seen[id], "a seal id came twice")
		seen[id] = true
	}
}

// TestCodecRace: one codec, many goroutines, several subjects.
func TestCodecRace(t *testing.T) {
	ctx := context.Background()
	c := newCodec[person](t, "patient", newRing(t, "r", everywhere...))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 20 {
				src := person{ID: fmt.Sprint("p", g%4), NIK: fmt.Sprint(g), Notes: strings.Repeat("n", i*g), Serology: fmt.Sprint(i)}
				row, err := c.Seal(ctx, &src, map[string][]byte{"clinical": []byte(src.NIK)})
				dst := person{ID: src.ID}
				if err == nil {
					err = c.Open(ctx, &dst, row)
				}
				if err != nil || dst != src {
					t.Errorf("%v", err)
				}
			}
		})
	}
	wg.Wait()
}

// TestCodecManyFields: the limits of sections and fields hold, and large rows
// use all sizes of heads.
func TestCodecManyFields(t *testing.T) {
	b, id, sections, _ := vectorInput(t)
	many := []refSection{sections[0]}
	many[0].Fields, many[0].Tag = nil, make([]byte, maxTag)
	for i := range maxFields {
		many[0].Fields = append(many[0].Fields, refField{fmt.Sprintf("F%04d", i), 6, append([]byte{0x59, 1, 0}, make([]byte, 256)...)})
	}
	want, _ := refSeal(t, b, id, many)
	s := new(scratch)
	refParts(s, many)
	row, err := s.seal(nil, &b, id)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, row))
	var l layout
	require.NoError(t, l.parse(row))
	var o section
	require.True(t, s.openSection(&o, row, l.header, &l.spans[0], &b, many[0].Key, nil))
	require.Len(t, o.entries, maxFields)

	many[0].Fields = append(many[0].Fields, refField{"G", 6, []byte{0x40}})
	s = new(scratch)
	refParts(s, many)
	_, err = s.seal(nil, &b, id)
	require.ErrorIs(t, err, ErrLimit)
	row, _ = refSeal(t, b, id, many)
	require.NoError(t, l.parse(row))
	require.False(t, s.openSection(&o, row, l.header, &l.spans[0], &b, many[0].Key, nil))

	s = new(scratch)
	var seventeen []refSection
	for i := range 17 {
		sec := sections[1]
		sec.Compartment = fmt.Sprintf("c%02d", i)
		seventeen = append(seventeen, sec)
	}
	refParts(s, seventeen)
	_, err = s.seal(nil, &b, id)
	require.ErrorIs(t, err, ErrLimit)
	row, _ = refSeal(t, b, id, seventeen)
	require.ErrorIs(t, checkRow(row), ErrFormat)
	row, _ = refSeal(t, b, id, seventeen[:16])
	require.NoError(t, checkRow(row))
}

func TestNewID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	before := time.Now().UnixMilli()
	for range 1000 {
		id := NewID()
		require.Regexp(t, form, id)
		require.False(t, seen[id])
		seen[id] = true
		var ms int64
		_, err := fmt.Sscanf(id[:8]+id[9:13], "%x", &ms)
		require.NoError(t, err)
		require.GreaterOrEqual(t, ms, before)
		require.LessOrEqual(t, ms, time.Now().UnixMilli())
	}
}

// TestCodecAppendSeal: the row stands behind what was in the buffer, whatever
// was in its spare capacity, and nothing is allocated for it.
func TestCodecAppendSeal(t *testing.T) {
	ctx := context.Background()
	c := newCodec[person](t, "patient", newRing(t, "r", everywhere...))
	src := newPerson()
	dirty := bytes.Repeat([]byte{0xa5}, 2048)
	out, err := c.AppendSeal(ctx, dirty[:3], src, nil)
	require.NoError(t, err)
	require.Same(t, &dirty[0], &out[0])
	require.Equal(t, []byte{0xa5, 0xa5, 0xa5}, out[:3])
	require.Equal(t, byte(0xa5), dirty[len(out)], "nothing is written behind the row")
	dst := person{ID: src.ID}
	require.NoError(t, c.Open(ctx, &dst, out[3:]))
	require.Equal(t, src.Notes, dst.Notes)
	require.Len(t, seal(t, c, src), len(out)-3)

	_, err = c.AppendSeal(ctx, nil, nil, nil)
	require.ErrorIs(t, err, ErrEmpty)
	src.Notes = "\xff"
	out, err = c.AppendSeal(ctx, dirty[:0], src, nil)
	require.ErrorIs(t, err, ErrValue)
	require.Nil(t, out)
}
