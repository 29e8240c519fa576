// Package siv is AES-SIV (RFC 5297), a deterministic encryption that
// authenticates: equal messages under equal keys and associated data have
// equal ciphertexts, and that is all that a ciphertext tells apart from its
// length.
//
// The standard library has none, and the one of Tink prepares the key anew for
// every message. A [Cipher] here is prepared once for its keys and for its
// associated data, which in rahasia never change within one key; a message of
// one block then costs two calls of AES and allocates nothing. It stands for
// the whole of RFC 5297 with that restriction.
package siv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/rahasia/rahasia/internal/secret"
)

// Overhead is how many bytes a ciphertext has more than its plaintext: the
// synthetic initialisation vector in front of it.
const Overhead = aes.BlockSize

// maxAD is the most components of associated data: S2V takes 127 strings, of
// which the plaintext is one (RFC 5297, section 2.4).
const maxAD = 126

// ErrOpen is returned for what does not authenticate: another key, other
// associated data and a changed bit look alike.
var ErrOpen = errors.New("siv: message authentication failed")

// Cipher is a handle to AES-256-SIV, prepared for its keys and associated
// data. It is safe for concurrent use. The zero Cipher panics.
type Cipher struct {
	_   [0]func() // not comparable
	key func() *prepared
}

// prepared is what all messages under one key and associated data share. It is
// never written to after it was made.
type prepared struct {
	mac, ctr cipher.Block
	k1, k2   block // the subkeys of CMAC (NIST SP 800-38B, section 6.1)
	d        block // the state of S2V after the associated data
	d2       block // the same, doubled
	pool     sync.Pool
}

type block = [aes.BlockSize]byte

// A scratch is what one call works on. AES is called through an interface, so
// that a buffer on the stack would be allocated at each call.
type scratch struct{ v, stream, in block }

// New prepares AES-256-SIV under two independent keys, that of S2V and that of
// CTR: the first and the second half of the key of RFC 5297. Each of ad is a
// component of the associated data, at most 126 of them.
func New(mac, ctr secret.Key, ad ...[]byte) (Cipher, error) {
	if mac.IsZero() || ctr.IsZero() {
		return Cipher{}, secret.ErrZero
	}
	return prepare(secret.Expose(mac), secret.Expose(ctr), ad...)
}

// prepare is New for all key sizes of RFC 5297, which its vectors have.
func prepare(mac, ctr []byte, ad ...[]byte) (Cipher, error) {
	if len(ad) > maxAD {
		return Cipher{}, errors.New("siv: more than 126 components of associated data")
	}
	m, err := aes.NewCipher(mac)
	if err != nil {
		return Cipher{}, err
	}
	c, err := aes.NewCipher(ctr)
	if err != nil {
		return Cipher{}, err
	}
	p := &prepared{mac: m, ctr: c}
	p.pool.New = func() any { return new(scratch) }
	s := new(scratch)
	m.Encrypt(s.v[:], s.v[:])
	p.k1 = double(s.v)
	p.k2 = double(p.k1)
	s.v = block{}
	cmac(p, s, s.v[:], block{}) // S2V begins with the MAC of a block of zero bits
	p.d = s.v
	for _, part := range ad {
		s.v = block{}
		cmac(p, s, part, block{})
		p.d = double(p.d)
		xor(&p.d, &s.v)
	}
	p.d2 = double(p.d)
	return Cipher{key: func() *prepared { return p }}, nil
}

// IsZero reports whether c holds no key.
func (c Cipher) IsZero() bool { return c.key == nil }

// Format writes a fixed text, whatever the verb.
func (c Cipher) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "siv.Cipher") }

// LogValue is a fixed text.
func (c Cipher) LogValue() slog.Value { return slog.StringValue("siv.Cipher") }

// Seal appends to dst the synthetic vector and the encrypted plaintext:
// [Overhead] bytes more than the plaintext has. It is deterministic. Who sees
// two ciphertexts learns whether their plaintexts are equal, and how long each is.
//
// One key seals at most 2⁴⁸ messages (NIST SP 800-38B, appendix B), each
// shorter than 2³⁵ bytes.
func (c Cipher) Seal(dst []byte, plaintext string) []byte {
	p := c.use()
	s := p.pool.Get().(*scratch)
	s2v(p, s, plaintext)
	dst = append(dst, s.v[:]...)
	counter(s)
	for rest := plaintext; len(rest) > 0; {
		next(p, s)
		n := copy(s.in[:], rest)
		subtle.XORBytes(s.in[:n], s.in[:n], s.stream[:n])
		dst = append(dst, s.in[:n]...)
		rest = rest[n:]
	}
	p.put(s)
	return dst
}

