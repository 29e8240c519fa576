package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// The part of deterministic CBOR (RFC 8949, section 4.2.1) that a row uses:
// shortest heads, no indefinite lengths, no tags.

// errSyntax: bytes that this package would not have written.
var errSyntax = errors.New("not deterministic CBOR")

// Major types.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorSimple
)

const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
	cborNull  = 0xf6
	cborHalf  = 0xf9
	cborFloat = 0xfa
	cborWide  = 0xfb
)

// maxNesting bounds the depth of an unknown member that is skipped.
const maxNesting = 32

func appendHead(dst []byte, major byte, n uint64) []byte {
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

// headSize is the number of bytes that [appendHead] writes for n.
func headSize(n int) int {
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

// readHead reads a head and refuses one that is longer than it need be. The
// simple values and floats of major type 7 are not heads in this sense.
func readHead(src []byte) (major byte, n uint64, rest []byte, err error) {
	if len(src) == 0 {
		return 0, 0, nil, errSyntax
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
		return 0, 0, nil, errSyntax // reserved, or of indefinite length
	}
	if len(src) < 1+size {
		return 0, 0, nil, errSyntax
	}
	n = 0
	for _, b := range src[1 : 1+size] {
		n = n<<8 | uint64(b)
	}
	if n < least {
		return 0, 0, nil, errSyntax
	}
	return major, n, src[1+size:], nil
}

// readString reads a byte or text string and returns its bytes, which alias src.
func readString(src []byte, want byte) (s, rest []byte, err error) {
	major, n, rest, err := readHead(src)
	switch {
	case err != nil:
		return nil, nil, err
	case major != want:
		return nil, nil, ErrType
	case n > uint64(len(rest)):
		return nil, nil, errSyntax
	}
	s, rest = rest[:n:n], rest[n:]
	if want == majorText && !utf8.Valid(s) {
		return nil, nil, errSyntax
	}
	return s, rest, nil
}

// readCount reads the head of an array or map. Each item takes a byte at
// least, so a count beyond the bytes at hand is a lie.
func readCount(src []byte, want byte) (n int, rest []byte, err error) {
	major, count, rest, err := readHead(src)
	switch {
	case err != nil:
		return 0, nil, err
	case major != want:
		return 0, nil, ErrType
	case count > uint64(len(rest)):
		return 0, nil, errSyntax
	}
	return int(count), rest, nil
}

func appendInt(dst []byte, n int64) []byte {
	if n < 0 {
		return appendHead(dst, majorNegative, uint64(^n))
	}
	return appendHead(dst, majorUint, uint64(n))
}

func readInt(src []byte) (int64, []byte, error) {
	major, n, rest, err := readHead(src)
	switch {
	case err != nil:
		return 0, nil, err
	case major > majorNegative, n > math.MaxInt64:
		return 0, nil, ErrType
	case major == majorNegative:
		return ^int64(n), rest, nil
	}
	return int64(n), rest, nil
}

// appendFloat writes the shortest float that is equal to f; every NaN is one.
func appendFloat(dst []byte, f float64) []byte {
	if f != f {
		return append(dst, cborHalf, 0x7e, 0x00)
	}
	single := float32(f)
	if float64(single) != f {
		return binary.BigEndian.AppendUint64(append(dst, cborWide), math.Float64bits(f))
	}
	if half, ok := toHalf(single); ok {
		return binary.BigEndian.AppendUint16(append(dst, cborHalf), half)
	}
	return binary.BigEndian.AppendUint32(append(dst, cborFloat), math.Float32bits(single))
}

func readFloat(src []byte) (f float64, rest []byte, err error) {
	if len(src) == 0 {
		return 0, nil, errSyntax
	}
	size := 0
	switch src[0] {
	case cborHalf:
		size = 3
	case cborFloat:
		size = 5
	case cborWide:
		size = 9
	default:
		return 0, nil, ErrType
	}
	if len(src) < size {
		return 0, nil, errSyntax
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
	if string(appendFloat(shortest[:0], f)) != string(src[:size]) {
		return 0, nil, errSyntax
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

// skip returns what follows the first item of src.
func skip(src []byte, depth int) (rest []byte, err error) {
	if depth > maxNesting || len(src) == 0 {
		return nil, errSyntax
	}
	switch major := src[0] >> 5; major {
	case majorUint, majorNegative:
		_, _, rest, err = readHead(src)
		return rest, err
	case majorBytes, majorText:
		_, rest, err = readString(src, major)
		return rest, err
	case majorArray:
		n, rest, err := readCount(src, major)
		for ; n > 0 && err == nil; n-- {
			rest, err = skip(rest, depth+1)
		}
		return rest, err
	case majorMap:
		return skipMap(src, depth)
	case majorSimple:
		if src[0] == cborFalse || src[0] == cborTrue || src[0] == cborNull {
			return src[1:], nil
		}
		_, rest, err = readFloat(src)
		if err != nil {
			return nil, errSyntax
		}
		return rest, nil
	}
	return nil, errSyntax // tags are not used
}

// skipMap skips a map whose keys are integers or text and ascend, as this
// package writes them.
func skipMap(src []byte, depth int) (rest []byte, err error) {
	n, rest, err := readCount(src, majorMap)
	var last []byte
	for ; n > 0 && err == nil; n-- {
		at := rest
		if rest, err = skip(rest, depth+1); err != nil {
			break
		}
		if key := at[0] >> 5; key > majorNegative && key != majorText {
			return nil, errSyntax
		}
		at = at[:len(at)-len(rest)]
		if bytes.Compare(last, at) >= 0 {
			return nil, errSyntax
		}
		last = at
		rest, err = skip(rest, depth+1)
	}
	return rest, err
}
