package siv

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/daead/subtle"

	"github.com/rahasia/rahasia/internal/secret"
)

func keys(t testing.TB, fill byte) (mac, ctr secret.Key) {
	t.Helper()
	mac, err := secret.NewKey(bytes.Repeat([]byte{fill}, 32))
	require.NoError(t, err)
	ctr, err = secret.NewKey(bytes.Repeat([]byte{fill + 1}, 32))
	require.NoError(t, err)
	return mac, ctr
}

func newCipher(t testing.TB, ad ...[]byte) Cipher {
	t.Helper()
	mac, ctr := keys(t, 1)
	c, err := New(mac, ctr, ad...)
	require.NoError(t, err)
	return c
}

// TestTink: every length up to several blocks, with one component of
// associated data of every length, as Tink has it.
func TestTink(t *testing.T) {
	mac, ctr := keys(t, 7)
	peer, err := subtle.NewAESSIV(append(bytes.Clone(secret.Expose(mac)), secret.Expose(ctr)...))
	require.NoError(t, err)
	message, ad := make([]byte, 100), make([]byte, 100)
	_, _ = rand.Read(message)
	_, _ = rand.Read(ad)
	for n := range len(message) + 1 {
		for _, m := range []int{0, 1, 15, 16, 17, n} {
			c, err := New(mac, ctr, ad[:m])
			require.NoError(t, err)
			want, err := peer.EncryptDeterministically(message[:n], ad[:m])
			require.NoError(t, err)
			sealed := c.Seal([]byte("head"), string(message[:n]))
			require.Equal(t, append([]byte("head"), want...), sealed)
			got, err := c.Open([]byte("head"), sealed[4:])
			require.NoError(t, err)
			require.Equal(t, append([]byte("head"), message[:n]...), got)
		}
	}
}

// TestChanged: no single-bit change opens, nor another key, nor other
// associated data, nor components cut elsewhere; and nothing of the plaintext
// is left in the caller's buffer.
func TestChanged(t *testing.T) {
	c := newCipher(t, []byte("ab"), []byte("c"))
	for _, plaintext := range []string{"", "x", "9271060312000001", "more than one block of plaintext"} {
		sealed := c.Seal(nil, plaintext)
		buf := make([]byte, 64)
		refuse := func(c Cipher, b []byte) {
			t.Helper()
			got, err := c.Open(buf[:3], b)
			require.ErrorIs(t, err, ErrOpen)
			require.Nil(t, got)
			require.Equal(t, make([]byte, 64), buf)
		}
		for bit := range len(sealed) * 8 {
			changed := bytes.Clone(sealed)
			changed[bit/8] ^= 1 << (bit % 8)
			refuse(c, changed)
		}
		for n := range len(sealed) {
			refuse(c, sealed[:n])
		}
		refuse(c, append(bytes.Clone(sealed), 0))
		for _, ad := range [][][]byte{{}, {[]byte("ab")}, {[]byte("abc")}, {[]byte("a"), []byte("bc")}, {[]byte("c"), []byte("ab")}, {[]byte("ab"), []byte("c"), {}}} {
			refuse(newCipher(t, ad...), sealed)
		}
		mac1, ctr1 := keys(t, 1)
		mac3, ctr3 := keys(t, 3)
		others := [][2]secret.Key{{mac3, ctr3}, {mac3, ctr1}, {ctr1, mac1}}
		if plaintext != "" { // without a plaintext CTR has no part in it
			others = append(others, [2]secret.Key{mac1, ctr3})
		}
		for _, k := range others {
			other, err := New(k[0], k[1], []byte("ab"), []byte("c"))
			require.NoError(t, err)
			refuse(other, sealed)
		}
	}
}

// TestCallersSlices: what is behind a slice that was handed in stays.
func TestCallersSlices(t *testing.T) {
	ad := append(make([]byte, 0, 64), "associated"...)
	c := newCipher(t, ad)
	require.Equal(t, make([]byte, 54), ad[len(ad):64])
	sealed := c.Seal(append(make([]byte, 0, 8), "head"...), "9271060312000001")
	padded := append(make([]byte, 0, 64), sealed[4:]...)
	_, err := c.Open(nil, padded)
	require.NoError(t, err)
	require.Equal(t, sealed[4:], padded)
	require.Equal(t, make([]byte, 64-len(padded)), padded[len(padded):64])
	ad[0] ^= 1 // the cipher keeps none of it
	require.Equal(t, sealed[4:], c.Seal(nil, "9271060312000001"))
}

func TestNewRefuses(t *testing.T) {
	mac, ctr := keys(t, 1)
	for _, k := range [][2]secret.Key{{{}, ctr}, {mac, {}}, {{}, {}}} {
		c, err := New(k[0], k[1])
		require.ErrorIs(t, err, secret.ErrZero)
		require.True(t, c.IsZero())
	}
	_, err := New(mac, ctr, make([][]byte, 126)...)
	require.NoError(t, err)
	c, err := New(mac, ctr, make([][]byte, 127)...)
	require.Error(t, err)
	require.True(t, c.IsZero())
	for _, k := range [][2][]byte{{make([]byte, 15), make([]byte, 16)}, {make([]byte, 16), nil}} {
		_, err := prepare(k[0], k[1])
		require.Error(t, err)
	}
	require.PanicsWithValue(t, secret.ErrZero, func() { Cipher{}.Seal(nil, "x") })
	require.PanicsWithValue(t, secret.ErrZero, func() { _, _ = Cipher{}.Open(nil, make([]byte, 20)) })
	require.False(t, newCipher(t).IsZero())
}

