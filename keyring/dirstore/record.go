package dirstore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/rahasia/rahasia/keyring"
)

// What is in the files: one JSON object and a newline, in the one spelling that
// this package writes. The records inside are authenticated by the ring.
type (
	headText struct {
		Format string `json:"format"`
		Ring   string `json:"ring"`
		Seq    uint64 `json:"seq"`
		Hash   []byte `json:"hash"`
	}
	keysetText struct {
		Format   string `json:"format"`
		Name     string `json:"name"`
		Revision uint64 `json:"revision"`
		Digest   []byte `json:"digest"`
		Wrapped  []byte `json:"wrapped"`
	}
	keyText struct {
		Format      string        `json:"format"`
		Tag         []byte        `json:"tag"`
		Compartment string        `json:"compartment"`
		Generation  uint32        `json:"generation"`
		Version     uint32        `json:"version"`
		State       keyring.State `json:"state"`
		Wrapped     []byte        `json:"wrapped"`
		Commitment  []byte        `json:"commitment"`
	}
	intentText struct {
		Format string  `json:"format"`
		Writes []write `json:"writes"`
	}
)

// write is what one file becomes; without data it is removed.
type write struct {
	Path string `json:"path"` // relative to the store
	Data []byte `json:"data"`
}

// The first member of each file, which names its kind and version.
const (
	headFormat   = "rahasia/dir-head/v1"
	keysetFormat = "rahasia/dir-keyset/v1"
	keyFormat    = "rahasia/dir-key/v1"
	intentFormat = "rahasia/dir-intent/v1"
)

// encode cannot fail: the types hold texts, numbers and bytes.
func encode(v any) []byte {
	b, _ := json.Marshal(v)
	return append(b, '\n')
}

// decode refuses every spelling but encode's.
func decode(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil || !bytes.Equal(encode(v), b) {
		return keyring.ErrCorrupt // the file's bytes stay out of the error
	}
	return nil
}

func encodeHead(h keyring.Head) []byte { return encode(headText{headFormat, h.Ring, h.Seq, h.Hash[:]}) }

func decodeHead(b []byte) (h keyring.Head, err error) {
	var t headText
	if err := decode(b, &t); err != nil || t.Format != headFormat || !fill(h.Hash[:], t.Hash) {
		return keyring.Head{}, keyring.ErrCorrupt
	}
	h.Ring, h.Seq = t.Ring, t.Seq
	return h, nil
}

func encodeKeyset(r keyring.KeysetRecord) []byte {
	return encode(keysetText{keysetFormat, r.Name, r.Revision, r.Digest[:], r.Wrapped})
}

func decodeKeyset(b []byte) (r keyring.KeysetRecord, err error) {
	var t keysetText
	if err := decode(b, &t); err != nil || t.Format != keysetFormat || !fill(r.Digest[:], t.Digest) {
		return keyring.KeysetRecord{}, keyring.ErrCorrupt
	}
	r.Name, r.Revision, r.Wrapped = t.Name, t.Revision, t.Wrapped
	return r, nil
}

func encodeKey(r keyring.KeyRecord) []byte {
	return encode(keyText{keyFormat, r.Tag[:], r.Compartment, r.Generation, r.Version, r.State, r.Wrapped, r.Commitment[:]})
}

func decodeKey(b []byte) (r keyring.KeyRecord, err error) {
	var t keyText
	if err := decode(b, &t); err != nil || t.Format != keyFormat || !fill(r.Tag[:], t.Tag) || !fill(r.Commitment[:], t.Commitment) {
		return keyring.KeyRecord{}, keyring.ErrCorrupt
	}
	r.Compartment, r.Generation, r.Version, r.State, r.Wrapped = t.Compartment, t.Generation, t.Version, t.State, t.Wrapped
	return r, nil
}

func encodeIntent(writes []write) []byte { return encode(intentText{intentFormat, writes}) }

func decodeIntent(b []byte) ([]write, error) {
	var t intentText
	if err := decode(b, &t); err != nil || t.Format != intentFormat {
		return nil, keyring.ErrCorrupt
	}
	for _, w := range t.Writes {
		if !ours(w.Path) { // whoever wrote it
			return nil, keyring.ErrCorrupt
		}
	}
	return t.Writes, nil
}

// ours reports whether a transaction of this package can write at path.
func ours(path string) bool {
	dir, file := filepath.Split(path)
	switch dir = filepath.Clean(dir); {
	case path == headFile:
		return true
	case dir == activeDir || dir == stagedDir:
		name, err := names.DecodeString(strings.ToUpper(file))
		return err == nil && path == keysetFile(dir, string(name))
	}
	b, err := hex.DecodeString(file)
	var tag keyring.Tag
	return err == nil && fill(tag[:], b) && path == keyFile(tag)
}

// What is read is bounded by what this package writes, in bytes: the files are
// not trusted.
const (
	maxRecord  = 96 << 10 // a wrapped form of 64 KiB in base64
	maxIntent  = 64 << 20 // some 100,000 keys
	maxKeysets = 1 << 14
)

// load reads and decodes a file of at most that many bytes. A file that is not
// there is fs.ErrNotExist.
func load[T any](s *Store, name string, most int64, decode func([]byte) (T, error)) (rec T, err error) {
	f, err := s.open(name, os.O_RDONLY)
	if err != nil {
		return rec, err
	}
	b, err := read(f, most)
	if err = errors.Join(err, f.Close()); err == nil {
		rec, err = decode(b)
	}
	if err != nil {
		return rec, fmt.Errorf("file %s: %w", filepath.Base(name), err)
	}
	return rec, nil
}

func read(f *os.File, most int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("more than %d bytes: %w", most, keyring.ErrCorrupt)
	}
	return io.ReadAll(io.LimitReader(f, most)) // it may grow meanwhile
}

// fill copies from into to if it has the right length.
func fill(to, from []byte) bool { return copy(to, from) == len(from) && len(from) == len(to) }
