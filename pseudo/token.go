package pseudo

import (
	"crypto/subtle"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
)

const (
	tokenFormat = 0x01
	macSize     = 16
	tokenSize   = 1 + 4 + macSize
)

// A Token stands for a value in one domain. Its binary form, for a BYTEA or
// BLOB column, has 21 bytes; its text form, for people and messages, has 35
// characters (docs/SPEC.md). Tokens may be compared with == and used as keys
// of a map. The zero Token stands for nothing and cannot be stored: for a
// column that may be NULL use sql.Null[Token].
type Token struct {
	version uint32
	mac     [macSize]byte
}

// IsZero reports whether t is the zero Token.
func (t Token) IsZero() bool { return t.version == 0 }

// Version returns the version of the domain's keyset that made t. A zero Token
// has version 0, which no keyset has.
func (t Token) Version() uint32 { return t.version }

// equal reports in constant time whether t and u are the same token.
func (t Token) equal(u Token) bool {
	return t.version == u.version && subtle.ConstantTimeCompare(t.mac[:], u.mac[:]) == 1
}

// Bytes returns the binary form of t, 21 bytes: 0x01, the key version in four
// bytes, big-endian, and 16 bytes of keyed hash. It returns nil for a zero
// Token.
func (t Token) Bytes() []byte {
	if t.IsZero() {
		return nil
	}
	b, _ := t.AppendBinary(make([]byte, 0, tokenSize)) // fails only for a zero Token
	return b
}

// TokenFromBytes returns the token of a binary form, or [ErrToken].
func TokenFromBytes(b []byte) (Token, error) {
	if len(b) != tokenSize {
		return Token{}, fmt.Errorf("%w: want 21 bytes", ErrToken)
	}
	if b[0] != tokenFormat {
		return Token{}, fmt.Errorf("%w: unknown format", ErrToken)
	}
	t := Token{version: binary.BigEndian.Uint32(b[1:5]), mac: [macSize]byte(b[5:])}
	if t.version == 0 {
		return Token{}, fmt.Errorf("%w: key version 0", ErrToken)
	}
	return t, nil
}

// AppendBinary appends the binary form of t to b. It returns [ErrToken] for a
// zero Token.
func (t Token) AppendBinary(b []byte) ([]byte, error) {
	if t.IsZero() {
		return b, fmt.Errorf("%w: zero token", ErrToken)
	}
	b = append(b, tokenFormat)
	b = binary.BigEndian.AppendUint32(b, t.version)
	return append(b, t.mac[:]...), nil
}

// MarshalBinary returns the binary form of t, or [ErrToken] for a zero Token.
func (t Token) MarshalBinary() ([]byte, error) {
	if t.IsZero() {
		return nil, fmt.Errorf("%w: zero token", ErrToken)
	}
	return t.Bytes(), nil
}

// UnmarshalBinary sets t from a binary form, as [TokenFromBytes] reads it. On
// an error t is unchanged.
func (t *Token) UnmarshalBinary(b []byte) error {
	parsed, err := TokenFromBytes(b)
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}

// Value returns the binary form of t for a database column, or [ErrToken] for
// a zero Token: an absent token is NULL and never an empty string.
func (t Token) Value() (driver.Value, error) { return t.MarshalBinary() }

// Scan sets t from the binary form in a database column. NULL, text and
// anything else are [ErrToken], and t is then unchanged.
func (t *Token) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok {
		return fmt.Errorf("%w: want a binary column that is not NULL", ErrToken)
	}
	return t.UnmarshalBinary(b)
}
