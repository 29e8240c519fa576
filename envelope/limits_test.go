package envelope

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/internal/value"
	"github.com/rahasia/rahasia/keyring"
)

// Lists of lists; of 31 a value may be the innermost item of all, at depth 31.
type (
	in4[T any]  [][][][]T
	in16[T any] in4[in4[in4[in4[T]]]]
	in31[T any] in16[in4[in4[in4[[][][]T]]]]
)

// deep returns a value of a list type with one item in each list.
func deep(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	if t.Kind() == reflect.Slice {
		v.Set(reflect.Append(reflect.MakeSlice(t, 0, 1), deep(t.Elem())))
	}
	return v
}

// TestTypesNesting: what a codec can be made for is nested as deep as a reader
// takes it (SPEC 2.4), one that does not know the type too; nothing is deeper.
func TestTypesNesting(t *testing.T) {
	ring := newRing(t, "types", "clinical")
	deepest[in31[[]int]](t, ring)
	deepest[in31[[0]int]](t, ring)
	deepest[in31[[]*bool]](t, ring)
	deepest[in31[map[string]string]](t, ring)
	deepest[in31[struct{ A string }]](t, ring)
	deepest[in31[time.Time]](t, ring)
	tooDeep[in31[[][]int]](t, ring)
	tooDeep[in31[[][0]int]](t, ring)
	tooDeep[in31[[]map[int]int]](t, ring)
	tooDeep[in31[map[string][]string]](t, ring)
	tooDeep[in31[struct{ A []string }]](t, ring)
	tooDeep[in31[[]time.Time]](t, ring)
	tooDeep[in31[[]*struct{ A int }]](t, ring)
	tooDeep[struct{ A in31[[]int] }](t, ring)
}

func deepest[F any](t *testing.T, ring *keyring.Ring) {
	t.Helper()
	v, _ := deep(reflect.TypeFor[F]()).Interface().(F)
	got, has := check(t, ring, v, v) // and cbor.Skip takes it
	require.True(t, has)
	require.Equal(t, len(reflect.TypeFor[F]().String()) > 0, !reflect.ValueOf(got).IsZero())
}

func tooDeep[F any](t *testing.T, ring *keyring.Ring) {
	t.Helper()
	_, err := NewCodec[one[F]]("one", ring)
	require.ErrorContains(t, err, `"V"`, "%T", *new(F))
	require.ErrorContains(t, err, "inside more than 32 others")
}

// TestTypesNestingUnknown: a member that a type does not know may be as deep as
// the whole value may be, and no deeper.
func TestTypesNestingUnknown(t *testing.T) {
	type old struct {
		Name string
		Rest in16[in4[in4[in4[[][]int]]]] // its innermost item is at depth 31
	}
	type now struct{ Name string }
	ring := newRing(t, "types", "clinical")
	rest, _ := deep(reflect.TypeFor[in16[in4[in4[in4[[][]int]]]]]()).Interface().(in16[in4[in4[in4[[][]int]]]])
	row := seal(t, newCodec[one[[]old]](t, "one", ring), &one[[]old]{ID: "p1", V: []old{{"a", rest}}})
	dst := one[[]now]{ID: "p1"}
	require.NoError(t, newCodec[one[[]now]](t, "one", ring).Open(context.Background(), &dst, row))
	require.Equal(t, []now{{"a"}}, dst.V)

	coder, err := value.New(reflect.TypeFor[[]now]())
	require.NoError(t, err)
	for lists, want := range map[int]error{29: nil, 30: nil, 31: cbor.ErrSyntax, 32: cbor.ErrSyntax} {
		b := []byte{0x81, 0xa1, 0x61, 'X'} // a list of an object with an unknown member, which is at depth 2
		for range lists {
			b = append(b, 0x81)
		}
		b = append(b, 0)
		_, skip := cbor.Skip(b, 0)
		require.Equal(t, want, skip)
		_, err := coder.Read(b, reflect.New(reflect.TypeFor[[]now]()).Elem())
		require.Equal(t, want, err, "%d lists", lists)
	}
}

