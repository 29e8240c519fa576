package cbor

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/cbortest"
)

// TestHalves compares all 65,536 half floats with the judge.
func TestHalves(t *testing.T) {
	enc, dec := cbortest.Judge(t)
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
	_, dec := cbortest.Judge(f)
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
	deep := append(bytes.Repeat([]byte{0x81}, MaxNesting), 0x80)
	_, err := Skip(deep, 0)
	require.NoError(t, err)
	_, err = Skip(append([]byte{0x81}, deep...), 0)
	require.Error(t, err)
}
