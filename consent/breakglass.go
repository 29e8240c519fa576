package consent

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// Review is what somebody found who looked into an emergency afterwards.
type Review struct {
	Decision  string // of the entry that is reviewed
	By        string // who: an id for the audit log, and not who declared the emergency
	Justified bool
	Note      string // what was found; sealed into the audit log
}

// The outcomes of a review in the log.
const (
	justified   = "justified"
	unjustified = "unjustified"
)

// AwaitingReview returns the entries of what was opened or changed in an
// emergency ([InEmergency]) and has not been reviewed, oldest first. The log
// cannot say whose an entry is without that patient's key: patients are those
// who are tried, in pages, and an entry of one of them has its Subject, Record
// and Consents set. nil tries nobody. It goes through the whole log.
func (c *Config) AwaitingReview(ctx context.Context, patients iter.Seq[string]) ([]Entry, error) {
	err := c.whole()
	var q *reviews
	if err == nil {
		q, err = c.reviews(ctx)
	}
	if err == nil && patients != nil && len(q.open) > 0 {
		err = c.nameAll(ctx, q, patients)
	}
	if err != nil {
		return nil, fmt.Errorf("consent: awaiting review: %w", err)
	}
	out := make([]Entry, len(q.open))
	for i, w := range q.open {
		out[i] = w.entry
	}
	return out, nil
}

// Review records the review of an emergency. The patient finds it in
// [Log.History] beside what it is about. Errors: [ErrReview] where no emergency
// of this decision awaits one, or where By is who declared it; [ErrLimit],
// [ErrAudit], [ErrConfig].
func (c *Config) Review(ctx context.Context, r Review) error {
	if err := c.review(ctx, &r); err != nil {
		return fmt.Errorf("consent: review: %w", err)
	}
	return nil
}

func (c *Config) review(ctx context.Context, r *Review) error {
	if err := c.whole(); err != nil {
		return err
	}
	if r.By == "" || !text(r.By, r.Note) {
		return ErrLimit
	}
	q, err := c.reviews(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(q.open, func(w awaiting) bool { return w.entry.Decision == r.Decision })
	if i < 0 {
		return ErrReview
	}
	of := &q.open[i]
	if of.entry.Actor == r.By {
		return fmt.Errorf("by who declared the emergency: %w", ErrReview)
	}
	b := &logBody{
		Time: c.now().UnixNano(), Actor: r.By, Action: "review", Type: of.entry.Type, Outcome: unjustified, Decision: r.Decision,
		Ledger: c.Ledger.chain().Len(), Justification: r.Note,
		Subject: of.subject, // bound to the decision, which is the same
	}
	if r.Justified {
		b.Outcome = justified
	}
	return c.Log.append(ctx, b)
}

// reviews are the emergencies in the log that await a review.
type reviews struct{ open []awaiting }

type awaiting struct {
	entry   Entry
	subject []byte // sealed
}

func (c *Config) reviews(ctx context.Context) (*reviews, error) {
	q := new(reviews)
	err := c.Log.tree().Leaves(ctx, 0, func(i int64, leaf []byte) error {
		b, err := c.Log.open(ctx, leaf)
		if err != nil {
			return err
		}
		switch {
		case b.Action == "review" || b.Outcome == "failed":
			q.open = slices.DeleteFunc(q.open, func(w awaiting) bool { return w.entry.Decision == b.Decision })
		case b.Reason == InEmergency && b.Outcome == "done":
			q.open = append(q.open, awaiting{b.entry(i), b.Subject})
		}
		return nil
	})
	return q, err
}

// nameAll names the entries of those of the patients whose they are.
func (c *Config) nameAll(ctx context.Context, q *reviews, patients iter.Seq[string]) error {
	var page []string
	for id := range patients {
		if page = append(page, id); len(page) == pageSize {
			if err := c.name(ctx, q, page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	if len(page) == 0 {
		return nil
	}
	return c.name(ctx, q, page)
}

func (c *Config) name(ctx context.Context, q *reviews, page []string) error {
	all, err := c.Ring.Subjects(ctx, page, auditCompartment)
	if err != nil {
		return err
	}
	for n := range all {
		if all[n].Err != nil {
			continue // erased, or never there: no entry is this one's
		}
		openers, err := auditOpeners(all[n].Keys[0])
		if err != nil {
			return err
		}
		for i := range q.open {
			if _, err := q.open[i].entry.name(openers, q.open[i].subject, page[n]); err != nil {
				return err
			}
		}
	}
	return nil
}
