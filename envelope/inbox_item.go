package envelope

import (
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/rahasia/rahasia/envelope/internal/chunked"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
)

// The labels of an item.
const (
	inboxLabel     = "rahasia/inbox/v1"      // of HPKE's info: ring, inbox, sender, keyset version; and its exporter context
	inboxBodyLabel = "rahasia/inbox-body/v1" // of the context of the body, before the head
	inboxItemLabel = "rahasia/inbox-item/v1" // of what the MAC is over: ring, inbox, and then head and body's head
)

// kindItem is the first byte of an item: kind 3, format version 1.
const kindItem = 0x31

// HPKE's base mode with a hybrid KEM, because what lies in a queue today can be
// kept until today's curves fall. The AEAD is nobody's: only a secret is exported.
const (
	inboxKEM   = 0x647a // MLKEM768-X25519, by a draft: so items name it
	inboxEnc   = 1088 + 32
	inboxKeyed = 1184 + 32 // the public key
)

func kem() hpke.KEM { return hpke.MLKEM768X25519() }

const (
	maxSender = 64 // bytes
	itemFixed = 1 + 2 + 4 + 1
	itemMAC   = sha256.Size
)

// Item is what an [Intake] sealed for an [Inbox]: bytes for a queue, a file or,
// as text, a JSON document. Like those of [Sealed] its forms are strict, and
// that one parses says nothing about who made it.
//
// Without a key an item shows its sender, the version of the inbox's keyset and
// its length in the buckets of a row. A nil Item is none, and JSON null.
type Item []byte

// itemPlace is whose item it is. It is authenticated, and partly in the item.
type itemPlace struct {
	ring, inbox, sender string
	version             uint32
}

// info is what HPKE binds.
func (p *itemPlace) info() []byte {
	v := binary.BigEndian.AppendUint32(nil, p.version)
	return lp.Append(nil, inboxLabel, p.ring, p.inbox, p.sender, string(v))
}

// head returns the head of an item.
func (p *itemPlace) head(dst, enc []byte) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, kindItem), inboxKEM)
	dst = binary.BigEndian.AppendUint32(dst, p.version)
	dst = append(append(dst, byte(len(p.sender))), p.sender...)
	return append(dst, enc...)
}

// mac returns the MAC of an item, which is its id.
func (p *itemPlace) mac(key secret.MAC, head []byte, body chunked.Head) [itemMAC]byte {
	m := lp.Append(make([]byte, 0, 2048), inboxItemLabel, p.ring, p.inbox)
	return secret.Sum(key, append(append(m, head...), body[:]...))
}

// bodyContext is what the key of a body is bound to.
func bodyContext(head []byte) []byte {
	return append(lp.Append(make([]byte, 0, 2048), inboxBodyLabel), head...)
}

// itemParts are the parts of an item; they alias it.
type itemParts struct {
	version uint32
	sender  string
	head    []byte
	enc     []byte
	mac     [itemMAC]byte
	body    chunked.Head
	chunks  []byte
}

// parse checks all of an item that can be checked without a key.
func (p *itemParts) parse(b []byte) error {
	switch {
	case len(b) == 0:
		return malformed("empty")
	case b[0]>>4 != kindItem>>4:
		return malformed("another kind")
	case b[0] != kindItem:
		return fmt.Errorf("%w: %d", ErrVersion, b[0]&15)
	case len(b) < itemFixed:
		return malformed("cut off")
	case binary.BigEndian.Uint16(b[1:]) != inboxKEM:
		return fmt.Errorf("%w: KEM %#04x", ErrVersion, binary.BigEndian.Uint16(b[1:]))
	}
	n := itemFixed + int(b[itemFixed-1])
	end := n + inboxEnc
	if size, err := chunked.PlainSize(int64(len(b) - end - itemMAC)); err != nil || !validContentSize(int(size)) {
		return malformed("length")
	}
	p.version, p.sender = binary.BigEndian.Uint32(b[3:]), string(b[itemFixed:n])
	if p.version == 0 || !validSender(p.sender) {
		return malformed("keyset version or sender")
	}
	p.head, p.enc = b[:end], b[n:end]
	p.mac = [itemMAC]byte(b[end:])
	p.body = chunked.Head(b[end+itemMAC:])
	p.chunks = b[end+itemMAC+chunked.HeadSize:]
	return nil
}

// validSender is ^[A-Za-z0-9._-]{1,64}$.
func validSender(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= maxSender
}

func checkItem(b []byte) error {
	var p itemParts
	return p.parse(b)
}

// maxItem is the length of the longest item, in bytes.
func maxItem() int {
	return itemFixed + maxSender + inboxEnc + itemMAC + int(chunked.SealedSize(int64(contentSize(maxID, maxPayload))))
}

// MarshalText returns the item in base64url without padding. A nil Item has no
// text.
func (i Item) MarshalText() ([]byte, error) { return formText(i, checkItem) }

// UnmarshalText is the opposite of MarshalText.
func (i *Item) UnmarshalText(text []byte) error {
	return parseText((*[]byte)(i), text, maxItem(), checkItem)
}

// MarshalJSON returns the text form as a JSON string, and null for a nil Item.
func (i Item) MarshalJSON() ([]byte, error) { return formJSON(i, checkItem) }

// UnmarshalJSON is the opposite of MarshalJSON. An escape in the string is an
// error: no text form needs one.
func (i *Item) UnmarshalJSON(b []byte) error {
	return parseJSON((*[]byte)(i), b, maxItem(), checkItem)
}
