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
	ring, _ := ringIn(t, id, keyring.NewMemoryStore(), compartments...)
	return ring
}

// ringOn returns a ring on a store, and a function that opens it again, with
// nothing in memory yet.
func ringOn(t testing.TB, store keyring.Store, compartments ...string) (*keyring.Ring, func() *keyring.Ring) {
	t.Helper()
	return ringIn(t, "r", store, compartments...)
}

func ringIn(t testing.TB, id string, store keyring.Store, compartments ...string) (*keyring.Ring, func() *keyring.Ring) {
	t.Helper()
	ctx := context.Background()
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(t, err)
	kek, err := aead.New(handle)
	require.NoError(t, err)
	config := keyring.Config{Store: store, Journal: keyring.NewMemoryJournal(), KEK: keyring.TinkAEAD(kek)}
	ring, err := keyring.Create(ctx, id, config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	for _, c := range compartments {
		require.NoError(t, ring.CreateKeyset(ctx, c))
	}
	return ring, func() *keyring.Ring {
		again, err := keyring.Open(ctx, config)
		require.NoError(t, err)
		t.Cleanup(func() { _ = again.Close() })
		return again
	}
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
