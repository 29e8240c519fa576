package keyring

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/rahasia/rahasia/keyring/internal/kek"
)

// KEK is a key-encryption key: it wraps keysets and never leaves its home, a
// key-management service, an HSM, a file or a memory of a passphrase. A ring
// calls it when it creates or rotates a keyset and once per process to load
// each one, never for a record.
//
// Both methods bind associatedData, which the other must be given again; a KEK
// that cannot bind it must not be used. Wrapping is authenticated and
// randomised. Errors must not contain the plaintext; the ring quotes those of
// Unwrap. Methods are safe for concurrent use, keep no slice that they are
// given, and return slices that are the caller's, to be overwritten.
type KEK interface {
	// Wrap returns plaintext, encrypted and authenticated together with
	// associatedData. A keyset is about 100 bytes a version, at most 27 KiB; a
	// service that takes only 4 KiB directly, as AWS KMS does, serves 39
	// versions. The result must not exceed 64 KiB.
	Wrap(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	// Unwrap returns what Wrap was given.
	Unwrap(ctx context.Context, wrapped, associatedData []byte) ([]byte, error)
}

// Passphrase returns a KEK derived from a passphrase with Argon2id (RFC 9106:
// 64 MiB, 3 passes, 4 lanes, a random salt), which takes about a tenth of a
// second and 64 MiB once per ring and process. What is wrapped carries cost and
// salt; a cost below this or far above it is [ErrKEK], and so is a wrong
// passphrase. The passphrase's bytes are taken as they are, without Unicode
// normalisation.
//
// An empty one is [ErrEmpty]; no other weakness is refused, and whoever has the
// store can guess at it for as long as they like: use a random one of at least
// 80 bits, or a key file, or a key service.
func Passphrase(passphrase string) (KEK, error) {
	k, err := kek.NewPassphrase(passphrase)
	if err != nil {
		return nil, err // not k: a nil pointer in an interface is not nil
	}
	return k, nil
}

// CreateKeyFile makes a new random key in a new file at path, readable by its
// owner alone (mode 0600), durable when it returns. A path that is there
// already is [ErrExists]; the folder must be there. Whoever reads the file and
// the store can open everything: keep it, and its backup, apart from the
// store's.
func CreateKeyFile(path string) (KEK, error) {
	k, err := kek.CreateKeyFile(path)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// KeyFile returns the KEK in a file that [CreateKeyFile] made. A file that
// others than its owner may use at all, or whose content has another form, is
// [ErrKEK].
func KeyFile(path string) (KEK, error) {
	k, err := kek.OpenKeyFile(path)
	if err != nil {
		return nil, err
	}
	return k, nil
}

// TinkAEAD returns a KEK that calls a, for Tink's local AEADs and for the
// integrations that offer no context, as that of HashiCorp Vault and OpenBao.
// The context of a call then reaches only the ring. With Tink's own kms.NewKMSEnvelopeAEAD
// it binds the associated data only to the inner layer, which suffices here.
func TinkAEAD(a tink.AEAD) KEK { return tinkKEK{func() tink.AEAD { return a }} }

// TinkAEADWithContext returns a KEK that calls a, for Tink's integrations of
// AWS KMS and Google Cloud KMS. docs/KEYS.md tells how to get one.
func TinkAEADWithContext(a tink.AEADWithContext) KEK {
	return tinkContextKEK{func() tink.AEADWithContext { return a }}
}

// The AEADs sit behind closures because a local one holds its key in fields
// that fmt would print.
type (
	tinkKEK        struct{ aead func() tink.AEAD }
	tinkContextKEK struct{ aead func() tink.AEADWithContext }
)

func (k tinkKEK) Wrap(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	return k.aead().Encrypt(plaintext, ad)
}

func (k tinkKEK) Unwrap(_ context.Context, wrapped, ad []byte) ([]byte, error) {
	return k.aead().Decrypt(wrapped, ad)
}

func (k tinkContextKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	return k.aead().EncryptWithContext(ctx, plaintext, ad)
}

func (k tinkContextKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	return k.aead().DecryptWithContext(ctx, wrapped, ad)
}

// AnyKEK returns a KEK that wraps with the first and unwraps with the first that
// can. Processes that go on while [Ring.Rewrap] moves keysets need both: give
// all of them AnyKEK(new, old), rewrap, then give them the new one alone. A call
// of the new one that fails costs one of the old.
func AnyKEK(first KEK, others ...KEK) KEK {
	return anyKEK{func() []KEK { return append([]KEK{first}, others...) }}
}

type anyKEK struct{ keks func() []KEK }

func (k anyKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	return k.keks()[0].Wrap(ctx, plaintext, ad)
}

func (k anyKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	var failed []error
	for _, kek := range k.keks() {
		plaintext, err := kek.Unwrap(ctx, bytes.Clone(wrapped), bytes.Clone(ad))
		if err == nil {
			return plaintext, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

// keks are the KEKs of a ring.
type keks struct {
	mu     sync.RWMutex // guards own
	common KEK
	own    map[string]KEK // by keyset name
}

// of returns the KEK of a keyset.
func (k *keks) of(name string) (KEK, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if own := k.own[name]; own != nil {
		return own, nil
	}
	if k.common == nil {
		return nil, fmt.Errorf("keyring: keyset %q has no KEK: %w", name, ErrKEK)
	}
	return k.common, nil
}

// set makes kek the KEK of a keyset.
func (k *keks) set(name string, kek KEK) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.own == nil {
		k.own = map[string]KEK{}
	}
	k.own[name] = kek
}

// wrapProved wraps plaintext and proves that the KEK gives it back: a keyset
// that nobody can unwrap again would lose every record sealed under it. It
// also refuses a KEK that leaves one of the keys readable.
func wrapProved(ctx context.Context, kek KEK, name string, plaintext []byte, keys [][]byte, ad []byte) ([]byte, error) {
	wrapped, err := kek.Wrap(ctx, bytes.Clone(plaintext), bytes.Clone(ad))
	if ctx.Err() != nil {
		return nil, fmt.Errorf("keyring: wrap keyset %q: %w", name, ctx.Err())
	} else if err != nil {
		// The cause is not quoted: this KEK was given the keys.
		return nil, fmt.Errorf("keyring: wrap keyset %q: %w", name, ErrKEK)
	}
	for _, k := range keys {
		if bytes.Contains(wrapped, k) {
			return nil, fmt.Errorf("keyring: wrap keyset %q: the result contains a key: %w", name, ErrKEK)
		}
	}
	if len(wrapped) > maxWrapped {
		return nil, fmt.Errorf("keyring: wrap keyset %q: %d bytes, more than %d: %w", name, len(wrapped), maxWrapped, ErrKEK)
	}
	back, err := unwrap(ctx, kek, name, wrapped, ad)
	if err != nil {
		return nil, err
	}
	defer clear(back)
	if subtle.ConstantTimeCompare(back, plaintext) != 1 {
		return nil, fmt.Errorf("keyring: wrap keyset %q: unwraps to something else: %w", name, ErrKEK)
	}
	return bytes.Clone(wrapped), nil
}

func unwrap(ctx context.Context, kek KEK, name string, wrapped, ad []byte) ([]byte, error) {
	plaintext, err := kek.Unwrap(ctx, bytes.Clone(wrapped), bytes.Clone(ad))
	if ctx.Err() != nil {
		return nil, fmt.Errorf("keyring: unwrap keyset %q: %w", name, ctx.Err())
	} else if err != nil {
		return nil, fmt.Errorf("keyring: unwrap keyset %q: %w: %v", name, ErrKEK, err)
	}
	return plaintext, nil
}
