package envelope

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// FuzzContent: what parses is made again, to the byte.
func FuzzContent(f *testing.F) {
	f.Add(appendContent(nil, "p1", []byte("payload")))
	f.Add(appendContent(nil, "p1", make([]byte, 1500)))
	for name, b := range contents() {
		if name != "long payload" {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		subject, payload, ok := parseContent(b)
		if !ok {
			if subject != "" || payload != nil {
				t.Fatal("a result beside a refusal")
			}
			return
		}
		if checkContent(subject, payload) != nil || !bytes.Equal(appendContent(nil, subject, payload), b) {
			t.Fatalf("%x", b)
		}
	})
}

// FuzzMessage: one spelling of each message, and none opens but the one that
// was sealed.
func FuzzMessage(f *testing.F) {
	topic := newTopic(f, "lab", newRing(f, "r", "topic/lab"))
	m := message(f, topic, "p1", "payload")
	f.Add([]byte(m))
	f.Add([]byte(m[:40]))
	f.Add([]byte{kindMessage})
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzForms(t, b, checkMessage, new(Message))
		subject, payload, err := topic.Open(context.Background(), b)
		if bytes.Equal(b, m) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, ErrOpen) || subject != "" || payload != nil {
			t.Fatal(err)
		}
		noInput(t, err, b)
	})
}

// FuzzItem does the same for an item.
func FuzzItem(f *testing.F) {
	inbox := newInbox(f, "branches", newRing(f, "r", "inbox/branches"))
	i := sealItem(f, enrol(f, inbox, "solo-1"), "p1", "payload")
	f.Add([]byte(i))
	f.Add([]byte(i[:1280]))
	f.Add([]byte{kindItem, 0x64, 0x7a, 0, 0, 0, 1, 1, 's'})
	f.Fuzz(func(t *testing.T, b []byte) {
		fuzzForms(t, b, checkItem, new(Item))
		var p itemParts
		if p.parse(b) == nil {
			place := itemPlace{sender: p.sender, version: p.version}
			again := append(append(append(place.head(nil, p.enc), p.mac[:]...), p.body[:]...), p.chunks...)
			if !bytes.Equal(again, b) {
				t.Fatalf("%x", b)
			}
		}
		got, err := inbox.Open(context.Background(), b)
		if bytes.Equal(b, i) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, ErrOpen) || got.Payload != nil || got.Sender != "" {
			t.Fatal(err)
		}
		noInput(t, err, b)
	})
}

// fuzzForms: the text of b is read exactly if b is one, and b itself as text or
// JSON is what is written again.
func fuzzForms(t *testing.T, b []byte, check func([]byte) error, into interface {
	UnmarshalText([]byte) error
	UnmarshalJSON([]byte) error
	MarshalText() ([]byte, error)
	MarshalJSON() ([]byte, error)
}) {
	if err := into.UnmarshalText([]byte(textEncoding().EncodeToString(b))); (err == nil) != (check(b) == nil) {
		t.Fatal(err)
	}
	if err := into.UnmarshalText(b); err != nil {
		noInput(t, err, b)
	} else if out, err := into.MarshalText(); err != nil || !bytes.Equal(out, b) {
		t.Fatalf("%q is written as %q", b, out)
	}
	if err := into.UnmarshalJSON(b); err != nil {
		noInput(t, err, b)
	} else if out, err := into.MarshalJSON(); err != nil || !bytes.Equal(out, b) {
		t.Fatalf("%q is written as %q", b, out)
	}
}

// FuzzCredential: one spelling of each credential.
func FuzzCredential(f *testing.F) {
	text := credentialText(f, anyCredential(f))
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Add([]byte(credentialPrefix + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseCredential(b)
		if err != nil {
			if c != nil {
				t.Fatal("a result beside an error")
			}
			noInput(t, err, b)
			return
		}
		if out, err := c.marshal(); err != nil || !bytes.Equal(out, b) {
			t.Fatal("written in another way")
		}
	})
}
