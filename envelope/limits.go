package envelope

import "math/bits"

// Limits of format version 1, checked before anything is allocated.
const (
	maxSections = 16
	maxFields   = 1024     // a section
	maxName     = 64       // bytes of a stored field name
	maxID       = 255      // bytes of a subject id, a record id and a record type
	maxTag      = 4 << 10  // bytes of a section's tag
	maxValue    = 16 << 20 // bytes of one encoded value
	maxRow      = 64 << 20
)

const (
	idSize   = 12 // of a seal id, which is a nonce of AES-GCM
	overhead = 16 // of an AES-GCM tag
	leadSize = 4 + overhead
)

// padded returns the length that a section of n bytes is brought to: the next
// multiple of 64 up to 1 KiB, and above that Padmé (Nikitin et al., "Reducing
// Metadata Leakage from Encrypted Files and Communication with PURBs", 2019,
// algorithm 1), which adds at most 12% and tells at most O(log log n) bits.
func padded(n int) int {
	if n <= 1024 {
		return (n + 63) &^ 63
	}
	e := bits.Len(uint(n)) - 1
	mask := 1<<(e-bits.Len(uint(e))) - 1
	return (n + mask) &^ mask
}