// Open appends to dst, which must not overlap sealed, the plaintext of what
// [Cipher.Seal] made, or returns nil and [ErrOpen]; what it had written behind
// dst is then overwritten.
func (c Cipher) Open(dst, sealed []byte) ([]byte, error) {
	p := c.use()
	if len(sealed) < Overhead {
		return nil, ErrOpen
	}
	s := p.pool.Get().(*scratch)
	defer p.put(s)
	want := block(sealed)
	s.v = want
	counter(s)
	from := len(dst)
	dst = slices.Grow(dst, len(sealed)-Overhead) // once, so that no unauthenticated copy is left behind
	for rest := sealed[Overhead:]; len(rest) > 0; {
		next(p, s)
		n := copy(s.in[:], rest)
		subtle.XORBytes(s.in[:n], s.in[:n], s.stream[:n])
		dst = append(dst, s.in[:n]...)
		rest = rest[n:]
	}
	s2v(p, s, dst[from:])
	if subtle.ConstantTimeCompare(s.v[:], want[:]) != 1 {
		clear(dst[from:])
		return nil, ErrOpen
	}
	return dst, nil
}

func (c Cipher) use() *prepared {
	if c.key == nil {
		panic(secret.ErrZero)
	}
	return c.key()
}

// put gives a scratch back without what it held of a message.
func (p *prepared) put(s *scratch) {
	*s = scratch{}
	p.pool.Put(s)
}

// s2v leaves the synthetic vector of a plaintext in s.v (RFC 5297, section 2.4).
func s2v[S ~string | ~[]byte](p *prepared, s *scratch, plaintext S) {
	s.v = block{}
	if len(plaintext) >= aes.BlockSize {
		cmac(p, s, plaintext, p.d)
		return
	}
	s.in = block{}
	n := copy(s.in[:], plaintext)
	s.in[n] = 0x80
	xor(&s.in, &p.d2)
	xor(&s.in, &p.k1) // the padded string is always one full block
	p.mac.Encrypt(s.v[:], s.in[:])
}

// cmac goes on from s.v with the CMAC (NIST SP 800-38B) of message, whose last
// 16 bytes are first combined with end. With an end that is not zero a message
// has at least 16 bytes.
func cmac[S ~string | ~[]byte](p *prepared, s *scratch, message S, end block) {
	n := len(message)
	tail := n - aes.BlockSize // where the last 16 bytes begin: S2V combines them as they lie, across blocks
	for at := 0; ; at += aes.BlockSize {
		last := n-at <= aes.BlockSize
		s.in = block{}
		have := copy(s.in[:], message[at:])
		if from := max(tail, at); tail >= 0 && from < at+have {
			subtle.XORBytes(s.in[from-at:have], s.in[from-at:have], end[from-tail:])
		}
		switch {
		case last && have == aes.BlockSize:
			xor(&s.in, &p.k1)
		case last:
			s.in[have] = 0x80
			xor(&s.in, &p.k2)
		}
		xor(&s.in, &s.v)
		p.mac.Encrypt(s.v[:], s.in[:])
		if last {
			return
		}
	}
}

// counter makes the first counter of CTR from the synthetic vector in s.v: two
// bits are cleared, so that adding to the last 32 bits carries no further
// (RFC 5297, section 2.5).
func counter(s *scratch) {
	s.v[8] &= 0x7f
	s.v[12] &= 0x7f
}

// next leaves the next block of the key stream in s.stream.
func next(p *prepared, s *scratch) {
	p.ctr.Encrypt(s.stream[:], s.v[:])
	binary.BigEndian.PutUint32(s.v[12:], binary.BigEndian.Uint32(s.v[12:])+1)
}

// double multiplies by x in the field of RFC 5297, section 2.3, in constant
// time.
func double(b block) block {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	carry := hi >> 63
	binary.BigEndian.PutUint64(b[:8], hi<<1|lo>>63)
	binary.BigEndian.PutUint64(b[8:], lo<<1^carry*0x87)
	return b
}

func xor(a, b *block) {
	binary.NativeEndian.PutUint64(a[:8], binary.NativeEndian.Uint64(a[:8])^binary.NativeEndian.Uint64(b[:8]))
	binary.NativeEndian.PutUint64(a[8:], binary.NativeEndian.Uint64(a[8:])^binary.NativeEndian.Uint64(b[8:]))
}
