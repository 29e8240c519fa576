package keyring_test

import (
	"crypto/hkdf"
	"crypto/sha512"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// TestObjectKey: each generation has its own, the older one opens until
// EndRekey, and none of another subject, compartment or use is equal.
func TestObjectKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical", "identity")
		keys, err := w.ring.CreateSubject(ctx, alice, "clinical", "identity")
		require.NoError(t, err)
		first, err := keys[0].Object(1)
		require.NoError(t, err)
		want, err := hkdf.Expand(sha512.New, secret.Expose(keys[0].Derive("rahasia/object-key/v1")), "info", 76)
		require.NoError(t, err)
		require.Equal(t, want, object(t, first))
		same, err := keys[0].Object(1)
		require.NoError(t, err)
		require.Equal(t, want, object(t, same))
		other, err := keys[1].Object(1)
		require.NoError(t, err)
		require.NotEqual(t, object(t, first), object(t, other))
		for _, generation := range []uint32{0, 2, 1<<32 - 1} {
			_, err = keys[0].Object(generation)
			requireError(t, err, keyring.ErrUnknownGeneration)
		}

		require.NoError(t, w.ring.Rekey(ctx, alice))
		for _, r := range []*keyring.Ring{w.ring, w.open(t)} {
			keys, err = r.Subject(ctx, alice, "clinical")
			require.NoError(t, err)
			require.EqualValues(t, 2, keys[0].Generation())
			again, err := keys[0].Object(1)
			require.NoError(t, err)
			require.Equal(t, object(t, first), object(t, again))
			second, err := keys[0].Object(2)
			require.NoError(t, err)
			require.NotEqual(t, object(t, first), object(t, second))
		}

		time.Sleep(61 * time.Second)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		for _, r := range []*keyring.Ring{w.ring, w.open(t)} {
			keys, err = r.Subject(ctx, alice, "clinical")
			require.NoError(t, err)
			_, err = keys[0].Object(1)
			requireError(t, err, keyring.ErrUnknownGeneration)
		}
		_ = w.ring.Close()
	})
}

// object expands an object key, so that two can be compared.
func object(t *testing.T, e secret.Expander) []byte {
	t.Helper()
	out := make([]byte, 76)
	secret.Expand(e, out, []byte("info"))
	return out
}
