package secret

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func newKey(t testing.TB, b []byte) Key {
	k, err := NewKey(b)
	require.NoError(t, err)
	return k
}

func prepared(t testing.TB, k Key) (AEAD, MAC) {
	a, err := NewAEAD(k)
	require.NoError(t, err)
	m, err := NewMAC(k)
	require.NoError(t, err)
	return a, m
}

func TestNewKeyCopies(t *testing.T) {
	b := bytes.Repeat([]byte{5}, KeySize)
	k := newKey(t, b)
	clear(b)
	require.Equal(t, bytes.Repeat([]byte{5}, KeySize), Expose(k))
	for _, n := range []int{0, 1, 16, 31, 33, 64} {
		k, err := NewKey(make([]byte, n))
		require.Error(t, err)
		require.True(t, k.IsZero())
	}
}

func TestRandomKeysDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		seen[string(Expose(Random()))] = true
	}
	require.Len(t, seen, 100)
}

// RFC 5869, appendix A, test cases 1 to 3: the first 32 bytes of output.
func TestHKDFVectors(t *testing.T) {
	for i, v := range []struct{ ikm, salt, info, prk, okm string }{
		{strings.Repeat("0b", 22), "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
			"077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5", "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"},
		{run(0x00, 80), run(0x60, 80), run(0xb0, 80),
			"06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244", "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"},
		{strings.Repeat("0b", 22), "", "",
			"19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"},
	} {
		prk := Extract(unhex(t, v.ikm), unhex(t, v.salt))
		require.Equal(t, v.prk, hex.EncodeToString(Expose(prk)), "case %d", i+1)
		info := unhex(t, v.info)
		_, m := prepared(t, prk)
		require.Equal(t, v.okm, hex.EncodeToString(Expose(Derive(prk, info))), "case %d", i+1)
		require.Equal(t, v.okm, hex.EncodeToString(Expose(DeriveWith(m, info))), "case %d", i+1)
		require.Equal(t, v.okm, hex.EncodeToString(Expose(DeriveAll(prk, info, info)[1])), "case %d", i+1)
	}
}

// run spells n consecutive bytes.
func run(from byte, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return hex.EncodeToString(b)
}

func TestDerivationsAgree(t *testing.T) {
	k := Random()
	_, m := prepared(t, k)
	var infos [][]byte
	for n := range 200 {
		infos = append(infos, bytes.Repeat([]byte{byte(n)}, n))
	}
	all := DeriveAll(k, infos...)
	seen := map[string]bool{}
	for i, info := range infos {
		want, err := hkdf.Expand(sha256.New, Expose(k), string(info), KeySize)
		require.NoError(t, err)
		require.Equal(t, want, Expose(Derive(k, info)))
		require.Equal(t, want, Expose(DeriveWith(m, info)))
		require.Equal(t, want, Expose(all[i]))
		seen[string(want)] = true
	}
	require.Len(t, seen, len(infos))
	require.Empty(t, DeriveAll(k))
}

func TestAEAD(t *testing.T) {
	k := Random()
	a, _ := prepared(t, k)
	plaintext, ad := []byte("plaintext"), []byte("ad")
	sealed := SealRandom(a, []byte("head"), plaintext, ad)
	require.Len(t, sealed, 4+12+len(plaintext)+16)
	require.Equal(t, "head", string(sealed[:4]))
	got, err := OpenRandom(a, []byte("x"), sealed[4:], ad)
	require.NoError(t, err)
	require.Equal(t, "xplaintext", string(got))

	block, err := aes.NewCipher(Expose(k))
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	got, err = gcm.Open(nil, sealed[4:16], sealed[16:], ad)
	require.NoError(t, err)
	require.Equal(t, plaintext, got)
	require.Equal(t, gcm.Seal(nil, sealed[4:16], plaintext, ad), Cipher(a).Seal(nil, sealed[4:16], plaintext, ad))

	for i := range sealed[4:] {
		changed := bytes.Clone(sealed[4:])
		changed[i] ^= 1
		_, err := OpenRandom(a, nil, changed, ad)
		require.Error(t, err)
		_, err = OpenRandom(a, nil, sealed[4:4+i], ad)
		require.Error(t, err, "cut to %d bytes", i)
	}
	_, err = OpenRandom(a, nil, sealed[4:], []byte("da"))
	require.Error(t, err)
	other, _ := prepared(t, Random())
	_, err = OpenRandom(other, nil, sealed[4:], ad)
	require.Error(t, err)
}

