package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlhook"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/keyringtest"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

func openDB(t testing.TB, path string) *sql.DB {
	db, err := sqlite.Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func newStore(t testing.TB, path string) *sqlstore.Store {
	return storeIn(t, openDB(t, path))
}

func storeIn(t testing.TB, db *sql.DB) *sqlstore.Store {
	s, err := sqlstore.New(t.Context(), db)
	require.NoError(t, err)
	return s
}

// database is where a database is.
type database struct{ driver, dsn string }

const pragmas = "?_txlock=immediate&_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)"

// open opens one more pool, as another process does.
func (d database) open(t testing.TB) *sql.DB {
	db, err := sql.Open(d.driver, d.dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// hooked opens one whose driver has a hook.
func (d database) hooked(t testing.TB, h sqlhook.Hook) *sql.DB {
	db := sqlhook.Open(d.open(t).Driver(), d.dsn, h)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// each runs a test on SQLite and on PostgreSQL; fresh makes an empty database.
func each(t *testing.T, test func(t *testing.T, fresh func(testing.TB) database)) {
	t.Parallel() // what waits for a disk need not wait for others
	t.Run("sqlite", func(t *testing.T) { test(t, freshSQLite) })
	t.Run("postgres", func(t *testing.T) { test(t, freshPostgres(sqlstore.Server.Start(t))) })
}

func freshSQLite(t testing.TB) database {
	return sqliteAt(filepath.Join(t.TempDir(), "keys.db"))
}

func sqliteAt(path string) database { return database{"sqlite", "file:" + path + pragmas} }

func freshPostgres(server *pgtest.Server) func(testing.TB) database {
	return func(t testing.TB) database {
		return database{"pgx", server.Database(t)}
	}
}

// A pool of one connection must not wait for a second.
func TestContract(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		for name, conns := range map[string]int{"pool": 8, "one connection": 1} {
			t.Run(name, func(t *testing.T) {
				keyringtest.TestStore(t, func(t *testing.T) keyring.Store {
					db := fresh(t).open(t)
					db.SetMaxOpenConns(conns)
					return storeIn(t, db)
				})
			})
		}
	})
}

func TestStoreInTwoProcesses(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		open := fresh(t).open
		a, b := storeIn(t, open(t)), storeIn(t, open(t))
		rec := keyring.KeyRecord{Tag: keyring.Tag{1}, Compartment: "c", State: keyring.Active, Wrapped: []byte("first")}
		_, err := a.CreateKeys(t.Context(), []keyring.KeyRecord{rec})
		require.NoError(t, err)
		late := rec
		late.Wrapped = []byte("second")
		got, err := b.CreateKeys(t.Context(), []keyring.KeyRecord{late})
		require.NoError(t, err)
		require.Equal(t, []keyring.KeyRecord{rec}, got)

		head := keyring.Head{Ring: "r", Seq: 1}
		require.NoError(t, a.Commit(t.Context(), keyring.Change{Head: head}))
		require.ErrorIs(t, b.Commit(t.Context(), keyring.Change{Head: head}), keyring.ErrConflict)
	})
}

