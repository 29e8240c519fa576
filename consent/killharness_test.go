//go:build unix

package consent

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/internal/sqlhook"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// killEnv tells a child what to do: the job, the fault point to die at, as whom,
// whether points count while it opens, the folder and the database.
const killEnv = "RAHASIA_CONSENT_KILLTEST"

// killSample is how many fault points share one kill where not all are tried.
const killSample = 8

// killPlace is a folder that a clinic lives in, and its database if that is not
// in the folder.
type killPlace struct{ dir, dsn string }

// killPlaces makes places of one kind.
type killPlaces struct {
	share int // of the points, one of how many is tried where SQLite's all are
	fresh func(t testing.TB) killPlace
	copy  func(t testing.TB, from killPlace) killPlace
}

// killJob is what a process is doing when it is killed.
type killJob struct {
	name string
	// do does the job, or finds it done, and tells what it got.
	do func(s *killScene) error
	// check looks at what is left. acked says that somebody was told that it is
	// done; otherwise it may be done or not, but no half of it.
	check func(s *killScene, acked bool)
}

// account is what came out of the library, with which it could be stored or seen.
type account struct {
	Actor, Action, Subject string
	Fields                 []string `json:",omitempty"`
	Values                 *person  `json:",omitempty"`
	Row                    []byte   `json:",omitempty"`
	Done                   bool     `json:",omitempty"` // nothing came out, and the job is done
}

// runKills does each job again and again, each time in a process that is killed
// with SIGKILL at another fault point: before and after each call of the
// database that writes, and each time something came out. Between two of those
// nothing changes that a process leaves behind but the erasure journal, of which
// keyring has tests of its own. After each death everything is reopened: what
// came out has its entry, nothing is lost or half done, and the job can be done
// again; every third time it is killed once more while that is tried.
//
// All points are tried where RAHASIA_KILL is "all", or where go test's -run names
// the kill tests; otherwise, as in CI, every eighth, from a random one on.
// Of PostgreSQL's it is an eighth of those, and in a sample of every third job.
func runKills(t *testing.T, places killPlaces) {
	if order, ok := os.LookupEnv(killEnv); ok {
		killChild(t, strings.Split(order, "\n"))
		return
	}
	step := killSample
	if os.Getenv("RAHASIA_KILL") == "all" || strings.Contains(flag.Lookup("test.run").Value.String(), "Kill") {
		step = 1
	} else if testing.Short() {
		step *= 3
	}
	origin := places.fresh(t)
	prepareKill(t, origin)
	skipped := 0
	if step > 1 && places.share > 1 {
		skipped = 2 // of three jobs
	}
	for i, from := rand.IntN(skipped+1), killJobs(); i < len(from); i += 1 + skipped {
		j := from[i]
		t.Run(j.name, func(t *testing.T) {
			t.Parallel() // they wait for the disk most of the time
			j.run(t, places, origin, step)
		})
	}
}

func (j *killJob) run(t *testing.T, places killPlaces, origin killPlace, step int) {
	whole := places.copy(t, origin)
	points, _ := j.kill(t, whole, 0, "first", false)
	j.look(t, whole)
	step = min(step*places.share, points)
	from, tried, deaths := 1+rand.IntN(step), 0, 0
	for at := from; at <= points; at += step {
		ok := t.Run(fmt.Sprint("point ", at), func(t *testing.T) {
			place := places.copy(t, origin)
			tried++
			if _, killed := j.kill(t, place, at, "first", false); killed {
				deaths++
			}
			if at%3 == 0 {
				_, _ = j.kill(t, place, 1+rand.IntN(points), "second", true)
			}
			j.look(t, place)
		})
		if !ok {
			return
		}
	}
	// What runs beside the job is not at the same point every time.
	if points < 5 || deaths < tried-tried/4-1 {
		t.Errorf("%d fault points, and died at %d of %d: they are not reached", points, deaths, tried)
	}
	t.Logf("killed at %d of %d fault points, each %d from %d on", deaths, points, step, from)
}

// kill does the job in a process that dies at a fault point, unless that is 0.
// It returns how many points the process had if it was not killed.
func (j *killJob) kill(t testing.TB, p killPlace, at int, actor string, early bool) (points int, killed bool) {
	t.Helper()
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+name+"$", "-test.v")
	cmd.Env = append(os.Environ(), "TMPDIR="+p.dir, // what it leaves goes with the test
		killEnv+"="+strings.Join([]string{j.name, strconv.Itoa(at), actor, strconv.FormatBool(early), p.dir, p.dsn}, "\n"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if err != nil && !killed {
		t.Fatalf("child: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if rest, ok := strings.CutPrefix(line, "points "); ok {
			points, err = strconv.Atoi(strings.TrimSpace(rest))
			require.NoError(t, err)
		}
	}
	if !killed && points == 0 {
		t.Fatalf("the child neither died nor did its job:\n%s", out)
	}
	return points, killed
}

// killChild does a job and dies on the way.
func killChild(t *testing.T, order []string) {
	require.Len(t, order, 6)
	at, err := strconv.ParseInt(order[1], 10, 64)
	require.NoError(t, err)
	var armed atomic.Bool
	var points atomic.Int64
	point := func() {
		if armed.Load() && points.Add(1) == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until the signal is there
		}
	}
	armed.Store(order[3] == "true")
	all := killJobs()
	which := slices.IndexFunc(all, func(j killJob) bool { return j.name == order[0] })
	require.GreaterOrEqual(t, which, 0)
	s := openKill(t, killPlace{order[4], order[5]}, order[2], point)
	armed.Store(true)
	require.NoError(t, all[which].do(s))
	s.tell(account{Done: true})
	require.NoError(t, s.cfg.Close()) // the last entries get their places, and the journal is told
	point()
	fmt.Printf("points %d\n", points.Load())
}

