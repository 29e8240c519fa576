package consent

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"

	"github.com/rahasia/rahasia/internal/lp"
)

const (
	labelLogCommit = "rahasia/log-commitment/v1"
	labelLogNaming = "rahasia/log-naming/v1"
)

// saltSize keeps a commitment from being tried out: 128 bits, as RFC 9901
// (SD-JWT), 9.3, asks for.
const saltSize = 16

// commit returns SHA-256(lp(label) || salt || text), to stand beside a text that
// is sealed, and what opens it: salt || text, to be sealed. AES-GCM alone would
// let whoever holds the keys show two texts for one sealed entry.
func commit(label string, text []byte) (sum [sha256.Size]byte, opening []byte) {
	b, n := appendSalt(make([]byte, 0, 2+len(label)+saltSize+len(text)+128), label) // 128: what padding may add
	b = append(b, text...)
	return sha256.Sum256(b), b[n:]
}

// appendSalt appends lp(label) and a fresh salt to dst, which is empty, and returns
// where the salt begins: with a text behind it, the whole is what commit hashes,
// and from there on it is the opening.
func appendSalt(dst []byte, label string) (b []byte, opening int) {
	b = lp.Append(dst, label)
	opening = len(b)
	b = append(b, make([]byte, saltSize)...)
	_, _ = rand.Read(b[opening:]) // never fails
	return b, opening
}

// committed returns the text that sum commits to, if opening opens it.
func committed(label string, sum, opening []byte) (text []byte, ok bool) {
	if len(opening) < saltSize {
		return nil, false
	}
	b := lp.Append(make([]byte, 0, 2+len(label)+len(opening)), label)
	got := sha256.Sum256(append(b, opening...))
	return opening[saltSize:], bytes.Equal(got[:], sum)
}
