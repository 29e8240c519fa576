package evidence

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// TestAttackTreeAnchor: another tree of the same ring is not the one that was anchored.
func TestAttackTreeAnchor(t *testing.T) {
	ring, db, older := newRing(t), newDB(t), newDB(t)
	tree, other := openTree(t, ring, db), openTree(t, ring, older)
	tree.told.Store(time.Now().UnixNano()) // so that neither anchors by itself
	other.told.Store(time.Now().UnixNano())
	require.NoError(t, tree.Append(ctx, []byte("a"), []byte("b")))
	require.NoError(t, tree.settle(ctx))
	require.True(t, tree.anchorDue(2, time.Hour))
	require.False(t, tree.anchorDue(3, 1<<62))
	require.True(t, tree.anchorDue(3, 0))
	for range 3 { // shorter, as long, longer than what will be anchored
		require.NoError(t, other.Append(ctx, []byte("a")))
		require.NoError(t, other.settle(ctx))
	}
	require.NoError(t, tree.Anchor(ctx))
	require.False(t, tree.anchorDue(1, 0))
	require.NoError(t, tree.Anchor(ctx), "twice is no error")
	if err := other.Append(ctx, []byte("a")); err == nil {
		other.seeTo()
		err = other.Append(ctx, []byte("a"))
		require.ErrorIs(t, err, ErrTampered, "nor may it go on")
	}
	require.ErrorIs(t, other.Anchor(ctx), ErrTampered, "nor cover it up")
	_, err := OpenTree(ctx, ring, older)
	require.ErrorIs(t, err, ErrTampered)
	_, err = db.Exec(`DELETE FROM consent_log; DELETE FROM consent_log_hash; DELETE FROM consent_log_head`)
	require.NoError(t, err)
	_, err = OpenTree(ctx, ring, db)
	require.ErrorIs(t, err, ErrTampered)
}

// TestAttackStoredHash: hashes cut short, and hashes that the head does not reach.
func TestAttackStoredHash(t *testing.T) {
	for _, attack := range []string{
		`UPDATE consent_log_hash SET hashes = x'00'`, `UPDATE consent_log_hash SET hashes = CAST(hashes || x'00' AS BLOB)`,
		`UPDATE consent_log_hash SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB)`,
		`UPDATE consent_log_hash SET hashes = CAST(substr(hashes, 1, 64) || zeroblob(32) || substr(hashes, 97) AS BLOB)`,
		`UPDATE consent_log_hash SET hashes = substr(hashes, 1, 224)`, `DELETE FROM consent_log_hash`,
		`UPDATE consent_log_hash SET hashes = zeroblob(9999)`, `UPDATE consent_log_head SET note = x''`,
		`UPDATE consent_log_head SET note = NULL`, `UPDATE consent_log_head SET size = 4`, `DELETE FROM consent_log_head`,
		`UPDATE consent_log SET leaves = x'' WHERE seq = 4`, `DELETE FROM consent_log WHERE seq = 3`, `UPDATE consent_log SET seq = 9 WHERE seq = 4`,
		`UPDATE consent_log SET seq = NULL WHERE seq = 4`, `UPDATE consent_log SET mac = zeroblob(32) WHERE seq = 2`, `UPDATE consent_log SET mac = x'' WHERE seq = 2`,
		`UPDATE consent_log SET version = -1 WHERE seq = 2`, `UPDATE consent_log SET id = 7 WHERE seq = 2`,
		`INSERT INTO consent_log SELECT id + 1, 5, version, leaves, mac FROM consent_log WHERE seq = 4`,
		`INSERT INTO consent_log SELECT id + 1, NULL, version, leaves, mac FROM consent_log WHERE seq = 4`,
		`INSERT INTO consent_log SELECT id + 1, 9, version, leaves, mac FROM consent_log WHERE seq = 4`,
	} {
		ring, db := newRing(t), newDB(t)
		tree := openTree(t, ring, db)
		for i := range 5 {
			require.NoError(t, tree.Append(ctx, fmt.Append(nil, i)))
			require.NoError(t, tree.settle(ctx))
		}
		res, err := db.Exec(attack)
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		_, err = tree.Verify(ctx, func([]byte) error { return nil })
		require.ErrorIs(t, err, ErrTampered, attack)
	}
}

