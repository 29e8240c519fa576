package consent

import (
	"context"

	"github.com/rahasia/rahasia/envelope"
)

// Rebind is for a patient who turns out to have two ids: it returns the record
// that from names, sealed anew as the one that to names, with everything in it
// carried as it is, unknown fields included. It releases nothing. Store the
// result in the row's place, with the ids of to; lookup tokens stay as they are.
// Of a type without record ids the patient then has two rows: merge them with
// [Records.Update], and delete one.
//
// The request must be permitted for every field under the consents of from, as for a
// [Records.Update] of them all; that is often a [LegalBasis] for Operations, of
// the action Correct. From then on the consents of to decide. So what from
// refused, in a consent of its own or by an exception, is given for to as well
// before the record moves; what from permitted otherwise is not. The merge is in the
// history of both. The service must hold the keys of all compartments of the row.
//
// A merge of two people opens the one's records to whom the other consented:
// compare more than a name before.
//
// Errors: those of [Records.Update] and [Config.Give], and [ErrSubject] where both
// are one.
func (r *Records[T]) Rebind(ctx context.Context, row envelope.Sealed, from, to *T, req Request) (envelope.Sealed, error) {
	moved, err := r.rebind(ctx, row, from, to, req)
	if err != nil {
		return nil, r.wrap("rebind", err)
	}
	return moved, nil
}

func (r *Records[T]) rebind(ctx context.Context, row envelope.Sealed, from, to *T, req Request) (envelope.Sealed, error) {
	of, _ := r.ids(from)
	subject, record := r.ids(to)
	if of == "" || of == subject {
		return nil, ErrSubject
	}
	if err := checkIDs(subject, record); err != nil {
		return nil, err
	}
	x, err := r.release(ctx, from, row, asked{"rebind", req, nil, true})
	if err != nil {
		return nil, err
	}
	b := *x.entry // the same decision, in the other's name
	keys, err := r.keysFor(ctx, subject)
	if err == nil {
		err = b.sealRef(keys[len(keys)-1], subject, record, x.basis...)
	}
	if err == nil {
		err = r.cfg.carryRefusals(ctx, of, subject, req.Actor)
	}
	if err == nil {
		err = r.cfg.Log.append(ctx, &b)
	}
	var moved envelope.Sealed
	if err == nil {
		moved, err = r.codec.Rebind(ctx, x.reading, to)
	}
	if err != nil {
		r.failed(ctx, x)
		return nil, err
	}
	r.observed(x)
	return moved, nil
}

// carryRefusals gives for one patient what another refused and has not taken
// back, unless it has been given.
func (c *Config) carryRefusals(ctx context.Context, from, to, by string) error {
	given, err := c.Ledger.of(ctx, from)
	if err != nil {
		return err
	}
	there, err := c.Ledger.of(ctx, to)
	if err != nil {
		return err
	}
	for _, refusal := range given {
		if !refusal.Withdrawn.IsZero() || !refusal.refuses() {
			continue
		}
		refusal.Subject, refusal.Supersedes, refusal.Recorder = to, "", by
		if has(there, refusal) {
			continue
		}
		if indexOf(there, refusal.ID) >= 0 {
			refusal.ID = "" // that id is taken by something else
		}
		if _, err := c.Give(ctx, refusal); err != nil {
			return err
		}
	}
	return nil
}

// refuses reports whether anything in c refuses.
func (c *Consent) refuses() bool {
	for i := range c.Except {
		if c.Except[i].Refused {
			return true
		}
	}
	return c.Refused
}

// has reports whether one of all that has not ended says what c says.
func has(all []Consent, c Consent) bool {
	for i := range all {
		same := all[i]
		same.Supersedes = ""
		if same.Withdrawn.IsZero() && same.same(c) {
			return true
		}
	}
	return false
}
