package pseudo

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"

	"github.com/rahasia/rahasia/internal/secret"
)

// A mac is a prepared HMAC-SHA-256 (RFC 2104). It is secret.MAC with room for
// the value in the pooled state: a string that is converted for the hash would
// be allocated, and a second pool for the buffer costs a tenth of the token.
// Like every holder of a key it is a closure, which nothing prints.
type mac struct {
	_    [0]func()
	pool func() *sync.Pool
}

type macState struct {
	h   hash.Hash
	in  [64]byte
	out [sha256.Size]byte
}

// newMAC prepares the MAC under key, which must hold one.
func newMAC(key secret.Key) mac {
	p := &sync.Pool{New: func() any { return &macState{h: hmac.New(sha256.New, secret.Expose(key))} }}
	return mac{pool: func() *sync.Pool { return p }}
}

// sum returns the first 16 bytes of the MAC of value. Nothing of value stays in
// the pool: neither in the buffer nor in the hash, which resetting overwrites.
func (m mac) sum(value string) (sum [macSize]byte) {
	p := m.pool()
	s := p.Get().(*macState)
	if len(value) <= len(s.in) {
		n := copy(s.in[:], value)
		s.h.Write(s.in[:n])
		clear(s.in[:n])
	} else {
		s.h.Write([]byte(value))
	}
	s.h.Sum(s.out[:0])
	s.h.Reset()
	copy(sum[:], s.out[:])
	p.Put(s)
	return sum
}
