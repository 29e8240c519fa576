//go:build unix

package consent

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
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

// TestKillOpeningDir kills processes at any moment while they make a folder. It
// is whole or not there, no key is lost, and the next process opens it or makes it.
func TestKillOpeningDir(t *testing.T) {
	if dir, child := os.LookupEnv(killEnv); child {
		fmt.Println("begin")
		cfg, err := OpenDir(t.Context(), dir)
		require.NoError(t, err)
		fmt.Println("made")
		require.NoError(t, cfg.Close())
		return
	}
	kills := 8
	if os.Getenv("RAHASIA_KILL") == "all" {
		kills = 40
	}
	making, died := 100*time.Millisecond, 0
	for range kills {
		dir := filepath.Join(t.TempDir(), "demo")
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(dir), killEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines, began := bufio.NewScanner(out), time.Now()
		for lines.Scan() && lines.Text() != "begin" {
		}
		kill := time.AfterFunc(time.Duration(rand.Int64N(int64(making))), func() { _ = cmd.Process.Kill() })
		made := false
		for lines.Scan() {
			if lines.Text() == "made" {
				made, making = true, time.Since(began)
			}
		}
		if err := cmd.Wait(); err != nil {
			require.ErrorContains(t, err, "killed")
			if !made {
				died++
			}
		}
		kill.Stop()
		for range 2 {
			cfg, err := OpenDir(t.Context(), dir)
			require.NoError(t, err)
			require.NoFileExists(t, filepath.Join(dir, innerKey))
			row := sealed(t, people(t, cfg), *killPerson(envelope.NewID()))
			require.NotEmpty(t, row.Sealed)
			require.NoError(t, cfg.Close())
		}
	}
	require.Positive(t, died, "none died while it made the folder")
	t.Logf("%d of %d died before the folder was made", died, kills)
}
