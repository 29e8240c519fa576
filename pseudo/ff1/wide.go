package ff1

import (
	"crypto/cipher"
	"encoding/binary"
	"slices"
)

// wide is crypt for halves of any length. It keeps them as numerals, to which
// a number is added chunk by chunk; NUM(B) and y are big-endian bytes, taken in
// words of four. So no number is larger than 64 bits and nothing is allocated
// once the pool's states have grown.
func (s *state) wide(block cipher.Block, alpha *alphabet, tweak []byte, decrypt bool) {
	n := len(s.numerals)
	left, right := s.numerals[:n/2], s.numerals[n/2:]
	b := s.halfBytes(alpha, n-n/2)
	at := place(tweak, b)
	s.tail = grow(s.tail, at%blockSize+1+b)
	s.stream = grow(s.stream, ((b+3)/4*4+4+blockSize-1)/blockSize*blockSize)
	s.start(block, alpha.radix, tweak, at)
	head := s.block

	if decrypt {
		for i := rounds; i > 0; i -= 2 {
			alpha.sub(right, s.round(block, alpha, head, at, i-1, left, b))
			alpha.sub(left, s.round(block, alpha, head, at, i-2, right, b))
		}
		return
	}
	for i := 0; i < rounds; i += 2 {
		alpha.add(left, s.round(block, alpha, head, at, i, right, b))
		alpha.add(right, s.round(block, alpha, head, at, i+1, left, b))
	}
}

// halfBytes returns b, the bytes that the larger half takes, of v numerals: of
// the number that is written with the last numeral only.
func (s *state) halfBytes(alpha *alphabet, v int) int {
	s.largest = s.largest[:0]
	for range v {
		s.largest = append(s.largest, uint16(alpha.radix-1))
	}
	s.tail = grow(s.tail, (2*v+3)/4*4) // a numeral has at most 16 bits
	alpha.number(s.tail, s.largest)
	for i, c := range s.tail {
		if c != 0 {
			return len(s.tail) - i
		}
	}
	return 0 // not reached: a radix is at least 2
}

// round returns y of the i-th round for the half x, which takes b bytes, as
// big-endian bytes of a length that is divisible by four. head is what start
// has left.
func (s *state) round(block cipher.Block, alpha *alphabet, head [blockSize]byte, at, i int, x []uint16, b int) []byte {
	alpha.number(s.tail, x)
	s.tail[at%blockSize] = byte(i)
	s.block = head
	for rest := s.tail; len(rest) > 0; {
		rest = s.absorb(rest)
		block.Encrypt(s.block[:], s.block[:])
	}
	d := (b+3)/4*4 + 4
	for j := 0; j*blockSize < d; j++ {
		part := s.stream[j*blockSize : (j+1)*blockSize]
		copy(part, s.block[:])
		if j > 0 {
			last := part[blockSize-4:]
			binary.BigEndian.PutUint32(last, binary.BigEndian.Uint32(last)^uint32(j))
			block.Encrypt(part, part)
		}
	}
	return s.stream[:d]
}

// number sets dst, whose length is divisible by four, to the number that
// numerals write, big-endian.
func (a *alphabet) number(dst []byte, numerals []uint16) {
	clear(dst)
	for len(numerals) > 0 {
		n := min(a.digits, len(numerals))
		factor, sum := uint64(1), uint64(0)
		for _, d := range numerals[:n] {
			factor *= a.radix
			sum = sum*a.radix + uint64(d)
		}
		for i := len(dst) - 4; i >= 0; i -= 4 {
			sum += uint64(binary.BigEndian.Uint32(dst[i:])) * factor // at most (2³²-1)·2³² and 2³²-1 more
			binary.BigEndian.PutUint32(dst[i:], uint32(sum))
			sum >>= 32
		}
		numerals = numerals[n:]
	}
}

// add adds the number y, which it uses up, to numerals, modulo the power of
// the radix that bounds them.
func (a *alphabet) add(numerals []uint16, y []byte) {
	carry := uint64(0)
	for end := len(numerals); end > 0; {
		rest := divide(y, a.chunk)
		for range min(a.digits, end) {
			end--
			sum := uint64(numerals[end]) + rest%a.radix + carry
			rest /= a.radix
			carry = sum / a.radix
			numerals[end] = uint16(sum % a.radix)
		}
	}
}

// sub subtracts y likewise: with x' for m-1-x, it is (x'+y)' modulo m.
func (a *alphabet) sub(numerals []uint16, y []byte) {
	a.complement(numerals)
	a.add(numerals, y)
	a.complement(numerals)
}

func (a *alphabet) complement(numerals []uint16) {
	for i := range numerals {
		numerals[i] = uint16(a.radix-1) - numerals[i]
	}
}

// divide divides y by divisor, which is at most 2³², and returns the
// remainder.
func divide(y []byte, divisor uint64) (rest uint64) {
	for i := 0; i < len(y); i += 4 {
		rest = rest<<32 | uint64(binary.BigEndian.Uint32(y[i:]))
		binary.BigEndian.PutUint32(y[i:], uint32(rest/divisor)) // below 2³², because rest was below the divisor
		rest %= divisor
	}
	return rest
}

// grow returns b with n bytes, of any content.
func grow(b []byte, n int) []byte {
	return slices.Grow(b[:0], n)[:n]
}
