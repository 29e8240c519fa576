package sqlstore_test

import (
	"path/filepath"
	"testing"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/racetest"
)

func TestRaceSQLite(t *testing.T) {
	racetest.Run(t, func(t testing.TB) string { return filepath.Join(t.TempDir(), "keys.db") },
		func(t testing.TB, place string) keyring.Store { return newStore(t, place) })
}

func TestRacePostgres(t *testing.T) {
	var server *pgtest.Server
	if !racetest.Child() {
		server = pgtest.Start(t)
	}
	racetest.Run(t, func(t testing.TB) string { return server.Database(t) },
		func(t testing.TB, place string) keyring.Store { return storeIn(t, pgtest.Open(t, place)) })
}
