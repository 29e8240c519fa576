package chunked

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// taker is an underlying writer that a thief reads, or that misbehaves: it
// keeps what it is given and then calls then.
type taker struct {
	got  [][]byte
	then func()
}

func (w *taker) Write(p []byte) (int, error) {
	w.got = append(w.got, bytes.Clone(p))
	if w.then != nil {
		w.then()
	}
	return len(p), nil
}

// TestAttackWriterSealsNoChunkTwice: a chunk is sealed in place, so that to
// seal it a second time under its nonce is to write its plaintext.
func TestAttackWriterSealsNoChunkTwice(t *testing.T) {
	input, _ := testInput(t)
	for i, text := range [][]byte{message(3*Size + 100), message(3*Size + 100), message(20*Size + 1)} {
		workers := 1 + i%2
		for name, misuse := range map[string]func(w *Writer, dst *taker){
			// A server's handler recovers, and its deferred calls have run.
			"closed after a panic": func(w *Writer, dst *taker) {
				dst.then = func() { dst.then = nil; panic("connection lost") }
				require.Panics(t, func() {
					defer w.Close()
					_, _ = w.Write(text)
					_ = w.Close()
				})
			},
			"written after a panic": func(w *Writer, dst *taker) {
				dst.then = func() { dst.then = nil; panic("connection lost") }
				require.Panics(t, func() { _, _ = w.ReadFrom(bytes.NewReader(text)); _ = w.Close() })
				_, err := w.Write(text)
				require.Error(t, err)
				_, err = w.ReadFrom(bytes.NewReader(text))
				require.Error(t, err)
				require.Error(t, w.Close())
			},
			"closed by its own writer": func(w *Writer, dst *taker) {
				dst.then = func() { dst.then = nil; require.Error(t, w.Close()) }
				_, _ = w.Write(text)
				_ = w.Close()
			},
			"written by its own writer": func(w *Writer, dst *taker) {
				dst.then = func() { dst.then = nil; _, err := w.Write(text); require.Error(t, err) }
				_, _ = w.Write(text)
				_ = w.Close()
			},
		} {
			dst := &taker{}
			key, head := New(input, nil)
			var w Writer
			w.Reset(t.Context(), dst, key, head, Work{Workers: workers})
			misuse(&w, dst)
			seen := map[string]bool{}
			for _, p := range dst.got {
				require.False(t, bytes.Contains(p, text[:32]) || bytes.Contains(p, text[Size:][:32]), "%s: plaintext was written", name)
				if len(p) > HeadSize && [HeadSize]byte(p) == head {
					p = p[HeadSize:]
				}
				for ; len(p) > 0; p = p[min(len(p), stride):] {
					c := string(p[:min(len(p), stride)])
					require.False(t, seen[c], "%s: a chunk was written twice", name)
					seen[c] = true
				}
			}
		}
	}
}

// TestAttackWriterByTwo: who cancels by a Close in another goroutine must not
// have two goroutines seal under one nonce, nor a whole message out of half.
func TestAttackWriterByTwo(t *testing.T) {
	text := message(10 * Size)
	input, _ := testInput(t)
	key, head := New(input, nil)
	dst := &taker{}
	var w Writer
	w.Reset(t.Context(), dst, key, head, Work{Workers: 1})
	inside, leave := make(chan struct{}), make(chan struct{})
	dst.then = func() {
		if len(dst.got) == 1 {
			close(inside)
			<-leave
		}
	}
	var done sync.WaitGroup
	done.Go(func() {
		_, err := w.Write(text)
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	require.ErrorIs(t, w.Close(), ErrBusy)
	_, err := w.Write(text)
	require.ErrorIs(t, err, ErrBusy)
	_, err = w.ReadFrom(bytes.NewReader(text))
	require.ErrorIs(t, err, ErrBusy)
	close(leave)
	done.Wait()
	require.NoError(t, w.Close())
	s := &sealed{key, head, text, bytes.Join(dst.got, nil)}
	r, _ := readers(t, s, w.Len(), Work{})
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(text, got), "who came second has changed nothing")
}

var errOften = errors.New("try again")

// TestWriteToGoesOn: a writer that took some bytes and failed is given the rest
// by the next call, and none twice.
func TestWriteToGoesOn(t *testing.T) {
	s := seal(t, message(3*Size+5), Work{})
	for _, step := range []int{1000, Size, 2*Size + 7} {
		r, _ := readers(t, s, int64(len(s.text)), Work{Workers: 1})
		var out bytes.Buffer
		for {
			n, err := r.WriteTo(&limited{&out, step})
			if err == nil {
				break
			}
			require.ErrorIs(t, err, errOften)
			require.LessOrEqual(t, n, int64(step))
		}
		require.True(t, bytes.Equal(s.text, out.Bytes()))
	}
}

// limited takes left bytes and fails.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, _ = l.w.Write(p[:n])
	if n < len(p) {
		return n, errOften
	}
	return n, nil
}

