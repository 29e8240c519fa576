package value

import (
	"bytes"
	"database/sql"
	"errors"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/cbortest"
)

type box struct{ Low, High float64 }

// stamp has methods of its own; its nil is absent.
type stamp []int

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

func ptr[F any](v F) *F { return &v }

// TestTypesNesting: no item is written or read inside more than 32 others, the
// members that a type does not know counted from the outermost item.
func TestTypesNesting(t *testing.T) {
	inside := func(typ reflect.Type, lists int) reflect.Type {
		for range lists {
			typ = reflect.SliceOf(typ)
		}
		return typ
	}
	type pair struct{ A int }
	for _, c := range []struct {
		of    reflect.Type
		depth int // the greatest that has a coder
	}{
		{reflect.TypeFor[int](), 32},
		{reflect.TypeFor[*int](), 32},
		{reflect.TypeFor[sql.NullInt64](), 32},
		{reflect.TypeFor[map[string]int](), 31},
		{reflect.TypeFor[pair](), 31},
		{reflect.TypeFor[time.Time](), 31},
		{reflect.TypeFor[sql.NullTime](), 31},
	} {
		_, err := New(inside(c.of, c.depth))
		require.NoError(t, err, c.of)
		_, err = New(inside(c.of, c.depth+1))
		require.ErrorContains(t, err, "inside more than 32 others", c.of)
	}

	for outer := range 32 {
		coder, err := New(inside(reflect.TypeFor[pair](), outer))
		require.NoError(t, err)
		unknown := func(lists int) error { // member "B" of a pair inside outer lists: 0 inside so many more
			b := append(bytes.Repeat([]byte{0x81}, outer), 0xa1, 0x61, 'B')
			b = append(append(b, bytes.Repeat([]byte{0x81}, lists)...), 0)
			_, err := coder.Read(b, reflect.New(inside(reflect.TypeFor[pair](), outer)).Elem())
			_, skipped := cbor.Skip(b, 0)
			require.Equal(t, skipped, err, "as a reader that knows no type")
			return err
		}
		require.NoError(t, unknown(31-outer))
		require.ErrorIs(t, unknown(32-outer), cbor.ErrSyntax)
	}
}

// FuzzValue: what decodes as a value is encoded again to the same bytes, into
// a type that uses every encoding.
func FuzzValue(f *testing.F) {
	type all struct {
		Bool  bool
		Int   int32
		Uint  uint16
		Float float64
		Small float32
		Text  string
		Bytes []byte
		Array [2]byte
		Time  time.Time
		List  []*string
		Map   map[string][]int
		Ints  map[int8]bool
		Own   stamp
		Inner *box
	}
	coder, err := New(reflect.TypeFor[all]())
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range []all{{}, {
		true, -5, 300, 0.1, 0.5, "a", []byte{}, [2]byte{1, 2}, time.Unix(1, 2), []*string{nil, ptr("a")},
		map[string][]int{"a": {1}, "bb": nil}, map[int8]bool{-1: true}, stamp{1}, &box{1, 2},
	}} {
		b, err := coder.Write(nil, reflect.ValueOf(&v).Elem())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0xa1, 0x63, 'N', 'e', 'w', 0x9f})
	_, dec := cbortest.Judge(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var v all
		rest, err := coder.Read(b, reflect.ValueOf(&v).Elem())
		if err != nil {
			if err != cbor.ErrType && err != cbor.ErrSyntax {
				t.Fatalf("error %v", err)
			}
			return
		}
		b = b[:len(b)-len(rest)]
		var judged any
		if err := dec.Unmarshal(b, &judged); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
		out, err := coder.Write(nil, reflect.ValueOf(&v).Elem())
		if err == errMarshal && len(v.Own) == 1 {
			return // thirteen
		}
		if err != nil {
			t.Fatal(err)
		}
		// Unknown members are skipped, and absent ones that are not nullable
		// are written: then the second round is the first that must agree.
		var w all
		if _, err := coder.Read(out, reflect.ValueOf(&w).Elem()); err != nil {
			t.Fatalf("%x: %v", out, err)
		}
		if again, _ := coder.Write(nil, reflect.ValueOf(&w).Elem()); !bytes.Equal(out, again) {
			t.Fatalf("%x is %x", out, again)
		}
		m, _ := judged.(map[any]any)
		inner, _ := m["Inner"].(map[any]any)
		known := len(m) == 14 && len(inner) == 2 && inner["Low"] != nil && inner["High"] != nil
		for i := range reflect.TypeFor[all]().NumField() {
			_, ok := m[reflect.TypeFor[all]().Field(i).Name]
			known = known && ok
		}
		if known && !bytes.Equal(out, b) {
			t.Fatalf("%x is written as %x", b, out)
		}
	})
}

