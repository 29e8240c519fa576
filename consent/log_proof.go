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
// entries from before end with keyring.Ring.EndRekey, which destroys the key that
// named the patient in them; they stay in the log, nameless. Keep their
// [Log.Extract] first, which proves them still.
func (l *Log) History(ctx context.Context, subject string) ([]Entry, error) {
	all, err := l.history(ctx, subject)
	if err != nil {
		return nil, fmt.Errorf("consent: history: %w", err)
	}
	out := make([]Entry, len(all))
	for i := range all {
		out[i] = all[i].Entry
	}
	return out, nil
}

// told is an entry of a patient's history, and what opens its commitment to
// whom it names.
type told struct {
	Entry
	naming []byte
}

func (l *Log) history(ctx context.Context, subject string) (out []told, err error) {
	keys, err := l.ring.Subject(ctx, subject, auditCompartment)
	if err != nil {
		return nil, err
	}
	openers, err := auditOpeners(keys[0])
	if err != nil {
		return nil, err
	}
	for b, err := range l.walk(ctx) {
		if err != nil {
			return nil, err
		}
		e := told{Entry: b.entry(b.index)}
		var named bool
		if e.naming, named = openRef(openers, b.Subject, b.Decision); !named {
			continue
		}
		if err := e.named(b.Subject, e.naming, subject); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func (b *logBody) entry(i int64) Entry {
	return Entry{
		Index: i, Time: time.Unix(0, b.Time), Actor: b.Actor, Role: b.Role, Purpose: b.Purpose, Action: b.Action, Type: b.Type,
		Fields: b.Fields, Withheld: b.Withheld, Outcome: b.Outcome, Reason: b.Reason,
		Decision: b.Decision, Recipient: b.Recipient, Article: b.Article, Justification: b.Justification, K: b.K, Job: b.Job, Count: b.Count, Keys: b.Keys,
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
func (e *Entry) name(openers []secret.AEAD, ref []byte, patient string) error {
	opening, is := openRef(openers, ref, e.Decision)
	if !is {
		return nil
	}
	return e.named(ref, opening, patient)
}

// openRef returns what opens a reference's commitment, if it is of the patient to
// whom openers belong.
func openRef(openers []secret.AEAD, ref []byte, decision string) (opening []byte, is bool) {
	if len(ref) < sha256.Size {
		return nil, false // names nobody
	}
	for _, o := range openers {
		opening, err := secret.OpenRandom(o, nil, ref[sha256.Size:], lp.Append(nil, labelLogSubject, decision))
		if err == nil {
			return opening, true
		} // another patient's, or under the other key
	}
	return nil, false
}

// named completes e by what its reference commits to, which must be the patient.
func (e *Entry) named(ref, opening []byte, patient string) error {
	if err := e.naming(ref, opening); err != nil || e.Subject != patient {
		return ErrTampered
	}
	return nil
}

// naming is named for whoever is to be told the patient.
func (e *Entry) naming(ref, opening []byte) error {
	if len(ref) < sha256.Size {
		return ErrTampered
	}
	text, ok := committed(labelLogNaming, ref[:sha256.Size], opening)
	if !ok {
		return ErrTampered
	}
	parts, ok := parseRef(text)
	if !ok {
		return ErrTampered
	}
	e.Subject, e.Record, e.Consents = parts[0], parts[1], parts[2:]
	return nil
}

// sealRef names patient, record and consents in an entry, under the patient's
// key: the ledger still knows whose a consent is when the patient is erased.
func (b *logBody) sealRef(k *keyring.SubjectKey, subject, record string, consents ...string) error {
	aead, err := auditSealer(k)
	if err != nil {
		return err
	}
	var at int
	b.text, at = beginCommitment(b.text[:0], labelLogNaming)
	b.text = lp.Append(lp.Append(b.text, subject, record), consents...)
	named, sum := len(b.text), sha256.Sum256(b.text)
	b.text = lp.Append(b.text, labelLogSubject, b.Decision)
	b.Subject = secret.SealRandom(aead, append(b.Subject[:0], sum[:]...), b.text[at:named], b.text[named:])
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

// recent is how many entries are asked at the start what they knew of: processes
// know of another's erasures and events up to 5 seconds late, so the newest entry
// may know less than those before it. [Log.Verify] asks all.
const recent = 256

// newest returns the newest entry, nothing if there is none, with the most that it
// or one of the recent entries before it knew of ledger and journal.
func (l *Log) newest(ctx context.Context) (*logBody, error) {
	size, err := l.tree().Size(ctx)
	if err != nil || size == 0 {
		return new(logBody), err
	}
	page, err := l.page(ctx, max(0, size-recent), size)
	if err != nil {
		return nil, err
	}
	b := *page[len(page)-1].logBody
	for _, e := range page {
		b.Ledger = max(b.Ledger, e.Ledger)
		if e.Journal > b.Journal {
			b.Journal, b.JournalHash = e.Journal, e.JournalHash
		}
	}
	return &b, nil
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
