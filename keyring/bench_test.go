package keyring

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

func benchRing(b *testing.B) *Ring {
	r, _ := benchRingOf(b)
	return r
}

func benchRingOf(b *testing.B) (*Ring, Config) {
	cfg := Config{Store: NewMemoryStore(), Journal: NewMemoryJournal(), KEK: plainKEK{}}
	r, err := Create(b.Context(), "clinic", cfg)
	require.NoError(b, err)
	for _, name := range []string{"identity", "clinical", "sensitive"} {
		require.NoError(b, r.CreateKeyset(b.Context(), name))
	}
	return r, cfg
}

// First touch of a patient: tag, wrap key, unwrap, commitment, record key,
// prepared cipher; the store excluded. The bar is 4.5 times twelve GCM seals of
// 24 bytes (limit12), or 4 µs on the machine of DESIGN §9. The limit is the
// same work by the standard library: what can be prepared is, the lengths are the
// same, and nothing is allocated but what its constructors allocate.
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
	b.Run("limit", func(b *testing.B) { benchTouchLimit(b, raw) })
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

// benchTouchLimit makes two tags and a wrap key by prepared HMACs, opens a key,
// derives two from it and prepares one.
func benchTouchLimit(b *testing.B, raw []byte) {
	index, prf := hmac.New(sha256.New, raw), hmac.New(sha256.New, raw)
	var info, tagged [60]byte
	nonce, ad, out := make([]byte, 12), make([]byte, 75), make([]byte, 0, 64)
	sum := func(h hash.Hash, message []byte) []byte {
		h.Reset()
		h.Write(message)
		return h.Sum(out[:0])
	}
	sealed := gcm(b, sum(prf, info[:])).Seal(nil, nonce, raw, ad)
	var opened [64]byte
	b.ReportAllocs()
	for b.Loop() {
		sum(index, tagged[:40])
		sum(index, tagged[:30])
		key, err := gcm(b, sum(prf, info[:])).Open(opened[:0], nonce, sealed, ad)
		if err != nil {
			b.Fatal(err)
		}
		own := hmac.New(sha256.New, key)
		sum(own, info[:24])
		gcm(b, sum(own, info[:25]))
	}
}

// A page of patients with keys in three compartments: their keys got by a
// process that has none of them in memory, or created; on the memory store. With
// a database: keyring/sqlstore.
func BenchmarkSubjectKeys(b *testing.B) {
	ctx, all := context.Background(), []string{"identity", "clinical", "sensitive"}
	made := 0
	page := func(n int) []string {
		ids := make([]string, n)
		for i := range ids {
			made++
			ids[i] = fmt.Sprint("patient-", made)
		}
		return ids
	}
	run := func(b *testing.B, n int, ids func() []string, get func(context.Context, []string, ...string) ([]SubjectKeys, error)) {
		b.ReportAllocs()
		for b.Loop() {
			got, err := get(ctx, ids(), all...)
			if err != nil || got[n-1].Err != nil {
				b.Fatal(err, got)
			}
		}
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "patients/s")
	}
	for _, n := range []int{1, 50, 1000} {
		r, cfg := benchRingOf(b)
		cfg.CacheEntries = 1 // of three: no page is in it whole
		cold, err := Open(ctx, cfg)
		require.NoError(b, err)
		ids := page(n)
		_, err = r.CreateSubjects(ctx, ids, all...)
		require.NoError(b, err)
		b.Run(fmt.Sprint("get/", n), func(b *testing.B) { run(b, n, func() []string { return ids }, cold.Subjects) })
	}
	for _, n := range []int{1, 50, 1000} {
		r := benchRing(b)
		b.Run(fmt.Sprint("create/", n), func(b *testing.B) { run(b, n, func() []string { return page(n) }, r.CreateSubjects) })
	}
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
