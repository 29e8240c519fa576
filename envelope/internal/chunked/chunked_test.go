package chunked

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// sizes around every boundary there is.
func sizes() []int64 {
	return []int64{0, 1, 15, 16, 17, Size - 1, Size, Size + 1, 2*Size - 1, 2 * Size, 2*Size + 1, 5*Size + 77, 40 * Size, 40*Size + 1}
}

func message(n int64) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func testInput(t testing.TB) (secret.Expander, []byte) {
	raw := bytes.Repeat([]byte{7}, secret.KeySize)
	k, err := secret.NewKey(raw)
	require.NoError(t, err)
	e, err := secret.NewExpander(k)
	require.NoError(t, err)
	return e, raw
}

// sealed is a message with all that is needed to open it.
type sealed struct {
	key  Key
	head Head
	text []byte // plaintext
	data []byte // ciphertext
}

func seal(t testing.TB, text []byte, work Work) *sealed {
	t.Helper()
	input, _ := testInput(t)
	s := &sealed{text: text}
	s.key, s.head = New(input, []byte("context"))
	var out bytes.Buffer
	var w Writer
	w.Reset(t.Context(), &out, s.key, s.head, work)
	n, err := w.Write(text)
	require.NoError(t, err)
	require.Equal(t, len(text), n)
	require.False(t, w.Closed())
	require.NoError(t, w.Close())
	require.NoError(t, w.Close(), "once is enough")
	require.True(t, w.Closed())
	require.EqualValues(t, len(text), w.Len())
	s.data = out.Bytes()
	require.EqualValues(t, SealedSize(int64(len(text))), len(s.data))
	return s
}

// reference is the construction written from its specification, once more.
func reference(t *testing.T, key, salt, context, text []byte) []byte {
	info := "c2sp.org/chunked-encryption@v1+" + "AEAD_AES_256_GCM" + "\x00" + string(salt) + string(context)
	out, err := hkdf.Expand(sha512.New, key, info, 32+12+32)
	require.NoError(t, err)
	block, err := aes.NewCipher(out[:32])
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	data := append(bytes.Clone(salt), out[44:]...)
	for i := 0; ; i++ {
		nonce := bytes.Clone(out[32:44])
		for j, k := 11, i; k > 0; j, k = j-1, k>>8 {
			nonce[j] ^= byte(k)
		}
		chunk := text[:min(len(text), 16384)]
		text = text[len(chunk):]
		data = gcm.Seal(data, nonce, chunk, nil)
		if len(chunk) < 16384 {
			return data
		}
	}
}

// TestReference: the writer makes what the specification says, whatever pieces
// it is given, and however many workers there are.
func TestReference(t *testing.T) {
	_, raw := testInput(t)
	for _, n := range append(sizes(), 130*Size+5) {
		text := message(n)
		for workers := range 4 {
			s := seal(t, text, Work{Workers: workers})
			want := reference(t, raw, s.head[:24], []byte("context"), text)
			require.True(t, bytes.Equal(want, s.data), "%d bytes, %d workers", n, workers)
			if n > 100*Size || n > 10*Size && workers != 2 {
				continue
			}
			for name, write := range map[string]func(*Writer) error{
				"7 bytes":   func(w *Writer) error { return pieces(w, text, 7+len(text)/5000) },
				"chunks":    func(w *Writer) error { return pieces(w, text, Size) },
				"chunk + 1": func(w *Writer) error { return pieces(w, text, Size+1) },
				"uneven":    func(w *Writer) error { return pieces(w, text, 9*Size-3) },
				"ReadFrom": func(w *Writer) error {
					n, err := w.ReadFrom(bytes.NewReader(text))
					require.EqualValues(t, len(text), n)
					return err
				},
				"half reads": func(w *Writer) error { _, err := w.ReadFrom(iotest.HalfReader(bytes.NewReader(text))); return err },
				"both": func(w *Writer) error {
					half := len(text) / 2
					if _, err := w.Write(text[:half]); err != nil {
						return err
					}
					_, err := w.ReadFrom(iotest.DataErrReader(bytes.NewReader(text[half:])))
					return err
				},
			} {
				var out bytes.Buffer
				var w Writer
				w.Reset(t.Context(), &out, s.key, s.head, Work{Workers: workers, Buffers: new(Buffers)})
				require.NoError(t, write(&w), name)
				require.NoError(t, w.Close(), name)
				require.True(t, bytes.Equal(want, out.Bytes()), "%s: %d bytes, %d workers", name, n, workers)
			}
		}
	}
}

