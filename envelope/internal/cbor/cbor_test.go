package cbor

import (
	"bytes"
	"math"
	"reflect"
	"testing"

	fx "github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"
)

// judge is a deterministic CBOR encoder and a strict decoder of others.
func judge(t testing.TB) (fx.EncMode, fx.DecMode) {
	enc, err := fx.CoreDetEncOptions().EncMode()
	require.NoError(t, err)
	dec, err := fx.DecOptions{
		DupMapKey: fx.DupMapKeyEnforcedAPF, IndefLength: fx.IndefLengthForbidden, UTF8: fx.UTF8RejectInvalid,
		DefaultMapType: reflect.TypeFor[map[any]any](), MaxNestedLevels: 2 * maxNesting, // the depth is Skip's own affair
	}.DecMode()
	require.NoError(t, err)
	return enc, dec
}

// TestHalves compares all 65,536 half floats with the judge.
func TestHalves(t *testing.T) {
	enc, dec := judge(t)
	for h := range 1 << 16 {
		b := []byte{half, byte(h >> 8), byte(h)}
		var want float64
		require.NoError(t, dec.Unmarshal(b, &want))
		got := fromHalf(uint16(h))
		if got != want && !(got != got && want != want) || math.Signbit(got) != math.Signbit(want) && got == got {
			t.Fatalf("%04x is %v, not %v", h, got, want)
		}
		short, err := enc.Marshal(want)
		require.NoError(t, err)
		if string(short) != string(AppendFloat(nil, want)) {
			t.Fatalf("%v is written as %x, not %x", want, AppendFloat(nil, want), short)
		}
	}
}

// FuzzSkip: what is skipped is well formed to the judge as well.
func FuzzSkip(f *testing.F) {
	for _, b := range [][]byte{{0}, {0x82, 1, 0xf6}, {0xa1, 0x61, 'a', 0xf9, 0x3c, 0}, bytes.Repeat([]byte{0x81}, 40)} {
		f.Add(b)
	}
	_, dec := judge(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, err := Skip(b, 0)
		if err != nil {
			return
		}
		if err := dec.Wellformed(b[:len(b)-len(rest)]); err != nil {
			t.Fatalf("%x: %v", b, err)
		}
	})
}

// TestSkipIsBounded: as deep as allowed, and no deeper.
func TestSkipIsBounded(t *testing.T) {
	deep := append(bytes.Repeat([]byte{0x81}, maxNesting), 0x80)
	_, err := Skip(deep, 0)
	require.NoError(t, err)
	_, err = Skip(append([]byte{0x81}, deep...), 0)
	require.Error(t, err)
}
