package evidence

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
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
	d := &database{db, dialect}
	if dialect == sqldb.Postgres {
		statements = postgresTables(statements)
	}
	there, err := d.intact(ctx, db, statements)
	if err != nil || there {
		return d, err
	}
	return d, d.update(ctx, func(c *sql.Conn) error {
		if there, err := d.intact(ctx, c, statements); err != nil || there {
			return err // another process was first
		}
		for _, s := range slices.Concat(statements, first) {
			if _, err := c.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("schema: %w", err)
			}
		}
		return nil
	}, creating)
}

// creating keeps processes from making the tables at the same time.
const creating = `SELECT pg_advisory_xact_lock(hashtext('consent_tables'))`

// intact reports whether the tables are there, as they were made.
func (d *database) intact(ctx context.Context, q sqldb.Querier, statements []string) (bool, error) {
	n, err := d.dialect.Intact(ctx, q, statements)
	switch {
	case errors.Is(err, sqldb.ErrForeign):
		return false, fmt.Errorf("tables: %w: %w", err, ErrTampered)
	case err != nil:
		return false, err
	case n != 0 && n != d.dialect.Objects(statements):
		return false, fmt.Errorf("%d of %d tables and indexes: %w", n, d.dialect.Objects(statements), ErrTampered)
	}
	return n != 0, nil
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
	if d.dialect == sqldb.SQLite {
		return transact(ctx, d.DB, "BEGIN IMMEDIATE", "COMMIT", f)
	}
	return transact(ctx, d.DB, "BEGIN ISOLATION LEVEL READ COMMITTED", "COMMIT", func(c *sql.Conn) error {
		if lock != "" {
			if _, err := c.ExecContext(ctx, lock); err != nil {
				return err
			}
		}
		return f(c)
	})
}

// view runs f on one state of the database.
func (d *database) view(ctx context.Context, f func(*sql.Conn) error) error {
	begin := "BEGIN DEFERRED"
	if d.dialect == sqldb.Postgres {
		begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	return transact(ctx, d.DB, begin, "ROLLBACK", f)
}

// transact runs f on one connection between the statements begin and end. It
// does not use database/sql's transactions, which take SQLite's write lock for
// a view too where the connection string says so.
func transact(ctx context.Context, db *sql.DB, begin, end string, f func(*sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	if err = f(conn); err == nil {
		if _, err = conn.ExecContext(ctx, end); err == nil {
			return nil
		}
	}
	if _, undone := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); undone != nil {
		// Half a transaction must not wait in the pool for another's COMMIT.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return err // the first error is the one to tell
}

// listed is n parameters from $1 on, separated by commas.
func listed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", i+1)
	}
	return strings.TrimPrefix(b.String(), ", ")
}
