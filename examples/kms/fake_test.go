package kms_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// What a key service answers besides a result.
var (
	errNoKey     = errors.New("no such key")
	errDenied    = errors.New("denied")
	errThrottled = errors.New("throttled")
	errInvalid   = errors.New("invalid ciphertext")
	errTooLong   = errors.New("plaintext too long")
)

// fake is the part that all the fake services share: keys by name, who may not
// use them, and what goes wrong. The services put it behind their protocols.
type fake struct {
	mu       sync.Mutex
	keys     map[string]cipher.AEAD
	denied   map[string]bool
	limit    int          // bytes of plaintext
	calls    atomic.Int32 // those that reached it
	throttle atomic.Int32 // so many calls are throttled next
	hang     atomic.Bool  // calls wait until the client gives up
	last     atomic.Value // the associated data of the last call, as the service understood it
}

// makeFake returns a service with keys of those names.
func makeFake(limit int, names ...string) (*fake, error) {
	f := &fake{keys: map[string]cipher.AEAD{}, denied: map[string]bool{}, limit: limit}
	for _, name := range names {
		key := make([]byte, 32)
		rand.Read(key)
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if f.keys[name], err = cipher.NewGCMWithRandomNonce(b); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func newFake(t testing.TB, limit int, names ...string) *fake {
	f, err := makeFake(limit, names...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// deny takes a key from the caller, as a policy does.
func (f *fake) deny(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[name] = true
}

func (f *fake) key(name string) (cipher.AEAD, error) {
	f.calls.Add(1)
	if f.throttle.Add(-1) >= 0 {
		return nil, errThrottled
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch a := f.keys[name]; {
	case a == nil:
		return nil, errNoKey
	case f.denied[name]:
		return nil, errDenied
	default:
		return a, nil
	}
}

func (f *fake) encrypt(name string, plaintext, ad []byte) ([]byte, error) {
	a, err := f.key(name)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > f.limit {
		return nil, errTooLong
	}
	f.last.Store(string(ad))
	return a.Seal(nil, nil, plaintext, ad), nil
}

func (f *fake) decrypt(name string, sealed, ad []byte) ([]byte, error) {
	a, err := f.key(name)
	if err != nil {
		return nil, err
	}
	f.last.Store(string(ad))
	plaintext, err := a.Open(nil, nil, sealed, ad)
	if err != nil {
		return nil, errInvalid
	}
	return plaintext, nil
}
