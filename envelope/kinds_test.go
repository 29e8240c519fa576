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
	a := newAttack(t)
	return []kind{
		{"row", kindVersion, a.row, func(b []byte) error {
			return a.codec.Open(context.Background(), &visit{Patient: "p1", ID: "v1"}, b)
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
