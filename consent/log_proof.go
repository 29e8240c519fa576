package consent

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// VerifierKey returns the public key that checkpoints are signed with now, in
// the signed-note text form (https://c2sp.org/signed-note), for whoever keeps
// them outside.
func (l *Log) VerifierKey(ctx context.Context) (string, error) {
	vkey, err := l.tree().VerifierKey(ctx)
	if err != nil {
		return "", fmt.Errorf("consent: verifier key: %w", err)
	}
	return vkey, nil
}

// Checkpoint returns the log's signed head, a text of three lines and a
// signature. Kept by someone else, it is what makes the log proof against its
// owner. An empty log has none: nil.
func (l *Log) Checkpoint(ctx context.Context) ([]byte, error) {
	head, err := l.tree().Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("consent: checkpoint: %w", err)
	}
	return head, nil
}

// Extends checks the log against a checkpoint of it that was kept elsewhere: all
// entries that it covered are still there, unchanged and in place. It returns
// [ErrTampered] where they are not. This is what a checkpoint is kept for.
func (l *Log) Extends(ctx context.Context, checkpoint []byte) error {
	if err := l.tree().Extends(ctx, checkpoint); err != nil {
		return fmt.Errorf("consent: log against checkpoint: %w", err)
	}
	return nil
}

// Verify goes through the whole log: every entry opens under the log's keys,
// hashes to its leaf, and the leaves make the signed head. It returns the number of
// entries, or [ErrTampered] with the index of the first that does not hold; or
// keyring.ErrRolledBack where the erasure journal lacks what an entry knew of.
func (l *Log) Verify(ctx context.Context) (int64, error) {
	last := new(logBody) // of the journal, which processes know of at different times
	n, err := l.tree().Verify(ctx, func(leaf []byte) error {
		b, err := l.open(ctx, leaf)
		if err == nil && b.Journal > last.Journal {
			last = b
		}
		return err
	})
	if err == nil {
		err = l.journalHolds(ctx, last)
	}
	if err != nil {
		return 0, fmt.Errorf("consent: verify log: %w", err)
	}
	return n, nil
}

// Proof shows that an entry is in the log, to whoever has the checkpoint and
// the verifier key; it needs no other key and reveals nothing about the entry.
type Proof struct {
	Index      int64
	Leaf       []byte // the sealed entry
	Hashes     []tlog.Hash
	Checkpoint []byte
}

// Check verifies p under a verifier key: the checkpoint's signature and that
// the leaf stands at its index in that tree. [ErrTampered] where not.
func (p *Proof) Check(verifierKey string) error {
	if err := evidence.CheckProof(verifierKey, p.Index, p.Leaf, p.Hashes, p.Checkpoint); err != nil {
		return fmt.Errorf("consent: check proof: entry %d: %w", p.Index, err)
	}
	return nil
}

// Prove returns the proof that the entry at index is in the log.
func (l *Log) Prove(ctx context.Context, index int64) (*Proof, error) {
	p := &Proof{Index: index}
	var err error
	if p.Leaf, p.Hashes, p.Checkpoint, err = l.tree().Prove(ctx, index); err != nil {
		return nil, fmt.Errorf("consent: prove entry %d: %w", index, err)
	}
	return p, nil
}

// Consistency shows that the log of one checkpoint is the beginning of the
// other's: between them entries were only added. It needs no key but the
// verifier's, and reveals nothing about the entries.
type Consistency struct {
	Older, Newer []byte // checkpoints
	Hashes       []tlog.Hash
}

// Check verifies c under the keys that its checkpoints are signed with, one or,
// where the key was rotated in between, two. [ErrTampered] where it does not hold.
func (c *Consistency) Check(verifierKeys ...string) error {
	if err := evidence.CheckConsistent(verifierKeys, c.Older, c.Newer, c.Hashes); err != nil {
		return fmt.Errorf("consent: check consistency: %w", err)
	}
	return nil
}

// ProveConsistency returns the proof that between two checkpoints of the log
// entries were only added, for a witness who has both. [ErrTampered] where one of
// them is not this log's, or the older is the newer.
func (l *Log) ProveConsistency(ctx context.Context, older, newer []byte) (*Consistency, error) {
	hashes, err := l.tree().Consistent(ctx, older, newer)
	if err != nil {
		return nil, fmt.Errorf("consent: prove consistency: %w", err)
	}
	return &Consistency{slices.Clone(older), slices.Clone(newer), hashes}, nil
}

