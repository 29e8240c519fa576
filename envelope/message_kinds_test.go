package envelope

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAttackMessageKinds: what is sealed as one kind is never taken for another, by
// any parser, whoever holds which keys.
func TestAttackMessageKinds(t *testing.T) {
	ctx := context.Background()
	a := newAttack(t)
	for _, name := range []string{"topic/x", "inbox/x"} {
		require.NoError(t, a.ring.CreateKeyset(ctx, name))
	}
	topic, inbox := newTopic(t, "x", a.ring), newInbox(t, "x", a.ring)
	sealed := map[string][]byte{
		"row":     a.row,
		"message": message(t, topic, "p1", "x"),
		"item":    sealItem(t, enrol(t, inbox, "s"), "p1", "x"),
	}
	parsers := map[string][]func([]byte) error{
		"row": {
			func(b []byte) error { _, err := Inspect(b); return err },
			func(b []byte) error { return a.codec.Open(ctx, of(a, a.row), b) },
			func(b []byte) error { _, err := a.codec.Begin(ctx, of(a, a.row), b); return err },
			func(b []byte) error { return new(Sealed).Scan(b) },
			func(b []byte) error { return new(Sealed).UnmarshalText([]byte(textEncoding().EncodeToString(b))) },
			func(b []byte) error { _, err := Sealed(b).Value(); return err },
			func(b []byte) error { _, err := Sealed(b).MarshalJSON(); return err },
		},
		"message": {
			func(b []byte) error { _, _, err := topic.Open(ctx, b); return err },
			func(b []byte) error { return new(Message).UnmarshalText([]byte(textEncoding().EncodeToString(b))) },
			func(b []byte) error {
				return new(Message).UnmarshalJSON([]byte(`"` + textEncoding().EncodeToString(b) + `"`))
			},
			func(b []byte) error { _, err := Message(b).MarshalJSON(); return err },
		},
		"item": {
			func(b []byte) error { _, err := inbox.Open(ctx, b); return err },
			func(b []byte) error { return new(Item).UnmarshalText([]byte(textEncoding().EncodeToString(b))) },
			func(b []byte) error {
				return new(Item).UnmarshalJSON([]byte(`"` + textEncoding().EncodeToString(b) + `"`))
			},
			func(b []byte) error { _, err := Item(b).MarshalJSON(); return err },
		},
	}
	for is, b := range sealed {
		for as, list := range parsers {
			for i, parse := range list {
				if is == as {
					require.NoError(t, parse(b), "%s %d", is, i)
				} else {
					require.ErrorIs(t, parse(b), ErrFormat, "%s as %s, %d", is, as, i)
				}
				// Under the other's first byte it is no other either.
				forged := append([]byte{sealed[as][0]}, b[1:]...)
				if is != as {
					require.ErrorIs(t, parse(forged), ErrOpen, "%s made %s, %d", is, as, i)
				}
			}
		}
	}
}

// TestAttackMessageRandom: a million random inputs to each parser of messages, items
// and contents, half of them behind a right first byte; no panic, and nothing
// allocated by what they say.
func TestAttackMessageRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	buf := make([]byte, 4096)
	parsers := []func([]byte){
		func(b []byte) { mustRefuse(t, b, kindMessage, checkMessage) },
		func(b []byte) { mustRefuse(t, b, kindItem, checkItem) },
		func(b []byte) { _, _, _ = parseContent(b) },
		func(b []byte) { _, _, _, _ = splitCredential(b) },
	}
	tries := 1_000_000
	if testing.Short() {
		tries /= 10
	}
	for n := range tries {
		for i := 0; i < 64; i += 8 {
			x := r.Uint64()
			for j := range 8 {
				buf[i+j] = byte(x >> (8 * j))
			}
		}
		b := buf[:r.IntN(1<<r.IntN(13))]
		if len(b) > 0 && n%2 == 0 {
			b[0] = []byte{kindMessage, kindItem}[n/2%2]
		}
		for _, parse := range parsers {
			parse(b)
		}
	}
	random := func(b []byte) func() { return func() { _, _ = checkMessage(b), checkItem(b) } }
	require.Less(t, testing.AllocsPerRun(10, random(append([]byte{kindItem, 0x64, 0x7a, 0, 0, 0, 1, 255}, make([]byte, 3000)...))), 10.0)
}

// mustRefuse wants an ErrOpen for what does not begin as its kind does.
func mustRefuse(t *testing.T, b []byte, kind byte, check func([]byte) error) {
	err := check(b)
	if err != nil && !errors.Is(err, ErrOpen) || err == nil && (len(b) == 0 || b[0] != kind) {
		t.Fatalf("%x: %v", b, err)
	}
}
