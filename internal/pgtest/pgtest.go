//go:build unix

// Package pgtest starts a real PostgreSQL for a test.
package pgtest

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// maxSocket is the longest path of a Unix socket on Linux, without its final zero.
const maxSocket = 107

// Server is a PostgreSQL server of one test's own, gone with the test.
type Server struct {
	dir     string
	schemas atomic.Int32
}

// Start starts a server from the binaries on the PATH: on a Unix socket and no
// port, with PostgreSQL's own defaults for durability. Without the binaries, or
// without a user to run them as, the test is skipped and says so; where the
// environment variable RAHASIA_REQUIRE lists postgres it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name+" is not on the PATH")
		}
	}
	dir, cred := home(t)
	data := filepath.Join(dir, "data")
	run(t, cred, "initdb", "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	run(t, cred, "pg_ctl", "-D", data, "-w", "-l", filepath.Join(dir, "log"),
		"-o", fmt.Sprintf("-c listen_addresses='' -c max_connections=200 -k %s", dir), "start")
	t.Cleanup(func() { run(t, cred, "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop") })
	return &Server{dir: dir}
}

// Database makes an empty schema, which stands for a database and costs less,
// and returns where it is, for [Open] and for other processes while the test runs.
func (s *Server) Database(t testing.TB) (dsn string) {
	t.Helper()
	name := fmt.Sprintf("test%d", s.schemas.Add(1))
	dsn = fmt.Sprintf("host=%s user=test dbname=postgres sslmode=disable search_path=", s.dir)
	db := Open(t, dsn+"public")
	if _, err := db.ExecContext(t.Context(), `CREATE SCHEMA `+name); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return dsn + name
}

// Open returns a pool on the database at dsn, closed with the test.
func Open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func missing(t testing.TB, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("RAHASIA_REQUIRE"), ","), "postgres") {
		t.Fatalf("PostgreSQL is required by RAHASIA_REQUIRE, and %s", why)
	}
	t.Skipf("needs PostgreSQL: %s", why)
}

// home makes the server's folder. PostgreSQL refuses to run as root, so for
// root it belongs to the user postgres. The test's own temporary folder may be
// too deep for a socket.
func home(t testing.TB) (dir string, cred *syscall.Credential) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if n := len(filepath.Join(dir, ".s.PGSQL.5432")); n > maxSocket {
		t.Fatalf("the temporary folder is too deep for a socket: %d bytes, at most %d", n, maxSocket)
	}
	if os.Getuid() != 0 {
		return dir, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		missing(t, "there is no user postgres to run it as")
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return dir, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func run(t testing.TB, cred *syscall.Credential, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = "/" // the test's folder may be closed to the user postgres
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}
