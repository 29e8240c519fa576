package chunked

import (
	"context"
	"io"
	"sync/atomic"
)

// Writer seals what is written to it. It is for one goroutine. A Writer that
// failed stays failed, and one that is not closed has not written a message.
type Writer struct {
	// busy is set while a call runs, and for good if it panics. Chunks are
	// sealed in place: whoever sealed one again, under its nonce, as a Close that
	// was deferred or is another goroutine's would, would write its plaintext.
	busy atomic.Bool

	ctx  context.Context
	w    io.Writer
	key  Key
	work Work

	// buf is room for the head, and then for chunks with their tags, in which
	// they are sealed in place. It grows with the message, up to a batch.
	buf     []byte
	kept    *buffer // the first one
	head    int     // bytes of the head that are still to be written
	pending int     // bytes of plaintext in buf
	from    []byte  // plaintext that is sealed from where it is, during a call
	full    int64   // chunks written
	size    int64   // bytes of plaintext in them
	closed  bool
	err     error
}

// Reset makes w ready to write the ciphertext of a message to dst, in pieces of
// its own choice: none before a chunk is full or Close is called. The key and
// the head must come from [New], and be used once.
func (w *Writer) Reset(ctx context.Context, dst io.Writer, key Key, head Head, work Work) {
	*w = Writer{ctx: ctx, w: dst, key: key, work: work, head: HeadSize, kept: work.Buffers.get()}
	w.buf = w.kept[:]
	copy(w.buf, head[:])
}

// Write seals p, and keeps of it what does not fill a chunk.
func (w *Writer) Write(p []byte) (n int, err error) {
	if !w.enter() {
		return 0, ErrBusy
	}
	n, err = w.write(p)
	w.leave()
	return n, err
}

func (w *Writer) write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	done := 0
	for done < len(p) {
		n, rest := 0, p[done:]
		if batch := w.work.batch(); w.pending == 0 && int64(len(rest)) >= batch*Size {
			n = w.writeBatch(rest, int(batch))
		} else {
			w.grow()
			n = copy(w.room(), rest)
			w.add(n)
		}
		if w.err != nil {
			return done, w.err
		}
		done += n
	}
	return done, nil
}

// writeBatch seals n chunks straight from p.
func (w *Writer) writeBatch(p []byte, n int) int {
	if w.capacity() < n {
		w.resize(n)
	}
	w.seal(n, p[:n*Size])
	return n * Size
}

// maxIdle is how many empty reads in a row are borne.
const maxIdle = 100

// ReadFrom seals all of r, and returns how many bytes it read. An error of r
// fails the Writer too: what was read is not a whole message.
func (w *Writer) ReadFrom(r io.Reader) (total int64, err error) {
	if !w.enter() {
		return 0, ErrBusy
	}
	total, err = w.readFrom(r)
	w.leave()
	return total, err
}

func (w *Writer) readFrom(r io.Reader) (total int64, err error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	for idle := 0; w.err == nil; {
		w.grow()
		n, err := r.Read(w.room())
		w.add(n)
		total += int64(n)
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case w.err != nil:
		case err == io.EOF:
			return total, nil
		case err != nil:
			w.fail(err)
		case idle == maxIdle:
			w.fail(io.ErrNoProgress)
		}
	}
	return total, w.err
}

// Close seals what is left as the last chunk, and so ends the message. It does
// not close the underlying writer.
func (w *Writer) Close() error {
	if !w.enter() {
		return ErrBusy
	}
	err := w.close()
	w.leave()
	return err
}

func (w *Writer) close() error {
	if w.err != nil || w.closed {
		return w.err
	}
	w.seal(w.pending/Size+1, nil)
	w.closed = w.err == nil
	w.release()
	return w.err
}

// enter begins a call, if none runs and none has panicked.
func (w *Writer) enter() bool { return w.busy.CompareAndSwap(false, true) }

// leave ends a call. It must not be deferred: after a panic nothing is known of
// which nonces were used.
func (w *Writer) leave() { w.busy.Store(false) }

// release gives back what is not needed any more.
func (w *Writer) release() {
	w.buf = nil
	w.work.Buffers.put(w.kept)
	w.kept = nil
}

// Closed reports whether the message was written to its end.
func (w *Writer) Closed() bool { return w.closed }

// Len returns how many bytes of plaintext were sealed and written.
func (w *Writer) Len() int64 { return w.size }

func (w *Writer) usable() error {
	if w.err == nil && w.closed {
		return io.ErrClosedPipe
	}
	return w.err
}

// chunk is the room for chunk i of buf and its tag.
func (w *Writer) chunk(i int) []byte { return w.buf[HeadSize+i*stride:][:stride] }

// capacity is how many chunks buf has room for.
func (w *Writer) capacity() int { return (len(w.buf) - HeadSize) / stride }

// grow makes the next batch a larger one than the last.
func (w *Writer) grow() {
	if capacity, batch := w.capacity(), int(w.work.batch()); w.pending == 0 && w.full > 0 && capacity < batch {
		w.resize(min(2*capacity, batch))
	}
}

// resize makes buf, in which nothing is pending, one for n chunks.
func (w *Writer) resize(n int) {
	old := w.buf
	w.buf = make([]byte, HeadSize+n*stride)
	copy(w.buf, old[:w.head])
}

// room is where the next plaintext goes.
func (w *Writer) room() []byte { return w.chunk(w.pending / Size)[w.pending%Size : Size] }

// add counts n bytes that were put into room, and seals a batch that is full.
func (w *Writer) add(n int) {
	w.pending += n
	if c := w.capacity(); w.pending == c*Size {
		w.seal(c, nil)
	}
}

// plain is the plaintext of chunk i.
func (w *Writer) plain(i int) []byte {
	if w.from != nil {
		return w.from[i*Size:][:Size]
	}
	return w.chunk(i)[:min(Size, w.pending-i*Size)]
}

// do seals chunk i into buf.
func (w *Writer) do(n *nonce, i int) error {
	w.key.use().seal(n, w.chunk(i)[:0], w.plain(i), w.full+int64(i))
	return nil
}

// seal seals n chunks into buf, out of from or else in place, and writes them.
func (w *Writer) seal(n int, from []byte) {
	if w.full+int64(n) > MaxChunks {
		w.fail(ErrLength)
		return
	}
	w.from = from
	err := w.work.each(w.ctx, n, w)
	last := len(w.plain(n - 1))
	w.from = nil // it is the caller's
	if err != nil {
		w.fail(err)
		return
	}
	out := w.buf[HeadSize-w.head : HeadSize+(n-1)*stride+last+Overhead]
	switch k, err := w.w.Write(out); {
	case err != nil:
		w.fail(err)
		return
	case k != len(out):
		w.fail(io.ErrShortWrite)
		return
	}
	w.full += int64(n)
	w.size += int64(n-1)*Size + int64(last)
	w.head, w.pending = 0, 0
	w.work.progress(w.size)
}

func (w *Writer) fail(err error) {
	w.err = err
	clear(w.buf) // some of it may not be sealed yet
	w.release()
}
