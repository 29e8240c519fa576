package consent

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqlite"
)

// TestBypassSlowOrFullLog: a log that does not answer in time, or whose disk is
// full, releases nothing; and when it works again, so does everything.
func TestBypassSlowOrFullLog(t *testing.T) {
	for name, hinder := range map[string]func(t *testing.T, db, other *sql.DB) (mend func()){
		"slow": func(t *testing.T, _, other *sql.DB) func() {
			conn, err := other.Conn(context.Background())
			require.NoError(t, err)
			_, err = conn.ExecContext(context.Background(), `BEGIN IMMEDIATE`)
			require.NoError(t, err)
			return func() {
				_, err := conn.ExecContext(context.Background(), `ROLLBACK`)
				require.NoError(t, err)
				require.NoError(t, conn.Close())
			}
		},
		"full": func(t *testing.T, db, _ *sql.DB) func() {
			_, err := db.Exec(`PRAGMA max_page_count = 1`)
			require.NoError(t, err)
			return func() {
				_, err := db.Exec(`PRAGMA max_page_count = 1073741823`)
				require.NoError(t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := memoryConfig(t)
			path := filepath.Join(t.TempDir(), "log.db")
			db, err := sqlite.Open(path)
			require.NoError(t, err)
			defer func() { _ = sqlite.Close(db) }()
			db.SetMaxOpenConns(1) // how many pages there may be is a matter of the connection
			other, err := sqlite.Open(path)
			require.NoError(t, err)
			defer func() { _ = sqlite.Close(other) }()
			cfg.Log, err = OpenLog(context.Background(), cfg.Ring, db)
			require.NoError(t, err)
			r := people(t, cfg)
			row := sealed(t, r, ayu, Treatment)
			placed(t, cfg.Log)
			mend := hinder(t, db, other)
			var refused error
			for range 1000 { // a full database has room in its last pages
				ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
				got := person{ID: ayu.ID}
				refused = r.Open(ctx, &got, row.Sealed, care)
				cancel()
				if _, withheld := refused.(*WithheldError); withheld && name == "full" {
					continue
				}
				require.Equal(t, person{ID: ayu.ID}, got)
				break
			}
			require.ErrorIs(t, refused, ErrAudit)
			mend()
			require.Eventually(t, func() bool {
				_, err := open(r, ayu.ID, row.Sealed, care)
				_, withheld := err.(*WithheldError)
				return withheld
			}, 10*time.Second, 10*time.Millisecond)
			_, err = cfg.Log.Verify(context.Background())
			require.NoError(t, err)
		})
	}
}

// TestTamperPlantedCounts: what lies beside the log's own tables is as they are.
func TestTamperPlantedCounts(t *testing.T) {
	cfg, db := sqlConfig(t)
	_, err := db.Exec(`CREATE TRIGGER planted BEFORE INSERT ON consent_guard_count BEGIN SELECT RAISE(IGNORE); END`)
	require.NoError(t, err)
	_, err = OpenLog(context.Background(), cfg.Ring, db)
	require.ErrorIs(t, err, ErrTampered)
}
