package envelope

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/cbortest"
	"github.com/rahasia/rahasia/internal/value"
	"github.com/rahasia/rahasia/keyring"
)

// one is a record of a single field of type F.
type one[F any] struct {
	ID string `phi:"subject"`
	V  F      `phi:"clinical"`
}

type (
	word   string
	blob   []byte
	grade  int8
	box    struct{ Low, High float64 }
	opaque struct {
		Name  string
		Inner box
		When  time.Time
		Maybe *int
		Null  sql.NullString
		Tags  []string
		Deep  map[string][]*box
		Skip  int `json:"-"` // tags of other packages mean nothing here
		//lint:ignore U1000 ignored, as everywhere in Go
		note string
	}
	// stamp has methods of its own; its nil is absent.
	stamp []int
)

func (s stamp) MarshalBinary() ([]byte, error) {
	if len(s) == 1 && s[0] == 13 {
		return nil, errors.New("thirteen 13")
	}
	out := []byte{}
	for _, n := range s {
		out = append(out, byte(n))
	}
	return out, nil
}

func (s *stamp) UnmarshalBinary(b []byte) error {
	*s = stamp{}
	for _, n := range b {
		*s = append(*s, int(n))
	}
	return nil
}

// check seals v in a row, opens it over something else, and returns what it
// has become and whether it was present. Others judge the encoding.
func check[F any](t *testing.T, ring *keyring.Ring, v, over F) (got F, has bool) {
	t.Helper()
	ctx := context.Background()
	c := newCodec[one[F]](t, "one", ring)
	row := seal(t, c, &one[F]{ID: "p1", V: v})
	dst := one[F]{ID: "p1", V: over}
	require.NoError(t, c.Open(ctx, &dst, row))
	r, err := c.Begin(ctx, &dst, row)
	require.NoError(t, err)
	has = r.Has("V")

	// The paths agree: by name, by OpenFields, and carried by Reseal.
	named := one[F]{ID: "p1", V: over}
	require.NoError(t, c.Open(ctx, &named, row, "V"))
	require.Equal(t, dst, named)
	fields := one[F]{ID: "p1", V: over}
	require.NoError(t, c.OpenFields(r, &fields, "V"))
	require.Equal(t, dst, fields)
	carried, err := c.Reseal(ctx, r, &one[F]{ID: "p1", V: over}, nil, nil)
	require.NoError(t, err)
	again := one[F]{ID: "p1", V: over}
	require.NoError(t, c.Open(ctx, &again, carried))
	require.Equal(t, dst, again)
	resealed, err := c.Reseal(ctx, r, &dst, []string{"V"}, nil)
	require.NoError(t, err)
	require.Len(t, resealed, len(row))

	if has {
		coder, err := value.New(reflect.TypeFor[F]())
		require.NoError(t, err)
		b, err := coder.Write(nil, reflect.ValueOf(&v).Elem())
		require.NoError(t, err)
		enc, dec := cbortest.Judge(t)
		var any any
		require.NoError(t, dec.Unmarshal(b, &any))
		again, err := enc.Marshal(any)
		require.NoError(t, err)
		require.Equal(t, again, b, "not deterministic")
		rest, err := cbor.Skip(b, 0)
		require.NoError(t, err)
		require.Empty(t, rest)
	}
	return dst.V, has
}

// same checks a present value that comes back as it was.
func same[F any](t *testing.T, ring *keyring.Ring, over F, values ...F) {
	t.Helper()
	for _, v := range values {
		got, has := check(t, ring, v, over)
		require.True(t, has, "%T %v is present", v, v)
		require.Equal(t, v, got)
	}
}

// absent checks a value that is NULL.
func absent[F any](t *testing.T, ring *keyring.Ring, null, over F) {
	t.Helper()
	got, has := check(t, ring, null, over)
	require.False(t, has, "%T is absent", null)
	require.Equal(t, null, got)
}