func TestNoncesDiffer(t *testing.T) {
	a, _ := prepared(t, Random())
	seen := map[string]bool{}
	for range 1000 {
		seen[string(SealRandom(a, nil, nil, nil)[:12])] = true
	}
	require.Len(t, seen, 1000)
}

// A caller's slices keep what they hold, in their spare capacity too.
func TestSlicesAreTheCallers(t *testing.T) {
	a, m := prepared(t, Random())
	guard := bytes.Repeat([]byte{0xee}, 64)
	pad := func(s string) []byte { return append([]byte(s), guard...)[:len(s)] }
	plaintext, ad := pad("plaintext"), pad("ad")
	sealed := SealRandom(a, nil, plaintext, ad)
	sealed = append(sealed, guard...)[:len(sealed)]
	before := bytes.Clone(sealed)
	_, err := OpenRandom(a, nil, sealed, ad)
	require.NoError(t, err)
	Sum(m, ad)
	DeriveWith(m, ad)
	for _, s := range [][2]string{{string(plaintext), "plaintext"}, {string(ad), "ad"}, {string(sealed), string(before)}} {
		require.Equal(t, s[1], s[0])
	}
	for _, s := range [][]byte{plaintext, ad, sealed} {
		require.Equal(t, guard, s[len(s):len(s)+64])
	}
}

func TestMAC(t *testing.T) {
	k := Random()
	_, m := prepared(t, k)
	for n := range 200 {
		message := bytes.Repeat([]byte{byte(n)}, n)
		h := hmac.New(sha256.New, Expose(k))
		h.Write(message)
		got := Sum(m, message)
		require.Equal(t, h.Sum(nil), got[:])
		require.True(t, Verify(m, message, got[:]))
		got[n%32] ^= 1
		require.False(t, Verify(m, message, got[:]))
		require.False(t, Verify(m, message, got[:31]))
		require.False(t, Verify(m, message, nil))
	}
}

