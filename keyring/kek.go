package keyring

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"strings"
	"sync"

	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/rahasia/rahasia/keyring/internal/kek"
)

// KEK is a key-encryption key: it wraps keysets and never leaves its home, a
// key-management service, an HSM, a file or a memory of a passphrase. A ring
// calls it when it creates or rotates a keyset, once per process to load each
// one, and every few minutes to see whether it still may ([Config.Grace]); never
// for a record.
//
// Both methods bind associatedData, which the other must be given again; a KEK
// that does not is refused when it wraps: what it wrapped is then unwrapped once
// under other associated data, which must fail. Wrapping is authenticated and
// randomised. Errors must not contain the plaintext; the ring quotes those of
// Unwrap. Methods are safe for concurrent use, keep no slice that they are
// given, and return slices that are the caller's, to be overwritten.
type KEK interface {
	// Wrap returns plaintext, encrypted and authenticated together with
	// associatedData. A keyset is about 100 bytes a version, at most 27 KiB; a
	// service that takes only 4 KiB directly, as AWS KMS does, serves 39
	// versions. The result must not exceed 64 KiB.
	Wrap(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)
	// Unwrap returns what Wrap was given. The call's context ends after
	// 10 seconds at most where a keyset is loaded; an answer that comes later counts still.
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
func Passphrase(passphrase string) (KEK, error) { return PassphraseCost(passphrase, Argon2id{}) }

// Argon2id is the cost of a guess at a passphrase (RFC 9106). The zero value is
// that of [Passphrase].
type Argon2id struct {
	Memory uint32 // in KiB, 65,536 to 262,144
	Passes uint32 // 3 to 10
	Lanes  uint8  // 1 to 16; they share the memory, and make no guess dearer
}

// PassphraseCost is [Passphrase] at a higher cost. A cost out of bounds is
// [ErrKEK]. What was wrapped under the passphrase at another cost is unwrapped
// all the same; [Ring.Rewrap] under this KEK wraps anew what was wrapped with less
// memory or fewer passes. Nothing is ever wrapped at a lower cost than what the
// KEK has unwrapped.
func PassphraseCost(passphrase string, cost Argon2id) (KEK, error) {
	k, err := kek.NewPassphrase(passphrase, kek.Argon2id(cost))
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

// OpenKeyFile returns the KEK in a file that [CreateKeyFile] made. A file that
// others than its owner may use at all, or whose content has another form, is
// [ErrKEK].
func OpenKeyFile(path string) (KEK, error) {
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
	first := k.keks()[0]
	if first == nil {
		return nil, fmt.Errorf("keyring: no KEK to wrap with: %w", ErrKEK)
	}
	return first.Wrap(ctx, plaintext, ad)
}

func (k anyKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	var failed []string
	for _, kek := range k.keks() {
		if kek == nil {
			failed = append(failed, "no KEK")
			continue
		}
		plaintext, err := kek.Unwrap(ctx, bytes.Clone(wrapped), bytes.Clone(ad))
		if err == nil {
			return plaintext, nil
		}
		failed = append(failed, err.Error())
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrKEK, strings.Join(failed, "; "))
}

// writer returns the KEK that wraps where k has more than one that unwraps.
func writer(k KEK) KEK {
	switch k := k.(type) {
	case anyKEK:
		return writer(k.keks()[0])
	case meteredKEK:
		return meteredKEK{writer(k.KEK), k.metrics}
	case namedKEK:
		return namedKEK{writer(k.KEK), k.name}
	}
	return k
}

// outdated reports whether a KEK that unwraps wrapped would now wrap it in a
// stronger form.
func outdated(k KEK, wrapped []byte) bool {
	switch k := writer(k).(type) {
	case meteredKEK:
		return outdated(k.KEK, wrapped)
	case namedKEK:
		return outdated(k.KEK, wrapped)
	case *kek.Passphrase:
		return k.Older(wrapped)
	}
	return false
}

// namedKEK says in errors which KEK failed, where two are called.
type namedKEK struct {
	KEK
	name string
}

// by returns what an error says of the KEK.
func by(k KEK) string {
	if named, ok := k.(namedKEK); ok {
		return " by " + named.name
	}
	return ""
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
// also refuses a KEK that leaves one of the keys readable, and one that gives
// the plaintext back to whoever names another keyset.
func wrapProved(ctx context.Context, kek KEK, name string, plaintext []byte, keys [][]byte, ad []byte) ([]byte, error) {
	kek = writer(kek) // which must do it alone
	bad := func(what string) error {
		return fmt.Errorf("keyring: wrap keyset %q%s%s: %w", name, by(kek), what, ErrKEK)
	}
	wrapped, err := prompt(ctx, func() ([]byte, error) { return kek.Wrap(ctx, bytes.Clone(plaintext), bytes.Clone(ad)) })
	if ctx.Err() != nil {
		return nil, fmt.Errorf("keyring: wrap keyset %q%s: %w", name, by(kek), ctx.Err())
	} else if err != nil {
		return nil, bad("") // The cause is not quoted: this KEK was given the keys.
	}
	for _, k := range keys {
		if bytes.Contains(wrapped, k) {
			return nil, bad(": the result contains a key")
		}
	}
	if len(wrapped) > maxWrapped {
		return nil, bad(fmt.Sprintf(": %d bytes, more than %d", len(wrapped), maxWrapped))
	}
	if opensUnbound(ctx, kek, wrapped, ad) {
		return nil, bad(": it does not bind the associated data")
	}
	// After that probe, so that a KEK which fails at everything by now fails here.
	back, err := unwrap(ctx, kek, name, wrapped, ad)
	if err != nil && ctx.Err() == nil {
		return nil, bad(": it does not unwrap again") // again without the cause
	} else if err != nil {
		return nil, err
	}
	defer clear(back)
	if subtle.ConstantTimeCompare(back, plaintext) != 1 {
		return nil, bad(": unwraps to something else")
	}
	return bytes.Clone(wrapped), nil
}

// opensUnbound reports whether kek unwraps under associated data that differ in
// their last byte, and so are no keyset's: names are ASCII. Where there are none,
// for Tink's readers, nothing is bound.
func opensUnbound(ctx context.Context, kek KEK, wrapped, ad []byte) bool {
	if len(ad) == 0 {
		return false
	}
	other := bytes.Clone(ad)
	other[len(other)-1] ^= 0x80
	plaintext, err := prompt(ctx, func() ([]byte, error) { return kek.Unwrap(ctx, bytes.Clone(wrapped), other) })
	clear(plaintext)
	return err == nil
}

// lateKEK is a KEK whose answer counts although the context has ended meanwhile.
type lateKEK struct{ KEK }

// prompt returns what a KEK answers, or gives up when the context ends, of which
// not every client hears: see [TinkAEAD]. A panic is an error: of it nobody knows
// what it holds.
func prompt(ctx context.Context, do func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		b   []byte
		err error
	}
	answers := make(chan answer)
	go func() {
		a := answer{err: fmt.Errorf("keyring: the KEK panicked: %w", ErrKEK)}
		defer func() {
			_ = recover()
			select {
			case answers <- a:
			case <-ctx.Done():
				clear(a.b) // nobody waits for it
			}
		}()
		a.b, a.err = do()
	}()
	select {
	case a := <-answers:
		return a.b, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func unwrap(ctx context.Context, kek KEK, name string, wrapped, ad []byte) ([]byte, error) {
	call := func() ([]byte, error) { return kek.Unwrap(ctx, bytes.Clone(wrapped), bytes.Clone(ad)) }
	var plaintext []byte
	var err error
	if _, late := kek.(lateKEK); late {
		plaintext, err = call()
	} else {
		plaintext, err = prompt(ctx, call)
	}
	switch {
	case err == nil:
		return plaintext, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("keyring: unwrap keyset %q%s: %w", name, by(kek), ctx.Err())
	}
	return nil, fmt.Errorf("keyring: unwrap keyset %q%s: %w: %v", name, by(kek), ErrKEK, err)
}
