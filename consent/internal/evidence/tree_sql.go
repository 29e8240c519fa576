package evidence

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/internal/sqldb"
)

// sqlTree keeps the log in tables. A block has no place (seq) until a sequencer
// gives it one; hashes are kept 64 in a row, in the order of tlog.StoredHashIndex;
// the head's row holds the sequencers' lease as well, and is the lock that they
// queue for.
type sqlTree struct {
	db *database

	// writing is held by a writer of this process on SQLite, which would otherwise
	// find the lock of another of them and sleep for longer than it is held.
	writing sync.Mutex
}

func treeTables() []string {
	return []string{
		`CREATE TABLE consent_log (
			id      INTEGER NOT NULL PRIMARY KEY,
			seq     INTEGER UNIQUE,
			version INTEGER NOT NULL,
			leaves  BLOB NOT NULL,
			mac     BLOB NOT NULL
		) STRICT`,
		`CREATE INDEX consent_log_queue ON consent_log (id) WHERE seq IS NULL`,
		`CREATE TABLE consent_log_hash (id INTEGER NOT NULL PRIMARY KEY, hashes BLOB NOT NULL) STRICT`,
		`CREATE TABLE consent_log_head (
			one   INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
			size  INTEGER NOT NULL,
			epoch INTEGER NOT NULL,
			until INTEGER NOT NULL,
			note  BLOB
		) STRICT`,
	}
}

func newSQLTree(ctx context.Context, db *sql.DB) (*sqlTree, error) {
	d, err := openDatabase(ctx, db, treeTables(), `INSERT INTO consent_log_head (one, size, epoch, until) VALUES (1, 0, 0, 0)`)
	if err != nil {
		return nil, err
	}
	return &sqlTree{db: d}, nil
}

// now is the database's clock in milliseconds, so that leases do not depend on
// those of the processes.
func (s *sqlTree) now() string {
	if s.db.dialect == sqldb.Postgres {
		return `CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`
	}
	return `CAST(unixepoch('subsec') * 1000 AS INTEGER)`
}

// alone lets no other writer of this process write at the same time on SQLite.
func (s *sqlTree) alone() (done func()) {
	if s.db.dialect != sqldb.SQLite {
		return func() {}
	}
	s.writing.Lock()
	return s.writing.Unlock
}

func (s *sqlTree) queue(ctx context.Context, blocks []block, size int64) error {
	defer s.alone()()
	if len(blocks) == 1 {
		return s.insert(ctx, s.db, &blocks[0], size)
	}
	return s.db.update(ctx, func(c *sql.Conn) error {
		for i := range blocks {
			if err := s.insert(ctx, c, &blocks[i], size); err != nil {
				return err
			}
		}
		return nil
	}, "")
}

