package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

// memoryTree keeps the log in memory.
type memoryTree struct {
	mu     sync.RWMutex
	data   [][]byte
	hashes []tlog.Hash
	note   []byte
}

func newMemoryTree() *memoryTree { return &memoryTree{} }

func (m *memoryTree) update(_ context.Context, f func(treeTx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f(m)
}

func (m *memoryTree) view(_ context.Context, f func(treeView) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return f(m)
}

func (m *memoryTree) size() (int64, error)  { return int64(len(m.data)), nil }
func (m *memoryTree) head() ([]byte, error) { return slices.Clone(m.note), nil }

func (m *memoryTree) leaves(from, to int64, each func([]byte) error) error {
	if from < 0 || to > int64(len(m.data)) {
		return ErrTampered
	}
	for _, leaf := range m.data[from:to] {
		if err := each(leaf); err != nil {
			return err
		}
	}
	return nil
}

func (m *memoryTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= int64(len(m.hashes)) {
			return nil, ErrTampered
		}
		out[i] = m.hashes[x]
	}
	return out, nil
}

func (m *memoryTree) put(_ int64, leaves [][]byte, _ int64, hashes []tlog.Hash, note []byte) error {
	m.data, m.hashes, m.note = append(m.data, leaves...), append(m.hashes, hashes...), note
	return nil
}

// sqlTree keeps the log in tables.
type sqlTree struct{ db *database }

func treeTables() []string {
	return []string{
		`CREATE TABLE consent_log (seq INTEGER NOT NULL PRIMARY KEY, leaf BLOB NOT NULL) STRICT`,
		`CREATE TABLE consent_log_hash (id INTEGER NOT NULL PRIMARY KEY, hash BLOB NOT NULL) STRICT`,
		`CREATE TABLE consent_log_head (one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), note BLOB NOT NULL) STRICT`,
	}
}

func newSQLTree(ctx context.Context, db *sql.DB) (*sqlTree, error) {
	d, err := openDatabase(ctx, db, treeTables())
	if err != nil {
		return nil, err
	}
	return &sqlTree{d}, nil
}

// update lets no other process grow the tree in between.
func (s *sqlTree) update(ctx context.Context, f func(treeTx) error) error {
	return s.db.update(ctx, func(c *sql.Conn) error { return f(&sqlTreeTx{ctx, c}) }, `LOCK TABLE consent_log_head IN EXCLUSIVE MODE`)
}

func (s *sqlTree) view(ctx context.Context, f func(treeView) error) error {
	return s.db.view(ctx, func(c *sql.Conn) error { return f(&sqlTreeTx{ctx, c}) })
}

type sqlTreeTx struct {
	ctx  context.Context
	conn *sql.Conn
}

func (t *sqlTreeTx) size() (int64, error) {
	var n int64
	err := t.conn.QueryRowContext(t.ctx, `SELECT coalesce(max(seq) + 1, 0) FROM consent_log`).Scan(&n)
	return n, err
}

func (t *sqlTreeTx) head() ([]byte, error) {
	var note []byte
	err := t.conn.QueryRowContext(t.ctx, `SELECT note FROM consent_log_head`).Scan(&note)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return note, err
}

// leafPage bounds how many leaves are in memory at a time.
const leafPage = 256

func (t *sqlTreeTx) leaves(from, to int64, each func([]byte) error) error {
	for from < to {
		page, err := t.page(from, min(from+leafPage, to))
		if err != nil {
			return err
		}
		for _, leaf := range page {
			if err := each(leaf); err != nil {
				return err
			}
		}
		from += int64(len(page))
	}
	return nil
}

func (t *sqlTreeTx) page(from, to int64) ([][]byte, error) {
	rows, err := t.conn.QueryContext(t.ctx, `SELECT seq, leaf FROM consent_log WHERE seq >= $1 AND seq < $2 ORDER BY seq`, from, to)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page [][]byte
	for rows.Next() {
		var seq int64
		var leaf []byte
		if err := rows.Scan(&seq, &leaf); err != nil {
			return nil, err
		}
		if seq != from+int64(len(page)) {
			return nil, fmt.Errorf("leaf %d: %w", from+int64(len(page)), ErrTampered)
		}
		page = append(page, leaf)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if int64(len(page)) != to-from {
		return nil, fmt.Errorf("leaf %d: %w", from+int64(len(page)), ErrTampered)
	}
	return page, nil
}

func (t *sqlTreeTx) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		var h []byte
		err := t.conn.QueryRowContext(t.ctx, `SELECT hash FROM consent_log_hash WHERE id = $1`, x).Scan(&h)
		if errors.Is(err, sql.ErrNoRows) || err == nil && len(h) != tlog.HashSize {
			return nil, ErrTampered
		}
		if err != nil {
			return nil, err
		}
		out[i] = tlog.Hash(h)
	}
	return out, nil
}

func (t *sqlTreeTx) put(first int64, leaves [][]byte, at int64, hashes []tlog.Hash, note []byte) error {
	insert := func(q string, id int64, b []byte) error {
		_, err := t.conn.ExecContext(t.ctx, q, id, b)
		return err
	}
	for i, leaf := range leaves {
		if err := insert(`INSERT INTO consent_log (seq, leaf) VALUES ($1, $2)`, first+int64(i), leaf); err != nil {
			return err
		}
	}
	for i := range hashes {
		if err := insert(`INSERT INTO consent_log_hash (id, hash) VALUES ($1, $2)`, at+int64(i), hashes[i][:]); err != nil {
			return err
		}
	}
	return insert(`INSERT INTO consent_log_head (one, note) VALUES ($1, $2) ON CONFLICT (one) DO UPDATE SET note = excluded.note`, 1, note)
}