func pieces(w io.Writer, b []byte, n int) error {
	for len(b) > 0 {
		k, err := w.Write(b[:min(n, len(b))])
		if err != nil {
			return err
		}
		b = b[k:]
	}
	return nil
}

// TestWriteKeepsNothing: a caller's slice is neither written to nor kept.
func TestWriteKeepsNothing(t *testing.T) {
	text := message(40*Size + 5)
	p := append(bytes.Clone(text), "tail"...)[:len(text)]
	s := seal(t, p, Work{Workers: 2})
	require.True(t, bytes.Equal(text, p))
	require.Equal(t, "tail", string(p[len(p):len(p)+4]))

	var out bytes.Buffer
	var w Writer
	w.Reset(t.Context(), &out, s.key, s.head, Work{})
	p = bytes.Clone(text)
	_, err := w.Write(p)
	require.NoError(t, err)
	clear(p)
	require.NoError(t, w.Close())
	require.True(t, bytes.Equal(s.data, out.Bytes()))
}

func readers(t testing.TB, s *sealed, size int64, work Work) (*Reader, *ReaderAt) {
	t.Helper()
	r, err := NewReader(t.Context(), bytes.NewReader(s.data), s.key, s.head, size, work)
	require.NoError(t, err)
	a, err := NewReaderAt(t.Context(), bytes.NewReader(s.data), s.key, s.head, size, work)
	require.NoError(t, err)
	return r, a
}

func TestReadBack(t *testing.T) {
	for _, n := range sizes() {
		for workers := range 3 {
			work := Work{Workers: workers, Buffers: new(Buffers)}
			s := seal(t, message(n), work)
			for name, wrap := range map[string]func(io.Reader) io.Reader{
				"plain": func(r io.Reader) io.Reader { return r }, "one byte": iotest.OneByteReader, "half": iotest.HalfReader,
				"data and error": iotest.DataErrReader, "empty reads": func(r io.Reader) io.Reader { return &hesitant{r: r} },
			} {
				if n > 6*Size && (name == "one byte" || workers == 0) {
					continue
				}
				r, err := NewReader(t.Context(), wrap(bytes.NewReader(s.data)), s.key, s.head, n, work)
				require.NoError(t, err)
				got, err := io.ReadAll(iotest.HalfReader(r))
				require.NoError(t, err)
				require.True(t, bytes.Equal(s.text, got), "%s: %d bytes", name, n)
				r, err = NewReader(t.Context(), wrap(bytes.NewReader(s.data)), s.key, s.head, n, work)
				require.NoError(t, err)
				var out bytes.Buffer
				k, err := io.Copy(&out, r)
				require.NoError(t, err)
				require.Equal(t, n, k)
				require.True(t, bytes.Equal(s.text, out.Bytes()), name)
			}
			_, a := readers(t, s, n, work)
			require.Equal(t, n, a.Size())
			if n <= Size+1 && workers == 1 {
				require.NoError(t, iotest.TestReader(a, s.text), "%d bytes", n) // Read, Seek and ReadAt
			}
			_, err := a.Seek(0, io.SeekStart)
			require.NoError(t, err)
			got, err := io.ReadAll(io.MultiReader(iotest.OneByteReader(io.LimitReader(a, min(n/3, Size+100))), a))
			require.NoError(t, err)
			require.True(t, bytes.Equal(s.text, got), "%d bytes", n)
		}
	}
}

// hesitant returns nothing now and then.
type hesitant struct {
	r io.Reader
	n int
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.n++; h.n%3 != 0 {
		return 0, nil
	}
	return h.r.Read(p)
}

// counting counts the bytes that are read.
type counting struct {
	io.ReaderAt
	ranges [][2]int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.ranges = append(c.ranges, [2]int64{off, int64(len(p))})
	return c.ReaderAt.ReadAt(p, off)
}

