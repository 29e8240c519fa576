package value

import (
	"bytes"
	"reflect"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/phi"
)

// maxGrow bounds how many elements are allocated before one of them is read.
const maxGrow = 1024

// isBytes reports whether t is a slice or array that is one byte string.
func isBytes(t reflect.Type) bool {
	if t.Elem().Kind() != reflect.Uint8 {
		return false
	}
	binary, err := phi.IsBinary(t.Elem())
	return !binary && err == nil
}

func bytesCoder(t reflect.Type) *Coder {
	c := &Coder{
		Code: Bytes,
		Type: "bytes",
		Write: func(dst []byte, v reflect.Value) ([]byte, error) {
			b := v.Bytes()
			return append(cbor.AppendHead(dst, cbor.Bytes, uint64(len(b))), b...), nil
		},
		Read: func(src []byte, v reflect.Value) ([]byte, error) {
			b, rest, err := cbor.ReadString(src, cbor.Bytes)
			if err != nil {
				return nil, err
			}
			if v.Kind() == reflect.Array {
				if len(b) != v.Len() {
					return nil, cbor.ErrType
				}
				copy(v.Bytes(), b)
				return rest, nil
			}
			own := make([]byte, len(b)) // never nil: empty is not absent
			copy(own, b)
			v.SetBytes(own)
			return rest, nil
		},
	}
	if t.Kind() == reflect.Slice {
		c.Direct, c.null = Bytes, isNil
	}
	return c
}

func listCoder(t reflect.Type, depth int) (*Coder, error) {
	item, err := newInside(t.Elem(), depth+1)
	if err != nil {
		return nil, err
	}
	c := &Coder{
		Code: List,
		Type: "list(" + item.Type + ")",
		Write: func(dst []byte, v reflect.Value) (_ []byte, err error) {
			dst = cbor.AppendHead(dst, cbor.Array, uint64(v.Len()))
			for i := range v.Len() {
				if dst, err = item.writeItem(dst, v.Index(i)); err != nil {
					return dst, err
				}
			}
			return dst, nil
		},
	}
	if t.Kind() == reflect.Array {
		c.Read = func(src []byte, v reflect.Value) ([]byte, error) { return readArray(item, src, v) }
		return c, nil
	}
	c.null = isNil
	c.Read = func(src []byte, v reflect.Value) ([]byte, error) { return readSlice(item, src, v) }
	return c, nil
}

func readArray(item *Coder, src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := cbor.ReadCount(src, cbor.Array)
	if err != nil {
		return nil, err
	}
	if n != v.Len() {
		return nil, cbor.ErrType
	}
	for i := range n {
		if rest, err = item.readItem(rest, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func readSlice(item *Coder, src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := cbor.ReadCount(src, cbor.Array)
	if err != nil {
		return nil, err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, min(n, maxGrow)))
	for i := range n {
		if i == v.Cap() {
			v.Grow(1)
		}
		v.SetLen(i + 1)
		if rest, err = item.readItem(rest, v.Index(i)); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func mapCoder(t reflect.Type, depth int) (*Coder, error) {
	key, err := newInside(t.Key(), depth+1)
	if err != nil {
		return nil, err
	}
	item, err := newInside(t.Elem(), depth+1)
	if err != nil {
		return nil, err
	}
	return &Coder{
		Code:  Map,
		Type:  "map(" + key.Type + " " + item.Type + ")",
		null:  isNil,
		Write: func(dst []byte, v reflect.Value) ([]byte, error) { return writeMap(key, item, dst, v) },
		Read:  func(src []byte, v reflect.Value) ([]byte, error) { return readMap(key, item, src, v) },
	}, nil
}

func writeMap(key, item *Coder, dst []byte, v reflect.Value) ([]byte, error) {
	pairs := make([][2][]byte, 0, v.Len())
	value := reflect.New(v.Type().Elem()).Elem() // addressable, which Coders ask for
	for it := v.MapRange(); it.Next(); {
		k, err := key.Write(nil, it.Key())
		if err != nil {
			return dst, err
		}
		value.SetIterValue(it)
		b, err := item.writeItem(nil, value)
		if err != nil {
			return dst, err
		}
		pairs = append(pairs, [2][]byte{k, b})
	}
	slices.SortFunc(pairs, func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
	dst = cbor.AppendHead(dst, cbor.Map, uint64(len(pairs)))
	for _, p := range pairs {
		dst = append(append(dst, p[0]...), p[1]...)
		clear(p[1])
		clear(p[0])
	}
	return dst, nil
}

func readMap(key, item *Coder, src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := cbor.ReadCount(src, cbor.Map)
	if err != nil {
		return nil, err
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), min(n, maxGrow)))
	var last []byte
	for range n {
		k := reflect.New(v.Type().Key()).Elem()
		at := rest
		if rest, err = key.Read(rest, k); err != nil {
			return nil, err
		}
		at = at[:len(at)-len(rest)]
		if bytes.Compare(last, at) >= 0 {
			return nil, cbor.ErrSyntax
		}
		last = at
		e := reflect.New(v.Type().Elem()).Elem()
		if rest, err = item.readItem(rest, e); err != nil {
			return nil, err
		}
		v.SetMapIndex(k, e)
	}
	return rest, nil
}

// member is an exported field of a struct that is one opaque value. Embedded
// structs are members under their type's name.
type member struct {
	key   []byte // its Go name, encoded
	index int
	coder *Coder
}

func objectCoder(t reflect.Type, depth int) (*Coder, error) {
	var members []member
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		c, err := newInside(f.Type, depth+1)
		if err != nil {
			return nil, err
		}
		key := append(cbor.AppendHead(nil, cbor.Text, uint64(len(f.Name))), f.Name...)
		members = append(members, member{key, i, c})
	}
	slices.SortFunc(members, func(a, b member) int { return bytes.Compare(a.key, b.key) })
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = t.Field(m.index).Name + " " + m.coder.Type
	}
	return &Coder{
		Code:  Object,
		Type:  "object(" + strings.Join(names, ", ") + ")",
		Write: func(dst []byte, v reflect.Value) ([]byte, error) { return writeObject(members, dst, v) },
		Read:  func(src []byte, v reflect.Value) ([]byte, error) { return readObject(members, depth, src, v) },
	}, nil
}

func writeObject(members []member, dst []byte, v reflect.Value) (_ []byte, err error) {
	n := 0
	for _, m := range members {
		if !m.coder.Absent(v.Field(m.index)) {
			n++
		}
	}
	dst = cbor.AppendHead(dst, cbor.Map, uint64(n))
	for _, m := range members {
		f := v.Field(m.index)
		if m.coder.Absent(f) {
			continue
		}
		if dst, err = m.coder.Write(append(dst, m.key...), f); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// readObject reads an object that lies inside so many other items.
func readObject(members []member, depth int, src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := cbor.ReadCount(src, cbor.Map)
	if err != nil {
		return nil, err
	}
	var last []byte
	for range n {
		at := rest
		if _, rest, err = cbor.ReadString(rest, cbor.Text); err != nil {
			return nil, err
		}
		at = at[:len(at)-len(rest)]
		if bytes.Compare(last, at) >= 0 {
			return nil, cbor.ErrSyntax
		}
		last = at
		i, known := slices.BinarySearchFunc(members, at, func(m member, key []byte) int { return bytes.Compare(m.key, key) })
		if !known {
			rest, err = cbor.Skip(rest, depth+1) // from a newer type: as with fields
		} else {
			rest, err = members[i].coder.Read(rest, v.Field(members[i].index))
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}
