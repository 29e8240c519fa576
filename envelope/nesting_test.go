package envelope

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope/internal/cbor"
	"github.com/rahasia/rahasia/envelope/internal/value"
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
	require.ErrorContains(t, err, "nested")
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
