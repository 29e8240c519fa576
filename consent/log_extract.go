package consent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/consent/internal/evidence"
)

const extractSchema = "rahasia/log-extract/v1"

// extract is the file that a patient is given. What stands beside a proof is for
// people; whoever checks it makes it again from the proof.
type extract struct {
	SchemaVersion string         `json:"schema_version"`
	Subject       string         `json:"subject"`
	Checkpoint    string         `json:"checkpoint"`
	Entries       []extractEntry `json:"entries"`
}

// extractEntry is an [Entry] that names the extract's patient, and its proof.
type extractEntry struct {
	Index         int64             `json:"index"`
	Time          time.Time         `json:"time"`
	Actor         string            `json:"actor"`
	Role          string            `json:"role,omitempty"`
	Purpose       Purpose           `json:"purpose,omitempty"`
	Action        string            `json:"action"`
	Type          string            `json:"type,omitempty"`
	Record        string            `json:"record,omitempty"`
	Fields        []string          `json:"fields,omitempty"`
	Withheld      []string          `json:"withheld,omitempty"`
	Outcome       string            `json:"outcome"`
	Reason        Reason            `json:"reason,omitempty"`
	Decision      string            `json:"decision,omitempty"`
	Consents      []string          `json:"consents,omitempty"`
	Recipient     string            `json:"recipient,omitempty"`
	Article       string            `json:"article,omitempty"`
	Justification string            `json:"justification,omitempty"`
	K             int               `json:"k,omitempty"`
	Job           string            `json:"job,omitempty"`
	Keys          map[string]uint32 `json:"keys,omitempty"`
	Proof         extractProof      `json:"proof"`
}

// extractProof is what proves an entry: that its leaf is in the log, what the
// leaf commits to, and what the entry's reference to the patient commits to.
type extractProof struct {
	Leaf    []byte   `json:"leaf"`
	Opening []byte   `json:"opening"`
	Naming  []byte   `json:"naming"`
	Hashes  [][]byte `json:"hashes"`
}

// Extract returns the entries of [Log.History] as a file of JSON for the patient
// to keep (UU PDP 27/2022, article 32): each readable, and with what proves to
// anybody who has the log's verifier key, by [CheckExtract] and without this
// house, that it stands in the log of the file's checkpoint, says that, and is
// about this patient. It proves the same when the patient has been erased; that
// the log still holds it all, its checkpoint proves against a later one
// ([Log.ProveConsistency]).
//
// That no entry is left out it does not prove: whoever holds the keyset
// "consent/log" can count a patient's entries, and nobody else. Beside each entry
// it tells how many events ledger and erasure journal had. Who has the file can
// read it: give it to nobody but the patient. Errors: those of History.
func (l *Log) Extract(ctx context.Context, subject string) ([]byte, error) {
	x, err := l.extract(ctx, subject)
	var out []byte
	if err == nil {
		out, err = x.encode()
	}
	if err != nil {
		return nil, fmt.Errorf("consent: extract: %w", err)
	}
	return out, nil
}

func (l *Log) extract(ctx context.Context, subject string) (*extract, error) {
	history, err := l.history(ctx, subject)
	if err != nil {
		return nil, err
	}
	at := make([]int64, len(history))
	for i := range history {
		at[i] = history[i].Index
	}
	proofs, checkpoint, err := l.tree().ProveAll(ctx, at)
	if err != nil {
		return nil, err
	}
	x := &extract{SchemaVersion: extractSchema, Subject: subject, Checkpoint: string(checkpoint), Entries: make([]extractEntry, len(proofs))}
	for i, p := range proofs {
		opening, err := l.opening(ctx, p.Leaf)
		if err != nil {
			return nil, err
		}
		proof := extractProof{Leaf: p.Leaf, Opening: opening, Naming: history[i].naming, Hashes: make([][]byte, len(p.Hashes))}
		for n, h := range p.Hashes {
			proof.Hashes[n] = h[:]
		}
		x.Entries[i] = newExtractEntry(&history[i].Entry, proof)
	}
	return x, nil
}

func newExtractEntry(e *Entry, proof extractProof) extractEntry {
	return extractEntry{
		Index: e.Index, Time: e.Time.UTC(), Actor: e.Actor, Role: e.Role, Purpose: e.Purpose, Action: e.Action, Type: e.Type, Record: e.Record,
		Fields: e.Fields, Withheld: e.Withheld, Outcome: e.Outcome, Reason: e.Reason, Decision: e.Decision, Consents: e.Consents,
		Recipient: e.Recipient, Article: e.Article, Justification: e.Justification, K: e.K, Job: e.Job, Keys: e.Keys, Proof: proof,
	}
}

// encode writes the one form that x has.
func (x *extract) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(x)
	return b.Bytes(), err
}

// CheckExtract returns the entries that an extract proves, all of one patient,
// under the key that its checkpoint is signed with; it needs no ring. Several
// keys are those of one log, of which any may have signed. Where anything in the
// file is changed, or proves nothing, there are no entries: [ErrTampered].
func CheckExtract(file []byte, verifierKeys ...string) ([]Entry, error) {
	entries, err := checkExtract(file, verifierKeys)
	if err != nil {
		return nil, fmt.Errorf("consent: check extract: %w", err)
	}
	return entries, nil
}

func checkExtract(file []byte, verifierKeys []string) ([]Entry, error) {
	x := new(extract)
	if err := json.Unmarshal(file, x); err != nil || x.SchemaVersion != extractSchema || x.Entries == nil {
		return nil, ErrTampered // what json says may quote the file
	}
	proofs := make([]evidence.Proven, len(x.Entries))
	entries := make([]Entry, len(x.Entries))
	for i := range x.Entries {
		e := &x.Entries[i]
		if err := e.proves(&proofs[i], &entries[i]); err != nil || i > 0 && (e.Index <= x.Entries[i-1].Index || entries[i].Subject != entries[0].Subject) {
			return nil, fmt.Errorf("entry %d: %w", e.Index, ErrTampered)
		}
		x.Subject = entries[0].Subject // as the names have it, for which JSON may lack the bytes
		x.Entries[i] = newExtractEntry(&entries[i], e.Proof)
	}
	if err := evidence.CheckProofs(verifierKeys, []byte(x.Checkpoint), proofs); err != nil {
		return nil, err
	}
	again, err := x.encode()
	if err != nil || !bytes.Equal(again, file) { // what is readable says something else; unknown or repeated names; another order
		return nil, ErrTampered
	}
	return entries, nil
}

// proves sets p to what has to be proved of e, and entry to what that says.
func (e *extractEntry) proves(p *evidence.Proven, entry *Entry) error {
	b, err := readLeaf(e.Proof.Leaf, e.Proof.Opening)
	if err != nil {
		return err
	}
	*entry = b.entry(e.Index)
	if err := entry.naming(b.Subject, e.Proof.Naming); err != nil {
		return err
	}
	if e.Proof.Hashes == nil {
		return ErrTampered
	}
	*p = evidence.Proven{Index: e.Index, Leaf: e.Proof.Leaf, Hashes: make([]tlog.Hash, len(e.Proof.Hashes))}
	for i, h := range e.Proof.Hashes {
		if len(h) != tlog.HashSize {
			return ErrTampered
		}
		p.Hashes[i] = tlog.Hash(h)
	}
	return nil
}
