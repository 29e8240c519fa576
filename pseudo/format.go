package pseudo

import (
	"crypto/aes"
	"fmt"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/pseudo/ff1"
)

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
	// A NIK's number is encrypted as fifteen digits, until the result is the
	// number of a NIK too.
	rankDigits = 15
)

const decimal = "0123456789"

// newFormat returns the format of kind, NIK or BPJS, under one key version
// of a domain. key must be for this version, domain and kind alone. The errors
// are [ErrUnknownKind] and that of a zero key.
func newFormat(kind Kind, version uint32, key secret.Key) (*format, error) {
	if kind != NIK && kind != BPJS {
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
			return nil, fmt.Errorf("%w: want 13 digits", ErrNotRepresentable)
		}
		return f.cipher.AppendEncrypt(dst, nil, normal)
	}
	rank, ok := rankNIK(normal)
	if !ok {
		return nil, fmt.Errorf("%w: want a NIK", ErrNotRepresentable)
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
	var text [rankDigits]byte
	for i := rankDigits - 1; i >= 0; i-- {
		text[i] = '0' + byte(rank%10)
		rank /= 10
	}
	for {
		var err error
		if back {
			_, err = f.cipher.AppendDecrypt(text[:0], nil, string(text[:]))
		} else {
			_, err = f.cipher.AppendEncrypt(text[:0], nil, string(text[:]))
		}
		if err != nil {
			return 0, err
		}
		rank = 0
		for _, c := range text {
			rank = rank*10 + uint64(c-'0')
		}
		if rank < nikCount {
			return rank, nil
		}
	}
}
