// Package evidence keeps the two records of package consent that must not be
// changed unseen: the ledger's [Chain] of events, and the audit log's [Tree].
// It knows nothing about what events and leaves say.
//
// Both live in a SQLite or PostgreSQL database, whose tables are made where they
// are missing, in the files of a folder, or in memory, where the database given
// is nil.
package evidence

import "errors"

// ErrTampered is returned for a chain or tree that is not as it was written.
var ErrTampered = errors.New("changed by other hands")
