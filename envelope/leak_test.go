package envelope

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// spellings are the ways in which printing could show bytes.
func spellings(secret []byte) []string {
	var decimal, octets []string
	for _, b := range secret {
		decimal = append(decimal, fmt.Sprint(b))
		octets = append(octets, fmt.Sprintf("0x%x", b))
	}
	return []string{
		string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)),
		base64.StdEncoding.EncodeToString(secret)[:len(secret)], base64.RawURLEncoding.EncodeToString(secret)[:len(secret)],
		strings.Join(decimal, " "), strings.Join(decimal, ","), strings.Join(octets, ", "),
		strings.Trim(fmt.Sprintf("%q", secret), `"`), fmt.Sprintf("% x", secret),
	}
}

// printings are all the ways that this program knows to print v.
func printings(v any) (out []string) {
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flag := range []string{"", "+", "#", " ", "# ", "-8", "08"} {
			out = append(out, fmt.Sprintf("%"+flag+string(verb), v))
		}
	}
	if b, err := json.Marshal(v); err == nil {
		out = append(out, string(b))
	} else {
		out = append(out, err.Error())
	}
	var text, js bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	slog.New(slog.NewJSONHandler(&js, nil)).Info("m", "v", v, slog.Group("g", "v", v))
	return append(out, text.String(), js.String())
}

// TestLeakHolders: nothing prints what a codec's buffers have held, nor the
// keys, tags, names and row of a reading.
func TestLeakHolders(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	c := newCodec[person](t, "patient", ring)
	src := newPerson()
	src.Notes, src.Serology = "plaintext-of-notes", "plaintext-of-serology"
	tags := map[string][]byte{"sensitive": []byte("tag-of-sensitive")}
	row, err := c.Seal(ctx, src, tags)
	require.NoError(t, err)
	require.NoError(t, c.Open(ctx, &person{ID: "p1"}, row))
	r, err := c.Begin(ctx, src, row)
	require.NoError(t, err)

	// A reading whose key is known, so that it can be looked for.
	b, id, sections, keys := vectorInput(t)
	raw, _ := refSeal(t, b, id, sections)
	x := &reading{bind: b, row: raw, sections: make([]section, 2)}
	require.NoError(t, x.layout.parse(raw))
	require.True(t, new(scratch).openSection(&x.sections[0], raw, x.layout.header, &x.layout.spans[0], &b, sections[0].Key, nil))
	known := &Reading{read: func() *reading { return x }}
	key := append([]byte(nil), keys[0]...)

	var secrets []string
	for _, s := range [][]byte{
		key[:8], []byte(src.Notes), []byte(src.Serology), []byte("tag-of-sensitive"), []byte("Serology"), []byte(src.NIK),
		[]byte("label=HIV"), []byte("Diagnosis"), []byte("patient-1"), row[40:56], raw[40:56],
	} {
		secrets = append(secrets, spellings(s)...)
	}
	type nested struct {
		hidden any
		Shown  any
	}
	for _, v := range []any{c, r, known} {
		for _, holder := range []any{v, nested{v, v}, &nested{v, v}, []any{v}, map[string]any{"a": v}, fmt.Errorf("%v", v)} {
			for _, text := range printings(holder) {
				for _, s := range secrets {
					if strings.Contains(text, s) {
						t.Fatalf("%T: %q shows %q", v, text, s)
					}
				}
			}
		}
	}
	for _, holder := range []any{*c, *r, struct{ c Codec[person] }{*c}, struct{ r Reading }{*r}} {
		for _, text := range printings(holder) {
			for _, s := range secrets {
				require.NotContains(t, text, s)
			}
		}
	}
	require.Equal(t, "envelope.Codec", fmt.Sprintf("%+v", c))
	require.Equal(t, "envelope.Reading", fmt.Sprintf("%#v", r))
	require.Equal(t, "envelope.Reading", r.LogValue().String())
	require.Equal(t, "envelope.Codec", c.LogValue().String())
}

// TestLeakPool: what is given back to the pool holds no plaintext.
func TestLeakPool(t *testing.T) {
	ctx := context.Background()
	type T struct {
		ID   string `phi:"subject"`
		Text string
		Raw  []byte
		List []string
	}
	c := newCodec[T](t, "t", newRing(t, "r", "clinical"))
	src := T{ID: "subject-of-plaintext", Text: "plaintext-of-text", Raw: []byte("plaintext-of-raw"), List: []string{"plaintext-of-list"}}
	used := 0
	for range 20 { // of what the pool still has: with -race it drops some
		row, err := c.Seal(ctx, &src, map[string][]byte{"clinical": []byte("plaintext-of-tag")})
		require.NoError(t, err)
		require.NoError(t, c.Open(ctx, &T{ID: src.ID}, row))
		r, err := c.Begin(ctx, &src, row)
		require.NoError(t, err)
		_, err = c.Reseal(ctx, r, &src, []string{"Text"}, nil)
		require.NoError(t, err)
		broken := bytes.Clone(row)
		broken[len(broken)-1] ^= 1
		require.Error(t, c.Open(ctx, &T{ID: src.ID}, broken))

		s := c.core().get()
		if cap(s.values) > 0 {
			used++
		}
		for _, b := range [][]byte{s.values, s.index, s.work} {
			require.NotContains(t, string(b[:cap(b)]), "plaintext")
		}
		for _, o := range s.reading.sections[:cap(s.reading.sections)] {
			require.NotContains(t, string(o.manifest[:cap(o.manifest)]), "plaintext")
			require.Nil(t, o.tag)
			require.True(t, o.key.IsZero())
		}
		for _, v := range s.held[:cap(s.held)] {
			require.False(t, v.IsValid())
		}
		for _, p := range s.parts[:cap(s.parts)] {
			require.Nil(t, p.tag)
			require.True(t, p.key.IsZero())
		}
		require.Zero(t, s.reading.bind)
		require.Nil(t, s.reading.row)
	}
	require.Positive(t, used)
}

