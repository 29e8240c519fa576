package secret

import (
	"crypto/hmac"
	"crypto/sha512"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"
)

// Expander is a handle to a key that is prepared for HKDF-Expand (RFC 5869)
// with SHA-512. It is safe for concurrent use.
type Expander struct {
	_    [0]func()
	pool func() *sync.Pool
}

type expandState struct {
	h    hash.Hash
	info []byte
	out  [sha512.Size]byte
}

// NewExpander prepares HKDF-Expand under k, which must be uniformly random.
func NewExpander(k Key) (Expander, error) {
	if k.IsZero() {
		return Expander{}, ErrZero
	}
	p := &sync.Pool{New: func() any { return &expandState{h: hmac.New(sha512.New, Expose(k))} }}
	return Expander{pool: func() *sync.Pool { return p }}, nil
}

// IsZero reports whether e holds no key.
func (e Expander) IsZero() bool { return e.pool == nil }

// Format writes a fixed text, whatever the verb.
func (e Expander) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secret.Expander") }

// LogValue is a fixed text.
func (e Expander) LogValue() slog.Value { return slog.StringValue("secret.Expander") }

// Expand fills dst, of at most 255 times 64 bytes, with the output for info. It
// panics on a zero Expander.
func Expand(e Expander, dst, info []byte) {
	if e.pool == nil {
		panic(ErrZero)
	}
	if len(dst) > 255*sha512.Size {
		panic("secret: more than HKDF-Expand has")
	}
	p := e.pool()
	s := p.Get().(*expandState)
	s.info = append(append(s.info[:0], info...), 0) // the counter: T(i) = HMAC(key, T(i-1) || info || i)
	for i := 1; len(dst) > 0; i++ {
		s.h.Reset()
		if i > 1 {
			s.h.Write(s.out[:])
		}
		s.info[len(s.info)-1] = byte(i)
		s.h.Write(s.info)
		s.h.Sum(s.out[:0])
		dst = dst[copy(dst, s.out[:]):]
	}
	clear(s.out[:])
	p.Put(s)
}