// keeper is a type whose methods keep what they are given and returned: size
// bytes, which it changes once it has returned them.
type keeper struct {
	size int
	kept *[]byte
}

func (k keeper) MarshalBinary() ([]byte, error) {
	b := bytes.Repeat([]byte{7}, k.size)
	if k.kept != nil {
		*k.kept = b
	}
	return b, nil
}

func (k *keeper) UnmarshalBinary(b []byte) error {
	k.size, k.kept = len(b), &b
	return nil
}

// TestTypesKept: a slice that a MarshalBinary goes on using is not in use here,
// nor one that an UnmarshalBinary keeps.
func TestTypesKept(t *testing.T) {
	c := newCodec[one[[]keeper]](t, "one", newRing(t, "types", "clinical"))
	var kept []byte
	row := seal(t, c, &one[[]keeper]{ID: "p1", V: []keeper{{40, &kept}, {5, nil}, {0, nil}}})
	clear(kept)
	dst := one[[]keeper]{ID: "p1"}
	require.NoError(t, c.Open(context.Background(), &dst, row))
	seal(t, c, &one[[]keeper]{ID: "p1", V: []keeper{{400, nil}}}) // in the same buffers
	require.Len(t, dst.V, 3)
	for i, n := range []int{40, 5, 0} {
		require.Equal(t, n, dst.V[i].size)
		require.Equal(t, string(bytes.Repeat([]byte{7}, n)), string(*dst.V[i].kept))
	}
}

// TestTypesLargest: the largest value of each form is sealed and opened, and one
// byte more is refused when it is sealed, not when it is opened.
func TestTypesLargest(t *testing.T) {
	if testing.Short() {
		t.Skip("values of 16 MiB")
	}
	ring := newRing(t, "types", "clinical")
	const most = maxValue - 5 // its head
	largest(t, ring, func(n int) []byte { return make([]byte, n) }, most)
	largest(t, ring, func(n int) string { return strings.Repeat("x", n) }, most)
	largest(t, ring, func(n int) *string { return ptr(strings.Repeat("x", n)) }, most)
	largest(t, ring, func(n int) keeper { return keeper{size: n} }, most)
	largest(t, ring, func(n int) []bool { return make([]bool, n) }, most)
	largest(t, ring, func(n int) map[int]string { return map[int]string{1: strings.Repeat("x", n)} }, most-2)
}

func largest[F any](t *testing.T, ring *keyring.Ring, of func(n int) F, most int) {
	t.Helper()
	ctx := context.Background()
	c := newCodec[one[F]](t, "one", ring)
	row := seal(t, c, &one[F]{ID: "p1", V: of(most)})
	dst := one[F]{ID: "p1"}
	require.NoError(t, c.Open(ctx, &dst, row), "%T", dst.V)
	for _, more := range []int{1, 5, 6, 100} {
		_, err := c.Seal(ctx, &one[F]{ID: "p1", V: of(most + more)}, nil)
		require.ErrorIs(t, err, ErrLimit, "%T", dst.V)
	}
}

// TestTypesLargestRow: what fits is sealed and opened; what does not is refused
// before all of it was written out.
func TestTypesLargestRow(t *testing.T) {
	if testing.Short() {
		t.Skip("rows of 64 MiB")
	}
	type wide struct {
		ID            string `phi:"subject"`
		A, B, C, D, E []byte
		F, G          string
	}
	ctx := context.Background()
	c := newCodec[wide](t, "wide", newRing(t, "types", "clinical"))
	large := make([]byte, maxValue-5)
	src := wide{ID: "p1", A: large, B: large, C: large}
	// 63 MiB are the largest section below 64, by the rule of padding.
	src.D = large[:63<<20-3*maxValue-200]
	row := seal(t, c, &src)
	require.NoError(t, c.Open(ctx, &wide{ID: "p1"}, row))
	src.D = large[:63<<20-3*maxValue]
	_, err := c.Seal(ctx, &src, nil)
	require.ErrorIs(t, err, ErrLimit)

	src = wide{ID: "p1", A: large, B: large, C: large, D: large, E: large, F: "x", G: "x"}
	_, err = c.Seal(ctx, &src, nil)
	require.ErrorIs(t, err, ErrLimit)
	require.ErrorContains(t, err, `"E"`)
	src = wide{ID: "p1", A: large, B: large, C: large, D: large, F: string(large), G: "x"}
	_, err = c.Seal(ctx, &src, nil)
	require.ErrorIs(t, err, ErrLimit)
	require.ErrorContains(t, err, `"F"`)
}

