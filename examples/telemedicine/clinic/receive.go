package clinic

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
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
	var errs []error
	for _, a := range waiting { // one that fails keeps the others from nothing
		errs = append(errs, c.take(ctx, a))
	}
	return errors.Join(errs...)
}

type arrival struct {
	id              string
	record, choices []byte
}

// take takes in one registration: the record, what the patient chose, and that it
// was done, in one transaction. The choices are recorded before the record is
// there for anybody, and only once the record has been taken in: who writes into
// the table of arrivals an item that came before, or one about somebody else, gives
// no consent with it.
func (c *Clinic) take(ctx context.Context, a arrival) error {
	err := c.within(ctx, func(tx *sql.Tx) error {
		from, keys, err := c.chosen(ctx, a)
		if err != nil {
			return err
		}
		if err := c.takeRecord(ctx, tx, a, from.Subject); err != nil {
			return err
		}
		for _, key := range keys {
			if err := c.allow(ctx, from.Subject, key, a.id, from.Sender); err != nil {
				return err
			}
		}
		return setState(ctx, tx, a, Received)
	})
	switch {
	case isDuplicate(err):
		return setState(ctx, c.db, a, Known)
	case lasts(err):
		c.log.Warn("receive: refused", "arrival", a.id, "err", err) // a branch that errs, or one whose credential was stolen
		return setState(ctx, c.db, a, Refused)
	}
	return err
}

func setState(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, a arrival, state string) error {
	_, err := db.ExecContext(ctx, `UPDATE arrivals SET state = $1 WHERE id = $2 AND state = $3`, state, a.id, Waiting)
	return err
}

var errMixed = errors.New("not the record of a new patient with choices of theirs")

// lasts reports whether what was sent will be no better the next time: all else,
// such as a database that is away, is tried again.
func lasts(err error) bool {
	for _, is := range []error{
		errMixed, envelope.ErrOpen, envelope.ErrReplayed, envelope.ErrType, envelope.ErrField, consent.ErrTag, consent.ErrLimit,
		keyring.ErrShredded, keyring.ErrRetained,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	format := (*pseudo.FormatError)(nil)
	return errors.As(err, &format)
}

// chosen is what a patient chose, who it is, and who says so.
func (c *Clinic) chosen(ctx context.Context, a arrival) (got envelope.Received, keys []string, err error) {
	if got, err = c.inbox.Open(ctx, a.choices); err != nil {
		return got, nil, err
	}
	if json.Unmarshal(got.Payload, &keys) != nil || !canChooseAll(keys) {
		return got, nil, errMixed
	}
	return got, keys, nil
}

// takeRecord takes in the record of a patient who is new: a branch writes nothing
// about those whom the clinic has.
func (c *Clinic) takeRecord(ctx context.Context, tx *sql.Tx, a arrival, patient string) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM patients WHERE id = $1`, patient).Scan(&n); err != nil {
		return err
	}
	if n > 0 {
		return errMixed
	}
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
