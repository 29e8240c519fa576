// Package tally counts how many different things somebody has reached in the
// last hour and the last day, and says where a limit is met. It knows neither who
// that is nor what: both are 16 bytes that only the caller can make.
//
// The counts live in an SQL database, SQLite or PostgreSQL, whose tables are
// made where they are missing, refused where something was planted among them,
// and shared by processes; in a folder's files, shared as well; or in memory. What is older than a day is deleted.
package tally

import (
	"context"
	"database/sql"
	"sync"
	"time"
)

// ID names who reaches, or what is reached.
type ID [16]byte

// Limit is how many different things may be reached in an hour and in a day.
type Limit struct{ Hour, Day int }

// Time is counted in steps: a row tells no more than in which of them it was
// made, and an hour is the last twelve whole steps and the one under way.
const (
	step      = 5 * time.Minute
	hourSteps = int64(time.Hour / step)
	daySteps  = int64(24 * time.Hour / step)
)

func stepOf(now time.Time) int64 { return now.Unix() / int64(step/time.Second) }

// Tally is safe for concurrent use.
type Tally struct {
	store store

	mu    sync.Mutex
	fresh map[[2]ID]int64 // counted by this process, in which step
}

// store does one count, alone among all who count for the same who.
type store interface {
	count(ctx context.Context, who ID, now int64, choose func(before standing) chosen, whats []ID) error
}

// standing is what a store knows before a count.
type standing struct {
	known     map[ID]int64 // of whats, those that were counted within the day, and in which step
	hour, day int
}

// chosen is what a count changes: what is admitted in this step, and what was
// in the count of an earlier one before.
type chosen struct {
	admit []ID
	moved map[int64]int // by earlier step, how many of admit
}

// Count is the outcome of counting.
type Count struct {
	Over      []bool // for each of the things: it is beyond the limit, and was not counted
	Hour, Day int    // different things by now
}

// Open returns the tally in db; in memory where db is nil. Tables that are not as
// they were made are sqldb.ErrForeign.
func Open(ctx context.Context, db *sql.DB) (*Tally, error) {
	t := &Tally{store: newMemory(), fresh: map[[2]ID]int64{}}
	if db != nil {
		s, err := newSQL(ctx, db)
		if err != nil {
			return nil, err
		}
		t.store = s
	}
	return t, nil
}

// Count counts whats for who, as far as limit goes; with a nil limit all of
// them. What was counted within the hour costs nothing again. Hour and Day of
// the result are zero where nothing had to be counted.
func (t *Tally) Count(ctx context.Context, who ID, whats []ID, now time.Time, limit *Limit) (Count, error) {
	at := stepOf(now)
	c := Count{Over: make([]bool, len(whats))}
	unknown := t.unknown(who, whats, at)
	if len(unknown) == 0 {
		return c, nil
	}
	done := make(chan outcome, 1)
	go func() { done <- t.count(ctx, who, unknown, at, limit) }() // a database that waits for a lock may not hear of ctx
	select {
	case <-ctx.Done():
		return Count{}, ctx.Err() // they may still be counted
	case o := <-done:
		if o.err != nil {
			return Count{}, o.err
		}
		c.Hour, c.Day = o.hour, o.day
		for i, what := range whats {
			c.Over[i] = o.over[what]
		}
		return c, nil
	}
}

type outcome struct {
	over      map[ID]bool
	hour, day int
	err       error
}

func (t *Tally) count(ctx context.Context, who ID, whats []ID, at int64, limit *Limit) (o outcome) {
	var did chosen
	o.err = t.store.count(ctx, who, at, func(before standing) chosen {
		did, o.over = choose(before, whats, at, limit)
		o.hour, o.day = before.hour+len(did.admit), before.day+len(did.admit)
		for _, n := range did.moved {
			o.day -= n
		}
		return did
	}, whats)
	if o.err == nil {
		t.remember(who, did.admit, at)
	}
	return o
}

// choose admits what fits the limit, in order.
func choose(before standing, whats []ID, at int64, limit *Limit) (did chosen, over map[ID]bool) {
	did.moved, over = map[int64]int{}, map[ID]bool{}
	hour, day := before.hour, before.day
	for _, what := range whats {
		then, known := before.known[what]
		if known && then >= at-hourSteps {
			continue // counted by another process
		}
		more := 1
		if known {
			more = 0 // of the day it is a part already
		}
		if limit != nil && (hour+1 > limit.Hour || day+more > limit.Day) {
			over[what] = true
			continue
		}
		hour, day = hour+1, day+more
		did.admit = append(did.admit, what)
		if known {
			did.moved[then]++
		}
	}
	return did, over
}

// unknown are those of whats, each once, that this process has not counted
// within the hour.
func (t *Tally) unknown(who ID, whats []ID, at int64) []ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []ID
	met := make(map[ID]bool, len(whats))
	for _, what := range whats {
		if then, ok := t.fresh[[2]ID{who, what}]; ok && then >= at-hourSteps || met[what] {
			continue
		}
		met[what] = true
		out = append(out, what)
	}
	return out
}

// remembered bounds the memory of a process; what it forgets it asks for again.
const remembered = 1 << 16

func (t *Tally) remember(who ID, whats []ID, at int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.fresh)+len(whats) > remembered {
		clear(t.fresh)
	}
	for _, what := range whats {
		t.fresh[[2]ID{who, what}] = at
	}
}
