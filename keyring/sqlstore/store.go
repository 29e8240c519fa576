// Package sqlstore keeps a ring in an SQL database: SQLite or PostgreSQL.
//
// It imports no driver. The database should be one of its own, so that no
// transaction of an application blocks the ring, and no backup of an
// application carries the keys.
//
// The tables are rahasia_head, rahasia_keysets, rahasia_keys and
// rahasia_schema. They hold wrapped keys, tags that are HMACs, names of
// compartments and domains, numbers and states: no subject id and no key.
// [New] makes them, and migrates those of an earlier version of this package.
//
// # SQLite
//
// The connections must have synchronous = FULL and secure_delete = ON, best
// with journal_mode = WAL, a busy_timeout and immediate transactions.
//
// # PostgreSQL
//
// The tables are in the first schema of the connection's search_path.
// synchronous_commit, fsync or full_page_writes = off is refused. New needs
// CREATE on the schema where the tables are missing or old; once they are
// there, a service's role needs no more than
//
//	GRANT USAGE ON SCHEMA … TO clinic;
//	GRANT SELECT ON rahasia_schema TO clinic;
//	GRANT SELECT, INSERT, UPDATE ON rahasia_head, rahasia_keys TO clinic;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON rahasia_keysets TO clinic;
//
// which lets it delete no key and no head. Do not point it at a standby, which
// lags: its head would look rolled back.
//
// An erased key's wrapped form stays in dead rows until VACUUM FULL
// rahasia_keys, which the tables' owner should run after erasures, and in the
// write-ahead log and its archive until they are recycled: it opens only for
// who may use the key-encryption key.
package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/rahasia/rahasia/keyring"
)

// How many rows one statement carries: below 1,000 parameters, SQLite's limit
// in any build.
const (
	written = 100 // seven parameters each
	read    = 900 // one
)

// Store is a [keyring.Store] in an SQL database. It is safe for concurrent
// use, by several processes too, and needs one connection at a time.
type Store struct {
	db      *sql.DB
	dialect dialect
}

var _ keyring.Store = (*Store)(nil)

// New returns the store in db, whose tables it creates where they are not
// there. A database of another kind, one that a later version of this package
// made, and connections that are not durable are errors. Closing db closes the
// store.
func New(ctx context.Context, db *sql.DB) (*Store, error) {
	if db == nil {
		return nil, fmt.Errorf("sqlstore: database: %w", keyring.ErrEmpty)
	}
	d, err := dialectOf(ctx, db)
	if err != nil {
		return nil, err
	}
	if err := d.check(ctx, db); err != nil {
		return nil, err
	}
	s := &Store{db, d}
	// Where the tables are, nothing but their version is read: a role that owns
	// none of them can open the store.
	if version, err := s.version(ctx, db); err != nil || version != len(d.migrations) {
		if err := s.within(ctx, s.migrate); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// within runs do in one transaction.
func (s *Store) within(ctx context.Context, do func(context.Context, *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, s.dialect.options)
	if err != nil {
		return failed(ctx, fmt.Errorf("begin: %w", err))
	}
	if err := do(ctx, tx); err != nil {
		return failed(ctx, errors.Join(err, rollback(tx)))
	}
	if err := tx.Commit(); err != nil {
		return failed(ctx, fmt.Errorf("commit: %w", err))
	}
	return nil
}

// failed says where err comes from, and that it is the context's end if it is:
// drivers interrupt a statement with an error of their own.
func failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if end := ctx.Err(); end != nil && !errors.Is(err, end) {
		return fmt.Errorf("sqlstore: %w: %w", end, err)
	}
	return fmt.Errorf("sqlstore: %w", err)
}

// rollback ends a transaction that a cancelled context may have ended already.
func rollback(tx *sql.Tx) error {
	if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// Head returns the head.
func (s *Store) Head(ctx context.Context) (keyring.Head, error) {
	var h keyring.Head
	var hash []byte
	err := s.db.QueryRowContext(ctx, `SELECT ring, seq, hash FROM rahasia_head`).Scan(&h.Ring, &h.Seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return keyring.Head{}, nil
	} else if err != nil {
		return keyring.Head{}, failed(ctx, fmt.Errorf("head: %w", err))
	}
	if !fill(h.Hash[:], hash) {
		return keyring.Head{}, fmt.Errorf("sqlstore: head: %w", keyring.ErrCorrupt)
	}
	return h, nil
}

const keysetColumns = `SELECT name, revision, digest, wrapped FROM rahasia_keysets WHERE active = 1`

// Keysets returns the active keysets.
func (s *Store) Keysets(ctx context.Context) ([]keyring.KeysetRecord, error) {
	recs, err := list(ctx, s.db, scanKeyset, keysetColumns+` ORDER BY name`)
	return recs, failed(ctx, err)
}

// Keyset returns one active keyset.
func (s *Store) Keyset(ctx context.Context, name string) (keyring.KeysetRecord, error) {
	recs, err := list(ctx, s.db, scanKeyset, keysetColumns+` AND name = $1`, name)
	if err != nil {
		return keyring.KeysetRecord{}, failed(ctx, err)
	}
	if len(recs) == 0 {
		return keyring.KeysetRecord{}, fmt.Errorf("sqlstore: %w", keyring.ErrNoKeyset)
	}
	return recs[0], nil
}

// StageKeyset keeps a keyset to be activated.
func (s *Store) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	return s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := execute(ctx, tx, s.dialect.lockKeysets); err != nil {
			return err
		}
		var active uint64
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(revision), 0) FROM rahasia_keysets WHERE name = $1 AND active = 1`, rec.Name).Scan(&active)
		if err != nil {
			return err
		}
		if rec.Revision != active+1 {
			return fmt.Errorf("stage revision %d of keyset %q: %w", rec.Revision, rec.Name, keyring.ErrConflict)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO rahasia_keysets (name, active, revision, digest, wrapped) VALUES ($1, 0, $2, $3, $4)
			ON CONFLICT (name, active) DO UPDATE SET revision = excluded.revision, digest = excluded.digest, wrapped = excluded.wrapped`,
			rec.Name, int64(rec.Revision), rec.Digest[:], notNil(rec.Wrapped))
		return err
	})
}

