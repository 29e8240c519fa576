package chunked

import (
	"bytes"
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
	text := message(3*Size + 100)
	input, _ := testInput(t)
	for _, workers := range []int{1, 2} {
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
	ok = true
	first()
}
