package envelope

import (
	"context"
	"crypto/cipher"
	"fmt"
	"reflect"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/value"
)

// open opens the named columns of a row, or all, into v.
func (c *core) open(ctx context.Context, v reflect.Value, row Sealed, fields []string, keys *known) error {
	s := c.get()
	defer c.put(s)
	if err := s.want(c, fields, len(fields) == 0); err != nil {
		return err
	}
	x := &s.reading
	if err := x.parse(c, v, row); err != nil {
		return err
	}
	x.known = keys
	last := -1
	for _, w := range s.wanted {
		if g := c.columns[w].group; g != last { // ascending, if all are wanted
			if i := x.slot(g); i >= 0 {
				x.want(i)
			}
			last = g
		}
	}
	if err := x.open(ctx, s); err != nil {
		return err
	}
	if x.locate(s); !s.complete {
		if err := x.seek(ctx, s); err != nil {
			return err
		}
	}
	return x.release(s, v)
}

func (c *core) openFields(r *Reading, v reflect.Value, fields []string) error {
	x, err := c.resume(r, v)
	if err != nil {
		return err
	}
	s := c.get()
	defer c.put(s)
	if err := s.want(c, fields, false); err != nil {
		return err
	}
	for _, w := range s.wanted {
		if i := x.slot(c.columns[w].group); i >= 0 && !x.sections[i].opened {
			return fmt.Errorf("%w: section %q is not open", c.at(ErrCompartment, c.columns[w].name), x.compartment(i))
		}
	}
	x.locate(s)
	return x.release(s, v)
}

// want lists the named columns, or all.
func (s *scratch) want(c *core, fields []string, all bool) error {
	s.wanted = s.wanted[:0]
	if all {
		s.wanted = append(s.wanted, c.all...)
		return nil
	}
	for k, name := range fields {
		i, ok := c.byName[name]
		if !ok {
			return c.unknownField(k)
		}
		s.wanted = append(s.wanted, i)
	}
	return nil
}

// slot returns the index of the section of a group of columns, or -1.
func (x *reading) slot(group int) int {
	compartment := x.core.plan.Compartments[group]
	if group < x.layout.n && string(x.compartment(group)) == compartment {
		return group // as in every row of the type as it is now
	}
	return x.layout.find(x.row, compartment)
}

// found is where a wanted column is in the row, and then where its value is. It
// holds no pointer, so that it costs nothing to keep.
type found struct {
	section, entry int32 // entry -1: absent
	start, end     int32 // of what is in a text or byte string, in the call's buffer; or start is the index in held
}

// locate finds the wanted columns and notes whether all are there. It adds up
// how many bytes those take that callers get as byte slices.
func (x *reading) locate(s *scratch) {
	c, complete := x.core, true
	if cap(s.found) < len(s.wanted) {
		s.found = make([]found, len(s.wanted))
	}
	s.found, s.share = s.found[:len(s.wanted)], 0
	group, i, from := -1, -1, 0
	for k, w := range s.wanted {
		col := &c.columns[w]
		if col.group != group {
			group, from = col.group, c.groups[col.group].from
			i = x.slot(group)
		}
		entry := int32(-1)
		if i >= 0 && x.sections[i].opened {
			entry = x.sections[i].entryOf(w - from)
		}
		if entry < 0 {
			complete = false
		} else if col.coder.Direct == value.Bytes {
			s.share += int(x.sections[i].entries[entry].length)
		}
		f := &s.found[k]
		f.section, f.entry = int32(i), entry
	}
	s.complete = complete
}

// seek opens the other sections that are granted, because a wanted field is
// not in its own: it may be absent, or it may have been sealed when its type
// put it elsewhere, and then to read it as absent would be wrong.
func (x *reading) seek(ctx context.Context, s *scratch) error {
	for i := range x.layout.n {
		if x.core.ring.Granted(string(x.compartment(i))) {
			x.want(i)
		}
	}
	if len(x.at) == 0 {
		return nil
	}
	return x.open(ctx, s)
}