// History returns every entry that names the patient, in order: who looked,
// when, why and at what (UU PDP 27/2022, article 32). It goes through the whole
// log, and verifies every entry on the way. Lookups name no patient and are not
// in it. For a patient who was erased it returns keyring.ErrShredded: the
// entries are still there, and nobody can say any more whose they are; for one
// whom no entry ever named, keyring.ErrNoSubjectKey. For one who was rekeyed the
// entries from before end with keyring.Ring.EndRekey: keep their history first.
func (l *Log) History(ctx context.Context, subject string) ([]Entry, error) {
	keys, err := l.ring.Subject(ctx, subject, auditCompartment)
	if err != nil {
		return nil, fmt.Errorf("consent: history: %w", err)
	}
	openers, err := auditOpeners(keys[0])
	if err != nil {
		return nil, fmt.Errorf("consent: history: %w", err)
	}
	var out []Entry
	for b, err := range l.walk(ctx) {
		if err != nil {
			return nil, fmt.Errorf("consent: history: %w", err)
		}
		e := b.entry(b.index)
		named, err := e.name(openers, b.Subject, subject)
		if err != nil {
			return nil, fmt.Errorf("consent: history: %w", err)
		}
		if named {
			out = append(out, e)
		}
	}
	return out, nil
}

func (b *logBody) entry(i int64) Entry {
	return Entry{
		Index: i, Time: time.Unix(0, b.Time), Actor: b.Actor, Role: b.Role, Purpose: b.Purpose, Action: b.Action, Type: b.Type,
		Fields: b.Fields, Withheld: b.Withheld, Outcome: b.Outcome, Reason: b.Reason,
		Decision: b.Decision, Recipient: b.Recipient, Article: b.Article, Justification: b.Justification, K: b.K, Job: b.Job, Keys: b.Keys,
	}
}

const labelAuditKey = "rahasia/audit-key/v1"

func auditSealer(k *keyring.SubjectKey) (secret.AEAD, error) { return k.Sealer(labelAuditKey) }

// auditOpeners open what entries say of a patient: the key of now, and while the
// patient is being rekeyed the one before.
func auditOpeners(k *keyring.SubjectKey) ([]secret.AEAD, error) {
	newest, err := auditSealer(k)
	if err != nil {
		return nil, err
	}
	older, ok := k.DeriveOlder(labelAuditKey)
	if !ok {
		return []secret.AEAD{newest}, nil
	}
	before, err := secret.NewAEAD(older)
	return []secret.AEAD{newest, before}, err
}

// name completes e if its reference is the patient's, to whom openers belong.
func (e *Entry) name(openers []secret.AEAD, ref []byte, patient string) (is bool, err error) {
	for _, o := range openers {
		text, err := secret.OpenRandom(o, nil, ref, lp.Append(nil, labelLogSubject, e.Decision))
		if err != nil {
			continue // another patient's, or under the other key
		}
		parts, ok := parseRef(text)
		if !ok || parts[0] != patient {
			return false, ErrTampered
		}
		e.Subject, e.Record, e.Consents = parts[0], parts[1], parts[2:]
		return true, nil
	}
	return false, nil
}

// sealRef names patient, record and consents in an entry, under the patient's
// key: the ledger still knows whose a consent is when the patient is erased.
func (b *logBody) sealRef(k *keyring.SubjectKey, subject, record string, consents ...string) error {
	aead, err := auditSealer(k)
	if err != nil {
		return err
	}
	b.text = lp.Append(lp.Append(b.text[:0], subject, record), consents...)
	named := len(b.text)
	b.text = lp.Append(b.text, labelLogSubject, b.Decision)
	b.Subject = secret.SealRandom(aead, b.Subject[:0], b.text[:named], b.text[named:])
	clear(b.text)
	b.Patient = patientMark(k)
	return nil
}

// parseRef reads what sealRef wrote: at least patient and record.
func parseRef(b []byte) (parts []string, ok bool) {
	for len(b) > 0 {
		var part string
		if part, b, ok = cutPart(b); !ok {
			return nil, false
		}
		parts = append(parts, part)
	}
	return parts, len(parts) >= 2 && parts[0] != ""
}

func cutPart(b []byte) (part string, rest []byte, ok bool) {
	if len(b) < 2 {
		return "", nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return "", nil, false
	}
	return string(b[2:n]), b[n:], true
}

// newest returns what the newest entry knew of; nothing if there is none.
func (l *Log) newest(ctx context.Context) (b *logBody, err error) {
	b = new(logBody)
	err = l.tree().Last(ctx, func(leaf []byte) (err error) {
		b, err = l.open(ctx, leaf)
		return err
	})
	return b, err
}

// journalHolds refuses an erasure journal that lacks what an entry knew of: key
// store and journal were put back to an older day together, and erasures since
// would be undone. The log, which was not put back, tells.
func (l *Log) journalHolds(ctx context.Context, b *logBody) error {
	if b.Journal == 0 {
		return nil
	}
	if err := l.ring.JournalHolds(ctx, b.Journal, [sha256.Size]byte(b.JournalHash)); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	return nil
}
