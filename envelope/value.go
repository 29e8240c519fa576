package envelope

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"time"
	"unicode/utf8"

	"github.com/rahasia/rahasia/internal/phi"
)

// code is the encoding of a value, recorded beside its field's name. It is
// what makes adding MarshalBinary to a type an error at the next open, and not
// garbage.
type code uint8

const (
	codeBool code = 1 + iota
	codeInt
	codeUint
	codeFloat
	codeText
	codeBytes
	codeTime
	codeBinary
	codeList
	codeMap
	codeObject
)

// coder writes and reads the values of one Go type. write is never called with
// a value that is null. read is given a zero value and returns what follows
// the item in src; it keeps nothing of src. Its errors are ErrType and
// errSyntax, and those of write have a fixed text: neither shows a value.
type coder struct {
	code code
	// direct is codeText for a string and codeBytes for a slice of bytes, which
	// a codec writes and reads without these functions; zero otherwise.
	direct code
	null   func(v reflect.Value) bool // nil: a value is always there
	write  func(dst []byte, v reflect.Value) ([]byte, error)
	read   func(src []byte, v reflect.Value) ([]byte, error)
}

// absent reports whether v is NULL.
func (c *coder) absent(v reflect.Value) bool { return c.null != nil && c.null(v) }

// writeItem writes v inside another value, where NULL needs a place.
func (c *coder) writeItem(dst []byte, v reflect.Value) ([]byte, error) {
	if c.absent(v) {
		return append(dst, cborNull), nil
	}
	return c.write(dst, v)
}

func (c *coder) readItem(src []byte, v reflect.Value) ([]byte, error) {
	if c.null != nil && len(src) > 0 && src[0] == cborNull {
		return src[1:], nil
	}
	return c.read(src, v)
}

func isNil(v reflect.Value) bool { return v.IsNil() }

// newCoder returns the coder of a type that phi has found fit. The order is
// that of DESIGN: sql.Null, time.Time, encoding.BinaryMarshaler, kind.
func newCoder(t reflect.Type) (*coder, error) {
	if f, ok := phi.NullValue(t); ok {
		return nullCoder(f.Type)
	}
	if phi.IsTime(t) {
		return &coder{code: codeTime, write: writeTime, read: readTime}, nil
	}
	if binary, err := phi.IsBinary(t); err != nil {
		return nil, err
	} else if binary {
		return binaryCoder(t), nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return &coder{code: codeBool, write: writeBool, read: readBool}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &coder{code: codeInt, write: writeInt, read: readIntInto}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &coder{code: codeUint, write: writeUint, read: readUint}, nil
	case reflect.Float32, reflect.Float64:
		return &coder{code: codeFloat, write: writeFloat, read: readFloatInto}, nil
	case reflect.String:
		return &coder{code: codeText, direct: codeText, write: writeText, read: readText}, nil
	case reflect.Pointer:
		return pointerCoder(t)
	case reflect.Slice, reflect.Array:
		if isBytes(t) {
			return bytesCoder(t), nil
		}
		return listCoder(t)
	case reflect.Map:
		return mapCoder(t)
	case reflect.Struct:
		return objectCoder(t)
	}
	return nil, fmt.Errorf("type %v cannot be sealed", t)
}

func nullCoder(t reflect.Type) (*coder, error) {
	inner, err := newCoder(t)
	if err != nil {
		return nil, err
	}
	return &coder{
		code:  inner.code,
		null:  func(v reflect.Value) bool { return !v.Field(1).Bool() },
		write: func(dst []byte, v reflect.Value) ([]byte, error) { return inner.write(dst, v.Field(0)) },
		read: func(src []byte, v reflect.Value) ([]byte, error) {
			v.Field(1).SetBool(true)
			return inner.read(src, v.Field(0))
		},
	}, nil
}

func pointerCoder(t reflect.Type) (*coder, error) {
	inner, err := newCoder(t.Elem())
	if err != nil {
		return nil, err
	}
	return &coder{
		code:  inner.code,
		null:  isNil,
		write: func(dst []byte, v reflect.Value) ([]byte, error) { return inner.write(dst, v.Elem()) },
		read: func(src []byte, v reflect.Value) ([]byte, error) {
			v.Set(reflect.New(t.Elem()))
			return inner.read(src, v.Elem())
		},
	}, nil
}

