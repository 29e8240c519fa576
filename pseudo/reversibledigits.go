package pseudo

import (
	"context"
	"fmt"

	"github.com/rahasia/rahasia/keyring"
)

// digitsLabel names the derivation of the key of a domain's format-preserving
// tokens: PRF_v(label, domain, kind, normaliser version).
const digitsLabel = "rahasia/digits/v1"

// formats are the formats of one key version, each at the place of its kind;
// the other kinds have none.
type formats [kinds]*format

// hasDigits reports whether a kind has a format-preserving form.
func hasDigits(kind Kind) bool { return kind == NIK || kind == BPJS }

func newFormats(version uint32, derive deriver) (f formats, err error) {
	for place, kind := range all() {
		if !hasDigits(kind) {
			continue
		}
		key, err := derive(digitsLabel, kind)
		if err != nil {
			return formats{}, err
		}
		if f[place], err = newFormat(kind, version, key); err != nil {
			return formats{}, err
		}
	}
	return f, nil
}

// Digits returns the format-preserving token of value under the primary key
// version, for columns and partners that take nothing but digits (FF1, NIST SP
// 800-38G). Of a NIK it is 16 digits that are never a NIK and show nothing of
// region, date and sex. Of a BPJS number it is 13 digits that nothing tells from
// a BPJS number: label the column. Equal values have equal tokens. Nothing
// authenticates them: a mistyped token stands for another person. Where 37
// bytes fit, prefer [Reversible.Token].
//
// The token of a NIK carries its key version modulo three, that of a BPJS
// number none. So that it can be turned back, Digits returns [ErrVersions]
// while two readable versions of the domain look alike: for a NIK versions
// that are the same modulo three, for a BPJS number any two. A domain whose
// BPJS tokens are in use is not rotated but followed by another.
//
// A NIK whose day or month is none, and a kind that has no such form, is
// [ErrNotRepresentable]. The other errors are those of [Reversible.Token].
func (r *Reversible) Digits(ctx context.Context, kind Kind, value string) (string, error) {
	normal, place, err := kind.normalize(value)
	if err != nil {
		return "", err
	}
	p, err := r.current(ctx)
	if err != nil {
		return "", err
	}
	if err := canTell(p, kind, place); err != nil {
		return "", err
	}
	return p.keys[0].formats[place].seal(normal)
}

// DigitsAll returns what [Reversible.Digits] returns for each of values, in
// their order. A value that is refused does not keep the others from their
// tokens. A long list is worked off on all cores.
func (r *Reversible) DigitsAll(ctx context.Context, kind Kind, values []string) []Result[string] {
	p, err := r.current(ctx)
	return forEach(kind, values, err, func(place int, normal string) (string, error) {
		if err := canTell(p, kind, place); err != nil {
			return "", err
		}
		return p.keys[0].formats[place].seal(normal)
	})
}

// ReverseDigits returns what each of the format-preserving tokens stands for,
// in their order, under the rules of [Reversible.Reverse]. Text that cannot be a
// token of the kind is [ErrToken] in its place. What has the form of a token
// always stands for some value, whether this domain made it or not: check what
// you find before you act on it. [ErrVersions] and [ErrNotRepresentable] are as
// with [Reversible.Digits].
func (r *Reversible) ReverseDigits(ctx context.Context, kind Kind, digits []string) ([]Reversed, error) {
	if place, err := placeOf(kind); err != nil {
		return nil, err
	} else if p, err := r.current(ctx); err != nil {
		return nil, err
	} else if err := canTell(p, kind, place); err != nil {
		return nil, err // nothing to ask the authority for
	}
	p, place, err := r.begin(ctx, Reversal{Kind: kind, Count: len(digits)})
	if err != nil || len(digits) == 0 {
		return nil, err
	}
	if err := canTell(p, kind, place); err != nil {
		return nil, err
	}
	results := make([]Reversed, len(digits))
	inParts(len(digits), func(from, to int) {
		for i := from; i < to; i++ {
			results[i].Value, results[i].Err = openDigits(p, kind, place, digits[i])
		}
	})
	return results, nil
}

// canTell returns an error unless the kind at a place has a format and each of
// its tokens shows which readable version made it.
func canTell(p *plan[reversibleKeys], kind Kind, place int) error {
	if p.keys[0].formats[place] == nil {
		return fmt.Errorf("%w: want kind %s or %s, not %s", ErrNotRepresentable, NIK, BPJS, kind)
	}
	var taken [nikSlots]bool
	for i, version := range p.versions {
		slot := version % nikSlots
		if kind != NIK && i > 0 || taken[slot] {
			return fmt.Errorf("%w: domain %q, version %d", ErrVersions, p.domain, version)
		}
		taken[slot] = true
	}
	return nil
}

func openDigits(p *plan[reversibleKeys], kind Kind, place int, digits string) (string, error) {
	if kind != NIK {
		return p.keys[0].formats[place].open(digits)
	}
	slot, ok := formatVersion(digits)
	if !ok {
		return "", fmt.Errorf("%w: not the token of a NIK", ErrToken)
	}
	for i, version := range p.versions {
		if version%nikSlots == slot {
			return p.keys[i].formats[place].open(digits)
		}
	}
	return "", fmt.Errorf("pseudo: domain %q: no version is %d modulo %d: %w", p.domain, slot, nikSlots, keyring.ErrUnknownVersion)
}
