package clinic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// Proven is a patient's history with what proves it: each entry, and that it is in
// the log whose head the clinic signed. Whoever has the clinic's published key
// checks it without the clinic, see the command check.
type Proven struct {
	Made    time.Time     `json:"made"`
	Entries []ProvenEntry `json:"entries"`
}

// ProvenEntry is an entry of the audit log and the proof that it is in it.
type ProvenEntry struct {
	Entry consent.Entry  `json:"entry"`
	Proof *consent.Proof `json:"proof"`
}

// Proof returns the patient's history for the patient to keep.
func (c *Clinic) Proof(ctx context.Context, u User) ([]byte, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	history, err := c.cfg.Log.History(ctx, u.Patient)
	if err != nil {
		return nil, err
	}
	out := Proven{Made: c.now().UTC(), Entries: make([]ProvenEntry, len(history))}
	for i, e := range history {
		out.Entries[i].Entry = e
		if out.Entries[i].Proof, err = c.cfg.Log.Prove(ctx, e.Index); err != nil {
			return nil, err
		}
	}
	return json.MarshalIndent(out, "", " ")
}

// CheckProof returns the entries of a proof, each of which is in a log whose head one
// of the keys has signed. It needs no clinic. What a sealed entry says it cannot
// check: that is the clinic's word.
func CheckProof(proof []byte, keys ...string) ([]consent.Entry, error) {
	var p Proven
	if err := json.Unmarshal(proof, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInput, err)
	}
	entries := make([]consent.Entry, len(p.Entries))
	for i, e := range p.Entries {
		if e.Proof == nil || e.Proof.Index != e.Entry.Index {
			return nil, fmt.Errorf("entry %d has the proof of another: %w", e.Entry.Index, consent.ErrTampered)
		}
		if err := underOne(e.Proof, keys); err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.Entry.Index, err)
		}
		entries[i] = e.Entry
	}
	return entries, nil
}

// underOne checks a proof under the keys of which one has signed.
func underOne(p *consent.Proof, keys []string) error {
	err := errors.New("no key of the log")
	for _, key := range keys {
		if err = p.Check(key); err == nil {
			return nil
		}
	}
	return err
}

// Published are the public keys of a clinic, each in the text form of signed notes:
// whoever has them checks receipts and proofs without it.
type Published struct {
	Log      []string `json:"log"`
	Receipts []string `json:"receipts"`
}

// Published returns what the clinic publishes.
func (c *Clinic) Published(ctx context.Context) (Published, error) {
	log, err := c.cfg.Log.VerifierKey(ctx)
	if err != nil {
		return Published{}, err
	}
	receipts, err := c.cfg.ReceiptKeys(ctx)
	return Published{Log: []string{log}, Receipts: receipts}, err
}
