package envelope

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/rahasia/rahasia/keyring"
)

// newRing returns a ring in memory with keysets for the compartments.
func newRing(t testing.TB, id string, compartments ...string) *keyring.Ring {
	t.Helper()
	ctx := context.Background()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	kek, err := aead.New(handle)
	require.NoError(t, err)
	ring, err := keyring.Create(ctx, id, keyring.Config{
		Store:   keyring.NewMemoryStore(),
		Journal: keyring.NewMemoryJournal(),
		KEK:     keyring.TinkAEAD(kek),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	for _, c := range compartments {
		require.NoError(t, ring.CreateKeyset(ctx, c))
	}
	return ring
}

func newCodec[T any](t testing.TB, recordType string, ring *keyring.Ring) *Codec[T] {
	t.Helper()
	c, err := NewCodec[T](recordType, ring)
	require.NoError(t, err)
	return c
}

// seal seals src without tags.
func seal[T any](t testing.TB, c *Codec[T], src *T) Sealed {
	t.Helper()
	row, err := c.Seal(context.Background(), src, nil)
	require.NoError(t, err)
	return row
}