// TestReadAtReadsOnlyItsChunks, whatever the range.
func TestReadAtReadsOnlyItsChunks(t *testing.T) {
	const n = 20*Size + 100
	s := seal(t, message(n), Work{})
	for _, workers := range []int{1, 2} {
		for range 300 {
			off := rand.Int64N(n)
			size := rand.Int64N(min(n-off, 12*Size) + 1)
			c := &counting{ReaderAt: bytes.NewReader(s.data)}
			a, err := NewReaderAt(t.Context(), c, s.key, s.head, n, Work{Workers: workers})
			require.NoError(t, err)
			require.Equal(t, [][2]int64{{0, HeadSize}}, c.ranges)
			c.ranges = nil
			p := make([]byte, size)
			k, err := a.ReadAt(p, off)
			require.NoError(t, err)
			require.EqualValues(t, size, k)
			require.True(t, bytes.Equal(s.text[off:off+size], p))
			var want, got int64
			if size > 0 {
				first, last := off/Size, (off+size-1)/Size
				want = (last - first + 1) * stride
				if last == n/Size {
					want = (last-first)*stride + n%Size + Overhead
				}
				require.Equal(t, HeadSize+first*stride, c.ranges[0][0])
			}
			for _, r := range c.ranges {
				got += r[1]
			}
			require.Equal(t, want, got)
		}
	}
}

// TestEndIsProved: no io.EOF, and no position from the end, before the last
// chunk was authenticated; and then no second time.
func TestEndIsProved(t *testing.T) {
	for _, n := range []int64{0, 5, Size, 3 * Size, 3*Size + 9} {
		s := seal(t, message(n), Work{})
		c := &counting{ReaderAt: bytes.NewReader(s.data)}
		a, err := NewReaderAt(t.Context(), c, s.key, s.head, n, Work{})
		require.NoError(t, err)
		c.ranges = nil
		k, err := a.ReadAt(make([]byte, 3), n)
		require.Equal(t, io.EOF, err)
		require.Zero(t, k)
		require.Equal(t, [][2]int64{{HeadSize + n/Size*stride, n%Size + Overhead}}, c.ranges)
		end, err := a.Seek(0, io.SeekEnd)
		require.NoError(t, err)
		require.Equal(t, n, end)
		_, err = a.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.Len(t, c.ranges, 1)

		bad := bytes.Clone(s.data)
		bad[len(bad)-1] ^= 1
		a, err = NewReaderAt(t.Context(), bytes.NewReader(bad), s.key, s.head, n, Work{})
		require.NoError(t, err)
		for range 2 {
			_, err = a.Seek(0, io.SeekEnd)
			require.ErrorIs(t, err, ErrOpen)
			_, err = a.ReadAt(make([]byte, 3), n)
			require.ErrorIs(t, err, ErrOpen)
			_, err = io.ReadAll(a)
			require.ErrorIs(t, err, ErrOpen)
		}
	}
}

func TestSeek(t *testing.T) {
	s := seal(t, message(100), Work{})
	_, a := readers(t, s, 100, Work{})
	_, err := a.Seek(-1, io.SeekStart)
	require.Error(t, err)
	_, err = a.Seek(0, 9)
	require.Error(t, err)
	_, err = a.Seek(-101, io.SeekEnd)
	require.Error(t, err)
	_, err = a.ReadAt(make([]byte, 1), -1)
	require.Error(t, err)
	at, err := a.Seek(-10, io.SeekEnd)
	require.NoError(t, err)
	require.EqualValues(t, 90, at)
	at, err = a.Seek(5, io.SeekCurrent)
	require.NoError(t, err)
	require.EqualValues(t, 95, at)
	rest, err := io.ReadAll(a)
	require.NoError(t, err)
	require.Equal(t, s.text[95:], rest)
	_, err = a.Seek(1<<62, io.SeekStart)
	require.NoError(t, err)
	_, err = a.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	k, err := a.ReadAt(nil, 5)
	require.NoError(t, err)
	require.Zero(t, k)
}

// TestLengths: exactly the lengths that a ciphertext can have are accepted.
func TestLengths(t *testing.T) {
	valid := map[int64]int64{}
	for n := range int64(3*Size + 10) {
		valid[SealedSize(n)] = n
	}
	for n := int64(-1); n < 3*stride; n++ {
		got, err := PlainSize(n)
		want, ok := valid[n]
		if ok != (err == nil) || got != want || err != nil && !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d: %d, %v", n, got, err)
		}
	}
	got, err := PlainSize(SealedSize(MaxLength))
	require.NoError(t, err)
	require.EqualValues(t, MaxLength, got)
	_, err = PlainSize(SealedSize(MaxLength) + 1 + Overhead)
	require.ErrorIs(t, err, ErrLength)
	require.EqualValues(t, MaxChunks, Chunks(MaxLength))
	require.EqualValues(t, 1<<52-1, MaxLength)

	s := seal(t, nil, Work{})
	for _, n := range []int64{-1, MaxLength + 1} {
		_, err := NewReader(t.Context(), bytes.NewReader(s.data), s.key, s.head, n, Work{})
		require.ErrorIs(t, err, ErrLength)
		_, err = NewReaderAt(t.Context(), bytes.NewReader(s.data), s.key, s.head, n, Work{})
		require.ErrorIs(t, err, ErrLength)
	}
}