// TestReadRefuses what Write does not write: of some types, some bytes.
func TestReadRefuses(t *testing.T) {
	times := func(second, nano, offset int64) []byte {
		b := cbor.AppendInt([]byte{cbor.Array<<5 | 3}, second)
		return cbor.AppendInt(cbor.AppendInt(b, nano), offset)
	}
	type object struct{ A, B int }
	for name, c := range map[string]struct {
		into any
		b    []byte
		want error
	}{
		"first second":       {time.Time{}, times(minSecond, 0, 0), nil},
		"last nanosecond":    {time.Time{}, times(maxSecond, 999_999_999, maxOffset), nil},
		"year 0":             {time.Time{}, times(minSecond-1, 0, 0), cbor.ErrSyntax},
		"year 10000":         {time.Time{}, times(maxSecond+1, 0, 0), cbor.ErrSyntax},
		"nanosecond":         {time.Time{}, times(0, 1_000_000_000, 0), cbor.ErrSyntax},
		"nanosecond below":   {time.Time{}, times(0, -1, 0), cbor.ErrSyntax},
		"a day east":         {time.Time{}, times(0, 0, maxOffset+1), cbor.ErrSyntax},
		"a day west":         {time.Time{}, times(0, 0, -maxOffset-1), cbor.ErrSyntax},
		"time of two":        {time.Time{}, []byte{0x82, 0, 0}, cbor.ErrType},
		"time of four":       {time.Time{}, []byte{0x84, 0, 0, 0, 0}, cbor.ErrType},
		"int8":               {int8(0), []byte{0x18, 128}, cbor.ErrType},
		"uint8":              {uint8(0), []byte{0x19, 1, 0}, cbor.ErrType},
		"uint below zero":    {uint8(0), []byte{0x20}, cbor.ErrType},
		"text, not UTF-8":    {"", []byte{0x61, 0xff}, cbor.ErrSyntax},
		"array of one byte":  {[2]byte{}, []byte{0x41, 1}, cbor.ErrType},
		"array of 3 bytes":   {[2]byte{}, []byte{0x43, 1, 2, 3}, cbor.ErrType},
		"array of one":       {[2]int{}, []byte{0x81, 1}, cbor.ErrType},
		"array of three":     {[2]int{}, []byte{0x83, 1, 2, 3}, cbor.ErrType},
		"a list that lies":   {[]int{}, []byte{0x83, 1, 2}, cbor.ErrSyntax},
		"a huge list":        {[]int{}, []byte{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, cbor.ErrSyntax},
		"null in no list":    {[]int{}, []byte{0x81, cbor.Null}, cbor.ErrType},
		"map":                {map[int]int{}, []byte{0xa2, 1, 0, 2, 0}, nil},
		"map descends":       {map[int]int{}, []byte{0xa2, 2, 0, 1, 0}, cbor.ErrSyntax},
		"a key twice":        {map[int]int{}, []byte{0xa2, 1, 0, 1, 0}, cbor.ErrSyntax},
		"keys by length":     {map[string]int{}, []byte{0xa2, 0x62, 'a', 'a', 0, 0x61, 'b', 0}, cbor.ErrSyntax},
		"object descends":    {object{}, []byte{0xa2, 0x61, 'B', 0, 0x61, 'A', 0}, cbor.ErrSyntax},
		"a member twice":     {object{}, []byte{0xa2, 0x61, 'A', 0, 0x61, 'A', 0}, cbor.ErrSyntax},
		"unknown, twice":     {object{}, []byte{0xa2, 0x61, 'C', 0, 0x61, 'C', 0}, cbor.ErrSyntax},
		"unknown, bytes key": {object{}, []byte{0xa1, 0x61, 'C', 0xa1, 0x40, 0}, cbor.ErrSyntax},
		"unknown, not UTF-8": {object{}, []byte{0xa1, 0x61, 'C', 0x61, 0xff}, cbor.ErrSyntax},
		"unknown, tag":       {object{}, []byte{0xa1, 0x61, 'C', 0xc0, 0}, cbor.ErrSyntax},
		"unknown, undefined": {object{}, []byte{0xa1, 0x61, 'C', 0xf7}, cbor.ErrSyntax},
		"a member's null":    {object{}, []byte{0xa1, 0x61, 'A', cbor.Null}, cbor.ErrType},
	} {
		coder, err := New(reflect.TypeOf(c.into))
		if err != nil {
			t.Fatal(name, err)
		}
		rest, err := coder.Read(c.b, reflect.New(reflect.TypeOf(c.into)).Elem())
		if err != c.want || err == nil && len(rest) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReadAllocates what it has read, and not what a list or a map claims.
func TestReadAllocates(t *testing.T) {
	type large struct{ A [64]int }
	b := append(cbor.AppendHead(nil, cbor.Array, 1<<20), make([]byte, 1<<20)...)
	for _, v := range []any{[]large{}, map[int]large{}} {
		coder, err := New(reflect.TypeOf(v))
		if err != nil {
			t.Fatal(err)
		}
		b[0] = byte(coder.Code-List+cbor.Array)<<5 | b[0]&31
		into := reflect.New(reflect.TypeOf(v)).Elem()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := coder.Read(b, into); err != cbor.ErrType {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%T: %d bytes", v, n)
		}
	}
}
