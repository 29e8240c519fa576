package ff1

import (
	"math/bits"
	"unicode/utf8"
)

// maxRadix is the largest alphabet of SP 800-38G.
const maxRadix = 1 << 16

// An alphabet gives each character its numeral and the reverse. It does not
// change.
type alphabet struct {
	radix      uint64
	characters []rune
	ascii      [utf8.RuneSelf]int32 // the numeral of an ASCII character, or -1
	others     map[rune]uint16      // the numerals of all other characters

	chunk  uint64 // the largest power of the radix that is at most 2³²
	digits int    // and the number of numerals that it takes
}

func newAlphabet(text string) (*alphabet, error) {
	if !utf8.ValidString(text) || len(text) > maxRadix*utf8.UTFMax {
		return nil, ErrAlphabet
	}
	a := &alphabet{characters: []rune(text), others: map[rune]uint16{}, chunk: 1}
	a.radix = uint64(len(a.characters))
	if a.radix < 2 || a.radix > maxRadix {
		return nil, ErrAlphabet
	}
	for i := range a.ascii {
		a.ascii[i] = -1
	}
	for i, r := range a.characters {
		if a.numeral(r) >= 0 {
			return nil, ErrAlphabet
		}
		if r < utf8.RuneSelf {
			a.ascii[r] = int32(i)
		} else {
			a.others[r] = uint16(i)
		}
	}
	for a.chunk*a.radix <= 1<<32 {
		a.chunk *= a.radix
		a.digits++
	}
	return a, nil
}

// numeral returns the numeral of r, or -1.
func (a *alphabet) numeral(r rune) int32 {
	if r < utf8.RuneSelf {
		return a.ascii[r]
	}
	if n, ok := a.others[r]; ok {
		return int32(n)
	}
	return -1
}

// read sets the numerals of s to those of text. On an error s may hold a part
// of them.
func (a *alphabet) read(s *state, text string) error {
	s.numerals = s.numerals[:0]
	for i, r := range text {
		n := a.numeral(r)
		if r == utf8.RuneError && n >= 0 && !utf8.ValidString(text[i:min(i+utf8.UTFMax-1, len(text))]) {
			n = -1 // a broken byte and not the character U+FFFD of the alphabet
		}
		if n < 0 {
			return ErrCharacter
		}
		if len(s.numerals) == maxLength {
			return ErrLength
		}
		s.numerals = append(s.numerals, uint16(n))
	}
	if !a.enough(len(s.numerals)) {
		return ErrLength
	}
	return nil
}

// enough reports whether there are at least minDomain texts of n characters.
func (a *alphabet) enough(n int) bool {
	domain := uint64(1)
	for range n {
		if domain *= a.radix; domain >= minDomain { // the factors are below 2²⁰ and 2¹⁷
			return true
		}
	}
	return false
}

// append appends the characters of numerals to dst.
func (a *alphabet) append(dst []byte, numerals []uint16) []byte {
	for _, n := range numerals {
		dst = utf8.AppendRune(dst, a.characters[n])
	}
	return dst
}

// power returns the n-th power of the radix, or false if it has more than 64
// bits.
func (a *alphabet) power(n int) (uint64, bool) {
	p := uint64(1)
	for range n {
		hi, lo := bits.Mul64(p, a.radix)
		if hi != 0 {
			return 0, false
		}
		p = lo
	}
	return p, true
}
