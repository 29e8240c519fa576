package sqlite

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	// Every character that a careless DSN would read as something else.
	path := filepath.Join(t.TempDir(), "a b?c#d%e&f=g;h'i\"j.db")
	db, err := Open(path)
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE t (n INTEGER) STRICT`)
	require.NoError(t, err)

	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1", "trusted_schema": "0", "busy_timeout": "10000",
	} {
		var got string
		require.NoError(t, db.QueryRow("PRAGMA "+pragma).Scan(&got))
		require.Equal(t, want, got, pragma)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 2, "database and write-ahead log")
	for _, f := range files {
		require.Contains(t, f.Name(), filepath.Base(path))
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode(), f.Name())
	}
	require.NoError(t, db.Close())
}

func TestOpenHasTheSettingsOnEveryConnection(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	defer db.Close()
	for range 3 {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		var n int
		require.NoError(t, conn.QueryRowContext(t.Context(), "PRAGMA secure_delete").Scan(&n))
		require.Equal(t, 1, n)
	}
}

// A transaction takes the write lock when it begins: two that read and then
// write queue, and neither fails.
func TestTransactionsQueue(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.Exec(`CREATE TABLE t (n INTEGER) STRICT; INSERT INTO t VALUES (0)`)
	require.NoError(t, err)
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			errs <- func() error {
				tx, err := db.Begin()
				if err != nil {
					return err
				}
				defer tx.Rollback()
				var n int
				if err := tx.QueryRow(`SELECT n FROM t`).Scan(&n); err != nil {
					return err
				}
				if _, err := tx.Exec(`UPDATE t SET n = $1`, n+1); err != nil {
					return err
				}
				return tx.Commit()
			}()
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	var n int
	require.NoError(t, db.QueryRow(`SELECT n FROM t`).Scan(&n))
	require.Equal(t, cap(errs), n)
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open("")
	require.Error(t, err)
	_, err = Open(filepath.Join(t.TempDir(), "no", "such", "folder.db"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	path := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(path, []byte("this is no database, it is a text of some length"), 0o600))
	_, err = Open(path)
	require.Error(t, err)
}

// TestCloseWaits: whoever still uses a connection is waited for.
func TestCloseWaits(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	released := make(chan struct{})
	go func() {
		time.Sleep(20 * time.Millisecond)
		close(released)
		_ = conn.Close()
	}()
	require.NoError(t, Close(db))
	select {
	case <-released:
	default:
		t.Fatal("closed while a connection was in use")
	}
}
