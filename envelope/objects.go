package envelope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/keyring"
)

// objectLabel separates what an object binds from every other use of a key.
const objectLabel = "rahasia/object/v1"

// Objects seals and opens objects: what is too large for a field, such as an
// ECG, a film or a laboratory's file, each under one subject's key in one
// compartment. It is safe for concurrent use. The zero Objects is not valid;
// make one with [NewObjects].
//
// An object is not changed once it is sealed: another version is another
// object, with an id of its own, and which one counts the owning record says by
// the [Object] in it. Its length shows, to the byte.
type Objects struct {
	objectType, compartment string
	ring                    *keyring.Ring
	buffers                 chunked.Buffers
}

// ObjectOptions says how a call works. The zero value is the default.
type ObjectOptions struct {
	// Workers is how many chunks of 16 KiB are sealed or opened at once, at most
	// 32; 0 is GOMAXPROCS. Each of them takes up to 256 KiB of memory.
	Workers int
	// Progress, if not nil, is told how many bytes of the object are done, for
	// a ReaderAt how many of this call of ReadAt. The goroutine that reads or
	// writes calls it, after each batch of chunks.
	Progress func(done int64)
}

// NewObjects returns the objects of one type, a name of 1 to 255 bytes that is
// bound into each of them, in one compartment: those of another type, or in
// another compartment, do not open. The compartment's keyset need not exist yet.
//
// It returns ErrEmpty without a type, a compartment or a ring, ErrLimit for a
// type that is too long, and ErrCompartment for a name that no compartment has.
func NewObjects(objectType, compartment string, ring *keyring.Ring) (*Objects, error) {
	switch {
	case ring == nil:
		return nil, fmt.Errorf("%w: no ring", ErrEmpty)
	case objectType == "":
		return nil, fmt.Errorf("%w: no object type", ErrEmpty)
	case compartment == "":
		return nil, fmt.Errorf("%w: object type %q has no compartment", ErrEmpty, objectType)
	case len(objectType) > maxID:
		return nil, fmt.Errorf("%w: object type longer than %d bytes", ErrLimit, maxID)
	case !validCompartment([]byte(compartment)):
		return nil, fmt.Errorf("%w: object type %q: a compartment's name is [a-z][a-z0-9-]{0,31}", ErrCompartment, objectType)
	}
	return &Objects{objectType: objectType, compartment: compartment, ring: ring}, nil
}

// Format writes a fixed text, whatever the verb.
func (o *Objects) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Objects") }

// LogValue is a fixed text.
func (o *Objects) LogValue() slog.Value { return slog.StringValue("envelope.Objects") }

// Create returns a Writer that seals a new object of the subject, under the
// newest generation of its key, and writes it to w. It creates the subject's
// key where there is none yet. If ctx ends before the Writer is closed, the
// Writer fails.
//
// It returns ErrEmpty without a subject or a w, ErrLimit for a subject id of
// more than 255 bytes, and the errors of keyring, such as ErrNotGranted and
// ErrShredded.
func (o *Objects) Create(ctx context.Context, subject string, w io.Writer, opts ObjectOptions) (*Writer, error) {
	if err := o.subject(subject, w == nil); err != nil {
		return nil, err
	}
	keys, err := o.ring.CreateSubject(ctx, subject, o.compartment)
	if err != nil {
		return nil, fmt.Errorf("envelope: seal object type %q: %w", o.objectType, err)
	}
	object := Object{id: newID(), generation: keys[0].Generation()}
	input, err := keys[0].Object(object.generation)
	if err != nil {
		return nil, fmt.Errorf("envelope: seal object type %q: %w", o.objectType, err)
	}
	var context [maxObjectContext]byte
	key, head := chunked.New(input, o.context(context[:0], subject, &object))
	object.head = head
	s := &sealing{objects: o, object: object}
	s.chunks.Reset(ctx, w, key, head, chunked.Work{Workers: opts.Workers, Progress: opts.Progress, Buffers: &o.buffers})
	return &Writer{use: func() *sealing { return s }}, nil
}

// Open returns a Reader of the object that a reference names, as the subject's.
// r must yield the sealed object from its first byte, and end where it ends.
// Open reads the head, 56 bytes, and compares it with the reference; before
// that it reads nothing. The Reader works until ctx ends.
//
// It returns ErrOpen if the reference is not to an object of this subject,
// type, compartment and ring, or r begins with another one; ErrTruncated if r
// ends already; ErrEmpty without a subject, an r or with the zero Object; and
// the errors of keyring. A key that only the reference names, and that is not
// there, is both ErrOpen and the error of keyring.
func (o *Objects) Open(ctx context.Context, subject string, object Object, r io.Reader, opts ObjectOptions) (*Reader, error) {
	key, work, err := o.begin(ctx, subject, object, r == nil, opts)
	if err != nil {
		return nil, err
	}
	c, err := chunked.NewReader(ctx, r, key, object.head, object.size, work)
	if err != nil {
		return nil, o.failed("open", err)
	}
	return &Reader{use: func() (*chunked.Reader, *Objects) { return c, o }}, nil
}

