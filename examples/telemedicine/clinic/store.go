package clinic

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"modernc.org/sqlite"               // and the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// The application's tables. What says something about a patient lies in sealed;
// what is searched for, in columns of tokens. A NIK has two columns, which take
// turns when its keys are rotated, so that it stays unique meanwhile.
//
// The statements of this package are those that SQLite and PostgreSQL both take.
const tables = `
CREATE TABLE IF NOT EXISTS patients (
	id      TEXT PRIMARY KEY,
	branch  TEXT NOT NULL,
	sealed  BYTEA NOT NULL,
	nik_a   BYTEA UNIQUE,
	nik_b   BYTEA UNIQUE,
	phone   BYTEA
);
CREATE INDEX IF NOT EXISTS patients_phone ON patients (phone);
CREATE TABLE IF NOT EXISTS visits (id TEXT PRIMARY KEY, patient TEXT NOT NULL, sealed BYTEA NOT NULL);
CREATE INDEX IF NOT EXISTS visits_patient ON visits (patient);
CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, patient TEXT NOT NULL, sealed BYTEA NOT NULL);
CREATE INDEX IF NOT EXISTS files_patient ON files (patient);
CREATE TABLE IF NOT EXISTS accounts (
	name    TEXT PRIMARY KEY,
	role    TEXT NOT NULL,
	title   TEXT NOT NULL,
	patient TEXT NOT NULL,
	recipient TEXT NOT NULL,
	hash    TEXT NOT NULL,
	changed BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS arrivals (
	id       TEXT PRIMARY KEY,
	at       BIGINT NOT NULL,
	record   BYTEA NOT NULL,
	choices  BYTEA NOT NULL,
	state    TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY);
CREATE TABLE IF NOT EXISTS erasures (
	patient TEXT PRIMARY KEY,
	asked   BIGINT NOT NULL,
	until   BIGINT NOT NULL DEFAULT 0,
	basis   TEXT NOT NULL DEFAULT '',
	done    BIGINT NOT NULL,
	outcome TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS exports (id TEXT PRIMARY KEY, at BIGINT NOT NULL, actor TEXT NOT NULL, recipient TEXT NOT NULL, subject TEXT NOT NULL, k BIGINT NOT NULL, given BIGINT NOT NULL, left_out BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (at BIGINT NOT NULL, actor TEXT NOT NULL, hour BIGINT NOT NULL, day BIGINT NOT NULL, emergency BOOLEAN NOT NULL);`

// openStores opens the databases, and rahasia over them.
func (c *Clinic) openStores(ctx context.Context, postgres string) error {
	if err := c.ownFolder(postgres != ""); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(c.dir, "objects"), 0o700); err != nil {
		return err
	}
	custodian, err := c.custodian()
	if err != nil {
		return err
	}
	if postgres == "" {
		err = c.openFolder(ctx) // which finds the custodian's file by its name
	} else {
		err = c.openPostgres(ctx, postgres, custodian)
	}
	if err != nil {
		return err
	}
	_, err = c.db.ExecContext(ctx, tables)
	return err
}

// ownFolder refuses the folder of a clinic on the other kind of database. Its keys
// are another ring's: what a branch sealed by the credential in it would open here
// for nobody.
func (c *Clinic) ownFolder(postgres bool) error {
	others := clinicKey
	if postgres {
		others = "app.db"
	}
	if _, err := os.Stat(filepath.Join(c.dir, others)); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(errors.New("the folder has a clinic on another database: name another folder"), err)
	}
	return nil
}

// clinicKey is the file of the key that wraps all others, where the ring lies in
// PostgreSQL.
const clinicKey = "clinic.key"

// openFolder is the embedded default: three SQLite files, of which rahasia keeps
// two, in a folder whose key lies beside it.
func (c *Clinic) openFolder(ctx context.Context) error {
	var err error
	if c.cfg, err = consent.OpenDir(ctx, filepath.Join(c.dir, "rahasia")); err != nil {
		return err
	}
	c.close = append(c.close, c.cfg.Close)
	c.db, err = c.pool("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(c.dir, "app.db")), RawQuery: url.Values{
		"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"},
	}.Encode()}).String())
	return err
}

// openPostgres puts keys, consents with the audit log, and the application's
// tables into schemas of one database. In production each would have roles and
// grants of its own (docs/DEPLOY.md), and the key that wraps all others would be
// in a key service and not in a file.
func (c *Clinic) openPostgres(ctx context.Context, dsn string, custodian keyring.Custodian) error {
	pools := map[string]*sql.DB{}
	for _, schema := range []string{"app", "consent", "keys"} {
		db, err := c.pool("pgx", dsn)
		if err != nil {
			return err
		}
		if _, err := db.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
			return err
		}
		if pools[schema], err = c.pool("pgx", inSchema(dsn, schema)); err != nil {
			return err
		}
	}
	c.db = pools["app"]
	ring, err := c.openRing(ctx, pools["keys"], custodian)
	if err != nil {
		return err
	}
	c.close = append(c.close, ring.Close)
	// As OpenDir has it. Where somebody else grants a service its keysets, Provision
	// stays false, and one that is missing is an error (docs/DEPLOY.md).
	c.cfg = &consent.Config{Ring: ring, Provision: true}
	if c.cfg.Ledger, err = consent.OpenLedger(ctx, ring, pools["consent"]); err != nil {
		return err
	}
	c.cfg.Log, err = consent.OpenLog(ctx, ring, pools["consent"])
	return err
}

// openRing opens the clinic's ring, or makes it the first time. That is decided
// by whether there is a key file, so that a lost one is an error and not a new
// ring.
func (c *Clinic) openRing(ctx context.Context, db *sql.DB, custodian keyring.Custodian) (*keyring.Ring, error) {
	store, err := sqlstore.New(ctx, db)
	if err != nil {
		return nil, err
	}
	journal, err := keyring.OpenJournal(filepath.Join(c.dir, "erasure.journal"))
	if err != nil {
		return nil, err
	}
	config := keyring.Config{Store: store, Journal: journal, Custodian: custodian}
	path := filepath.Join(c.dir, clinicKey)
	config.KEK, err = keyring.OpenKeyFile(path)
	if err == nil {
		return keyring.Open(ctx, config)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if config.KEK, err = keyring.CreateKeyFile(path); err != nil {
		return nil, err
	}
	ring, err := keyring.Create(ctx, "clinic", config)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"audit", "consent/ledger", "consent/log"} {
		if err := ring.CreateKeyset(ctx, name); err != nil {
			return nil, errors.Join(err, ring.Close())
		}
	}
	return ring, nil
}

func (c *Clinic) pool(driver, dsn string) (*sql.DB, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", driver, err)
	}
	c.close = append(c.close, db.Close)
	return db, nil
}

// inSchema adds a search_path to a connection string of either form.
func inSchema(dsn, schema string) string {
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme == "" {
		return dsn + " search_path=" + schema
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// within runs what is done in one transaction.
func (c *Clinic) within(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := c.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := do(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// collect collects what a query returns: no row is an empty list, which JSON has
// as one.
func collect[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// isDuplicate reports whether err is that of a UNIQUE column which has the value
// already.
func isDuplicate(err error) bool {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	if lite := (*sqlite.Error)(nil); errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
	}
	return false
}
