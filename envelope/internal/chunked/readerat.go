package chunked

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
)

// ReaderAt opens any range of a ciphertext, by the chunks that it lies in.
// ReadAt may be called by many goroutines at once, Read and Seek by one.
type ReaderAt struct {
	ctx  context.Context
	r    io.ReaderAt
	key  Key
	work Work
	size int64
	end  atomic.Bool // the last chunk was authenticated, and so the size

	position int64
	chunk    []byte // opened for Read
	at       int64  // its number, or -1
}

// NewReaderAt returns a ReaderAt of the message of size bytes whose ciphertext
// is r, after it has read the head and compared it with head. The key is the
// one that head commits to.
func NewReaderAt(ctx context.Context, r io.ReaderAt, key Key, head Head, size int64, work Work) (*ReaderAt, error) {
	if size < 0 || size > MaxLength {
		return nil, ErrLength
	}
	var got Head
	if err := readAt(r, got[:], 0); err != nil {
		return nil, err
	}
	if got != head {
		return nil, ErrOpen
	}
	return &ReaderAt{ctx: ctx, r: r, key: key, work: work, size: size, at: -1}, nil
}

// Size returns the length of the message, as it was given.
func (a *ReaderAt) Size() int64 { return a.size }

var errPosition = errors.New("negative position")

// ReadAt opens the chunks that the range lies in, and reads no others, but for
// the last one before it first returns io.EOF. If one is not authentic nothing
// of its batch is returned, and p is cleared behind what is.
func (a *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errPosition
	}
	n, err := a.read(p[:max(0, min(int64(len(p)), a.size-off))], off)
	if err == nil && n < len(p) {
		if err = a.proveEnd(); err == nil {
			err = io.EOF
		}
	}
	return n, err
}

// read fills p, which lies within the message.
func (a *ReaderAt) read(p []byte, off int64) (int, error) {
	kept := a.work.Buffers.get()
	defer a.work.Buffers.put(kept)
	buf := kept[:0]
	for done := 0; done < len(p); {
		n, err := a.open(p[done:], off+int64(done), &buf)
		if err != nil {
			clear(p[done:])
			return done, err
		}
		done += n
		a.work.progress(int64(done))
	}
	return len(p), nil
}

// open opens the first chunks of the range p at off, as many as a batch has,
// and returns how much of p that is. It leaves no plaintext in buf.
func (a *ReaderAt) open(p []byte, off int64, buf *[]byte) (int, error) {
	first, last := off/Size, (off+int64(len(p))-1)/Size
	n := min(last-first+1, a.work.batch())
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	length := min(n*Size, a.size-first*Size)
	sealed := resize(buf, length+n*Overhead)
	if err := readAt(a.r, sealed, HeadSize+first*stride); err != nil {
		return 0, err
	}
	if err := a.work.each(a.ctx, int(n), &part{a.key.use(), first, off, p, sealed}); err != nil {
		return 0, err
	}
	if first+n == Chunks(a.size) {
		a.end.Store(true)
	}
	return int(min(int64(len(p)), (first+n)*Size-off)), nil
}

// part is one batch of a range.
type part struct {
	m      *material
	first  int64 // chunk
	off    int64 // of p in the message
	p      []byte
	sealed []byte
}

// do opens chunk i into p, as far as it lies in there.
func (b *part) do(n *nonce, i int) error {
	c := piece(b.sealed, i, stride)
	number := b.first + int64(i)
	start, size := number*Size-b.off, int64(len(c)-Overhead)
	if 0 <= start && start+size <= int64(len(b.p)) { // all of it
		return b.m.open(n, b.p[start:start:start+size], c, number)
	}
	if err := b.m.open(n, c[:0], c, number); err != nil {
		return err
	}
	copy(b.p[max(0, start):], c[max(0, -start):size])
	clear(c)
	return nil
}

// proveEnd opens the last chunk, once: only an authentic one says how long the
// message is.
func (a *ReaderAt) proveEnd() error {
	if a.end.Load() {
		return a.work.check(a.ctx)
	}
	last := Chunks(a.size) - 1
	kept := a.work.Buffers.get()
	defer a.work.Buffers.put(kept)
	sealed := kept[:a.size-last*Size+Overhead]
	if err := readAt(a.r, sealed, HeadSize+last*stride); err != nil {
		return err
	}
	err := a.work.each(a.ctx, 1, &part{a.key.use(), last, last * Size, nil, sealed})
	if err == nil {
		a.end.Store(true)
	}
	return err
}

// Read reads on from the position. It keeps the chunk that it is in, so that
// short reads cost no more than long ones.
func (a *ReaderAt) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := 0, error(nil)
	if a.position >= a.size || len(p) >= Size {
		if n, err = a.ReadAt(p, a.position); n > 0 && err == io.EOF {
			err = nil
		}
	} else if err = a.load(a.position / Size); err == nil {
		n = copy(p, a.chunk[a.position%Size:])
	}
	a.position += int64(n)
	return n, err
}

// load opens chunk i for Read. What is kept is asked for like what is not: else
// it could be read as long as a is there, when the rest no longer can.
func (a *ReaderAt) load(i int64) (err error) {
	if a.at == i {
		err = a.work.check(a.ctx)
	} else {
		_, err = a.read(resize(&a.chunk, min(Size, a.size-i*Size)), i*Size)
	}
	if a.at = i; err != nil {
		clear(a.chunk[:cap(a.chunk)])
		a.at = -1
	}
	return err
}

// Seek sets the position for Read. From the end it authenticates that first.
func (a *ReaderAt) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += a.position
	case io.SeekEnd:
		if err := a.proveEnd(); err != nil {
			return 0, err
		}
		offset += a.size
	default:
		return 0, errors.New("invalid whence")
	}
	if offset < 0 {
		return 0, errPosition
	}
	a.position = offset
	return offset, nil
}

// readAt fills p from off, or says that r ends before.
func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil:
		return io.ErrNoProgress // r breaks its contract
	case ended(err):
		return ErrTruncated
	}
	return err
}
