package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"sync/atomic"

	_ "modernc.org/sqlite" // the driver of the application's own database

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/pseudo"
)

// A clinic is the application: its own database of rows that it cannot read
// itself, and beside it what rahasia keeps (keys, consents, audit log).
type clinic struct {
	folder string // both lie in here; the key lies beside it, in folder + ".key"
	db     *sql.DB
	cfg    *consent.Config

	patients     *consent.Records[Patient]
	observations *consent.Records[Observation]
	conditions   *consent.Records[Condition]

	acts atomic.Int64 // what was done that must have an entry in the audit log
}

// The application's tables. What is searched for lies in columns of tokens;
// everything that says something about a patient lies in sealed.
const schema = `
CREATE TABLE patients (
	id          TEXT PRIMARY KEY,
	clinic      TEXT NOT NULL,
	sealed      BLOB NOT NULL,
	nik_token   BLOB,
	phone_token BLOB
);
CREATE INDEX patients_nik ON patients (nik_token);
CREATE INDEX patients_phone ON patients (phone_token);
CREATE TABLE observations (id TEXT PRIMARY KEY, patient TEXT NOT NULL, sealed BLOB NOT NULL);
CREATE INDEX observations_patient ON observations (patient);
CREATE TABLE conditions (id TEXT PRIMARY KEY, patient TEXT NOT NULL, sealed BLOB NOT NULL);
CREATE INDEX conditions_patient ON conditions (patient);`

// openClinic makes a new clinic in folder.
func openClinic(ctx context.Context, folder string) (*clinic, error) {
	c := &clinic{folder: folder}
	err := c.start(ctx)
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.acts.Add(1) // the log begins with an entry of its own
	if c.db, err = openSQLite(filepath.Join(folder, "app.db")); err == nil {
		_, err = c.db.ExecContext(ctx, schema)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// start opens what rahasia keeps in the folder; the first time, it is made.
func (c *clinic) start(ctx context.Context) error {
	cfg, err := consent.OpenDir(ctx, c.folder)
	if err != nil {
		return err
	}
	c.cfg = cfg
	cfg.Roles = map[string][]string{ // which compartments a role may open, whatever a patient consents to
		"doctor":     {"identity", "clinical"},
		"laboratory": {"clinical"},
		"analyst":    {"identity", "clinical"},
		"advertiser": {"identity"},
	}
	if c.patients, err = consent.NewRecords[Patient]("patient", cfg); err != nil {
		return err
	}
	if c.observations, err = consent.NewRecords[Observation]("observation", cfg); err != nil {
		return err
	}
	c.conditions, err = consent.NewRecords[Condition]("condition", cfg)
	return err
}

// stop closes what start opened. The application's database stays open.
func (c *clinic) stop() error {
	if c.cfg == nil {
		return nil
	}
	err := c.cfg.Close()
	c.cfg = nil
	return err
}

func (c *clinic) close() error {
	err := c.stop()
	if c.db != nil {
		err = errors.Join(err, c.db.Close())
	}
	return err
}

// A patientRow is a row of the table patients.
type patientRow struct {
	ID, Clinic string
	Sealed     envelope.Sealed
	FoundBy    pseudo.Token // by which a search found it
}

// insertPatient stores a sealed patient. Where a patient has no phone, the map
// has no token, and the column stays NULL.
func insertPatient(ctx context.Context, tx *sql.Tx, p *Patient, row consent.Row) error {
	token := func(field string) any {
		if t, ok := row.Tokens[field]; ok {
			return t.Bytes()
		}
		return nil
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO patients (id, clinic, sealed, nik_token, phone_token) VALUES (?, ?, ?, ?, ?)`,
		p.ID, p.Clinic, row.Sealed, token("NIK"), token("Phone"))
	return err
}

// find looks for patients by an identifier. The database is asked for tokens
// and never learns the identifier.
func (c *clinic) find(ctx context.Context, field, value string, req consent.Request) ([]patientRow, error) {
	tokens, err := c.patients.Lookup(ctx, field, value, req)
	if err != nil {
		return nil, err
	}
	c.acts.Add(1)
	column := map[string]string{"NIK": "nik_token", "Phone": "phone_token"}[field]
	var found []patientRow
	for _, t := range tokens { // one for each key version; PostgreSQL would take them all, with = ANY($1)
		rows, err := c.rows(ctx, `SELECT id, clinic, sealed FROM patients WHERE `+column+` = ?`, t.Bytes())
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			r.FoundBy = t
			found = append(found, r)
		}
	}
	return found, nil
}

// open opens one patient's record, as far as the request is permitted.
func (c *clinic) open(ctx context.Context, row patientRow, req consent.Request) (Patient, error) {
	c.acts.Add(1) // a refusal has an entry too
	out := Patient{ID: row.ID, Clinic: row.Clinic}
	err := c.patients.Open(ctx, &out, row.Sealed, req)
	return out, err
}

// get returns one patient's row.
func (c *clinic) get(ctx context.Context, id string) (patientRow, error) {
	rows, err := c.rows(ctx, `SELECT id, clinic, sealed FROM patients WHERE id = ?`, id)
	if err == nil && len(rows) != 1 {
		err = errors.New("no such patient in the application's database")
	}
	if err != nil {
		return patientRow{}, err
	}
	return rows[0], nil
}

func (c *clinic) rows(ctx context.Context, query string, args ...any) ([]patientRow, error) {
	return collect(ctx, c.db, func(rows *sql.Rows) (r patientRow, err error) {
		err = rows.Scan(&r.ID, &r.Clinic, &r.Sealed)
		return r, err
	}, query, args...)
}

// collect collects what a query returns.
func collect[T any](ctx context.Context, db *sql.DB, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// give records a consent.
func (c *clinic) give(ctx context.Context, subject string, purpose consent.Purpose, labels ...consent.Label) (id string, err error) {
	c.acts.Add(1)
	return c.cfg.Give(ctx, consent.Consent{Subject: subject, Purposes: []consent.Purpose{purpose}, Sensitivity: labels})
}

// The requests of the story: who asks, in which role, and for which purpose.
func doctor() consent.Request {
	return consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu", Role: "doctor"}
}

func laboratory() consent.Request {
	return consent.Request{Purpose: consent.Treatment, Actor: "lab-budi", Role: "laboratory"}
}

func advertiser() consent.Request {
	return consent.Request{Purpose: consent.Marketing, Actor: "ads", Role: "advertiser"}
}

func analyst(recipient string) consent.Request {
	return consent.Request{Purpose: consent.Research, Actor: "analyst-citra", Role: "analyst", Recipient: recipient,
		Gate: consent.Gate{Ungated: "synthetic patients, too few to hide among"}}
}

// openSQLite opens a SQLite file. Writing ahead, so that readers need not wait.
func openSQLite(path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)"},
	}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open SQLite: %w", err)
	}
	return db, nil
}