// TestTypesTooMany: a type of more fields or compartments than a row holds has
// no codec, so that the limit is not met when a record is sealed.
func TestTypesTooMany(t *testing.T) {
	ring := newRing(t, "types")
	of := func(fields int, tag func(i int) string) error {
		list := []reflect.StructField{{Name: "ID", Type: reflect.TypeFor[string](), Tag: `phi:"subject"`}}
		for i := range fields {
			list = append(list, reflect.StructField{Name: fmt.Sprintf("F%04d", i), Type: reflect.TypeFor[[]byte](), Tag: reflect.StructTag(tag(i))})
		}
		_, err := newCore(reflect.StructOf(list), "t", ring, phi.For)
		return err
	}
	same := func(int) string { return "" }
	require.NoError(t, of(maxFields, same))
	require.ErrorIs(t, of(maxFields+1, same), ErrLimit)
	other := func(i int) string { return fmt.Sprintf(`phi:"clinical,in=c%02d"`, i) }
	require.NoError(t, of(maxSections, other))
	require.ErrorIs(t, of(maxSections+1, other), ErrLimit)
	halves := func(i int) string { return other(i % 2) }
	require.NoError(t, of(2*maxFields, halves))
}

// TestTypesIDs: subject and record id have the same limits.
func TestTypesIDs(t *testing.T) {
	c := newCodec[visit](t, "visit", newRing(t, "r", "clinical", "identity", "sensitive"))
	most := strings.Repeat("x", maxID)
	row := seal(t, c, &visit{Patient: most, ID: most})
	require.NoError(t, c.Open(context.Background(), &visit{Patient: most, ID: most}, row))
	for _, v := range []*visit{{Patient: most + "x", ID: "v1"}, {Patient: "p1", ID: most + "x"}} {
		_, err := c.Seal(context.Background(), v, nil)
		require.ErrorIs(t, err, ErrLimit)
		require.ErrorIs(t, c.Open(context.Background(), v, row), ErrLimit)
	}
}

// TestTypesSideBySide: byte slices that lie in one allocation cannot grow into
// each other, wherever they are in the type; and a field that Reseal is told
// twice is stored once.
func TestTypesSideBySide(t *testing.T) {
	type pair struct{ A, B []byte }
	type T struct {
		ID     string `phi:"subject"`
		In     pair
		On     *pair
		Z1, Z2 []byte
	}
	ctx := context.Background()
	c := newCodec[T](t, "t", newRing(t, "types", "clinical"))
	want := func() pair { return pair{[]byte("first"), []byte("second")} }
	row := seal(t, c, &T{ID: "p1", In: want(), On: ptr(want()), Z1: []byte("first"), Z2: []byte("second")})
	r, err := c.Begin(ctx, &T{ID: "p1"}, row)
	require.NoError(t, err)
	row, err = c.Reseal(ctx, r, &T{ID: "p1", In: want()}, []string{"In.B", "In.A", "In.B", "In.A"}, nil)
	require.NoError(t, err)
	dst := T{ID: "p1"}
	require.NoError(t, c.Open(ctx, &dst, row))
	for _, p := range []*[]byte{&dst.In.A, &dst.On.A, &dst.Z1} {
		*p = append(*p, "longer than what lies beside it"...)
	}
	require.Equal(t, "second", string(dst.In.B))
	require.Equal(t, "second", string(dst.On.B))
	require.Equal(t, "second", string(dst.Z2))
	require.Equal(t, "first", string(dst.Z1[:5]))
}
