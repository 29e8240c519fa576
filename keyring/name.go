package keyring

import (
	"fmt"

	"github.com/rahasia/rahasia/keyring/internal/name"
)

// maxSubject is the longest subject id, in bytes.
const maxSubject = 255

// controlKeyset is the keyset made with the ring and never rotated; from it
// come the index key and the keys that authenticate journal and tombstones.
const controlKeyset = name.Control

func isCompartment(s string) bool { return name.Compartment(s) }

// checkKeyset refuses what is not the name of a compartment or a domain.
func checkKeyset(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("keyring: keyset name: %w", ErrEmpty)
	case s == controlKeyset:
		return fmt.Errorf("keyring: keyset %q is reserved: %w", s, ErrName)
	case !name.Keyset(s):
		// Not quoted: a caller may have mixed up its arguments.
		return fmt.Errorf("keyring: keyset name of %d bytes is neither a compartment nor a domain: %w", len(s), ErrName)
	}
	return nil
}

func checkRing(id string) error {
	if id == "" {
		return fmt.Errorf("keyring: ring id: %w", ErrEmpty)
	}
	if !name.Ring(id) {
		return fmt.Errorf("keyring: ring id is not 1 to %d of [A-Za-z0-9._-]: %w", name.MaxRing, ErrName)
	}
	return nil
}

func checkSubject(subject string) error {
	if subject == "" {
		return fmt.Errorf("keyring: subject id: %w", ErrEmpty)
	}
	if len(subject) > maxSubject {
		return fmt.Errorf("keyring: subject id is longer than %d bytes: %w", maxSubject, ErrName)
	}
	return nil
}
