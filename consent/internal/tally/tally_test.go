package tally

import (
	"context"
	"database/sql"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/tape"
	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqldb"
	"github.com/rahasia/rahasia/internal/sqlite"
)

var server pgtest.Shared

func TestMain(m *testing.M) { os.Exit(server.Run(m)) }

// noon is in the middle of a step.
var noon = time.Date(2026, 3, 2, 12, 2, 0, 0, time.UTC)

func id(n int) (out ID) {
	binary.BigEndian.PutUint64(out[8:], uint64(n))
	return out
}

func ids(from, n int) (out []ID) {
	for i := range n {
		out = append(out, id(from+i))
	}
	return out
}

// each runs a test on every store; another opens the same one as another
// process does.
func each(t *testing.T, test func(t *testing.T, first *Tally, another func() *Tally)) {
	stores := map[string]func(t *testing.T) *sql.DB{
		"memory": func(*testing.T) *sql.DB { return nil },
		"sqlite": func(t *testing.T) *sql.DB {
			db, err := sqlite.Open(filepath.Join(t.TempDir(), "db"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = sqlite.Close(db) })
			return db
		},
		"postgres": func(t *testing.T) *sql.DB { return pgtest.Open(t, server.Start(t).Database(t)) },
	}
	t.Run("dir", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "counts")
		open := func() *Tally {
			c, err := OpenDir(dir)
			require.NoError(t, err)
			return c
		}
		test(t, open(), open)
	})
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			first, err := Open(t.Context(), db)
			require.NoError(t, err)
			test(t, first, func() *Tally {
				if db == nil {
					return &Tally{store: first.store, fresh: map[[2]ID]int64{}}
				}
				other, err := Open(t.Context(), db)
				require.NoError(t, err)
				return other
			})
		})
	}
}

func count(t *testing.T, c *Tally, who ID, whats []ID, at time.Time, limit *Limit) (admitted int, got Count) {
	t.Helper()
	got, err := c.Count(context.Background(), who, whats, at, limit)
	require.NoError(t, err)
	require.Len(t, got.Over, len(whats))
	for _, over := range got.Over {
		if !over {
			admitted++
		}
	}
	return admitted, got
}

func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, c *Tally, another func() *Tally) {
		limit := &Limit{Hour: 10, Day: 15}
		n, got := count(t, c, id(1), ids(0, 8), noon, limit)
		require.Equal(t, 8, n)
		require.Equal(t, 8, got.Hour)
		n, got = count(t, another(), id(1), ids(5, 10), noon, limit)
		require.Equal(t, 5, n, "three known and two more")
		require.Equal(t, []bool{false, false, false, false, false, true, true, true, true, true}, got.Over)
		require.Equal(t, Count{got.Over, 10, 10}, got)
		n, _ = count(t, another(), id(1), ids(0, 10), noon.Add(time.Minute), limit)
		require.Equal(t, 10, n, "who was counted costs nothing again")
		n, _ = count(t, another(), id(2), ids(0, 10), noon, limit)
		require.Equal(t, 10, n, "another has a count of their own")

		later := noon.Add(66 * time.Minute)
		n, got = count(t, another(), id(1), ids(0, 2), later, limit)
		require.Equal(t, 2, n, "the hour is over")
		require.Equal(t, 2, got.Hour)
		require.Equal(t, 10, got.Day, "of the day they were a part already")
		n, got = count(t, c, id(1), ids(100, 9), later, limit)
		require.Equal(t, 5, n, "the day has room for five more")
		require.Equal(t, Count{got.Over, 7, 15}, got)
		n, _ = count(t, another(), id(1), ids(2, 8), later, limit)
		require.Equal(t, 3, n, "known of the day, and yet new in the hour")

		next := noon.Add(24*time.Hour + 6*time.Minute)
		n, _ = count(t, another(), id(1), ids(200, 20), next, limit)
		require.Equal(t, 5, n, "what the first hour of the day before held has left the day, but for those seen again since")
		n, _ = count(t, another(), id(1), ids(300, 20), next.Add(24*time.Hour), limit)
		require.Equal(t, 10, n)
	})
}

// TestNoHourAcrossSteps: no hour, wherever it begins, holds more than the limit.
func TestNoHourAcrossSteps(t *testing.T) {
	each(t, func(t *testing.T, c *Tally, _ func() *Tally) {
		limit := &Limit{Hour: 6, Day: 1000}
		var when []time.Time
		for i := range 400 {
			at := noon.Add(time.Duration(i) * 47 * time.Second)
			if n, _ := count(t, c, id(1), ids(i, 1), at, limit); n == 1 {
				when = append(when, at)
			}
		}
		require.Greater(t, len(when), 20)
		for i := 6; i < len(when); i++ {
			require.Greater(t, when[i].Sub(when[i-6]), time.Hour)
		}
	})
}

