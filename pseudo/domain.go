package pseudo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/rahasia/rahasia/keyring"
)

// tokenLabel names the derivation of the key of a domain's tokens:
// PRF_v(label, domain, kind, normaliser version).
const tokenLabel = "rahasia/token/v1"

// A Domain makes the tokens of one recipient or one purpose. It is safe for
// concurrent use. A Domain that did not come from [Open] returns
// [ErrNoDomain].
type Domain struct {
	name   string
	keyset func(context.Context) (*keyring.Keyset, error) // a closure: printing a Domain must not walk a ring
	plan   atomic.Pointer[plan[tokenKeys]]
}

// tokenKeys are the keys of one version, each at the place of its kind.
type tokenKeys struct {
	version uint32
	macs    [kinds]mac
}

// Open returns the domain of a name, whose keyset must exist in ring: see
// [keyring.Ring.CreateKeyset]. A mistyped name makes no domain but
// [keyring.ErrNoKeyset]. A domain's name has a slash in it, which sets it
// apart from a compartment; an empty name and one without a slash are
// [ErrNoDomain]. Errors of the ring pass through.
func Open(ctx context.Context, ring *keyring.Ring, name string) (*Domain, error) {
	if ring == nil {
		return nil, fmt.Errorf("%w: no ring", ErrNoDomain)
	}
	if !strings.Contains(name, "/") {
		return nil, fmt.Errorf("%w: want a name with a slash, such as %q", ErrNoDomain, "research/ui-2026")
	}
	d := newDomain(ring, name)
	if _, err := d.current(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

func newDomain(ring *keyring.Ring, name string) *Domain {
	return &Domain{
		name:   name,
		keyset: func(ctx context.Context) (*keyring.Keyset, error) { return ring.Keyset(ctx, name) },
	}
}

// Name returns the name of the domain.
func (d *Domain) Name() string { return d.name }

// Format writes the name of the domain, whatever the verb.
func (d *Domain) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "pseudo.Domain("+d.name+")") }

// LogValue is the name of the domain.
func (d *Domain) LogValue() slog.Value { return slog.StringValue("pseudo.Domain(" + d.name + ")") }

// Token returns the token of value under the primary key version: 128 bits of
// HMAC-SHA-256 over the canonical form. Nothing turns it back into the value,
// but who holds the key or may call Token can try values out; equal values
// have equal tokens.
//
// It returns the errors of [Kind.Normalize] and those of the ring.
func (d *Domain) Token(ctx context.Context, kind Kind, value string) (Token, error) {
	normal, place, err := kind.normalize(value)
	if err != nil {
		return Token{}, err
	}
	p, err := d.current(ctx)
	if err != nil {
		return Token{}, err
	}
	return p.keys[0].token(place, normal), nil
}

// Tokens returns what [Domain.Token] returns for each of values, in their
// order. A value that is refused does not keep the others from their tokens. A
// long list is worked off on all cores.
func (d *Domain) Tokens(ctx context.Context, kind Kind, values []string) []Result[Token] {
	p, err := d.current(ctx)
	return forEach(kind, values, err, func(place int, normal string) (Token, error) {
		return p.keys[0].token(place, normal), nil
	})
}

// TokenAt returns the token of value under one key version: to check what was
// found by an older token. A version that cannot be read is
// [keyring.ErrUnknownVersion]; the other errors are those of [Domain.Token].
func (d *Domain) TokenAt(ctx context.Context, version uint32, kind Kind, value string) (Token, error) {
	normal, place, err := kind.normalize(value)
	if err != nil {
		return Token{}, err
	}
	p, err := d.current(ctx)
	if err != nil {
		return Token{}, err
	}
	keys, err := p.at(version)
	if err != nil {
		return Token{}, err
	}
	return keys.token(place, normal), nil
}

// Lookup returns the token of value under every readable key version, the
// primary first: to search a column that holds tokens of all of them. The
// errors are those of [Domain.Token]; there is never an empty result without
// an error.
//
// A rotation by another process is seen within 60 seconds, see
// [keyring.Ring.Keyset]. Until then what it has stored under its new version is
// not found: rotate a lookup domain while nobody depends on finding within a
// minute what another process has just written. The two columns of
// [Domain.Columns] have no such gap.
func (d *Domain) Lookup(ctx context.Context, kind Kind, value string) ([]Token, error) {
	normal, place, err := kind.normalize(value)
	if err != nil {
		return nil, err
	}
	p, err := d.current(ctx)
	if err != nil {
		return nil, err
	}
	tokens := make([]Token, len(p.keys))
	for i := range tokens {
		tokens[i] = p.keys[i].token(place, normal)
	}
	return tokens, nil
}

func (d *Domain) current(ctx context.Context) (*plan[tokenKeys], error) {
	if d == nil {
		return nil, ErrNoDomain
	}
	return current(ctx, d, &d.plan, newTokenKeys)
}

func newTokenKeys(version uint32, _ string, derive deriver) (k tokenKeys, err error) {
	k.version = version
	for place, kind := range all() {
		key, err := derive(tokenLabel, kind)
		if err != nil {
			return tokenKeys{}, err
		}
		k.macs[place] = newMAC(key)
	}
	return k, nil
}

// token returns the token of a canonical form of the kind at a place of all.
func (k *tokenKeys) token(place int, normal string) Token {
	return Token{version: k.version, mac: k.macs[place].sum(normal)}
}
