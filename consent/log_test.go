package consent

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// sqlConfig is a configuration whose ledger and log lie in a SQLite file.
func sqlConfig(t testing.TB) (*Config, *sql.DB) {
	t.Helper()
	cfg := memoryConfig(t)
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "consent.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = sqlite.Close(db) })
	reopen(t, cfg, db)
	return cfg, db
}

// reopen opens ledger and log anew, as another process would.
func reopen(t testing.TB, cfg *Config, db *sql.DB) {
	t.Helper()
	var err error
	cfg.Ledger, err = OpenLedger(context.Background(), cfg.Ring, db)
	require.NoError(t, err)
	cfg.Log, err = OpenLog(context.Background(), cfg.Ring, db)
	require.NoError(t, err)
}

// anchoredAtOne waits until the journal knows of the log's first entry, which it then
// does of no second for a while: or chance would decide what an attack is caught by.
func anchoredAtOne(t testing.TB, cfg *Config) {
	t.Helper()
	require.Eventually(t, func() bool {
		place, _, err := cfg.Ring.Anchored(t.Context(), evidence.TreeKeyset)
		return err == nil && place == 1
	}, 20*time.Second, time.Millisecond)
}

func TestLogProofs(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 64, 65} {
		cfg, _ := sqlConfig(t)
		ctx := context.Background()
		for i := range n {
			require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: fmt.Sprint(i)}))
		}
		got, err := cfg.Log.Verify(ctx)
		require.NoError(t, err)
		require.EqualValues(t, n, got)
		vkey, err := cfg.Log.VerifierKey(ctx)
		require.NoError(t, err)
		for i := range int64(n) {
			p, err := cfg.Log.Prove(ctx, i)
			require.NoError(t, err)
			require.NoError(t, p.Check(vkey))
			p.Leaf[len(p.Leaf)-1] ^= 1
			require.ErrorIs(t, p.Check(vkey), ErrTampered)
		}
		_, err = cfg.Log.Prove(ctx, int64(n))
		require.Error(t, err)
	}
}

func TestProofOfAnotherPlaceOrLogIsRefused(t *testing.T) {
	a, b := memoryConfig(t), memoryConfig(t)
	ctx := context.Background()
	for _, cfg := range []*Config{a, b} {
		for range 3 {
			require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done"}))
		}
	}
	vkey, err := a.Log.VerifierKey(ctx)
	require.NoError(t, err)
	p, err := a.Log.Prove(ctx, 1)
	require.NoError(t, err)
	require.NoError(t, p.Check(vkey))
	moved := *p
	moved.Index = 2
	require.ErrorIs(t, moved.Check(vkey), ErrTampered)
	other, err := b.Log.Checkpoint(ctx)
	require.NoError(t, err)
	moved = *p
	moved.Checkpoint = other
	require.ErrorIs(t, moved.Check(vkey), ErrTampered)
	require.ErrorIs(t, p.Check("not a key"), ErrTampered)
}

// TestAttackLog changes the stored log in every way that a database allows.
func TestAttackLog(t *testing.T) {
	ctx := context.Background()
	for name, attack := range map[string]string{
		"a changed entry":            flip("consent_log", "leaves", 44),
		"a changed key version":      flip("consent_log", "leaves", 8),
		"another entry in its place": `UPDATE consent_log SET leaves = (SELECT leaves FROM consent_log WHERE seq = 1) WHERE seq = 2`,
		"a dropped entry":            `DELETE FROM consent_log WHERE seq = 2`,
		"the end cut off":            `DELETE FROM consent_log WHERE seq = 4`,
		"a changed hash":             `UPDATE consent_log_hash SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB)`,
		"a dropped hash":             `DELETE FROM consent_log_hash`,
		"a changed head":             `UPDATE consent_log_head SET note = CAST(replace(CAST(note AS TEXT), char(10) || '5' || char(10), char(10) || '4' || char(10)) AS BLOB)`,
		"a dropped head":             `DELETE FROM consent_log_head`,
		"an appended entry":          `INSERT INTO consent_log SELECT 5, 5, version, leaves, mac FROM consent_log WHERE seq = 0`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, db := sqlConfig(t)
			for i := range 5 {
				require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: fmt.Sprint(i)}))
			}
			_, err := cfg.Log.Verify(ctx)
			require.NoError(t, err)
			res, err := db.Exec(attack)
			require.NoError(t, err)
			n, err := res.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 1, n, "the attack did nothing")
			_, err = cfg.Log.Verify(ctx)
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

// flip is the statement that turns over one bit of a stored value, at a byte
// from 0 on, in the row with seq 2.
func flip(table, column string, at int) string {
	return fmt.Sprintf(`UPDATE %[1]s SET %[2]s = CAST(substr(%[2]s, 1, %[3]d) || CASE substr(%[2]s, %[3]d + 1, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(%[2]s, %[3]d + 2) AS BLOB) WHERE seq = 2`, table, column, at)
}

