package keyring

import (
	"errors"

	"github.com/rahasia/rahasia/keyring/internal/journal"
	"github.com/rahasia/rahasia/keyring/internal/kek"
	"github.com/rahasia/rahasia/keyring/internal/state"
)

// The errors of this package. Each is wrapped with the stage, the keyset, the
// version or the generation it concerns, and never with a subject id, a key
// or a value. Errors of a [Store] are wrapped too, so that errors.Is finds
// them; errors of a [KEK] are only quoted.
var (
	// ErrName is a ring id, a keyset name, a subject id or a basis that breaks its
	// grammar, or a date, a place or a count out of bounds: the text before it says which.
	ErrName = errors.New("malformed name")
	// ErrEmpty is an argument that must not be empty and is: fail closed.
	ErrEmpty = kek.ErrEmpty
	// ErrExists is a ring, a keyset or a key file that is there already.
	ErrExists = kek.ErrExists
	// ErrNoRing is a store in which no ring was created.
	ErrNoRing = errors.New("no ring in this store")
	// ErrNoKeyset is a keyset that was never created in this ring.
	ErrNoKeyset = errors.New("no such keyset")
	// ErrNotGranted is a keyset that this view of the ring, made by [Ring.Only], does not hold.
	ErrNotGranted = errors.New("keyset not granted")
	// ErrKEK is a key-encryption key that is missing, wrong, unreachable or unsafe, or
	// a custodian's key that is not one or not the right one.
	ErrKEK = kek.ErrKEK
	// ErrNoSubjectKey is a subject that never had a key in that compartment.
	ErrNoSubjectKey = errors.New("no subject key")
	// ErrShredded is a subject that was erased by [Ring.Shred].
	ErrShredded = errors.New("subject erased")
	// ErrRetained is a subject whose keys are with the custodian; see [RetainedError].
	ErrRetained = errors.New("subject retained")
	// ErrUnknownVersion is a keyset version that is not there or not enabled.
	ErrUnknownVersion = state.ErrUnknownVersion
	// ErrState is a change of a version's or a subject's state that is not legal, or not yet.
	ErrState = state.ErrState
	// ErrInUse is a keyset version that still wraps subject keys.
	ErrInUse = errors.New("keyset version in use")
	// ErrUnknownGeneration is a subject key generation that is not there.
	ErrUnknownGeneration = errors.New("unknown key generation")
	// ErrCorrupt is a stored record or a journal that was changed outside this package.
	ErrCorrupt = journal.ErrCorrupt
	// ErrForeign is a keyset to import that a ring cannot hold; see [Ring.ImportKeyset].
	ErrForeign = errors.New("not a keyset that a ring can hold")
	// ErrConflict is a store that changed under a writer that did not share its journal.
	ErrConflict = errors.New("store changed meanwhile")
	// ErrRolledBack is a store older than its journal, see [Replay], or one row of it
	// older than a rekeying or the end of a retention.
	ErrRolledBack = errors.New("store is older than its journal")
	// ErrJournalLost is a journal that is missing, or older than its store; see [Reseed].
	ErrJournalLost = errors.New("journal is missing or older than its store")
	// ErrClosed is a ring after [Ring.Close].
	ErrClosed = errors.New("ring is closed")
)