func TestWithoutLimit(t *testing.T) {
	each(t, func(t *testing.T, c *Tally, another func() *Tally) {
		n, got := count(t, c, id(1), ids(0, 250), noon, nil)
		require.Equal(t, 250, n)
		require.Equal(t, 250, got.Hour)
		_, got = count(t, another(), id(1), append(ids(240, 20), ids(240, 20)...), noon, nil)
		require.Equal(t, 260, got.Day)
		require.Len(t, got.Over, 40)
	})
}

// TestRace: of many who count at once, in several processes, exactly as many
// are admitted as the limit allows.
func TestRace(t *testing.T) {
	each(t, func(t *testing.T, _ *Tally, another func() *Tally) {
		limit := &Limit{Hour: 30, Day: 30}
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for p := range 3 {
			c := another()
			for g := range 3 {
				wg.Go(func() {
					for i := range 10 {
						got, err := c.Count(context.Background(), id(1), ids(1000*(3*p+g)+10*i, 2), noon, limit)
						if err != nil {
							t.Error(err)
							return
						}
						for _, over := range got.Over {
							if !over {
								admitted.Add(1)
							}
						}
					}
				})
			}
		}
		wg.Wait()
		require.EqualValues(t, 30, admitted.Load())
	})
}

// TestSweep: nothing older than a day and a step stays.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, c *Tally, another func() *Tally) {
		count(t, c, id(1), ids(0, 50), noon, nil)
		count(t, another(), id(2), ids(0, 1), noon.Add(25*time.Hour), nil)
		switch s := c.store.(type) {
		case *memory:
			require.Len(t, s.all, 1)
		case *sqlStore:
			for _, table := range []string{"consent_guard", "consent_guard_count"} {
				var n int
				require.NoError(t, s.db.QueryRow(`SELECT count(*) FROM `+table).Scan(&n))
				require.Equal(t, 1, n, table)
			}
		case *dirStore:
			require.Len(t, s.mem.all, 1, "this process has not looked since")
			n, _ := count(t, c, id(2), ids(1, 1), noon.Add(25*time.Hour), nil)
			require.Equal(t, 1, n)
			require.Len(t, s.mem.all, 1)
			require.Len(t, s.mem.all[id(2)].what, 2)
			count(t, another(), id(3), ids(0, 1), noon.Add(49*time.Hour), nil)
			files, err := fs.Glob(root(t, s), "guard.*")
			require.NoError(t, err)
			for _, f := range files {
				require.NotContains(t, f, tapeName(dayOf(stepOf(noon))))
			}
		}
	})
}

func root(t *testing.T, s *dirStore) fs.FS {
	r, err := s.shared.Root()
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r.FS()
}

// TestDirDays: what was counted yesterday is a part of the day, also for a process
// that begins at midnight.
func TestDirDays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "counts")
	evening := time.Date(2026, 3, 2, 23, 50, 0, 0, time.UTC)
	limit := &Limit{Hour: 10, Day: 12}
	for i, at := range []time.Duration{0, 20 * time.Minute, 2 * time.Hour} {
		c, err := OpenDir(dir)
		require.NoError(t, err)
		n, _ := count(t, c, id(1), ids(100*i, 8), evening.Add(at), limit)
		require.Equal(t, []int{8, 2, 2}[i], n)
	}
	c, err := OpenDir(dir)
	require.NoError(t, err)
	n, _ := count(t, c, id(1), ids(500, 20), evening.Add(25*time.Hour), limit)
	require.Equal(t, 10, n, "the first eight are over, and the hour has room")
}

// TestDirOthers: files of old days go, and no others; one that cannot go is said.
func TestDirOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "counts")
	require.NoError(t, os.Mkdir(dir, 0o700))
	others := []string{"1", "1.db", "guard", "guard.", "guard.x", "guard.-1.lock", "myguard.1", tapeName(dayOf(stepOf(noon))+1) + ".lock"}
	old := []string{"guard.1.lock", "guard.1-0000000000000000", "guard.1.mark", tapeName(dayOf(stepOf(noon))-2) + ".mark"}
	for _, name := range append(others, old...) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	c, err := OpenDir(dir)
	require.NoError(t, err)
	n, _ := count(t, c, id(1), ids(0, 3), noon, nil)
	require.Equal(t, 3, n)
	for _, name := range others {
		require.FileExists(t, filepath.Join(dir, name))
	}
	for _, name := range old {
		require.NoFileExists(t, filepath.Join(dir, name))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "guard.2", "full"), 0o700))
	c, err = OpenDir(dir)
	require.NoError(t, err)
	_, err = c.Count(t.Context(), id(1), ids(0, 1), noon, nil)
	require.Error(t, err)
}

