package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/internal/sqldb"
)

// database is a SQLite or PostgreSQL database. Statements number their
// parameters $1, $2 and so on, which both take.
type database struct {
	*sql.DB
	dialect sqldb.Dialect
}

// openDatabase opens the tables that statements make, and makes them where none
// is there, with the statements first after. Something that was not made with them among them is ErrTampered, and
// so are some of them without the rest.
func openDatabase(ctx context.Context, db *sql.DB, statements []string, first ...string) (*database, error) {
	dialect, err := sqldb.DialectOf(ctx, db)
	if err == nil {
		err = dialect.Durable(ctx, db, "what was decided must be known after a power cut")
	}
	if err != nil {
		return nil, err
	}
	if dialect == sqldb.Postgres {
		statements = postgresTables(statements)
	}
	err = dialect.Make(ctx, db, "consent_tables", statements, first...)
	if errors.Is(err, sqldb.ErrForeign) {
		err = fmt.Errorf("tables: %w: %w", err, ErrTampered)
	}
	if err != nil {
		return nil, err
	}
	return &database{db, dialect}, nil
}

// postgresTables are statements for SQLite in PostgreSQL's words.
func postgresTables(statements []string) []string {
	out := make([]string, len(statements))
	for i, s := range statements {
		out[i] = strings.NewReplacer(" INTEGER", " BIGINT", " BLOB", " BYTEA", ") STRICT", ")").Replace(s)
	}
	return out
}

// update runs f in a transaction that writes. SQLite's holds the write lock from
// its beginning on; on PostgreSQL the statement lock, if it is not empty, is the
// first in it.
func (d *database) update(ctx context.Context, f func(*sql.Conn) error, lock string) error {
	return d.dialect.Update(ctx, d.DB, func(c *sql.Conn) error {
		if d.dialect == sqldb.Postgres && lock != "" {
			if _, err := c.ExecContext(ctx, lock); err != nil {
				return err
			}
		}
		return f(c)
	})
}

// view runs f on one state of the database.
func (d *database) view(ctx context.Context, f func(*sql.Conn) error) error {
	return d.dialect.View(ctx, d.DB, f)
}

// listed is n parameters from $1 on, separated by commas.
func listed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", i+1)
	}
	return strings.TrimPrefix(b.String(), ", ")
}
