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

// The cost used unless a caller chooses a higher one is the second recommended
// option of RFC 9106, section 4, and the floor of memory and passes too: nothing
// cheaper was ever made here. The ceiling keeps an edited blob from exhausting the
// process before its authentication can fail.
const (
	argonMemory, argonMaxMemory = 64 << 10, 256 << 10 // KiB
	argonPasses, argonMaxPasses = 3, 10
	argonLanes, argonMaxLanes   = 4, 16
)

// maxSalts is how many derived keys a passphrase remembers; a ring has one.
const maxSalts = 16

// Argon2id is a cost; package keyring exports it.
type Argon2id struct {
	Memory uint32
	Passes uint32
	Lanes  uint8
}

// NewPassphrase returns a KEK derived from passphrase, which must not be empty,
// with Argon2id (RFC 9106) at a cost that is at least the one given.
func NewPassphrase(passphrase string, cost Argon2id) (*Passphrase, error) {
	if passphrase == "" {
		return nil, fmt.Errorf("keyring: passphrase: %w", ErrEmpty)
	}
	if cost == (Argon2id{}) {
		cost = Argon2id{argonMemory, argonPasses, argonLanes}
	}
	if err := cost.check(); err != nil {
		return nil, err
	}
	return &Passphrase{
		stretch: func(p argonParams) (secret.AEAD, error) {
			raw := argon2.IDKey([]byte(passphrase), p.salt[:], p.cost.Passes, p.cost.Memory, p.cost.Lanes, secret.KeySize)
			defer clear(raw)
			key, err := secret.NewKey(raw)
			if err != nil {
				return secret.AEAD{}, err
			}
			return secret.NewAEAD(key)
		},
		cost:   cost,
		proved: map[argonParams]secret.AEAD{},
	}, nil
}

func (c Argon2id) check() error {
	if c.Memory < argonMemory || c.Memory > argonMaxMemory || c.Passes < argonPasses || c.Passes > argonMaxPasses ||
		c.Lanes < 1 || c.Lanes > argonMaxLanes {
		return fmt.Errorf("keyring: passphrase: Argon2id cost out of bounds: %w", ErrKEK)
	}
	return nil
}

// below reports whether c falls short of o in memory or in passes. Lanes divide
// the same work, and are no cost.
func (c Argon2id) below(o Argon2id) bool { return c.Memory < o.Memory || c.Passes < o.Passes }

// argonParams are what besides the passphrase makes a key.
type argonParams struct {
	cost Argon2id
	salt [saltSize]byte
}

// Passphrase is a KEK that holds its passphrase only inside a closure.
type Passphrase struct {
	stretch func(argonParams) (secret.AEAD, error)

	mu     sync.Mutex // held while stretching: callers of one salt wait for one Argon2id
	proved map[argonParams]secret.AEAD
	cost   Argon2id    // the least to wrap at: what was chosen, and not below anything that was unwrapped
	params argonParams // to wrap with, unless below cost
}

// Wrap encrypts and authenticates plaintext with ad. It uses the salt of the ring's other keysets where it knows it, so that
// opening a ring costs one Argon2id, unless that salt was made at a lower cost. It
// never goes below what it unwrapped.
func (k *Passphrase) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.params
	if p.cost.below(k.cost) {
		p = argonParams{cost: k.cost}
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

// Older reports whether wrapped, which it unwrapped, was made at a lower cost than
// it wraps at.
func (k *Passphrase) Older(wrapped []byte) bool {
	p, _, err := parsePassphrase(wrapped)
	k.mu.Lock()
	defer k.mu.Unlock()
	return err == nil && p.cost.below(k.cost)
}

func (k *Passphrase) aead(p argonParams) (secret.AEAD, error) {
	if a, ok := k.proved[p]; ok {
		return a, nil
	}
	return k.stretch(p)
}

func (k *Passphrase) keep(p argonParams, a secret.AEAD) {
	k.cost.Memory, k.cost.Passes = max(k.cost.Memory, p.cost.Memory), max(k.cost.Passes, p.cost.Passes)
	if k.params.cost.below(k.cost) {
		k.params = p
	}
	if len(k.proved) < maxSalts {
		k.proved[p] = a
	}
}

func (p argonParams) header() []byte {
	b := make([]byte, 0, passphraseHeader)
	b = append(b, passphraseFormat)
	b = binary.BigEndian.AppendUint32(b, p.cost.Memory)
	b = binary.BigEndian.AppendUint32(b, p.cost.Passes)
	b = append(b, p.cost.Lanes)
	return append(b, p.salt[:]...)
}

// parsePassphrase splits what Wrap made. Its errors quote nothing.
func parsePassphrase(wrapped []byte) (p argonParams, sealed []byte, err error) {
	if len(wrapped) < passphraseHeader || wrapped[0] != passphraseFormat {
		return p, nil, fmt.Errorf("keyring: not wrapped by a passphrase: %w", ErrKEK)
	}
	p.cost = Argon2id{binary.BigEndian.Uint32(wrapped[1:]), binary.BigEndian.Uint32(wrapped[5:]), wrapped[9]}
	copy(p.salt[:], wrapped[10:])
	if err := p.cost.check(); err != nil {
		return argonParams{}, nil, err
	}
	return p, wrapped[passphraseHeader:], nil
}
