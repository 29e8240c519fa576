package consent

import (
	"bytes"
	"errors"

	"github.com/fxamacker/cbor/v2"

	items "github.com/rahasia/rahasia/internal/cbor"
)

// encMode writes deterministic CBOR (RFC 8949, section 4.2.1), decMode reads
// nothing but it.
var encMode, decMode = func() (cbor.EncMode, cbor.DecMode) {
	e, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are constant
	}
	d, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   8,
		MaxArrayElements:  1 << 16,
		MaxMapPairs:       1 << 12,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return e, d
}()

func encode(v any) ([]byte, error) { return encMode.Marshal(v) }

// encodeReadable is encode for what is written once and must be read for ever:
// it refuses what decode would.
func encodeReadable[T any](v T) ([]byte, error) {
	b, err := encode(v)
	if err == nil {
		err = decode(b, new(T))
	}
	if err != nil {
		return nil, ErrLimit
	}
	return b, nil
}

// decode reads what encode wrote and nothing else: bytes that decode but would
// be written otherwise are refused too.
func decode(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return err
	}
	if again, err := encode(v); err != nil || !bytes.Equal(again, b) {
		return errors.New("not canonical")
	}
	return nil
}

// mapWriter writes what encode would write of a struct whose keys are below 24
// and whose empty fields are left out. It is for what every record and every
// entry has: encode takes ten times as long and thirty allocations. The keys must
// be written in ascending order, and all its texts must be UTF-8.
type mapWriter struct {
	b  []byte
	at int // where the head is
}

// begin begins a map of at most 23 keys behind dst.
func (w *mapWriter) begin(dst []byte) {
	w.b, w.at = append(dst, items.Map<<5), len(dst)
}

// key writes a key, which is at most 23: of one byte.
func (w *mapWriter) key(k byte) {
	w.b[w.at]++
	w.b = append(w.b, k)
}

// must writes a text even if it is empty.
func (w *mapWriter) must(k byte, s string) {
	w.key(k)
	w.item(s)
}

func (w *mapWriter) text(k byte, s string) {
	if s != "" {
		w.must(k, s)
	}
}

func (w *mapWriter) item(s string) {
	w.b = append(items.AppendHead(w.b, items.Text, uint64(len(s))), s...)
}

func (w *mapWriter) bytes(k byte, b []byte) {
	if len(b) > 0 {
		w.key(k)
		w.b = append(items.AppendHead(w.b, items.Bytes, uint64(len(b))), b...)
	}
}

func (w *mapWriter) uint(k byte, n uint64) {
	if n != 0 {
		w.key(k)
		w.b = items.AppendHead(w.b, items.Uint, n)
	}
}

func (w *mapWriter) int(k byte, n int64) {
	w.key(k)
	w.b = items.AppendInt(w.b, n)
}

// writeTexts writes a list of texts, which Go lets no method do for every type
// of text.
func writeTexts[S ~string](w *mapWriter, k byte, list []S) {
	if len(list) > 0 {
		w.key(k)
		appendTexts(w, list)
	}
}

func appendTexts[S ~string](w *mapWriter, list []S) {
	w.b = items.AppendHead(w.b, items.Array, uint64(len(list)))
	for _, s := range list {
		w.item(string(s))
	}
}
