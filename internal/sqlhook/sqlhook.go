// Package sqlhook opens databases whose driver calls a test before and after
// each of its own calls: that is where a process can die, or a disk fail.
package sqlhook

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// Hook is called before each call of the driver, so between any two statements
// of a transaction, with the statement, "prepare " and the statement, "begin",
// "commit" or "row"; and with [After] before the same text once a statement or a
// commit is done. Its error is the call's. Several goroutines may call it.
type Hook func(ctx context.Context, call string) error

// After stands before the call that is done.
const After = "after "

// Open opens the database at dsn by way of the driver d, as sql.Open does.
func Open(d driver.Driver, dsn string, h Hook) *sql.DB { return sql.OpenDB(connector{d, dsn, h}) }

type connector struct {
	driver driver.Driver
	dsn    string
	hook   Hook
}

func (c connector) Driver() driver.Driver { return c.driver }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	inner, err := c.driver.Open(c.dsn)
	return conn{inner, c.hook}, err
}

type conn struct {
	driver.Conn
	hook Hook
}

// around does a call between its two hooks.
func around[T any](ctx context.Context, h Hook, call string, do func() (T, error)) (out T, err error) {
	if err := h(ctx, call); err != nil {
		return out, err
	}
	if out, err = do(); err != nil {
		return out, err
	}
	return out, h(ctx, After+call)
}

func (c conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if err := c.hook(ctx, "begin"); err != nil {
		return nil, err
	}
	inner, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return tx{inner, c.hook}, err
}

func (c conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return around(ctx, c.hook, query, func() (driver.Result, error) { return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args) })
}

func (c conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.hook(ctx, query); err != nil {
		return nil, err
	}
	inner, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if err != nil {
		return nil, err
	}
	if err := c.hook(ctx, After+query); err != nil {
		_ = inner.Close()
		return nil, err
	}
	return rows{inner, c.hook}, nil
}

func (c conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.hook(ctx, "prepare "+query); err != nil {
		return nil, err
	}
	return c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
}

type rows struct {
	driver.Rows
	hook Hook
}

func (r rows) Next(dest []driver.Value) error {
	if err := r.hook(context.Background(), "row"); err != nil {
		return err
	}
	return r.Rows.Next(dest)
}

type tx struct {
	driver.Tx
	hook Hook
}

func (x tx) Commit() error {
	_, err := around(context.Background(), x.hook, "commit", func() (any, error) { return nil, x.Tx.Commit() })
	return err
}
