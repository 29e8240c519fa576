package dirstore

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rahasia/rahasia/keyring"
)

// What is read is in the one spelling that is written, and errors hold nothing of it.
func FuzzFiles(f *testing.F) {
	f.Add(encodeHead(keyring.Head{Ring: "clinic", Seq: 7, Hash: [32]byte{1}}))
	f.Add(encodeKeyset(keyring.KeysetRecord{Name: "research/ui-2026", Revision: 2, Wrapped: []byte("wrapped")}))
	f.Add(encodeKey(keyring.KeyRecord{Tag: keyring.Tag{9}, Compartment: "clinical", State: keyring.Active, Wrapped: []byte("wrapped")}))
	f.Add(encodeIntent([]write{{"head", []byte("x")}, {"staged/x", nil}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		try(t, b, decodeHead, encodeHead)
		try(t, b, decodeKeyset, encodeKeyset)
		try(t, b, decodeKey, encodeKey)
		try(t, b, decodeIntent, encodeIntent)
	})
}

func try[T any](t *testing.T, b []byte, decode func([]byte) (T, error), encode func(T) []byte) {
	rec, err := decode(b)
	if err != nil {
		if len(b) > 8 && strings.Contains(err.Error(), string(b)) {
			t.Error("the error holds the file")
		}
		return
	}
	if !bytes.Equal(encode(rec), b) {
		t.Error("two spellings of one record")
	}
}
