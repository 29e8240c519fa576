// Package ff1 is the format-preserving cipher FF1 of NIST SP 800-38G: it
// encrypts a text over an alphabet, such as the ten digits, to another text of
// the same length over the same alphabet.
//
// It is for columns and partners that accept nothing but sixteen digits. Where
// any text will do, a token of package pseudo is the better stand-in, because
// FF1 has nothing to spare: equal texts under one key and tweak have equal
// results, the length shows, nothing is authenticated, so that every text of
// the right form decrypts to something, and who holds the key can reverse it.
// An encrypted number may be the true number of somebody else.
//
// # What is refused
//
// The alphabet is stated in full and in order: no result depends on a radix
// alone, and a character outside it is an error. A text must be long enough for
// 1,000,000 different ones, which the drafts of SP 800-38G's first revision
// demand and the edition of 2016 recommends; below it a cipher of this kind
// can be broken. FF3 and FF3-1 are broken and not here.
//
// # Timing
//
// The time of a call depends on the lengths of text and tweak, and the
// processor's division may let it depend a little on the text. It does not
// depend on the key as long as the block cipher's does not.
package ff1

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
)

const (
	minDomain = 1_000_000 // how many texts of its length there must be
	maxLength = 4096      // characters of a text: the cost of one grows with the square of it
	maxTweak  = 1<<16 - 1 // bytes of a tweak
)

var (
	// ErrCipher is returned for a block cipher whose blocks have not 128
	// bits, and by a zero [Cipher].
	ErrCipher = errors.New("ff1: no block cipher with blocks of 128 bits")

	// ErrAlphabet is returned for an alphabet that is not 2 to 65,536
	// different characters.
	ErrAlphabet = errors.New("ff1: want an alphabet of 2 to 65,536 different characters")

	// ErrCharacter is returned for a text with a character that the alphabet
	// does not have.
	ErrCharacter = errors.New("ff1: a character is not in the alphabet")

	// ErrLength is returned for a text too short to have 1,000,000 others
	// of its length, for one of more than 4,096 characters and for a tweak of
	// more than 65,535 bytes.
	ErrLength = errors.New("ff1: text or tweak too short or too long")
)

// A Cipher is FF1 under one key and over one alphabet. It does not change and
// is safe for concurrent use; nothing prints its key. The zero Cipher returns
// [ErrCipher].
type Cipher struct {
	_        [0]func()
	alphabet *alphabet
	key      func() (cipher.Block, *sync.Pool) // a closure: a bare block prints its key schedule
}

// New returns FF1 with block, which must have blocks of 128 bits and which the
// standard wants to be AES of any key size, over the characters of alphabet,
// which stand for the digits 0, 1, 2, … in their order: 2 to 65,536 different
// Unicode code points. The key must be used for nothing else. It returns
// [ErrCipher] or [ErrAlphabet].
func New(block cipher.Block, alphabet string) (*Cipher, error) {
	if block == nil || block.BlockSize() != blockSize {
		return nil, ErrCipher
	}
	a, err := newAlphabet(alphabet)
	if err != nil {
		return nil, err
	}
	pool := &sync.Pool{New: func() any { return new(state) }}
	return &Cipher{alphabet: a, key: func() (cipher.Block, *sync.Pool) { return block, pool }}, nil
}

// Format writes a fixed text, whatever the verb.
func (c *Cipher) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "ff1.Cipher") }

// LogValue is a fixed text.
func (c *Cipher) LogValue() slog.Value { return slog.StringValue("ff1.Cipher") }

// AppendEncrypt appends the encryption of text to dst and returns the result:
// as many characters of the alphabet as text has. The tweak, which may be nil,
// is not secret; texts that are equal have unrelated encryptions under
// different tweaks. It returns [ErrCharacter] or [ErrLength] and then nothing.
func (c *Cipher) AppendEncrypt(dst, tweak []byte, text string) ([]byte, error) {
	return c.crypt(dst, tweak, text, false)
}

// AppendDecrypt appends to dst the text that [Cipher.AppendEncrypt] encrypts to
// text under the same tweak, with the same errors. Another key or tweak is not
// noticed: the result is then another text.
func (c *Cipher) AppendDecrypt(dst, tweak []byte, text string) ([]byte, error) {
	return c.crypt(dst, tweak, text, true)
}

func (c *Cipher) crypt(dst, tweak []byte, text string, decrypt bool) ([]byte, error) {
	if c == nil || c.key == nil {
		return nil, ErrCipher
	}
	if len(tweak) > maxTweak {
		return nil, ErrLength
	}
	block, pool := c.key()
	s := pool.Get().(*state)
	err := c.alphabet.read(s, text)
	if err == nil {
		s.crypt(block, c.alphabet, tweak, decrypt)
		dst = c.alphabet.append(dst, s.numerals)
	} else {
		dst = nil
	}
	s.clear()
	pool.Put(s)
	return dst, err
}