// OpenAt is like [Objects.Open] for a sealed object of which any part can be
// read: one film of a series, one minute of an ECG. It reads the head alone.
// What follows the sealed object in r it does not see.
func (o *Objects) OpenAt(ctx context.Context, subject string, object Object, r io.ReaderAt, opts ObjectOptions) (*ReaderAt, error) {
	key, work, err := o.begin(ctx, subject, object, r == nil, opts)
	if err != nil {
		return nil, err
	}
	c, err := chunked.NewReaderAt(ctx, r, key, object.head, object.size, work)
	if err != nil {
		return nil, o.failed("open", err)
	}
	return &ReaderAt{use: func() (*chunked.ReaderAt, *Objects) { return c, o }}, nil
}

// begin returns the key of an object, if its head commits to it.
func (o *Objects) begin(ctx context.Context, subject string, object Object, nothing bool, opts ObjectOptions) (chunked.Key, chunked.Work, error) {
	work := chunked.Work{Workers: opts.Workers, Progress: opts.Progress, Buffers: &o.buffers}
	// A key of ours would outlive an erasure as long as a reader is kept.
	work.Check = func() error {
		_, err := o.key(ctx, subject, object.generation)
		return err
	}
	err := o.subject(subject, nothing)
	if err == nil && object.IsZero() {
		err = fmt.Errorf("%w: object type %q: no object", ErrEmpty, o.objectType)
	}
	if err == nil {
		err = object.check()
	}
	if err != nil {
		return chunked.Key{}, work, err
	}
	subjectKey, err := o.key(ctx, subject, object.generation)
	if err != nil {
		return chunked.Key{}, work, o.failed("open", err)
	}
	input, err := subjectKey.Object(object.generation)
	if err != nil {
		return chunked.Key{}, work, o.failed("open", err)
	}
	var context [maxObjectContext]byte
	key, err := chunked.Open(input, o.context(context[:0], subject, &object), object.head)
	if err != nil {
		return chunked.Key{}, work, o.failed("open", err)
	}
	return key, work, nil
}

// key returns the subject's key, if it still has that generation.
func (o *Objects) key(ctx context.Context, subject string, generation uint32) (*keyring.SubjectKey, error) {
	keys, err := o.ring.Subject(ctx, subject, o.compartment)
	if err != nil {
		return nil, err
	}
	_, err = keys[0].Record(generation)
	return keys[0], err
}

// maxObjectContext is the size of a longest context: of a ring id of 64 bytes
// and a compartment of 32.
const maxObjectContext = 6*2 + len(objectLabel) + 64 + 32 + 2*maxID + 16

// context appends what an object is bound to, beside its key.
func (o *Objects) context(dst []byte, subject string, object *Object) []byte {
	b := lp.Append(dst, objectLabel, o.ring.ID(), o.compartment, subject, o.objectType)
	return lp.Append(b, object.id[:])
}

func (o *Objects) subject(subject string, nothing bool) error {
	switch {
	case subject == "":
		return fmt.Errorf("%w: object type %q has no subject id", ErrEmpty, o.objectType)
	case len(subject) > maxID:
		return fmt.Errorf("%w: object type %q has a subject id longer than %d bytes", ErrLimit, o.objectType, maxID)
	case nothing:
		return fmt.Errorf("%w: object type %q: nothing to read or write", ErrEmpty, o.objectType)
	}
	return nil
}

// failed says what an error of the chunks, the keys or the caller's reader or
// writer means. io.EOF is none of them.
func (o *Objects) failed(stage string, err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case errors.Is(err, chunked.ErrOpen):
		err = ErrOpen
	case errors.Is(err, chunked.ErrTruncated):
		err = ErrTruncated
	case errors.Is(err, chunked.ErrLength):
		err = ErrLimit
	case errors.Is(err, chunked.ErrBusy):
		return o.state(err.Error())
	default:
		for _, n := range named {
			if errors.Is(err, n) {
				return fmt.Errorf("%w: object type %q: %w", ErrOpen, o.objectType, err)
			}
		}
		return fmt.Errorf("envelope: %s object type %q: %w", stage, o.objectType, err)
	}
	return fmt.Errorf("%w: object type %q", err, o.objectType)
}