func writeBool(dst []byte, v reflect.Value) ([]byte, error) {
	if v.Bool() {
		return append(dst, cborTrue), nil
	}
	return append(dst, cborFalse), nil
}

func readBool(src []byte, v reflect.Value) ([]byte, error) {
	if len(src) == 0 {
		return nil, errSyntax
	}
	if src[0] != cborFalse && src[0] != cborTrue {
		return nil, ErrType
	}
	v.SetBool(src[0] == cborTrue)
	return src[1:], nil
}

func writeInt(dst []byte, v reflect.Value) ([]byte, error) { return appendInt(dst, v.Int()), nil }

func readIntInto(src []byte, v reflect.Value) ([]byte, error) {
	n, rest, err := readInt(src)
	if err != nil {
		return nil, err
	}
	if v.OverflowInt(n) {
		return nil, ErrType
	}
	v.SetInt(n)
	return rest, nil
}

func writeUint(dst []byte, v reflect.Value) ([]byte, error) {
	return appendHead(dst, majorUint, v.Uint()), nil
}

func readUint(src []byte, v reflect.Value) ([]byte, error) {
	major, n, rest, err := readHead(src)
	if err != nil {
		return nil, err
	}
	if major != majorUint || v.OverflowUint(n) {
		return nil, ErrType
	}
	v.SetUint(n)
	return rest, nil
}

func writeFloat(dst []byte, v reflect.Value) ([]byte, error) { return appendFloat(dst, v.Float()), nil }

func readFloatInto(src []byte, v reflect.Value) ([]byte, error) {
	f, rest, err := readFloat(src)
	if err != nil {
		return nil, err
	}
	if v.Kind() == reflect.Float32 && f == f && float64(float32(f)) != f {
		return nil, ErrType // it would lose digits
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
	return append(appendHead(dst, majorText, uint64(len(s))), s...), nil
}

func readText(src []byte, v reflect.Value) ([]byte, error) {
	s, rest, err := readString(src, majorText)
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
	dst = appendInt(append(dst, majorArray<<5|3), second)
	dst = appendHead(dst, majorUint, uint64(t.Nanosecond()))
	return appendInt(dst, int64(offset)), nil
}

func readTime(src []byte, v reflect.Value) ([]byte, error) {
	if len(src) == 0 {
		return nil, errSyntax
	}
	if src[0] != majorArray<<5|3 {
		return nil, ErrType
	}
	second, rest, err := readInt(src[1:])
	if err != nil {
		return nil, err
	}
	nano, rest, err := readInt(rest)
	if err != nil {
		return nil, err
	}
	offset, rest, err := readInt(rest)
	if err != nil {
		return nil, err
	}
	if second < minSecond || second > maxSecond || nano < 0 || nano > 999999999 || offset < -maxOffset || offset > maxOffset {
		return nil, errSyntax
	}
	zone := time.UTC
	if offset != 0 {
		zone = time.FixedZone("", int(offset))
	}
	*v.Addr().Interface().(*time.Time) = time.Unix(second, nano).In(zone)
	return rest, nil
}

var errMarshal = errors.New("MarshalBinary failed")

func binaryCoder(t reflect.Type) *coder {
	c := &coder{
		code: codeBinary,
		write: func(dst []byte, v reflect.Value) ([]byte, error) {
			b, err := v.Addr().Interface().(encoding.BinaryMarshaler).MarshalBinary()
			if err != nil {
				return dst, errMarshal // its text may hold the value
			}
			return append(appendHead(dst, majorBytes, uint64(len(b))), b...), nil
		},
		read: func(src []byte, v reflect.Value) ([]byte, error) {
			b, rest, err := readString(src, majorBytes)
			if err != nil {
				return nil, err
			}
			own := append([]byte(nil), b...) // theirs to keep; src is wiped
			if err := v.Addr().Interface().(encoding.BinaryUnmarshaler).UnmarshalBinary(own); err != nil {
				return nil, ErrType // its text may hold the value
			}
			return rest, nil
		},
	}
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		c.null = isNil
	}
	return c
}