// Commit does a change in one transaction.
func (s *Store) Commit(ctx context.Context, c keyring.Change) error {
	err := s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The head first: its row is the lock that all writers queue for.
		if err := s.moveHead(ctx, tx, c.Prev, c.Head); err != nil {
			return err
		}
		if err := s.activate(ctx, tx, c.Activate); err != nil {
			return err
		}
		return s.putKeys(ctx, tx, c.Keys, `DO UPDATE SET `+s.dialect.keyReplace)
	})
	if err != nil || len(c.Keys) == 0 && c.Activate.Name == "" {
		return err
	}
	// The erasure, or what a keyset no longer holds, is committed whatever comes of this.
	_ = s.dialect.scrub(ctx, s.db)
	return nil
}

func (s *Store) moveHead(ctx context.Context, tx *sql.Tx, prev, next keyring.Head) error {
	statement := `UPDATE rahasia_head SET ring = $1, seq = $2, hash = $3 WHERE ring = $4 AND seq = $5 AND hash = $6`
	args := []any{next.Ring, int64(next.Seq), next.Hash[:], prev.Ring, int64(prev.Seq), prev.Hash[:]}
	if prev == (keyring.Head{}) {
		statement = `INSERT INTO rahasia_head (one, ring, seq, hash) VALUES (1, $1, $2, $3) ON CONFLICT (one) DO NOTHING`
		args = args[:3]
	}
	return changeOne(ctx, tx, fmt.Sprintf("entry %d", next.Seq), statement, args...)
}

func (s *Store) activate(ctx context.Context, tx *sql.Tx, rec keyring.KeysetRecord) error {
	if rec.Name == "" {
		return nil
	}
	if err := execute(ctx, tx, s.dialect.lockKeysets); err != nil {
		return err
	}
	what := fmt.Sprintf("activate revision %d of keyset %q", rec.Revision, rec.Name)
	if _, err := tx.ExecContext(ctx, `DELETE FROM rahasia_keysets WHERE name = $1 AND active = 1`, rec.Name); err != nil {
		return err
	}
	return changeOne(ctx, tx, what,
		`UPDATE rahasia_keysets SET active = 1 WHERE name = $1 AND active = 0 AND revision = $2 AND digest = $3`,
		rec.Name, int64(rec.Revision), rec.Digest[:])
}

// changeOne runs a statement that finds one row, or none after a conflict.
func changeOne(ctx context.Context, tx *sql.Tx, what, statement string, args ...any) error {
	res, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("%s: %w", what, keyring.ErrConflict)
	}
	return nil
}

// Keys returns the records of those tags that exist.
func (s *Store) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	recs, err := s.pick(ctx, s.db, tags)
	return recs, failed(ctx, err)
}

// CreateKeys inserts what is not there and returns what is.
func (s *Store) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) (stored []keyring.KeyRecord, err error) {
	tags := make([]keyring.Tag, len(recs))
	for i := range recs {
		tags[i] = recs[i].Tag
	}
	err = s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.putKeys(ctx, tx, recs, `DO NOTHING`); err != nil {
			return err
		}
		stored, err = s.pick(ctx, tx, tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// SwapKeys replaces rows that are as they were read.
func (s *Store) SwapKeys(ctx context.Context, swaps []keyring.Swap) (swapped int, err error) {
	tags := make([]keyring.Tag, len(swaps))
	for i := range swaps {
		tags[i] = swaps[i].Old.Tag
	}
	err = s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The head's row is the lock that all who replace rows queue for: none
		// may be replaced between the read and the write.
		if _, err := tx.ExecContext(ctx, `UPDATE rahasia_head SET seq = seq`); err != nil {
			return err
		}
		recs, err := s.pick(ctx, tx, tags)
		if err != nil {
			return err
		}
		now := make(map[keyring.Tag]*keyring.KeyRecord, len(recs))
		for i := range recs {
			now[recs[i].Tag] = &recs[i]
		}
		next := make([]keyring.KeyRecord, 0, len(recs))
		for i := range swaps {
			if rec := now[swaps[i].Old.Tag]; rec != nil && same(rec, &swaps[i].Old) {
				next = append(next, swaps[i].New)
			}
		}
		swapped = len(next)
		return s.putKeys(ctx, tx, next, `DO UPDATE SET `+s.dialect.keyReplace)
	})
	if err != nil {
		return 0, err
	}
	return swapped, nil
}

