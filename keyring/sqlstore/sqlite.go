package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// sqlite is the dialect of SQLite, whose connections begin a transaction with
// the write lock: nothing needs a lock of its own.
func sqlite() dialect {
	const columns = `tag, compartment, generation, version, state, wrapped, commitment`
	return dialect{
		present:    `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'rahasia_schema'`,
		migrations: [][]string{sqliteTables()},
		keyColumns: columns,
		keyValues:  `($, $, $, $, $, $, $)`,
		keyReplace: `compartment = excluded.compartment, generation = excluded.generation, version = excluded.version,
			state = excluded.state, wrapped = excluded.wrapped, commitment = excluded.commitment`,
		keyRead:  columns,
		tag:      `$`,
		inactive: `state <> 1`,
		stale:    `state = 1 AND compartment = $ AND version <> $`,
		check:    checkSQLite,
		scrub:    scrubSQLite,
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

func checkSQLite(ctx context.Context, db *sql.DB) error {
	var synchronous, secureDelete int
	err := errors.Join(
		db.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous),
		db.QueryRowContext(ctx, `PRAGMA secure_delete`).Scan(&secureDelete))
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: %w", err)
	case synchronous < 2:
		return errors.New("sqlstore: open SQLite with PRAGMA synchronous = FULL: an erasure must survive a power cut")
	case secureDelete != 1:
		return errors.New("sqlstore: open SQLite with PRAGMA secure_delete = ON: an erased key must leave the file")
	}
	return nil
}

// scrubSQLite moves the write-ahead log into the database and empties it. That
// it waits for no reader is not an error: the next checkpoint does it.
func scrubSQLite(ctx context.Context, db *sql.DB) error {
	_, err := db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}
