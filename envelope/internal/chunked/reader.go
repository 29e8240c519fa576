package chunked

import (
	"context"
	"errors"
	"io"
)

// Reader opens a ciphertext from its beginning. It is for one goroutine.
type Reader struct {
	ctx  context.Context
	r    io.Reader
	key  Key
	work Work
	size int64 // of the message

	next   int64 // chunk to be opened
	batch  int64 // chunks to be opened at once
	sealed []byte
	plain  []byte
	dirty  int        // how much of plain has held plaintext
	kept   [2]*buffer // the first ones
	ready  []byte     // opened and not yet read
	err    error      // to be returned when ready is empty
}

// NewReader returns a Reader of the message of size bytes whose ciphertext is
// all of r, after it has read the head and compared it with head. The key is
// the one that head commits to.
func NewReader(ctx context.Context, r io.Reader, key Key, head Head, size int64, work Work) (*Reader, error) {
	if size < 0 || size > MaxLength {
		return nil, ErrLength
	}
	var got Head
	if err := readFull(r, got[:]); err != nil {
		return nil, err
	}
	if got != head {
		return nil, ErrOpen
	}
	c := &Reader{ctx: ctx, r: r, key: key, work: work, size: size, batch: 1}
	for i, b := range []*[]byte{&c.sealed, &c.plain} {
		c.kept[i] = work.Buffers.get()
		*b = c.kept[i][:]
	}
	return c, nil
}

// Read returns bytes of chunks that were authenticated. The last chunk is
// returned only after r has ended, so that io.EOF says that all of the message
// was there, and nothing behind it.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.fill(); len(r.ready) == 0 {
		return 0, r.err
	}
	n := copy(p, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// WriteTo writes all that is left of the message to w.
func (r *Reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		if r.fill(); len(r.ready) == 0 {
			if r.err == io.EOF {
				return total, nil
			}
			return total, r.err
		}
		n, err := w.Write(r.ready)
		total += int64(n)
		if err == nil && n != len(r.ready) {
			err = io.ErrShortWrite
		}
		r.ready = r.ready[max(0, min(n, len(r.ready))):] // a further call goes on there
		if err != nil {
			return total, err
		}
	}
}

// fill opens the next batch, if nothing is ready.
func (r *Reader) fill() {
	for len(r.ready) == 0 && r.err == nil {
		if r.err = r.open(); r.err != nil {
			clear(r.plain[:cap(r.plain)][:r.dirty])
			r.sealed, r.plain = nil, nil
			r.work.Buffers.put(r.kept[0])
			r.work.Buffers.put(r.kept[1])
			r.kept = [2]*buffer{}
		}
	}
}

// open makes the next batch of chunks ready, all or none, or returns io.EOF.
func (r *Reader) open() error {
	left := Chunks(r.size) - r.next
	if left == 0 {
		return io.EOF
	}
	n := min(r.batch, left)
	first := r.next * Size
	plain := resize(&r.plain, min(n*Size, r.size-first))
	r.dirty = max(r.dirty, len(plain))
	sealed := resize(&r.sealed, int64(len(plain))+n*Overhead)
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if err := readFull(r.r, sealed); err != nil {
		return err
	}
	if n == left {
		if err := readEnd(r.r); err != nil {
			return err
		}
	}
	if err := r.work.each(r.ctx, int(n), r); err != nil {
		return err
	}
	r.next += n
	r.batch = min(lone*r.batch, r.work.batch()) // the first bytes come soon, the others fast
	r.ready = plain
	r.work.progress(first + int64(len(plain)))
	return nil
}

// do opens chunk i of the batch.
func (r *Reader) do(n *nonce, i int) error {
	return r.key.use().open(n, r.plain[i*Size:][:0], piece(r.sealed, i, stride), r.next+int64(i))
}

// piece is the i-th piece of n bytes, or what there is of it.
func piece(b []byte, i, n int) []byte {
	b = b[i*n:]
	return b[:min(n, len(b))]
}

// resize returns *b with n bytes.
func resize(b *[]byte, n int64) []byte {
	if int64(cap(*b)) < n {
		clear(*b)
		*b = make([]byte, n)
	}
	*b = (*b)[:n]
	return *b
}

// readFull fills p. A reader that ends before is ErrTruncated: never io.EOF,
// which a caller would take for the end of the message.
func readFull(r io.Reader, p []byte) error {
	for n := 0; n < len(p); {
		k, err := readSome(r, p[n:])
		n += k
		switch {
		case n == len(p): // an error comes again, if it lasts
		case ended(err):
			return ErrTruncated
		case err != nil:
			return err
		}
	}
	return nil
}

// readEnd makes sure that r has ended.
func readEnd(r io.Reader) error {
	var b [1]byte
	switch n, err := readSome(r, b[:]); {
	case n > 0:
		return ErrOpen
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// readSome is r.Read until it returns something.
func readSome(r io.Reader, p []byte) (int, error) {
	for range maxIdle {
		if n, err := r.Read(p); n != 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
