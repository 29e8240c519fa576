package keyring

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// TestDerivations: what is kept is what would be derived, one for each version and
// label, and not without bound.
func TestDerivations(t *testing.T) {
	root := secret.Random()
	derive := func(v uint32, label string) func() secret.Key {
		return func() secret.Key { return secret.Derive(root, fmt.Append(nil, v, label)) }
	}
	d := new(derivations)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range uint32(2 * maxDerived) {
				for _, label := range []string{"a", "b"} {
					at := d.of(i, label, derive(i, label))
					if string(secret.Expose(at.key)) != string(secret.Expose(derive(i, label)())) {
						t.Error("another key", i, label)
					}
					aead, err := at.sealer()
					want, _ := secret.NewAEAD(at.key)
					if got, failed := secret.OpenRandom(want, nil, secret.SealRandom(aead, nil, []byte("x"), nil), nil); err != nil || failed != nil || string(got) != "x" {
						t.Error("another cipher", err, failed)
					}
					mac, err := at.mac()
					other, _ := secret.NewMAC(at.key)
					if err != nil || secret.Sum(mac, []byte("x")) != secret.Sum(other, []byte("x")) {
						t.Error("another MAC", err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, *d.all.Load(), maxDerived)
	first := (*d.all.Load())[0]
	require.Same(t, first, d.of(first.version, first.label, func() secret.Key { t.Fatal("derived again"); return secret.Key{} }))
}

// TestPreparedOfAKeyset: the prepared cipher and MAC are those of Derive, for every
// version, and for none that is not there.
func TestPreparedOfAKeyset(t *testing.T) {
	ks := &Keyset{name: "a/b", keys: map[uint32]secret.MAC{}, derived: new(derivations)}
	for v := range uint32(2) {
		m, err := secret.NewMAC(secret.Random())
		require.NoError(t, err)
		ks.keys[v+1] = m
	}
	sums := map[[32]byte]bool{}
	for range 2 {
		for v := range uint32(2) {
			for _, label := range []string{"a", "b"} {
				k, err := ks.Derive(v+1, label)
				require.NoError(t, err)
				want, err := secret.NewMAC(k)
				require.NoError(t, err)
				got, err := ks.MAC(v+1, label)
				require.NoError(t, err)
				require.Equal(t, secret.Sum(want, nil), secret.Sum(got, nil))
				sums[secret.Sum(got, nil)] = true
				aead, err := ks.Sealer(v+1, label)
				require.NoError(t, err)
				wants, err := secret.NewAEAD(k)
				require.NoError(t, err)
				_, err = secret.OpenRandom(wants, nil, secret.SealRandom(aead, nil, nil, nil), nil)
				require.NoError(t, err)
			}
		}
	}
	require.Len(t, sums, 4)
	_, err := ks.Sealer(3, "a")
	require.ErrorIs(t, err, ErrUnknownVersion)
	_, err = ks.MAC(3, "a")
	require.ErrorIs(t, err, ErrUnknownVersion)
	_, err = ks.MAC(1, "")
	require.ErrorIs(t, err, ErrEmpty)
}
