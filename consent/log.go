package consent

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/consent/internal/tally"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
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
	Action    string   // seal, accept, open, lookup, update, export, rebind, reidentify, translate, give, withdraw, unrepresent, review, receipt, retain, return, erase, start
	Type      string   // record type; the domain whose tokens were turned back
	Fields    []string // of the record; the kind of the tokens
	Withheld  []string
	Outcome   string // done, refused; completed or failed, of an act whose entry said done before; justified or unjustified, of a review
	Reason    Reason
	Decision  string // id of the decision; of a review, the one that it is about
	Recipient string // of an export; the domain that tokens were translated to

	Article       string // of the legal basis, where Reason is ByLaw; what a retention or an erasure before its time rests on
	Justification string // of an emergency, of tokens turned back, or of an export without a gate; the note of a review
	K             int    // that the table of an export must obey; 0: it had no gate
	Job           string // of a registered job
	Count         int    // of tokens that were turned back or translated

	// Keys are those that the act needed: by compartment, the version of its
	// keyset that wraps the patient's key.
	Keys map[string]uint32

	// Set by [Log.History] and [Config.AwaitingReview], which ask by subject, and by
	// [CheckExtract], only: in the log they die with the patient's keys.
	Subject, Record string
	Consents        []string // ids of the consents that decided, or were given or withdrawn
}

// logBody is an entry as it is sealed.
type logBody struct {
	Time      int64    `cbor:"1,keyasint"` // nanoseconds since 1970
	Actor     string   `cbor:"2,keyasint"`
	Role      string   `cbor:"3,keyasint,omitempty"`
	Purpose   Purpose  `cbor:"4,keyasint,omitempty"`
	Action    string   `cbor:"5,keyasint"`
	Type      string   `cbor:"6,keyasint,omitempty"`
	Fields    []string `cbor:"7,keyasint,omitempty"`
	Withheld  []string `cbor:"8,keyasint,omitempty"`
	Outcome   string   `cbor:"9,keyasint"`
	Reason    Reason   `cbor:"10,keyasint,omitempty"`
	Count     int      `cbor:"11,keyasint,omitempty"` // of tokens
	Decision  string   `cbor:"12,keyasint,omitempty"`
	Recipient string   `cbor:"13,keyasint,omitempty"`
	Ledger    uint64   `cbor:"14,keyasint,omitempty"` // events in the ledger that the decision knew
	Subject   []byte   `cbor:"15,keyasint,omitempty"` // patient, record and consents, sealed under the patient's audit key

	Article       string `cbor:"16,keyasint,omitempty"`
	Justification string `cbor:"17,keyasint,omitempty"`
	K             int    `cbor:"18,keyasint,omitempty"` // of an export's gate

	Job     string            `cbor:"20,keyasint,omitempty"`
	Patient []byte            `cbor:"21,keyasint,omitempty"` // the same in all entries of a patient; made of the audit key
	Keys    map[string]uint32 `cbor:"22,keyasint,omitempty"` // by compartment, the version that wraps the patient's key

	Journal     uint64 `cbor:"19,keyasint,omitempty"` // number and hash of the erasure journal's newest entry
	JournalHash []byte `cbor:"23,keyasint,omitempty"`

	under keyVersions // what Keys is written from
	text  []byte      // memory of sealRef
}

// OpenLog opens the log of ring in db, a SQLite or PostgreSQL database whose
// tables it makes where they are missing; with a nil db the log lives in memory
// and dies with the process. Its signed head must be there and match the tree's
// hashes: [ErrTampered] where not, where an older copy was put in its place, or
// where a trigger, a view or the like was planted among the tables.
// [Log.Verify] goes through the entries as well. A ring has one log, and the
// keyset "consent/log".
func OpenLog(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Log, error) {
	return openLog(ctx, ring,
		func() (*evidence.Tree, error) { return evidence.OpenTree(ctx, ring, db) },
		func() (*tally.Tally, error) { return tally.Open(ctx, db) })
}

// OpenLogDir is [OpenLog] over files in the folder at dir, for who has no SQL
// database: a device, a command. The folder is made if it is not there; its parent
// must be. It may be that of [OpenLedgerDir]. Processes of one machine may share
// it, not over a network file system; nothing is held open. Copy it for a backup
// while nothing writes. A log cannot be moved from a database to a folder or
// back: an empty one in the place of the ring's is [ErrTampered].
func OpenLogDir(ctx context.Context, ring *keyring.Ring, dir string) (*Log, error) {
	return openLog(ctx, ring,
		func() (*evidence.Tree, error) { return evidence.OpenTreeDir(ctx, ring, dir) },
		func() (*tally.Tally, error) { return tally.OpenDir(dir) })
}

