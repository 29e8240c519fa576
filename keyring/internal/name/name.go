// Package name holds the grammar of what a ring names: rings, compartments and
// domains. All are ASCII, without spaces, so that the journal can be text.
package name

import "strings"

// Control is the name of the keyset made with the ring and never rotated.
const Control = "ring"

// The bounds, in bytes.
const (
	MaxCompartment = 32
	MaxDomain      = 128
	MaxRing        = 64
)

// Compartment reports whether s names a compartment: [a-z][a-z0-9-]{0,31}, and
// not the control keyset.
func Compartment(s string) bool {
	if s == "" || len(s) > MaxCompartment || s == Control || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(lower(c) || digit(c) || c == '-') {
			return false
		}
	}
	return true
}

// Domain reports whether s names a domain: at least two segments of
// [A-Za-z0-9._-]+ joined by slashes, none of them "." or "..", so that a store
// may keep them as paths.
func Domain(s string) bool {
	if len(s) > MaxDomain || !strings.Contains(s, "/") {
		return false
	}
	for seg := range strings.SplitSeq(s, "/") {
		if !segment(seg) {
			return false
		}
	}
	return true
}

// Keyset reports whether s names a compartment or a domain.
func Keyset(s string) bool { return Compartment(s) || Domain(s) }

// Ring reports whether s is a ring's id: 1 to 64 of [A-Za-z0-9._-].
func Ring(s string) bool { return len(s) <= MaxRing && segment(s) }

func segment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(lower(c) || 'A' <= c && c <= 'Z' || digit(c) || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func digit(c byte) bool { return '0' <= c && c <= '9' }
