// Package cbor is the part of deterministic CBOR (RFC 8949, section 4.2.1) that
// a row uses: shortest heads, no indefinite lengths, no tags.
package cbor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

var (
	// ErrSyntax: bytes that this package would not have written.
	ErrSyntax = errors.New("not deterministic CBOR")

	// ErrType: well-formed so far, and of another type than was asked for.
	ErrType = errors.New("another CBOR type")
)

// Major types.
const (
	Uint = iota
	Negative
	Bytes
	Text
	Array
	Map
	tag
	Simple
)

// The simple values.
const (
	False = 0xf4
	True  = 0xf5
	Null  = 0xf6
)

// The floats, by size.
const (
	half   = 0xf9
	single = 0xfa
	double = 0xfb
)

// MaxNesting is how many others an item may lie inside of.
const MaxNesting = 32

// AppendHead appends the head of an item in its shortest form.
func AppendHead(dst []byte, major byte, n uint64) []byte {
	m := major << 5
	switch {
	case n < 24:
		return append(dst, m|byte(n))
	case n <= math.MaxUint8:
		return append(dst, m|24, byte(n))
	case n <= math.MaxUint16:
		return append(dst, m|25, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, m|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, m|27), n)
}

// HeadSize is the number of bytes that [AppendHead] writes for n, which is below 2³².
func HeadSize(n int) int {
	switch {
	case n < 24:
		return 1
	case n <= math.MaxUint8:
		return 2
	case n <= math.MaxUint16:
		return 3
	}
	return 5
}

// ReadHead reads a head and refuses one that is longer than it need be. The
// simple values and floats of major type 7 are not heads in this sense.
func ReadHead(src []byte) (major byte, n uint64, rest []byte, err error) {
	if len(src) == 0 {
		return 0, 0, nil, ErrSyntax
	}
	major, n = src[0]>>5, uint64(src[0]&31)
	if n < 24 {
		return major, n, src[1:], nil
	}
	size, least := 0, uint64(0)
	switch n {
	case 24:
		size, least = 1, 24
	case 25:
		size, least = 2, 1<<8
	case 26:
		size, least = 4, 1<<16
	case 27:
		size, least = 8, 1<<32
	default:
		return 0, 0, nil, ErrSyntax // reserved, or of indefinite length
	}
	if len(src) < 1+size {
		return 0, 0, nil, ErrSyntax
	}
	n = 0
	for _, b := range src[1 : 1+size] {
		n = n<<8 | uint64(b)
	}
	if n < least {
		return 0, 0, nil, ErrSyntax
	}
	return major, n, src[1+size:], nil
}

// ReadString reads a byte or text string and returns its bytes, which alias src.
func ReadString(src []byte, want byte) (s, rest []byte, err error) {
	major, n, rest, err := ReadHead(src)
	switch {
	case err != nil:
		return nil, nil, err
	case major != want:
		return nil, nil, ErrType
	case n > uint64(len(rest)):
		return nil, nil, ErrSyntax
	}
	s, rest = rest[:n:n], rest[n:]
	if want == Text && !utf8.Valid(s) {
		return nil, nil, ErrSyntax
	}
	return s, rest, nil
}

// ReadCount reads the head of an array or map. Each item takes a byte at
// least, so a count beyond the bytes at hand is a lie.
func ReadCount(src []byte, want byte) (n int, rest []byte, err error) {
	major, count, rest, err := ReadHead(src)
	switch {
	case err != nil:
		return 0, nil, err
	case major != want:
		return 0, nil, ErrType
	case count > uint64(len(rest)):
		return 0, nil, ErrSyntax
	}
	return int(count), rest, nil
}

// AppendInt appends a signed integer.
func AppendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return AppendHead(dst, Negative, uint64(^n))
	}
	return AppendHead(dst, Uint, uint64(n))
}

// ReadInt reads what AppendInt wrote. An integer outside int64 is [ErrType].
func ReadInt(src []byte) (int64, []byte, error) {
	major, n, rest, err := ReadHead(src)
	switch {
	case err != nil:
		return 0, nil, err
	case major > Negative, n > math.MaxInt64:
		return 0, nil, ErrType
	case major == Negative:
		return ^int64(n), rest, nil
	}
	return int64(n), rest, nil
}

