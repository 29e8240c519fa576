package consent

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/consent/internal/evidence"
)

// Errors that callers can act on. What keyring, envelope and pseudo return
// passes through wrapped: keyring.ErrShredded for an erased patient,
// keyring.ErrNotGranted, envelope.ErrOpen for a row that is not what was asked
// for, *pseudo.FormatError for a malformed identifier.
var (
	ErrConfig        = errors.New("the configuration lacks a ring, a ledger or a log of that ring")
	ErrHalf          = errors.New("a part of the folder or its key file is missing")
	ErrRequest       = errors.New("the request lacks its purpose, actor or recipient")
	ErrCode          = errors.New("not a known HL7 code")
	ErrNoBasis       = errors.New("no legal basis")
	ErrTag           = errors.New("the record's consent tag cannot be read")
	ErrLimit         = errors.New("too long, too many, or not UTF-8")
	ErrSubject       = errors.New("no subject id")
	ErrNoConsent     = errors.New("no such consent of this patient")
	ErrPeriod        = errors.New("a consent ends after it begins, and the ledger says when it was withdrawn")
	ErrExists        = errors.New("a consent of this id exists")
	ErrDenied        = errors.New("denied")
	ErrTokenMismatch = errors.New("the record is not the one that the lookup token names")
	ErrAudit         = errors.New("the audit entry could not be written")
	ErrReview        = errors.New("no emergency of this decision awaits a review by this one")
	ErrTampered      = evidence.ErrTampered
)

// DeniedError is a refusal of everything that was asked for. It is an
// [ErrDenied].
type DeniedError struct {
	Action   string  // open, lookup, update, export, rebind, reidentify, translate
	Type     string  // record type; the domain whose tokens were to be turned back
	Purpose  Purpose // of the request
	Reason   Reason
	Decision string // id of the decision in the audit log
}

// Error names action, record type, purpose and reason.
func (e *DeniedError) Error() string {
	return fmt.Sprintf("consent: %s %s for %s: denied: %s", e.Action, e.Type, e.Purpose, e.Reason)
}

// Is reports whether target is [ErrDenied].
func (e *DeniedError) Is(target error) bool { return target == ErrDenied }

// Withheld is a field that was not given, and why. In a [Table] it stands in
// the cell's place.
type Withheld struct {
	Field  string
	Reason Reason
}

// String is the text that a table shows: the field is withheld, not empty.
func (Withheld) String() string { return "(withheld)" }

// WithheldError is a partial answer: the fields it does not name were set, those
// it names are zero. Who accepts that says so with errors.As; who does not must
// treat it as a refusal, for a zero field is not an empty one.
type WithheldError struct {
	Type     string
	Purpose  Purpose
	Fields   []Withheld // in the type's order
	Decision string     // id of the decision in the audit log
}

// Error names the withheld fields, and no reason.
func (e *WithheldError) Error() string {
	names := make([]string, len(e.Fields))
	for i, w := range e.Fields {
		names[i] = w.Field
	}
	return fmt.Sprintf("consent: open %s for %s: withheld: %s", e.Type, e.Purpose, strings.Join(names, ", "))
}
