package envelope

import (
	"bytes"
	"encoding/base64"
)

// The text and JSON forms of rows, messages and items. check is what tells
// whether bytes are one.

// textEncoding is base64url without padding (RFC 4648, section 5). Strict alone
// still skips line breaks, so decoded text is encoded again.
func textEncoding() *base64.Encoding { return base64.RawURLEncoding.Strict() }

func formText(b []byte, check func([]byte) error) ([]byte, error) {
	if err := check(b); err != nil {
		return nil, err
	}
	return textEncoding().AppendEncode(nil, b), nil
}

// parseText sets dst to what text is the form of; limit is its greatest length.
func parseText(dst *[]byte, text []byte, limit int, check func([]byte) error) error {
	if len(text) > textEncoding().EncodedLen(limit) {
		return malformed("too long")
	}
	b, err := textEncoding().AppendDecode(nil, text)
	if err != nil || !bytes.Equal(textEncoding().AppendEncode(nil, b), text) {
		return malformed("text is not base64url without padding")
	}
	if err := check(b); err != nil {
		return err
	}
	*dst = b
	return nil
}

func formJSON(b []byte, check func([]byte) error) ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	text, err := formText(b, check)
	if err != nil {
		return nil, err
	}
	return append(append([]byte{'"'}, text...), '"'), nil
}

func parseJSON(dst *[]byte, b []byte, limit int, check func([]byte) error) error {
	if string(b) == "null" {
		*dst = nil
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return malformed("JSON is not a string")
	}
	return parseText(dst, b[1:len(b)-1], limit, check)
}
