package services

import (
	"context"
	"database/sql"
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/internal/pgtest"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

//go:embed grants.sql
var grants string

// The application's tables. Rows lie in sealed; messages and items are sealed
// by who sent them.
const tables = `
CREATE TABLE patients (id TEXT PRIMARY KEY, sealed BYTEA NOT NULL, nik_token BYTEA);
CREATE INDEX patients_nik ON patients (nik_token);
CREATE TABLE arrivals (item BYTEA NOT NULL);
CREATE TABLE results (message BYTEA NOT NULL);
CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY);`

// Patient is the one record type; each service opens of it what its keys allow.
type Patient struct {
	ID        string   `phi:"subject"`
	NIK       string   `phi:"nik,lookup"`
	Name      string   `phi:"name"`
	Sex       string   `phi:"sex"`
	Diagnosis []string `phi:"clinical"`
}

// shared are the keysets that every service holds which opens the ring: who may
// unwrap them writes the log and reads consents, and opens no record.
var shared = []string{"audit", "consent/ledger", "consent/log"}

// keysets are those that each service holds beside them.
var keysets = map[string][]string{
	"clinic":     {"identity", "clinical", "lookup/patient/NIK", "inbox/branches", "topic/results"},
	"laboratory": {"clinical", "topic/results"},
	"research":   {"clinical", "recipient/ui-2026", "recipient/itb-2026"},
	"privacy":    {},
}

// house is what lies on disks and in the key service.
type house struct {
	dir    string // of KEK files, which stand for keys in a key service, and the journal
	server string // of a connection string, all but role and schema

	custodian keyring.Custodian // the public half
}

func newHouse(t *testing.T) *house {
	dsn := pgtest.Start(t).Database(t)
	h := &house{dir: t.TempDir(), server: dsn[:strings.LastIndex(dsn, " search_path=")]}
	custodian, err := keyring.CreateCustodianKey(h.path("custodian"))
	require.NoError(t, err)
	h.custodian = custodian.Custodian()
	for _, schema := range []string{"keys", "consent", "app"} {
		exec(t, h.pool(t, "test", "public"), `CREATE SCHEMA `+schema)
	}
	exec(t, h.pool(t, "test", "app"), tables)
	h.keeper(t)
	exec(t, h.pool(t, "test", "public"), grants)
	for _, name := range []string{"erasure.journal", "erasure.journal.lock"} { // services of several accounts share it
		require.NoError(t, os.Chmod(h.path(name), 0o660))
	}
	return h
}

func (h *house) path(name string) string { return filepath.Join(h.dir, name) }

func (h *house) pool(t *testing.T, role, schema string) *sql.DB {
	dsn := strings.Replace(h.server, "user=test", "user="+role, 1)
	return pgtest.Open(t, dsn+" search_path="+schema)
}

// kekOf is where the KEK of a keyset lies: one for what all services hold, one
// for each compartment, recipient, inbox and topic.
func (h *house) kekOf(keyset string) string {
	switch keyset {
	case "ring", "audit", "consent/ledger", "consent/log":
		keyset = "house"
	case "lookup/patient/NIK": // finds people: with what names them
		keyset = "identity"
	}
	return h.path(strings.ReplaceAll(keyset, "/", "-") + ".kek")
}

// keks are those that a service may use.
func (h *house) keks(t *testing.T, keysets []string) map[string]keyring.KEK {
	keks := map[string]keyring.KEK{}
	for _, name := range append([]string{"ring"}, keysets...) {
		kek, err := keyring.OpenKeyFile(h.kekOf(name))
		require.NoError(t, err)
		keks[name] = kek
	}
	return keks
}

func (h *house) config(t *testing.T, role string, keysets []string) keyring.Config {
	store, err := sqlstore.New(t.Context(), h.pool(t, role, "keys"))
	require.NoError(t, err)
	journal, err := keyring.OpenJournal(h.path("erasure.journal"))
	require.NoError(t, err)
	return keyring.Config{Store: store, Journal: journal, KEKs: h.keks(t, keysets), Custodian: h.custodian}
}

// keeper makes keysets and tables, as the owner, before any service starts.
func (h *house) keeper(t *testing.T) {
	all := append([]string{}, shared...)
	for _, names := range keysets {
		all = append(all, names...)
	}
	for _, name := range append([]string{"ring"}, all...) {
		if _, err := keyring.CreateKeyFile(h.kekOf(name)); err != nil {
			require.ErrorIs(t, err, keyring.ErrExists)
		}
	}
	ring, err := keyring.Create(t.Context(), "clinic", h.config(t, "test", all))
	require.NoError(t, err)
	defer ring.Close()
	for _, name := range all {
		if err := ring.CreateKeyset(t.Context(), name); err != nil {
			require.ErrorIs(t, err, keyring.ErrExists)
		}
	}
	_, err = open(t.Context(), ring, h.pool(t, "test", "consent"))
	require.NoError(t, err)
}

// start starts a service: as its role, with its keys.
func (h *house) start(t *testing.T, role string) (*consent.Config, *sql.DB) {
	held := append(append([]string{}, shared...), keysets[role]...)
	join := part(held)
	if role == "privacy" { // it erases in every compartment, and needs no KEK for that
		join = keyring.Open
	}
	ring, err := join(t.Context(), h.config(t, role, held))
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	cfg, err := open(t.Context(), ring, h.pool(t, role, "consent"))
	require.NoError(t, err)
	return cfg, h.pool(t, role, "app")
}

// part opens a ring and holds of its keysets those named.
func part(held []string) func(context.Context, keyring.Config) (*keyring.Ring, error) {
	return func(ctx context.Context, keys keyring.Config) (*keyring.Ring, error) {
		ring, err := keyring.Open(ctx, keys) // keys.KEKs: those of "ring" and of what is held
		if err != nil {
			return nil, err
		}
		return ring.Only(held...), nil
	}
}

func open(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*consent.Config, error) {
	cfg := &consent.Config{Ring: ring}
	var err error
	if cfg.Ledger, err = consent.OpenLedger(ctx, ring, db); err != nil {
		return nil, err
	}
	if cfg.Log, err = consent.OpenLog(ctx, ring, db); err != nil {
		return nil, err
	}
	return cfg, nil
}

func exec(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}
