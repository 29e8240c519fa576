package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

var errFault = errors.New("the driver failed")

// calls are all that a store does, on what faultStore prepared.
var calls = map[string]func(context.Context, *sqlstore.Store) error{
	"Head":     func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Head(ctx); return err },
	"Keysets":  func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Keysets(ctx); return err },
	"Keyset":   func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Keyset(ctx, "k"); return err },
	"Inactive": func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Inactive(ctx, nil, 9); return err },
	"StaleKeys": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.StaleKeys(ctx, "c", 2, nil, 9)
		return err
	},
	"Keys": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Keys(ctx, []keyring.Tag{live(1).Tag})
		return err
	},
	"StageKeyset": func(ctx context.Context, s *sqlstore.Store) error {
		return s.StageKeyset(ctx, keyring.KeysetRecord{Name: "k", Revision: 2, Digest: [32]byte{9}, Wrapped: []byte("next")})
	},
	"CreateKeys": func(ctx context.Context, s *sqlstore.Store) error {
		recs := make([]keyring.KeyRecord, 450) // more than one statement takes, or two
		for i := range recs {
			recs[i] = live(byte(i))
			recs[i].Tag[1] = byte(i >> 8)
		}
		_, err := s.CreateKeys(ctx, recs)
		return err
	},
	"SwapKeys": func(ctx context.Context, s *sqlstore.Store) error {
		retained := live(1)
		retained.State = keyring.Retained
		_, err := s.SwapKeys(ctx, []keyring.Swap{{Old: live(1), New: retained}})
		return err
	},
	"Commit": func(ctx context.Context, s *sqlstore.Store) error {
		dead := keyring.KeyRecord{Tag: live(1).Tag, Compartment: "c", State: keyring.Destroyed, Wrapped: []byte("gone")}
		return s.Commit(ctx, keyring.Change{Prev: keyring.Head{Ring: "r", Seq: 1}, Head: keyring.Head{Ring: "r", Seq: 2},
			Activate: keyring.KeysetRecord{Name: "k", Revision: 2}, Keys: []keyring.KeyRecord{dead}})
	},
}

// prepared makes a store with a head, an active keyset, a staged one and a key.
func prepared(t testing.TB, db *sql.DB) *sqlstore.Store {
	ctx, s := t.Context(), storeIn(t, db)
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{live(1)})
	require.NoError(t, err)
	set := keyring.KeysetRecord{Name: "k", Revision: 1, Wrapped: []byte("one")}
	require.NoError(t, s.StageKeyset(ctx, set))
	require.NoError(t, s.Commit(ctx, keyring.Change{Head: keyring.Head{Ring: "r", Seq: 1}, Activate: set}))
	set.Revision, set.Wrapped = 2, []byte("two")
	require.NoError(t, s.StageKeyset(ctx, set))
	return s
}

// state is all that is in a store, as text.
func state(t testing.TB, s *sqlstore.Store, db *sql.DB) string {
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	keysets, err := s.Keysets(t.Context())
	require.NoError(t, err)
	live, err := s.StaleKeys(t.Context(), "c", 0, nil, 1000)
	require.NoError(t, err)
	rest, err := s.Inactive(t.Context(), nil, 1000)
	require.NoError(t, err)
	staged := column(t, db, `SELECT wrapped FROM rahasia_keysets WHERE active = 0`)
	return fmt.Sprint(head, keysets, live, rest, staged)
}

// Each call of the driver fails in turn, before it did anything and after: the
// store says so, and has done all of its work or none; it hangs in turn: the
// context ends it (every third). Nothing is left behind but a connection in the pool.
func TestFaultDriver(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		for name, call := range calls {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := fresh(t)
				db := d.open(t)
				s := prepared(t, db)
				before := state(t, s, db)
				require.NoError(t, call(t.Context(), s))
				whole := state(t, s, db)
				now := whole
				for at, done := int64(1), false; !done; at++ {
					for _, hang := range []bool{false, true} {
						if hang && at%3 != 1 { // it costs its time
							continue
						}
						if now != before { // it had its effect
							d = fresh(t)
							db = d.open(t)
							s = prepared(t, db)
						}
						if past := faulted(t, d, call, at, hang); !hang {
							done = past
						}
						now = state(t, s, db)
						require.Contains(t, []string{before, whole}, now, "fault %d: half of it happened", at)
					}
				}
			})
		}
	})
}

