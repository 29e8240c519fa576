// Package value encodes the values of Go types as deterministic CBOR and reads
// them back, without ever guessing.
package value

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/phi"
)

// Code is the encoding of a value, recorded beside its field's name. It is
// what makes adding MarshalBinary to a type an error at the next open, and not
// garbage.
type Code uint8

// The codes, as docs/SPEC.md lists them. They never change.
const (
	Bool Code = 1 + iota
	Int
	Uint
	Float
	Text
	Bytes
	Time
	Binary
	List
	Map
	Object
)

// String is the word of docs/SPEC.md, or the number of a code for later.
func (c Code) String() string {
	words := [...]string{
		Bool: "bool", Int: "int", Uint: "uint", Float: "float", Text: "text", Bytes: "bytes", Time: "time",
		Binary: "binary", List: "list", Map: "map", Object: "object",
	}
	if c < Bool || c > Object {
		return "code " + strconv.Itoa(int(c))
	}
	return words[c]
}

// Coder writes and reads the values of one Go type. Write is never called with
// a value that is null. Read is given a zero value and returns what follows
// the item in src; it keeps nothing of src. Its errors are cbor.ErrType and
// cbor.ErrSyntax, and those of Write have a fixed text: neither shows a value.
type Coder struct {
	Code Code
	Type string // what is written, in words: "list(object(High float, Low float))"
	// Direct is Text for a string and Bytes for a slice of bytes, which
	// a codec writes and reads without these functions; zero otherwise.
	Direct Code
	null   func(v reflect.Value) bool // nil: a value is always there
	Write  func(dst []byte, v reflect.Value) ([]byte, error)
	Read   func(src []byte, v reflect.Value) ([]byte, error)
}

// Absent reports whether v is NULL.
func (c *Coder) Absent(v reflect.Value) bool { return c.null != nil && c.null(v) }

// writeItem writes v inside another value, where NULL needs a place.
func (c *Coder) writeItem(dst []byte, v reflect.Value) ([]byte, error) {
	if c.Absent(v) {
		return append(dst, cbor.Null), nil
	}
	return c.Write(dst, v)
}

func (c *Coder) readItem(src []byte, v reflect.Value) ([]byte, error) {
	if c.null != nil && len(src) > 0 && src[0] == cbor.Null {
		return src[1:], nil
	}
	return c.Read(src, v)
}

func isNil(v reflect.Value) bool { return v.IsNil() }

// New returns the Coder of a type that phi has found fit. The order is:
// sql.Null, time.Time, encoding.BinaryMarshaler, underlying kind.
func New(t reflect.Type) (*Coder, error) { return newInside(t, 0) }

// newInside is New for what lies inside so many other items.
func newInside(t reflect.Type, depth int) (*Coder, error) {
	if f, ok := phi.NullValue(t); ok {
		return nullCoder(f.Type, depth)
	}
	if depth > cbor.MaxNesting || depth == cbor.MaxNesting && phi.IsTime(t) { // a time has items of its own
		return nil, fmt.Errorf("type %v lies inside more than %d others", t, cbor.MaxNesting)
	}
	if phi.IsTime(t) {
		return &Coder{Code: Time, Type: "time", Write: writeTime, Read: readTime}, nil
	}
	if binary, err := phi.IsBinary(t); err != nil {
		return nil, err
	} else if binary {
		return binaryCoder(t), nil
	}
	return kindCoder(t, depth)
}

func kindCoder(t reflect.Type, depth int) (*Coder, error) {
	switch t.Kind() {
	case reflect.Bool:
		return &Coder{Code: Bool, Type: "bool", Write: writeBool, Read: readBool}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &Coder{Code: Int, Type: "int", Write: writeInt, Read: readIntInto}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &Coder{Code: Uint, Type: "uint", Write: writeUint, Read: readUint}, nil
	case reflect.Float32, reflect.Float64:
		return &Coder{Code: Float, Type: "float", Write: writeFloat, Read: readFloatInto}, nil
	case reflect.String:
		return &Coder{Code: Text, Type: "text", Direct: Text, Write: writeText, Read: readText}, nil
	case reflect.Pointer:
		return pointerCoder(t, depth)
	case reflect.Slice, reflect.Array:
		if isBytes(t) {
			return bytesCoder(t), nil
		}
		return listCoder(t, depth)
	case reflect.Map:
		return mapCoder(t, depth)
	case reflect.Struct:
		return objectCoder(t, depth)
	}
	return nil, fmt.Errorf("type %v cannot be sealed", t)
}

func nullCoder(t reflect.Type, depth int) (*Coder, error) {
	inner, err := newInside(t, depth)
	if err != nil {
		return nil, err
	}
	return &Coder{
		Code:  inner.Code,
		Type:  inner.Type,
		null:  func(v reflect.Value) bool { return !v.Field(1).Bool() },
		Write: func(dst []byte, v reflect.Value) ([]byte, error) { return inner.Write(dst, v.Field(0)) },
		Read: func(src []byte, v reflect.Value) ([]byte, error) {
			v.Field(1).SetBool(true)
			return inner.Read(src, v.Field(0))
		},
	}, nil
}

func pointerCoder(t reflect.Type, depth int) (*Coder, error) {
	inner, err := newInside(t.Elem(), depth)
	if err != nil {
		return nil, err
	}
	return &Coder{
		Code:  inner.Code,
		Type:  inner.Type,
		null:  isNil,
		Write: func(dst []byte, v reflect.Value) ([]byte, error) { return inner.Write(dst, v.Elem()) },
		Read: func(src []byte, v reflect.Value) ([]byte, error) {
			v.Set(reflect.New(t.Elem()))
			return inner.Read(src, v.Elem())
		},
	}, nil
}

