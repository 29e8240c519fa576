package ff1

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

const (
	blockSize = 16
	rounds    = 10
)

// A state is what one call works in. It comes from a pool, because what a
// block cipher is handed through its interface lives on the heap.
type state struct {
	numerals []uint16
	block    [blockSize]byte

	// of the wide rounds alone
	tail    []byte // the end of Q, from the block that has the round number on
	stream  []byte // S
	largest []uint16
}

// clear leaves nothing of a text in s.
func (s *state) clear() {
	clear(s.numerals)
	clear(s.block[:])
	clear(s.tail)
	clear(s.stream)
}

// crypt encrypts or decrypts the numerals of s in place: SP 800-38G,
// algorithms 7 and 8, over numbers where the standard has numeral strings.
func (s *state) crypt(block cipher.Block, a *alphabet, tweak []byte, decrypt bool) {
	n := len(s.numerals)
	u := n / 2
	mv, ok := a.power(n - u)
	if !ok {
		s.wide(block, a, tweak, decrypt)
		return
	}
	mu, _ := a.power(u) // u is at most n-u
	s.narrow(block, a, tweak, decrypt, mu, mv)
}

// start leaves in s.block the CBC-MAC of P and of Q = T || 0… || [i] ||
// [NUM(B)] before the block that has i, and XORed to it what of T is in that
// block. These are the same in all rounds. at is the place of i in Q.
func (s *state) start(block cipher.Block, radix uint64, tweak []byte, at int) {
	n := len(s.numerals)
	p := &s.block
	binary.BigEndian.PutUint32(p[2:], uint32(radix)) // three bytes, behind a 0 that is overwritten
	p[0], p[1], p[2] = 1, 2, 1
	p[6], p[7] = rounds, byte(n/2)
	binary.BigEndian.PutUint32(p[8:], uint32(n))
	binary.BigEndian.PutUint32(p[12:], uint32(len(tweak)))
	block.Encrypt(p[:], p[:])
	for done := 0; done < at/blockSize; done++ {
		tweak = s.absorb(tweak)
		block.Encrypt(p[:], p[:])
	}
	s.absorb(tweak)
}

// absorb XORs the next block of b to s.block and returns what follows it.
func (s *state) absorb(b []byte) []byte {
	n := min(len(b), blockSize)
	subtle.XORBytes(s.block[:n], s.block[:n], b[:n])
	return b[n:]
}

// place returns where in Q the round number is: behind tweak and zeros, and
// with the b bytes behind it at the end of a block.
func place(tweak []byte, b int) int {
	return (len(tweak)+b+1+blockSize-1)/blockSize*blockSize - b - 1
}
