// Package sqldb is what the stores on SQLite and PostgreSQL share: which of the
// two a database is, whether it is durable, and whether tables are still as they
// were made, with nothing planted among them.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// ErrForeign is returned where something is among the tables that was not made
// with them.
var ErrForeign = errors.New("not as it was made")

// Dialect is a kind of database. The zero Dialect is none.
type Dialect int

// The databases that there are stores for.
const (
	SQLite Dialect = iota + 1
	Postgres
)

// Querier is a database, a connection or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DialectOf asks the database what it is.
func DialectOf(ctx context.Context, q Querier) (Dialect, error) {
	var version string
	err := q.QueryRowContext(ctx, `SELECT version()`).Scan(&version)
	if err == nil && strings.HasPrefix(version, "PostgreSQL ") {
		return Postgres, nil
	}
	lite := q.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version)
	if lite == nil {
		return SQLite, nil
	}
	return 0, fmt.Errorf("neither PostgreSQL nor SQLite: %w", errors.Join(err, lite))
}

// Durable refuses settings under which what was committed can be gone, or half
// there, after a crash; why says what must survive one.
func (d Dialect) Durable(ctx context.Context, q Querier, why string) error {
	if d == Postgres {
		for _, name := range []string{"synchronous_commit", "fsync", "full_page_writes"} {
			var value string
			if err := q.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
				return err
			}
			if value == "off" {
				return fmt.Errorf("PostgreSQL has %s = off: %s", name, why)
			}
		}
		return nil
	}
	var synchronous int
	var journal string
	err := errors.Join(
		q.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal),
		q.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous))
	switch {
	case err != nil:
		return err
	case journal == "off" || journal == "memory":
		return fmt.Errorf("SQLite has PRAGMA journal_mode = %s: a process that dies in a commit would leave half of it", journal)
	case synchronous < 2:
		return fmt.Errorf("open SQLite with PRAGMA synchronous = FULL: %s", why)
	}
	return nil
}
