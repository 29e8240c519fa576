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

// beginCommitment begins a commitment in dst: the text is appended to what it
// returns. Then SHA-256 of it all is the commitment, which stands beside the text
// where that is sealed; and what begins at opening, salt || text, is what is
// sealed, and opens it. AES-GCM alone would let whoever holds the keys show two
// texts for one sealed entry.
func beginCommitment(dst []byte, label string) (b []byte, opening int) {
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
