package envelope

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/internal/value"
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

	// ErrFormat: by its clear structure alone these bytes are no row, message,
	// item or reference to an object, whichever was expected, or not all of one.
	ErrFormat = fmt.Errorf("%w: malformed", ErrOpen)

	// ErrVersion: one of a format version, or an item with a KEM, that this package
	// does not know.
	ErrVersion = fmt.Errorf("%w: unknown format version", ErrOpen)

	// ErrTruncated: a sealed object ends before its length.
	ErrTruncated = fmt.Errorf("%w: object ends early", ErrOpen)

	// ErrState: a Writer without what was asked of it: closed, not yet, or in use
	// by another call.
	ErrState = errors.New("envelope: wrong state of an object's writer")

	// ErrEmpty: no record, or one without subject id, record id or type; no ring, no
	// name, no object, nothing to read or write: whatever a call cannot do without.
	ErrEmpty = errors.New("envelope: empty id, type or record")

	// ErrField: the type has no sealed field of this stored name. Subject, record
	// and clear fields are not sealed.
	ErrField = errors.New("envelope: unknown field")

	// ErrType: a field was stored with an encoding, or as a number, list or array of
	// a size, that its Go type does not read.
	ErrType = errors.New("envelope: stored type does not fit")

	// ErrValue: a Go value that its field's encoding cannot hold, such as text
	// that is not UTF-8 or a time outside the years 1 to 9999.
	ErrValue = errors.New("envelope: value cannot be sealed")

	// ErrCompartment: a field is stored in another compartment than its type
	// says now, a section is needed that a Reading does not hold, or a compartment
	// was named that is not there.
	ErrCompartment = errors.New("envelope: wrong compartment")

	// ErrLimit: a row, a value, a message, an item or an object larger than this
	// version's may be, a type with more fields, or an id, a name or a tag too long.
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

// unknownField says which of the names that a call was given is none. It does
// not quote it: who mixes up arguments may have passed a value.
func (c *core) unknownField(at int) error {
	names := make([]string, len(c.columns))
	for i := range c.columns {
		names[i] = c.columns[i].name
	}
	return fmt.Errorf("%w: type %q: name %d of those given; there are %s", ErrField, c.recordType, at+1, list(names))
}

// mistyped says what is stored where the column wants something else.
func (c *core) mistyped(col *column, stored value.Code) error {
	return fmt.Errorf("%w: stored as %v, and the type has %v", c.at(ErrType, col.name), stored, col.code)
}

// misplaced says where a field is that was looked for in its column's place.
func (x *reading) misplaced(col *column) error {
	for i := range x.sections {
		if x.sections[i].find(col.name) >= 0 {
			return fmt.Errorf("%w: stored in %q, and the type has it in %q",
				x.core.at(ErrCompartment, col.name), x.compartment(i), x.core.plan.Compartments[col.group])
		}
	}
	return x.core.at(ErrCompartment, col.name)
}

// homeless refuses a tag that would be dropped in silence.
func (c *core) homeless(compartments []string) error {
	return fmt.Errorf("%w: type %q: a tag for another; there are %s", ErrCompartment, c.recordType, list(compartments))
}

// list names at most 32.
func list(names []string) string {
	const most = 32
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "...")
	}
	return strings.Join(names, ", ")
}
