package pseudo

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"

	"github.com/rahasia/rahasia/internal/siv"
)

const (
	reversibleFormat = 0x02
	reversibleHead   = 1 + 4             // format and key version
	longestNormal    = 1024              // the longest canonical form of any kind, in bytes
	inlineSize       = siv.Overhead + 16 // what a number's token has, so that it needs no memory of its own
)

// A ReversibleToken stands for a value in one domain and can be turned back
// into it by [Reversible.Reverse]. Its binary form, for a BYTEA or BLOB column,
// has 21 bytes more than the value's canonical form: 37 for a NIK; its text
// form for people and messages is 61 characters then (docs/SPEC.md). So it
// reveals how long the value is, and like a [Token] which values are equal.
//
// Tokens may be compared with == and used as keys of a map. The zero
// ReversibleToken stands for nothing and cannot be stored: for a column that
// may be NULL use sql.Null[ReversibleToken].
type ReversibleToken struct {
	version uint32
	size    uint8            // how much of head is used
	head    [inlineSize]byte // the sealed value begins here
	tail    string           // and goes on here where head is full: of equal tokens all fields are equal
}

// newReversibleToken returns the token that holds a sealed value.
func newReversibleToken(version uint32, sealed []byte) (t ReversibleToken) {
	n := copy(t.head[:], sealed)
	t.version, t.size = version, uint8(n)
	t.tail = string(sealed[n:])
	return t
}

// appendSealed appends the sealed value.
func (t ReversibleToken) appendSealed(dst []byte) []byte {
	return append(append(dst, t.head[:t.size]...), t.tail...)
}

// IsZero reports whether t is the zero ReversibleToken.
func (t ReversibleToken) IsZero() bool { return t.version == 0 }

// Version returns the version of the domain's keyset that made t. A zero
// ReversibleToken has version 0, which no keyset has.
func (t ReversibleToken) Version() uint32 { return t.version }

// Bytes returns the binary form of t: 0x02, the key version in four bytes,
// big-endian, and the value sealed by AES-SIV, 16 bytes longer than its
// canonical form. It returns nil for a zero ReversibleToken.
func (t ReversibleToken) Bytes() []byte {
	b, _ := t.MarshalBinary() // fails only for a zero ReversibleToken
	return b
}

// ReversibleTokenFromBytes returns the token of a binary form, or [ErrToken].
// It checks the form; that a domain made the token is seen when it is reversed.
func ReversibleTokenFromBytes(b []byte) (ReversibleToken, error) {
	if size := len(b) - reversibleHead - siv.Overhead; size < 1 || size > longestNormal {
		return ReversibleToken{}, fmt.Errorf("%w: want 22 to 1,045 bytes", ErrToken)
	}
	if b[0] != reversibleFormat {
		return ReversibleToken{}, fmt.Errorf("%w: unknown format", ErrToken)
	}
	version := binary.BigEndian.Uint32(b[1:])
	if version == 0 {
		return ReversibleToken{}, fmt.Errorf("%w: key version 0", ErrToken)
	}
	return newReversibleToken(version, b[reversibleHead:]), nil
}

// AppendBinary appends the binary form of t to b. It returns [ErrToken] for a
// zero ReversibleToken.
func (t ReversibleToken) AppendBinary(b []byte) ([]byte, error) {
	if t.IsZero() {
		return b, fmt.Errorf("%w: zero token", ErrToken)
	}
	b = append(b, reversibleFormat)
	b = binary.BigEndian.AppendUint32(b, t.version)
	return t.appendSealed(b), nil
}

// MarshalBinary returns the binary form of t, or [ErrToken] for a zero
// ReversibleToken.
func (t ReversibleToken) MarshalBinary() ([]byte, error) {
	return t.AppendBinary(nil)
}

// UnmarshalBinary sets t from a binary form, as [ReversibleTokenFromBytes]
// reads it. On an error t is unchanged.
func (t *ReversibleToken) UnmarshalBinary(b []byte) error {
	parsed, err := ReversibleTokenFromBytes(b)
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// Value returns the binary form of t for a database column, or [ErrToken] for
// a zero ReversibleToken: an absent token is NULL and never an empty string.
func (t ReversibleToken) Value() (driver.Value, error) { return t.MarshalBinary() }

// Scan sets t from the binary form in a database column. NULL, text and
// anything else are [ErrToken], and t is then unchanged.
func (t *ReversibleToken) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("%w: want a binary column that is not NULL", ErrToken)
	}
	return t.UnmarshalBinary(b)
}

// String returns the text form of t: its binary form in digits of Crockford's
// base 32 and his check symbol, as [Token.String] writes it. A zero
// ReversibleToken gives "no token", which does not parse.
func (t ReversibleToken) String() string {
	text, err := t.AppendText(nil)
	if err != nil {
		return "no token"
	}
	return string(text)
}

// ParseReversibleToken returns the token of a text form, or [ErrToken]. It
// reads what [ReversibleToken.String] writes, and misread letters as
// [ParseToken] does.
func ParseReversibleToken(text string) (ReversibleToken, error) {
	if len(text) > base32Size(reversibleHead+siv.Overhead+longestNormal) {
		return ReversibleToken{}, fmt.Errorf("%w: want at most 1,673 characters", ErrToken)
	}
	var buf [96]byte
	b, err := parseBase32(buf[:0], text)
	if err != nil {
		return ReversibleToken{}, err
	}
	return ReversibleTokenFromBytes(b)
}

// base32Size returns the length of the text of n bytes, check symbol included.
func base32Size(n int) int { return (n*8+4)/5 + 1 }

// AppendText appends the text form of t to b, or returns [ErrToken] for a zero
// ReversibleToken.
func (t ReversibleToken) AppendText(b []byte) ([]byte, error) {
	var buf [96]byte
	raw, err := t.AppendBinary(buf[:0])
	if err != nil {
		return b, err
	}
	return appendBase32(b, raw), nil
}

// MarshalText returns the text form of t, as JSON has it, or [ErrToken] for a
// zero ReversibleToken.
func (t ReversibleToken) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText sets t from a text form, as [ParseReversibleToken] reads it. On
// an error t is unchanged.
func (t *ReversibleToken) UnmarshalText(text []byte) error {
	parsed, err := ParseReversibleToken(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
