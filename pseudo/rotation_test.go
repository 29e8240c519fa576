//go:build unix

package pseudo

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

const rotated = "lookup/patient/NIK"

// shape says which of two columns hold a token.
func shape(a, b sql.Null[Token]) string {
	s := []byte("--")
	if a.Valid {
		s[0] = 'a'
	}
	if b.Valid {
		s[1] = 'b'
	}
	return string(s)
}

// TestRotationColumns: what the two columns hold in each state of two rotations.
func TestRotationColumns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		ring := newRing(t, rotated)
		d := open(t, ring, rotated)
		expect := func(want string, versions ...uint32) {
			t.Helper()
			a, b, err := d.Columns(ctx, NIK, sandboxNIK)
			require.NoError(t, err)
			require.Equal(t, want, shape(a, b))
			for _, v := range versions {
				tok, err := d.TokenAt(ctx, v, NIK, sandboxNIK)
				require.NoError(t, err)
				require.Equal(t, tok, map[uint32]Token{1: a.V, 0: b.V}[v%2])
			}
		}
		set := func(version uint32, to keyring.State) {
			t.Helper()
			require.NoError(t, ring.SetState(ctx, rotated, version, to))
		}
		for i := range uint32(4) {
			old, young := i+1, i+2
			alone, next := "a-", "-b"
			if old%2 == 0 {
				alone, next = next, alone
			}
			expect(alone, old)
			_, err := ring.Rotate(ctx, rotated)
			require.NoError(t, err)
			expect("ab", old, young)
			require.ErrorIs(t, ring.SetState(ctx, rotated, old, keyring.Suspended), keyring.ErrState)
			time.Sleep(90 * time.Second)
			set(old, keyring.Suspended)
			expect(next, young)
			set(old, keyring.Deactivated)
			expect("ab", old, young)
			time.Sleep(90 * time.Second)
			set(old, keyring.Suspended)
			time.Sleep(time.Minute)
			set(old, keyring.Destroyed)
			expect(next, young)
		}
	})
}

// TestRotationColumnsRefuses: no column rather than a wrong one.
func TestRotationColumnsRefuses(t *testing.T) {
	ctx := t.Context()
	ring := newRing(t, rotated, study)
	d := open(t, ring, rotated)
	refused := func(d *Domain, kind Kind, value string, want error) {
		t.Helper()
		a, b, err := d.Columns(ctx, kind, value)
		require.ErrorIs(t, err, want)
		require.Equal(t, "--", shape(a, b))
		require.True(t, a.V.IsZero() && b.V.IsZero())
		requireNoValue(t, err, sandboxNIK)
	}
	refused(&Domain{}, NIK, sandboxNIK, ErrNoDomain)
	refused(open(t, ring, study), NIK, sandboxNIK, ErrNoDomain)
	refused(d, Kind(sandboxNIK), sandboxNIK, ErrUnknownKind)
	var format *FormatError
	_, _, err := d.Columns(ctx, NIK, "")
	require.ErrorAs(t, err, &format)
	for range 2 {
		_, err := ring.Rotate(ctx, rotated)
		require.NoError(t, err)
	}
	refused(d, NIK, sandboxNIK, ErrColumns) // 1 and 3 are of one column
	_, err = d.Lookup(ctx, NIK, sandboxNIK)
	require.NoError(t, err, "what is stored is found meanwhile")
	require.NoError(t, ring.Close())
	refused(d, NIK, sandboxNIK, keyring.ErrClosed)
}

// TestRotationColumnsImported: a version stays with its column when its keyset
// moves to another ring, where its place in the history may be another.
func TestRotationColumnsImported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		ring, other := newRing(t, rotated), newRing(t)
		_, err := ring.Rotate(ctx, rotated)
		require.NoError(t, err)
		time.Sleep(90 * time.Second)
		require.NoError(t, ring.SetState(ctx, rotated, 1, keyring.Suspended))
		time.Sleep(time.Minute)
		require.NoError(t, ring.SetState(ctx, rotated, 1, keyring.Destroyed))
		kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "transfer"))
		require.NoError(t, err)
		moved, err := ring.ExportKeyset(ctx, rotated, kek)
		require.NoError(t, err)
		require.NoError(t, other.ImportKeyset(ctx, rotated, moved, kek))
		a1, b1, err := open(t, ring, rotated).Columns(ctx, NIK, sandboxNIK)
		require.NoError(t, err)
		a2, b2, err := open(t, other, rotated).Columns(ctx, NIK, sandboxNIK)
		require.NoError(t, err)
		require.Equal(t, "-b", shape(a1, b1))
		require.Equal(t, []sql.Null[Token]{a1, b1}, []sql.Null[Token]{a2, b2})
	})
}

// clinic is a table with a unique NIK, and the services that write to it: each
// has a ring of its own, as a process of its own would, and learns of a rotation
// when that reads again.
type clinic struct {
	t       *testing.T
	cfg     keyring.Config
	db      *sql.DB
	q       func(string) string
	columns func(d *Domain, nik string) (a, b sql.Null[Token], err error) // what a writer stores
	began   time.Time
	stop    atomic.Bool
	mu      sync.Mutex
	stale   int            // rows entered by a writer that did not know of a rotation yet
	primary uint32         // by the operator's ring, guarded by mu
	shapes  map[string]int // of what was written
}

