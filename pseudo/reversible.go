package pseudo

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/siv"
	"github.com/rahasia/rahasia/keyring"
)

// reversibleLabel names the derivation of the two keys of a domain's reversible
// tokens: PRF_v(label, domain, kind, normaliser version, "mac" or "ctr").
const reversibleLabel = "rahasia/reversible/v1"

// Reversible makes tokens of one domain that can be turned back into values,
// for a recipient whose findings must find their way to the patient. Where
// nobody will ever ask, use a [Domain]: what cannot be reversed cannot be
// stolen with the key either.
//
// Turning back is for an [Authority] to allow. A process that only makes tokens
// is given none; but it holds the key all the same, and whoever has the
// process's memory or the domain's keyset needs no authority. A reversible
// token outlives the erasure of a patient's keys: it dies with the keyset of
// its domain.
//
// It is safe for concurrent use and prints as the name of its domain. One that
// did not come from [OpenReversible] returns [ErrNoDomain].
type Reversible struct {
	domain    *Domain
	authorize func(context.Context, Reversal) error // a closure: printing must not walk into an Authority
	plan      atomic.Pointer[plan[reversibleKeys]]
}

// reversibleKeys are the keys of one version, each at the place of its kind.
type reversibleKeys struct {
	version uint32
	ciphers [kinds]siv.Cipher
	formats formats
}

// OpenReversible returns the reversible side of a domain, whose keyset must
// exist in ring. A [Domain] of the same name makes other tokens under keys of
// their own. With a nil authority it makes tokens and turns none back
// ([ErrNoAuthority]). The other errors are those of [Open].
func OpenReversible(ctx context.Context, ring *keyring.Ring, name string, authority Authority) (*Reversible, error) {
	d, err := Open(ctx, ring, name)
	if err != nil {
		return nil, err
	}
	r := &Reversible{domain: d}
	if authority != nil {
		r.authorize = authority.Authorize
	}
	if _, err := r.current(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Name returns the name of the domain.
func (r *Reversible) Name() string {
	if r == nil || r.domain == nil {
		return ""
	}
	return r.domain.name
}

// Format writes the name of the domain, whatever the verb.
func (r *Reversible) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "pseudo.Reversible("+r.Name()+")")
}

// LogValue is the name of the domain.
func (r *Reversible) LogValue() slog.Value {
	return slog.StringValue("pseudo.Reversible(" + r.Name() + ")")
}

// Token returns the reversible token of value under the primary key version:
// its canonical form, encrypted and authenticated by AES-256-SIV (RFC 5297).
// Equal values have equal tokens, and a token is as much longer as the value is.
//
// It returns the errors of [Kind.Normalize] and those of the ring.
func (r *Reversible) Token(ctx context.Context, kind Kind, value string) (ReversibleToken, error) {
	normal, place, err := kind.normalize(value)
	if err != nil {
		return ReversibleToken{}, err
	}
	p, err := r.current(ctx)
	if err != nil {
		return ReversibleToken{}, err
	}
	return p.keys[0].seal(place, normal), nil
}

// Tokens returns what [Reversible.Token] returns for each of values, in their
// order. A value that is refused does not keep the others from their tokens. A
// long list is worked off on all cores.
func (r *Reversible) Tokens(ctx context.Context, kind Kind, values []string) []Result[ReversibleToken] {
	p, err := r.current(ctx)
	return forEach(kind, values, err, func(place int, normal string) (ReversibleToken, error) {
		return p.keys[0].seal(place, normal), nil
	})
}

// Reversed is the value that one token of several stands for, or why it cannot
// be told. It prints, logs and is written as JSON without the value, so that a
// list of them in a log betrays nobody. What no method can stop: %p prints it, gob
// writes it, and fmt prints it in a field that is not exported of another type.
type Reversed struct {
	Value string // the canonical form, as confidential as what was given
	Err   error
}

// Format writes the error, or that there is a value.
func (v Reversed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.text()) }

// LogValue is the error, or that there is a value.
func (v Reversed) LogValue() slog.Value { return slog.StringValue(v.text()) }

// MarshalText returns the error, or that there is a value.
func (v Reversed) MarshalText() ([]byte, error) { return []byte(v.text()), nil }

func (v Reversed) text() string {
	if v.Err != nil {
		return "pseudo.Reversed(" + v.Err.Error() + ")"
	}
	return "pseudo.Reversed"
}

// Reverse returns the canonical form of what each of tokens stands for, in
// their order, after the authority has been asked once for all of them. Its
// refusal and [ErrNoAuthority] are the error, and then there are no values at
// all; so are [ErrUnknownKind] and the errors of the ring. It is not asked for
// an empty list.
//
// A token that this domain did not make for this kind, and a changed one, is
// [ErrToken] in its place; one of a version that cannot be read is
// [keyring.ErrUnknownVersion].
func (r *Reversible) Reverse(ctx context.Context, kind Kind, tokens []ReversibleToken) ([]Reversed, error) {
	p, place, err := r.begin(ctx, Reversal{Kind: kind, Count: len(tokens)})
	if err != nil || len(tokens) == 0 {
		return nil, err
	}
	results := make([]Reversed, len(tokens))
	inParts(len(tokens), func(from, to int) {
		for i := from; i < to; i++ {
			results[i].Value, results[i].Err = openToken(p, place, tokens[i])
		}
	})
	return results, nil
}

