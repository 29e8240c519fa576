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
// # Pools
//
// A call needs one connection at a time, so a pool of one does. It waits for
// that as database/sql does, until its context ends: called inside a transaction
// of the caller's that holds the pool's only connection it never gets one, and
// with a context that has no end it would wait for ever. Use a pool of the
// ring's own.
//
// # SQLite
//
// The connections must have synchronous = FULL and secure_delete = ON, best
// with journal_mode = WAL, a busy_timeout and immediate transactions; journal_mode
// OFF, MEMORY and PERSIST are refused. A call
// that writes while another has the write lock waits for the busy_timeout, or
// until its context ends. After an erasure the write-ahead log is emptied, if no
// reader is in the way for a tenth of a second; otherwise the next checkpoint
// does it, and until then the wrapped key is in the log. With the driver
// modernc.org/sqlite a data source name does all that, for each connection of a
// pool, which a PRAGMA that is executed does not:
//
//	file:keys.db?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)
//
// Drivers make the file readable by others, as the umask has it: make it first,
// with mode 0600.
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
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/keyring"
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
// made, and connections that are not durable are errors. Tables that are not as
// this package makes them are [keyring.ErrCorrupt], and so is whatever else can
// make them lie, lose or copy what is written: a view, a trigger, a rule, a
// policy, an index that this package did not make. That is looked at again
// whenever keys are erased; it does not hinder whoever may change the database
// from changing rows, which the ring notices when it reads them.
//
// Closing db closes the store.
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
	if _, err := d.intact(ctx, db); err != nil { // before anything is read from what may be no table
		return nil, failed(ctx, err)
	}
	// Where the tables are, nothing but their version is read: a role that owns
	// none of them can open the store.
	version, err := s.version(ctx, db)
	if err == nil && version == len(d.migrations) {
		err = failed(ctx, s.whole(ctx, db))
	} else {
		err = s.within(ctx, s.migrate)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// whole makes sure that all tables are there and as the migrations made them.
func (s *Store) whole(ctx context.Context, q querier) error {
	n, err := s.dialect.intact(ctx, q)
	if err == nil && n != s.dialect.objects {
		err = fmt.Errorf("%d of the ring's %d tables and indexes: %w", n, s.dialect.objects, keyring.ErrCorrupt)
	}
	return err
}

// within runs do in one transaction.
func (s *Store) within(ctx context.Context, do func(context.Context, *sql.Tx) error) (err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return failed(ctx, fmt.Errorf("connection: %w", err))
	}
	defer func() { err = errors.Join(err, failed(ctx, conn.Close())) }()
	tx, err := s.dialect.begin(ctx, conn)
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
	heads, err := list(ctx, s.db, scanHead, 1, `SELECT `+upTo(`ring`, maxRing)+`, seq, `+upTo(`hash`, 32)+` FROM rahasia_head LIMIT 2`)
	if err != nil || len(heads) == 0 {
		return keyring.Head{}, failed(ctx, err)
	}
	return heads[0], nil
}

func selectKeysets(and string) string {
	return `SELECT ` + upTo(`name`, maxName) + `, revision, ` + upTo(`digest`, 32) + `, ` + upTo(`wrapped`, maxWrapped) +
		` FROM rahasia_keysets WHERE active = 1 ` + and
}

// Keysets returns the active keysets; more than 16,384 are [keyring.ErrCorrupt].
func (s *Store) Keysets(ctx context.Context) ([]keyring.KeysetRecord, error) {
	recs, err := list(ctx, s.db, scanKeyset, maxKeysets, selectKeysets(fmt.Sprintf(`ORDER BY name LIMIT %d`, maxKeysets+1)))
	return recs, failed(ctx, err)
}

// Keyset returns one active keyset.
func (s *Store) Keyset(ctx context.Context, name string) (keyring.KeysetRecord, error) {
	recs, err := list(ctx, s.db, scanKeyset, 1, selectKeysets(`AND name = $1 LIMIT 2`), name)
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
		if err := s.putKeys(ctx, tx, c.Keys, `DO UPDATE SET `+s.dialect.keyReplace); err != nil || len(c.Keys) == 0 {
			return err
		}
		// After the writes, whose locks keep anyone from adding or removing a
		// trigger: one that was planted since New must not swallow an erasure.
		return s.whole(ctx, tx)
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
