package consent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

// write changes a database of a closed folder.
func write(t *testing.T, path, statements string, args ...any) {
	t.Helper()
	db, err := sqlite.Open(path)
	require.NoError(t, err)
	_, err = db.Exec(statements, args...)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// rehash computes the tree's hashes anew from its leaves, as anybody can.
func rehash(t *testing.T, db *sql.DB) {
	t.Helper()
	rows, err := db.Query(`SELECT leaves FROM consent_log ORDER BY seq`)
	require.NoError(t, err)
	defer rows.Close()
	var all []tlog.Hash
	stored := tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(at))
		for i, x := range at {
			out[i] = all[x]
		}
		return out, nil
	})
	for i := int64(0); rows.Next(); i++ {
		var leaf []byte
		require.NoError(t, rows.Scan(&leaf))
		h, err := tlog.StoredHashes(i, leaf[4:], stored) // after its length
		require.NoError(t, err)
		all = append(all, h...)
	}
	require.NoError(t, rows.Err())
	var text []byte
	for _, h := range all {
		text = append(text, h[:]...)
	}
	_, err = db.Exec(`UPDATE consent_log_hash SET hashes = ?`, text)
	require.NoError(t, err)
}

// cutAnchors takes the anchors off the end of a folder's journal and sets the
// head of its key store back to match.
func cutAnchors(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, journalFile))
	require.NoError(t, err)
	lines := bytes.Split(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	n := len(lines)
	for bytes.Contains(lines[n-1], []byte(" anchor ")) {
		n--
	}
	require.Less(t, n, len(lines), "no anchor to cut")
	cut := append(bytes.Join(lines[:n], []byte("\n")), '\n')
	require.NoError(t, os.WriteFile(filepath.Join(dir, journalFile), cut, 0o600))
	sum := sha256.Sum256(lines[n-1])
	write(t, filepath.Join(dir, keysFile), `UPDATE rahasia_head SET seq = ?, hash = ?`, n, sum[:])
}