// TestBrokenDatabase: each call of a database that fails ends in its error, and
// nothing is taken for an empty ledger or log.
func TestBrokenDatabase(t *testing.T) {
	for _, table := range []string{"consent_ledger", "consent_log", "consent_log_hash", "consent_log_head"} {
		ring, db := newRing(t), newDB(t)
		chain, tree := openChain(t, ring, db), openTree(t, ring, db)
		require.NoError(t, chain.Append(ctx, "p", []byte("a"), agree))
		require.NoError(t, tree.Append(ctx, []byte("a")))
		_, err := db.Exec(`ALTER TABLE ` + table + ` RENAME TO gone`)
		require.NoError(t, err)
		if table == "consent_ledger" {
			_, err = chain.Of(ctx, "p")
			require.Error(t, err)
			require.Error(t, chain.Append(ctx, "p", nil, agree))
			continue
		}
		_, err = tree.Verify(ctx, func([]byte) error { return nil })
		require.Error(t, err, table)
		if table != "consent_log_hash" { // which is not needed to make a leaf durable
			require.Error(t, tree.Append(ctx, []byte("b")), table)
		}
		_, err = tree.Checkpoint(ctx)
		require.Error(t, err, table)
		_, err = OpenTree(ctx, ring, db)
		require.Error(t, err, table)
	}
	ring, db := newRing(t), newDB(t)
	chain, tree := openChain(t, ring, db), openTree(t, ring, db)
	require.NoError(t, chain.Append(ctx, "p", []byte("a"), agree))
	for insert, when := range map[string]string{"consent_ledger": "INSERT", "consent_log": "INSERT", "consent_log_hash": "INSERT", "consent_log_head": "UPDATE"} {
		_, err := db.Exec(`CREATE TRIGGER stuck BEFORE ` + when + ` ON ` + insert + ` BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
		require.NoError(t, err)
		if insert == "consent_ledger" {
			require.ErrorContains(t, chain.Append(ctx, "p", nil, agree), "disk full")
		} else {
			err := tree.Append(ctx, []byte("a"))
			if insert != "consent_log" {
				require.NoError(t, err, "durable, and without a place")
				_, err = tree.Checkpoint(ctx)
			}
			require.ErrorContains(t, err, "disk full")
		}
		_, err = db.Exec(`DROP TRIGGER stuck`)
		require.NoError(t, err)
	}
	require.NoError(t, tree.Append(ctx, []byte("a")), "nothing was left locked or half written")
	require.NoError(t, db.Close())
	require.Error(t, tree.Append(ctx, []byte("b")))
	_, err := OpenTree(ctx, ring, db)
	require.Error(t, err)
	_, err = OpenChain(ctx, ring, db)
	require.Error(t, err)
}

// TestNoKeys: without the keysets nothing opens, and a ring that is closed
// later ends both.
func TestNoKeys(t *testing.T) {
	ring, db := newRing(t), newDB(t)
	chain, tree := openChain(t, ring, db), openTree(t, ring, db)
	require.NoError(t, chain.Append(ctx, "p", []byte("a"), agree))
	require.NoError(t, tree.Append(ctx, []byte("a")))
	none := ring.Only()
	_, err := OpenChain(ctx, none, db)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	_, err = OpenTree(ctx, none, db)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	require.NoError(t, ring.Close())
	for i, err := range []error{
		chain.Append(ctx, "p", nil, agree), chain.Anchor(ctx), tree.Append(ctx, []byte("b")), tree.Anchor(ctx), tree.Extends(ctx, nil),
		tree.Leaves(ctx, 0, nil), last(ctx, tree, nil),
	} {
		require.ErrorIs(t, err, keyring.ErrClosed, i)
	}
	_, err = chain.Of(ctx, "p")
	require.ErrorIs(t, err, keyring.ErrClosed)
	_, err = tree.VerifierKey(ctx)
	require.ErrorIs(t, err, keyring.ErrClosed)
}
