package consent

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"testing"
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

// BenchmarkDecide is the decision alone, over ten live consents.
func BenchmarkDecide(b *testing.B) {
	var cs []Consent
	for i := range 9 {
		cs = append(cs, Consent{ID: string(rune('a' + i)), Purposes: []Purpose{Payment}, Until: noon.AddDate(1, 0, 0)})
	}
	cs = append(cs, Consent{ID: "z", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}})
	data := Data{Sensitivity: []Label{"HIV"}}
	b.ReportAllocs()
	for b.Loop() {
		if d := new(Policy).Decide(cs, care, data, noon); !d.Permit {
			b.Fatal(d.Reason)
		}
	}
}