// TestChunkLimit: the counter cannot run into the rest of the nonce.
func TestChunkLimit(t *testing.T) {
	input, _ := testInput(t)
	key, head := New(input, nil)
	for full, ok := range map[int64]bool{MaxChunks - 1: true, MaxChunks: false} {
		var w Writer
		w.Reset(t.Context(), io.Discard, key, head, Work{})
		w.full = full
		require.Equal(t, ok, w.Close() == nil)
		require.Equal(t, ok, w.Closed())
	}
	var w Writer
	w.Reset(t.Context(), io.Discard, key, head, Work{})
	w.full = MaxChunks - 1
	_, err := w.Write(make([]byte, Size))
	require.NoError(t, err)
	require.ErrorIs(t, w.Close(), ErrLength)

	a, b, m := nonce{}, nonce{}, key.use()
	m.nonce(&a, 0)
	m.nonce(&b, MaxChunks-1)
	require.Equal(t, a[:7], b[:7])
	require.Equal(t, a[7]^0x3f, b[7])
}

func TestWorkIsCancelled(t *testing.T) {
	text := message(100 * Size)
	s := seal(t, text, Work{})
	for _, workers := range []int{1, 2} {
		ctx, cancel := context.WithCancel(t.Context())
		work := Work{Workers: workers, Progress: func(done int64) {
			if done > 20*Size {
				cancel()
			}
		}}
		var out bytes.Buffer
		var w Writer
		w.Reset(ctx, &out, s.key, s.head, work)
		_, err := w.ReadFrom(bytes.NewReader(text))
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, w.Close(), context.Canceled)
		require.False(t, w.Closed())
		require.Less(t, out.Len(), 80*stride)
		_, err = w.Write(text)
		require.ErrorIs(t, err, context.Canceled)
		_, err = w.ReadFrom(bytes.NewReader(text))
		require.ErrorIs(t, err, context.Canceled)

		ctx, cancel = context.WithCancel(t.Context())
		r, err := NewReader(ctx, bytes.NewReader(s.data), s.key, s.head, 100*Size, work)
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, len(got), 80*Size)
		require.NotEmpty(t, got)

		ctx, cancel = context.WithCancel(t.Context())
		a, err := NewReaderAt(ctx, bytes.NewReader(s.data), s.key, s.head, 100*Size, work)
		require.NoError(t, err)
		p := bytes.Repeat([]byte{1}, 100*Size)
		n, err := a.ReadAt(p, 0)
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, n, 80*Size)
		require.True(t, bytes.Equal(make([]byte, len(p)-n), p[n:]), "the rest is cleared")
		cancel()
	}
}

// cancelling cancels at its third chunk, and counts those begun after that.
type cancelling struct {
	done, late atomic.Int64
	cancelled  atomic.Bool
	cancel     func()
}

func (c *cancelling) do(*nonce, int) error {
	if c.cancelled.Load() {
		c.late.Add(1)
	}
	if c.done.Add(1) == 3 {
		c.cancel()
		c.cancelled.Store(true)
	}
	return nil
}

// TestEachChunkCanBeCancelled, within a batch too.
func TestEachChunkCanBeCancelled(t *testing.T) {
	for workers := 1; workers < 4; workers++ {
		ctx, cancel := context.WithCancel(t.Context())
		j := &cancelling{cancel: cancel}
		w := Work{Workers: workers}
		require.ErrorIs(t, w.each(ctx, 1000, j), context.Canceled)
		require.Less(t, j.late.Load(), int64(workers), "each of the others may have looked just before")
	}
	j := &cancelling{cancel: func() {}}
	require.NoError(t, (&Work{Workers: 3}).each(t.Context(), 1000, j))
	require.EqualValues(t, 1000, j.done.Load())
}

