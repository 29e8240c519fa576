package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// dialect is what differs between databases; the statements in store.go are
// the same for all, with numbered parameters.
type dialect struct {
	// schema makes the tables where they are not there.
	schema []string
	// check refuses a connection that would not be durable or not forget.
	check func(ctx context.Context, db *sql.DB) error
	// scrub runs after tombstones or a keyset were committed, so that the overwritten
	// bytes leave the write-ahead log too.
	scrub func(ctx context.Context, db *sql.DB) error
}

// schemaVersion counts incompatible changes of the tables.
const schemaVersion = 1

// dialectOf asks the database what it is.
func dialectOf(ctx context.Context, db *sql.DB) (dialect, error) {
	var version string
	if err := db.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		if ctx.Err() != nil {
			return dialect{}, ctx.Err()
		}
		return dialect{}, fmt.Errorf("sqlstore: not SQLite, the only database supported yet: %w", err)
	}
	return dialect{schema: sqliteSchema(), check: checkSQLite, scrub: scrubSQLite}, nil
}

func sqliteSchema() []string {
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
		`CREATE INDEX IF NOT EXISTS rahasia_tombstones ON rahasia_keys (tag) WHERE state = 2`,
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