// Many processes that open an empty database at once make the tables once, and
// what they then create, move and stage at once happens once.
func TestRaceOfProcesses(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		const n, rows = 16, 120
		open := fresh(t).open
		var made [n][]keyring.KeyRecord
		var moved, activated atomic.Int32
		var wg, opened sync.WaitGroup
		opened.Add(n)
		for i := range n {
			db := open(t)
			db.SetMaxOpenConns(1)
			wg.Go(func() {
				s, err := sqlstore.New(t.Context(), db)
				opened.Done()
				opened.Wait() // so that none is done before another starts
				if !assert.NoError(t, err) {
					return
				}
				recs := make([]keyring.KeyRecord, rows)
				for j := range recs { // each in an order of its own: no two may wait for each other
					recs[j] = keyring.KeyRecord{Tag: keyring.Tag{byte((j*7 + i*11) % rows)}, Compartment: "c", State: keyring.Active, Wrapped: []byte{byte(i)}}
				}
				made[i], err = s.CreateKeys(t.Context(), recs)
				assert.NoError(t, err)
				if s.Commit(t.Context(), keyring.Change{Head: keyring.Head{Ring: "r", Seq: 1, Hash: [32]byte{byte(i)}}}) == nil {
					moved.Add(1)
				}
				set := keyring.KeysetRecord{Name: "k", Revision: 1, Digest: [32]byte{byte(i)}, Wrapped: []byte{byte(i)}}
				if err := s.StageKeyset(t.Context(), set); err != nil {
					assert.ErrorIs(t, err, keyring.ErrConflict)
					return
				}
				head, err := s.Head(t.Context())
				assert.NoError(t, err)
				next := head
				next.Seq++
				err = s.Commit(t.Context(), keyring.Change{Prev: head, Head: next, Activate: set})
				if err == nil {
					activated.Add(1)
				} else {
					assert.ErrorIs(t, err, keyring.ErrConflict)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, moved.Load(), "first heads")
		require.LessOrEqual(t, activated.Load(), int32(1), "activations of one revision")
		byTag := func(recs []keyring.KeyRecord) []keyring.KeyRecord {
			slices.SortFunc(recs, func(a, b keyring.KeyRecord) int { return bytes.Compare(a.Tag[:], b.Tag[:]) })
			return recs
		}
		for i := range made {
			require.Len(t, made[i], rows)
			require.Equal(t, byTag(made[0]), byTag(made[i]), "two creators got different keys")
		}
	})
}

func TestStoreSurvivesReopening(t *testing.T) {
	each(t, func(t *testing.T, fresh func(testing.TB) database) {
		open := fresh(t).open
		rec := keyring.KeyRecord{Tag: keyring.Tag{1}, Compartment: "c", State: keyring.Active, Wrapped: []byte("w")}
		db := open(t)
		_, err := storeIn(t, db).CreateKeys(t.Context(), []keyring.KeyRecord{rec})
		require.NoError(t, err)
		require.NoError(t, db.Close())
		got, err := storeIn(t, open(t)).Keys(t.Context(), []keyring.Tag{rec.Tag})
		require.NoError(t, err)
		require.Equal(t, []keyring.KeyRecord{rec}, got)
	})
}

func TestStoreAfterItsDatabaseClosed(t *testing.T) {
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "keys.db"))
	require.NoError(t, err)
	s, err := sqlstore.New(t.Context(), db)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	ctx := t.Context()
	_, err = s.Head(ctx)
	require.ErrorContains(t, err, "sqlstore:")
	_, err = s.Keysets(ctx)
	require.ErrorContains(t, err, "sqlstore:")
	_, err = s.Keys(ctx, []keyring.Tag{{1}})
	require.ErrorContains(t, err, "sqlstore:")
	_, err = s.CreateKeys(ctx, []keyring.KeyRecord{{}})
	require.ErrorContains(t, err, "sqlstore:")
	require.ErrorContains(t, s.Commit(ctx, keyring.Change{}), "sqlstore:")
	require.ErrorContains(t, s.StageKeyset(ctx, keyring.KeysetRecord{}), "sqlstore:")
}

func TestNewRefuses(t *testing.T) {
	ctx := t.Context()
	_, err := sqlstore.New(ctx, nil)
	require.ErrorIs(t, err, keyring.ErrEmpty)

	path := filepath.Join(t.TempDir(), "keys.db")
	for _, c := range []struct{ pragmas, want string }{
		{"_pragma=synchronous(NORMAL)&_pragma=secure_delete(ON)", "synchronous"},
		{"_pragma=synchronous(FULL)&_pragma=secure_delete(OFF)", "secure_delete"},
	} {
		db, err := sql.Open("sqlite", path+"?"+c.pragmas)
		require.NoError(t, err)
		_, err = sqlstore.New(ctx, db)
		require.ErrorContains(t, err, c.want)
		require.NoError(t, db.Close())
	}

	db := openDB(t, path)
	_, err = sqlstore.New(ctx, db)
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, `UPDATE rahasia_schema SET version = 99`)
	require.NoError(t, err)
	_, err = sqlstore.New(ctx, db)
	require.ErrorContains(t, err, "version 99")

	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = sqlstore.New(gone, db)
	require.ErrorIs(t, err, context.Canceled)
}

// Rows that another program changed must not come back as something else.
func TestAttackOnRows(t *testing.T) {
	ctx := t.Context()
	db := openDB(t, filepath.Join(t.TempDir(), "keys.db"))
	db.SetMaxOpenConns(1) // one connection has all the pragmas
	s, err := sqlstore.New(ctx, db)
	require.NoError(t, err)
	rec := keyring.KeyRecord{Tag: keyring.Tag{1}, Compartment: "c", State: keyring.Active, Wrapped: []byte("w")}
	_, err = s.CreateKeys(ctx, []keyring.KeyRecord{rec})
	require.NoError(t, err)
	for _, change := range []string{
		`UPDATE rahasia_keys SET version = -1`,
		`UPDATE rahasia_keys SET version = 4294967296`,
		`UPDATE rahasia_keys SET version = 1, state = 256`,
		`UPDATE rahasia_keys SET state = 1, generation = 99999999999`,
		`UPDATE rahasia_keys SET generation = 1, wrapped = zeroblob(65537)`,
		`UPDATE rahasia_keys SET wrapped = zeroblob(65536), compartment = printf('%.33c', 'x')`,
		`PRAGMA ignore_check_constraints = ON; UPDATE rahasia_keys SET compartment = 'c', commitment = zeroblob(33)`,
	} {
		_, err := db.ExecContext(ctx, change)
		require.NoError(t, err)
		_, err = s.Keys(ctx, []keyring.Tag{rec.Tag})
		require.ErrorIs(t, err, keyring.ErrCorrupt, change)
	}
	_, err = db.ExecContext(ctx, `PRAGMA ignore_check_constraints = OFF; UPDATE rahasia_keys SET commitment = zeroblob(32)`)
	require.NoError(t, err)
	rec.Generation, rec.Version, rec.Wrapped = 1, 1, make([]byte, 65536)
	got, err := s.Keys(ctx, []keyring.Tag{rec.Tag})
	require.NoError(t, err)
	require.Equal(t, []keyring.KeyRecord{rec}, got, "the largest that is taken")
	_, err = db.ExecContext(ctx, `UPDATE rahasia_keys SET commitment = x'00'`)
	require.Error(t, err, "the schema lets a short commitment in")
}

