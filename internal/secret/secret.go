// Package secret holds key material so that nothing prints it by accident.
//
// A fmt verb, a logger or an encoder walks the fields of whatever struct it is
// given, exported or not, and no method on a nested field stops it. A closure
// is the one holder it cannot look into (docs/RATIONALE.md has the measurement),
// so every key, prepared cipher and prepared MAC in rahasia lives behind one.
//
// The functions that reach into a handle are functions of this internal
// package and not methods: a type of the public packages may hand out a
// handle, and still nobody outside the module can open it.
//
// It is no defence against a debugger, a core dump or package unsafe.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// KeySize is the size in bytes of every key.
const KeySize = 32

// ErrZero is returned for a zero handle, which holds no key.
var ErrZero = errors.New("secret: no key")

// Key is a handle to [KeySize] secret bytes. The zero Key holds none.
type Key struct {
	_     [0]func() // not comparable
	bytes func() []byte
}

// NewKey returns a handle to a copy of b, which must be [KeySize] bytes long.
func NewKey(b []byte) (Key, error) {
	if len(b) != KeySize {
		return Key{}, errors.New("secret: wrong key size")
	}
	k := [KeySize]byte(b)
	return Key{bytes: func() []byte { return k[:] }}, nil
}

// Random returns a fresh random key.
func Random() Key {
	var k [KeySize]byte
	rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return Key{bytes: func() []byte { return k[:] }}
}

// IsZero reports whether k holds no key.
func (k Key) IsZero() bool { return k.bytes == nil }

// Format writes a fixed text, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret.Key") }

// LogValue is a fixed text.
func (k Key) LogValue() slog.Value { return slog.StringValue("secret.Key") }

// Expose returns the live bytes of k. The caller must not change or keep them.
// It panics on a zero Key: deriving from nothing must never succeed.
func Expose(k Key) []byte {
	if k.bytes == nil {
		panic(ErrZero)
	}
	return k.bytes()
}

// Derive returns HKDF-Expand (RFC 5869, SHA-256) of k for info. k must be
// uniformly random, as all keys made by this package and [Extract] are.
func Derive(k Key, info []byte) Key {
	out, err := hkdf.Expand(sha256.New, Expose(k), string(info), KeySize)
	if err != nil {
		panic(err) // only for lengths that KeySize is not
	}
	d, _ := NewKey(out)
	clear(out)
	return d
}

// DeriveAll returns what [Derive] returns for each info, preparing k once.
func DeriveAll(k Key, infos ...[]byte) []Key {
	h := hmac.New(sha256.New, Expose(k))
	keys := make([]Key, len(infos))
	var out [sha256.Size]byte
	defer clear(out[:])
	for i, info := range infos {
		if i > 0 {
			h.Reset()
		}
		keys[i] = expand(h, info, out[:0])
	}
	return keys
}

// DeriveWith returns what [Derive] returns for the key that m was prepared
// with: some five times faster, for a key from which many are derived. It
// panics on a zero MAC.
func DeriveWith(m MAC, info []byte) Key {
	p, s := use(m)
	k := expand(s.h, info, s.out[:0])
	clear(s.out[:])
	p.Put(s)
	return k
}

// expand is HKDF-Expand for one block of output: T(1) = HMAC(key, info || 1).
func expand(h hash.Hash, info, buf []byte) Key {
	h.Write(info)
	h.Write([]byte{1})
	k := [KeySize]byte(h.Sum(buf))
	return Key{bytes: func() []byte { return k[:] }}
}

// Extract returns HKDF-Extract (RFC 5869, SHA-256) of input key material.
func Extract(ikm, salt []byte) Key {
	out, err := hkdf.Extract(sha256.New, ikm, salt)
	if err != nil {
		panic(err) // only in FIPS 140-only mode, for input shorter than 14 bytes
	}
	d, _ := NewKey(out)
	clear(out)
	return d
}

