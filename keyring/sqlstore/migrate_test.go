package sqlstore

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
	litefile "github.com/rahasia/rahasia/internal/sqlite"
)

// Tables of an earlier version are brought to the newest, once and whole.
func TestMigrate(t *testing.T) {
	ctx := t.Context()
	lite, err := litefile.Open(filepath.Join(t.TempDir(), "keys.db"))
	require.NoError(t, err)
	defer lite.Close()
	server := Server.Start(t)
	for _, db := range []*sql.DB{lite, pgtest.Open(t, server.Database(t))} {
		s, err := New(ctx, db)
		require.NoError(t, err)
		s.dialect.migrations = append(s.dialect.migrations,
			[]string{`CREATE TABLE rahasia_second (n integer)`}, []string{`CREATE TABLE rahasia_third (n integer)`, `no SQL`})
		require.ErrorContains(t, s.within(ctx, s.migrate), "sqlstore:")
		version, err := s.version(ctx, db)
		require.NoError(t, err)
		require.Equal(t, 1, version, "half a migration was kept")

		s.dialect.migrations[2] = s.dialect.migrations[2][:1]
		for range 2 {
			require.NoError(t, s.within(ctx, s.migrate))
			version, err = s.version(ctx, db)
			require.NoError(t, err)
			require.Equal(t, 3, version)
		}
		_, err = db.ExecContext(ctx, `INSERT INTO rahasia_third (n) SELECT count(*) FROM rahasia_second`)
		require.NoError(t, err)
		_, err = New(ctx, db)
		require.ErrorContains(t, err, "version 3", "an older package opened newer tables")
	}
}
