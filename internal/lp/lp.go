// Package lp is the one encoding of a list of strings that rahasia feeds to a
// key derivation, a MAC or an AEAD: each part behind its length, so that two
// different lists never encode alike.
package lp

import "encoding/binary"

// MaxPart is the longest part, in bytes, that [Append] can encode.
const MaxPart = 1<<16 - 1

// Append appends each part to dst as its length in two bytes, big-endian, and
// then its bytes. A part longer than [MaxPart] is a programming error and
// panics: callers bound what they accept before they bind it.
func Append[S ~string | ~[]byte](dst []byte, parts ...S) []byte {
	for _, p := range parts {
		if len(p) > MaxPart {
			panic("lp: part too long") // truncating the length would let two lists encode alike
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(p)))
		dst = append(dst, p...)
	}
	return dst
}