// TestTypes is the table of Go types by nil, zero, empty and value.
func TestTypes(t *testing.T) {
	ring := newRing(t, "types", "clinical")
	same(t, ring, true, false, true)
	same(t, ring, 7, 0, 1, 23, 24, 255, 256, 65535, 65536, math.MaxInt, -1, -24, -25, math.MinInt)
	same(t, ring, int8(7), 0, 127, -128)
	same(t, ring, int16(7), 0, math.MaxInt16, math.MinInt16)
	same(t, ring, int32(7), 0, math.MaxInt32, math.MinInt32)
	same(t, ring, int64(7), 0, math.MaxInt64, math.MinInt64)
	same(t, ring, grade(7), 0, -1)
	same(t, ring, time.Hour, 0, time.Second)
	same(t, ring, uint(7), 0, 1<<32, math.MaxUint)
	same(t, ring, uint8(7), 0, 255)
	same(t, ring, uint16(7), 0, 65535)
	same(t, ring, uint32(7), 0, math.MaxUint32)
	same(t, ring, uint64(7), 0, math.MaxUint64)
	same(t, ring, 7.5, 0, 1, 1.5, 0.1, -2, 65504, 65505, 1e300, math.Inf(1), math.Inf(-1), math.MaxFloat64,
		math.SmallestNonzeroFloat64, 5.960464477539063e-8, 6.103515625e-05, 100000, math.MaxFloat32)
	same(t, ring, float32(7.5), 0, 0.1, math.MaxFloat32, math.SmallestNonzeroFloat32)
	same(t, ring, "x", "", "a", "été", "a\x00b", string(make([]byte, 300)))
	same(t, ring, word("x"), "", "a")
	same(t, ring, [3]byte{9, 9, 9}, [3]byte{}, [3]byte{1, 2, 3})
	same(t, ring, [2]string{"x", "y"}, [2]string{}, [2]string{"a", ""})
	same(t, ring, box{9, 9}, box{}, box{1, 2.5})
	same(t, ring, netip.MustParseAddr("::1"), netip.Addr{}, netip.MustParseAddr("10.0.0.1"))

	// nil is absent, empty is present
	same(t, ring, []byte("x"), []byte{}, []byte{0}, make([]byte, 70_000))
	absent(t, ring, nil, []byte("x"))
	same(t, ring, blob("x"), blob{}, blob{0})
	absent(t, ring, nil, blob("x"))
	same(t, ring, []string{"x"}, []string{}, []string{""}, []string{"a", "b"})
	absent(t, ring, nil, []string{"x"})
	same(t, ring, [][]int{{7}}, [][]int{}, [][]int{nil, {}, {1}})
	absent(t, ring, nil, [][]int{{7}})
	same(t, ring, []sql.NullInt64{{Int64: 7, Valid: true}}, []sql.NullInt64{{}, {Int64: 0, Valid: true}})
	same(t, ring, make([]int, 3), make([]int, 2500))
	same(t, ring, map[string]int{"x": 1}, map[string]int{}, map[string]int{"": 0, "bb": 2, "c": 3, "aaa": 1})
	absent(t, ring, nil, map[string]int{"x": 1})
	same(t, ring, map[int][]byte{7: {7}}, map[int][]byte{-1: nil, 1: {}, 300: {1}, 10: {2}})
	same(t, ring, map[uint16]*string{7: nil}, map[uint16]*string{1: nil, 2: ptr("")})
	same(t, ring, stamp{7}, stamp{}, stamp{1, 2})
	absent(t, ring, nil, stamp{7})

	same(t, ring, ptr(7), ptr(0), ptr(-1))
	absent(t, ring, nil, ptr(7))
	same(t, ring, ptr("x"), ptr(""), ptr("a"))
	absent(t, ring, nil, ptr("x"))
	same(t, ring, ptr(time.Unix(7, 0).UTC()), ptr(time.Time{}.UTC()))
	absent(t, ring, nil, ptr(time.Time{}))
	same(t, ring, ptr(netip.MustParseAddr("::1")), ptr(netip.Addr{}))

	same(t, ring, sql.NullString{String: "x", Valid: true}, sql.NullString{Valid: true}, sql.NullString{String: "a", Valid: true})
	absent(t, ring, sql.NullString{}, sql.NullString{String: "x", Valid: true})
	same(t, ring, sql.NullInt64{Int64: 7, Valid: true}, sql.NullInt64{Valid: true})
	absent(t, ring, sql.NullInt64{}, sql.NullInt64{Int64: 7, Valid: true})
	same(t, ring, sql.NullInt32{Int32: 7, Valid: true}, sql.NullInt32{Valid: true})
	same(t, ring, sql.NullInt16{Int16: 7, Valid: true}, sql.NullInt16{Valid: true})
	same(t, ring, sql.NullByte{Byte: 7, Valid: true}, sql.NullByte{Valid: true})
	same(t, ring, sql.NullFloat64{Float64: 7, Valid: true}, sql.NullFloat64{Valid: true})
	same(t, ring, sql.NullBool{Bool: true, Valid: true}, sql.NullBool{Valid: true})
	absent(t, ring, sql.NullBool{}, sql.NullBool{Bool: true, Valid: true})
	same(t, ring, sql.NullTime{Time: time.Unix(7, 0).UTC(), Valid: true}, sql.NullTime{Time: time.Unix(0, 0).UTC(), Valid: true})
	absent(t, ring, sql.NullTime{}, sql.NullTime{Time: time.Unix(7, 0), Valid: true})
	same(t, ring, sql.Null[float32]{V: 7, Valid: true}, sql.Null[float32]{Valid: true})
	absent(t, ring, sql.Null[float32]{}, sql.Null[float32]{V: 7, Valid: true})

	full := opaque{
		Name: "a", Inner: box{1, 2}, When: time.Unix(1, 2).UTC(), Maybe: ptr(0), Null: sql.NullString{Valid: true},
		Tags: []string{}, Deep: map[string][]*box{"": nil, "a": {nil, {1, 2}}}, Skip: 1,
	}
	same(t, ring, full, opaque{When: time.Unix(1, 2).UTC()}, full)
	same(t, ring, []opaque{full}, []opaque{full, {When: time.Unix(0, 0).UTC()}})
	same(t, ring, ptr(full), ptr(full))
	absent(t, ring, nil, ptr(full))
}

