package envelope

import (
	"bytes"
	"database/sql/driver"
	"encoding/base64"
	"fmt"
)

// Sealed is a row: a whole record, sealed. It fits a BYTEA or BLOB column, a
// message and, as text, a JSON document. Its forms are strict: bytes that are
// not a whole row, or not exactly as this package writes them, are ErrFormat
// or ErrVersion. That a form parses says nothing about who made it.
//
// A nil Sealed is no row: SQL NULL and JSON null.
type Sealed []byte

// encoding of the text form: base64url without padding (RFC 4648, section 5).
// Strict alone still skips line breaks, so decoded text is encoded again.
func textEncoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

// Value returns the row as []byte, and nil for a nil Sealed.
func (s Sealed) Value() (driver.Value, error) {
	if s == nil {
		return nil, nil
	}
	if err := checkRow(s); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// Scan sets s to a copy of a []byte, or to nil for SQL NULL. A text column is
// an error, because a database may change text.
func (s *Sealed) Scan(src any) error {
	switch b := src.(type) {
	case nil:
		*s = nil
		return nil
	case []byte:
		if err := checkRow(b); err != nil {
			return err
		}
		*s = bytes.Clone(b)
		return nil
	}
	return fmt.Errorf("%w: scanned from %T; the column must be BYTEA or BLOB", ErrFormat, src)
}

// MarshalText returns the row in base64url without padding. A nil Sealed has
// no text.
func (s Sealed) MarshalText() ([]byte, error) {
	if err := checkRow(s); err != nil {
		return nil, err
	}
	return textEncoding().AppendEncode(nil, s), nil
}

// UnmarshalText is the opposite of MarshalText.
func (s *Sealed) UnmarshalText(text []byte) error {
	if len(text) > textEncoding().EncodedLen(maxRow) {
		return malformed("too long")
	}
	row, err := textEncoding().AppendDecode(nil, text)
	if err != nil || !bytes.Equal(textEncoding().AppendEncode(nil, row), text) {
		return malformed("text is not base64url without padding")
	}
	if err := checkRow(row); err != nil {
		return err
	}
	*s = row
	return nil
}

// MarshalJSON returns the text form as a JSON string, and null for a nil Sealed.
func (s Sealed) MarshalJSON() ([]byte, error) {
	if s == nil {
		return []byte("null"), nil
	}
	text, err := s.MarshalText()
	if err != nil {
		return nil, err
	}
	return append(append([]byte{'"'}, text...), '"'), nil
}

// UnmarshalJSON is the opposite of MarshalJSON. An escape in the string is an
// error: no text form needs one.
func (s *Sealed) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*s = nil
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return malformed("JSON is not a string")
	}
	return s.UnmarshalText(b[1 : len(b)-1])
}
