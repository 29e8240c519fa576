// Package chunked is c2sp.org/chunked-encryption with AES-256-GCM and
// HKDF-SHA-512, also named Cobblestone-256: a message of up to 4 PiB in chunks
// of 16 KiB that are sealed, authenticated and read each by itself.
//
// It knows no ring and no subject: keys come as handles of internal/secret,
// and what a message is bound to as one context.
package chunked

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/rahasia/rahasia/internal/secret"
)

// Sizes in bytes, and the bound on the number of chunks.
const (
	Size      = 16 << 10 // of a chunk; the last one is shorter
	Overhead  = 16       // of a sealed chunk, its tag
	HeadSize  = saltSize + commitmentSize
	MaxChunks = 1 << 38
	MaxLength = MaxChunks*Size - 1 // of a message

	saltSize       = 24
	commitmentSize = 32
	nonceSize      = 12
	stride         = Size + Overhead
)

// label and AEAD name that the key derivation begins with.
const label = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"

// What can go wrong beside the errors of a caller's reader or writer.
var (
	// ErrOpen: a head, a chunk or the end of a message that is not as it was sealed.
	ErrOpen = errors.New("message authentication failed")
	// ErrTruncated: a message that ends before its length.
	ErrTruncated = errors.New("message ends early")
	// ErrLength: a message over MaxLength, or a ciphertext's length that none has.
	ErrLength = errors.New("impossible length")
	// ErrBusy: a Writer that another call is using, or in which one panicked.
	ErrBusy = errors.New("in use by another call, or one that panicked")
)

// Head begins a ciphertext: the salt and the commitment to the key.
type Head [HeadSize]byte

// Key seals or opens the chunks of one message. The zero Key panics. It is safe
// for concurrent use.
type Key struct {
	_   [0]func()
	use func() *material
}

// material must not be kept in a struct that could be printed.
type material struct {
	aead cipher.AEAD
	base [nonceSize]byte
}

// Format writes a fixed text, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "chunked.Key") }

// LogValue is a fixed text.
func (k Key) LogValue() slog.Value { return slog.StringValue("chunked.Key") }

// New returns the key of a new message under a fresh random salt, and the head
// that its ciphertext begins with. Of both a caller makes one message.
func New(input secret.Expander, context []byte) (Key, Head) {
	var salt [saltSize]byte
	rand.Read(salt[:]) // never fails: crypto/rand ends the program instead
	k, commitment := derive(input, salt, context)
	return k, Head(append(append(make([]byte, 0, HeadSize), salt[:]...), commitment[:]...))
}

// Open returns the key of the message whose ciphertext begins with head, or
// ErrOpen if the head does not commit to this input key and context.
func Open(input secret.Expander, context []byte, head Head) (Key, error) {
	k, commitment := derive(input, [saltSize]byte(head[:]), context)
	if subtle.ConstantTimeCompare(commitment[:], head[saltSize:]) != 1 {
		return Key{}, ErrOpen
	}
	return k, nil
}

// derive is the construction's one derivation: key || base nonce || commitment
// = HKDF-Expand(input key, label || salt || context).
func derive(input secret.Expander, salt [saltSize]byte, context []byte) (Key, [commitmentSize]byte) {
	var out [secret.KeySize + nonceSize + commitmentSize]byte
	info := append(append(append(make([]byte, 0, 512), label...), salt[:]...), context...)
	secret.Expand(input, out[:], info)
	defer clear(out[:])
	key, err := secret.NewKey(out[:secret.KeySize])
	if err != nil {
		panic(err) // only for another size
	}
	aead, err := secret.NewAEAD(key)
	if err != nil {
		panic(err) // only for a zero key
	}
	m := &material{secret.Cipher(aead), [nonceSize]byte(out[secret.KeySize:])}
	return Key{use: func() *material { return m }}, [commitmentSize]byte(out[secret.KeySize+nonceSize:])
}

// nonce is the base nonce XOR the number of a chunk, in a worker's memory. Each
// number is sealed once under a key that is used for one message.
type nonce [nonceSize]byte

func (m *material) nonce(n *nonce, i int64) []byte {
	*n = m.base
	low := n[nonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^uint64(i))
	return n[:]
}

// seal appends chunk i, sealed, to dst, which may be plaintext[:0].
func (m *material) seal(n *nonce, dst, plaintext []byte, i int64) {
	m.aead.Seal(dst, m.nonce(n, i), plaintext, nil)
}

// open appends the plaintext of chunk i to dst, which may be sealed[:0].
func (m *material) open(n *nonce, dst, sealed []byte, i int64) error {
	if _, err := m.aead.Open(dst, m.nonce(n, i), sealed, nil); err != nil {
		return ErrOpen
	}
	return nil
}

// Chunks returns how many chunks a message of n bytes has: at least one, and
// an empty last one where n is a multiple of Size.
func Chunks(n int64) int64 { return n/Size + 1 }

// SealedSize returns the length of the ciphertext of n bytes, head included.
func SealedSize(n int64) int64 { return HeadSize + n + Chunks(n)*Overhead }

// PlainSize returns the length of the message in a ciphertext of n bytes, or
// ErrTruncated if it must have been cut off: too short for a head and a chunk,
// without a last chunk, or with one too short for its tag. ErrLength is one
// over the limit.
func PlainSize(n int64) (int64, error) {
	n -= HeadSize
	if n < 0 || n%stride < Overhead {
		return 0, ErrTruncated
	}
	size := n - (n/stride+1)*Overhead
	if size > MaxLength {
		return 0, ErrLength
	}
	return size, nil
}
