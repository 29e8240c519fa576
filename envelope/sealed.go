package envelope

import (
	"bytes"
	"database/sql/driver"
	"fmt"
)

// Sealed is a row: a whole record, sealed. It fits a BYTEA or BLOB column, a
// message and, as text, a JSON document. Its forms are strict: bytes that are
// not a whole row, or not exactly as this package writes them, are ErrFormat
// or ErrVersion. That a form parses says nothing about who made it.
//
// A nil Sealed is no row: SQL NULL and JSON null.
type Sealed []byte

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
func (s Sealed) MarshalText() ([]byte, error) { return formText(s, checkRow) }

// UnmarshalText is the opposite of MarshalText.
func (s *Sealed) UnmarshalText(text []byte) error {
	return parseText((*[]byte)(s), text, maxRow, checkRow)
}

// MarshalJSON returns the text form as a JSON string, and null for a nil Sealed.
func (s Sealed) MarshalJSON() ([]byte, error) { return formJSON(s, checkRow) }

// UnmarshalJSON is the opposite of MarshalJSON. An escape in the string is an
// error: no text form needs one.
func (s *Sealed) UnmarshalJSON(b []byte) error { return parseJSON((*[]byte)(s), b, maxRow, checkRow) }
