package sqlstore_test

import (
	"context"
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
	killtest.Run(t, killtest.Stores{
		Fresh: func(t testing.TB) string { return filepath.Join(t.TempDir(), "keys.db") },
		Copy: func(t testing.TB, from string) string {
			to := t.TempDir()
			killtest.CopyFolder(t, filepath.Dir(from), to)
			return filepath.Join(to, filepath.Base(from))
		},
		Open: func(t testing.TB, place string, point func()) keyring.Store {
			return pointed(t, sqliteAt(place), point)
		},
	})
}

func TestKillPostgres(t *testing.T) {
	var server *pgtest.Server
	if !killtest.Child() {
		server = sqlstore.Server.Start(t)
	}
	killtest.Run(t, killtest.Stores{
		Fresh: func(t testing.TB) string { return server.Database(t) },
		Copy:  func(t testing.TB, from string) string { return server.Copy(t, from) },
		Open: func(t testing.TB, place string, point func()) keyring.Store {
			return pointed(t, database{"pgx", place}, point)
		},
	})
}

func pointed(t testing.TB, d database, point func()) keyring.Store {
	return storeIn(t, d.hooked(t, func(_ context.Context, call string) error {
		if call != "row" {
			point()
		}
		return nil
	}))
}