func same(a, b *keyring.KeyRecord) bool {
	return a.Tag == b.Tag && a.Compartment == b.Compartment && a.Generation == b.Generation && a.Version == b.Version &&
		a.State == b.State && a.Commitment == b.Commitment && bytes.Equal(a.Wrapped, b.Wrapped)
}

// StaleKeys returns live keys that another version wraps, by ascending tag. It
// walks the primary key: all pages together cost one scan, and creating a key
// no second index.
func (s *Store) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.page(ctx, after, limit, s.dialect.stale, compartment, int64(version))
}

// Inactive returns records that are not Active, by ascending tag.
func (s *Store) Inactive(ctx context.Context, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.page(ctx, after, limit, s.dialect.inactive)
}

// page returns the first records after a tag, of those where a condition holds.
func (s *Store) page(ctx context.Context, after *keyring.Tag, limit int, where string, args ...any) ([]keyring.KeyRecord, error) {
	if after != nil {
		where += ` AND rahasia_keys.tag > ` + s.dialect.tag
		args = append(args, after[:])
	}
	args = append(args, max(limit, 0))
	recs, err := list(ctx, s.db, scanKey, s.dialect.selectKeys(times(1, where+` ORDER BY rahasia_keys.tag LIMIT $`)), args...)
	return recs, failed(ctx, err)
}

// putKeys inserts records in batches, by ascending tag: two transactions that
// lock the same rows in different orders would wait for each other.
func (s *Store) putKeys(ctx context.Context, tx *sql.Tx, recs []keyring.KeyRecord, conflict string) (err error) {
	recs = slices.Clone(recs)
	slices.SortFunc(recs, func(a, b keyring.KeyRecord) int { return bytes.Compare(a.Tag[:], b.Tag[:]) })
	if len(recs) >= 2*written {
		var put *sql.Stmt
		put, err = tx.PrepareContext(ctx, s.putStatement(written, conflict)) // parsing it costs as much as running it
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, put.Close()) }()
		for ; len(recs) >= written; recs = recs[written:] {
			if _, err := put.ExecContext(ctx, keyArgs(recs[:written])...); err != nil {
				return err
			}
		}
	}
	for part := range slices.Chunk(recs, written) {
		if _, err := tx.ExecContext(ctx, s.putStatement(len(part), conflict), keyArgs(part)...); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) putStatement(n int, conflict string) string {
	return `INSERT INTO rahasia_keys (` + s.dialect.keyColumns + `) VALUES ` + times(n, s.dialect.keyValues) + ` ON CONFLICT (tag) ` + conflict
}

func keyArgs(recs []keyring.KeyRecord) []any {
	args := make([]any, 0, 7*len(recs))
	for i := range recs {
		r := &recs[i]
		args = append(args, r.Tag[:], r.Compartment, int64(r.Generation), int64(r.Version), int64(r.State), notNil(r.Wrapped), r.Commitment[:])
	}
	return args
}

// pick returns the records of tags, batch by batch.
func (s *Store) pick(ctx context.Context, q querier, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	var out []keyring.KeyRecord
	for part := range slices.Chunk(tags, read) {
		args := make([]any, len(part))
		for i := range args {
			args[i] = part[i][:]
		}
		recs, err := list(ctx, q, scanKey, s.dialect.selectKeys(`rahasia_keys.tag IN (`+times(len(part), s.dialect.tag)+`)`), args...)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
	}
	return out, nil
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// list runs a query and scans its rows, which it has closed when it returns:
// the pool may have no second connection.
func list[T any](ctx context.Context, q querier, scan func(*sql.Rows) (T, error), query string, args ...any) (out []T, err error) {
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

func scanKeyset(rows *sql.Rows) (rec keyring.KeysetRecord, err error) {
	var digest []byte
	if err := rows.Scan(&rec.Name, &rec.Revision, &digest, &rec.Wrapped); err != nil {
		return rec, err
	}
	if !fill(rec.Digest[:], digest) {
		return rec, keyring.ErrCorrupt
	}
	return rec, nil
}

func scanKey(rows *sql.Rows) (rec keyring.KeyRecord, err error) {
	var tag, commitment []byte
	if err := rows.Scan(&tag, &rec.Compartment, &rec.Generation, &rec.Version, &rec.State, &rec.Wrapped, &commitment); err != nil {
		return rec, err
	}
	if !fill(rec.Tag[:], tag) || !fill(rec.Commitment[:], commitment) {
		return rec, keyring.ErrCorrupt
	}
	return rec, nil
}

// fill copies from into to if it has the right length.
func fill(to, from []byte) bool { return copy(to, from) == len(from) && len(from) == len(to) }

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
