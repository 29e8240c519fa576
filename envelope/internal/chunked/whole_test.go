package chunked

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// TestWhole: messages as long as a chunk, where the last one is empty; both ways
// with the stream.
func TestWhole(t *testing.T) {
	input, err := secret.NewExpander(secret.Random())
	require.NoError(t, err)
	key, _ := New(input, nil)
	for _, n := range []int{0, 1, Size - 1, Size, Size + 1, 3 * Size} {
		content := bytes.Repeat([]byte{5}, n)
		chunks := key.Seal(nil, content)
		require.EqualValues(t, len(chunks)+HeadSize, SealedSize(int64(n)))
		size, err := PlainSize(int64(len(chunks) + HeadSize))
		require.NoError(t, err)
		require.EqualValues(t, n, size)
		got, err := key.Open(chunks)
		require.NoError(t, err)
		require.Equal(t, content, got)
		if n > Size {
			_, err = key.Open(append(bytes.Clone(chunks[stride:]), chunks[:stride]...))
			require.ErrorIs(t, err, ErrOpen, "chunks in another order")
			_, err = key.Open(chunks[:stride])
			require.ErrorIs(t, err, ErrOpen, "no last chunk")
		}
	}
	for _, n := range []int64{-1, 0, 15, stride, stride + 15} {
		_, err := PlainSize(n + HeadSize)
		require.ErrorIs(t, err, ErrTruncated, n)
	}
}

// TestWholeIsTheStream: what is sealed in memory opens as a stream.
func TestWholeIsTheStream(t *testing.T) {
	input, err := secret.NewExpander(secret.Random())
	require.NoError(t, err)
	for _, n := range []int{0, 1, Size, 3*Size + 7} {
		content := bytes.Repeat([]byte{5}, n)
		key, head := New(input, []byte("context"))
		sealed := key.Seal(bytes.Clone(head[:]), content)
		r, err := NewReader(t.Context(), bytes.NewReader(sealed), key, head, int64(n), Work{})
		require.NoError(t, err)
		var got bytes.Buffer
		_, err = r.WriteTo(&got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got.Bytes()))
	}
}
