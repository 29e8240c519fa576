package consent

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"time"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/keyring"
)

// auditCompartment is the compartment that every opener is granted: a
// patient's key in it seals the patient's name in the log's entries, so
// erasing the patient leaves the log whole and the name gone.
const auditCompartment = "audit"

const (
	labelLogSeal    = "rahasia/log-entry/v1"
	labelLogSubject = "rahasia/log-subject/v1"
	labelLogPatient = "rahasia/log-patient/v1"
)

// Log is the audit log, a transparency log: its entries are the leaves of an
// RFC 6962 Merkle tree whose head is signed (Ed25519, C2SP checkpoint), so an
// entry can be proved to be in it, and once a [Log.Checkpoint] has left the
// house no entry can be changed, dropped or put in unseen. Without a checkpoint
// outside, whoever can write the database and sign can rewrite the whole.
//
// Entries are sealed. They hold who, why, which fields and how it ended, never
// a value; the patient is named under a key that dies with the patient's.
//
// A Log is safe for concurrent use; what several callers append at the same
// time is written together. Processes may share its database: what they write is
// durable at once, and whichever of them holds a lease gives it its place.
type Log struct {
	ring *keyring.Ring
	tree func() *evidence.Tree // a closure, so that what prints the log does not walk into it

	guard func() *reaches // lies beside the tree

	buffers sync.Pool // of *logBuffers
}

// Entry is one entry of the log.
type Entry struct {
	Index int64 // place in the log, from 0

	Time      time.Time
	Actor     string
	Role      string
	Purpose   Purpose
	Action    string // seal, accept, open, lookup, update, export, rebind, give, withdraw, unrepresent, review, retain, return, erase, start
	Type      string // record type
	Fields    []string
	Withheld  []string
	Outcome   string // done, refused; completed or failed, of an act whose entry said done before; justified or unjustified, of a review
	Reason    Reason
	Decision  string // id of the decision; of a review, the one that it is about
	Recipient string // of an export

	Article       string // of the legal basis, where Reason is ByLaw; what a retention or an erasure before its time rests on
	Justification string // of an emergency, or of an export without a gate; the note of a review
	K             int    // that the table of an export must obey; 0: it had no gate
	Job           string // of a registered job

	// Keys are those that the act needed: by compartment, the version of its
	// keyset that wraps the patient's key.
	Keys map[string]uint32

	// Set by [Log.History] and [Config.AwaitingReview] only, which ask by subject:
	// they die with the patient's keys.
	Subject, Record string
	Consents        []string // ids of the consents that decided, or were given or withdrawn
}

// OpenLog opens the log of ring in db, a SQLite or PostgreSQL database whose
// tables it makes where they are missing; with a nil db the log lives in memory
// and dies with the process. Its signed head must be there and match the tree's
// hashes: [ErrTampered] where not, where an older copy was put in its place, or
// where a trigger, a view or the like was planted among the tables.
// [Log.Verify] goes through the entries as well. A ring has one log, and the
// keyset "consent/log".
func OpenLog(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Log, error) {
	if ring == nil {
		return nil, fmt.Errorf("consent: open log: %w", ErrConfig)
	}
	if _, err := ring.Keyset(ctx, evidence.TreeKeyset); err != nil {
		return nil, fmt.Errorf("consent: open log: %w", err)
	}
	t, err := evidence.OpenTree(ctx, ring, db)
	if err != nil {
		return nil, fmt.Errorf("consent: open log: %w", err)
	}
	g, err := openReaches(ctx, ring, db)
	if err != nil {
		return nil, fmt.Errorf("consent: open log: %w", err)
	}
	return &Log{ring: ring, tree: func() *evidence.Tree { return t }, guard: func() *reaches { return g }}, nil
}
