package clinic

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// VerifyLog goes through the whole audit log and returns how many entries held.
// One that does not is [consent.ErrTampered].
func (c *Clinic) VerifyLog(ctx context.Context, u User) (int64, error) {
	if err := u.must(Officer); err != nil {
		return 0, err
	}
	return c.cfg.Log.Verify(ctx)
}

// Checkpoint returns the log's signed head, and the key that it can be checked
// by. Kept elsewhere, they are what the house cannot rewrite its log against.
func (c *Clinic) Checkpoint(ctx context.Context, u User) (text []byte, key string, err error) {
	if err := u.must(Officer); err != nil {
		return nil, "", err
	}
	if text, err = c.cfg.Log.Checkpoint(ctx); err != nil {
		return nil, "", err
	}
	key, err = c.cfg.Log.VerifierKey(ctx)
	return text, key, err
}

// Extends checks the log against a checkpoint that was kept elsewhere: all that
// it covered is still there. [consent.ErrTampered] where it is not, or where the
// text is no checkpoint of this log.
func (c *Clinic) Extends(ctx context.Context, u User, checkpoint []byte) error {
	if err := u.must(Officer); err != nil {
		return err
	}
	return c.cfg.Log.Extends(ctx, checkpoint)
}

// Entries returns the newest entries of the log that a filter selects, newest
// first. It goes through the log, and verifies what it passes.
func (c *Clinic) Entries(ctx context.Context, u User, f consent.Filter, limit int) ([]consent.Entry, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	var last []consent.Entry
	for e, err := range c.cfg.Log.Entries(ctx, f) {
		if err != nil {
			return nil, err
		}
		if last = append(last, e); len(last) > 2*limit {
			last = append(last[:0], last[len(last)-limit:]...)
		}
	}
	last = last[max(0, len(last)-limit):]
	slices.Reverse(last)
	return last, nil
}

// Emergency is what one person opened or changed of one patient for one reason, and
// nobody has looked into. Each record was a decision of its own.
type Emergency struct {
	consent.Entry           // the first of them
	Decisions     []string  // of all
	Opened        []string  // record type, ".", field
	Last          time.Time // when the last was opened
}

// Emergencies returns those that await a review, oldest first, each with the
// patient's id where it can still be told.
func (c *Clinic) Emergencies(ctx context.Context, u User) ([]Emergency, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	ids, err := c.patientIDs(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := c.cfg.AwaitingReview(ctx, slices.Values(ids))
	if err != nil {
		return nil, err
	}
	var out []Emergency
	for _, e := range entries {
		i := slices.IndexFunc(out, func(o Emergency) bool {
			return o.Actor == e.Actor && o.Subject == e.Subject && o.Justification == e.Justification
		})
		if i < 0 {
			i, out = len(out), append(out, Emergency{Entry: e})
		}
		o := &out[i]
		o.Last = e.Time
		o.Decisions = add(o.Decisions, e.Decision)
		for _, field := range e.Fields {
			o.Opened = add(o.Opened, e.Type+"."+field)
		}
	}
	return out, nil
}

// add appends what is not there yet.
func add(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// Review records what the officer found of an emergency, for the log and for the
// patient: of each of its decisions.
func (c *Clinic) Review(ctx context.Context, u User, decisions []string, justified bool, note string) error {
	if err := u.must(Officer); err != nil {
		return err
	}
	if len(decisions) == 0 || note == "" {
		return ErrInput
	}
	for _, d := range decisions {
		if err := c.cfg.Review(ctx, consent.Review{Decision: d, By: u.Name, Justified: justified, Note: note}); err != nil {
			return err
		}
	}
	return nil
}

// Alert is one of the exfiltration guard, as it was kept.
type Alert struct {
	At        time.Time
	Actor     string
	Hour, Day int // patients, or values looked up
	Emergency bool
}

// Alerts returns the newest.
func (c *Clinic) Alerts(ctx context.Context, u User, limit int) ([]Alert, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	return collect(ctx, c.db, func(rows *sql.Rows) (a Alert, err error) {
		var at int64
		err = rows.Scan(&at, &a.Actor, &a.Hour, &a.Day, &a.Emergency)
		a.At = time.UnixMilli(at)
		return a, err
	}, `SELECT at, actor, hour, day, emergency FROM alerts ORDER BY at DESC, actor LIMIT $1`, limit)
}

// GuardLimits are how many different patients a person may reach in an hour and
// in a day: a field that is zero is the library's, see [consent.Guard].
func (c *Clinic) GuardLimits() (hour, day int) {
	return cmp.Or(c.cfg.Guard.People.Hour, 200), cmp.Or(c.cfg.Guard.People.Day, 1000)
}

// patientIDs are those of all patients. They say nothing about anybody.
func (c *Clinic) patientIDs(ctx context.Context) ([]string, error) {
	return collect(ctx, c.db, scanText, `SELECT id FROM patients ORDER BY id`)
}

func scanText(rows *sql.Rows) (s string, err error) {
	err = rows.Scan(&s)
	return s, err
}