// release decrypts and decodes what locate found, and sets it in v when all of
// it is right.
func (x *reading) release(s *scratch, v reflect.Value) error {
	c := x.core
	if !s.complete {
		for k := range s.found {
			if col := &c.columns[s.wanted[k]]; s.found[k].entry < 0 && x.holds(col.name) {
				return x.misplaced(col)
			}
		}
	}
	shared, err := x.decode(s)
	if err != nil {
		return err
	}
	for k, w := range s.wanted {
		f, col := &s.found[k], &c.columns[w]
		if col.plain && f.entry >= 0 {
			v.Field(col.at).SetBytes(shared[f.start:f.end:f.end])
			continue
		}
		col.assign(v, s, f, shared)
	}
	return nil
}

// decode decrypts and decodes the wanted columns, and returns the bytes that
// callers get as byte slices.
func (x *reading) decode(s *scratch) (shared []byte, err error) {
	var (
		o    *section
		aead cipher.AEAD
	)
	shared = make([]byte, 0, s.share)
	s.nonce.set(sealID(x.row))
	for k, w := range s.wanted {
		f, col := &s.found[k], &x.core.columns[w]
		if f.entry < 0 {
			continue
		}
		if at := &x.sections[f.section]; at != o {
			o, aead = at, secret.Cipher(at.key)
		}
		if stored := o.entries[f.entry].code; stored != col.code {
			return nil, x.core.mistyped(col, stored)
		}
		if col.coder.Direct == value.Bytes {
			start := len(shared)
			if shared, err = o.open(shared, aead, &s.nonce, int(f.entry)); err == nil {
				err = f.text(shared, start, cbor.Bytes)
			}
		} else {
			err = s.decodeOther(f, o, aead, col)
		}
		if err == cbor.ErrType {
			return nil, x.core.at(ErrType, col.name)
		} else if err != nil {
			return nil, x.core.at(ErrOpen, col.name)
		}
	}
	return shared, nil
}

// text finds the text or byte string that is all of b from start on.
func (f *found) text(b []byte, start int, major byte) error {
	text, rest, err := cbor.ReadString(b[start:], major)
	if err == nil && len(rest) > 0 {
		err = cbor.ErrSyntax
	}
	f.start, f.end = int32(len(b)-len(text)), int32(len(b))
	return err
}

// decodeOther decrypts and decodes the value of a column of another type than a
// slice of bytes.
func (s *scratch) decodeOther(f *found, o *section, aead cipher.AEAD, col *column) error {
	start := len(s.values)
	values, err := o.open(s.values, aead, &s.nonce, int(f.entry))
	if err != nil {
		return err
	}
	s.values = values
	if col.coder.Direct == value.Text {
		return f.text(values, start, cbor.Text)
	}
	v := reflect.New(col.field.Type).Elem()
	rest, err := col.coder.Read(values[start:], v)
	if err == nil && len(rest) > 0 {
		err = cbor.ErrSyntax
	}
	f.start = int32(len(s.held))
	s.held = append(s.held, v)
	return err
}

// holds reports whether any open section has a field of this name.
func (x *reading) holds(name string) bool {
	for i := range x.sections {
		if x.sections[i].find(name) >= 0 {
			return true
		}
	}
	return false
}

// assign sets what was decoded. It cannot fail, so that a record is set whole
// or not at all.
func (col *column) assign(root reflect.Value, s *scratch, f *found, shared []byte) {
	if f.entry < 0 {
		if v, ok := col.field.Value(root); ok {
			v.SetZero()
		}
		return
	}
	v := root
	if col.at >= 0 {
		v = root.Field(col.at)
	} else {
		v = reach(root, col.field.Index)
	}
	switch col.coder.Direct {
	case value.Bytes:
		v.SetBytes(shared[f.start:f.end:f.end])
	case value.Text:
		v.SetString(string(s.values[f.start:f.end]))
	default:
		v.Set(s.held[f.start])
	}
}

// reach returns the field at index in root, making the structs that pointers
// on the way to it lack.
func reach(root reflect.Value, index []int) reflect.Value {
	v := root.Field(index[0])
	for _, i := range index[1:] {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
