package kek

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/rahasia/rahasia/internal/secret"
)

// passphraseFormat starts what a passphrase wraps:
// format(1) || memory in KiB(4) || passes(4) || lanes(1) || salt(16) || nonce(12) || sealed.
const (
	passphraseFormat = 0x01
	passphraseHeader = 1 + 4 + 4 + 1 + saltSize
	saltSize         = 16
)

// The cost used is the second recommended option of RFC 9106, section 4, and
// it is the floor too: nothing cheaper was ever made here. The ceiling keeps an
// edited blob from exhausting the process before its authentication can fail.
const (
	argonMemory, argonMaxMemory = 64 << 10, 256 << 10 // KiB
	argonPasses, argonMaxPasses = 3, 10
	argonLanes, argonMaxLanes   = 4, 16
)

// maxSalts is how many derived keys a passphrase remembers; a ring has one.
const maxSalts = 16

// NewPassphrase returns a KEK derived from passphrase, which must not be empty,
// with Argon2id (RFC 9106).
func NewPassphrase(passphrase string) (*Passphrase, error) {
	if passphrase == "" {
		return nil, fmt.Errorf("keyring: passphrase: %w", ErrEmpty)
	}
	return &Passphrase{
		stretch: func(p argonParams) (secret.AEAD, error) {
			raw := argon2.IDKey([]byte(passphrase), p.salt[:], p.passes, p.memory, p.lanes, secret.KeySize)
			defer clear(raw)
			key, err := secret.NewKey(raw)
			if err != nil {
				return secret.AEAD{}, err
			}
			return secret.NewAEAD(key)
		},
		proved: map[argonParams]secret.AEAD{},
	}, nil
}

// argonParams are what besides the passphrase makes a key.
type argonParams struct {
	memory uint32 // KiB
	passes uint32
	lanes  uint8
	salt   [saltSize]byte
}

// Passphrase is a KEK that holds its passphrase only inside a closure.
type Passphrase struct {
	stretch func(argonParams) (secret.AEAD, error)

	mu     sync.Mutex // held while stretching: callers of one salt wait for one Argon2id
	proved map[argonParams]secret.AEAD
	params argonParams // to wrap with; zero until something was wrapped or unwrapped
}

// Wrap encrypts and authenticates plaintext with ad. It uses the salt of the ring's other keysets where it knows it, so that
// opening a ring costs one Argon2id.
func (k *Passphrase) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.params
	if p == (argonParams{}) {
		p = argonParams{memory: argonMemory, passes: argonPasses, lanes: argonLanes}
		rand.Read(p.salt[:])
	}
	a, err := k.aead(p)
	if err != nil {
		return nil, fmt.Errorf("keyring: passphrase: %w", ErrKEK)
	}
	k.keep(p, a)
	return sealUnder(a, p.header(), plaintext, ad)
}

// Unwrap returns what Wrap was given, or [ErrKEK].
func (k *Passphrase) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	p, sealed, err := parsePassphrase(wrapped)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	a, err := k.aead(p)
	if err != nil {
		return nil, fmt.Errorf("keyring: passphrase: %w", ErrKEK)
	}
	plaintext, err := openUnder(a, p.header(), sealed, ad)
	if err != nil {
		return nil, err
	}
	k.keep(p, a) // only now: a salt that an attacker chose opens nothing
	return plaintext, nil
}

func (k *Passphrase) aead(p argonParams) (secret.AEAD, error) {
	if a, ok := k.proved[p]; ok {
		return a, nil
	}
	return k.stretch(p)
}

func (k *Passphrase) keep(p argonParams, a secret.AEAD) {
	if k.params == (argonParams{}) {
		k.params = p
	}
	if len(k.proved) < maxSalts {
		k.proved[p] = a
	}
}

func (p argonParams) header() []byte {
	b := make([]byte, 0, passphraseHeader)
	b = append(b, passphraseFormat)
	b = binary.BigEndian.AppendUint32(b, p.memory)
	b = binary.BigEndian.AppendUint32(b, p.passes)
	b = append(b, p.lanes)
	return append(b, p.salt[:]...)
}

// parsePassphrase splits what Wrap made. Its errors quote nothing.
func parsePassphrase(wrapped []byte) (p argonParams, sealed []byte, err error) {
	if len(wrapped) < passphraseHeader || wrapped[0] != passphraseFormat {
		return p, nil, fmt.Errorf("keyring: not wrapped by a passphrase: %w", ErrKEK)
	}
	p.memory = binary.BigEndian.Uint32(wrapped[1:])
	p.passes = binary.BigEndian.Uint32(wrapped[5:])
	p.lanes = wrapped[9]
	copy(p.salt[:], wrapped[10:])
	if p.memory < argonMemory || p.memory > argonMaxMemory || p.passes < argonPasses || p.passes > argonMaxPasses ||
		p.lanes < 1 || p.lanes > argonMaxLanes {
		return argonParams{}, nil, fmt.Errorf("keyring: passphrase: Argon2id cost out of bounds: %w", ErrKEK)
	}
	return p, wrapped[passphraseHeader:], nil
}
