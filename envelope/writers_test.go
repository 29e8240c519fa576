//go:build unix

package envelope

import (
	"context"
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// TestTwoWriters: each sealing has another seal id, so the row is its own
// revision. Two writers that replace it only where it still is what they read
// lose no update; two that do not look lose some.
func TestTwoWriters(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		db, err := sqlite.Open(t.TempDir() + "/app.db")
		require.NoError(t, err)
		defer db.Close()
		twoWriters(t, db, "BLOB", func(q string) string { return strings.ReplaceAll(q, "$", "?") })
	})
	t.Run("postgres", func(t *testing.T) {
		server := pgtest.Start(t)
		twoWriters(t, pgtest.Open(t, server.Database(t)), "BYTEA", func(q string) string { return q })
	})
}

// tally is a record that both writers change: each its own field, and one.
type tally struct {
	ID          string `phi:"subject"`
	Total       int
	Left, Right int `phi:"sensitive"`
}

func twoWriters(t *testing.T, db *sql.DB, blob string, q func(string) string) {
	const each = 40
	ctx := context.Background()
	c := newCodec[tally](t, "tally", newRing(t, "r", "clinical", "sensitive"))
	_, err := db.ExecContext(ctx, "CREATE TABLE tallies (id TEXT PRIMARY KEY, sealed "+blob+" NOT NULL)")
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, q("INSERT INTO tallies VALUES ($1, $2)"), "p1", seal(t, c, &tally{ID: "p1"}))
	require.NoError(t, err)

	// once reads the record, counts, and says whether its row was written. Both
	// have read before one of them writes, in the rounds that barrier makes.
	once := func(right bool, where string, barrier func()) bool {
		var old Sealed
		if err := db.QueryRowContext(ctx, "SELECT sealed FROM tallies").Scan(&old); err != nil {
			t.Error(err)
			return true
		}
		v := tally{ID: "p1"}
		if err := c.Open(ctx, &v, old); err != nil {
			t.Error(err)
			return true
		}
		v.Total++
		field := "Left"
		if v.Left++; right {
			v.Left--
			v.Right++
			field = "Right"
		}
		r, err := c.Begin(ctx, &v, old)
		if err != nil {
			t.Error(err)
			return true
		}
		row, err := c.Reseal(ctx, r, &v, []string{"Total", field}, nil)
		if err != nil {
			t.Error(err)
			return true
		}
		barrier()
		result, err := db.ExecContext(ctx, q("UPDATE tallies SET sealed = $2 WHERE id = $1"+where), append([]any{"p1", row}, []any{old}[:strings.Count(where, "$")]...)...)
		if err != nil {
			t.Error(err)
			return true
		}
		n, err := result.RowsAffected()
		return err != nil || n == 1
	}
	run := func(where string) (v tally, again int) {
		_, err := db.ExecContext(ctx, q("UPDATE tallies SET sealed = $1"), seal(t, c, &tally{ID: "p1"}))
		require.NoError(t, err)
		var wait, met sync.WaitGroup
		var mu sync.Mutex
		met.Add(2)
		for _, right := range []bool{false, true} {
			wait.Go(func() {
				meet := sync.OnceFunc(func() { met.Done(); met.Wait() }) // in the first round, for both
				defer meet()                                             // after an error
				for i := 0; i < each; {
					if once(right, where, meet) {
						i++
					} else {
						mu.Lock()
						again++
						mu.Unlock()
					}
				}
			})
		}
		wait.Wait()
		var row Sealed
		require.NoError(t, db.QueryRowContext(ctx, "SELECT sealed FROM tallies").Scan(&row))
		v.ID = "p1"
		require.NoError(t, c.Open(ctx, &v, row))
		return v, again
	}
	v, again := run(" AND sealed = $3")
	require.Equal(t, tally{ID: "p1", Total: 2 * each, Left: each, Right: each}, v)
	require.Positive(t, again, "they never met")
	v, again = run("")
	require.Less(t, v.Total, 2*each, "nothing is lost without it: this test shows nothing")
	require.Zero(t, again)
}
