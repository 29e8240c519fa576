package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
)

// Update runs f in a transaction that writes. SQLite's holds the write lock from
// its beginning on; in PostgreSQL's each statement sees what was committed before it.
func (d Dialect) Update(ctx context.Context, db *sql.DB, f func(*sql.Conn) error) error {
	if d == SQLite {
		return transact(ctx, db, "BEGIN IMMEDIATE", "COMMIT", f)
	}
	return transact(ctx, db, "BEGIN ISOLATION LEVEL READ COMMITTED", "COMMIT", f)
}

// View runs f on one state of the database.
func (d Dialect) View(ctx context.Context, db *sql.DB, f func(*sql.Conn) error) error {
	if d == SQLite {
		return transact(ctx, db, "BEGIN DEFERRED", "ROLLBACK", f)
	}
	return transact(ctx, db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "ROLLBACK", f)
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

// Make makes the tables of statements where none of them is there, with the
// statements first after, and leaves them where they are: a role that may not make
// any can open them. What was not made with them is [ErrForeign], and so are some
// of them without the rest. lock names the tables among those who make some at the
// same time.
func (d Dialect) Make(ctx context.Context, db *sql.DB, lock string, statements []string, first ...string) error {
	if there, err := d.complete(ctx, db, statements); err != nil || there {
		return err
	}
	return d.Update(ctx, db, func(c *sql.Conn) error {
		if d == Postgres {
			if _, err := c.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, lock); err != nil {
				return err
			}
		}
		if there, err := d.complete(ctx, c, statements); err != nil || there {
			return err // another process was first
		}
		for _, s := range slices.Concat(statements, first) {
			if _, err := c.ExecContext(ctx, s); err != nil {
				return fmt.Errorf("schema: %w", err)
			}
		}
		return nil
	})
}

// complete reports whether all of the tables are there, as they were made.
func (d Dialect) complete(ctx context.Context, q Querier, statements []string) (bool, error) {
	n, err := d.Intact(ctx, q, statements)
	if want := d.Objects(statements); err == nil && n != 0 && n != want {
		err = fmt.Errorf("%d of %d tables and indexes: %w", n, want, ErrForeign)
	}
	return n != 0, err
}
