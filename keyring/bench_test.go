package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

func benchRing(b *testing.B) *Ring {
	r, err := Create(b.Context(), "clinic", Config{Store: NewMemoryStore(), Journal: NewMemoryJournal(), KEK: plainKEK{}})
	require.NoError(b, err)
	for _, name := range []string{"identity", "clinical", "sensitive"} {
		require.NoError(b, r.CreateKeyset(b.Context(), name))
	}
	return r
}

// First touch of a patient: tag, wrap key, unwrap, commitment, record key,
// prepared cipher; the store excluded. The bar is 4.5 times twelve GCM seals of
// 24 bytes (limit12), or 4 µs on the machine of DESIGN §9. The limit is the
// same work by the standard library.
func BenchmarkFirstTouch(b *testing.B) {
	r := benchRing(b)
	ctx := context.Background()
	keys, err := r.CreateSubject(ctx, "p", "clinical")
	require.NoError(b, err)
	c := r.core()
	ks, err := r.Keyset(ctx, "clinical")
	require.NoError(b, err)
	recs, err := c.store.Keys(ctx, []Tag{r.core().subjectTag("clinical", "p")})
	require.NoError(b, err)

	b.Run("rahasia", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.subjectTag("clinical", "p")
			if _, err := unwrapSubject(c.ring, ks, &recs[0], c.erasureTag("p"), c.span(recs[0].Tag)); err != nil {
				b.Fatal(err)
			}
		}
	})
	raw := secret.Expose(keys[0].key)
	prk := raw
	info := string(make([]byte, 60))
	b.Run("limit", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			wrap, _ := hkdf.Expand(sha256.New, prk, info, 32)
			_ = gcm(b, wrap)
			_, _ = hkdf.Expand(sha256.New, raw, "commitment", 32)
			record, _ := hkdf.Expand(sha256.New, raw, "record", 32)
			_ = gcm(b, record)
		}
	})
	b.Run("limit12", func(b *testing.B) {
		a, nonce, dst := gcm(b, raw), make([]byte, 12), make([]byte, 0, 64)
		b.ReportAllocs()
		for b.Loop() {
			for range 12 {
				a.Seal(dst, nonce, raw[:24], nil)
			}
		}
	})
}

func gcm(b *testing.B, key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		b.Fatal(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// A cached subject, as a record of one and of three compartments asks for it.
func BenchmarkSubject(b *testing.B) {
	r := benchRing(b)
	ctx := context.Background()
	all := []string{"identity", "clinical", "sensitive"}
	for i := range 1000 {
		_, err := r.CreateSubject(ctx, fmt.Sprint("patient-", i), all...)
		require.NoError(b, err)
	}
	view := r.Only(all...)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Subject(ctx, "patient-77", "clinical"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("three", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := view.Subject(ctx, "patient-77", "identity", "clinical", "sensitive"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := r.Subject(ctx, "patient-77", "clinical"); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

func BenchmarkKeyset(b *testing.B) {
	r := benchRing(b)
	ctx := context.Background()
	_, err := r.Keyset(ctx, "clinical")
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Keyset(ctx, "clinical"); err != nil {
			b.Fatal(err)
		}
	}
}

// A new patient of three compartments, on the memory store.
func BenchmarkCreateSubject(b *testing.B) {
	r := benchRing(b)
	ctx := context.Background()
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		if _, err := r.CreateSubject(ctx, fmt.Sprint("patient-", n), "identity", "clinical", "sensitive"); err != nil {
			b.Fatal(err)
		}
	}
}
