package envelope

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	fx "github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/value"
)

// BenchmarkRejectedSeal measures what docs/SPEC.md, 2.9 rejects, on the record of
// twelve fields: the draw and the AEAD calls alone, as chosen and as they would be.
func BenchmarkRejectedSeal(b *testing.B) {
	src := newTwelve()
	gcm, row, id := limit(b), make([]byte, 0, 2048), make([]byte, idSize)
	context := make([]byte, 160) // of the lead: binding and header
	manifest := make([]byte, 256)
	lead := make([]byte, 4)
	fields := func(gcm cipher.AEAD, nonce func() []byte, data []byte) {
		for _, v := range src.values() {
			row = gcm.Seal(row, nonce(), *v, data)
		}
	}
	same := func() []byte { return id }
	fresh := func() []byte { rand.Read(id); return id }
	whole := func(gcm cipher.AEAD) {
		row = gcm.Seal(row[:0], fresh(), lead, context)
		row = gcm.Seal(row, id, manifest, nil)
		fields(gcm, same, nil)
	}
	for _, c := range []struct {
		name string
		seal func()
	}{
		{"chosen", func() { whole(gcm) }},
		{"key for each record", func() {
			key, err := hkdf.Expand(sha256.New, make([]byte, 32), string(context), 32)
			require.NoError(b, err)
			block, err := aes.NewCipher(key)
			require.NoError(b, err)
			own, err := cipher.NewGCM(block)
			require.NoError(b, err)
			whole(own)
		}},
		{"nonce for each field", func() {
			row = gcm.Seal(row[:0], fresh(), lead, context)
			row = gcm.Seal(row, fresh(), manifest, nil)
			fields(gcm, fresh, nil)
		}},
		{"data for each field", func() {
			row = gcm.Seal(row[:0], fresh(), manifest, context)
			fields(gcm, same, context)
		}},
		{"lead in the manifest", func() {
			row = gcm.Seal(row[:0], fresh(), manifest, context)
			fields(gcm, same, nil)
		}},
		{"seal id drawn ahead", func() {
			row = gcm.Seal(row[:0], id, lead, context)
			row = gcm.Seal(row, id, manifest, nil)
			fields(gcm, same, nil)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.seal()
			}
		})
	}
}

// BenchmarkRejectedOpen: one field of twelve, as chosen and out of one AEAD call
// over the section.
func BenchmarkRejectedOpen(b *testing.B) {
	gcm, id, out := limit(b), make([]byte, idSize), make([]byte, 0, 1024)
	context := make([]byte, 160)
	lead := gcm.Seal(nil, id, make([]byte, 4), context)
	manifest := gcm.Seal(nil, id, make([]byte, 256), nil)
	field := gcm.Seal(nil, id, make([]byte, 26), nil)
	section := gcm.Seal(nil, id, make([]byte, 256+12*26), context)
	open := func(sealed, data []byte) {
		if _, err := gcm.Open(out, id, sealed, data); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("chosen", func(b *testing.B) {
		for b.Loop() {
			open(lead, context)
			open(manifest, nil)
			open(field, nil)
		}
	})
	b.Run("one call for a section", func(b *testing.B) {
		for b.Loop() {
			open(section, context)
		}
	})
}

// BenchmarkRejectedManifest: a manifest of twelve fields read as chosen, and by a
// general decoder.
func BenchmarkRejectedManifest(b *testing.B) {
	c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical")).core()
	var index []byte
	for i := range c.columns {
		index = appendLength(appendEntry(index, []byte(c.columns[i].name), value.Bytes), 26)
	}
	m := appendManifest(nil, make([]byte, 64), index, len(c.columns))
	var entries []entry
	b.Run("chosen", func(b *testing.B) {
		for b.Loop() {
			var err error
			if _, entries, _, err = parseManifest(m, entries, c.columns); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("of others", func(b *testing.B) { // a name that is not expected costs a search
		for b.Loop() {
			var err error
			if _, entries, _, err = parseManifest(m, entries, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("general decoder", func(b *testing.B) {
		type field struct {
			_      struct{} `cbor:",toarray"`
			Name   string
			Code   uint64
			Length uint64
		}
		for b.Loop() {
			var list []fx.RawMessage
			if err := fx.Unmarshal(m, &list); err != nil {
				b.Fatal(err)
			}
			for _, raw := range list[1:] {
				var f field
				if err := fx.Unmarshal(raw, &f); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
