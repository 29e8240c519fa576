package main

import (
	"bytes"
	"database/sql"
	"errors"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/web"
	"github.com/rahasia/rahasia/internal/pgtest"
)

// A house is a clinic that is served.
type house struct {
	dir    string
	url    string
	clinic *clinic.Clinic
	server *httptest.Server
	pages  *web.Server
	logs   *lockedBuffer

	postgres string // of its database; empty: SQLite
}

// lockedBuffer is where the server logs to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// people is how many patients the clinics of the tests have: enough for a table
// that passes the k gate.
const people = 60

// each runs a test over a seeded clinic on SQLite and, side by side, over one on
// PostgreSQL: they wait for the disk at different times.
func each(t *testing.T, test func(*testing.T, *house)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, "", people))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, open(t, database(t), people))
	})
}

// open opens a clinic with n patients, and serves it.
func open(t *testing.T, postgres string, n int) *house {
	t.Helper()
	return openWith(t, clinic.Options{Postgres: postgres}, n)
}

// openWith is open for a clinic with options of its own.
func openWith(t *testing.T, o clinic.Options, n int) *house {
	t.Helper()
	h := &house{dir: t.TempDir(), logs: &lockedBuffer{}}
	log := slog.New(consent.Redact(slog.NewJSONHandler(h.logs, nil)))
	switch {
	case n > 0:
		seeded.copy(t, h.dir, o.Postgres, n)
	case o.Postgres != "":
		create(t, o.Postgres, "")
	}
	o.Dir, o.Log = h.dir, log
	c, err := clinic.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	pages, err := web.New(c, web.Options{Log: log})
	require.NoError(t, err)
	h.clinic, h.pages, h.server = c, pages, httptest.NewServer(pages)
	t.Cleanup(h.server.Close)
	h.url, h.postgres = h.server.URL, o.Postgres
	return h
}

var server pgtest.Shared

// database is a database of the test's own, not made yet: a clinic has three
// schemas of fixed names in it.
func database(t *testing.T) (dsn string) {
	t.Helper()
	dsn = server.Start(t).Database(t)
	return strings.Replace(dsn, "dbname=postgres", "dbname="+dsn[strings.LastIndexByte(dsn, '=')+1:], 1)
}

// create makes a database, a copy of another where that is named.
func create(t *testing.T, dsn, from string) {
	t.Helper()
	db, err := sql.Open("pgx", strings.Replace(dsn, "dbname="+databaseOf(dsn), "dbname=postgres", 1))
	require.NoError(t, err)
	statement := `CREATE DATABASE ` + databaseOf(dsn)
	if from != "" {
		statement += ` TEMPLATE ` + databaseOf(from)
	}
	_, err = db.ExecContext(t.Context(), statement)
	require.NoError(t, errors.Join(err, db.Close()))
}

func databaseOf(dsn string) string {
	_, name, _ := strings.Cut(dsn, "dbname=")
	name, _, _ = strings.Cut(name, " ")
	return name
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := server.Run(m)
	chromium.stop()
	if err := seeded.remove(); err != nil {
		code = 1
	}
	os.Exit(code)
}