func ptr[F any](v F) *F { return &v }

func TestTypesFloatsOfTheirOwn(t *testing.T) {
	ring := newRing(t, "types", "clinical")
	got, has := check(t, ring, math.Copysign(0, -1), 1)
	require.True(t, has && math.Signbit(got), "the sign of zero is kept")
	c := newCodec[one[float64]](t, "one", ring)
	dst := one[float64]{ID: "p1"}
	row := seal(t, c, &one[float64]{ID: "p1", V: math.Float64frombits(0x7ff8000000000123)})
	require.NoError(t, c.Open(context.Background(), &dst, row))
	require.Equal(t, math.Float64bits(math.NaN()), math.Float64bits(dst.V), "every NaN is one")
}

// TestTypesTime: the instant with its nanoseconds and the numeric offset come
// back; the zone's name and the monotonic reading do not.
func TestTypesTime(t *testing.T) {
	ring := newRing(t, "types", "clinical")
	batavia := time.FixedZone("LMT", 7*3600+7*60+12) // where RFC 3339 text is off by twelve seconds
	for _, v := range []time.Time{
		{},
		time.Date(1920, 8, 17, 10, 0, 0, 1, batavia),
		time.Date(2024, 2, 29, 23, 59, 59, 999999999, time.FixedZone("", -12*3600)),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Now(),
	} {
		got, has := check(t, ring, v, time.Unix(9, 9))
		require.True(t, has)
		require.True(t, v.Equal(got), "%v became %v", v, got)
		_, want := v.Zone()
		_, offset := got.Zone()
		require.Equal(t, want, offset)
		require.Equal(t, v.IsZero(), got.IsZero())
		require.Equal(t, v.Round(0).Format("2006-01-02 15:04:05.999999999"), got.Format("2006-01-02 15:04:05.999999999"))
	}
	c := newCodec[one[time.Time]](t, "one", ring)
	for _, v := range []time.Time{
		time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC),
		time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Unix(0, 0).In(time.FixedZone("", 24*3600)),
	} {
		_, err := c.Seal(context.Background(), &one[time.Time]{ID: "p1", V: v}, nil)
		require.ErrorIs(t, err, ErrValue, v.String())
	}
}

// TestTypesChanged: a field whose Go type has changed is a typed error that
// names it, and never garbage. So it is for a method that was added.
func TestTypesChanged(t *testing.T) {
	ring := newRing(t, "types", "clinical")
	changed[int, string](t, ring, 1)
	changed[int, uint](t, ring, 1)
	changed[int, float64](t, ring, 1)
	changed[int, sql.NullString](t, ring, 1)
	changed[string, []byte](t, ring, "a")
	changed[[]byte, string](t, ring, []byte("a"))
	changed[[]string, string](t, ring, []string{"a"})
	changed[[]int, stamp](t, ring, []int{1})
	changed[stamp, []int](t, ring, stamp{1})
	changed[box, map[string]float64](t, ring, box{1, 2})
	changed[time.Time, string](t, ring, time.Unix(1, 2))
	changed[int, int8](t, ring, 300)
	changed[uint, uint8](t, ring, 300)
	changed[float64, float32](t, ring, 0.1)
	changed[[]int, []string](t, ring, []int{1})
	changed[[]int, []bool](t, ring, []int{1})
	changed[[]int, []float64](t, ring, []int{1})
	changed[[]int, []time.Time](t, ring, []int{1})
	changed[[]byte, [2]byte](t, ring, []byte{1})
	changed[[]int, [2]int](t, ring, []int{1})
	changed[map[string]int, map[int]int](t, ring, map[string]int{"a": 1})
	changed[*[2]string, []int](t, ring, &[2]string{})
	changed[[]*int, []int](t, ring, []*int{nil})

	// A type that grew, or went behind a pointer, reads what was stored.
	kept[int, int64](t, ring, -5, -5)
	kept[int8, *int](t, ring, -5, ptr(-5))
	kept[float32, float64](t, ring, 0.5, 0.5)
	kept[string, sql.NullString](t, ring, "a", sql.NullString{String: "a", Valid: true})
	kept[word, *string](t, ring, "a", ptr("a"))
	kept[[2]int, []int](t, ring, [2]int{1, 2}, []int{1, 2})
	type grown struct {
		Low   float64
		New   *int
		Other string
	}
	kept[box, grown](t, ring, box{1, 2}, grown{Low: 1}) // what it does not know is skipped
	kept[opaque, box](t, ring, opaque{Deep: map[string][]*box{"a": {{1, 2}, nil}}, Tags: []string{"x"}, Maybe: ptr(-300)}, box{})
}

