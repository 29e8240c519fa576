package pseudo

import (
	"crypto/aes"
	"testing"

	"github.com/rahasia/rahasia/internal/secret"
)

// BenchmarkNIKToken is the token of a NIK (DESIGN §9: at most five times ten
// serial AES blocks, and no allocation). The numbers differ, because how often
// the cipher is called depends on them.
func BenchmarkNIKToken(b *testing.B) {
	b.Run("rahasia", func(b *testing.B) {
		f, err := newFormat(NIK, 1, secret.Random())
		if err != nil {
			b.Fatal(err)
		}
		nik := []byte(sandboxNIK)
		var dst [nikDigits]byte
		var i uint64
		b.ReportAllocs()
		for b.Loop() {
			putDigits(nik[10:], i%1_000_000)
			i++
			if _, err := f.appendSeal(dst[:0], string(nik)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("limit", func(b *testing.B) {
		block, err := aes.NewCipher(make([]byte, 32))
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 16)
		b.ReportAllocs()
		for b.Loop() {
			for range 10 {
				block.Encrypt(buf, buf)
			}
		}
	})
}