func writeBool(dst []byte, v reflect.Value) ([]byte, error) {
	if v.Bool() {
		return append(dst, cbor.True), nil
	}
	return append(dst, cbor.False), nil
}

func readBool(src []byte, v reflect.Value) ([]byte, error) {
	if len(src) == 0 {
		return nil, cbor.ErrSyntax
	}
	if src[0] != cbor.False && src[0] != cbor.True {
		return nil, cbor.ErrType
	}
	v.SetBool(src[0] == cbor.True)
	return src[1:], nil
}

func writeInt(dst []byte, v reflect.Value) ([]byte, error) { return cbor.AppendInt(dst, v.Int()), nil }

func readIntInto(src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := cbor.ReadInt(src)
	if err != nil {
		return nil, err
	}
	if v.OverflowInt(n) {
		return nil, cbor.ErrType
	}
	v.SetInt(n)
	return rest, nil
}

func writeUint(dst []byte, v reflect.Value) ([]byte, error) {
	return cbor.AppendHead(dst, cbor.Uint, v.Uint()), nil
}

func readUint(src []byte, v reflect.Value) ([]byte, error) {
	major, n, rest, err := cbor.ReadHead(src)
	if err != nil {
		return nil, err
	}
	if major != cbor.Uint || v.OverflowUint(n) {
		return nil, cbor.ErrType
	}
	v.SetUint(n)
	return rest, nil
}

func writeFloat(dst []byte, v reflect.Value) ([]byte, error) {
	return cbor.AppendFloat(dst, v.Float()), nil
}

func readFloatInto(src []byte, v reflect.Value) ([]byte, error) {
	f, rest, err := cbor.ReadFloat(src)
	if err != nil {
		return nil, err
	}
	if v.Kind() == reflect.Float32 && f == f && float64(float32(f)) != f {
		return nil, cbor.ErrType // it would lose digits
	}
	v.SetFloat(f)
	return rest, nil
}

var errUTF8 = errors.New("text is not UTF-8")

func writeText(dst []byte, v reflect.Value) ([]byte, error) {
	s := v.String()
	if !utf8.ValidString(s) {
		return dst, errUTF8
	}
	return append(cbor.AppendHead(dst, cbor.Text, uint64(len(s))), s...), nil
}

func readText(src []byte, v reflect.Value) ([]byte, error) {
	s, rest, err := cbor.ReadString(src, cbor.Text)
	if err != nil {
		return nil, err
	}
	v.SetString(string(s))
	return rest, nil
}

// A time is an array of seconds since 1970, nanoseconds, and seconds east of
// UTC. RFC 3339 text would not do: it cannot hold the offset of a birth in
// Batavia in 1920, +07:07:12, and would move that birth by twelve seconds.
const (
	minSecond = -62135596800 // 1 January of the year 1
	maxSecond = 253402300799 // 31 December 9999
	maxOffset = 24*60*60 - 1
)

var errTime = errors.New("time is outside the years 1 to 9999, or its zone a day off")

func writeTime(dst []byte, v reflect.Value) ([]byte, error) {
	t := v.Addr().Interface().(*time.Time)
	_, offset := t.Zone()
	second := t.Unix()
	if second < minSecond || second > maxSecond || offset < -maxOffset || offset > maxOffset {
		return dst, errTime
	}
	dst = cbor.AppendInt(append(dst, cbor.Array<<5|3), second)
	dst = cbor.AppendHead(dst, cbor.Uint, uint64(t.Nanosecond()))
	return cbor.AppendInt(dst, int64(offset)), nil
}

func readTime(src []byte, v reflect.Value) ([]byte, error) {
	if len(src) == 0 {
		return nil, cbor.ErrSyntax
	}
	if src[0] != cbor.Array<<5|3 {
		return nil, cbor.ErrType
	}
	second, rest, err := cbor.ReadInt(src[1:])
	if err != nil {
		return nil, err
	}
	nano, rest, err := cbor.ReadInt(rest)
	if err != nil {
		return nil, err
	}
	offset, rest, err := cbor.ReadInt(rest)
	if err != nil {
		return nil, err
	}
	if second < minSecond || second > maxSecond || nano < 0 || nano > 999999999 || offset < -maxOffset || offset > maxOffset {
		return nil, cbor.ErrSyntax
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", int(offset))
	}
	*v.Addr().Interface().(*time.Time) = time.Unix(second, nano).In(zone)
	return rest, nil
}

var errMarshal = errors.New("MarshalBinary failed")

func binaryCoder(t reflect.Type) *Coder {
	c := &Coder{
		Code: Binary,
		Type: "binary",
		Write: func(dst []byte, v reflect.Value) ([]byte, error) {
			b, err := v.Addr().Interface().(encoding.BinaryMarshaler).MarshalBinary()
			if err != nil {
				return dst, errMarshal // its text may hold the value
			}
			return append(cbor.AppendHead(dst, cbor.Bytes, uint64(len(b))), b...), nil
		},
		Read: func(src []byte, v reflect.Value) ([]byte, error) {
			b, rest, err := cbor.ReadString(src, cbor.Bytes)
			if err != nil {
				return nil, err
			}
			own := append([]byte(nil), b...) // theirs to keep; src is wiped
			if err := v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(own); err != nil {
				return nil, cbor.ErrType // its text may hold the value
			}
			return rest, nil
		},
	}
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		c.null = isNil
	}
	return c
}