// Translate returns the tokens of another domain for what each of tokens stands
// for, in their order, so that two recipients' tables can be joined without
// anybody seeing the values. The authority of the domain that the tokens come
// from is asked once, and told the other domain's name. The errors are those of
// [Reversible.Reverse] and of [Domain.Token].
//
// Who may translate and also knows values can pair them with tokens of both
// domains.
func (r *Reversible) Translate(ctx context.Context, to *Domain, kind Kind, tokens []ReversibleToken) ([]Result[Token], error) {
	if _, err := to.current(ctx); err != nil {
		return nil, err
	}
	p, place, err := r.begin(ctx, Reversal{To: to.name, Kind: kind, Count: len(tokens)})
	if err != nil || len(tokens) == 0 {
		return nil, err
	}
	target, err := to.current(ctx) // as it is now: the authority may have taken its time
	if err != nil {
		return nil, err
	}
	results := make([]Result[Token], len(tokens))
	inParts(len(tokens), func(from, to int) {
		for i := from; i < to; i++ {
			normal, err := openToken(p, place, tokens[i])
			if err != nil {
				results[i].Err = err
				continue
			}
			results[i].Token = target.keys[0].token(place, normal)
		}
	})
	return results, nil
}

// begin is the one way to what turns tokens back: it asks the authority, and
// reads the keys after the answer, so that a version that was destroyed
// meanwhile opens nothing. Without tokens there is nothing to ask.
func (r *Reversible) begin(ctx context.Context, reversal Reversal) (p *plan[reversibleKeys], place int, err error) {
	if r == nil || r.domain == nil {
		return nil, 0, ErrNoDomain
	}
	if place, err = placeOf(reversal.Kind); err != nil {
		return nil, 0, err
	}
	if r.authorize == nil {
		return nil, 0, fmt.Errorf("%w: domain %q", ErrNoAuthority, r.Name())
	}
	if reversal.Count == 0 {
		return nil, 0, nil
	}
	reversal.Domain = r.Name()
	if err := r.authorize(ctx, reversal); err != nil {
		return nil, 0, fmt.Errorf("pseudo: domain %q: the authority refuses: %w", r.Name(), err)
	}
	p, err = r.current(ctx)
	return p, place, err
}

// placeOf returns the place of a kind in a plan, or why it has none.
func placeOf(kind Kind) (int, error) {
	known := all()
	if place := slices.Index(known[:], kind); place >= 0 {
		return place, nil
	}
	if kind.normalizer() != "" {
		return 0, ErrLowEntropy
	}
	return 0, ErrUnknownKind
}

func (r *Reversible) current(ctx context.Context) (*plan[reversibleKeys], error) {
	if r == nil || r.domain == nil {
		return nil, ErrNoDomain
	}
	return current(ctx, r.domain, &r.plan, newReversibleKeys)
}

func newReversibleKeys(version uint32, domain string, derive deriver) (k reversibleKeys, err error) {
	k.version = version
	for place, kind := range all() {
		mac, err := derive(reversibleLabel, kind, "mac")
		if err != nil {
			return reversibleKeys{}, err
		}
		ctr, err := derive(reversibleLabel, kind, "ctr")
		if err != nil {
			return reversibleKeys{}, err
		}
		if k.ciphers[place], err = siv.New(mac, ctr, lp.Append(nil, domain, string(kind))); err != nil {
			return reversibleKeys{}, err
		}
	}
	k.formats, err = newFormats(version, derive)
	return k, err
}

// seal returns the token of a canonical form of the kind at a place of all.
func (k *reversibleKeys) seal(place int, normal string) ReversibleToken {
	var buf [2 * inlineSize]byte
	return newReversibleToken(k.version, k.ciphers[place].Seal(buf[:0], normal))
}

// openToken returns the canonical form that t stands for as the kind at a place.
func openToken(p *plan[reversibleKeys], place int, t ReversibleToken) (string, error) {
	if t.IsZero() {
		return "", fmt.Errorf("%w: zero token", ErrToken)
	}
	keys, err := p.at(t.version)
	if err != nil {
		return "", err
	}
	var sealed, plain [2 * inlineSize]byte
	normal, err := keys.ciphers[place].Open(plain[:0], t.appendSealed(sealed[:0]))
	if err != nil {
		return "", fmt.Errorf("%w: this domain did not make it for this kind", ErrToken)
	}
	return string(normal), nil
}