// TestConcurrent: one cipher, 16 goroutines, a million messages of all
// lengths; each as a serial run has it.
func TestConcurrent(t *testing.T) {
	c := newCipher(t, []byte("ad"))
	values := make([]string, 512)
	want := make([]string, len(values))
	for i := range values {
		values[i] = strings.Repeat(string(rune('a'+i%26)), i%40)
		want[i] = string(c.Seal(nil, values[i]))
	}
	ops := 1_000_000 / 16
	if testing.Short() {
		ops /= 10
	}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			r := mathrand.New(mathrand.NewPCG(uint64(w), 1))
			var sealed, opened []byte
			for range ops / 2 {
				i := r.IntN(len(values))
				sealed = c.Seal(sealed[:0], values[i])
				if string(sealed) != want[i] {
					t.Error("a wrong ciphertext")
					return
				}
				var err error
				if opened, err = c.Open(opened[:0], sealed); err != nil || string(opened) != values[i] {
					t.Error("a wrong plaintext")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestAllocates(t *testing.T) {
	c := newCipher(t, []byte("ad"))
	sealed, opened := make([]byte, 0, 64), make([]byte, 0, 64)
	n := testing.AllocsPerRun(1000, func() {
		sealed = c.Seal(sealed[:0], "9271060312000001")
		opened, _ = c.Open(opened[:0], sealed)
	})
	if !raceEnabled { // the race detector drops pooled values at random
		require.Zero(t, n)
	}
}

// TestLeak: a cipher that was at work prints neither a key nor a plaintext,
// and its pooled state keeps nothing.
func TestLeak(t *testing.T) {
	mac, ctr := secret.Random(), secret.Random()
	c, err := New(mac, ctr, []byte("ad"))
	require.NoError(t, err)
	const plaintext = "ardianto putra of clinic"
	sealed := c.Seal(nil, plaintext)
	_, err = c.Open(nil, sealed)
	require.NoError(t, err)
	p := c.key()
	require.Equal(t, scratch{}, *p.pool.Get().(*scratch))
	var needles []string
	for _, b := range [][]byte{secret.Expose(mac), secret.Expose(ctr), p.k1[:], p.d[:], []byte(plaintext)} {
		for i := 0; i+6 <= len(b); i += 3 {
			w := b[i : i+6]
			needles = append(needles, string(w), hex.EncodeToString(w), strings.ToUpper(hex.EncodeToString(w)), strings.Trim(fmt.Sprint(w), "[]"))
		}
	}
	for _, v := range []any{c, &c, struct{ c Cipher }{c}, []Cipher{c}, map[string]Cipher{"a": c}, fmt.Errorf("%v", c)} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", " ", "# "} {
				text := fmt.Sprintf("%"+flag+string(verb), v)
				for _, needle := range needles {
					require.NotContains(t, text, needle)
				}
			}
		}
	}
	require.Equal(t, "siv.Cipher", fmt.Sprintf("%+v", c))
	require.Equal(t, "siv.Cipher", c.LogValue().String())
}

// FuzzOpen: what opens seals to the same bytes, and nothing panics.
func FuzzOpen(f *testing.F) {
	mac, ctr := keys(f, 1)
	c, err := New(mac, ctr, []byte("ad"))
	require.NoError(f, err)
	for _, s := range []string{"", "x", "9271060312000001", strings.Repeat("x", 33)} {
		f.Add(c.Seal(nil, s), s)
	}
	f.Add([]byte(nil), "")
	f.Add(make([]byte, 15), "\x80")
	f.Fuzz(func(t *testing.T, sealed []byte, plaintext string) {
		if got, err := c.Open(nil, sealed); err == nil && !bytes.Equal(c.Seal(nil, string(got)), sealed) {
			t.Errorf("%x opens and is sealed otherwise", sealed)
		} else if err != nil && got != nil {
			t.Error("an error and a plaintext")
		}
		if got, err := c.Open(nil, c.Seal(nil, plaintext)); err != nil || string(got) != plaintext {
			t.Errorf("%q does not come back: %v", plaintext, err)
		}
	})
}

// BenchmarkSeal is a message of one block, and a name of two, beside the bare
// calls of AES that each needs.
func BenchmarkSeal(b *testing.B) {
	c := newCipher(b, []byte("ad"))
	for _, plaintext := range []string{"9271060312000001", "muhammad rizky ramadhan al farisi"} {
		b.Run(fmt.Sprintf("%dbytes", len(plaintext)), func(b *testing.B) {
			dst := make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				dst = c.Seal(dst[:0], plaintext)
			}
		})
	}
	b.Run("aes", func(b *testing.B) {
		block, err := aes.NewCipher(make([]byte, 32))
		require.NoError(b, err)
		buf := make([]byte, 16)
		for b.Loop() {
			block.Encrypt(buf, buf)
			block.Encrypt(buf, buf)
		}
	})
}
