// Package evidence keeps the two records of package consent that must not be
// changed unseen: the ledger's [Chain] of events, and the audit log's [Tree].
// It knows nothing about what events and leaves say.
//
// Both live in a SQLite database, whose tables are made where they are missing,
// or in memory, where the database given is nil.
package evidence

import (
	"context"
	"database/sql"
	"errors"
)

// ErrTampered is returned for a chain or tree that is not as it was written.
var ErrTampered = errors.New("changed by other hands")

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
	_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // the first error is the one to tell
	return err
}