// TestAttackFolder: somebody who may write the folder's files, but has neither
// the key file nor an older copy, wants a withdrawn consent back.
func TestAttackFolder(t *testing.T) {
	ctx := context.Background()
	const (
		dropWithdrawal = `DELETE FROM consent_ledger WHERE seq = 2;`
		newestReplaced = `UPDATE consent_log SET leaves = (SELECT leaves FROM consent_log WHERE seq = 0) WHERE seq = (SELECT max(seq) FROM consent_log);`
		logWiped       = `DELETE FROM consent_log; DELETE FROM consent_log_hash; UPDATE consent_log_head SET size = 0, note = NULL;`
	)
	for name, attack := range map[string]func(t *testing.T, dir string){
		"the newest entry replaced": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, recordsFile), newestReplaced+dropWithdrawal)
		},
		"the newest entry replaced, hashes too": func(t *testing.T, dir string) {
			db, err := sqlite.Open(filepath.Join(dir, recordsFile))
			require.NoError(t, err)
			_, err = db.Exec(newestReplaced + dropWithdrawal)
			require.NoError(t, err)
			rehash(t, db)
			require.NoError(t, db.Close())
		},
		"the log wiped": func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, recordsFile), logWiped+dropWithdrawal)
		},
		"the file emptied": func(t *testing.T, dir string) {
			require.NoError(t, os.Truncate(filepath.Join(dir, recordsFile), 0))
		},
		"anchors cut, the newest entry replaced": func(t *testing.T, dir string) {
			cutAnchors(t, dir)
			write(t, filepath.Join(dir, recordsFile), newestReplaced+dropWithdrawal)
		},
		"anchors cut, the log wiped": func(t *testing.T, dir string) {
			cutAnchors(t, dir)
			write(t, filepath.Join(dir, recordsFile), logWiped+dropWithdrawal)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "demo")
			cfg, err := OpenDir(ctx, dir)
			require.NoError(t, err)
			sealed(t, people(t, cfg), ayu)
			id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
			require.NoError(t, cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
			require.NoError(t, cfg.Close())
			attack(t, dir)
			_, err = OpenDir(ctx, dir)
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

// TestAttackAfterCrash: a process that was killed has told the journal nothing
// since it started; that its log began is known all the same.
func TestAttackAfterCrash(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	sealed(t, people(t, cfg), ayu, Treatment)
	cfg.Log = nil // killed: no anchor
	require.NoError(t, cfg.Close())
	write(t, filepath.Join(dir, recordsFile), `DELETE FROM consent_log; DELETE FROM consent_log_hash; UPDATE consent_log_head SET size = 0, note = NULL`)
	_, err = OpenDir(ctx, dir)
	require.ErrorIs(t, err, ErrTampered)
}

// TestAttackAuditKeysDeleted: without the patient's audit key an opening would
// stand in the log without its patient, and so it is refused.
func TestAttackAuditKeysDeleted(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	row := sealed(t, people(t, cfg), ayu, Treatment)
	require.NoError(t, cfg.Close())
	write(t, filepath.Join(dir, keysFile), `DELETE FROM rahasia_keys WHERE compartment = 'audit'`)
	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	defer cfg.Close()
	before := len(entries(t, cfg.Log))
	got, err := open(people(t, cfg), ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrTampered)
	require.Equal(t, person{ID: ayu.ID}, got)
	require.Len(t, entries(t, cfg.Log), before, "nothing anonymous")
}

// TestAttackHistory: what was done to the log must not pass for a patient's history.
func TestAttackHistory(t *testing.T) {
	ctx := context.Background()
	for name, attack := range map[string]string{
		"an entry dropped":         `DELETE FROM consent_log WHERE seq = 2`,
		"the newest dropped":       `DELETE FROM consent_log WHERE seq = 3`,
		"an entry replaced":        `UPDATE consent_log SET leaves = (SELECT leaves FROM consent_log WHERE seq = 0) WHERE seq = 2`,
		"a changed entry":          flip("consent_log", "leaves", 44),
		"a changed inner hash":     `UPDATE consent_log_hash SET hashes = CAST(substr(hashes, 1, 64) || zeroblob(32) || substr(hashes, 97) AS BLOB)`,
		"a hash cut short":         `UPDATE consent_log_hash SET hashes = substr(hashes, 1, length(hashes) - 1)`,
		"a copied entry":           `INSERT INTO consent_log SELECT 4, 4, version, leaves, mac FROM consent_log WHERE seq = 2`,
		"an entry moved to no end": `UPDATE consent_log SET seq = 9 WHERE seq = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, db := sqlConfig(t)
			r := people(t, cfg)
			row := sealed(t, r, ayu, Treatment)
			for range 2 {
				_, err := open(r, ayu.ID, row.Sealed, care)
				require.IsType(t, &WithheldError{}, err)
			}
			placed(t, cfg.Log)
			res, err := db.Exec(attack)
			require.NoError(t, err)
			n, err := res.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 1, n, "the attack did nothing")
			_, err = cfg.Log.History(ctx, ayu.ID)
			require.ErrorIs(t, err, ErrTampered)
			_, err = cfg.Log.Verify(ctx)
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

// TestAttackEntryOfAnother: an entry under one patient's key that names another.
func TestAttackEntryOfAnother(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	sealed(t, people(t, cfg), ayu)
	keys, err := cfg.Ring.Subject(ctx, ayu.ID, auditCompartment)
	require.NoError(t, err)
	b := &logBody{Action: "open", Outcome: "done", Decision: "d"}
	require.NoError(t, b.sealRef(keys[0], "p-budi", ""))
	require.NoError(t, cfg.Log.append(ctx, b))
	_, err = cfg.Log.History(ctx, ayu.ID)
	require.ErrorIs(t, err, ErrTampered)
}

// TestAttackLaundering: leaves are put in or exchanged and the hashes computed
// anew. Whatever is appended next, that is not signed.
func TestAttackLaundering(t *testing.T) {
	ctx := context.Background()
	for name, attack := range map[string]string{
		"an entry copied to the end":       `INSERT INTO consent_log SELECT 3, 3, version, leaves, mac FROM consent_log WHERE seq = 2`,
		"another process's entry replaced": `UPDATE consent_log SET leaves = (SELECT leaves FROM consent_log WHERE seq = 0) WHERE seq = 2`,
		"its head put back as well":        `DELETE FROM consent_log WHERE seq = 2; UPDATE consent_log_hash SET hashes = substr(hashes, 1, 96)`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, db := sqlConfig(t)
			other := *cfg
			reopen(t, &other, db)
			row := sealed(t, people(t, cfg), ayu, Treatment)
			_, err := open(people(t, &other), ayu.ID, row.Sealed, care)
			require.IsType(t, &WithheldError{}, err)
			placed(t, cfg.Log)
			_, err = db.Exec(attack)
			require.NoError(t, err)
			rehash(t, db)
			for _, c := range []*Config{cfg, &other} {
				// Durable, perhaps; but what is signed for it is the tree as this process knew it.
				_ = c.Log.append(ctx, &logBody{Action: "open", Outcome: "done"})
				_, err = c.Log.Verify(ctx)
				require.ErrorIs(t, err, ErrTampered)
			}
			l, err := OpenLog(ctx, cfg.Ring, db)
			if err == nil { // the head is genuine, the leaf is not
				_, err = l.Verify(ctx)
			}
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

// TestAttackLogShrunk: leaf and head of an earlier day are put back, and the
// newer hashes left where they are.
func TestAttackLogShrunk(t *testing.T) {
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "a", Outcome: "done"}))
	anchoredAtOne(t, cfg)
	note, err := cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "b", Outcome: "done"}))
	newer, err := cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	_, err = db.Exec(`DELETE FROM consent_log WHERE seq = 1; UPDATE consent_log_head SET size = 1, note = ?`, note)
	require.NoError(t, err)
	_, err = cfg.Log.Verify(ctx)
	require.ErrorIs(t, err, ErrTampered)
	reopen(t, cfg, db)
	require.ErrorIs(t, cfg.Log.Extends(ctx, newer), ErrTampered)
}

// TestLedgerOfAnotherProcess: what another process has appended is read before
// the length of the ledger is held against the log: no false alarm.
func TestLedgerOfAnotherProcess(t *testing.T) {
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	other := *cfg
	reopen(t, &other, db)
	id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	require.NoError(t, cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
	people(t, &other)
}

// TestMemoryStoresOfAnAnchoredRing: ledger and log in memory begin anew,
// whatever the ring's journal knows of those that lay in a database.
func TestMemoryStoresOfAnAnchoredRing(t *testing.T) {
	ctx := context.Background()
	cfg, _ := sqlConfig(t)
	id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	require.NoError(t, cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
	for range 2 {
		reopen(t, cfg, nil)
		id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
		require.NoError(t, err)
		require.NoError(t, cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
		n, err := cfg.Log.Verify(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
	}
}

// TestSaboteurNoAuditGrant: a service whose grant of the audit compartment is
// taken away opens nothing and writes no entry without its patient.
func TestSaboteurNoAuditGrant(t *testing.T) {
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment, Research)
	require.NoError(t, cfg.AddRecipient(context.Background(), "ui-2026"))
	table, err := r.Export(context.Background(), each([]stored{{ayu.ID, row.Sealed}}), study)
	require.NoError(t, err)
	before := len(entries(t, cfg.Log))
	whole := cfg.Ring
	cfg.Ring = whole.Only("identity", "clinical", "sensitive", "recipient/ui-2026")
	for _, purpose := range []Purpose{Treatment, Marketing} {
		got, err := open(r, ayu.ID, row.Sealed, Request{Purpose: purpose, Actor: "dr"})
		require.ErrorIs(t, err, keyring.ErrNotGranted)
		require.Equal(t, person{ID: ayu.ID}, got)
	}
	for _, err := range table.Rows() {
		require.ErrorIs(t, err, keyring.ErrNotGranted)
	}
	require.Len(t, entries(t, cfg.Log), before)
}
