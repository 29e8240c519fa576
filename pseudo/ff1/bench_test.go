package ff1

import (
	"crypto/aes"
	"testing"
)

// BenchmarkFF1 is one encryption over the ten digits (DESIGN §9: at most three
// times the limit, and no allocation). The limit is ten AES blocks, each of the
// one before it: what FF1's rounds cannot do without.
func BenchmarkFF1(b *testing.B) {
	lengths := []struct{ name, text string }{
		{"10digits", "0123456789"}, {"13digits", "0001234567890"}, {"16digits", "3171234567890001"},
	}
	key := make([]byte, 32)
	for _, l := range lengths {
		b.Run("rahasia/"+l.name, func(b *testing.B) {
			c := newCipher(b, key, digits)
			dst := make([]byte, 0, 16)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.AppendEncrypt(dst, nil, l.text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, l := range lengths {
		b.Run("limit/"+l.name, func(b *testing.B) {
			block, err := aes.NewCipher(key)
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, aes.BlockSize)
			b.ReportAllocs()
			for b.Loop() {
				for range 10 {
					block.Encrypt(buf, buf)
				}
			}
		})
	}
}
