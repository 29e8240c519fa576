package envelope

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// TestRebind: all of a row is another subject's afterwards, and nobody else's;
// what the type does not know is carried too.
func TestRebind(t *testing.T) {
	ctx := context.Background()
	type whole struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		Note string `phi:"clinical"`
		More string `phi:"sensitive"`
	}
	type part struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
	}
	ring := newRing(t, "r", "identity", "clinical", "sensitive")
	c, err := NewCodec[whole]("w", ring)
	require.NoError(t, err)
	few, err := NewCodec[part]("w", ring)
	require.NoError(t, err)
	src := whole{"p1", "Budi", "J45", "apart"}
	row, err := c.Seal(ctx, &src, map[string][]byte{"clinical": []byte("tag")})
	require.NoError(t, err)

	reading, err := few.Begin(ctx, &part{ID: "p1"}, row)
	require.NoError(t, err)
	moved, err := few.Rebind(ctx, reading, &part{ID: "p2"})
	require.NoError(t, err)
	out := whole{ID: "p2"}
	require.NoError(t, c.Open(ctx, &out, moved))
	src.ID = "p2"
	require.Equal(t, src, out)
	again, err := c.Begin(ctx, &out, moved)
	require.NoError(t, err)
	require.Equal(t, "tag", string(again.Tag("clinical")))
	require.ErrorIs(t, c.Open(ctx, &whole{ID: "p1"}, moved), ErrOpen)

	incomplete, err := few.Begin(ctx, &part{ID: "p1"}, row, "identity")
	require.NoError(t, err)
	_, err = few.Rebind(ctx, incomplete, &part{ID: "p2"})
	require.ErrorIs(t, err, ErrCompartment, "nothing may be left behind")
	_, err = c.Rebind(ctx, reading, &whole{ID: "p2"})
	require.ErrorIs(t, err, ErrOpen, "another codec's reading")
	_, err = few.Rebind(ctx, nil, &part{ID: "p2"})
	require.ErrorIs(t, err, ErrEmpty)
	_, err = few.Rebind(ctx, reading, nil)
	require.ErrorIs(t, err, ErrEmpty)
	_, err = few.Rebind(ctx, reading, &part{})
	require.ErrorIs(t, err, ErrEmpty)
	_, err = ring.Shred(ctx, "p2")
	require.NoError(t, err)
	_, err = few.Rebind(ctx, reading, &part{ID: "p2"})
	require.ErrorIs(t, err, keyring.ErrShredded)
}
