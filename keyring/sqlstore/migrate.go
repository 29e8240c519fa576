package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// migrate brings the tables to this package's version. The lock comes before
// all else in the transaction: what a session looked up before it waited, it
// would look up no more.
func (s *Store) migrate(ctx context.Context, tx *sql.Tx) error {
	newest := len(s.dialect.migrations)
	if err := execute(ctx, tx, s.dialect.lockSchema); err != nil {
		return err
	}
	version, err := s.version(ctx, tx)
	if err != nil {
		return err
	}
	if version > newest {
		return fmt.Errorf("tables of version %d, this is version %d", version, newest)
	}
	for ; version < newest; version++ {
		if err := execute(ctx, tx, s.dialect.migrations[version]); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM rahasia_schema`); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO rahasia_schema (version) VALUES ($1)`, version+1); err != nil {
			return err
		}
	}
	return s.whole(ctx, tx) // what was there before may only look like ours
}

// version returns the version of the tables, 0 if there are none.
func (s *Store) version(ctx context.Context, q querier) (version int, err error) {
	if err := q.QueryRowContext(ctx, s.dialect.present).Scan(&version); err != nil || version == 0 {
		return 0, err
	}
	err = q.QueryRowContext(ctx, `SELECT version FROM rahasia_schema`).Scan(&version)
	if err == nil && version < 1 {
		err = fmt.Errorf("tables of version %d", version)
	}
	return version, err
}

func execute(ctx context.Context, tx *sql.Tx, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
