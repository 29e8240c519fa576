package pseudo

import (
	"fmt"
	"strings"
)

// symbols are the 32 digits of Crockford's base 32 and after them the five
// that only a check symbol can be.
const symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"

const (
	textDigits = (tokenSize*8 + 4) / 5 // 34, with two bits to spare
	textSize   = textDigits + 1
	checkBase  = 37
)

// String returns the text form of t: 34 digits of Crockford's base 32 and his
// check symbol, which catches every single wrong symbol and every exchange of
// two neighbours. The check symbol may be one of *~$=U: quote the text in a
// shell, escape it in a URL. A zero Token gives "no token", which does not
// parse.
func (t Token) String() string {
	if t.IsZero() {
		return "no token"
	}
	text := t.text()
	return string(text[:])
}

func (t Token) text() (text [textSize]byte) {
	var raw [tokenSize]byte
	_, _ = t.AppendBinary(raw[:0])
	appendBase32(text[:0], raw[:])
	return text
}

// ParseToken returns the token of a text form, or [ErrToken]. It reads what
// [Token.String] writes, and as Crockford asks it accepts lower case, and the
// letter O for 0 and I or L for 1, because people misread them. It accepts
// nothing else: no hyphens, no spaces, no other length.
func ParseToken(text string) (Token, error) {
	if len(text) != textSize {
		return Token{}, fmt.Errorf("%w: want 35 characters", ErrToken)
	}
	var raw [tokenSize]byte
	b, err := parseBase32(raw[:0], text)
	if err != nil {
		return Token{}, err
	}
	return TokenFromBytes(b)
}

// appendBase32 appends raw as digits of base 32, the last one filled with zero
// bits, and the check symbol.
func appendBase32(dst, raw []byte) []byte {
	bits, n, sum := 0, 0, 0 // the last n bits of bits are still to be written
	put := func(digit int) {
		dst = append(dst, symbols[digit])
		sum = (sum*32 + digit) % checkBase
	}
	for _, b := range raw {
		bits, n = bits<<8|int(b), n+8
		for ; n >= 5; n -= 5 {
			put(bits >> (n - 5) & 31)
		}
		bits &= 1<<n - 1
	}
	if n > 0 {
		put(bits << (5 - n) & 31)
	}
	return append(dst, symbols[sum])
}

// parseBase32 appends the bytes of what appendBase32 wrote, or returns
// [ErrToken].
func parseBase32(dst []byte, text string) ([]byte, error) {
	if text == "" {
		return nil, fmt.Errorf("%w: no text", ErrToken)
	}
	last := len(text) - 1
	bits, n, sum := 0, 0, 0
	for i := range last {
		digit := symbol(text[i])
		if digit < 0 || digit > 31 {
			return nil, fmt.Errorf("%w: character %d is not a digit of base 32", ErrToken, i+1)
		}
		bits, n = bits<<5|digit, n+5
		if n >= 8 {
			n -= 8
			dst = append(dst, byte(bits>>n))
		}
		bits &= 1<<n - 1
		sum = (sum*32 + digit) % checkBase
	}
	if symbol(text[last]) != sum {
		return nil, fmt.Errorf("%w: the check symbol does not fit", ErrToken)
	}
	if n >= 5 || bits != 0 { // five spare bits would be a whole digit that says nothing
		return nil, fmt.Errorf("%w: spare bits are set", ErrToken)
	}
	return dst, nil
}

// symbol returns the value of c as a symbol, or -1.
func symbol(c byte) int {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	switch c {
	case 'O':
		c = '0'
	case 'I', 'L':
		c = '1'
	}
	return strings.IndexByte(symbols, c)
}

// AppendText appends the text form of t to b, or returns [ErrToken] for a zero
// Token.
func (t Token) AppendText(b []byte) ([]byte, error) {
	if t.IsZero() {
		return b, fmt.Errorf("%w: zero token", ErrToken)
	}
	text := t.text()
	return append(b, text[:]...), nil
}

// MarshalText returns the text form of t, as JSON has it, or [ErrToken] for a
// zero Token.
func (t Token) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText sets t from a text form, as [ParseToken] reads it. On an error
// t is unchanged.
func (t *Token) UnmarshalText(text []byte) error {
	parsed, err := ParseToken(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
