package chunked

import (
	"bytes"
	"compress/zlib"
	"crypto/sha512"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// TestWycheproofMessage: all vectors of Cobblestone-256 through both readers,
// and the valid ones through the writer.
func TestWycheproofMessage(t *testing.T) {
	type group struct {
		AEAD, SHA string
		Tests     []messageVector
	}
	valid, invalid := 0, 0
	for _, g := range groups[group](t, "c2sp_chunked_encryption_aes_256_gcm_test.json") {
		require.Equal(t, "AEAD_AES_256_GCM", g.AEAD)
		require.Equal(t, "SHA-512", g.SHA)
		for _, v := range g.Tests {
			if v.Result == "valid" {
				valid++
				v.accepted(t)
			} else {
				invalid++
				v.refused(t)
			}
		}
	}
	t.Logf("Cobblestone-256: %d valid, %d invalid", valid, invalid)
	require.Equal(t, [2]int{10, 25}, [2]int{valid, invalid})
}

type messageVector struct {
	TcID         int `json:"tcId"`
	Key, Ctx, CT hexBytes
	AEADKey      hexBytes `json:"aeadKey"`
	BaseNonce    hexBytes `json:"baseNonce"`
	MsgLength    int64    `json:"msgLength"`
	MsgSHA512    hexBytes `json:"msgSha512"`
	Result       string
	Flags        []string
}

func (v *messageVector) inflate(t *testing.T) []byte {
	z, err := zlib.NewReader(bytes.NewReader(v.CT))
	require.NoError(t, err)
	ct, err := io.ReadAll(z)
	require.NoError(t, err)
	return ct
}

func (v *messageVector) input(t *testing.T) secret.Expander {
	key, err := secret.NewKey(v.Key)
	require.NoError(t, err, v.TcID)
	input, err := secret.NewExpander(key)
	require.NoError(t, err)
	return input
}

func (v *messageVector) has(flag string) bool { return slices.Contains(v.Flags, flag) }

func (v *messageVector) accepted(t *testing.T) {
	ct := v.inflate(t)
	input := v.input(t)
	size, err := PlainSize(int64(len(ct)))
	require.NoError(t, err, v.TcID)
	require.Equal(t, v.MsgLength, size, v.TcID)
	head := Head(ct[:HeadSize])
	key, err := Open(input, v.Ctx, head)
	require.NoError(t, err, v.TcID)
	require.Equal(t, []byte(v.BaseNonce), nonceOf(key), v.TcID)

	r, err := NewReader(t.Context(), bytes.NewReader(ct), key, head, size, Work{Workers: 2})
	require.NoError(t, err, v.TcID)
	message, err := io.ReadAll(r)
	require.NoError(t, err, v.TcID)
	v.isMessage(t, message)

	a, err := NewReaderAt(t.Context(), bytes.NewReader(ct), key, head, size, Work{Workers: 2})
	require.NoError(t, err, v.TcID)
	at := make([]byte, size+1)
	n, err := a.ReadAt(at, 0)
	require.Equal(t, io.EOF, err, v.TcID)
	v.isMessage(t, at[:n])

	var again bytes.Buffer // the salt is the vector's
	var w Writer
	w.Reset(t.Context(), &again, key, head, Work{Workers: 2})
	_, err = w.Write(message)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.True(t, bytes.Equal(ct, again.Bytes()), v.TcID)
}

func (v *messageVector) isMessage(t *testing.T, message []byte) {
	require.Len(t, message, int(v.MsgLength), v.TcID)
	sum := sha512.Sum512(message)
	require.Equal(t, []byte(v.MsgSHA512), sum[:], v.TcID)
}

// refused: both readers refuse, and release no more than the prefix.
func (v *messageVector) refused(t *testing.T) {
	ct := v.inflate(t)
	if v.has("InvalidKeySize") {
		_, err := secret.NewKey(v.Key)
		require.Error(t, err, v.TcID)
		return
	}
	input := v.input(t)
	var key Key
	var err error = ErrTruncated
	if len(ct) >= HeadSize {
		key, err = Open(input, v.Ctx, Head(ct[:HeadSize]))
	}
	if require.Equal(t, v.has("HeaderFailure"), err != nil, v.TcID); err != nil {
		return
	}
	head := Head(ct[:HeadSize])
	size, err := PlainSize(int64(len(ct)))
	if err != nil {
		require.True(t, v.has("Truncation") || v.has("TrailingData"), v.TcID)
		size = int64(len(ct)) // whatever is claimed instead
	}
	for _, size := range []int64{size, size + 1, size + Size, max(0, size-1), v.MsgLength, v.MsgLength + 1} {
		r, err := NewReader(t.Context(), bytes.NewReader(ct), key, head, size, Work{Workers: 1})
		require.NoError(t, err)
		message, err := io.ReadAll(r)
		require.Error(t, err, v.TcID)
		_, again := r.Read(make([]byte, 1))
		require.Equal(t, err, again, v.TcID)
		require.LessOrEqual(t, int64(len(message)), v.MsgLength, v.TcID)
		if len(message) == int(v.MsgLength) && v.has("PartialPlaintext") {
			v.isMessage(t, message)
		}
	}
	a, err := NewReaderAt(t.Context(), bytes.NewReader(ct), key, head, size, Work{Workers: 2})
	require.NoError(t, err)
	n, err := a.ReadAt(make([]byte, size+1), 0)
	require.NotErrorIs(t, err, io.EOF, v.TcID)
	require.Error(t, err, v.TcID)
	require.LessOrEqual(t, int64(n), v.MsgLength, v.TcID)
	if _, err := a.Seek(0, io.SeekEnd); !v.has("ValidFinalChunk") {
		require.Error(t, err, v.TcID)
	}
}

func nonceOf(k Key) []byte {
	m := k.use()
	return m.base[:]
}
