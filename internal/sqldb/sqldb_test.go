package sqldb_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqldb"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// The stores' own tests plant everything among their tables, on both databases;
// here is what only this package knows.

var made = []string{`CREATE TABLE IF NOT EXISTS a (id INTEGER PRIMARY KEY) STRICT`, `CREATE INDEX a_id ON a (id)`}

func TestIntact(t *testing.T) {
	ctx := t.Context()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "s.db"))
	require.NoError(t, err)
	defer db.Close()
	d, err := sqldb.DialectOf(ctx, db)
	require.NoError(t, err)
	require.Equal(t, sqldb.SQLite, d)
	require.NoError(t, d.Durable(ctx, db, ""))
	require.Equal(t, 2, d.Objects(made))
	require.Equal(t, 1, sqldb.Postgres.Objects(made))
	for there, statement := range made {
		n, err := d.Intact(ctx, db, made)
		require.NoError(t, err)
		require.Equal(t, there, n)
		_, err = db.Exec(statement)
		require.NoError(t, err)
	}
	n, err := d.Intact(ctx, db, made)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	_, err = db.Exec(`CREATE TABLE other (id INTEGER)`)
	require.NoError(t, err)
	_, err = d.Intact(ctx, db, made)
	require.NoError(t, err, "tables of others may be beside")
	_, err = db.Exec(`CREATE TRIGGER t AFTER INSERT ON A BEGIN DELETE FROM a; END`)
	require.NoError(t, err)
	_, err = d.Intact(ctx, db, made)
	require.ErrorIs(t, err, sqldb.ErrForeign)
	require.ErrorContains(t, err, "a trigger")
}

func TestUnknownDatabase(t *testing.T) {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "gone", "s.db"))
	require.NoError(t, err)
	_, err = sqldb.DialectOf(t.Context(), db)
	require.ErrorContains(t, err, "neither PostgreSQL nor SQLite")
}
