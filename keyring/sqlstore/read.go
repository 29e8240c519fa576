package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"

	"github.com/rahasia/rahasia/keyring"
)

// What is read is bounded by what a ring can have written, in rows and in
// bytes: the tables are not trusted.
const (
	maxRing        = 64
	maxName        = 128
	maxCompartment = 32
	maxWrapped     = 64 << 10
	maxKeysets     = 1 << 14
)

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// list runs a query and scans its rows, which it has closed when it returns:
// the pool may have no second connection. More rows than most are ErrCorrupt.
func list[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), most int, query string, args ...any) (out []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, rows.Close()); err != nil {
			out = nil
		}
	}()
	for rows.Next() {
		if len(out) == most {
			return nil, fmt.Errorf("more than %d rows: %w", most, keyring.ErrCorrupt)
		}
		rec, err := scan(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

func scanHead(rows *sql.Rows) (h keyring.Head, err error) {
	var ring sql.NullString
	var seq int64
	var hash []byte
	if err := rows.Scan(&ring, &seq, &hash); err != nil {
		return h, err
	}
	if !ring.Valid || seq < 0 || !fill(h.Hash[:], hash) {
		return keyring.Head{}, fmt.Errorf("head: %w", keyring.ErrCorrupt)
	}
	h.Ring, h.Seq = ring.String, uint64(seq)
	return h, nil
}

func scanKeyset(rows *sql.Rows) (rec keyring.KeysetRecord, err error) {
	var name sql.NullString
	var revision int64
	var digest []byte
	if err := rows.Scan(&name, &revision, &digest, &rec.Wrapped); err != nil {
		return rec, err
	}
	if !name.Valid || revision < 0 || !fill(rec.Digest[:], digest) || rec.Wrapped == nil {
		return keyring.KeysetRecord{}, fmt.Errorf("keyset: %w", keyring.ErrCorrupt)
	}
	rec.Name, rec.Revision = name.String, uint64(revision)
	return rec, nil
}

// scanKeys returns a scan that keeps nothing of a row but its wrapped key: pages
// are large.
func scanKeys() func(*sql.Rows) (keyring.KeyRecord, error) {
	var tag, compartment, wrapped, commitment sql.RawBytes
	var generation, version, state int64
	to := []any{&tag, &compartment, &generation, &version, &state, &wrapped, &commitment}
	var last string // rows in turn are mostly of few compartments
	return func(rows *sql.Rows) (rec keyring.KeyRecord, err error) {
		if err := rows.Scan(to...); err != nil {
			return rec, err
		}
		if compartment == nil || wrapped == nil || !fill(rec.Tag[:], tag) || !fill(rec.Commitment[:], commitment) ||
			outside(generation, math.MaxUint32) || outside(version, math.MaxUint32) || outside(state, math.MaxUint8) {
			return keyring.KeyRecord{}, fmt.Errorf("subject key: %w", keyring.ErrCorrupt)
		}
		if string(compartment) != last {
			last = string(compartment)
		}
		rec.Compartment, rec.Generation, rec.Version, rec.State = last, uint32(generation), uint32(version), keyring.State(state)
		rec.Wrapped = append([]byte{}, wrapped...)
		return rec, nil
	}
}

func outside(n, most int64) bool { return n < 0 || n > most }

// fill copies from into to if it has the right length.
func fill(to, from []byte) bool { return copy(to, from) == len(from) && len(from) == len(to) }

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