// look reopens after a death, does the job again, and looks once more when
// nothing is unfinished.
func (j *killJob) look(t testing.TB, p killPlace) {
	t.Helper()
	s := openKill(t, p, "again", func() {})
	j.verify(s, s.acked())
	require.NoError(t, j.do(s), "it can be done again")
	j.verify(s, true)
	s.close()
	if p.dsn == "" {
		s = openDirKill(t, p)
	} else {
		s = openKill(t, p, "later", func() {})
	}
	j.verify(s, true)
	s.close()
}

func (j *killJob) verify(s *killScene, acked bool) {
	s.t.Helper()
	s.common()
	j.check(s, acked)
}

// killScene is a clinic that a process has open.
type killScene struct {
	t     testing.TB
	place killPlace
	world killWorld
	actor string
	point func()

	cfg *Config
	r   *Records[person]
	app *sql.DB

	log       []Entry // as common found it
	histories map[string][]Entry
	shown     []account
}

func (s *killScene) ctx() context.Context { return context.Background() }

func (s *killScene) toldFile() string { return filepath.Join(s.place.dir, "told") }

// tell notes what came out, between two fault points.
func (s *killScene) tell(x account) {
	s.point()
	s.note(x)
	s.point()
}

// note writes what came out where it stays.
func (s *killScene) note(x account) {
	x.Actor = s.actor
	line, err := json.Marshal(x)
	require.NoError(s.t, err)
	f, err := os.OpenFile(s.toldFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY|os.O_SYNC, 0o600)
	require.NoError(s.t, err)
	_, err = f.Write(append(line, '\n'))
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
}

// heard returns what came out so far.
func (s *killScene) heard() (out []account) {
	b, err := os.ReadFile(s.toldFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(s.t, err)
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var x account
		require.NoError(s.t, json.Unmarshal(lines.Bytes(), &x))
		out = append(out, x)
	}
	require.NoError(s.t, lines.Err())
	return out
}

func (s *killScene) acked() bool {
	return slices.ContainsFunc(s.heard(), func(x account) bool { return x.Done })
}

// database opens one of the clinic's, with a fault point before and after each
// call that writes.
func (p killPlace) database(t testing.TB, file string, point func()) *sql.DB {
	driver, dsn := "pgx", p.dsn
	if dsn == "" {
		driver, dsn = "sqlite", sqlite.DSN(filepath.Join(p.dir, file))
	}
	plain, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	db := sqlhook.Open(plain.Driver(), dsn, func(_ context.Context, call string) error {
		if killWrites(strings.TrimPrefix(call, sqlhook.After)) {
			point()
		}
		return nil
	})
	t.Cleanup(func() { _, _ = db.Close(), plain.Close() })
	return db
}

// killWrites reports whether a call of the driver may change the database.
func killWrites(call string) bool {
	word, _, _ := strings.Cut(strings.TrimSpace(call), " ")
	return !slices.Contains([]string{"SELECT", "PRAGMA", "BEGIN", "ROLLBACK", "begin", "prepare", "row"}, strings.TrimSpace(word))
}

func sqliteKills() killPlaces {
	return killPlaces{
		share: 1,
		fresh: func(t testing.TB) killPlace { return killPlace{dir: t.TempDir()} },
		copy: func(t testing.TB, from killPlace) killPlace {
			to := killPlace{dir: t.TempDir()}
			require.NoError(t, filepath.WalkDir(from.dir, func(path string, d fs.DirEntry, err error) error {
				name, _ := filepath.Rel(from.dir, path)
				if err == nil && d.IsDir() {
					return os.MkdirAll(filepath.Join(to.dir, name), 0o700)
				}
				b, err := os.ReadFile(path)
				require.NoError(t, err)
				return os.WriteFile(filepath.Join(to.dir, name), b, 0o600)
			}))
			return to
		},
	}
}

func postgresKills(server *pgtest.Server) killPlaces {
	folders := sqliteKills()
	return killPlaces{
		share: 8, // a copy of a database takes its time, and the two differ in little here
		fresh: func(t testing.TB) killPlace {
			p := folders.fresh(t)
			p.dsn = server.Database(t)
			return p
		},
		copy: func(t testing.TB, from killPlace) killPlace {
			p := folders.copy(t, from)
			p.dsn = server.Copy(t, from.dsn)
			return p
		},
	}
}
