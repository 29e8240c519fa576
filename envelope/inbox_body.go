package envelope

import (
	"crypto/hkdf"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"

	"github.com/rahasia/rahasia/internal/secret"
)

// The body of an item is c2sp.org/chunked-encryption with AES-256-GCM and
// HKDF-SHA-512 of the whole content, in memory.
const (
	bodyLabel      = "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
	bodySalt       = 24
	bodyHeadSize   = bodySalt + 32
	bodyChunk      = 16 << 10
	bodyStride     = bodyChunk + overhead
	bodyKeyAndBase = secret.KeySize + idSize
)

// bodyHead is the salt and the commitment to the key.
type bodyHead [bodyHeadSize]byte

// bodyKey seals or opens the chunks of one body.
type bodyKey struct {
	aead secret.AEAD
	base func() [idSize]byte
}

// newBody returns the key of the body of this salt, and its head.
func newBody(input secret.Key, salt [bodySalt]byte, context []byte) (bodyKey, bodyHead) {
	info := make([]byte, 0, 2048)
	info = append(append(append(info, bodyLabel...), salt[:]...), context...)
	out, err := hkdf.Expand(sha512.New, secret.Expose(input), string(info), bodyKeyAndBase+bodyHeadSize-bodySalt)
	if err != nil {
		panic(err) // only for lengths that this is not
	}
	defer clear(out[:bodyKeyAndBase])
	key, err := secret.NewKey(out[:secret.KeySize])
	if err != nil {
		panic(err) // only for another size
	}
	aead, err := secret.NewAEAD(key)
	if err != nil {
		panic(err) // only for a zero key
	}
	base := [idSize]byte(out[secret.KeySize:])
	var head bodyHead
	copy(head[:], salt[:])
	copy(head[bodySalt:], out[bodyKeyAndBase:])
	return bodyKey{aead, func() [idSize]byte { return base }}, head
}

// openBody returns the key of the body that begins with head, unless that does
// not commit to this input key and context.
func openBody(input secret.Key, head bodyHead, context []byte) (bodyKey, bool) {
	key, want := newBody(input, [bodySalt]byte(head[:]), context)
	return key, subtle.ConstantTimeCompare(want[:], head[:]) == 1
}

// nonce returns the base nonce XOR the number of a chunk. Each number is sealed
// once under a key that is used for one body.
func (k *bodyKey) nonce(i int) []byte {
	n := k.base()
	low := n[idSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^uint64(i))
	return n[:]
}

// seal appends the chunks of content to dst.
func (k *bodyKey) seal(dst, content []byte) []byte {
	c := secret.Cipher(k.aead)
	for i := 0; ; i++ {
		n := min(len(content), bodyChunk)
		dst = c.Seal(dst, k.nonce(i), content[:n], nil)
		if n < bodyChunk {
			return dst
		}
		content = content[n:]
	}
}

// open returns the content in all of chunks, which has a valid length.
func (k *bodyKey) open(chunks []byte) (content []byte, ok bool) {
	c := secret.Cipher(k.aead)
	content = make([]byte, 0, len(chunks))
	for i := 0; ; i++ {
		n := min(len(chunks), bodyStride)
		var err error
		if content, err = c.Open(content, k.nonce(i), chunks[:n], nil); err != nil {
			clear(content)
			return nil, false
		}
		if n < bodyStride {
			return content, true
		}
		chunks = chunks[n:]
	}
}

// sealedBody returns the length of the chunks of a content of n bytes.
func sealedBody(n int) int { return n + (n/bodyChunk+1)*overhead }

// plainBody returns the length of the content in n bytes of chunks, or -1 if no
// content is that long.
func plainBody(n int) int {
	if n < 0 || n%bodyStride < overhead {
		return -1
	}
	return n - (n/bodyStride+1)*overhead
}