// AppendFloat writes the shortest float that is equal to f; every NaN is one.
func AppendFloat(dst []byte, f float64) []byte {
	if f != f {
		return append(dst, half, 0x7e, 0x00)
	}
	f32 := float32(f)
	if float64(f32) != f {
		return binary.BigEndian.AppendUint64(append(dst, double), math.Float64bits(f))
	}
	if h, ok := toHalf(f32); ok {
		return binary.BigEndian.AppendUint16(append(dst, half), h)
	}
	return binary.BigEndian.AppendUint32(append(dst, single), math.Float32bits(f32))
}

// ReadFloat reads a float of the one size that [AppendFloat] would choose.
func ReadFloat(src []byte) (f float64, rest []byte, err error) {
	if len(src) == 0 {
		return 0, nil, ErrSyntax
	}
	size := 0
	switch src[0] {
	case half:
		size = 3
	case single:
		size = 5
	case double:
		size = 9
	default:
		return 0, nil, ErrType
	}
	if len(src) < size {
		return 0, nil, ErrSyntax
	}
	switch bits := src[1:size]; size {
	case 3:
		f = fromHalf(binary.BigEndian.Uint16(bits))
	case 5:
		f = float64(math.Float32frombits(binary.BigEndian.Uint32(bits)))
	case 9:
		f = math.Float64frombits(binary.BigEndian.Uint64(bits))
	}
	var shortest [9]byte
	if string(AppendFloat(shortest[:0], f)) != string(src[:size]) {
		return 0, nil, ErrSyntax
	}
	return f, src[size:], nil
}

// toHalf returns f as an IEEE 754 binary16, if it is exactly one.
func toHalf(f float32) (uint16, bool) {
	b := math.Float32bits(f)
	sign := uint16(b>>16) & 0x8000
	exp, frac := int(b>>23&0xff)-127, b&(1<<23-1)
	switch {
	case b<<1 == 0:
		return sign, true
	case exp == 128: // infinity; NaN does not come here
		return sign | 0x7c00, frac == 0
	case exp > 15 || exp < -24:
		return 0, false
	case exp >= -14:
		return sign | uint16(exp+15)<<10 | uint16(frac>>13), frac&(1<<13-1) == 0
	}
	frac |= 1 << 23 // a subnormal half is a whole number of 2⁻²⁴
	shift := uint(-exp - 1)
	return sign | uint16(frac>>shift), frac&(1<<shift-1) == 0
}

func fromHalf(h uint16) float64 {
	exp, frac := int(h>>10&31), float64(h&0x3ff)
	f := 0.0
	switch exp {
	case 0:
		f = math.Ldexp(frac, -24)
	case 31:
		if f = math.Inf(1); frac != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(frac+1024, exp-25)
	}
	if h>>15 != 0 {
		return math.Copysign(f, -1)
	}
	return f
}

// Skip returns what follows the first item of src, which lies inside depth others.
func Skip(src []byte, depth int) (rest []byte, err error) {
	if depth > MaxNesting || len(src) == 0 {
		return nil, ErrSyntax
	}
	switch major := src[0] >> 5; major {
	case Uint, Negative:
		_, _, rest, err = ReadHead(src)
		return rest, err
	case Bytes, Text:
		_, rest, err = ReadString(src, major)
		return rest, err
	case Array:
		n, rest, err := ReadCount(src, major)
		for ; n > 0 && err == nil; n-- {
			rest, err = Skip(rest, depth+1)
		}
		return rest, err
	case Map:
		return skipMap(src, depth)
	case Simple:
		if src[0] == False || src[0] == True || src[0] == Null {
			return src[1:], nil
		}
		_, rest, err = ReadFloat(src)
		if err != nil {
			return nil, ErrSyntax
		}
		return rest, nil
	}
	return nil, ErrSyntax // tags are not used
}

// skipMap skips a map whose keys are integers or text and ascend, as this
// package writes them.
func skipMap(src []byte, depth int) (rest []byte, err error) {
	n, rest, err := ReadCount(src, Map)
	var last []byte
	for ; n > 0 && err == nil; n-- {
		at := rest
		if rest, err = Skip(rest, depth+1); err != nil {
			break
		}
		if key := at[0] >> 5; key > Negative && key != Text {
			return nil, ErrSyntax
		}
		at = at[:len(at)-len(rest)]
		if bytes.Compare(last, at) >= 0 {
			return nil, ErrSyntax
		}
		last = at
		rest, err = Skip(rest, depth+1)
	}
	return rest, err
}
