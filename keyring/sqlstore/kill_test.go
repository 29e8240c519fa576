package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"testing"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/killtest"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// A process is killed before and after each call of the driver, so between any
// two statements of a transaction, before its commit and before it knows of it.

func TestKillSQLite(t *testing.T) {
	killtest.Run(t, func(t testing.TB) string { return filepath.Join(t.TempDir(), "keys.db") },
		func(t testing.TB, place string, point func()) keyring.Store {
			db := openDB(t, place)
			const pragmas = "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)"
			return faulty(t, db.Driver(), "file:"+place+pragmas, point)
		})
}

func TestKillPostgres(t *testing.T) {
	var server *pgtest.Server
	if !killtest.Child() {
		server = sqlstore.Server.Start(t)
	}
	killtest.Run(t, func(t testing.TB) string { return server.Database(t) },
		func(t testing.TB, place string, point func()) keyring.Store {
			return faulty(t, pgtest.Open(t, place).Driver(), place, point)
		})
}

func faulty(t testing.TB, d driver.Driver, dsn string, point func()) keyring.Store {
	db := sql.OpenDB(connector{d, dsn, point})
	t.Cleanup(func() { _ = db.Close() })
	return storeIn(t, db)
}

type connector struct {
	driver driver.Driver
	dsn    string
	point  func()
}

func (c connector) Driver() driver.Driver { return c.driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.dsn)
	return conn{inner, c.point}, err
}

type conn struct {
	driver.Conn
	point func()
}

func (c conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.point()
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return tx{inner, c.point}, err
}

func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.point()
	defer c.point()
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
}

func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.point()
	defer c.point()
	return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
}

type tx struct {
	driver.Tx
	point func()
}

func (x tx) Commit() error {
	x.point()
	defer x.point()
	return x.Tx.Commit()
}