// TestCheck: the work ends where it says so.
func TestCheck(t *testing.T) {
	s := seal(t, message(200*Size), Work{})
	calls, gone := 0, errors.New("gone")
	work := Work{Workers: 1, Check: func() error {
		if calls++; calls > 3 {
			return gone
		}
		return nil
	}}
	r, a := readers(t, s, 200*Size, work)
	got, err := io.ReadAll(r)
	require.Equal(t, gone, err)
	require.Equal(t, (1+4+4)*Size, len(got))
	_, err = a.ReadAt(make([]byte, 1), 0)
	require.Equal(t, gone, err)
	_, err = a.Seek(0, io.SeekEnd)
	require.Equal(t, gone, err)
}

func TestProgress(t *testing.T) {
	const n = 50*Size + 1
	var seen []int64
	work := Work{Workers: 1, Progress: func(done int64) { seen = append(seen, done) }}
	rising := func() {
		t.Helper()
		for i := 1; i < len(seen); i++ {
			require.Greater(t, seen[i], seen[i-1])
		}
		require.Greater(t, len(seen), 3)
		require.EqualValues(t, n, seen[len(seen)-1])
		seen = nil
	}
	s := seal(t, message(n), work)
	rising()
	r, a := readers(t, s, n, work)
	_, err := io.Copy(io.Discard, r)
	require.NoError(t, err)
	rising()
	_, err = a.ReadAt(make([]byte, n), 0)
	require.NoError(t, err)
	rising()
}

var errDisk = errors.New("disk on fire")

// TestFaults of the caller's reader and writer.
func TestFaults(t *testing.T) {
	text := message(3*Size + 5)
	s := seal(t, text, Work{})
	for n := range len(s.data) / 1000 {
		for name, dst := range map[string]io.Writer{"error": &brokenWriter{n: n * 1000, err: errDisk}, "short": &brokenWriter{n: n * 1000}} {
			var w Writer
			w.Reset(t.Context(), dst, s.key, s.head, Work{Workers: 1})
			_, err := w.Write(text)
			if err == nil {
				err = w.Close()
			}
			if name == "error" {
				require.ErrorIs(t, err, errDisk)
			} else {
				require.ErrorIs(t, err, io.ErrShortWrite)
			}
			require.Equal(t, err, w.Close(), "it stays")
			require.False(t, w.Closed())
		}
		r, err := NewReader(t.Context(), io.MultiReader(bytes.NewReader(s.data[:n*1000]), iotest.ErrReader(errDisk)), s.key, s.head, int64(len(text)), Work{})
		if n == 0 {
			require.ErrorIs(t, err, errDisk)
			continue
		}
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, errDisk)
		require.True(t, bytes.HasPrefix(text, got))
		_, err = r.WriteTo(io.Discard)
		require.ErrorIs(t, err, errDisk)
	}

	r, a := readers(t, s, int64(len(text)), Work{})
	_, err := r.WriteTo(&brokenWriter{err: errDisk})
	require.ErrorIs(t, err, errDisk)
	_, err = r.WriteTo(&brokenWriter{})
	require.ErrorIs(t, err, io.ErrShortWrite)
	a.r = brokenReaderAt{errDisk}
	_, err = a.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, errDisk)
	_, err = a.Seek(0, io.SeekEnd)
	require.ErrorIs(t, err, errDisk)
	a.r = brokenReaderAt{nil}
	_, err = a.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrNoProgress)

	var w Writer
	w.Reset(t.Context(), io.Discard, s.key, s.head, Work{})
	_, err = w.ReadFrom(iotest.ErrReader(errDisk))
	require.ErrorIs(t, err, errDisk)
	require.ErrorIs(t, w.Close(), errDisk, "what was read is not the message")
	w.Reset(t.Context(), io.Discard, s.key, s.head, Work{})
	_, err = w.ReadFrom(idle{})
	require.ErrorIs(t, err, io.ErrNoProgress)
	w.Reset(t.Context(), io.Discard, s.key, s.head, Work{})
	require.NoError(t, w.Close())
	_, err = w.Write(text)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = w.ReadFrom(bytes.NewReader(text))
	require.ErrorIs(t, err, io.ErrClosedPipe)

	_, err = NewReader(t.Context(), idle{}, s.key, s.head, 5, Work{})
	require.ErrorIs(t, err, io.ErrNoProgress)
	for what, end := range map[string]io.Reader{"error": iotest.ErrReader(errDisk), "cut off": iotest.ErrReader(io.ErrUnexpectedEOF), "idle": idle{}} {
		r, err = NewReader(t.Context(), io.MultiReader(bytes.NewReader(s.data), end), s.key, s.head, int64(len(text)), Work{})
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.Error(t, err, what)
		require.Less(t, len(got), len(text), "the end is not sure, so it is not returned")
	}
}

