package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// memoryChain keeps the chain in memory.
type memoryChain struct {
	mu     sync.Mutex
	events []event
	by     map[reference][]int
}

func (m *memoryChain) after(_ context.Context, seq uint64) ([]event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq >= uint64(len(m.events)) {
		return nil, nil
	}
	return slices.Clone(m.events[seq:]), nil
}

func (m *memoryChain) of(_ context.Context, refs []reference, upTo uint64) ([]event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var at []int
	for _, r := range refs {
		at = append(at, m.by[r]...)
	}
	slices.Sort(at)
	var out []event
	for _, n := range at {
		if uint64(n) < upTo {
			out = append(out, m.events[n])
		}
	}
	return out, nil
}

func (m *memoryChain) append(_ context.Context, e event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.seq != uint64(len(m.events))+1 {
		return errMoved
	}
	if m.by == nil {
		m.by = map[reference][]int{}
	}
	m.by[e.subject] = append(m.by[e.subject], len(m.events))
	m.events = append(m.events, e)
	return nil
}

// sqlChain keeps the chain in a table, one row an event.
type sqlChain struct{ db *database }

func chainTables() []string {
	return []string{
		`CREATE TABLE consent_ledger (
			seq     INTEGER NOT NULL PRIMARY KEY,
			version INTEGER NOT NULL,
			subject BLOB NOT NULL,
			body    BLOB NOT NULL,
			prev    BLOB NOT NULL,
			mac     BLOB NOT NULL
		) STRICT`,
		`CREATE INDEX consent_ledger_subject ON consent_ledger (subject, seq)`,
	}
}

func newSQLChain(ctx context.Context, db *sql.DB) (*sqlChain, error) {
	d, err := openDatabase(ctx, db, chainTables())
	if err != nil {
		return nil, err
	}
	return &sqlChain{d}, nil
}

const eventColumns = `SELECT seq, version, subject, body, prev, mac FROM consent_ledger `

func (s *sqlChain) after(ctx context.Context, seq uint64) ([]event, error) {
	return s.query(ctx, eventColumns+`WHERE seq > $1 ORDER BY seq LIMIT 1000`, int64(seq))
}

func (s *sqlChain) of(ctx context.Context, refs []reference, upTo uint64) ([]event, error) {
	args := make([]any, len(refs), len(refs)+1)
	for i := range refs {
		args[i] = refs[i][:]
	}
	return s.query(ctx, fmt.Sprintf(eventColumns+`WHERE subject IN (%s) AND seq <= $%d ORDER BY seq`, listed(len(refs)), len(refs)+1), append(args, int64(upTo))...)
}

func (s *sqlChain) query(ctx context.Context, q string, args ...any) ([]event, error) {
	rows, err := s.db.QueryContext(ctx, q, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []event
	for rows.Next() {
		var e event
		var seq int64
		var subject, prev, mac []byte
		if err := rows.Scan(&seq, &e.version, &subject, &e.body, &prev, &mac); err != nil {
			return nil, err
		}
		if seq < 1 || len(subject) != len(e.subject) || len(prev) != len(e.prev) || len(mac) != len(e.mac) {
			return nil, ErrTampered
		}
		e.seq = uint64(seq)
		copy(e.subject[:], subject)
		copy(e.prev[:], prev)
		copy(e.mac[:], mac)
		out = append(out, e)
	}
	return out, rows.Err()
}

// append relies on the primary key: of two processes that write the same place
// in the chain, the second is refused.
func (s *sqlChain) append(ctx context.Context, e event) error {
	res, err := s.db.ExecContext(ctx, `INSERT INTO consent_ledger (seq, version, subject, body, prev, mac)
		SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT coalesce(max(seq), 0) FROM consent_ledger) = $7 ON CONFLICT (seq) DO NOTHING`,
		int64(e.seq), int64(e.version), e.subject[:], e.body, e.prev[:], e.mac[:], int64(e.seq)-1)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return errors.New("rows affected unknown")
	}
	if n != 1 {
		return errMoved
	}
	return nil
}
