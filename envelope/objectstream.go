package envelope

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
)

// Writer seals an object as it is written: [Objects.Create] makes it. It is for
// one goroutine. It holds a key and plaintext; it prints as a fixed text.
//
// A call while another one runs is ErrState and changes nothing: what ends a
// Writer from outside is its context. After a panic of the underlying writer
// or reader each call is ErrState.
//
// Close ends the object, and only then it has a reference. A Writer that
// failed stays failed and has none; nor is there one for a Writer that is
// dropped, so that what it has written opens for nobody. Nothing is to be
// cleaned up but that. An erasure of the subject does not end a Writer; the
// object then opens for nobody either.
type Writer struct {
	_   [0]func()
	use func() *sealing
}

type sealing struct {
	chunks  chunked.Writer
	objects *Objects
	object  Object // its length is still to be known
}

// Write seals p, in chunks of 16 KiB. The error is that of the underlying
// writer, of the context, ErrLimit beyond 4 PiB, or ErrState after Close.
func (w *Writer) Write(p []byte) (int, error) {
	s := w.use()
	if s.chunks.Closed() {
		return 0, s.objects.state("closed")
	}
	n, err := s.chunks.Write(p)
	return n, s.objects.failed("seal", err)
}

// ReadFrom seals all of r; [io.Copy] calls it. An error of r fails the Writer:
// the object is not whole.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	s := w.use()
	if s.chunks.Closed() {
		return 0, s.objects.state("closed")
	}
	n, err := s.chunks.ReadFrom(r)
	return n, s.objects.failed("seal", err)
}

// Close seals the last chunk and so ends the object. It does not close the
// underlying writer, nor make durable what was written to it. If the Writer
// has failed it returns that error.
func (w *Writer) Close() error {
	s := w.use()
	return s.objects.failed("seal", s.chunks.Close())
}

// Object returns the reference, after a Close without error: else ErrState.
func (w *Writer) Object() (Object, error) {
	s := w.use()
	if !s.chunks.Closed() {
		return Object{}, s.objects.state("not closed, or failed")
	}
	object := s.object
	object.size = s.chunks.Len()
	return object, nil
}

// Format writes a fixed text, whatever the verb.
func (w *Writer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Writer") }

// LogValue is a fixed text.
func (w *Writer) LogValue() slog.Value { return slog.StringValue("envelope.Writer") }

// Reader opens an object from its beginning: [Objects.Open] makes it. It is for
// one goroutine. It holds a key and plaintext; it prints as a fixed text.
//
// It returns nothing that was not authenticated, and the last chunk, of up to
// 16 KiB, only when the underlying reader has ended: io.EOF says that the
// object was all there. What it returned before another error is authentic,
// but not the object. Errors are those of [Objects.Open], and stay.
//
// Each batch of chunks asks the ring whether the subject's key is still in
// service, so that an erasure ends a Reader in use too, within 5 seconds.
type Reader struct {
	_   [0]func()
	use func() (*chunked.Reader, *Objects)
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	c, o := r.use()
	n, err := c.Read(p)
	return n, o.failed("open", err)
}

// WriteTo writes all that is left to w; [io.Copy] calls it, and needs no buffer.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	c, o := r.use()
	n, err := c.WriteTo(w)
	return n, o.failed("open", err)
}

// Format writes a fixed text, whatever the verb.
func (r *Reader) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Reader") }

// LogValue is a fixed text.
func (r *Reader) LogValue() slog.Value { return slog.StringValue("envelope.Reader") }

// ReaderAt opens any part of an object: [Objects.OpenAt] makes it. ReadAt may be
// called by many goroutines at once, Read and Seek by one. It holds a key and
// plaintext; it prints as a fixed text.
//
// It reads only the chunks of 16 KiB that a range lies in, and returns nothing
// that was not authenticated. Chunks that are not read are not checked. Erasure
// ends it as it ends a [Reader]. Errors are those of [Objects.Open].
type ReaderAt struct {
	_   [0]func()
	use func() (*chunked.ReaderAt, *Objects)
}

// ReadAt implements [io.ReaderAt]. If a chunk does not open, p is cleared from
// its batch of chunks on. Before it returns io.EOF for the first time it opens
// the last chunk, which proves the length.
func (r *ReaderAt) ReadAt(p []byte, off int64) (int, error) {
	c, o := r.use()
	n, err := c.ReadAt(p, off)
	return n, o.failed("open", err)
}

// Read implements [io.Reader]. It keeps the chunk of the position, so that short
// reads cost no more than long ones.
func (r *ReaderAt) Read(p []byte) (int, error) {
	c, o := r.use()
	n, err := c.Read(p)
	return n, o.failed("open", err)
}

// Seek implements [io.Seeker]. From the end it opens the last chunk first,
// which proves the length.
func (r *ReaderAt) Seek(offset int64, whence int) (int64, error) {
	c, o := r.use()
	n, err := c.Seek(offset, whence)
	return n, o.failed("open", err)
}

// Size returns the object's length as the reference says.
func (r *ReaderAt) Size() int64 {
	c, _ := r.use()
	return c.Size()
}

// Format writes a fixed text, whatever the verb.
func (r *ReaderAt) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.ReaderAt") }

// LogValue is a fixed text.
func (r *ReaderAt) LogValue() slog.Value { return slog.StringValue("envelope.ReaderAt") }

// state says that a Writer is not in the state for a call.
func (o *Objects) state(what string) error {
	return fmt.Errorf("%w: object type %q: %s", ErrState, o.objectType, what)
}
