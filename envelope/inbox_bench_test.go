package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

// messageKey is what a message cannot do without beside one call of the AEAD: a
// derivation with a prepared PRF, and an AES-256-GCM of its own.
func messageKey(b *testing.B, mac secret.MAC, info []byte) cipher.AEAD {
	block, err := aes.NewCipher(secret.Expose(secret.DeriveWith(mac, info)))
	if err != nil {
		b.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		b.Fatal(err)
	}
	return gcm
}

type size struct {
	name string
	n    int
}

func messageSizes() []size { return []size{{"288B", 288}, {"16KiB", 16 << 10}} }

func BenchmarkMessageSeal(b *testing.B) {
	for _, s := range messageSizes() {
		b.Run("rahasia/"+s.name, func(b *testing.B) {
			ctx, payload := context.Background(), make([]byte, s.n)
			topic := newTopic(b, "lab", newRing(b, "r", "topic/lab"))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := topic.Seal(ctx, "patient-1", payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("limit/"+s.name, func(b *testing.B) {
			mac, err := secret.NewMAC(secret.Random())
			require.NoError(b, err)
			info, nonce, payload, out := make([]byte, 60), make([]byte, 12), make([]byte, s.n), make([]byte, 0, s.n+16)
			b.ReportAllocs()
			for b.Loop() {
				messageKey(b, mac, info).Seal(out, nonce, payload, nil)
			}
		})
	}
}

func BenchmarkMessageOpen(b *testing.B) {
	for _, s := range messageSizes() {
		b.Run("rahasia/"+s.name, func(b *testing.B) {
			ctx := context.Background()
			topic := newTopic(b, "lab", newRing(b, "r", "topic/lab"))
			m := message(b, topic, "patient-1", string(make([]byte, s.n)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := topic.Open(ctx, m); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("limit/"+s.name, func(b *testing.B) {
			mac, err := secret.NewMAC(secret.Random())
			require.NoError(b, err)
			info, nonce, out := make([]byte, 60), make([]byte, 12), make([]byte, 0, s.n)
			sealed := messageKey(b, mac, info).Seal(nil, nonce, make([]byte, s.n), nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := messageKey(b, mac, info).Open(out, nonce, sealed, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkInboxSeal and BenchmarkInboxOpen have as limit HPKE's own call.
func BenchmarkInboxSeal(b *testing.B) {
	payload := make([]byte, 288)
	inbox := newInbox(b, "branches", newRing(b, "r", "inbox/branches"))
	intake := enrol(b, inbox, "s")
	b.Run("rahasia", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := intake.Seal("patient-1", payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("limit", func(b *testing.B) {
		public := intake.state().public
		b.ReportAllocs()
		for b.Loop() {
			if _, err := hpke.Seal(public, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkInboxOpen(b *testing.B) {
	ctx, payload := context.Background(), make([]byte, 288)
	inbox := newInbox(b, "branches", newRing(b, "r", "inbox/branches"))
	intake := enrol(b, inbox, "s")
	i, err := intake.Seal("patient-1", payload)
	require.NoError(b, err)
	b.Run("rahasia", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := inbox.Open(ctx, i); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("forged", func(b *testing.B) { // refused before the private key is used
		forged := append(Item(nil), i...)
		forged[100] ^= 1
		b.ReportAllocs()
		for b.Loop() {
			if _, err := inbox.Open(ctx, forged); err == nil {
				b.Fatal("it opened")
			}
		}
	})
	b.Run("limit", func(b *testing.B) {
		private, err := kem().GenerateKey()
		require.NoError(b, err)
		sealed, err := hpke.Seal(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil, payload)
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), nil, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
