package consent

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkRecords seals and opens a record of two compartments with two
// lookup tokens, over stores in memory. limit is twelve AES-256-GCM seals of
// 24 bytes under a prepared key: the share of the primitive.
func BenchmarkRecords(b *testing.B) {
	ctx := context.Background()
	r := people(b, memoryConfig(b))
	row := sealed(b, r, ayu, Treatment)
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Seal(ctx, &ayu, careTag); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		out := person{ID: ayu.ID}
		for b.Loop() {
			if err := r.Open(ctx, &out, row.Sealed, care); err == nil {
				b.Fatal("nothing withheld")
			}
		}
	})
	b.Run("limit", func(b *testing.B) {
		block, _ := aes.NewCipher(make([]byte, 32))
		g, _ := cipher.NewGCM(block)
		nonce, value, out := make([]byte, 12), make([]byte, 24), make([]byte, 0, 64)
		b.ReportAllocs()
		for b.Loop() {
			for range 12 {
				out = g.Seal(out[:0], nonce, value, nil)
			}
		}
	})
}

// manyConsents are n live consents with the usual bounds, the last of which permits treatment.
func manyConsents(n int) []Consent {
	var cs []Consent
	for i := range n - 1 {
		cs = append(cs, Consent{ID: fmt.Sprintf("c%03d", i), Purposes: []Purpose{Payment, Operations}, Roles: []string{"clerk"}, Until: noon.AddDate(1, 0, 0)})
	}
	return append(cs, Consent{ID: "z", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}, Until: noon.AddDate(1, 0, 0)})
}

// TestDecideAllocates: nothing on the way to a permit without obligations. How
// fast it is, beside Cedar, is measured in consent/internal/cedar.
func TestDecideAllocates(t *testing.T) {
	cs, data := manyConsents(10), Data{Sensitivity: []Label{"HIV"}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !new(Policy).Decide(cs, care, data, noon).Permit {
			t.Fail()
		}
	}))
}
