package clinic

import "context"

// Proof returns who reached the patient's records, as a file for the patient to
// keep: every entry is readable in it and can be checked without the clinic, by
// [consent.CheckExtract] under the key that the clinic publishes. See the command
// check.
func (c *Clinic) Proof(ctx context.Context, u User) ([]byte, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	return c.cfg.Log.Extract(ctx, u.Patient)
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
