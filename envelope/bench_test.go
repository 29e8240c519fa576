package envelope

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// twelve is the record of the benchmarks: 288 bytes in twelve fields with names of
// eight letters, in one compartment.
type twelve struct {
	ID       string `phi:"subject"`
	Glucose1 []byte
	Glucose2 []byte
	Glucose3 []byte
	Glucose4 []byte
	Pressure []byte
	Pulse001 []byte
	Pulse002 []byte
	Pulse003 []byte
	Weight01 []byte
	Weight02 []byte
	Remarks1 []byte
	Remarks2 []byte
}

func (r *twelve) values() []*[]byte {
	return []*[]byte{
		&r.Glucose1, &r.Glucose2, &r.Glucose3, &r.Glucose4, &r.Pressure, &r.Pulse001,
		&r.Pulse002, &r.Pulse003, &r.Weight01, &r.Weight02, &r.Remarks1, &r.Remarks2,
	}
}

func newTwelve() *twelve {
	r := &twelve{ID: "0b51c8f2-7e0f-7d5c-9a55-2d3c0f6e8a11"}
	for i, v := range r.values() {
		*v = bytes.Repeat([]byte{byte('a' + i)}, 24)
	}
	return r
}

// limit is the standard library's AES-256-GCM with a prepared key.
func limit(b *testing.B) cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(b, err)
	return gcm
}

func tinkAEAD(b *testing.B) interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
} {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(b, err)
	a, err := aead.New(handle)
	require.NoError(b, err)
	return a
}

// TestStoredBytes holds the bar on the size of a row.
func TestStoredBytes(t *testing.T) {
	c := newCodec[twelve](t, "vitals", newRing(t, "bench", "clinical"))
	row, err := c.Seal(context.Background(), newTwelve(), map[string][]byte{"clinical": make([]byte, 64)})
	require.NoError(t, err)
	require.LessOrEqual(t, len(row), 832)
}

func BenchmarkSealRecord(b *testing.B) {
	ctx, src := context.Background(), newTwelve()
	b.Run("rahasia", func(b *testing.B) {
		c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
		tags := map[string][]byte{"clinical": make([]byte, 64)}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Seal(ctx, src, tags); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("append", func(b *testing.B) {
		c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
		tags := map[string][]byte{"clinical": make([]byte, 64)}
		var row []byte
		var err error
		b.ReportAllocs()
		for b.Loop() {
			if row, err = c.AppendSeal(ctx, row[:0], src, tags); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(row)), "stored-B/op")
	})
	b.Run("limit", func(b *testing.B) {
		gcm, values := limit(b), src.values()
		nonce, out := make([]byte, 12), make([]byte, 0, 64)
		b.ReportAllocs()
		for b.Loop() {
			for _, v := range values {
				out = gcm.Seal(out[:0], nonce, *v, nil)
			}
		}
	})
	b.Run("calls", func(b *testing.B) { // the GCM calls that the format asks for, and nothing else
		gcm, x, lengths := formatCalls(b, src)
		out := make([]byte, 0, 1024)
		var n nonce
		n.set(make([]byte, 12))
		b.ReportAllocs()
		for b.Loop() {
			sealed := gcm.Seal(out, n.at(leadAt), x[:4], x[:131])
			sealed = gcm.Seal(sealed, n.at(manifestAt), x[:lengths[0]], nil)
			for i, length := range lengths[1:] {
				sealed = gcm.Seal(sealed, n.at(fieldsAt+uint32(i)), x[:length], nil)
			}
		}
	})
	b.Run("tink", func(b *testing.B) {
		a, values := tinkAEAD(b), src.values()
		ad := []byte(src.ID)
		b.ReportAllocs()
		for b.Loop() {
			for _, v := range values {
				if _, err := a.Encrypt(*v, ad); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// formatCalls returns the lengths of the manifest and of the fields of a row
// of src, with a tag of 64 bytes, and as many bytes.
func formatCalls(b *testing.B, src *twelve) (cipher.AEAD, []byte, []int) {
	ctx := context.Background()
	c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
	row, err := c.Seal(ctx, src, map[string][]byte{"clinical": make([]byte, 64)})
	require.NoError(b, err)
	r, err := c.Begin(ctx, src, row)
	require.NoError(b, err)
	o := &r.read().sections[0]
	lengths := []int{len(o.manifest)}
	for _, e := range o.entries {
		lengths = append(lengths, int(e.length))
	}
	return limit(b), make([]byte, 1024), lengths
}

func BenchmarkOpenRecord(b *testing.B) {
	src := newTwelve()
	b.Run("rahasia", openBench())
	b.Run("limit", func(b *testing.B) {
		gcm, nonce, out := limit(b), make([]byte, 12), make([]byte, 0, 64)
		var sealed [][]byte
		for _, v := range src.values() {
			sealed = append(sealed, gcm.Seal(nil, nonce, *v, nil))
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, s := range sealed {
				if _, err := gcm.Open(out, nonce, s, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("calls", func(b *testing.B) { // the GCM calls that the format asks for, and nothing else
		gcm, x, lengths := formatCalls(b, src)
		var n nonce
		n.set(make([]byte, 12))
		ad := x[:131]
		sealed := [][]byte{gcm.Seal(nil, n.at(leadAt), x[:4], ad)}
		for _, length := range lengths {
			sealed = append(sealed, gcm.Seal(nil, n.at(leadAt), x[:length], nil))
		}
		out := make([]byte, 0, 1024)
		b.ReportAllocs()
		for b.Loop() {
			opened, err := gcm.Open(out, n.at(leadAt), sealed[0], ad)
			for _, s := range sealed[1:] {
				if err == nil {
					opened, err = gcm.Open(opened, n.at(leadAt), s, nil)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tink", func(b *testing.B) {
		a, ad := tinkAEAD(b), []byte(src.ID)
		var sealed [][]byte
		for _, v := range src.values() {
			s, err := a.Encrypt(*v, ad)
			require.NoError(b, err)
			sealed = append(sealed, s)
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, s := range sealed {
				if _, err := a.Decrypt(s, ad); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// openBench opens the named fields of a record, or all.
func openBench(fields ...string) func(b *testing.B) {
	return func(b *testing.B) {
		ctx, src := context.Background(), newTwelve()
		c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
		row, err := c.Seal(ctx, src, map[string][]byte{"clinical": make([]byte, 64)})
		require.NoError(b, err)
		dst := twelve{ID: src.ID}
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Open(ctx, &dst, row, fields...); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpenField(b *testing.B) {
	b.Run("rahasia", openBench("Pulse002"))
	b.Run("limit", func(b *testing.B) {
		gcm, nonce, out := limit(b), make([]byte, 12), make([]byte, 0, 64)
		sealed := gcm.Seal(nil, nonce, newTwelve().Pulse002, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gcm.Open(out, nonce, sealed, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBegin(b *testing.B) {
	ctx, src := context.Background(), newTwelve()
	c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
	row := seal(b, c, src)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Begin(ctx, src, row); err != nil {
			b.Fatal(err)
		}
	}
}
