package envelope

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// messageLabel is of a message's one-time key, PRF_v(label, topic, id), and of
// what its ciphertext is bound to: ring, topic.
const messageLabel = "rahasia/message/v1"

// topicPrefix makes a keyset's name of a topic's.
const topicPrefix = "topic/"

// kindMessage is the first byte of a message: kind 2, format version 1.
const kindMessage = 0x21

const (
	messageIDSize = 24
	messageHeader = 1 + 4 + messageIDSize
	maxDomain     = 122 // bytes of a topic's or an inbox's name
)

// Topic seals and opens the messages of one queue, or of one service that files
// are sent to. It is safe for concurrent use and prints as its name. The zero
// Topic is not valid; make one with [NewTopic].
type Topic struct {
	_    [0]func()
	name string
	ring func() *keyring.Ring // a closure: printing a Topic must not walk a ring
}

// NewTopic returns the topic of a name, 1 to 122 bytes, whose keyset is the
// domain "topic/" and the name: [keyring.Ring.CreateKeyset] makes it, and a
// service that seals or opens must be granted it. One that is not there is
// keyring.ErrNoKeyset when the topic is used.
//
// No ring or an empty name is ErrEmpty, a longer name ErrLimit.
func NewTopic(name string, ring *keyring.Ring) (*Topic, error) {
	if err := checkDomain(name, ring); err != nil {
		return nil, err
	}
	return &Topic{name: name, ring: func() *keyring.Ring { return ring }}, nil
}

func checkDomain(name string, ring *keyring.Ring) error {
	switch {
	case ring == nil:
		return fmt.Errorf("%w: no ring", ErrEmpty)
	case name == "":
		return fmt.Errorf("%w: no name of a topic or an inbox", ErrEmpty)
	case len(name) > maxDomain:
		return fmt.Errorf("%w: a name of a topic or an inbox longer than %d bytes", ErrLimit, maxDomain)
	}
	return nil
}

// Seal seals a payload of up to 16 MiB about a subject, whom the message names
// inside. The message is not under the subject's key, because copies that a
// broker keeps lie where no erasure reaches: it ends with the version of the
// topic's keyset. State how long messages live, rotate the keyset as often, and
// destroy each version when its last message has lived so long:
// [keyring.Ring.SetState], suspended first. Until then a copy opens for who has
// the topic's keyset, and [Topic.Open] alone asks whether the subject is erased.
// One who never had a key in any compartment cannot be: [keyring.Ring.Shred]
// finds nothing to erase, and such messages end with their version alone.
//
// The message shows its length in the buckets of a row, and nothing else of
// the payload or the subject.
//
// An erased subject is keyring.ErrShredded, a retained one keyring.ErrRetained;
// no subject is ErrEmpty, for a message about nobody needs no sealing and a
// forgotten id would be one that no erasure reaches; a longer payload, or a
// subject id of more than 255 bytes, ErrLimit. Other errors are those of
// [keyring.Ring.Keyset].
func (t *Topic) Seal(ctx context.Context, subject string, payload []byte) (Message, error) {
	if err := checkContent(subject, payload); err != nil {
		return nil, err
	}
	ring := t.ring()
	if err := ring.Serving(ctx, subject); err != nil {
		return nil, t.failed("seal", err)
	}
	ks, err := ring.Keyset(ctx, topicPrefix+t.name)
	if err != nil {
		return nil, t.failed("seal", err)
	}
	var id [messageIDSize]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the program instead
	m, err := t.seal(ks, ks.Primary(), id, subject, payload)
	if err != nil {
		return nil, t.failed("seal", err)
	}
	return m, nil
}

// seal seals under an id that was never used before.
func (t *Topic) seal(ks *keyring.Keyset, version uint32, id [messageIDSize]byte, subject string, payload []byte) (Message, error) {
	m := make([]byte, 0, messageHeader+contentSize(len(subject), len(payload))+overhead)
	m = binary.BigEndian.AppendUint32(append(m, kindMessage), version)
	m = append(m, id[:]...)
	key, err := t.key(ks, m)
	if err != nil {
		return nil, err
	}
	content := appendContent(m, subject, payload)[messageHeader:]
	// In place. The nonce is zero because the key is this message's alone.
	return secret.Cipher(key).Seal(m, make([]byte, idSize), content, t.bound(m)), nil
}

