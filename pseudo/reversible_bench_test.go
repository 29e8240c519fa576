package pseudo

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// BenchmarkSIV is the reversible token of a 16-byte value (DESIGN §9: at most
// twice the limit, a prepared HMAC, and no allocation).
func BenchmarkSIV(b *testing.B) {
	ctx := context.Background()
	b.Run("rahasia", func(b *testing.B) {
		r := openReversible(b, newRing(b, study), study, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Token(ctx, NIK, sandboxNIK); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("limit", benchmarkHMAC)
	b.Run("tink", func(b *testing.B) {
		handle, err := keyset.NewHandle(daead.AESSIVKeyTemplate())
		require.NoError(b, err)
		siv, err := daead.New(handle)
		require.NoError(b, err)
		value, ad := []byte(sandboxNIK), []byte(study)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := siv.EncryptDeterministically(value, ad); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReverse is one token of a batch turned back: the value's string is
// what is allocated.
func BenchmarkReverse(b *testing.B) {
	ctx := context.Background()
	r := openReversible(b, newRing(b, study), study, &clerk{})
	tokens := make([]ReversibleToken, 100)
	for i := range tokens {
		tokens[i] = reversibleToken(b, r, NIK, person(i))
	}
	b.ReportAllocs()
	for range b.N {
		r.authorize = func(context.Context, Reversal) error { return nil }
		if _, err := r.Reverse(ctx, NIK, tokens); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(tokens)), "ns/token")
}

// BenchmarkTokenBatch is a list of 10,000 values on one core and on two.
func BenchmarkTokenBatch(b *testing.B) {
	ctx := context.Background()
	d := open(b, newRing(b, study), study)
	values := patients(10_000)
	for _, c := range []struct {
		name  string
		cores int
	}{{"1cores", 1}, {"2cores", 2}} {
		b.Run(c.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.cores))
			b.ReportAllocs()
			for range b.N {
				for _, r := range d.Tokens(ctx, NIK, values) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(values))/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}
