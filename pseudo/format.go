package pseudo

import (
	"crypto/aes"
	"errors"
	"fmt"
	"strconv"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/pseudo/ff1"
)

// ErrNotRepresentable is returned for a value that has no token of its own
// format: a NIK whose day or month is none.
var ErrNotRepresentable = errors.New("pseudo: the value has no token of its own format")

// A format makes stand-ins that look like what they stand for, for columns and
// partners that accept only digits: of a NIK sixteen digits that are never a
// NIK, of a BPJS number thirteen digits that look like any other. They are
// one-to-one, so that who holds the key can turn them back. A format is safe for
// concurrent use; its key is in a closure of the cipher.
type format struct {
	kind   Kind
	slot   uint32
	cipher *ff1.Cipher
}

const (
	bpjsDigits = 13

	// A NIK's number is encrypted as fifteen digits, until the result is the
	// number of a NIK too.
	rankDigits = 15
)

const decimal = "0123456789"

// newFormat returns the format of kind, "nik" or "bpjs", under one key version
// of a domain. key must be for this version, domain and kind alone. The errors
// are [ErrUnknownKind] and that of a zero key.
func newFormat(kind Kind, version uint32, key secret.Key) (*format, error) {
	if kind != NIK && kind != "bpjs" {
		return nil, ErrUnknownKind
	}
	if key.IsZero() {
		return nil, secret.ErrZero
	}
	block, err := aes.NewCipher(secret.Expose(key))
	if err != nil {
		return nil, err
	}
	c, err := ff1.New(block, decimal)
	if err != nil {
		return nil, err
	}
	return &format{kind: kind, slot: version % nikSlots, cipher: c}, nil
}

// seal returns the token of a canonical form, or [ErrNotRepresentable].
func (f *format) seal(normal string) (string, error) {
	var b [nikDigits]byte
	token, err := f.appendSeal(b[:0], normal)
	return string(token), err
}

// open returns the canonical form that a token of this version stands for, or
// [ErrToken] for what cannot be one. A NIK's token is of a version that is the
// same modulo three, which formatVersion tells; of a BPJS number's nothing tells
// that it is a token, or under which version.
func (f *format) open(token string) (string, error) {
	var b [nikDigits]byte
	normal, err := f.appendOpen(b[:0], token)
	return string(normal), err
}

// formatVersion returns the key version, modulo three, of a NIK's token, or
// false for any other text.
func formatVersion(token string) (slot uint32, ok bool) {
	_, slot, ok = rankNIKToken(token)
	return slot, ok
}

func (f *format) appendSeal(dst []byte, normal string) ([]byte, error) {
	if f.kind != NIK {
		if !isDigits(normal, bpjsDigits) {
			return nil, fmt.Errorf("%s: %w", f.kind, ErrNotRepresentable)
		}
		return f.cipher.AppendEncrypt(dst, nil, normal)
	}
	rank, ok := rankNIK(normal)
	if !ok {
		return nil, fmt.Errorf("%s: %w", f.kind, ErrNotRepresentable)
	}
	rank, err := f.walk(rank, false)
	if err != nil {
		return nil, err
	}
	return appendNIKToken(dst, rank, f.slot), nil
}

func (f *format) appendOpen(dst []byte, token string) ([]byte, error) {
	if f.kind != NIK {
		if !isDigits(token, bpjsDigits) {
			return nil, fmt.Errorf("%w: want 13 digits", ErrToken)
		}
		return f.cipher.AppendDecrypt(dst, nil, token)
	}
	rank, slot, ok := rankNIKToken(token)
	if !ok {
		return nil, fmt.Errorf("%w: not the token of a NIK", ErrToken)
	}
	if slot != f.slot {
		return nil, fmt.Errorf("%w: made under another key version", ErrToken)
	}
	rank, err := f.walk(rank, true)
	if err != nil {
		return nil, err
	}
	return appendNIK(dst, rank), nil
}

// walk returns where the cipher over fifteen digits leads from rank, going on
// until it is the number of a NIK: a permutation of the numbers of NIKs (cycle
// walking). It ends, because the cycle that rank is on leads back to rank, and
// takes 1.344 steps in the mean.
func (f *format) walk(rank uint64, back bool) (uint64, error) {
	var in, out [rankDigits]byte
	for {
		putDigits(in[:], rank)
		var err error
		if back {
			_, err = f.cipher.AppendDecrypt(out[:0], nil, string(in[:]))
		} else {
			_, err = f.cipher.AppendEncrypt(out[:0], nil, string(in[:]))
		}
		if err != nil {
			return 0, err
		}
		if rank, err = strconv.ParseUint(string(out[:]), 10, 64); err != nil || rank < nikCount {
			return rank, err
		}
	}
}

// putDigits writes x into all of dst in decimal.
func putDigits(dst []byte, x uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = '0' + byte(x%10)
		x /= 10
	}
}