// What a thief of the folder reads: no subject id, no passphrase, no keyset in
// clear, and after an erasure not one byte of the wrapped key that was there.
func TestAttackThiefReadsTheFiles(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "keys.db"))
	s, err := sqlstore.New(ctx, db)
	require.NoError(t, err)
	journal, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	spy := &spyKEK{KEK: kek}
	r, err := keyring.Create(ctx, "clinic", keyring.Config{Store: s, Journal: journal, KEK: spy})
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	for _, id := range []string{"9271060312000001", "subject-to-erase"} {
		_, err = r.CreateSubject(ctx, id, "clinical")
		require.NoError(t, err)
	}
	wraps := column(t, db, `SELECT wrapped FROM rahasia_keys`)
	require.Len(t, wraps, 2)
	require.Equal(t, 2, found(t, dir, wraps), "the search finds what is there")

	_, err = r.Shred(ctx, "subject-to-erase")
	require.NoError(t, err)
	left := column(t, db, `SELECT wrapped FROM rahasia_keys WHERE state = 1`)
	require.Len(t, left, 1)
	for _, w := range wraps {
		want := 0
		if bytes.Equal(w, left[0]) {
			want = 1
		}
		// 20 bytes from the middle: a page may keep a cell's tail.
		require.Equal(t, want, found(t, dir, [][]byte{w[20:40]}), "bytes of the wrapped key in the files")
	}
	secrets := append([][]byte{[]byte("9271060312000001"), []byte("subject-to-erase")}, spy.seen...)
	require.Zero(t, found(t, dir, secrets), "a secret in the files")
}

// spyKEK keeps the keysets it was given.
type spyKEK struct {
	keyring.KEK
	seen [][]byte
}

func (k *spyKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	for i := 0; i+16 <= len(plaintext); i += 16 {
		if b := plaintext[i : i+16]; !bytes.Contains([]byte("type.googleapis.com/google.crypto.tink.HkdfPrfKey"), b) {
			k.seen = append(k.seen, bytes.Clone(b))
		}
	}
	return k.KEK.Wrap(ctx, plaintext, ad)
}

func column(t testing.TB, db *sql.DB, query string) (out [][]byte) {
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var b []byte
		require.NoError(t, rows.Scan(&b))
		out = append(out, b)
	}
	require.NoError(t, rows.Err())
	return out
}

// found returns how many of the values are in any file of dir.
func found(t *testing.T, dir string, values [][]byte) (n int) {
	var all []byte
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	}))
	require.NotEmpty(t, all)
	for _, v := range values {
		if bytes.Contains(all, v) {
			n++
		}
	}
	return n
}

func BenchmarkCreateSubject(b *testing.B) {
	s := newStore(b, filepath.Join(b.TempDir(), "keys.db"))
	rec := keyring.KeyRecord{Compartment: "clinical", State: keyring.Active, Wrapped: make([]byte, 60)}
	var n uint64
	b.ReportAllocs()
	for b.Loop() {
		n++
		for i := range 8 {
			rec.Tag[i] = byte(n >> (8 * i))
		}
		if _, err := s.CreateKeys(b.Context(), []keyring.KeyRecord{rec}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	s := newStore(b, filepath.Join(b.TempDir(), "keys.db"))
	var recs []keyring.KeyRecord
	var tags []keyring.Tag
	for i := range 300 {
		tag := keyring.Tag{byte(i), byte(i >> 8)}
		tags = append(tags, tag)
		recs = append(recs, keyring.KeyRecord{Tag: tag, Compartment: "clinical", State: keyring.Active, Wrapped: make([]byte, 60)})
	}
	if _, err := s.CreateKeys(b.Context(), recs); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{3, 300} {
		b.Run(map[int]string{3: "patient", 300: "page"}[n], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := s.Keys(b.Context(), tags[:n]); err != nil || len(got) != n {
					b.Fatal(err)
				}
			}
		})
	}
}