type executor interface {
	sqldb.Querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func (s *sqlTree) insert(ctx context.Context, e executor, b *block, size int64) error {
	n, err := changed(e.ExecContext(ctx, `INSERT INTO consent_log (id, version, leaves, mac)
		SELECT $1, $2, $3, $4 WHERE (SELECT size FROM consent_log_head) >= $5 ON CONFLICT (id) DO NOTHING`,
		b.id, int64(b.version), b.leaves, b.mac[:], size))
	if err != nil || n == 1 {
		return err
	}
	var taken bool
	if err := e.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM consent_log WHERE id = $1)`, b.id).Scan(&taken); err != nil {
		return err
	}
	if taken {
		return errTaken
	}
	return errShorter
}

func changed(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (s *sqlTree) view(ctx context.Context, f func(treeView) error) error {
	return s.db.view(ctx, func(c *sql.Conn) error { return f(&sqlView{ctx: ctx, conn: c, now: s.now(), rows: map[int64][]byte{}}) })
}

// lease is how long a sequencer may be silent before another takes over.
const lease = 2 * time.Second

func (s *sqlTree) grow(ctx context.Context, g *growth) error {
	defer s.alone()()
	return s.db.update(ctx, func(c *sql.Conn) error {
		epoch, until := g.old.epoch, `0`
		if !g.mine {
			epoch++
		}
		if g.keep {
			until = fmt.Sprintf(`%s + %d`, s.now(), lease.Milliseconds())
		}
		// The head first: its row is the lock, and says whether the lease still holds.
		if err := one(c.ExecContext(ctx, `UPDATE consent_log_head SET size = $1, epoch = $2, note = $3, until = `+until+`
			WHERE size = $4 AND epoch = $5 AND ($6 = 1 OR until <= `+s.now()+`)`,
			g.size, epoch, g.note, g.old.size, g.old.epoch, number(g.mine))); err != nil {
			return err
		}
		for i := range g.blocks {
			if err := one(c.ExecContext(ctx, `UPDATE consent_log SET seq = $1 WHERE id = $2 AND seq IS NULL`, g.blocks[i].first, g.blocks[i].id)); err != nil {
				return err
			}
		}
		return putHashes(ctx, c, g.at, g.hashes)
	}, "")
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// one is errMoved for a statement that did not change one row.
func one(res sql.Result, err error) error {
	n, err := changed(res, err)
	if err == nil && n != 1 {
		err = errMoved
	}
	return err
}

// hashRow is how many hashes a row holds.
const hashRow = 64

// putHashes appends hashes whose stored indexes begin at at.
func putHashes(ctx context.Context, c executor, at int64, hashes []tlog.Hash) error {
	row, begun := at/hashRow, int(at%hashRow)*tlog.HashSize
	var b []byte
	if begun > 0 {
		if err := c.QueryRowContext(ctx, `SELECT hashes FROM consent_log_hash WHERE id = $1`, row).Scan(&b); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if len(b) != begun {
			return ErrTampered
		}
	}
	for len(hashes) > 0 {
		n := min(len(hashes), hashRow-len(b)/tlog.HashSize)
		for _, h := range hashes[:n] {
			b = append(b, h[:]...)
		}
		if _, err := c.ExecContext(ctx, `INSERT INTO consent_log_hash (id, hashes) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes`, row, b); err != nil {
			return err
		}
		hashes, b, row = hashes[n:], nil, row+1
	}
	return nil
}

type sqlView struct {
	ctx  context.Context
	conn *sql.Conn
	now  string
	rows map[int64][]byte // of hashes that were read: they are those of one state
}

// maxRows bounds them.
const maxRows = 256

func (v *sqlView) state() (s state, err error) {
	err = v.conn.QueryRowContext(v.ctx, `SELECT size, epoch, until > `+v.now+`, note,
		EXISTS (SELECT 1 FROM consent_log WHERE seq >= size) FROM consent_log_head`).Scan(&s.size, &s.epoch, &s.held, &s.note, &s.beyond)
	if errors.Is(err, sql.ErrNoRows) {
		return s, fmt.Errorf("head: %w", ErrTampered)
	}
	return s, err
}

const blockColumns = `SELECT id, seq, version, leaves, mac FROM consent_log `

// blockPage bounds how many blocks are in memory at a time.
const blockPage = 16

func (v *sqlView) placed(from, to int64, each func(*block) error) error {
	var at sql.NullInt64
	if err := v.conn.QueryRowContext(v.ctx, `SELECT max(seq) FROM consent_log WHERE seq <= $1`, from).Scan(&at); err != nil {
		return err
	}
	for next := at.Int64; next < to; {
		page, err := v.blocks(`WHERE seq >= $1 AND seq < $2 ORDER BY seq LIMIT $3`, next, to, blockPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			if err := each(&page[i]); err != nil {
				return err
			}
		}
		next = page[len(page)-1].first + 1
	}
	return nil
}

func (v *sqlView) unplaced(most int) ([]block, error) {
	return v.blocks(`WHERE seq IS NULL ORDER BY id LIMIT $1`, most)
}

func (v *sqlView) byID(ids []int64) ([]block, error) {
	args := make([]any, len(ids))
	for i := range ids {
		args[i] = ids[i]
	}
	return v.blocks(`WHERE id IN (`+listed(len(ids))+`)`, args...)
}

func (v *sqlView) newestUnplaced() (id int64, err error) {
	err = v.conn.QueryRowContext(v.ctx, `SELECT coalesce(max(id), 0) FROM consent_log WHERE seq IS NULL`).Scan(&id)
	return id, err
}

func (v *sqlView) blocks(where string, args ...any) (out []block, err error) {
	rows, err := v.conn.QueryContext(v.ctx, blockColumns+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var b block
		var seq sql.NullInt64
		var version int64
		var mac []byte
		if err := rows.Scan(&b.id, &seq, &version, &b.leaves, &mac); err != nil {
			return nil, err
		}
		b.version, b.first = uint32(version), unplaced
		if seq.Valid {
			b.first = seq.Int64
		}
		if int64(b.version) != version || len(mac) != len(b.mac) || seq.Valid && seq.Int64 < 0 {
			return nil, ErrTampered
		}
		copy(b.mac[:], mac)
		out = append(out, b)
	}
	return out, rows.Err()
}

// ReadHashes is tlog.HashReader's.
func (v *sqlView) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if len(v.rows) > maxRows {
		clear(v.rows)
	}
	var args []any
	for _, x := range indexes {
		if _, again := v.rows[x/hashRow]; !again {
			v.rows[x/hashRow], args = nil, append(args, x/hashRow)
		}
	}
	for part := range slices.Chunk(args, 500) {
		if err := v.hashRows(part); err != nil {
			return nil, err
		}
	}
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		row, at := v.rows[x/hashRow], int(x%hashRow)*tlog.HashSize
		if len(row)%tlog.HashSize != 0 || len(row) < at+tlog.HashSize {
			return nil, fmt.Errorf("hashes: %w", ErrTampered)
		}
		out[i] = tlog.Hash(row[at : at+tlog.HashSize])
	}
	return out, nil
}

func (v *sqlView) hashRows(ids []any) error {
	found, err := v.conn.QueryContext(v.ctx, `SELECT id, hashes FROM consent_log_hash WHERE id IN (`+listed(len(ids))+`)`, ids...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		var id int64
		var hashes sql.RawBytes
		if err := found.Scan(&id, &hashes); err != nil {
			return err
		}
		if len(hashes) > hashRow*tlog.HashSize {
			return fmt.Errorf("hashes: %w", ErrTampered)
		}
		v.rows[id] = bytes.Clone(hashes)
	}
	return found.Err()
}
