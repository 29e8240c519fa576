package tally

import (
	"context"
	"sync"
)

// memory keeps counts in memory.
type memory struct {
	mu    sync.Mutex
	all   map[ID]*reached
	swept int64 // the step of the last sweep
}

// reached is what one who reached, in which step, and how many in each.
type reached struct {
	what map[ID]int64
	n    map[int64]int
}

func newMemory() *memory { return &memory{all: map[ID]*reached{}} }

func (m *memory) count(ctx context.Context, who ID, now int64, choose func(standing) chosen, whats []ID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sweep(now)
	mine := m.of(who)
	for _, what := range choose(mine.standing(now, whats)).admit {
		mine.add(what, now)
	}
	return nil
}

// of returns what one who has reached.
func (m *memory) of(who ID) *reached {
	mine := m.all[who]
	if mine == nil {
		mine = &reached{map[ID]int64{}, map[int64]int{}}
		m.all[who] = mine
	}
	return mine
}

// add counts a thing in a step, and no longer in an earlier one.
func (r *reached) add(what ID, now int64) {
	if then, known := r.what[what]; known {
		r.n[then]--
	}
	r.what[what] = now
	r.n[now]++
}

func (r *reached) standing(now int64, whats []ID) standing {
	s := standing{known: map[ID]int64{}}
	for at, n := range r.n {
		if at >= now-daySteps {
			s.day += n
		}
		if at >= now-hourSteps {
			s.hour += n
		}
	}
	for _, what := range whats {
		if at, ok := r.what[what]; ok && at >= now-daySteps {
			s.known[what] = at
		}
	}
	return s
}

// sweep deletes what is older than a day, once a step.
func (m *memory) sweep(now int64) {
	if now <= m.swept {
		return
	}
	m.swept = now
	for who, mine := range m.all {
		for what, at := range mine.what {
			if at < now-daySteps {
				delete(mine.what, what)
			}
		}
		for at := range mine.n {
			if at < now-daySteps {
				delete(mine.n, at)
			}
		}
		if len(mine.what) == 0 {
			delete(m.all, who)
		}
	}
}
