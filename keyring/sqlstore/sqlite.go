package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rahasia/rahasia/internal/sqldb"
	"github.com/rahasia/rahasia/keyring"
)

// sqlite is the dialect of SQLite, whose connections begin a transaction with
// the write lock: nothing needs a lock of its own.
func sqlite() dialect {
	return dialect{
		begin:      beginSQLite,
		present:    `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'rahasia_schema'`,
		migrations: [][]string{sqliteTables()},
		keyReplace: `compartment = excluded.compartment, generation = excluded.generation, version = excluded.version,
			state = excluded.state, wrapped = excluded.wrapped, commitment = excluded.commitment`,
		keyRead: upTo(`tag`, 16) + `, ` + upTo(`compartment`, maxCompartment) + `, generation, version, state, ` +
			upTo(`wrapped`, maxWrapped) + `, ` + upTo(`commitment`, 32),
		tag:      `$`,
		inactive: `state <> 1`,
		stale:    `state = 1 AND compartment = $ AND version <> $`,
		put:      putSQLite,
		pick:     pickSQLite,
		// Below 1,000 parameters, the limit in any build.
		written: 100, // seven each
		read:    900, // one
		check:   checkSQLite,
		intact:  intact(sqldb.SQLite, sqliteTables()),
		objects: sqldb.SQLite.Objects(sqliteTables()),
		scrub:   scrubSQLite,
	}
}

func sqliteTables() []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS rahasia_schema (
			version INTEGER PRIMARY KEY
		) STRICT`,
		`CREATE TABLE IF NOT EXISTS rahasia_head (
			one  INTEGER PRIMARY KEY CHECK (one = 1),
			ring TEXT    NOT NULL,
			seq  INTEGER NOT NULL,
			hash BLOB    NOT NULL CHECK (length(hash) = 32)
		) STRICT`,
		`CREATE TABLE IF NOT EXISTS rahasia_keysets (
			name     TEXT    NOT NULL,
			active   INTEGER NOT NULL CHECK (active IN (0, 1)),
			revision INTEGER NOT NULL,
			digest   BLOB    NOT NULL CHECK (length(digest) = 32),
			wrapped  BLOB    NOT NULL,
			PRIMARY KEY (name, active)
		) STRICT, WITHOUT ROWID`,
		`CREATE TABLE IF NOT EXISTS rahasia_keys (
			tag         BLOB    PRIMARY KEY CHECK (length(tag) = 16),
			compartment TEXT    NOT NULL,
			generation  INTEGER NOT NULL,
			version     INTEGER NOT NULL,
			state       INTEGER NOT NULL,
			wrapped     BLOB    NOT NULL,
			commitment  BLOB    NOT NULL CHECK (length(commitment) = 32)
		) STRICT, WITHOUT ROWID`,
		`CREATE INDEX IF NOT EXISTS rahasia_inactive ON rahasia_keys (tag) WHERE state <> 1`,
	}
}

func putSQLite(recs []keyring.KeyRecord) (string, []any) {
	args := make([]any, 0, 7*len(recs))
	for i := range recs {
		r := &recs[i]
		args = append(args, r.Tag[:], r.Compartment, int64(r.Generation), int64(r.Version), int64(r.State), notNil(r.Wrapped), r.Commitment[:])
	}
	return `INSERT INTO rahasia_keys (tag, compartment, generation, version, state, wrapped, commitment) VALUES ` +
		times(len(recs), `($, $, $, $, $, $, $)`), args
}

func pickSQLite(tags []keyring.Tag) (string, []any) {
	args := make([]any, len(tags))
	for i := range args {
		args[i] = tags[i][:]
	}
	return `tag IN (` + times(len(tags), `$`) + `)`, args
}

func checkSQLite(ctx context.Context, db *sql.DB) error {
	if err := sqldb.SQLite.Durable(ctx, db, mustSurvive); err != nil {
		return failed(ctx, err)
	}
	var secureDelete int
	var journal string
	err := errors.Join(
		db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal),
		db.QueryRowContext(ctx, `PRAGMA secure_delete`).Scan(&secureDelete))
	switch {
	case err != nil:
		return failed(ctx, err)
	case journal == "persist":
		return errors.New("sqlstore: SQLite has PRAGMA journal_mode = persist: an erased key would stay in the rollback journal")
	case secureDelete != 1:
		return errors.New("sqlstore: open SQLite with PRAGMA secure_delete = ON: an erased key must leave the file")
	}
	return nil
}

// How long SQLite itself waits, for a lock and for readers to be gone.
const (
	lockWait   = 20 * time.Millisecond
	readerWait = 100 * time.Millisecond
)

// beginSQLite waits for the write lock as long as the connection's busy_timeout
// says, or until the context ends: SQLite's own wait does not hear of that.
func beginSQLite(ctx context.Context, conn *sql.Conn) (tx *sql.Tx, err error) {
	err = waiting(ctx, conn, lockWait, func(most time.Duration) error {
		for start := time.Now(); ; {
			tx, err = conn.BeginTx(ctx, nil)
			if err == nil || !locked(err) || time.Since(start) >= most {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	})
	if err != nil && tx != nil {
		return nil, errors.Join(err, rollback(tx))
	}
	return tx, err
}

// locked reports whether another has the lock, by SQLite's own words: drivers
// have types of their own.
func locked(err error) bool { return strings.Contains(err.Error(), "database is locked") }

// waiting runs do while SQLite waits for locks no longer than a moment, and
// tells it how long it would have waited.
func waiting(ctx context.Context, conn *sql.Conn, moment time.Duration, do func(most time.Duration) error) (err error) {
	var most int64
	if err := conn.QueryRowContext(ctx, `PRAGMA busy_timeout`).Scan(&most); err != nil {
		return err
	}
	wait := func(ctx context.Context, milliseconds int64) error {
		_, err := conn.ExecContext(ctx, fmt.Sprintf(`PRAGMA busy_timeout = %d`, milliseconds))
		return err
	}
	// The connection goes back to the pool as it came, whatever happened.
	defer func() { err = errors.Join(err, wait(context.WithoutCancel(ctx), most)) }()
	if err := wait(ctx, min(most, moment.Milliseconds())); err != nil {
		return err
	}
	return do(time.Duration(most) * time.Millisecond)
}

// scrubSQLite moves the write-ahead log into the database and empties it. That
// a reader is in its way for longer than a moment is not an error: the next
// checkpoint does it.
func scrubSQLite(ctx context.Context, db *sql.DB) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	err = waiting(ctx, conn, readerWait, func(time.Duration) error {
		_, err := conn.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
		return err
	})
	return errors.Join(err, conn.Close())
}
