package clinic

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
)

// receive takes in what branches send, until ctx ends.
func (c *Clinic) receive(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second) // what another process's branch sent tells nobody
	defer tick.Stop()
	for {
		if err := c.Receive(ctx); err != nil && ctx.Err() == nil {
			c.log.Error("receive", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-c.arrived:
		case <-tick.C:
		}
	}
}

// Receive takes in all that waits.
func (c *Clinic) Receive(ctx context.Context) error {
	waiting, err := collect(ctx, c.db, func(rows *sql.Rows) (a arrival, err error) {
		err = rows.Scan(&a.id, &a.record, &a.choices)
		return a, err
	}, `SELECT id, record, choices FROM arrivals WHERE state = $1 ORDER BY at, id LIMIT 100`, Waiting)
	if err != nil {
		return err
	}
	for _, a := range waiting {
		if err := c.take(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

type arrival struct {
	id              string
	record, choices []byte
}

// take takes in one registration: first what the patient chose, so that the
// record never lies there without it.
func (c *Clinic) take(ctx context.Context, a arrival) error {
	patient, err := c.takeChoices(ctx, a)
	if err == nil {
		err = c.within(ctx, func(tx *sql.Tx) error { return c.takeRecord(ctx, tx, a, patient) })
	}
	state := Received
	switch {
	case err == nil, errors.Is(err, envelope.ErrReplayed): // it came in before, and its state was not written
	case isDuplicate(err):
		state = Known
	case errors.Is(err, envelope.ErrOpen), errors.Is(err, errMixed):
		state = Refused
	default:
		return err
	}
	_, err = c.db.ExecContext(ctx, `UPDATE arrivals SET state = $1 WHERE id = $2`, state, a.id)
	return err
}

var errMixed = errors.New("the choices are another patient's than the record")

func (c *Clinic) takeChoices(ctx context.Context, a arrival) (patient string, err error) {
	got, err := c.inbox.Open(ctx, a.choices)
	if err != nil {
		return "", err
	}
	var keys []string
	if err := json.Unmarshal(got.Payload, &keys); err != nil {
		return "", errMixed
	}
	for _, key := range keys {
		if err := c.allow(ctx, got.Subject, key, a.id, got.Sender); err != nil {
			return "", err
		}
	}
	return got.Subject, nil
}

func (c *Clinic) takeRecord(ctx context.Context, tx *sql.Tx, a arrival, patient string) error {
	got, err := c.patients.Accept(ctx, tx, c.inbox, a.record)
	if err != nil {
		return err
	}
	if got.Record.ID != patient {
		return errMixed
	}
	return insertPatient(ctx, tx, got.Record, got.Row)
}

// insertPatient stores a sealed patient.
func insertPatient(ctx context.Context, tx *sql.Tx, p *Patient, row consent.Row) error {
	nik := row.Unique["NIK"] // what its two columns hold now
	_, err := tx.ExecContext(ctx, `INSERT INTO patients (id, branch, sealed, nik_a, nik_b, phone) VALUES ($1, $2, $3, $4, $5, $6)`,
		p.ID, p.Branch, row.Sealed, nik[0], nik[1], token(row, "Phone"))
	return err
}

// token is what an indexed column holds of a field: NULL where it has no value.
func token(row consent.Row, field string) any {
	if t, ok := row.Tokens[field]; ok && !t.IsZero() {
		return t.Bytes()
	}
	return nil
}
