package consent

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
)

// grants are those of the package's documentation.
var grants = []string{
	`GRANT SELECT, INSERT ON consent_ledger TO `,
	`GRANT SELECT, INSERT, UPDATE (seq) ON consent_log TO `,
	`GRANT SELECT, INSERT, UPDATE (hashes) ON consent_log_hash TO `,
	`GRANT SELECT, UPDATE (size, epoch, until, note) ON consent_log_head TO `,
	`GRANT SELECT, INSERT, UPDATE, DELETE ON consent_guard, consent_guard_count TO `,
}

// TestPostgresGrants: the grants that the package's documentation names are
// enough for all that a service does, none of them is too much, and what they
// leave out is refused.
func TestPostgresGrants(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server := pgtest.Start(t)
	acts := func(t *testing.T, without string) error {
		cfg := memoryConfig(t)
		dsn := server.Database(t)
		owner := pgtest.Open(t, dsn)
		reopen(t, cfg, owner)
		schema := dsn[strings.LastIndexByte(dsn, '=')+1:]
		role := "clinic_" + schema
		for _, s := range append([]string{`CREATE ROLE ` + role + ` LOGIN; GRANT USAGE ON SCHEMA ` + schema + ` TO `}, grants...) {
			_, err := owner.ExecContext(ctx, s+role)
			require.NoError(t, err)
		}
		if without != "" {
			_, err := owner.ExecContext(ctx, `REVOKE `+without+` FROM `+role)
			require.NoError(t, err)
		}
		db := pgtest.Open(t, strings.Replace(dsn, "user=test", "user="+role, 1))
		var err error
		if cfg.Ledger, err = OpenLedger(ctx, cfg.Ring, db); err != nil {
			return err
		}
		if cfg.Log, err = OpenLog(ctx, cfg.Ring, db); err != nil {
			return err
		}
		r := people(t, cfg)
		row, err := r.Seal(ctx, &ayu, careTag)
		if err != nil {
			return err
		}
		id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}})
		if err != nil {
			return err
		}
		if _, err := open(r, ayu.ID, row.Sealed, care); err != nil {
			return err
		}
		if err := cfg.Withdraw(ctx, ayu.ID, id, "clerk"); err != nil {
			return err
		}
		if _, err := cfg.Log.Verify(ctx); err != nil {
			return err
		}
		if without == "" {
			for _, s := range []string{
				`DELETE FROM consent_ledger`, `UPDATE consent_ledger SET seq = 2`, `DELETE FROM consent_log`, `UPDATE consent_log SET leaves = ''`,
				`DELETE FROM consent_log_head`, `DELETE FROM consent_log_hash`, `TRUNCATE consent_guard`, `CREATE TABLE other ()`,
			} {
				_, err := db.ExecContext(ctx, s)
				require.ErrorContains(t, err, "permission denied", s)
			}
		}
		return nil
	}
	require.NoError(t, acts(t, ""))
	for _, without := range []string{
		`SELECT ON consent_ledger`, `INSERT ON consent_ledger`, `INSERT ON consent_log`, `UPDATE (seq) ON consent_log`,
		`INSERT ON consent_log_hash`, `UPDATE (hashes) ON consent_log_hash`, `UPDATE (size, epoch, until, note) ON consent_log_head`, `INSERT ON consent_guard`, `UPDATE ON consent_guard_count`,
	} {
		t.Run(without, func(t *testing.T) {
			t.Parallel()
			err := acts(t, without)
			require.ErrorContains(t, err, "permission denied")
		})
	}
}