// numbers is how many NIKs there are; a new one is known every few seconds.
const numbers = 150

func newClinic(t *testing.T, db *sql.DB, blob string, q func(string) string) *clinic {
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	c := &clinic{
		t: t, db: db, q: q, began: time.Now(), primary: 1, shapes: map[string]int{},
		cfg: keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek},
	}
	c.columns = func(d *Domain, nik string) (a, b sql.Null[Token], err error) { return d.Columns(t.Context(), NIK, nik) }
	// The NIK stands here for a sealed record: what a backfill opens.
	_, err = db.ExecContext(t.Context(), `CREATE TABLE patient (nik TEXT NOT NULL, nik_a `+blob+` UNIQUE, nik_b `+blob+` UNIQUE)`)
	require.NoError(t, err)
	return c
}

func (c *clinic) exec(query string, args ...any) (rows int64) {
	result, err := c.db.ExecContext(c.t.Context(), c.q(query), args...)
	if err != nil {
		c.t.Errorf("%s: %v", query, err)
		return 0
	}
	rows, err = result.RowsAffected()
	if err != nil {
		c.t.Error(err)
	}
	return rows
}

// find returns how many rows a value is found in.
func (c *clinic) find(d *Domain, nik string) (n int) {
	tokens, err := d.Lookup(c.t.Context(), NIK, nik)
	if err != nil {
		c.t.Error(err)
		return 0
	}
	args, list := make([]any, len(tokens)), make([]string, len(tokens))
	for i, tok := range tokens {
		args[i], list[i] = tok, fmt.Sprintf("$%d", i+1)
	}
	in := strings.Join(list, ", ")
	query := `SELECT count(*) FROM patient WHERE nik_a IN (` + in + `) OR nik_b IN (` + in + `)`
	if strings.Contains(c.q(query), "?") { // SQLite's ? has no number
		args = append(args, args...)
	}
	if err := c.db.QueryRowContext(c.t.Context(), c.q(query), args...).Scan(&n); err != nil {
		c.t.Error(err)
	}
	return n
}

