package envelope

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// kind is one kind of sealed bytes, and what opens it.
type kind struct {
	name   string
	first  byte // kind and version
	sealed []byte
	open   func([]byte) error
}

// kinds is the table of TestAttackKinds. Whoever adds a kind adds it here.
func kinds(t *testing.T) []kind {
	ctx := context.Background()
	a := newAttack(t)
	for _, name := range []string{"topic/x", "inbox/x"} {
		require.NoError(t, a.ring.CreateKeyset(ctx, name))
	}
	topic, inbox := newTopic(t, "x", a.ring), newInbox(t, "x", a.ring)
	reference, err := testObject().MarshalBinary()
	require.NoError(t, err)
	return []kind{
		{"row", kindVersion, a.row, func(b []byte) error {
			return a.codec.Open(ctx, &visit{Patient: "p1", ID: "v1"}, b)
		}},
		{"message", kindMessage, message(t, topic, "p1", "x"), func(b []byte) error {
			_, _, err := topic.Open(ctx, b)
			return err
		}},
		{"item", kindItem, sealItem(t, enrol(t, inbox, "s"), "p1", "x"), func(b []byte) error {
			_, err := inbox.Open(ctx, b)
			return err
		}},
		{"object's reference", objectKindVersion, reference, func(b []byte) error {
			return new(Object).UnmarshalBinary(b)
		}},
	}
}

// TestAttackKinds: sealed bytes of one kind are never taken for another's, even
// with the first byte changed to that kind's.
func TestAttackKinds(t *testing.T) {
	all := kinds(t)
	for _, k := range all {
		require.Equal(t, k.first, k.sealed[0])
		require.NoError(t, k.open(bytes.Clone(k.sealed)), k.name)
		for first := range 256 {
			if byte(first) == k.first {
				continue
			}
			b := bytes.Clone(k.sealed)
			b[0] = byte(first)
			require.ErrorIs(t, k.open(b), ErrOpen, "%s as %02x", k.name, first)
		}
		for _, other := range all {
			if other.name == k.name {
				continue
			}
			b := bytes.Clone(other.sealed)
			require.ErrorIs(t, k.open(b), ErrOpen, "%s as %s", other.name, k.name)
			b[0] = k.first
			require.ErrorIs(t, k.open(b), ErrOpen, "%s as %s, its first byte changed", other.name, k.name)
			require.NotEqual(t, k.first>>4, other.first>>4)
		}
	}
}