// AEAD is a handle to a prepared AES-256-GCM. The zero AEAD refuses to seal
// and opens nothing. It is safe for concurrent use.
type AEAD struct {
	_    [0]func()
	aead func() cipher.AEAD
}

// NewAEAD prepares AES-256-GCM (NIST SP 800-38D) under k.
func NewAEAD(k Key) (AEAD, error) {
	if k.IsZero() {
		return AEAD{}, ErrZero
	}
	b, err := aes.NewCipher(Expose(k))
	if err != nil {
		return AEAD{}, err
	}
	g, err := cipher.NewGCM(b)
	if err != nil {
		return AEAD{}, err
	}
	return AEAD{aead: func() cipher.AEAD { return g }}, nil
}

// IsZero reports whether a holds no key.
func (a AEAD) IsZero() bool { return a.aead == nil }

// Format writes a fixed text, whatever the verb.
func (a AEAD) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret.AEAD") }

// LogValue is a fixed text.
func (a AEAD) LogValue() slog.Value { return slog.StringValue("secret.AEAD") }

// Cipher returns the live cipher of a, for a hot path that seals many values
// in a row. It must not be kept in a struct: a bare cipher prints its key
// schedule. It panics on a zero AEAD.
func Cipher(a AEAD) cipher.AEAD {
	if a.aead == nil {
		panic(ErrZero)
	}
	return a.aead()
}

// SealRandom appends a fresh random nonce of 12 bytes and the sealed plaintext
// to dst: 28 bytes more than the plaintext. One key must not seal more than
// 2³² messages this way (NIST SP 800-38D, section 8.3).
func SealRandom(a AEAD, dst, plaintext, ad []byte) []byte {
	c := Cipher(a)
	at := len(dst)
	dst = slices.Grow(dst, 12+len(plaintext)+c.Overhead())[:at+12]
	nonce := dst[at:]
	rand.Read(nonce)
	return c.Seal(dst, nonce, plaintext, ad)
}

// OpenRandom opens what [SealRandom] made.
func OpenRandom(a AEAD, dst, sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 12+16 {
		return nil, errors.New("secret: message authentication failed")
	}
	return Cipher(a).Open(dst, sealed[:12], sealed[12:], ad)
}

// MAC is a handle to a prepared HMAC-SHA256. It is safe for concurrent use.
type MAC struct {
	_    [0]func()
	pool func() *sync.Pool
}

type macState struct {
	h   hash.Hash
	out [sha256.Size]byte
}

// NewMAC prepares HMAC-SHA256 (RFC 2104) under k.
func NewMAC(k Key) (MAC, error) {
	if k.IsZero() {
		return MAC{}, ErrZero
	}
	p := &sync.Pool{New: func() any { return &macState{h: hmac.New(sha256.New, Expose(k))} }}
	return MAC{pool: func() *sync.Pool { return p }}, nil
}

// IsZero reports whether m holds no key.
func (m MAC) IsZero() bool { return m.pool == nil }

// Format writes a fixed text, whatever the verb.
func (m MAC) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret.MAC") }

// LogValue is a fixed text.
func (m MAC) LogValue() slog.Value { return slog.StringValue("secret.MAC") }

// Sum returns the MAC of message. It panics on a zero MAC.
func Sum(m MAC, message []byte) [sha256.Size]byte {
	p, s := use(m)
	s.h.Write(message)
	s.h.Sum(s.out[:0])
	out := s.out
	p.Put(s)
	return out
}

// use takes a state of m from its pool, ready for a message, to be put back.
func use(m MAC) (*sync.Pool, *macState) {
	if m.pool == nil {
		panic(ErrZero)
	}
	p := m.pool()
	s := p.Get().(*macState)
	s.h.Reset()
	return p, s
}

// Verify reports in constant time whether mac is the MAC of message.
func Verify(m MAC, message, mac []byte) bool {
	want := Sum(m, message)
	return hmac.Equal(want[:], mac)
}
