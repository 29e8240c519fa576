//go:build unix

// Package pgtest starts a real PostgreSQL for a test.
package pgtest

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// maxSocket is the longest path of a Unix socket on Linux, without its final zero.
const maxSocket = 107

// Server is a PostgreSQL server of the tests' own, gone with them.
type Server struct {
	dir     string
	cred    *syscall.Credential
	schemas atomic.Int32
}

// Start starts a server from the binaries on the PATH: on a Unix socket and no
// port, with PostgreSQL's own defaults for durability. It is gone with the
// test. Without the binaries, or without a user to run them as, the test is
// skipped and says so; where the environment variable RAHASIA_REQUIRE lists
// postgres it fails.
func Start(t testing.TB) *Server {
	t.Helper()
	s := boot(t)
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	})
	return s
}

// Shared is one server for all tests of a package: starting one takes a second.
// The zero Shared starts it when the first test asks.
type Shared struct {
	mu     sync.Mutex
	server *Server
}

// Start returns the server, started as the function Start does.
func (s *Shared) Start(t testing.TB) *Server {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		s.server = boot(t)
	}
	return s.server
}

// Run runs a package's tests, from its TestMain, stops the server and returns
// the code to exit with.
func (s *Shared) Run(m *testing.M) (code int) {
	code = m.Run()
	if err := s.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// Stop stops the server, if it was started.
func (s *Shared) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil
	}
	err := s.server.stop()
	s.server = nil
	return err
}

func boot(t testing.TB) *Server {
	t.Helper()
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, name+" is not on the PATH")
		}
	}
	s := &Server{}
	s.dir, s.cred = home(t)
	err := s.run("initdb", "-D", s.data(), "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err == nil {
		err = s.run("pg_ctl", "-D", s.data(), "-w", "-l", filepath.Join(s.dir, "log"),
			"-o", fmt.Sprintf("-c listen_addresses='' -c max_connections=200 -k %s", s.dir), "start")
	}
	if err != nil {
		_ = os.RemoveAll(s.dir)
		t.Fatal(err)
	}
	return s
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) stop() error {
	return errors.Join(s.run("pg_ctl", "-D", s.data(), "-w", "-m", "immediate", "stop"), os.RemoveAll(s.dir))
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

// Copy makes a copy of a database made by Database, tables and rows, which
// nobody may be writing to, and returns where it is.
func (s *Server) Copy(t testing.TB, dsn string) (to string) {
	t.Helper()
	to = s.Database(t)
	db := Open(t, to)
	copied := `DO $$ DECLARE name text; BEGIN
		SET LOCAL synchronous_commit = off;
		FOR name IN SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('FROM') AND relkind = 'r' LOOP
			EXECUTE format('CREATE TABLE TO.%I (LIKE FROM.%I INCLUDING ALL)', name, name);
			EXECUTE format('INSERT INTO TO.%I SELECT * FROM FROM.%I', name, name);
		END LOOP; END $$`
	for word, in := range map[string]string{"FROM": dsn, "TO": to} {
		schema := in[strings.LastIndexByte(in, '=')+1:]
		copied = strings.NewReplacer(word+".", schema+".", "'"+word+"'", "'"+schema+"'").Replace(copied)
	}
	if _, err := db.ExecContext(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return to
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
	defer func() {
		if t.Failed() || t.Skipped() {
			_ = os.RemoveAll(dir)
		}
	}()
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

func (s *Server) run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/" // the test's folder may be closed to the user postgres
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