// TestAttackLogRollback: the whole log of an earlier day is put back under a
// process that has seen more.
func TestAttackLogRollback(t *testing.T) {
	cfg, db := sqlConfig(t)
	ctx := context.Background()
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "a", Outcome: "done"}))
	placed(t, cfg.Log)
	anchoredAtOne(t, cfg)
	var note []byte
	require.NoError(t, db.QueryRow(`SELECT note FROM consent_log_head`).Scan(&note))
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "b", Outcome: "done"}))
	checkpoint, err := cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	_, err = db.Exec(`DELETE FROM consent_log WHERE seq = 1; UPDATE consent_log_hash SET hashes = substr(hashes, 1, 32); UPDATE consent_log_head SET size = 1, note = ?`, note)
	require.NoError(t, err)
	err = cfg.Log.append(ctx, &logBody{Action: "c", Outcome: "done"})
	require.ErrorIs(t, err, ErrAudit)
	require.ErrorIs(t, err, ErrTampered)
	_, err = cfg.Log.Verify(ctx)
	require.ErrorIs(t, err, ErrTampered)
	// A new process cannot know; whoever kept the checkpoint can.
	reopen(t, cfg, db)
	_, err = cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, cfg.Log.Extends(ctx, checkpoint), ErrTampered)
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "another b", Outcome: "done"}))
	require.ErrorIs(t, cfg.Log.Extends(ctx, checkpoint), ErrTampered, "as long again, and another log")
	require.NoError(t, cfg.Log.Extends(ctx, note), "the older one holds")
	require.ErrorIs(t, cfg.Log.Extends(ctx, []byte("no note")), ErrTampered)
}

func TestLogConcurrent(t *testing.T) {
	cfg, db := sqlConfig(t)
	ctx := context.Background()
	second, err := OpenLog(ctx, cfg.Ring, db) // another process on the same file
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				l := cfg.Log
				if i%2 == 1 {
					l = second
				}
				if err := l.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: fmt.Sprint(i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	n, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 160, n)
	seen := map[string]bool{}
	for _, e := range entries(t, second) {
		seen[e.Actor] = true
	}
	require.Len(t, seen, 160, "an acknowledged entry is missing")
}

// TestNoAuditNoPlaintext: when the log cannot be written, nothing is released,
// found, sealed, changed or exported.
func TestNoAuditNoPlaintext(t *testing.T) {
	cfg := memoryConfig(t)
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "log.db"))
	require.NoError(t, err)
	cfg.Log, err = OpenLog(context.Background(), cfg.Ring, db)
	require.NoError(t, err)
	r := people(t, cfg)
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment, Research)
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	require.NoError(t, db.Close()) // the log's database is gone, everything else works
	got, err := open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrAudit)
	require.Equal(t, person{ID: ayu.ID}, got)
	_, err = r.Lookup(ctx, "NIK", ayu.NIK, care)
	require.ErrorIs(t, err, ErrAudit)
	none, err := r.Seal(ctx, &ayu, careTag)
	require.ErrorIs(t, err, ErrAudit)
	require.Zero(t, none)
	none, err = r.Update(ctx, row.Sealed, &ayu, care, "Diagnosis")
	require.ErrorIs(t, err, ErrAudit)
	require.Zero(t, none)
	table, err := r.Export(ctx, each([]stored{{ayu.ID, row.Sealed}}), study)
	require.NoError(t, err)
	for cells, err := range table.Rows() {
		require.ErrorIs(t, err, ErrAudit)
		require.Nil(t, cells)
	}
	_, err = r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Marketing}})
	require.ErrorIs(t, err, ErrAudit)
	all, err := r.cfg.Ledger.Of(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, all, 1, "a permit that is not in the log is not in force")
	require.ErrorIs(t, r.cfg.Withdraw(ctx, ayu.ID, all[0].ID, "clerk"), ErrAudit)
	all, err = r.cfg.Ledger.Of(ctx, ayu.ID)
	require.NoError(t, err)
	require.False(t, all[0].Withdrawn.IsZero(), "a withdrawal bites whether or not the log can be written")
	_, err = r.cfg.Erase(ctx, ayu.ID, "clerk")
	require.ErrorIs(t, err, ErrAudit)
}

func TestHistoryIsOnePatients(t *testing.T) {
	r := people(t, memoryConfig(t))
	budi := ayu
	budi.ID = "p-budi"
	row := sealed(t, r, ayu, Treatment)
	sealed(t, r, budi, Treatment)
	_, _ = open(r, ayu.ID, row.Sealed, care)
	h, err := r.cfg.Log.History(context.Background(), ayu.ID)
	require.NoError(t, err)
	var actions []string
	for _, e := range h {
		require.Equal(t, ayu.ID, e.Subject)
		actions = append(actions, e.Action)
	}
	require.Equal(t, []string{"seal", "give", "open"}, actions)
}

// TestLogHoldsNoValue searches stored leaves and opened entries for what was sealed.
func TestLogHoldsNoValue(t *testing.T) {
	cfg, db := sqlConfig(t)
	r := people(t, cfg)
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment)
	_, _ = open(r, ayu.ID, row.Sealed, care)
	_, err := r.Lookup(ctx, "NIK", ayu.NIK, care)
	require.NoError(t, err)
	for _, e := range entries(t, cfg.Log) {
		text := fmt.Sprintf("%+v", e)
		for _, v := range []string{ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0], ayu.ID} {
			require.NotContains(t, text, v)
		}
	}
	rows, err := db.Query(`SELECT leaves FROM consent_log UNION ALL SELECT body FROM consent_ledger UNION ALL SELECT subject FROM consent_ledger`)
	require.NoError(t, err)
	defer rows.Close()
	n := 0
	for rows.Next() {
		var b []byte
		require.NoError(t, rows.Scan(&b))
		n++
		for _, v := range []string{ayu.NIK, ayu.Name, ayu.ID, "dr-ayu", "TREAT", "open"} {
			require.False(t, strings.Contains(string(b), v))
		}
	}
	require.NoError(t, rows.Err())
	require.Equal(t, 6, n)
}