type brokenWriter struct {
	n   int
	err error
}

func (b *brokenWriter) Write(p []byte) (int, error) {
	if len(p) > b.n {
		return b.n, b.err
	}
	b.n -= len(p)
	return len(p), nil
}

type brokenReaderAt struct{ err error }

func (b brokenReaderAt) ReadAt([]byte, int64) (int, error) { return 0, b.err }

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// TestTruncated: an early end is ErrTruncated, and never looks like the end.
func TestTruncated(t *testing.T) {
	text := message(3 * Size)
	s := seal(t, text, Work{})
	for n := 0; n < len(s.data); n += 97 {
		cut := &sealed{s.key, s.head, s.text, s.data[:n]}
		for _, r := range []io.Reader{bytes.NewReader(cut.data), io.MultiReader(bytes.NewReader(cut.data), iotest.ErrReader(io.ErrUnexpectedEOF))} {
			x, err := NewReader(t.Context(), r, s.key, s.head, int64(len(text)), Work{})
			if err == nil {
				_, err = io.ReadAll(x)
			}
			require.Equal(t, ErrTruncated, err)
		}
		a, err := NewReaderAt(t.Context(), bytes.NewReader(cut.data), s.key, s.head, int64(len(text)), Work{})
		if n < HeadSize {
			require.Equal(t, ErrTruncated, err)
			continue
		}
		k, err := a.ReadAt(make([]byte, len(text)+1), 0)
		require.Equal(t, ErrTruncated, err)
		require.Zero(t, k)
		_, err = a.Seek(0, io.SeekEnd)
		require.Equal(t, ErrTruncated, err)
	}
}

// TestBuffersHoldNoPlaintext that were given back.
func TestBuffersHoldNoPlaintext(t *testing.T) {
	secretText := bytes.Repeat([]byte("plaintext-of-message"), 3*Size/20+1)
	for _, n := range []int{300, Size - 1, Size, Size + 300, 3 * Size} {
		s := seal(t, secretText[:n], Work{})
		for name, use := range map[string]func(Work){
			"Writer": func(work Work) { seal(t, secretText[:n], work) },
			"Reader": func(work Work) {
				r, _ := readers(t, s, int64(n), work)
				_, err := io.ReadAll(r)
				require.NoError(t, err)
			},
			"ReadAt": func(work Work) {
				_, a := readers(t, s, int64(n), work)
				_, err := a.ReadAt(make([]byte, 100), int64(n)/2)
				require.NoError(t, err)
			},
			"Seek": func(work Work) {
				_, a := readers(t, s, int64(n), work)
				_, err := a.Seek(0, io.SeekEnd)
				require.NoError(t, err)
			},
			"broken writer": func(work Work) {
				var w Writer
				w.Reset(t.Context(), &brokenWriter{err: errDisk}, s.key, s.head, work)
				_, _ = w.Write(secretText[:n])
				require.ErrorIs(t, w.Close(), errDisk)
			},
			"cancelled, not sealed yet": func(work Work) {
				ctx, cancel := context.WithCancel(t.Context())
				var w Writer
				w.Reset(ctx, io.Discard, s.key, s.head, work)
				_, err := w.Write(secretText[:n])
				require.NoError(t, err)
				cancel()
				require.ErrorIs(t, w.Close(), context.Canceled)
			},
		} {
			work := Work{Workers: 1, Buffers: new(Buffers)}
			use(work)
			for range 4 {
				b := work.Buffers.get()
				require.False(t, bytes.Contains(b[:], []byte("plaintext-of")), "%s: %d bytes", name, n)
			}
		}
	}
}

// TestLeak: nothing prints a key.
func TestLeak(t *testing.T) {
	s := seal(t, message(5), Work{})
	m := s.key.use()
	for _, v := range []any{s.key, &s.key, struct{ k Key }{s.key}, struct{ K *Key }{&s.key}, []Key{s.key}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " "} {
				text := fmt.Sprintf("%"+flag+string(verb), v)
				for _, b := range []string{string(m.base[:]), hex.EncodeToString(m.base[:]), strings.Trim(fmt.Sprint(m.base), "[]")} {
					require.NotContains(t, text, b)
				}
			}
		}
	}
	require.Equal(t, "chunked.Key", fmt.Sprintf("%+v", s.key))
	require.Equal(t, "chunked.Key", s.key.LogValue().String())
}