// TestDirDamaged: counts that cannot be read are not taken for none.
func TestDirDamaged(t *testing.T) {
	for _, damage := range []string{"a byte", "cut", "gone", "a short record"} {
		dir := filepath.Join(t.TempDir(), "counts")
		c, err := OpenDir(dir)
		require.NoError(t, err)
		count(t, c, id(1), ids(0, 3), noon, nil)
		path := filepath.Join(dir, tapeName(dayOf(stepOf(noon)))+"-0000000000000000")
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		switch damage {
		case "a byte":
			b[20] ^= 1
			require.NoError(t, os.WriteFile(path, b, 0o600))
		case "cut":
			require.NoError(t, os.Truncate(path, int64(len(b)-1)))
		case "gone":
			require.NoError(t, os.Remove(path))
		case "a short record":
			d := c.store.(*dirStore).days[dayOf(stepOf(noon))]
			require.NoError(t, d.tape.Alone(t.Context(), func(w *tape.Writer) error { return w.Append(make([]byte, 25)) }))
		}
		other, err := OpenDir(dir)
		require.NoError(t, err)
		_, err = other.Count(t.Context(), id(1), ids(0, 1), noon, nil)
		require.ErrorIs(t, err, tape.ErrCorrupt, damage)
	}
	_, err := OpenDir(filepath.Join(t.TempDir(), "no", "parent"))
	require.Error(t, err)
}

func TestFailures(t *testing.T) {
	each(t, func(t *testing.T, c *Tally, _ func() *Tally) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := c.Count(ctx, id(1), ids(0, 1), noon, nil)
		require.ErrorIs(t, err, context.Canceled)
		if s, ok := c.store.(*sqlStore); ok {
			_, err := s.db.Exec(`DROP TABLE consent_guard`)
			require.NoError(t, err)
			_, err = c.Count(t.Context(), id(1), ids(0, 1), noon, nil)
			require.Error(t, err)
			var n int
			require.NoError(t, s.db.QueryRow(`SELECT count(*) FROM consent_guard_count`).Scan(&n))
			require.Zero(t, n, "nothing of a count that failed stays")
		}
	})
}

// TestOneConnection: a pool of one does.
func TestOneConnection(t *testing.T) {
	each(t, func(t *testing.T, c *Tally, another func() *Tally) {
		if s, ok := c.store.(*sqlStore); ok {
			s.db.SetMaxOpenConns(1)
		}
		n, _ := count(t, another(), id(1), ids(0, 5), noon, nil)
		require.Equal(t, 5, n)
	})
}

// TestPlanted: who may change the schema cannot have counts lost or copied by
// something among the tables.
func TestPlanted(t *testing.T) {
	common := []string{
		`ALTER TABLE consent_guard RENAME TO gone; CREATE VIEW consent_guard AS SELECT * FROM gone`,
		`ALTER TABLE consent_guard_count RENAME TO gone`,
	}
	for dialect, statements := range map[string][]string{
		"sqlite": {
			`CREATE TRIGGER planted BEFORE INSERT ON consent_guard_count BEGIN SELECT RAISE(IGNORE); END`,
			`CREATE TABLE loot (w BLOB); CREATE TRIGGER planted AFTER INSERT ON CONSENT_Guard BEGIN INSERT INTO loot VALUES (new.what); END`,
			`CREATE INDEX planted ON consent_guard (what)`,
			`ALTER TABLE consent_guard ADD COLUMN more TEXT`,
			`DROP INDEX consent_guard_step`,
		},
		"postgres": {
			`CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER planted BEFORE INSERT ON consent_guard_count FOR EACH ROW EXECUTE FUNCTION nothing()`,
			`CREATE RULE planted AS ON INSERT TO consent_guard DO INSTEAD NOTHING`,
			`ALTER TABLE consent_guard_count ENABLE ROW LEVEL SECURITY`,
			`CREATE TABLE child () INHERITS (consent_guard)`,
			`ALTER TABLE consent_guard_count ALTER n SET DEFAULT 0`,
		},
	} {
		for _, statement := range append(common[:2:2], statements...) {
			t.Run(dialect, func(t *testing.T) {
				var db *sql.DB
				if dialect == "postgres" {
					db = pgtest.Open(t, server.Start(t).Database(t))
				} else {
					var err error
					db, err = sqlite.Open(filepath.Join(t.TempDir(), "db"))
					require.NoError(t, err)
					defer func() { _ = sqlite.Close(db) }()
				}
				for range 2 {
					_, err := Open(t.Context(), db)
					require.NoError(t, err)
				}
				_, err := db.Exec(statement)
				require.NoError(t, err)
				_, err = Open(t.Context(), db)
				require.ErrorIs(t, err, sqldb.ErrForeign, statement)
			})
		}
	}
}
