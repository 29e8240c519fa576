package evidence

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlite"
)

var errKilled = errors.New("killed")

// dying is a database whose process dies at one call of the driver, before it
// or after it: from then on no call is made and none returns well.
type dying struct {
	driver driver.Driver
	dsn    string
	after  bool
	calls  atomic.Int64
	at     int64
}

func (d *dying) Driver() driver.Driver { return d.driver }

func (d *dying) Connect(context.Context) (driver.Conn, error) {
	c, err := d.driver.Open(d.dsn)
	return &dyingConn{c, d}, err
}

type dyingConn struct {
	driver.Conn
	of *dying
}

func dyingCall[T any](d *dying, do func() (T, error)) (out T, err error) {
	n := d.calls.Add(1)
	if n > d.at || n == d.at && !d.after {
		return out, errKilled
	}
	if out, err = do(); err == nil && n == d.at {
		return out, errKilled
	}
	return out, err
}

func (c *dyingConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	return dyingCall(c.of, func() (driver.Result, error) { return c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args) })
}

func (c *dyingConn) QueryContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := dyingCall(c.of, func() (driver.Rows, error) { return c.Conn.(driver.QueryerContext).QueryContext(ctx, q, args) })
	if err != nil && rows != nil {
		_ = rows.Close()
		return nil, err
	}
	return rows, err
}

// TestKillSequencing: a process dies before and after every call of the database
// that opening, appending and giving places make. What it was told is durable is
// there once, whatever else it wrote at most once, and another goes on.
func TestKillSequencing(t *testing.T) {
	work := func(tree *Tree) (told []string) {
		for i := range 3 {
			if tree.Append(ctx, fmt.Append(nil, i, "a"), fmt.Append(nil, i, "b")) == nil {
				told = append(told, fmt.Sprint(i, "a"), fmt.Sprint(i, "b"))
			}
			_ = tree.settle(ctx)
		}
		return told
	}
	for _, dialect := range []string{"sqlite", "postgres"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint(dialect, "/after=", after), func(t *testing.T) {
				if testing.Short() && dialect == "postgres" && after {
					t.Skip("short")
				}
				step := int64(1)
				if testing.Short() {
					step = 5
				}
				for at := int64(1); ; at += step {
					ring := newRing(t)
					dsn := filepath.Join(t.TempDir(), "k.db")
					open := func() *sql.DB {
						db, err := sqlite.Open(dsn)
						require.NoError(t, err)
						return db
					}
					if dialect == "postgres" {
						dsn = server.Start(t).Database(t)
						open = func() *sql.DB { return pgtest.Open(t, dsn) }
					}
					whole := open()
					openTree(t, ring, whole) // the tables
					d := &dying{driver: whole.Driver(), dsn: dsn, after: after, at: at}
					if dialect == "sqlite" {
						d.dsn += "?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)"
					}
					db := sql.OpenDB(d)
					var told []string
					if tree, err := OpenTree(ctx, ring, db); err == nil {
						tree.told.Store(1 << 62) // it does not anchor by itself: the calls are the same every time
						tree.tending = true      // nor give places beside the test
						told = work(tree)
					}
					require.NoError(t, db.Close()) // what it held is let go
					tree := openTree(t, ring, whole)
					require.NoError(t, tree.Append(ctx, []byte("next")))
					var found []string
					_, err := tree.Verify(ctx, func(leaf []byte) error {
						found = append(found, string(leaf))
						return nil
					})
					require.NoError(t, err, at)
					require.Equal(t, "next", found[len(found)-1])
					require.True(t, slices.IsSorted(found[:len(found)-1]), "in order: %v", found)
					require.Len(t, slices.Compact(slices.Clone(found)), len(found), "twice")
					for _, leaf := range told {
						require.Contains(t, found, leaf, at)
					}
					require.NoError(t, whole.Close())
					if d.calls.Load() < at {
						require.Len(t, told, 6)
						require.Greater(t, at, int64(20))
						return
					}
				}
			})
		}
	}
}
