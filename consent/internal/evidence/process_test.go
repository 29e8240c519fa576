//go:build unix

package evidence

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

const (
	childEnv   = "RAHASIA_EVIDENCE_CHILD" // number, folder, place of the database
	processes  = 3
	goroutines = 8
	appends    = 15 // by each goroutine
)

// TestProcesses: 3 processes of 8 goroutines append to one tree, and the first
// that is a sequencer in process 0 is killed with the lease in its hands. What
// anybody was told is durable is in the tree, once.
func TestProcesses(t *testing.T) {
	if order, ok := os.LookupEnv(childEnv); ok {
		child(t, strings.Split(order, "\n"))
		return
	}
	for _, dialect := range []string{"sqlite", "postgres", "dir"} {
		t.Run(dialect, func(t *testing.T) {
			dir := t.TempDir()
			place := filepath.Join(dir, "log.db")
			if dialect == "dir" {
				place = filepath.Join(dir, "log.dir")
			}
			if dialect == "postgres" {
				place = server.Start(t).Database(t)
			}
			ring := sharedRing(t, dir)
			require.NoError(t, ring.Close())
			var wait sync.WaitGroup
			began := time.Now()
			for n := range processes {
				wait.Go(func() {
					cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestProcesses$", "-test.v")
					cmd.Env = append(os.Environ(), childEnv+"="+fmt.Sprintf("%d\n%s\n%s", n, dir, place))
					out, err := cmd.CombinedOutput()
					if killed := strings.Contains(fmt.Sprint(err), "killed"); killed != (n == 0) {
						t.Errorf("process %d: %v\n%s", n, err, out)
					}
				})
			}
			wait.Wait()
			if t.Failed() {
				return
			}
			tree := treeAt(t, sharedRing(t, dir), place)
			times := map[string]int{}
			n, err := tree.Verify(ctx, func(leaf []byte) error {
				times[string(leaf)]++
				return nil
			})
			require.NoError(t, err)
			require.EqualValues(t, n, len(times), "one is there twice")
			told := 0
			for n := range processes {
				f, err := os.Open(filepath.Join(dir, fmt.Sprint("told", n)))
				require.NoError(t, err)
				lines := bufio.NewScanner(f)
				for lines.Scan() {
					told++
					require.Equal(t, 1, times[lines.Text()], lines.Text())
				}
				require.NoError(t, f.Close())
			}
			require.GreaterOrEqual(t, told, (processes-1)*goroutines*appends)
			t.Logf("%d told, %d in the tree, %v", told, n, time.Since(began))
		})
	}
}

func treeAt(t testing.TB, ring *keyring.Ring, at string) *Tree {
	if strings.HasSuffix(at, ".dir") {
		return place{dir: at}.tree(t, ring)
	}
	return openTree(t, ring, openPlace(t, at))
}

func openPlace(t testing.TB, place string) *sql.DB {
	if strings.HasPrefix(place, "host=") {
		return pgtest.Open(t, place)
	}
	db, err := sqlite.Open(place)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sqlite.Close(db) })
	return db
}

// sharedRing opens the ring of a folder, and makes it where it is not there.
func sharedRing(t testing.TB, dir string) *keyring.Ring {
	db := openPlace(t, filepath.Join(dir, "keys.db"))
	store, err := sqlstore.New(ctx, db)
	require.NoError(t, err)
	journal, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	cfg := keyring.Config{Store: store, Journal: journal}
	if cfg.KEK, err = keyring.OpenKeyFile(filepath.Join(dir, "key")); err == nil {
		ring, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		t.Cleanup(func() { _ = ring.Close() })
		return ring
	}
	cfg.KEK, err = keyring.CreateKeyFile(filepath.Join(dir, "key"))
	require.NoError(t, err)
	ring, err := keyring.Create(ctx, "ring-shared", cfg)
	require.NoError(t, err)
	require.NoError(t, ring.CreateKeyset(ctx, TreeKeyset))
	return ring
}

func child(t *testing.T, order []string) {
	number, dir, place := order[0], order[1], order[2]
	tree := treeAt(t, sharedRing(t, dir), place)
	if number == "0" {
		tree.store = &suicidal{treeStore: tree.store}
	}
	f, err := os.OpenFile(filepath.Join(dir, "told"+number), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	var wait sync.WaitGroup
	for g := range goroutines {
		wait.Go(func() {
			for i := range appends {
				leaf := fmt.Sprintf("%s/%d/%d", number, g, i)
				if err := tree.Append(ctx, []byte(leaf)); err != nil {
					t.Error(err)
				}
				if _, err := f.WriteString(leaf + "\n"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	for number == "0" { // until it dies as a sequencer
		require.NoError(t, tree.Append(ctx, fmt.Append(nil, "more", time.Now().UnixNano())))
	}
	require.NoError(t, tree.settle(ctx))
}

// suicidal dies in its second step, after it has taken the lease and kept it.
type suicidal struct {
	treeStore
	steps atomic.Int64
}

func (s *suicidal) grow(ctx context.Context, g *growth) error {
	kept := *g
	kept.keep = true
	err := s.treeStore.grow(ctx, &kept)
	if err == nil && s.steps.Add(1) == 2 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return err
}
