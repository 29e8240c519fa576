package pgx

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
	"github.com/rahasia/rahasia/pseudo"
)

// Patient is a record. Its NIK may be entered once.
type Patient struct {
	ID        string   `phi:"subject"`
	NIK       string   `phi:"nik,lookup,unique"`
	Name      string   `phi:"name"`
	Phone     *string  `phi:"phone,lookup"`
	Diagnosis []string `phi:"clinical"`
}

const table = `CREATE TABLE IF NOT EXISTS patients (
	id text PRIMARY KEY, sealed bytea NOT NULL, nik_a bytea UNIQUE, nik_b bytea UNIQUE, phone bytea)`

// Clinic is the application.
type Clinic struct {
	Config   *consent.Config
	patients *consent.Records[Patient]
	pool     *pgxpool.Pool
}

// Open opens the clinic: its patients in app, everything that rahasia keeps in
// own, the erasure journal in the file of that name. first makes the ring.
func Open(ctx context.Context, app, own *pgxpool.Pool, kek keyring.KEK, journal string, first bool) (*Clinic, error) {
	db := stdlib.OpenDBFromPool(own)
	store, err := sqlstore.New(ctx, db)
	if err != nil {
		return nil, err
	}
	erasures, err := keyring.OpenJournal(journal)
	if err != nil {
		return nil, err
	}
	keys := keyring.Config{Store: store, Journal: erasures, KEK: kek}
	if first {
		if err := create(ctx, keys); err != nil {
			return nil, err
		}
	}
	ring, err := keyring.Open(ctx, keys)
	if err != nil {
		return nil, err
	}
	cfg := &consent.Config{Ring: ring}
	if cfg.Ledger, err = consent.OpenLedger(ctx, ring, db); err != nil {
		return nil, err
	}
	if cfg.Log, err = consent.OpenLog(ctx, ring, db); err != nil {
		return nil, err
	}
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	if err != nil {
		return nil, err
	}
	_, err = app.Exec(ctx, table)
	return &Clinic{Config: cfg, patients: patients, pool: app}, err
}

// create makes the ring and the keysets that the clinic needs.
func create(ctx context.Context, keys keyring.Config) error {
	ring, err := keyring.Create(ctx, "clinic", keys)
	if err != nil {
		return err
	}
	for _, name := range []string{
		"audit", "consent/ledger", "consent/log", "identity", "clinical",
		pseudo.LookupDomain("patient", "NIK"), pseudo.LookupDomain("patient", "Phone"),
	} {
		if err := ring.CreateKeyset(ctx, name); err != nil {
			return errors.Join(err, ring.Close())
		}
	}
	return ring.Close()
}

// Close ends the use of the keys. The pools are the caller's.
func (c *Clinic) Close() error { return errors.Join(c.Config.Close(), c.Config.Ring.Close()) }

// Register enters a patient. A NIK that is there is a *pgconn.PgError of code
// 23505.
func (c *Clinic) Register(ctx context.Context, p *Patient, by string) error {
	row, err := c.patients.Seal(ctx, p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented, Actor: by})
	if err != nil {
		return err
	}
	nik := row.Unique["NIK"]
	_, err = c.pool.Exec(ctx, `INSERT INTO patients VALUES ($1, $2, $3, $4, $5)`, p.ID, row.Sealed, nik[0], nik[1], tokenOf(row, "Phone"))
	return err
}

// tokenOf is the token of a field, or NULL where it holds no value.
func tokenOf(row consent.Row, field string) *pseudo.Token {
	if t, ok := row.Tokens[field]; ok && !t.IsZero() {
		return &t
	}
	return nil
}

// ByNIK opens the patient with a NIK. pgx.ErrNoRows where there is none.
func (c *Clinic) ByNIK(ctx context.Context, nik string, req consent.Request) (*Patient, error) {
	tokens, err := c.patients.Lookup(ctx, "NIK", nik, req)
	if err != nil {
		return nil, err
	}
	var p Patient
	var sealed envelope.Sealed
	query := `SELECT id, sealed, CASE WHEN nik_a = ANY($1) THEN nik_a ELSE nik_b END FROM patients WHERE nik_a = ANY($1) OR nik_b = ANY($1)`
	if err := c.pool.QueryRow(ctx, query, tokens).Scan(&p.ID, &sealed, &req.FoundBy); err != nil {
		return nil, err
	}
	return &p, c.patients.Open(ctx, &p, sealed, req)
}

// Diagnose adds a diagnosis, in one transaction that holds the row.
func (c *Clinic) Diagnose(ctx context.Context, id, diagnosis string, req consent.Request) error {
	return pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		p := Patient{ID: id}
		var old envelope.Sealed
		if err := tx.QueryRow(ctx, `SELECT sealed FROM patients WHERE id = $1 FOR UPDATE`, id).Scan(&old); err != nil {
			return err
		}
		if err := c.patients.Open(ctx, &p, old, req); err != nil {
			return err
		}
		p.Diagnosis = append(p.Diagnosis, diagnosis)
		row, err := c.patients.Update(ctx, old, &p, req, "Diagnosis")
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE patients SET sealed = $1 WHERE id = $2`, row.Sealed, id)
		return err
	})
}
