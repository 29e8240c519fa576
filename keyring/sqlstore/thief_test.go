package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// Without a rollback journal on disk a process that dies in a commit leaves half of
// it: a head that moved, and a key that did not. One that persists keeps the pages from before:
// an erased key, in a file beside.
func TestAttackSQLiteRollbackJournals(t *testing.T) {
	for _, mode := range []string{"OFF", "MEMORY", "PERSIST"} {
		db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "keys.db")+"?_txlock=immediate&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)&_pragma=journal_mode("+mode+")")
		require.NoError(t, err)
		_, err = sqlstore.New(t.Context(), db)
		require.ErrorContains(t, err, "journal_mode")
		require.NoError(t, db.Close())
	}
}
