package clinic

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// Overview is how the clinic stands, in figures.
type Overview struct {
	Patients int
	Entries  int64 // of the audit log
	Alerts   int   // of the guard, of the last seven days
	Reviews  int   // emergencies that nobody has looked into yet
	Erasures int   // patients who ask for it, of whom nobody has decided
}

// Overview counts what the officer looks at first. The emergencies are counted
// through the whole log, which a house with years of entries does at night.
func (c *Clinic) Overview(ctx context.Context, u User) (Overview, error) {
	if err := u.must(Officer); err != nil {
		return Overview{}, err
	}
	var o Overview
	week := c.now().Add(-7 * 24 * time.Hour).UnixMilli()
	if err := c.db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM patients), (SELECT count(*) FROM alerts WHERE at >= $1),
		(SELECT count(*) FROM erasures WHERE done = 0 AND until = 0)`, week).Scan(&o.Patients, &o.Alerts, &o.Erasures); err != nil {
		return o, err
	}
	checkpoint, err := c.cfg.Log.Checkpoint(ctx)
	if err != nil {
		return o, err
	}
	o.Entries = sizeOf(checkpoint)
	waiting, err := c.Emergencies(ctx, u)
	o.Reviews = len(waiting)
	return o, err
}

// sizeOf is the number of entries that a checkpoint is of: its second line.
func sizeOf(checkpoint []byte) int64 {
	lines := bytes.SplitN(checkpoint, []byte("\n"), 3)
	if len(lines) < 3 {
		return 0
	}
	n, _ := strconv.ParseInt(string(lines[1]), 10, 64)
	return n
}

// Openings are how many records were opened in some time, by how it ended.
type Openings struct {
	From                     time.Time
	Done, Refused, Emergency int
}

// ActorOpenings are the openings of one member of staff.
type ActorOpenings struct {
	Actor string
	Openings
}

// Activity counts the openings of staff in n steps up to now, by time and by actor, those
// who opened most first.
func (c *Clinic) Activity(ctx context.Context, u User, step time.Duration, n int) (times []Openings, actors []ActorOpenings, err error) {
	if err := u.must(Officer); err != nil {
		return nil, nil, err
	}
	// Days of Jakarta's, as pages show them.
	_, offset := c.now().In(Zone()).Zone()
	shift := time.Duration(offset) * time.Second
	first := c.now().Add(shift).Truncate(step).Add(-shift).Add(-time.Duration(n-1) * step)
	times = make([]Openings, n)
	for i := range times {
		times[i].From = first.Add(time.Duration(i) * step)
	}
	by := map[string]ActorOpenings{}
	for e, err := range c.cfg.Log.Entries(ctx, consent.Filter{From: first, Action: "open"}) {
		if err != nil {
			return nil, nil, err
		}
		if e.Role == Self {
			continue // patients who read their own
		}
		if i := int(e.Time.Sub(first) / step); i < n {
			times[i].count(e)
		}
		a := by[e.Actor]
		a.Actor = e.Actor
		a.count(e)
		by[e.Actor] = a
	}
	return times, slices.SortedFunc(maps.Values(by), func(a, b ActorOpenings) int {
		return cmp.Or(cmp.Compare(b.Total(), a.Total()), cmp.Compare(a.Actor, b.Actor))
	}), nil
}

func (o *Openings) count(e consent.Entry) {
	switch {
	case e.Outcome == "refused":
		o.Refused++
	case e.Reason == consent.InEmergency:
		o.Emergency++
	case e.Outcome == "done":
		o.Done++
	}
}

// Total is all of them.
func (o Openings) Total() int { return o.Done + o.Refused + o.Emergency }