// TestReadAfterAFailure: what a Read that failed has left in the chunk that is
// kept is never taken for another chunk, nor for itself.
func TestReadAfterAFailure(t *testing.T) {
	s := seal(t, message(3*Size+5), Work{})
	bad := bytes.Clone(s.data)
	bad[HeadSize+stride+100] ^= 1 // the second chunk
	ok := true
	work := Work{Check: func() error {
		if !ok {
			return errOften
		}
		return nil
	}}
	a, err := NewReaderAt(t.Context(), bytes.NewReader(bad), s.key, s.head, int64(len(s.text)), work)
	require.NoError(t, err)
	read := func(at int64) ([]byte, error) {
		_, err := a.Seek(at, io.SeekStart)
		require.NoError(t, err)
		p := make([]byte, 10)
		n, err := a.Read(p)
		return p[:n], err
	}
	first := func() {
		t.Helper()
		got, err := read(7)
		require.NoError(t, err)
		require.Equal(t, s.text[7:17], got)
	}
	first()
	_, err = a.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	for range 2 {
		got, err := read(Size + 7)
		require.ErrorIs(t, err, ErrOpen)
		require.Empty(t, got)
		first()
	}
	ok = false
	for range 2 {
		got, err := read(7)
		require.ErrorIs(t, err, errOften)
		require.Empty(t, got)
		require.Equal(t, make([]byte, cap(a.chunk)), a.chunk[:cap(a.chunk)], "plaintext is kept")
	}
	_, err = a.Seek(0, io.SeekEnd)
	require.ErrorIs(t, err, errOften)
	ok = true
	first()
}

// TestNothingIsReadAfterTheEnd of a context.
func TestNothingIsReadAfterTheEnd(t *testing.T) {
	s := seal(t, message(3*Size+5), Work{})
	ctx, cancel := context.WithCancel(t.Context())
	c := &counting{ReaderAt: bytes.NewReader(s.data)}
	a, err := NewReaderAt(ctx, c, s.key, s.head, int64(len(s.text)), Work{})
	require.NoError(t, err)
	stream := bytes.NewReader(s.data)
	r, err := NewReader(ctx, stream, s.key, s.head, int64(len(s.text)), Work{})
	require.NoError(t, err)
	_, err = a.Seek(0, io.SeekEnd)
	require.NoError(t, err)
	cancel()
	c.ranges = nil
	_, err = a.ReadAt(make([]byte, 5), 0)
	require.ErrorIs(t, err, context.Canceled)
	_, err = a.Seek(0, io.SeekEnd)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, c.ranges)
	left := stream.Len()
	_, err = r.Read(make([]byte, 5))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, left, stream.Len())
}

// TestTruncatedAt: an underlying ReaderAt says in two ways that it has ended.
func TestTruncatedAt(t *testing.T) {
	s := seal(t, message(100), Work{})
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
		_, err := NewReaderAt(t.Context(), brokenReaderAt{end}, s.key, s.head, 100, Work{})
		require.Equal(t, ErrTruncated, err)
	}
}

// TestWorkersAreBounded, and with them the memory; and what a Writer was given
// it does not keep.
func TestWorkersAreBounded(t *testing.T) {
	require.Equal(t, maxWorkers, (&Work{Workers: 1000}).workers())
	require.EqualValues(t, maxWorkers*perWorker, (&Work{Workers: 1000}).batch())
	input, _ := testInput(t)
	key, head := New(input, nil)
	var w Writer
	w.Reset(t.Context(), io.Discard, key, head, Work{Workers: 1})
	_, err := w.Write(message(2 * lone * Size))
	require.NoError(t, err)
	require.Nil(t, w.from)
}