func changed[F, G any](t *testing.T, ring *keyring.Ring, v F) {
	t.Helper()
	row := seal(t, newCodec[one[F]](t, "one", ring), &one[F]{ID: "p1", V: v})
	dst := one[G]{ID: "p1"}
	err := newCodec[one[G]](t, "one", ring).Open(context.Background(), &dst, row)
	require.ErrorIs(t, err, ErrType, "%T to %T", v, dst.V)
	require.NotErrorIs(t, err, ErrOpen)
	require.ErrorContains(t, err, `"V"`)
	require.Equal(t, one[G]{ID: "p1"}, dst)
}

func kept[F, G any](t *testing.T, ring *keyring.Ring, v F, want G) {
	t.Helper()
	row := seal(t, newCodec[one[F]](t, "one", ring), &one[F]{ID: "p1", V: v})
	dst := one[G]{ID: "p1"}
	require.NoError(t, newCodec[one[G]](t, "one", ring).Open(context.Background(), &dst, row))
	require.Equal(t, want, dst.V)
}

// TestTypesRefused: a value that its encoding cannot hold is refused when it
// is sealed, and the error does not show it.
func TestTypesRefused(t *testing.T) {
	ring := newRing(t, "types", "clinical")
	ctx := context.Background()
	_, err := newCodec[one[string]](t, "one", ring).Seal(ctx, &one[string]{ID: "p1", V: "thirteen\xff"}, nil)
	require.ErrorIs(t, err, ErrValue)
	require.ErrorContains(t, err, `"V"`)
	require.NotContains(t, err.Error(), "thirteen")
	_, err = newCodec[one[stamp]](t, "one", ring).Seal(ctx, &one[stamp]{ID: "p1", V: stamp{13}}, nil)
	require.ErrorIs(t, err, ErrValue)
	require.NotContains(t, err.Error(), "13")
	_, err = newCodec[one[map[string]string]](t, "one", ring).Seal(ctx, &one[map[string]string]{ID: "p1", V: map[string]string{"\xff": ""}}, nil)
	require.ErrorIs(t, err, ErrValue)
	_, err = newCodec[one[[]byte]](t, "one", ring).Seal(ctx, &one[[]byte]{ID: "p1", V: make([]byte, maxValue)}, nil)
	require.ErrorIs(t, err, ErrLimit)
	_, err = newCodec[one[[]byte]](t, "one", ring).Seal(ctx, &one[[]byte]{ID: "p1", V: make([]byte, maxValue-5)}, nil)
	require.NoError(t, err)
}

// TestTypesNested: walked structs, by value, embedded and behind pointers.
func TestTypesNested(t *testing.T) {
	type contact struct {
		Street *string `phi:"address"`
		City   string
	}
	type Extra struct{ Blood string }
	type T struct {
		ID   string `phi:"subject"`
		Home contact
		Work *contact
		*Extra
		Outside string `phi:"clear"`
	}
	ctx := context.Background()
	c := newCodec[T](t, "t", newRing(t, "types", "clinical", "identity"))
	street := "Jl. Contoh 1"
	for _, src := range []T{
		{ID: "p1"},
		{ID: "p1", Home: contact{&street, "Solo"}, Work: &contact{nil, ""}, Extra: &Extra{"0"}},
		{ID: "p1", Work: &contact{&street, "Solo"}},
	} {
		row := seal(t, c, &src)
		dst := T{ID: "p1"}
		require.NoError(t, c.Open(ctx, &dst, row))
		require.Equal(t, src, dst)

		// Over a value that has all: what is absent is zeroed in place.
		held := &contact{&street, "Medan"}
		dst = T{ID: "p1", Home: contact{&street, "Medan"}, Work: held, Extra: &Extra{"AB"}, Outside: "kept"}
		require.NoError(t, c.Open(ctx, &dst, row))
		want := src
		want.Outside = "kept"
		if src.Work == nil {
			want.Work = &contact{}
		}
		if src.Extra == nil {
			want.Extra = &Extra{}
		}
		require.Equal(t, want, dst)
		require.Same(t, held, dst.Work)
	}
}
