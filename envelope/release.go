package envelope

import (
	"context"
	"crypto/cipher"
	"fmt"
	"reflect"
	"slices"

	"github.com/rahasia/rahasia/envelope/internal/cbor"
	"github.com/rahasia/rahasia/envelope/internal/value"
	"github.com/rahasia/rahasia/internal/secret"
)

// open opens the named columns of a row, or all, into v.
func (c *core) open(ctx context.Context, v reflect.Value, row Sealed, fields []string) error {
	s := c.get()
	defer c.put(s)
	if err := s.want(c, fields, len(fields) == 0); err != nil {
		return err
	}
	x := &s.reading
	if err := x.parse(c, v, row); err != nil {
		return err
	}
	for g := range c.groups {
		if i := x.slot(g); i >= 0 && slices.Contains(s.wanted[c.groups[g].from:c.groups[g].to], true) {
			x.want(i)
		}
	}
	if err := x.open(ctx, s); err != nil {
		return err
	}
	if !x.locate(s) {
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
	for w, wanted := range s.wanted {
		if i := x.slot(c.columns[w].group); wanted && i >= 0 && !x.sections[i].opened {
			return fmt.Errorf("%w: its section is not open", c.at(ErrCompartment, c.columns[w].name))
		}
	}
	x.locate(s)
	return x.release(s, v)
}

// want marks the named columns, or all.
func (s *scratch) want(c *core, fields []string, all bool) error {
	s.wanted = s.wanted[:0]
	for range c.columns {
		s.wanted = append(s.wanted, all)
	}
	for _, name := range fields {
		i, ok := c.byName[name]
		if !ok {
			return fmt.Errorf("%w: type %q has no sealed field of that name", ErrField, c.recordType)
		}
		s.wanted[i] = true
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

// found is a wanted column in the row, and then what it holds.
type found struct {
	here       bool // not absent
	start, end int  // of what is in a text or byte string, in the call's buffer
	value      reflect.Value
}

// locate finds the wanted columns and reports whether all are there. It adds up
// how many bytes those take that callers get as byte slices.
func (x *reading) locate(s *scratch) bool {
	c, missing := x.core, 0
	if cap(s.found) < len(c.columns) {
		s.found = make([]found, len(c.columns))
	}
	s.found, s.share = s.found[:len(c.columns)], 0 // zero: put clears it
	for w := range s.found {
		if s.wanted[w] {
			missing++
		}
	}
	for g := range c.groups {
		i, from := x.slot(g), c.groups[g].from
		if i < 0 {
			continue
		}
		for j := range x.sections[i].entries {
			e := &x.sections[i].entries[j]
			w := from + int(e.column)
			if e.column < 0 || !s.wanted[w] {
				continue
			}
			missing--
			s.found[w].here = true
			if c.columns[w].coder.Direct == value.Bytes {
				s.share += int(e.length)
			}
		}
	}
	return missing == 0
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
	for w := range s.found {
		if s.wanted[w] && !s.found[w].here && x.holds(c.columns[w].name) {
			return c.at(ErrCompartment, c.columns[w].name)
		}
	}
	shared := make([]byte, 0, s.share)
	for g := range c.groups {
		i := x.slot(g)
		if i < 0 || !x.sections[i].opened {
			continue
		}
		var err error
		if shared, err = x.decodeSection(s, &x.sections[i], c.groups[g].from, shared); err != nil {
			return err
		}
	}
	for w := range s.found {
		if s.wanted[w] {
			c.columns[w].assign(v, s, &s.found[w], shared)
		}
	}
	return nil
}

// decodeSection decrypts and decodes the wanted columns of one section, which
// are those from index from.
func (x *reading) decodeSection(s *scratch, o *section, from int, shared []byte) ([]byte, error) {
	aead := secret.Cipher(o.key)
	s.nonce = newNonce(sealID(x.row))
	for i := range o.entries {
		e := &o.entries[i]
		w := from + int(e.column)
		if e.column < 0 || !s.wanted[w] {
			continue
		}
		f, col := &s.found[w], &x.core.columns[w]
		if e.code != col.coder.Code {
			return nil, x.core.at(ErrType, col.name)
		}
		var err error
		if col.coder.Direct == value.Bytes {
			shared, err = f.decode(o, aead, &s.nonce, i, col, shared)
		} else {
			s.values, err = f.decode(o, aead, &s.nonce, i, col, s.values)
		}
		if err == cbor.ErrType {
			return nil, x.core.at(ErrType, col.name)
		} else if err != nil {
			return nil, x.core.at(ErrOpen, col.name)
		}
	}
	return shared, nil
}

// decode decrypts the value of entry i to the end of buffer and decodes it.
func (f *found) decode(o *section, aead cipher.AEAD, n *nonce, i int, col *column, buffer []byte) ([]byte, error) {
	start := len(buffer)
	opened, err := o.open(buffer, aead, n, i)
	if err != nil {
		return buffer, err
	}
	var text, rest []byte
	switch plain := opened[start:]; col.coder.Direct {
	case value.Bytes:
		text, rest, err = cbor.ReadString(plain, cbor.Bytes)
	case value.Text:
		text, rest, err = cbor.ReadString(plain, cbor.Text)
	default:
		f.value = reflect.New(col.field.Type).Elem()
		rest, err = col.coder.Read(plain, f.value)
	}
	if err == nil && len(rest) > 0 {
		err = cbor.ErrSyntax
	}
	f.start, f.end = len(opened)-len(text), len(opened)
	return opened, err
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
	if !f.here {
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
		v.Set(f.value)
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
