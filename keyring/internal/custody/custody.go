// Package custody seals the keys of a retained subject to a custodian's public
// key, with HPKE (RFC 9180).
package custody

import (
	"bytes"
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/kek"
	"github.com/rahasia/rahasia/keyring/internal/name"
)

// The text forms of a custodian's key.
const (
	privatePrefix = "rahasia-custodian-key-v1:"
	publicPrefix  = "rahasia-custodian-v1:"
)

// label is of HPKE's info: ring, erasure tag.
const label = "rahasia/custody/v1"

// MaxGenerations is how many generations of one key a package can hold.
const MaxGenerations = 2

// ErrPackage is a package that is not one, or is another subject's.
var ErrPackage = errors.New("not this subject's custody package")

// The suite is MLKEM768-X25519, HKDF-SHA256, AES-256-GCM: hybrid, because what
// is kept for decades must outlast today's curves.
func kem() hpke.KEM   { return hpke.MLKEM768X25519() }
func kdf() hpke.KDF   { return hpke.HKDFSHA256() }
func aead() hpke.AEAD { return hpke.AES256GCM() }

// Private is a custodian's private key, behind a closure.
type Private struct{ key func() hpke.PrivateKey }

// Create makes a new private key in a new file with mode 0600.
func Create(path string) (Private, error) {
	seed, err := kek.CreateSecret(path, privatePrefix)
	if err != nil {
		return Private{}, err
	}
	return newPrivate(seed)
}

// Open reads what [Create] made.
func Open(path string) (Private, error) {
	seed, err := kek.OpenSecret(path, privatePrefix)
	if err != nil {
		return Private{}, err
	}
	return newPrivate(seed)
}

func newPrivate(seed secret.Key) (Private, error) {
	key, err := kem().NewPrivateKey(secret.Expose(seed))
	if err != nil {
		return Private{}, fmt.Errorf("keyring: custodian's key: %w", kek.ErrKEK)
	}
	return Private{func() hpke.PrivateKey { return key }}, nil
}

// IsZero reports whether there is no key.
func (p Private) IsZero() bool { return p.key == nil }

// Public returns the public key.
func (p Private) Public() Public { return Public{string(p.key().PublicKey().Bytes())} }

// Public is a custodian's public key: 1,216 bytes that were found to be one.
type Public struct{ raw string }

// Parse reads what [Public.String] returned.
func Parse(text string) (Public, error) {
	bad := fmt.Errorf("keyring: not a custodian's public key of version 1: %w", kek.ErrKEK)
	body, ok := strings.CutPrefix(text, publicPrefix)
	if !ok || strings.ContainsAny(body, "\r\n") {
		return Public{}, bad
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return Public{}, bad
	}
	if _, err := kem().NewPublicKey(raw); err != nil {
		return Public{}, bad
	}
	return Public{string(raw)}, nil
}

// IsZero reports whether there is no key.
func (p Public) IsZero() bool { return p.raw == "" }

// String returns the key as text.
func (p Public) String() string {
	if p.IsZero() {
		return publicPrefix
	}
	return publicPrefix + base64.RawURLEncoding.EncodeToString([]byte(p.raw))
}

// Keys are one compartment's keys, the newest generation first.
type Keys struct {
	Compartment string
	Generation  uint32 // of the first
	Keys        []secret.Key
}

func info(ring string, erasure [16]byte) []byte {
	return lp.Append(nil, label, ring, string(erasure[:]))
}

// Seal seals the keys of one subject, by ascending compartment.
func Seal(to Public, ring string, erasure [16]byte, keys []Keys) ([]byte, error) {
	public, err := kem().NewPublicKey([]byte(to.raw))
	if err != nil {
		return nil, fmt.Errorf("keyring: custodian's public key: %w", kek.ErrKEK)
	}
	plaintext := encode(keys)
	defer clear(plaintext)
	sealed, err := hpke.Seal(public, kdf(), aead(), info(ring, erasure), plaintext)
	if err != nil {
		return nil, fmt.Errorf("keyring: seal to the custodian: %w", kek.ErrKEK)
	}
	return sealed, nil
}

// Unseal returns the keys in a package.
func Unseal(with Private, ring string, erasure [16]byte, sealed []byte) ([]Keys, error) {
	if with.IsZero() {
		return nil, fmt.Errorf("keyring: custodian's key: %w", kek.ErrEmpty)
	}
	plaintext, err := hpke.Open(with.key(), kdf(), aead(), info(ring, erasure), sealed)
	if err != nil {
		return nil, fmt.Errorf("keyring: end retention: the custodian's key does not open the package: %w", kek.ErrKEK)
	}
	defer clear(plaintext)
	return decode(plaintext)
}

// encode writes, for each compartment: length(1) || name || generation(4) ||
// count(1) || count × 32 bytes.
func encode(keys []Keys) []byte {
	size := 0
	for _, k := range keys {
		size += 1 + len(k.Compartment) + 4 + 1 + len(k.Keys)*secret.KeySize
	}
	b := make([]byte, 0, size) // enough: growing would leave copies behind
	for _, k := range keys {
		b = append(append(b, byte(len(k.Compartment))), k.Compartment...)
		b = binary.BigEndian.AppendUint32(b, k.Generation)
		b = append(b, byte(len(k.Keys)))
		for _, key := range k.Keys {
			b = append(b, secret.Expose(key)...)
		}
	}
	return b
}

// decode accepts exactly what encode writes of one key or more. Its error quotes
// nothing.
func decode(b []byte) (all []Keys, err error) {
	for len(b) > 0 {
		k, rest, ok := decodeOne(b)
		if !ok || len(all) > 0 && all[len(all)-1].Compartment >= k.Compartment {
			return nil, fmt.Errorf("keyring: %w", ErrPackage)
		}
		all, b = append(all, k), rest
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("keyring: %w", ErrPackage)
	}
	return all, nil
}

func decodeOne(b []byte) (k Keys, rest []byte, ok bool) {
	n := int(b[0])
	if b = b[1:]; len(b) < n+5 {
		return k, nil, false
	}
	k.Compartment, k.Generation = string(bytes.Clone(b[:n])), binary.BigEndian.Uint32(b[n:])
	count := int(b[n+4])
	b = b[n+5:]
	if !name.Compartment(k.Compartment) || count < 1 || count > MaxGenerations || uint32(count) > k.Generation || len(b) < count*secret.KeySize {
		return k, nil, false
	}
	for i := range count {
		key, err := secret.NewKey(b[i*secret.KeySize:][:secret.KeySize])
		if err != nil {
			return k, nil, false
		}
		k.Keys = append(k.Keys, key)
	}
	return k, b[count*secret.KeySize:], true
}