// shy has a MarshalBinary that panics.
type shy struct{}

func (shy) MarshalBinary() ([]byte, error) { panic("shy") }

func (*shy) UnmarshalBinary([]byte) error { return nil }

// TestLeakPoolPanic: nor after a panic of a MarshalBinary, which leaves behind
// what was written of its value before it.
func TestLeakPoolPanic(t *testing.T) {
	ctx := context.Background()
	type T struct {
		ID string `phi:"subject"`
		V  map[string]string
		W  []struct {
			A string
			B *shy
		}
	}
	c := newCodec[T](t, "t", newRing(t, "r", "clinical"))
	src := T{ID: "p1", V: map[string]string{"a": strings.Repeat("x", 5000)}}
	_, err := c.Seal(ctx, &src, nil) // so that the buffer is large
	require.NoError(t, err)
	src.V = nil
	src.W = append(src.W, struct {
		A string
		B *shy
	}{"plaintext-of-list", &shy{}})
	require.Panics(t, func() { _, _ = c.Seal(ctx, &src, nil) })
	for range 4 {
		s := c.core().get()
		require.False(t, bytes.Contains(s.values[:cap(s.values)], []byte("plaintext")))
	}
}

// TestLeakErrors: errors name type and field, and no window of a value, an id
// or the row.
func TestLeakErrors(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	c := newCodec[person](t, "patient", ring)
	src := person{ID: "pasien-0123456789", NIK: "9271060312000001", Name: ptr("Contoh Sekali"), Notes: "kept in confidence", Serology: "nonreactive"}
	row := seal(t, c, &src)
	r, err := c.Begin(ctx, &src, row)
	require.NoError(t, err)

	var errs []error
	add := func(err error) {
		require.Error(t, err)
		errs = append(errs, err)
	}
	for i := range row {
		bad := bytes.Clone(row)
		bad[i] ^= 0x40
		dst := person{ID: src.ID}
		add(c.Open(ctx, &dst, bad))
		_, err := Inspect(row[:i])
		add(err)
	}
	bad := src
	bad.Notes += "\xff"
	_, err = c.Seal(ctx, &bad, nil)
	add(err)
	require.ErrorContains(t, err, "Notes")
	_, err = c.Reseal(ctx, r, &bad, []string{"Notes"}, nil)
	add(err)
	_, err = c.Seal(ctx, &src, map[string][]byte{"lab": []byte("kept in confidence")})
	add(err)
	_, err = c.Seal(ctx, &person{ID: strings.Repeat("pasien-0123456789", 20)}, nil)
	add(err)
	add(c.Open(ctx, &person{ID: "pasien-9876543210"}, row))
	add(c.Open(ctx, &person{ID: src.ID}, row, "kept in confidence")) // a value in the place of a name
	type wrong struct {
		ID    string `phi:"subject"`
		NIK   int64  `phi:"nik"`
		Notes []byte
	}
	add(newCodec[wrong](t, "patient", ring).Open(ctx, &wrong{ID: src.ID}, row))
	add(new(Sealed).UnmarshalText([]byte("kept in confidence")))
	add(new(Sealed).Scan("kept in confidence"))
	add(new(Sealed).UnmarshalJSON([]byte(`{"kept in confidence": 1}`)))
	_, err = ring.Shred(ctx, src.ID)
	require.NoError(t, err)
	add(c.Open(ctx, &person{ID: src.ID}, row))

	const window = 6
	for _, secret := range []string{src.ID, "pasien-9876543210", src.NIK, *src.Name, src.Notes, src.Serology, string(row[len(row)-200:])} {
		for i := 0; i+window <= len(secret); i++ {
			for _, err := range errs {
				require.NotContains(t, err.Error(), secret[i:i+window])
			}
		}
	}
	for _, err := range errs {
		require.True(t, strings.HasPrefix(err.Error(), "envelope: "), err.Error())
	}
}

// TestLeakLargeBuffers: a buffer that one large record has made is cleared and
// let go, so that the pool does not hold it for ever.
func TestLeakLargeBuffers(t *testing.T) {
	for size, kept := range map[int]bool{maxKept: true, maxKept + 1: false} {
		b := bytes.Repeat([]byte("p"), size)
		require.Equal(t, kept, wipe(b) != nil)
		require.Equal(t, make([]byte, size), b)
	}
}
