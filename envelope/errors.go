package envelope

import (
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/keyring"
)

// What can go wrong. Errors name the record type, the compartment, the field
// and the stage, and never a value or whose record it is.
var (
	// ErrOpen: a row or object does not open as the one that was asked for, a
	// message not in this topic, an item not in this inbox. A wrong key, another
	// subject, record, type or ring, a changed byte and a mixture of two are not
	// told apart. ErrFormat, ErrVersion and ErrTruncated are ErrOpen too, and so
	// are the errors of keyring for a key that only the row or reference names.
	ErrOpen = errors.New("envelope: does not open")

	// ErrFormat: by its clear structure alone these bytes are no row, message or
	// item, whichever was expected, or not all of one.
	ErrFormat = fmt.Errorf("%w: malformed", ErrOpen)

	// ErrVersion: one of a format version that this package does not know.
	ErrVersion = fmt.Errorf("%w: unknown format version", ErrOpen)

	// ErrTruncated: a sealed object ends before its length.
	ErrTruncated = fmt.Errorf("%w: object ends early", ErrOpen)

	// ErrState: a Writer without what was asked of it: closed, not yet, or in use
	// by another call.
	ErrState = errors.New("envelope: wrong state of an object's writer")

	// ErrEmpty: no record, or one without subject id, record id or type.
	ErrEmpty = errors.New("envelope: empty id, type or record")

	// ErrField: the type has no sealed field of this stored name.
	ErrField = errors.New("envelope: unknown field")

	// ErrType: a field was stored with an encoding that its Go type does not read.
	ErrType = errors.New("envelope: stored type does not fit")

	// ErrValue: a Go value that its field's encoding cannot hold, such as text
	// that is not UTF-8 or a time outside the years 1 to 9999.
	ErrValue = errors.New("envelope: value cannot be sealed")

	// ErrCompartment: a field is stored in another compartment than its type
	// says now, or a compartment was named that is not there.
	ErrCompartment = errors.New("envelope: wrong compartment")

	// ErrLimit: larger than a row, a message or an item of this version may be.
	ErrLimit = errors.New("envelope: over the limit")

	// ErrCredential: a file that is no credential of an intake, or one that others
	// than its owner may use.
	ErrCredential = errors.New("envelope: not a credential")

	// ErrReplayed: an item that was accepted before.
	ErrReplayed = errors.New("envelope: replayed")
)

// named are the errors of keyring for a key that the row alone asks for. The
// header is not authenticated yet, so what it names may be an attacker's.
var named = [...]error{keyring.ErrNoSubjectKey, keyring.ErrUnknownGeneration, keyring.ErrNoKeyset, keyring.ErrName}

// refused wraps an error of keyring met while opening.
func (c *core) refused(err error) error {
	for _, n := range named {
		if errors.Is(err, n) {
			return fmt.Errorf("%w: type %q: %w", ErrOpen, c.recordType, err)
		}
	}
	return fmt.Errorf("envelope: open type %q: %w", c.recordType, err)
}

// at says where an error of this package was met.
func (c *core) at(err error, field string) error {
	return fmt.Errorf("%w: type %q field %q", err, c.recordType, field)
}
