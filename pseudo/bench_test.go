package pseudo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
)

// benchmarkHMAC is the limit of tokens: the standard library's HMAC of a 16-byte
// value, key and buffers prepared.
func benchmarkHMAC(b *testing.B) {
	mac, value, out := hmac.New(sha256.New, make([]byte, 32)), []byte(sandboxNIK), make([]byte, 0, 32)
	b.ReportAllocs()
	for b.Loop() {
		mac.Reset()
		mac.Write(value)
		out = mac.Sum(out[:0])
	}
}

// BenchmarkToken is the lookup token of a 16-byte value (DESIGN §9: at most
// 1.3 times the limit, and no allocation).
func BenchmarkToken(b *testing.B) {
	ctx := context.Background()
	b.Run("rahasia", func(b *testing.B) {
		d := open(b, newRing(b, study), study)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.Token(ctx, NIK, sandboxNIK); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("limit", benchmarkHMAC)
	b.Run("tink", func(b *testing.B) {
		handle, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
		require.NoError(b, err)
		set, err := prf.NewPRFSet(handle)
		require.NoError(b, err)
		value := []byte(sandboxNIK)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := set.ComputePrimaryPRF(value, 16); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkNormalize is a value as people write it, and in canonical form.
func BenchmarkNormalize(b *testing.B) {
	for _, c := range []struct {
		name  string
		kind  Kind
		value string
	}{
		{"nik/normal", NIK, sandboxNIK},
		{"nik/written", NIK, "9271 0603 1200 0001"},
		{"phone/normal", Phone, "+6281000000001"},
		{"phone/written", Phone, "0810-0000-0001"},
		{"name/normal", Name, "ardianto putra"},
		{"name/written", Name, "Dr. Ardianto Putra, S.Kep."},
		{"email/normal", Email, "budi@example.id"},
		{"mrn/normal", MRN, "3171012|001234"},
		{"mrn/written", MRN, "3171012|00-12-34"},
		{"passport/normal", Passport, "IDN|X1234567"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.kind.Normalize(c.value); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLeakage measures a million different tokens, the case that fills
// both sets of counters again and again. B/op is what they take, once.
func BenchmarkLeakage(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		leak := LeakageOf(func(yield func(Token) bool) {
			for i := range 1_000_000 {
				t := Token{version: 1}
				binary.BigEndian.PutUint64(t.mac[:], uint64(i))
				if !yield(t) {
					return
				}
			}
		})
		if leak.Rows != 1_000_000 {
			b.Fatal(leak)
		}
	}
}

// BenchmarkIndexTokens is a record with two lookup fields in canonical form:
// the map is all that is allocated.
func BenchmarkIndexTokens(b *testing.B) {
	ctx := context.Background()
	x, _ := newIndex(b)
	src := &patient{ID: "P1", NIK: sandboxNIK, Name: "ardianto putra"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Tokens(ctx, src); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenText(b *testing.B) {
	tok := sample()
	text := tok.String()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseToken(text); err != nil {
			b.Fatal(err)
		}
	}
}