// faulted does a call of a store whose driver fails at its at-th call, or hangs
// there, and returns whether it has fewer.
func faulted(t testing.TB, d database, call func(context.Context, *sqlstore.Store) error, at int64, hang bool) (past bool) {
	var n, rows atomic.Int64
	n.Store(-1 << 32)
	db := d.hooked(t, func(ctx context.Context, what string) error {
		if what == "row" && rows.Add(1) > 2 { // one like the other
			return nil
		}
		if n.Add(1) != at {
			return nil
		}
		if hang && ctx.Done() != nil {
			<-ctx.Done()
		}
		return errFault
	})
	db.SetMaxOpenConns(1)
	s := storeIn(t, db)
	patience := time.Minute
	if hang {
		patience = 25 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n.Store(0)
	rows.Store(0)
	err := call(ctx, s)
	past = n.Load() < at
	switch ended := ctx.Err(); {
	case hang && ended != nil && err != nil:
		require.ErrorIs(t, err, ended)
	case err != nil:
		require.ErrorIs(t, err, errFault)
	}
	require.Eventually(t, func() bool { return db.Stats().InUse == 0 }, 5*time.Second, time.Millisecond, "a connection was not given back")
	require.NoError(t, db.Close())
	return past
}

// New fails in turn at every call of the driver, and what it left is no
// obstacle to the next.
func TestFaultNew(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		d := fresh(t)
		for at, done := int64(1), false; !done; at++ {
			var n atomic.Int64
			db := d.hooked(t, func(context.Context, string) error {
				if n.Add(1) == at {
					return errFault
				}
				return nil
			})
			if _, err := sqlstore.New(t.Context(), db); err != nil {
				require.ErrorIs(t, err, errFault)
			}
			done = n.Load() < at
			require.NoError(t, db.Close())
		}
		storeIn(t, d.open(t))
	})
}

// A ring on a pool of one connection lives its life, also while an application
// has a transaction open on another pool of the database: no call of the store
// holds a connection and waits for a second.
func TestFaultPoolOfOneConnection(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		d := fresh(t)
		app := d.open(t)
		_, err := app.ExecContext(ctx, `CREATE TABLE visits (n integer)`)
		require.NoError(t, err)
		db := d.open(t)
		db.SetMaxOpenConns(1)
		s := storeIn(t, db)
		conn, err := app.Conn(ctx)
		require.NoError(t, err)
		defer conn.Close()
		for _, statement := range []string{`BEGIN`, `SELECT count(*) FROM visits`, `SELECT count(*) FROM rahasia_keys`} {
			_, err = conn.ExecContext(ctx, statement)
			require.NoError(t, err)
		}
		if d.driver == "pgx" {
			_, err = conn.ExecContext(ctx, `INSERT INTO visits VALUES (1)`)
			require.NoError(t, err)
		}
		live1000(ctx, t, s)
		_, err = conn.ExecContext(ctx, `COMMIT`)
		require.NoError(t, err)
	})
}

// live1000 lets a ring of 1,000 subjects do all that it can.
func live1000(ctx context.Context, t testing.TB, s keyring.Store) {
	cfg := rotated(t, 0)
	cfg.Store, cfg.Journal = s, keyring.NewMemoryJournal()
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = fmt.Sprint("patient-", i)
	}
	_, err = r.CreateSubjects(ctx, ids, "clinical")
	require.NoError(t, err)
	_, err = r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	report, err := r.Rewrap(ctx, keyring.Rewrapping{})
	require.NoError(t, err)
	require.Equal(t, 1000, report.Done)
	require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Suspended))
	_, err = r.Shred(ctx, ids[0])
	require.NoError(t, err)
	r, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = r.Subjects(ctx, ids[1:], "clinical")
	require.NoError(t, err)
}

// Inside the caller's own transaction on a pool of one connection there is none
// left for the store: every call ends with its context, and once the
// transaction is over the store goes on.
func TestFaultPoolInsideATransaction(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		d := fresh(t)
		db := d.open(t)
		db.SetMaxOpenConns(1)
		s := prepared(t, db)
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		goroutines := runtime.NumGoroutine()
		for name, call := range calls {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			require.ErrorIs(t, call(ctx, s), context.DeadlineExceeded, name)
			cancel()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err = sqlstore.New(ctx, db)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
			require.True(t, time.Now().Before(end), "goroutines are left waiting")
		}
		require.NoError(t, tx.Rollback())
		for _, name := range []string{"Head", "CreateKeys", "Commit"} {
			require.NoError(t, calls[name](t.Context(), s), name)
		}
	})
}

// SQLite has one writer: while an application writes, a call that writes ends
// with its context, and one that reads goes on.
func TestFaultPoolBesideAWriter(t *testing.T) {
	d := freshSQLite(t)
	s := prepared(t, d.open(t))
	tx, err := d.open(t).BeginTx(t.Context(), nil) // takes the write lock
	require.NoError(t, err)
	defer tx.Rollback()
	start := time.Now()
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		switch err := call(ctx, s); name {
		case "StageKeyset", "CreateKeys", "SwapKeys", "Commit":
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
		default:
			require.NoError(t, err, name)
		}
		cancel()
	}
	require.Less(t, time.Since(start), 5*time.Second, "SQLite waited on, beyond the contexts")
	require.NoError(t, tx.Rollback())
	require.NoError(t, calls["Commit"](t.Context(), s))
}
