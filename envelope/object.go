package envelope

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
)

// Object is the reference to a sealed object, which the record that owns the
// object seals as a field:
//
//	type Visit struct {
//		ID  string          `phi:"subject"`
//		ECG envelope.Object `phi:"clinical"`
//	}
//
// It holds the object's id, the generation of the key, the object's head and
// its length, so that no other object opens in its place, nor an older one. It
// holds no key. It is comparable, and prints as id and length. The zero Object
// refers to none.
type Object struct {
	id         [16]byte
	generation uint32
	size       int64
	head       chunked.Head
}

// kindObject is the first byte of a reference: kind 4, format version 1.
const (
	kindObject        = 4
	objectKindVersion = kindObject<<4 | 1
	objectSize        = 1 + 16 + 4 + 8 + chunked.HeadSize // 85 bytes
)

// ID returns the object's id, a UUID of version 7 as text: a name for where
// the object is stored. The zero Object has none.
func (o Object) ID() string {
	if o.IsZero() {
		return ""
	}
	return uuidText(o.id)
}

// Size returns the length of the object in bytes, before it was sealed. Sealed
// it is 56 bytes longer, and 16 for each begun or ended chunk of 16 KiB.
func (o Object) Size() int64 { return o.size }

// Generation returns the generation of the subject's key that the object is
// sealed under: after [keyring.Ring.Rekey] those of the older one are to be
// sealed again.
func (o Object) Generation() uint32 { return o.generation }

// IsZero reports whether o refers to no object.
func (o Object) IsZero() bool { return o == Object{} }

// Format writes id and length, whatever the verb.
func (o Object) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.text()) }

// LogValue is id and length.
func (o Object) LogValue() slog.Value { return slog.StringValue(o.text()) }

func (o Object) text() string {
	if o.IsZero() {
		return "envelope.Object(none)"
	}
	return fmt.Sprintf("envelope.Object(%s, %d bytes)", o.ID(), o.size)
}

// MarshalBinary returns the one binary form of o: 85 bytes, and none for the
// zero Object. A codec seals it; in the clear it would tell id and length.
func (o Object) MarshalBinary() ([]byte, error) {
	if o.IsZero() {
		return []byte{}, nil
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	b := append(make([]byte, 0, objectSize), objectKindVersion)
	b = append(b, o.id[:]...)
	b = binary.BigEndian.AppendUint32(b, o.generation)
	b = binary.BigEndian.AppendUint64(b, uint64(o.size))
	return append(b, o.head[:]...), nil
}

// UnmarshalBinary is the opposite of MarshalBinary. Anything else than what it
// returns is ErrFormat, or ErrVersion, and leaves o as it is.
func (o *Object) UnmarshalBinary(b []byte) error {
	switch {
	case len(b) == 0:
		*o = Object{}
		return nil
	case b[0]>>4 != kindObject:
		return malformed("another kind than an object's reference")
	case b[0] != objectKindVersion:
		return fmt.Errorf("%w: %d", ErrVersion, b[0]&15)
	case len(b) != objectSize:
		return malformed("length of an object's reference")
	}
	var x Object
	b = b[1+copy(x.id[:], b[1:]):]
	x.generation, b = binary.BigEndian.Uint32(b), b[4:]
	size, b := binary.BigEndian.Uint64(b), b[8:]
	if size > chunked.MaxLength {
		return malformed("length of an object")
	}
	x.size = int64(size)
	copy(x.head[:], b)
	if err := x.check(); err != nil {
		return err
	}
	*o = x
	return nil
}

// MarshalText returns the binary form in base64url without padding, so that JSON
// does not lose an Object.
func (o Object) MarshalText() ([]byte, error) {
	b, err := o.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return textEncoding().AppendEncode(nil, b), nil
}

// UnmarshalText is the opposite of MarshalText, and as strict as UnmarshalBinary.
func (o *Object) UnmarshalText(text []byte) error {
	if len(text) > textEncoding().EncodedLen(objectSize) {
		return malformed("text of an object's reference")
	}
	b, err := textEncoding().AppendDecode(nil, text)
	if err != nil || !bytes.Equal(textEncoding().AppendEncode(nil, b), text) {
		return malformed("text of an object's reference")
	}
	return o.UnmarshalBinary(b)
}

// check refuses what Create does not make.
func (o *Object) check() error {
	switch {
	case o.id[6]>>4 != 7 || o.id[8]>>6 != 2:
		return malformed("id of an object")
	case o.generation == 0:
		return malformed("generation of an object's key")
	}
	return nil
}

// uuidText returns the text form of a UUID (RFC 9562, section 4).
func uuidText(id [16]byte) string {
	text := make([]byte, 0, 36)
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, []byte{b})
	}
	return string(text)
}