// write enters the numbers known by now again and again, until it is stopped.
func (c *clinic) write(seed uint64, ring *keyring.Ring, honest bool) {
	random := rand.New(rand.NewPCG(seed, 1))
	d := open(c.t, ring, rotated)
	for !c.stop.Load() {
		known := min(numbers, 1+int(time.Since(c.began)/(3*time.Second)))
		nik := fmt.Sprintf("92710603120%05d", known-1)
		if random.IntN(2) == 0 {
			nik = fmt.Sprintf("92710603120%05d", random.IntN(known))
		}
		a, b, err := c.columns(d, nik)
		if err != nil {
			c.t.Error(err)
			return
		}
		entered := c.exec(`INSERT INTO patient (nik, nik_a, nik_b) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, nik, a, b)
		c.mu.Lock()
		c.shapes[shape(a, b)]++
		if entered == 1 && max(a.V.Version(), b.V.Version()) < c.primary {
			c.stale++
		}
		c.mu.Unlock()
		if n := c.find(d, nik); honest && n != 1 {
			c.t.Errorf("at %v a number is found in %d rows", time.Since(c.began), n)
		}
		time.Sleep(time.Duration(1+random.IntN(2)) * time.Second) // in whole seconds, so that they meet
	}
}

// backfill writes what the columns hold now into every row.
func (c *clinic) backfill(d *Domain) {
	rows, err := c.db.QueryContext(c.t.Context(), `SELECT nik FROM patient`)
	require.NoError(c.t, err)
	var list []string
	for rows.Next() {
		var nik string
		require.NoError(c.t, rows.Scan(&nik))
		list = append(list, nik)
	}
	require.NoError(c.t, rows.Close())
	for _, nik := range list {
		a, b, err := d.Columns(c.t.Context(), NIK, nik)
		require.NoError(c.t, err)
		c.exec(`UPDATE patient SET nik_a = $1, nik_b = $2 WHERE nik = $3`, a, b, nik)
	}
}

// incomplete counts the rows without the right token of a version.
func (c *clinic) incomplete(d *Domain, version uint32) (n int) {
	rows, err := c.db.QueryContext(c.t.Context(), `SELECT nik, nik_a, nik_b FROM patient`)
	require.NoError(c.t, err)
	defer rows.Close()
	for rows.Next() {
		var nik string
		var column [2]sql.Null[Token]
		require.NoError(c.t, rows.Scan(&nik, &column[1], &column[0])) // by the version's last bit
		want, err := d.TokenAt(c.t.Context(), version, NIK, nik)
		require.NoError(c.t, err)
		if column[version%2] != (sql.Null[Token]{V: want, Valid: true}) {
			n++
		}
	}
	require.NoError(c.t, rows.Err())
	return n
}

func (c *clinic) doubles() (n int) {
	require.NoError(c.t, c.db.QueryRowContext(c.t.Context(), `SELECT count(*) - count(DISTINCT nik) FROM patient`).Scan(&n))
	return n
}

// rotate is the recipe: rotate, backfill, suspend, clear, destroy. passes are
// when to backfill, after the rotation.
func (c *clinic) rotate(ring *keyring.Ring, passes []time.Duration) (missed int) {
	ctx, d := c.t.Context(), open(c.t, ring, rotated)
	time.Sleep(20 * time.Second)
	c.mu.Lock()
	young, err := ring.Rotate(ctx, rotated)
	c.primary = young
	c.mu.Unlock()
	require.NoError(c.t, err)
	began, old := time.Now(), young-1
	for _, at := range passes {
		time.Sleep(at - time.Since(began))
		c.backfill(d)
	}
	time.Sleep(95*time.Second - time.Since(began))
	missed = c.incomplete(d, young)
	require.NoError(c.t, ring.SetState(ctx, rotated, old, keyring.Suspended))
	time.Sleep(95 * time.Second)
	if missed == 0 && len(passes) > 0 {
		c.backfill(d) // clears the old column
	}
	require.NoError(c.t, ring.SetState(ctx, rotated, old, keyring.Destroyed))
	time.Sleep(20 * time.Second)
	return missed
}

// run lets eight writers go on while the domain is rotated so many times.
func (c *clinic) run(rotations int, honest bool, passes ...time.Duration) (missed int) {
	ctx := context.WithoutCancel(c.t.Context())
	ring, err := keyring.Create(ctx, "test", c.cfg)
	require.NoError(c.t, err)
	defer ring.Close()
	require.NoError(c.t, ring.CreateKeyset(ctx, rotated))
	var group sync.WaitGroup
	for i := range uint64(8) {
		group.Go(func() {
			time.Sleep(time.Duration(i) * 5 * time.Second) // so that no two read again at the same time
			own, err := keyring.Open(ctx, c.cfg)
			if err != nil {
				c.t.Error(err)
				return
			}
			defer own.Close()
			c.write(i, own, honest)
		})
	}
	for range rotations {
		missed += c.rotate(ring, passes)
		if honest {
			require.Zero(c.t, c.incomplete(open(c.t, ring, rotated), c.primary))
			require.Zero(c.t, c.doubles())
		}
	}
	c.stop.Store(true)
	group.Wait()
	return missed
}

// TestRotationUnique: eight services enter the same numbers, new and old ones,
// through two whole rotations; no number is entered twice, none is ever not
// found, and at the end every row has its token under the new version.
func TestRotationUnique(t *testing.T) {
	check := func(t *testing.T, open func(t *testing.T) (*sql.DB, string, func(string) string)) {
		synctest.Test(t, func(t *testing.T) {
			db, blob, q := open(t)
			defer db.Close()
			c := newClinic(t, db, blob, q)
			require.Zero(t, c.run(2, true, 0, 92*time.Second))
			require.NotZero(t, c.stale, "nobody wrote without knowing of a rotation: the test shows nothing")
			for _, s := range []string{"a-", "ab", "-b"} {
				require.NotZero(t, c.shapes[s], s)
			}
			var n int
			require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM patient`).Scan(&n))
			require.Equal(t, numbers, n)
			t.Logf("%d numbers, %d of their rows by a writer behind a rotation; writes by columns: %v", n, c.stale, c.shapes)
		})
	}
	t.Run("sqlite", func(t *testing.T) { check(t, onSQLite) })
	t.Run("postgres", func(t *testing.T) {
		dsn := pgtest.Start(t).Database(t)
		check(t, func(t *testing.T) (*sql.DB, string, func(string) string) {
			return pgtest.Open(t, dsn), "BYTEA", func(q string) string { return q }
		})
	})
}

func onSQLite(t *testing.T) (*sql.DB, string, func(string) string) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"))
	require.NoError(t, err)
	return db, "BLOB", func(q string) string {
		for i := range 9 {
			q = strings.ReplaceAll(q, fmt.Sprintf("$%d", i+1), "?")
		}
		return q
	}
}

// TestRotationUniqueSaboteur: the test above sees what goes wrong when the recipe
// is not followed.
func TestRotationUniqueSaboteur(t *testing.T) {
	for name, c := range map[string]struct {
		passes  []time.Duration
		columns func(d *Domain, nik string) (a, b sql.Null[Token], err error)
		misses  bool
	}{
		"no backfill":       {misses: true},
		"backfill too soon": {passes: []time.Duration{0}, misses: true},
		"one column": {misses: true, columns: func(d *Domain, nik string) (a, b sql.Null[Token], err error) {
			tok, err := d.Token(context.Background(), NIK, nik)
			return sql.Null[Token]{V: tok, Valid: true}, b, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db, blob, q := onSQLite(t)
				defer db.Close()
				clinic := newClinic(t, db, blob, q)
				if c.columns != nil {
					clinic.columns = c.columns
				}
				missed := clinic.run(1, false, c.passes...)
				require.Equal(t, c.misses, missed > 0, "the count before the suspension tells")
				require.NotZero(t, clinic.doubles())
			})
		})
	}
}
