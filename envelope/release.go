package envelope

import (
	"context"
	"crypto/cipher"
	"fmt"
	"reflect"
	"slices"

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

// found is where a wanted column is in the row, and then what it holds.
type found struct {
	entry      int // -1: the column is absent
	start, end int // of what is in a text or byte string, in the call's buffer
	value      reflect.Value
}

// locate finds the wanted columns and reports whether all are there.
func (x *reading) locate(s *scratch) bool {
	c, all := x.core, true
	if cap(s.found) < len(c.columns) {
		s.found = make([]found, len(c.columns))
	}
	s.found = s.found[:len(c.columns)]
	for g := range c.groups {
		i, next := x.slot(g), 0
		for w := c.groups[g].from; w < c.groups[g].to; w++ {
			if !s.wanted[w] {
				next++
				continue
			}
			s.found[w].entry = -1
			if i >= 0 {
				s.found[w].entry = x.sections[i].find(c.columns[w].name, next)
			}
			if next = s.found[w].entry + 1; next == 0 {
				all = false
			}
		}
	}
	return all
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
	shared := make([]byte, 0, x.share(s)) // of all that callers get as byte slices
	for g := range x.core.groups {
		var err error
		if shared, err = x.decodeGroup(s, g, shared); err != nil {
			return err
		}
	}
	for w := range s.found {
		if s.wanted[w] {
			x.core.columns[w].assign(v, s, &s.found[w], shared)
		}
	}
	return nil
}

// share returns the length of the wanted columns that callers get as byte
// slices. These are parts of one allocation, and decrypted in place.
func (x *reading) share(s *scratch) int {
	n := 0
	for g := range x.core.groups {
		i := x.slot(g)
		for w := x.core.groups[g].from; w < x.core.groups[g].to; w++ {
			if s.wanted[w] && s.found[w].entry >= 0 && x.core.columns[w].coder.direct == codeBytes {
				n += int(x.sections[i].entries[s.found[w].entry].length)
			}
		}
	}
	return n
}

// decodeGroup decrypts and decodes the wanted columns of one section.
func (x *reading) decodeGroup(s *scratch, g int, shared []byte) (_ []byte, err error) {
	var o *section
	var aead cipher.AEAD
	n := newNonce(sealID(x.row))
	s.nonce = n
	for w := x.core.groups[g].from; w < x.core.groups[g].to; w++ {
		if !s.wanted[w] {
			continue
		}
		f, col := &s.found[w], &x.core.columns[w]
		if f.entry < 0 {
			if x.holds(col.name) {
				return nil, x.core.at(ErrCompartment, col.name)
			}
			continue
		}
		if o == nil {
			o = &x.sections[x.slot(g)]
			aead = secret.Cipher(o.key)
		}
		switch {
		case o.entries[f.entry].code != col.coder.code:
			err = ErrType
		case col.coder.direct == codeBytes:
			shared, err = f.decode(o, aead, &s.nonce, col, shared)
		default:
			s.values, err = f.decode(o, aead, &s.nonce, col, s.values)
		}
		if err == ErrType {
			return nil, x.core.at(ErrType, col.name)
		}
		if err != nil {
			return nil, x.core.at(ErrOpen, col.name)
		}
	}
	return shared, nil
}

// decode decrypts one value to the end of buffer and decodes it into f.
func (f *found) decode(o *section, aead cipher.AEAD, n *nonce, col *column, buffer []byte) ([]byte, error) {
	start := len(buffer)
	buffer, err := o.open(buffer, aead, n, f.entry)
	if err != nil {
		return nil, err
	}
	var text, rest []byte
	switch value := buffer[start:]; col.coder.direct {
	case codeBytes:
		text, rest, err = readString(value, majorBytes)
	case codeText:
		text, rest, err = readString(value, majorText)
	default:
		f.value = reflect.New(col.field.Type).Elem()
		rest, err = col.coder.read(value, f.value)
	}
	if err == nil && len(rest) > 0 {
		err = errSyntax
	}
	f.start, f.end = len(buffer)-len(text), len(buffer)
	return buffer, err
}

// holds reports whether any open section has a field of this name.
func (x *reading) holds(name string) bool {
	for i := range x.sections {
		if x.sections[i].find(name, 0) >= 0 {
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
	switch col.coder.direct {
	case codeBytes:
		v.SetBytes(shared[f.start:f.end:f.end])
	case codeText:
		v.SetString(string(s.values[f.start:f.end]))
	default:
		v.Set(f.value)
		f.value = reflect.Value{}
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