func openLog(ctx context.Context, ring *keyring.Ring, openTree func() (*evidence.Tree, error), openTally func() (*tally.Tally, error)) (*Log, error) {
	if ring == nil {
		return nil, fmt.Errorf("consent: open log: %w", ErrConfig)
	}
	if _, err := ring.Keyset(ctx, evidence.TreeKeyset); err != nil {
		return nil, fmt.Errorf("consent: open log: %w", err)
	}
	t, err := openTree()
	if err != nil {
		return nil, fmt.Errorf("consent: open log: %w", err)
	}
	g, err := openReaches(ring, openTally)
	if err != nil {
		return nil, fmt.Errorf("consent: open log: %w", err)
	}
	return &Log{ring: ring, tree: func() *evidence.Tree { return t }, guard: func() *reaches { return g }}, nil
}

// leafFormat begins a leaf: kind 5, version 1.
const leafFormat = 0x51

// leafHead is the length of the format, the version of the key and the
// commitment.
const leafHead = 1 + 4 + sha256.Size

// logBuffers is the memory of one append. It is used again only when the tree
// has taken the leaves: who was not waited for may still read them.
type logBuffers struct {
	head   []byte
	plain  []byte
	bound  []byte
	sealed []byte
	leaves [][]byte
}

// maxKept is the largest buffer that is kept for the next call, in bytes.
const maxKept = 64 << 10

// append seals the bodies and returns when they are durable in the log.
func (l *Log) append(ctx context.Context, bodies ...*logBody) error {
	m, _ := l.buffers.Get().(*logBuffers)
	if m == nil {
		m = new(logBuffers)
	}
	err := l.seal(ctx, m, bodies)
	if err == nil {
		err = l.tree().Append(ctx, m.leaves...)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	if cap(m.sealed) <= maxKept {
		l.buffers.Put(m)
	}
	return nil
}

// seal makes leaves: format (1) || key version (4) || commitment (32) ||
// AES-256-GCM, random nonce.
func (l *Log) seal(ctx context.Context, m *logBuffers, bodies []*logBody) error {
	ks, err := l.ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return err
	}
	aead, err := ks.Sealer(ks.Primary(), labelLogSeal)
	if err != nil {
		return err
	}
	seq, hash, err := l.ring.JournalHead(ctx)
	if err != nil {
		return err
	}
	m.sealed, m.leaves = m.sealed[:0], m.leaves[:0]
	for _, b := range bodies {
		var at int
		m.plain, at = beginCommitment(m.plain[:0], labelLogCommit)
		m.plain = slices.Grow(b.appendTo(m.plain, seq, hash[:]), 128) // what padding may add
		sum := sha256.Sum256(m.plain)
		m.head = append(binary.BigEndian.AppendUint32(append(m.head[:0], leafFormat), ks.Primary()), sum[:]...)
		m.bound = l.bound(m.bound[:0], m.head)
		padded := evidence.Pad(m.plain[at:])
		n := len(m.sealed)
		m.sealed = secret.SealRandom(aead, append(m.sealed, m.head...), padded, m.bound)
		m.leaves = append(m.leaves, m.sealed[n:len(m.sealed):len(m.sealed)])
		clear(m.plain)
		clear(padded)
	}
	return nil
}

func (l *Log) open(ctx context.Context, leaf []byte) (*logBody, error) {
	opening, err := l.opening(ctx, leaf)
	if err != nil {
		return nil, err
	}
	return readLeaf(leaf, opening)
}

// opening returns what opens a leaf's commitment, which readLeaf checks.
func (l *Log) opening(ctx context.Context, leaf []byte) ([]byte, error) {
	if len(leaf) < leafHead || leaf[0] != leafFormat {
		return nil, ErrTampered
	}
	ks, err := l.ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return nil, err
	}
	aead, err := ks.Sealer(binary.BigEndian.Uint32(leaf[1:5]), labelLogSeal)
	if err != nil {
		return nil, err
	}
	plain, err := secret.OpenRandom(aead, nil, leaf[leafHead:], l.bound(nil, leaf[:leafHead]))
	if err != nil {
		return nil, ErrTampered
	}
	return evidence.Unpad(plain)
}

// readLeaf returns the entry that a leaf commits to. It needs no key, so a
// patient who is given both can do it.
func readLeaf(leaf, opening []byte) (*logBody, error) {
	if len(leaf) < leafHead || leaf[0] != leafFormat {
		return nil, ErrTampered
	}
	plain, ok := committed(labelLogCommit, leaf[5:leafHead], opening)
	if !ok {
		return nil, ErrTampered
	}
	b := new(logBody)
	if err := decode(plain, b); err != nil || b.Journal != 0 && len(b.JournalHash) != sha256.Size {
		return nil, ErrTampered
	}
	return b, nil
}

// bound is the associated data of a leaf, behind dst.
func (l *Log) bound(dst, head []byte) []byte {
	return append(lp.Append(dst, labelLogSeal, l.ring.ID()), head...)
}
