//go:build unix

package consent

import (
	"os"
	"testing"

	"github.com/rahasia/rahasia/internal/pgtest"
)

func TestKillSQLite(t *testing.T) { runKills(t, sqliteKills()) }

func TestKillPostgres(t *testing.T) {
	var server *pgtest.Server
	if _, child := os.LookupEnv(killEnv); !child {
		server = pgtest.Start(t)
	}
	runKills(t, postgresKills(server))
}
