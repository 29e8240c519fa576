package secret

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestExpand: it is what crypto/hkdf computes, whatever its state was used for.
func TestExpand(t *testing.T) {
	for n := range 40 {
		raw := bytes.Repeat([]byte{byte(n)}, KeySize)
		k, err := NewKey(raw)
		require.NoError(t, err)
		e, err := NewExpander(k)
		require.NoError(t, err)
		for _, size := range []int{0, 1, 63, 64, 65, 76, 128, 129, 255 * 64} {
			info := strings.Repeat("i", n*7)
			want, err := hkdf.Expand(sha512.New, raw, info, size)
			require.NoError(t, err)
			got := make([]byte, size)
			Expand(e, got, []byte(info))
			require.Equal(t, want, got)
		}
	}
}

func TestExpandIsConcurrent(t *testing.T) {
	k := Random()
	e, err := NewExpander(k)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				info := fmt.Sprint(i, j)
				want, _ := hkdf.Expand(sha512.New, Expose(k), info, 76)
				got := make([]byte, 76)
				Expand(e, got, []byte(info))
				if !bytes.Equal(want, got) {
					t.Error("another output")
				}
			}
		})
	}
	wg.Wait()
}

func TestExpanderRefuses(t *testing.T) {
	_, err := NewExpander(Key{})
	require.ErrorIs(t, err, ErrZero)
	require.True(t, Expander{}.IsZero())
	require.PanicsWithValue(t, ErrZero, func() { Expand(Expander{}, make([]byte, 1), nil) })
	e, err := NewExpander(Random())
	require.NoError(t, err)
	require.False(t, e.IsZero())
	require.Panics(t, func() { Expand(e, make([]byte, 255*64+1), nil) })
}

func TestLeakExpander(t *testing.T) {
	k := Random()
	e, err := NewExpander(k)
	require.NoError(t, err)
	Expand(e, make([]byte, 64), []byte("info"))
	for _, v := range []any{e, &e, struct{ e Expander }{e}, []Expander{e}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " "} {
				text := fmt.Sprintf("%"+flag+string(verb), v)
				require.NotContains(t, text, string(Expose(k)))
				require.NotContains(t, text, hex.EncodeToString(Expose(k)))
				require.NotContains(t, text, strings.Trim(fmt.Sprint(Expose(k)), "[]"))
			}
		}
		b, err := json.Marshal(v)
		if err == nil {
			require.NotContains(t, string(b), hex.EncodeToString(Expose(k)))
		}
	}
	require.Equal(t, "secret.Expander", fmt.Sprintf("%+v", e))
	require.Equal(t, "secret.Expander", e.LogValue().String())
}
