package ff1

import (
	"crypto/cipher"
	"encoding/binary"
	"math/bits"
)

// A feistel is the network for halves of at most 64 bits each.
type feistel struct {
	s      *state
	block  cipher.Block
	hi, lo uint64 // the last block of Q as it enters the cipher, but for round number and half
	bytes  int    // b: how many bytes a half takes, at most 8
}

// narrow is crypt for halves that fit in a machine word: mu and mv are the
// powers of the radix that bound the left and the right one.
func (s *state) narrow(block cipher.Block, alpha *alphabet, tweak []byte, decrypt bool, mu, mv uint64) {
	f := feistel{s: s, block: block, bytes: (bits.Len64(mv-1) + 7) / 8}
	s.start(block, alpha.radix, tweak, place(tweak, f.bytes))
	f.hi, f.lo = binary.BigEndian.Uint64(s.block[:8]), binary.BigEndian.Uint64(s.block[8:])

	left, right := s.numerals[:len(s.numerals)/2], s.numerals[len(s.numerals)/2:]
	a, b := number(left, alpha.radix), number(right, alpha.radix)
	if decrypt {
		for i := rounds; i > 0; i -= 2 {
			b = subMod(b, f.round(i-1, a, mv), mv)
			a = subMod(a, f.round(i-2, b, mu), mu)
		}
	} else {
		for i := 0; i < rounds; i += 2 {
			a = addMod(a, f.round(i, b, mu), mu)
			b = addMod(b, f.round(i+1, a, mv), mv)
		}
	}
	spell(left, a, alpha.radix)
	spell(right, b, alpha.radix)
}

// round returns y of the i-th round for the half x, modulo m.
func (f *feistel) round(i int, x, m uint64) uint64 {
	hi, lo := f.hi, f.lo^x
	if f.bytes == 8 {
		hi ^= uint64(i)
	} else {
		lo ^= uint64(i) << (8 * f.bytes)
	}
	r := f.s.block[:]
	binary.BigEndian.PutUint64(r, hi)
	binary.BigEndian.PutUint64(r[8:], lo)
	f.block.Encrypt(r, r)
	y := binary.BigEndian.Uint64(r)
	if f.bytes <= 4 {
		return y % m // d = 8
	}
	return bits.Rem64(y>>32, y<<32|uint64(binary.BigEndian.Uint32(r[8:])), m) // d = 12
}

// addMod returns x+y modulo m, both of which are less than m.
func addMod(x, y, m uint64) uint64 {
	sum, carry := bits.Add64(x, y, 0)
	if carry != 0 || sum >= m {
		sum -= m
	}
	return sum
}

// subMod returns x-y modulo m, both of which are less than m.
func subMod(x, y, m uint64) uint64 {
	if x < y {
		x += m // may wrap around, and the subtraction wraps it back
	}
	return x - y
}

// number returns the number that numerals write.
func number(numerals []uint16, radix uint64) (x uint64) {
	for _, n := range numerals {
		x = x*radix + uint64(n)
	}
	return x
}

// spell writes x into all of numerals.
func spell(numerals []uint16, x, radix uint64) {
	if radix == 10 {
		for i := len(numerals) - 1; i >= 0; i-- {
			numerals[i] = uint16(x % 10) // a constant, by which division is four times as fast
			x /= 10
		}
		return
	}
	for i := len(numerals) - 1; i >= 0; i-- {
		numerals[i] = uint16(x % radix)
		x /= radix
	}
}
