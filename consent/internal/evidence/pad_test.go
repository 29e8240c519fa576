package evidence

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPad: every length comes back, no padding tells it, and nothing else passes.
func TestPad(t *testing.T) {
	for n := range 3 * bucket {
		for _, fill := range []string{"\x00", "\x80", "x"} {
			text := []byte(strings.Repeat(fill, n))
			padded := Pad(bytes.Clone(text))
			require.Len(t, padded, (n/bucket+1)*bucket)
			got, err := Unpad(padded)
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
	}
	full := Pad(nil)
	for name, bad := range map[string][]byte{
		"nothing": {}, "a byte less": full[:bucket-1], "a byte more": append(bytes.Clone(full), 0),
		"a bucket of zeros more": append(bytes.Clone(full), make([]byte, bucket)...), "no mark": make([]byte, bucket), "another mark": bytes.Repeat([]byte{1}, bucket),
	} {
		_, err := Unpad(bad)
		require.ErrorIs(t, err, ErrTampered, name)
	}
}

// FuzzUnpad: what unpads pads to the same.
func FuzzUnpad(f *testing.F) {
	f.Add(Pad(nil))
	f.Add(Pad([]byte("text")))
	f.Add(Pad(make([]byte, bucket)))
	f.Add(make([]byte, bucket))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, padded []byte) {
		text, err := Unpad(padded)
		if err == nil && !bytes.Equal(Pad(bytes.Clone(text)), padded) {
			t.Errorf("%x is not canonical", padded)
		}
	})
}
