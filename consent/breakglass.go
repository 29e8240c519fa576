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
	out, err := c.awaitingReview(ctx, patients)
	if err != nil {
		return nil, fmt.Errorf("consent: awaiting review: %w", err)
	}
	return out, nil
}

func (c *Config) awaitingReview(ctx context.Context, patients iter.Seq[string]) ([]Entry, error) {
	if err := c.whole(); err != nil {
		return nil, err
	}
	open, err := c.unreviewed(ctx)
	if err != nil {
		return nil, err
	}
	if patients != nil && len(open) > 0 {
		for page := range idPages(patients) {
			if err := c.name(ctx, open, page); err != nil {
				return nil, err
			}
		}
	}
	out := make([]Entry, len(open))
	for i := range open {
		out[i] = open[i].entry
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
	open, err := c.unreviewed(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(open, func(w awaiting) bool { return w.entry.Decision == r.Decision })
	if i < 0 {
		return ErrReview
	}
	of := &open[i]
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

// awaiting is an entry that awaits a review.
type awaiting struct {
	entry   Entry
	subject []byte // sealed
}

// unreviewed are the emergencies in the log that await a review.
func (c *Config) unreviewed(ctx context.Context) (open []awaiting, err error) {
	for b, err := range c.Log.walk(ctx) {
		switch {
		case err != nil:
			return nil, err
		case b.Action == "review" || b.Outcome == "failed":
			open = slices.DeleteFunc(open, func(w awaiting) bool { return w.entry.Decision == b.Decision })
		case b.Reason == InEmergency && b.Outcome == "done":
			open = append(open, awaiting{b.entry(b.index), b.Subject})
		}
	}
	return open, nil
}

// idPages gathers ids: a page has one question for keys.
func idPages(ids iter.Seq[string]) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		var page []string
		for id := range ids {
			if page = append(page, id); len(page) == pageSize {
				if !yield(page) {
					return
				}
				page = page[:0]
			}
		}
		if len(page) > 0 {
			yield(page)
		}
	}
}

// name names the entries of those of the page whose they are.
func (c *Config) name(ctx context.Context, open []awaiting, page []string) error {
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
		for i := range open {
			if err := open[i].entry.name(openers, open[i].subject, page[n]); err != nil {
				return err
			}
		}
	}
	return nil
}
