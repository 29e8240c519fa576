package ff1

import (
	"crypto/cipher"
	"encoding/binary"
	"math"
	"math/bits"
)

// A feistel is the network for halves of at most 64 bits each.
type feistel struct {
	s      *state
	block  cipher.Block
	hi, lo uint64 // the last block of Q as it enters the cipher, but for round number and half
	bytes  int    // b: how many bytes a half takes, at most 8
}

// A modulus bounds a half: a power of the radix, and 2⁶⁴-1 divided by it.
type modulus struct{ m, inverse uint64 }

// narrow is crypt for halves that fit in a machine word: mu and mv are the
// powers of the radix that bound the left and the right one.
func (s *state) narrow(block cipher.Block, alpha *alphabet, tweak []byte, decrypt bool, mu, mv uint64) {
	f := feistel{s: s, block: block, bytes: (bits.Len64(mv-1) + 7) / 8}
	s.start(block, alpha.radix, tweak, place(tweak, f.bytes))
	f.hi, f.lo = binary.BigEndian.Uint64(s.block[:8]), binary.BigEndian.Uint64(s.block[8:])

	left, right := s.numerals[:len(s.numerals)/2], s.numerals[len(s.numerals)/2:]
	a, b := number(left, alpha.radix), number(right, alpha.radix)
	u, v := modulus{mu, math.MaxUint64 / mu}, modulus{mv, math.MaxUint64 / mv}
	if decrypt {
		for i := rounds; i > 0; i -= 2 {
			b = v.sub(b, f.round(i-1, a, v))
			a = u.sub(a, f.round(i-2, b, u))
		}
	} else {
		for i := 0; i < rounds; i += 2 {
			a = u.add(a, f.round(i, b, u))
			b = v.add(b, f.round(i+1, a, v))
		}
	}
	spell(left, a, alpha.radix)
	spell(right, b, alpha.radix)
}

// round returns y of the i-th round for the half x, modulo m.
func (f *feistel) round(i int, x uint64, m modulus) uint64 {
	hi, lo := f.hi, f.lo^x
	if f.bytes == 8 {
		hi ^= uint64(i)
	} else {
		lo ^= uint64(i) << (8 * f.bytes)
	}
	r := &f.s.block
	binary.BigEndian.PutUint64(r[:8], hi)
	binary.BigEndian.PutUint64(r[8:], lo)
	f.block.Encrypt(r[:], r[:])
	y := binary.BigEndian.Uint64(r[:8])
	if f.bytes <= 4 {
		return m.reduce(y) // d = 8
	}
	return bits.Rem64(y>>32, y<<32|uint64(binary.BigEndian.Uint32(r[8:12])), m.m) // d = 12
}

// reduce returns y modulo m without a division, which some processors do
// slowly. The estimated quotient is the true one or one less: it is more than
// y·(2⁶⁴/m - 1)/2⁶⁴ - 1, which is more than y/m - 2.
func (m modulus) reduce(y uint64) uint64 {
	q, _ := bits.Mul64(y, m.inverse)
	return m.sub(y-q*m.m, m.m)
}

// add returns x+y modulo m, both of which are less than m. Neither add nor sub
// branches: the processor would guess wrong half the time.
func (m modulus) add(x, y uint64) uint64 {
	sum, carry := bits.Add64(x, y, 0)
	sum, borrow := bits.Sub64(sum, m.m, 0)
	_, borrow = bits.Sub64(carry, 0, borrow)
	return sum + m.m&-borrow
}

// sub returns x-y, and m more where that is negative.
func (m modulus) sub(x, y uint64) uint64 {
	difference, borrow := bits.Sub64(x, y, 0)
	return difference + m.m&-borrow
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
