package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
)

// TestRefusal: entries that are durable and get no place are borne for a while,
// and then nothing is appended until they have theirs.
func TestRefusal(t *testing.T) {
	tree := openTree(t, newRing(t), nil)
	whole := tree.store
	tree.store = stuck{whole}
	require.NoError(t, tree.Append(ctx, []byte("a")))
	_, err := tree.Checkpoint(ctx)
	require.ErrorIs(t, err, errStuck)
	require.NoError(t, tree.Append(ctx, []byte("b")))
	tree.failing.since = time.Now().Add(-seqPatience)
	tree.seeTo()
	require.ErrorIs(t, tree.Append(ctx, []byte("c")), errStuck)
	require.Eventually(t, func() bool { tree.mu.Lock(); defer tree.mu.Unlock(); return !tree.tending }, 20*time.Second, time.Millisecond)
	tree.store = whole
	require.ErrorIs(t, tree.Append(ctx, []byte("c")), errStuck, "and it is tried again")
	require.Eventually(t, func() bool { return tree.Append(ctx, []byte("c")) == nil }, 20*time.Second, time.Millisecond)
	n, err := tree.Size(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
}

// TestGivenUpIsNoFailure: a reader without patience does not stop the log.
func TestGivenUpIsNoFailure(t *testing.T) {
	tree := openTree(t, newRing(t), newDB(t))
	require.NoError(t, tree.Append(ctx, []byte("a")))
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err := tree.Size(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, tree.refusal())
	require.NoError(t, tree.failing.err)
}

var errStuck = errors.New("no places")

type stuck struct{ treeStore }

func (stuck) grow(context.Context, *growth) error { return errStuck }

// TestLateCommit: a block whose id is lower than those that have places already
// gets one all the same.
func TestLateCommit(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		ring := newRing(t)
		tree := p.tree(t, ring)
		require.NoError(t, tree.Append(ctx, []byte("a")))
		require.NoError(t, tree.settle(ctx))
		ks, err := ring.Keyset(ctx, TreeKeyset)
		require.NoError(t, err)
		late := blocksOf([][]byte{[]byte("late")})
		late[0].id = 1
		require.NoError(t, late[0].sign(ks, ring.ID()))
		require.NoError(t, tree.store.queue(ctx, late, 1))
		if p.lasts() {
			require.ErrorIs(t, tree.store.queue(ctx, []block{{id: 2}}, 99), errShorter)
		}
		if p.db != nil {
			require.ErrorIs(t, tree.store.queue(ctx, late, 1), errTaken)
		}
		if p.dir != "" { // where blocks lie in their order
			require.Greater(t, late[0].id, int64(1))
		}
		require.NoError(t, last(ctx, tree, func(leaf []byte) error {
			require.Equal(t, "late", string(leaf))
			return nil
		}))
	})
}

