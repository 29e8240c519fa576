package envelope

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"

	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
)

// Codec seals and opens records of type T, a struct with phi tags. It is safe
// for concurrent use. The zero Codec is not valid; make one with [NewCodec].
type Codec[T any] struct {
	_    [0]func()
	core func() *core // behind a closure: its buffers have held plaintext
}

// NewCodec returns the codec of T for one record type, a name of 1 to 255
// bytes that is bound into every row: rows of another type do not open. The
// keysets of T's compartments need not exist yet.
//
// It returns ErrEmpty without a name or a ring, ErrLimit for a type with more
// than 16 compartments or 1,024 fields in one of them, and an error naming
// type, field and rule for tags that are wrong.
func NewCodec[T any](recordType string, ring *keyring.Ring) (*Codec[T], error) {
	return codecOf[T](recordType, ring, phi.For)
}

func codecOf[T any](recordType string, ring *keyring.Ring, plan func(reflect.Type) (*phi.Plan, error)) (*Codec[T], error) {
	c, err := newCore(reflect.TypeFor[T](), recordType, ring, plan)
	if err != nil {
		return nil, err
	}
	return &Codec[T]{core: func() *core { return c }}, nil
}

// Format writes a fixed text, whatever the verb.
func (c *Codec[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Codec") }

// LogValue is a fixed text.
func (c *Codec[T]) LogValue() slog.Value { return slog.StringValue("envelope.Codec") }

// Seal returns src as a row, under fresh randomness: no two rows are equal. It
// creates the subject's keys where there are none yet, in all compartments of
// T, and so needs all of them granted, whatever src holds.
//
// A tag is up to 4 KiB of opaque bytes that are sealed with the section of a
// compartment, and returned by [Reading.Tag]; a compartment that tags does not
// name has an empty one.
//
// A nil pointer, slice or map and a SQL NULL are absent in the row, and the
// same on opening. The row shows the compartments, the generations of their
// keys and, in coarse buckets, how long each section is; not which fields are
// absent. T's clear fields are not in it.
//
// It returns ErrEmpty for a nil src and for empty ids, ErrValue for a value
// that cannot be sealed, ErrLimit for an id of more than 255 bytes, a tag over
// 4 KiB, a value over 16 MiB or a row over 64 MiB, ErrCompartment for a tag
// without compartment, and the errors of keyring, such as ErrNoKeyset,
// ErrNotGranted and ErrShredded.
func (c *Codec[T]) Seal(ctx context.Context, src *T, tags map[string][]byte) (Sealed, error) {
	if src == nil {
		return nil, fmt.Errorf("%w: nothing to seal", ErrEmpty)
	}
	return c.core().seal(ctx, nil, reflect.ValueOf(src).Elem(), tags)
}

// AppendSeal appends the row of src to dst and returns the longer slice, as
// [Codec.Seal] returns the row alone: with a dst of sufficient capacity nothing
// is allocated for it. The spare capacity of dst must not overlap a tag. If
// there is an error it returns nil; what lay in that capacity may be gone.
func (c *Codec[T]) AppendSeal(ctx context.Context, dst []byte, src *T, tags map[string][]byte) ([]byte, error) {
	if src == nil {
		return nil, fmt.Errorf("%w: nothing to seal", ErrEmpty)
	}
	return c.core().seal(ctx, dst, reflect.ValueOf(src).Elem(), tags)
}

// Open opens the named fields of a row, or all of T's if none is named, and
// sets them in dst. Whose record it is the caller says, in dst's subject and
// record fields: a row of another does not open. Names are stored names.
//
// Only the sections of these fields are opened and checked; others may be
// damaged unnoticed. A field that is absent in the row is set to its zero
// value, and so is a field of T that the row's type did not have. Other fields
// of dst are left as they are, and all of them if there is an error. Byte
// slices that are set share one allocation, side by side.
//
// It returns ErrOpen if the row is not the record asked for, whole and
// unchanged, ErrField for an unknown name, ErrType for a field stored with
// another encoding, ErrCompartment for one stored in another compartment,
// ErrEmpty for a nil dst and for empty ids, ErrLimit for an id of more than 255
// bytes, and the errors of keyring.
func (c *Codec[T]) Open(ctx context.Context, dst *T, row Sealed, fields ...string) error {
	if dst == nil {
		return fmt.Errorf("%w: nowhere to open into", ErrEmpty)
	}
	return c.core().open(ctx, reflect.ValueOf(dst).Elem(), row, fields, nil)
}

// Begin opens lead and manifest of the sections of the named compartments, of
// all if none is named, and no value. It authenticates the row's header, so
// that [Reading.Compartments] is to be trusted even for sections that are not
// opened. A named compartment that the row does not have is not an error.
// Subject and record id are read from of.
//
// The errors are those of [Codec.Open].
func (c *Codec[T]) Begin(ctx context.Context, of *T, row Sealed, compartments ...string) (*Reading, error) {
	if of == nil {
		return nil, fmt.Errorf("%w: no record asked for", ErrEmpty)
	}
	return c.core().begin(ctx, reflect.ValueOf(of).Elem(), row, compartments)
}

// OpenFields opens exactly the named fields, none if none is named, of a row
// that this codec's [Codec.Begin] began, and sets them in dst, which must have
// the same subject and record id: else it returns ErrOpen. Their sections must
// be open in r: else it returns ErrCompartment. A nil or zero Reading is
// ErrEmpty. For the rest it is like [Codec.Open].
func (c *Codec[T]) OpenFields(r *Reading, dst *T, fields ...string) error {
	if dst == nil {
		return fmt.Errorf("%w: nowhere to open into", ErrEmpty)
	}
	return c.core().openFields(r, reflect.ValueOf(dst).Elem(), fields)
}

// Reseal returns a new row in which the named fields have the values of src,
// and everything else is carried from r byte for byte, fields that T does not
// know among it; it is decrypted for that but never decoded or released. A
// compartment that tags names gets that tag, even if it is empty; the others
// keep theirs.
//
// r must be of this codec and hold every section of the row (Begin without
// names), else it returns ErrCompartment, and src must have the same subject and
// record id, else ErrOpen. Naming a field replaces one of another encoding, but
// one that is stored in another compartment is ErrCompartment: there would be
// two. All compartments of T and of the row must be granted. For the rest it is
// like [Codec.Seal].
func (c *Codec[T]) Reseal(ctx context.Context, r *Reading, src *T, fields []string, tags map[string][]byte) (Sealed, error) {
	if src == nil {
		return nil, fmt.Errorf("%w: nothing to seal", ErrEmpty)
	}
	return c.core().reseal(ctx, r, reflect.ValueOf(src).Elem(), fields, tags)
}

// Rebind returns a new row of the record that to names, with everything carried
// from r byte for byte, tags and fields that T does not know among it: for a
// patient who turns out to have two ids. r must be of this codec and hold every
// section of the row (Begin without names), else it returns ErrCompartment. The
// row that r reads stays as it is. The other errors are those of [Codec.Seal].
func (c *Codec[T]) Rebind(ctx context.Context, r *Reading, to *T) (Sealed, error) {
	if to == nil {
		return nil, fmt.Errorf("%w: no record to bind to", ErrEmpty)
	}
	return c.core().rebind(ctx, r, reflect.ValueOf(to).Elem())
}
