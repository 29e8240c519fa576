package tally

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/rahasia/rahasia/internal/sqldb"
)

// sqlStore keeps counts in a database: a row for each thing that somebody
// reached, and beside them how many there are of each step, so that a count
// costs no more when many were counted before.
type sqlStore struct {
	db      *sql.DB
	kind    sqldb.Dialect
	dialect dialect
	swept   atomic.Int64 // the step of the last sweep
}

// dialect is what differs between databases.
type dialect struct {
	schema []string
	lock   string // with who as a number: keeps others who count for it waiting
	skip   string // of a selection: leaves out what others have locked
}

func ofSQLite() dialect {
	return dialect{schema: []string{
		`CREATE TABLE consent_guard (
			who BLOB NOT NULL CHECK (length(who) = 16), what BLOB NOT NULL CHECK (length(what) = 16), step INTEGER NOT NULL,
			PRIMARY KEY (who, what)) STRICT, WITHOUT ROWID`,
		`CREATE INDEX consent_guard_step ON consent_guard (step)`,
		`CREATE TABLE consent_guard_count (
			who BLOB NOT NULL CHECK (length(who) = 16), step INTEGER NOT NULL, n INTEGER NOT NULL,
			PRIMARY KEY (who, step)) STRICT, WITHOUT ROWID`,
	}}
}

// ofPostgres counts under READ COMMITTED, where each statement sees what those
// committed who held the lock before.
func ofPostgres() dialect {
	return dialect{lock: `SELECT pg_advisory_xact_lock($1)`, skip: ` FOR UPDATE SKIP LOCKED`, schema: []string{
		`CREATE TABLE consent_guard (
			who bytea NOT NULL CHECK (length(who) = 16), what bytea NOT NULL CHECK (length(what) = 16), step bigint NOT NULL,
			PRIMARY KEY (who, what))`,
		`CREATE INDEX consent_guard_step ON consent_guard (step)`,
		`CREATE TABLE consent_guard_count (
			who bytea NOT NULL CHECK (length(who) = 16), step bigint NOT NULL, n bigint NOT NULL,
			PRIMARY KEY (who, step))`,
	}}
}

// newSQL opens the tables and makes them where none is there: a role that may not
// can open the tally where they are. What was not made with them is
// [sqldb.ErrForeign].
func newSQL(ctx context.Context, db *sql.DB) (*sqlStore, error) {
	kind, err := sqldb.DialectOf(ctx, db)
	if err != nil {
		return nil, err
	}
	s := &sqlStore{db: db, kind: kind, dialect: ofSQLite()}
	if kind == sqldb.Postgres {
		s.dialect = ofPostgres()
	}
	return s, kind.Make(ctx, db, "consent_guard", s.dialect.schema)
}

func (s *sqlStore) count(ctx context.Context, who ID, now int64, choose func(standing) chosen, whats []ID) error {
	err := s.kind.Update(ctx, s.db, func(c *sql.Conn) error {
		if s.dialect.lock != "" {
			if _, err := c.ExecContext(ctx, s.dialect.lock, int64(binary.BigEndian.Uint64(who[:8]))); err != nil {
				return err
			}
		}
		before, err := standingOf(ctx, c, who, now, whats)
		if err != nil {
			return err
		}
		did := choose(before)
		if len(did.admit) == 0 {
			return nil
		}
		if err := put(ctx, c, who, now, did.admit); err != nil {
			return err
		}
		if err := add(ctx, c, who, now, len(did.admit)); err != nil {
			return err
		}
		for then, n := range did.moved {
			if err := add(ctx, c, who, then, -n); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && s.swept.Swap(now) < now {
		s.sweep(ctx, now) // what it leaves, the next step's sweep takes
	}
	return err
}

// page is how many things one statement names.
const page = 100

func standingOf(ctx context.Context, c *sql.Conn, who ID, now int64, whats []ID) (standing, error) {
	s := standing{known: map[ID]int64{}}
	err := c.QueryRowContext(ctx, `SELECT CAST(coalesce(sum(n), 0) AS bigint), CAST(coalesce(sum(CASE WHEN step >= $3 THEN n END), 0) AS bigint)
		FROM consent_guard_count WHERE who = $1 AND step >= $2`, who[:], now-daySteps, now-hourSteps).Scan(&s.day, &s.hour)
	for len(whats) > 0 && err == nil {
		n := min(page, len(whats))
		err = known(ctx, c, who, now, whats[:n], s.known)
		whats = whats[n:]
	}
	return s, err
}

func known(ctx context.Context, c *sql.Conn, who ID, now int64, whats []ID, into map[ID]int64) error {
	args := []any{who[:], now - daySteps}
	for i := range whats {
		args = append(args, whats[i][:])
	}
	rows, err := c.QueryContext(ctx, `SELECT what, step FROM consent_guard WHERE who = $1 AND step >= $2 AND what IN (`+
		parameters(3, len(whats), "$%d")+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var what []byte
		var at int64
		if err := rows.Scan(&what, &at); err != nil {
			return err
		}
		if len(what) == len(ID{}) {
			into[ID(what)] = at
		}
	}
	return rows.Err()
}

func put(ctx context.Context, c *sql.Conn, who ID, now int64, whats []ID) error {
	for len(whats) > 0 {
		n := min(page, len(whats))
		args := []any{who[:], now}
		for i := range whats[:n] {
			args = append(args, whats[i][:])
		}
		_, err := c.ExecContext(ctx, `INSERT INTO consent_guard (who, step, what) VALUES `+parameters(3, n, "($1, $2, $%d)")+
			` ON CONFLICT (who, what) DO UPDATE SET step = excluded.step`, args...)
		if err != nil {
			return err
		}
		whats = whats[n:]
	}
	return nil
}

func add(ctx context.Context, c *sql.Conn, who ID, at int64, n int) error {
	_, err := c.ExecContext(ctx, `INSERT INTO consent_guard_count (who, step, n) VALUES ($1, $2, $3)
		ON CONFLICT (who, step) DO UPDATE SET n = consent_guard_count.n + excluded.n`, who[:], at, n)
	return err
}

// sweep deletes what is older than a day. It waits for nobody's row, so that it
// and those who count never wait for each other.
func (s *sqlStore) sweep(ctx context.Context, now int64) {
	for _, statement := range []string{
		`DELETE FROM consent_guard WHERE (who, what) IN (SELECT who, what FROM consent_guard WHERE step < $1` + s.dialect.skip + `)`,
		`DELETE FROM consent_guard_count WHERE (who, step) IN (SELECT who, step FROM consent_guard_count WHERE step < $1` + s.dialect.skip + `)`,
	} {
		_, _ = s.db.ExecContext(ctx, statement, now-daySteps)
	}
}

// parameters repeats a fragment for numbered parameters from first on.
func parameters(first, n int, fragment string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, fragment, first+i)
	}
	return b.String()
}