// TestLease: nobody writes under another's lease, with an old epoch or on another
// size; and one that has run out is taken.
func TestLease(t *testing.T) {
	databases(t, func(t *testing.T, db *sql.DB) {
		ring := newRing(t)
		tree := openTree(t, ring, db)
		_, err := db.Exec(`UPDATE consent_log_head SET epoch = 7, until = 9000000000000`)
		require.NoError(t, err)
		tree.tending = true // the test alone takes steps
		require.NoError(t, tree.Append(ctx, []byte("a")))
		busy, err := tree.sequence(ctx)
		require.NoError(t, err)
		require.True(t, busy)
		blocks := blocksOf([][]byte{[]byte("x")})
		for name, g := range map[string]*growth{
			"another's lease": {old: state{epoch: 7}},
			"an old epoch":    {old: state{epoch: 6}, mine: true},
			"another size":    {old: state{epoch: 7, size: 1}, mine: true},
			"no such block":   {old: state{epoch: 7}, mine: true, blocks: blocks, size: 1},
		} {
			require.ErrorIs(t, tree.store.grow(ctx, g), errMoved, name)
		}
		_, err = db.Exec(`UPDATE consent_log_head SET until = 1`)
		require.NoError(t, err)
		busy, err = tree.sequence(ctx)
		require.NoError(t, err)
		require.False(t, busy)
		n, err := tree.Size(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		require.NoError(t, tree.store.view(ctx, func(v treeView) error {
			return v.placed(0, 1, func(b *block) error {
				blocks[0] = *b
				return nil
			})
		}))
		blocks[0].first = 1
		again := &growth{old: state{epoch: 8, size: 1}, mine: true, blocks: blocks, size: 2}
		require.ErrorIs(t, tree.store.grow(ctx, again), errMoved, "a block that has its place")
	})
}

// TestTamperQueue: what is done to blocks before they have their places is
// noticed by the process that wrote them, or by the one that would place them.
func TestTamperQueue(t *testing.T) {
	for name, attack := range map[string]string{
		"deleted":       `DELETE FROM consent_log WHERE seq IS NULL`,
		"another leaf":  `UPDATE consent_log SET leaves = (SELECT leaves FROM consent_log WHERE seq = 0) WHERE seq IS NULL`,
		"copied":        `INSERT INTO consent_log SELECT id + 1, NULL, version, leaves, mac FROM consent_log WHERE seq = 0`,
		"another id":    `UPDATE consent_log SET id = id + 1 WHERE seq IS NULL`,
		"a place given": `UPDATE consent_log SET seq = 99 WHERE seq IS NULL`,
		"its own place": `UPDATE consent_log SET seq = 2 WHERE seq IS NULL`,
		"another's":     `UPDATE consent_log SET seq = 1 WHERE seq IS NULL`,
		"a key version": `UPDATE consent_log SET version = -1 WHERE seq IS NULL`,
		"no leaf":       `UPDATE consent_log SET leaves = mac WHERE seq IS NULL`,
	} {
		t.Run(name, func(t *testing.T) {
			databases(t, func(t *testing.T, db *sql.DB) {
				tree := openTree(t, newRing(t), db)
				require.NoError(t, tree.Append(ctx, []byte("a"), []byte("a too")))
				require.NoError(t, tree.settle(ctx))
				require.Eventually(t, func() bool { tree.mu.Lock(); defer tree.mu.Unlock(); return !tree.tending }, 20*time.Second, time.Millisecond)
				tree.mu.Lock()
				tree.tending = true // the test alone takes steps
				tree.mu.Unlock()
				require.NoError(t, tree.Append(ctx, []byte("b")))
				_, err := db.Exec(attack)
				require.NoError(t, err)
				_, err = tree.sequence(ctx)
				require.ErrorIs(t, err, ErrTampered)
				require.ErrorIs(t, tree.Append(ctx, []byte("c")), ErrTampered)
			})
		})
	}
}

// TestTamperPostgres: the attacks of TestAttackStoredHash and TestAttackStoredLink, on PostgreSQL.
func TestTamperPostgres(t *testing.T) {
	for _, attack := range []string{
		`UPDATE consent_log SET leaves = leaves || '\x00' WHERE seq = 2`, `DELETE FROM consent_log WHERE seq = 2`, `DELETE FROM consent_log WHERE seq = 4`,
		`UPDATE consent_log SET seq = CASE seq WHEN 2 THEN 13 ELSE 12 END WHERE seq IN (2, 3)`, `UPDATE consent_log_hash SET hashes = '\x00'`,
		`UPDATE consent_log_hash SET hashes = set_byte(hashes, 70, (get_byte(hashes, 70) + 1) % 256)`, `DELETE FROM consent_log_head`,
		`UPDATE consent_log_head SET note = NULL, size = 0`, `INSERT INTO consent_log SELECT id + 1, 5, version, leaves, mac FROM consent_log WHERE seq = 4`,
		`UPDATE consent_ledger SET body = body || '\x00' WHERE seq = 2`, `DELETE FROM consent_ledger WHERE seq = 2`, `DELETE FROM consent_ledger WHERE seq = 3`,
		`UPDATE consent_ledger SET seq = 9 WHERE seq = 3`, `UPDATE consent_ledger SET mac = '\x' WHERE seq = 1`,
		`INSERT INTO consent_ledger SELECT 4, version, subject, body, prev, mac FROM consent_ledger WHERE seq = 3`,
	} {
		ring, db := newRing(t), pgtest.Open(t, server.Start(t).Database(t))
		tree, chain := openTree(t, ring, db), openChain(t, ring, db)
		for i := range 5 {
			require.NoError(t, tree.Append(ctx, fmt.Append(nil, i)))
			require.NoError(t, tree.settle(ctx))
		}
		for i := range 3 {
			require.NoError(t, chain.Append(ctx, "p", fmt.Append(nil, i), agree))
		}
		_, err := db.Exec(attack)
		require.NoError(t, err, attack)
		_, inTree := tree.Verify(ctx, func([]byte) error { return nil })
		_, inChain := chain.Of(ctx, "p")
		require.ErrorIs(t, errors.Join(inTree, inChain), ErrTampered, attack)
	}
}

// FuzzBlock: what splits into leaves encodes to the same.
func FuzzBlock(f *testing.F) {
	f.Add(appendLeaf(nil, nil))
	f.Add(appendLeaf(appendLeaf(nil, []byte("a")), []byte("bc")))
	f.Add([]byte{0, 0, 0, 2, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		leaves, err := splitLeaves(b)
		if err != nil {
			return
		}
		var again []byte
		for _, leaf := range leaves {
			again = appendLeaf(again, leaf)
		}
		if string(again) != string(b) || len(leaves) == 0 {
			t.Errorf("%x is not canonical", b)
		}
	})
}