// Open returns whom a message is about, and its payload.
//
// A message of another topic or ring, or one that was changed, is ErrOpen, and
// so is one under a keyset version that is destroyed, suspended or not known,
// which is keyring.ErrUnknownVersion too. One about an erased subject is
// keyring.ErrShredded, about a retained one keyring.ErrRetained, in all
// processes within 5 seconds of the erasure. Other errors are those of
// [keyring.Ring.Keyset]: the message is to be tried again.
//
// A message opens as often as it is delivered: whoever must act on it once keeps
// note of it. That it opens proves that a holder of the topic's keyset sealed it,
// not which one. The payload is the caller's.
func (t *Topic) Open(ctx context.Context, m Message) (subject string, payload []byte, err error) {
	if err := checkMessage(m); err != nil {
		return "", nil, err
	}
	ring := t.ring()
	ks, err := ring.KeysetAt(ctx, topicPrefix+t.name, binary.BigEndian.Uint32(m[1:]))
	if err != nil {
		return "", nil, t.failed("open", err)
	}
	subject, payload, err = t.open(ks, m)
	if err != nil {
		return "", nil, t.failed("open", err)
	}
	if err := ring.Serving(ctx, subject); err != nil {
		clear(payload)
		return "", nil, t.failed("open", err)
	}
	return subject, payload, nil
}

func (t *Topic) open(ks *keyring.Keyset, m Message) (subject string, payload []byte, err error) {
	key, err := t.key(ks, m)
	if err != nil {
		return "", nil, err
	}
	header := m[:messageHeader]
	content, err := secret.Cipher(key).Open(nil, make([]byte, idSize), m[messageHeader:], t.bound(header))
	if err != nil {
		return "", nil, ErrOpen
	}
	subject, payload, ok := parseContent(content)
	if !ok {
		clear(content)
		return "", nil, ErrOpen
	}
	return subject, payload, nil
}

// key returns the one-time key of the message that begins with this header.
func (t *Topic) key(ks *keyring.Keyset, header []byte) (secret.AEAD, error) {
	version, id := binary.BigEndian.Uint32(header[1:]), header[5:messageHeader]
	key, err := ks.Derive(version, messageLabel, t.name, string(id))
	if err != nil {
		return secret.AEAD{}, err
	}
	return secret.NewAEAD(key)
}

// bound returns the associated data of the message of this header.
func (t *Topic) bound(header []byte) []byte {
	return append(lp.Append(make([]byte, 0, 256), messageLabel, t.ring().ID(), t.name), header...)
}

// failed says where an error was met. What is unknown to the ring is named by
// the message alone, which is not authenticated yet.
func (t *Topic) failed(stage string, err error) error {
	return failedIn("topic", t.name, stage, err)
}

func failedIn(what, name, stage string, err error) error {
	switch {
	case err == ErrOpen:
		return fmt.Errorf("%w: %s %q", err, what, name)
	case stage == "open" && errors.Is(err, keyring.ErrUnknownVersion):
		return fmt.Errorf("%w: %s %q: %w", ErrOpen, what, name, err)
	}
	return fmt.Errorf("envelope: %s: %s %q: %w", stage, what, name, err)
}

// Format writes the topic's name, whatever the verb.
func (t *Topic) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Topic("+t.name+")") }

// LogValue is the topic's name.
func (t *Topic) LogValue() slog.Value { return slog.StringValue("envelope.Topic(" + t.name + ")") }

// Message is a sealed message of a [Topic]: bytes for a queue, a file or, as
// text, a JSON document. Like those of [Sealed] its forms are strict, and that
// one parses says nothing about who made it.
//
// A nil Message is none, and JSON null.
type Message []byte

// maxMessage is the length of the longest message, in bytes.
func maxMessage() int { return messageHeader + contentSize(maxID, maxPayload) + overhead }

// checkMessage checks all of a message that can be checked without a key.
func checkMessage(m []byte) error {
	switch {
	case len(m) == 0:
		return malformed("empty")
	case m[0]>>4 != kindMessage>>4:
		return malformed("another kind")
	case m[0] != kindMessage:
		return fmt.Errorf("%w: %d", ErrVersion, m[0]&15)
	case len(m) < messageHeader || !validContentSize(len(m)-messageHeader-overhead):
		return malformed("length")
	case binary.BigEndian.Uint32(m[1:]) == 0:
		return malformed("keyset version")
	}
	return nil
}

// MarshalText returns the message in base64url without padding. A nil Message
// has no text.
func (m Message) MarshalText() ([]byte, error) { return formText(m, checkMessage) }

// UnmarshalText is the opposite of MarshalText.
func (m *Message) UnmarshalText(text []byte) error {
	return parseText((*[]byte)(m), text, maxMessage(), checkMessage)
}

// MarshalJSON returns the text form as a JSON string, and null for a nil Message.
func (m Message) MarshalJSON() ([]byte, error) { return formJSON(m, checkMessage) }

// UnmarshalJSON is the opposite of MarshalJSON. An escape in the string is an
// error: no text form needs one.
func (m *Message) UnmarshalJSON(b []byte) error {
	return parseJSON((*[]byte)(m), b, maxMessage(), checkMessage)
}
