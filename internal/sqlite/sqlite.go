// Package sqlite opens SQLite databases the way rahasia's stores need them:
// durable when a transaction returns, and with deleted bytes overwritten.
package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite": pure Go, no cgo
)

// Open opens the database file at path, made with mode 0600 if it is not there.
// Every connection writes ahead (journal_mode WAL), waits for the disk
// (synchronous FULL), waits 10 s for another's write lock (busy_timeout),
// begins transactions with that lock (so that none fails halfway for want of
// it), enforces foreign keys, overwrites deleted content (secure_delete), and lets
// no view or trigger that somebody wrote into the file call a function with side
// effects (trusted_schema OFF).
// The folder must be there, on a file system with locks and shared memory.
func Open(path string) (*sql.DB, error) {
	if path == "" {
		return nil, errors.New("sqlite: empty path")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	// SQLite would make it readable by all; its WAL takes over this mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db, err := sql.Open("sqlite", DSN(path))
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	conns := max(4, runtime.NumCPU())
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns) // opening one costs a parse of the schema
	if err := db.Ping(); err != nil {
		return nil, fmt.Errorf("sqlite: %w", errors.Join(err, db.Close()))
	}
	return db, nil
}

// Close closes db and waits until no goroutine uses a connection of it any more:
// sql.DB does not, and who removes the folder next would meet files being
// written. After ten seconds it gives up waiting.
func Close(db *sql.DB) error {
	err := db.Close()
	for end := time.Now().Add(10 * time.Second); db.Stats().OpenConnections > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	return err
}

// DSN is what [Open] opens, for tests that put something before the driver. It
// quotes path, so that no character of it becomes a parameter.
func DSN(path string) string {
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	u.RawQuery = url.Values{
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(10000)", // first: the next one needs a lock
			"journal_mode(WAL)",
			"synchronous(FULL)",
			"foreign_keys(ON)",
			"secure_delete(ON)",
			"trusted_schema(OFF)",
		},
	}.Encode()
	return u.String()
}
