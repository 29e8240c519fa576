package clinic

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"time"
)

// noteStudy records that a table was given, and to whom: where one turns up, the
// officer knows which there are.
func (c *Clinic) noteStudy(ctx context.Context, s *Study) error {
	_, err := c.db.ExecContext(ctx, `INSERT INTO exports (id, at, actor, recipient, subject, k, given, left_out) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		s.ID, s.At.UnixMilli(), s.Actor, s.Recipient, s.Of, s.K, len(s.Rows), s.Out())
	return err
}

// Made is a table that an institution was given.
type Made struct {
	ID      string    `json:"id"`
	Actor   string    `json:"actor"`
	Of      string    `json:"of"`
	At      time.Time `json:"at"`
	K       int       `json:"k"`
	Given   int       `json:"given"`
	LeftOut int       `json:"leftOut"`
	Here    bool      `json:"here"` // it can still be downloaded
}

// Made returns the tables of the researcher's institution, newest first.
func (c *Clinic) Made(ctx context.Context, u User) ([]Made, error) {
	if err := u.must(Researcher); err != nil {
		return nil, err
	}
	return collect(ctx, c.db, func(rows *sql.Rows) (m Made, err error) {
		var at int64
		err = rows.Scan(&m.ID, &at, &m.Actor, &m.Of, &m.K, &m.Given, &m.LeftOut)
		m.At = time.UnixMilli(at)
		m.Here = c.studies.get(m.ID, u, c.now()) != nil
		return m, err
	}, `SELECT id, at, actor, subject, k, given, left_out FROM exports WHERE recipient = $1 ORDER BY at DESC LIMIT 50`, u.Recipient)
}

// StudyOf returns a study that was made within the hour, to whoever asked for it.
func (c *Clinic) StudyOf(u User, id string) (*Study, error) {
	if err := u.must(Researcher); err != nil {
		return nil, err
	}
	if s := c.studies.get(id, u, c.now()); s != nil {
		return s, nil
	}
	return nil, ErrNotFound
}

// studies are the tables of the last hour. They are kept in memory alone: what lies
// on a disk is copied, and a table has left the decisions behind.
type studies struct {
	making sync.Mutex

	mu  sync.Mutex
	all []*Study
}

// How long, and how many, tables are kept.
const (
	studyLasts = time.Hour
	maxStudies = 16
)

func (s *studies) keep(study *Study, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = slices.DeleteFunc(s.all, func(old *Study) bool { return now.Sub(old.At) > studyLasts })
	s.all = append(s.all, study)
	s.all = s.all[max(0, len(s.all)-maxStudies):]
}

func (s *studies) get(id string, u User, now time.Time) *Study {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, study := range s.all {
		if study.ID == id && study.Actor == u.Name && now.Sub(study.At) <= studyLasts {
			return study
		}
	}
	return nil
}