// Handles are shared by goroutines: no state of one leaks into another.
func TestConcurrent(t *testing.T) {
	k := Random()
	a, m := prepared(t, k)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			message := []byte{byte(g)}
			want, key := hmac.New(sha256.New, Expose(k)), Expose(Derive(k, message))
			want.Write(message)
			for range 500 {
				sum := Sum(m, message)
				if !hmac.Equal(sum[:], want.Sum(nil)) || !bytes.Equal(Expose(DeriveWith(m, message)), key) {
					t.Error("mixed up")
				}
				if _, err := OpenRandom(a, nil, SealRandom(a, nil, message, nil), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// The zero handles refuse: deriving from nothing must never succeed.
func TestZeroHandlesRefuse(t *testing.T) {
	require.True(t, Key{}.IsZero())
	require.True(t, AEAD{}.IsZero())
	require.True(t, MAC{}.IsZero())
	k := Random()
	a, m := prepared(t, k)
	require.False(t, k.IsZero() || a.IsZero() || m.IsZero())
	_, err := NewAEAD(Key{})
	require.ErrorIs(t, err, ErrZero)
	_, err = NewMAC(Key{})
	require.ErrorIs(t, err, ErrZero)
	for name, use := range map[string]func(){
		"Expose":     func() { Expose(Key{}) },
		"Derive":     func() { Derive(Key{}, nil) },
		"DeriveAll":  func() { DeriveAll(Key{}, nil) },
		"DeriveWith": func() { DeriveWith(MAC{}, nil) },
		"Cipher":     func() { Cipher(AEAD{}) },
		"SealRandom": func() { SealRandom(AEAD{}, nil, nil, nil) },
		"OpenRandom": func() { _, _ = OpenRandom(AEAD{}, nil, make([]byte, 28), nil) },
		"Sum":        func() { Sum(MAC{}, nil) },
		"Verify":     func() { Verify(MAC{}, nil, nil) },
	} {
		t.Run(name, func(t *testing.T) { require.PanicsWithError(t, ErrZero.Error(), use) })
	}
	_, err = OpenRandom(AEAD{}, nil, nil, nil)
	require.Error(t, err)
}

// No verb, logger or encoder prints a key, whatever holds the handle.
func TestLeak(t *testing.T) {
	raw := unhex(t, "a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef00fedcba987654321")
	k := newKey(t, raw)
	a, m := prepared(t, k)
	Sum(m, []byte("so that the pool holds a state"))
	type unexported struct {
		k Key
		a AEAD
		m MAC
	}
	type exported struct {
		K Key
		A AEAD
		M MAC
		P *Key
	}
	for i, v := range []any{
		k, a, m, &k, &a, &m, unexported{k, a, m}, &unexported{k, a, m}, exported{k, a, m, &k}, &exported{k, a, m, &k},
		[]Key{k}, [1]AEAD{a}, map[string]MAC{"m": m}, map[string]any{"k": unexported{k, a, m}}, struct{ p *unexported }{&unexported{k, a, m}},
		any(&k), fmt.Errorf("%v %v %v", k, a, m), func() Key { return k },
	} {
		for _, text := range printed(v) {
			for _, bad := range spellings(raw) {
				require.NotContains(t, text, bad, "value %d", i)
			}
		}
	}
	require.Equal(t, "secret.Key secret.AEAD secret.MAC", fmt.Sprintf("%v %x %+d", k, a, m))
	require.Equal(t, "secret.Key", k.LogValue().String())
	require.Equal(t, "secret.AEAD", a.LogValue().String())
	require.Equal(t, "secret.MAC", m.LogValue().String())
}

// The check above can fail.
func TestLeakCheckCanFail(t *testing.T) {
	raw := unhex(t, "a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef00fedcba987654321")
	for _, v := range []any{raw, struct{ b []byte }{raw}, [32]byte(raw), hex.EncodeToString(raw)} {
		found := false
		for _, text := range printed(v) {
			for _, bad := range spellings(raw) {
				found = found || strings.Contains(text, bad)
			}
		}
		require.True(t, found, "%T", v)
	}
}

func printed(v any) (out []string) {
	for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
		for _, flag := range []string{"", "+", "#", " ", "# "} {
			out = append(out, fmt.Sprintf("%"+flag+string(verb), v))
		}
	}
	b, err := json.Marshal(v)
	var text, structured bytes.Buffer
	slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&structured, nil)).Info("m", "v", v)
	return append(out, string(b), fmt.Sprint(err), text.String(), structured.String())
}

// spellings returns how printing could show a part of b.
func spellings(b []byte) []string {
	w := b[8:16]
	list := strings.Trim(fmt.Sprint(w), "[]")
	return []string{
		string(w), list, strings.ReplaceAll(list, " ", ","), hex.EncodeToString(w), strings.ToUpper(hex.EncodeToString(w)), fmt.Sprintf("% x", w),
		strings.Trim(fmt.Sprintf("%#v", w), "[]byte{}"), strings.Trim(fmt.Sprintf("%o", w), "[]"), strings.Trim(fmt.Sprintf("%b", w), "[]"),
		base64.StdEncoding.EncodeToString(b)[12:20], base64.RawURLEncoding.EncodeToString(b)[12:20],
	}
}

func BenchmarkSum(b *testing.B) {
	k := Random()
	_, m := prepared(b, k)
	message := make([]byte, 16)
	b.Run("rahasia", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Sum(m, message)
		}
	})
	b.Run("limit", func(b *testing.B) {
		h := hmac.New(sha256.New, Expose(k))
		var out [32]byte
		b.ReportAllocs()
		for b.Loop() {
			h.Reset()
			h.Write(message)
			h.Sum(out[:0])
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	k := Random()
	_, m := prepared(b, k)
	info := make([]byte, 60)
	b.Run("Derive", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Derive(k, info)
		}
	})
	b.Run("DeriveWith", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			DeriveWith(m, info)
		}
	})
}
