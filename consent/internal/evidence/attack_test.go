package evidence

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

func newDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "e.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = sqlite.Close(db) })
	return db
}

func openChain(t testing.TB, ring *keyring.Ring, db *sql.DB) *Chain {
	t.Helper()
	c, err := OpenChain(ctx, ring, db)
	require.NoError(t, err)
	return c
}

func openTree(t testing.TB, ring *keyring.Ring, db *sql.DB) *Tree {
	t.Helper()
	tree, err := OpenTree(ctx, ring, db)
	require.NoError(t, err)
	return tree
}

// TestSaboteurChainOrder: three events of one subject, in another order or one
// twice, with the right number and the right end.
func TestSaboteurChainOrder(t *testing.T) {
	for name, lie := range map[string]func([]event) []event{
		"in another order": func(all []event) []event { return []event{all[1], all[0], all[2]} },
		"one twice":        func(all []event) []event { return []event{all[0], all[0], all[2]} },
	} {
		c := openChain(t, newRing(t), nil)
		for i := range 3 {
			require.NoError(t, c.Append(ctx, "p", fmt.Append(nil, i), agree))
		}
		c.store = liar{c.store, lie}
		_, err := c.Of(ctx, "p")
		require.ErrorIs(t, err, ErrTampered, name)
	}
}

// TestSaboteurChainNewer: a store hides the newest event from those who catch
// up and gives it in the place of an older one.
func TestSaboteurChainNewer(t *testing.T) {
	ring, db := newRing(t), newDB(t)
	c := openChain(t, ring, db)
	for i := range 2 {
		require.NoError(t, c.Append(ctx, "p", fmt.Append(nil, i), agree))
	}
	require.NoError(t, openChain(t, ring, db).Append(ctx, "p", []byte("2"), agree))
	c.store = hiding{c.store}
	_, err := c.Of(ctx, "p")
	require.ErrorIs(t, err, ErrTampered)
}

type hiding struct{ chainStore }

func (h hiding) after(context.Context, uint64) ([]event, error) { return nil, nil }

func (h hiding) of(ctx context.Context, refs []reference, _ uint64) ([]event, error) {
	all, err := h.chainStore.of(ctx, refs, 3)
	return []event{all[0], all[2]}, err
}

// TestAttackChainFork: an older copy is put back and grows another way. Every
// link is genuine, and the process that saw the first way notices.
func TestAttackChainFork(t *testing.T) {
	for _, longer := range []int{1, 2} {
		ring, db := newRing(t), newDB(t)
		c := openChain(t, ring, db)
		require.NoError(t, c.Append(ctx, "p", []byte("permit"), agree))
		require.NoError(t, c.Append(ctx, "p", []byte("withdrawn"), agree))
		_, err := db.Exec(`DELETE FROM consent_ledger WHERE seq = 2`)
		require.NoError(t, err)
		other := openChain(t, ring, db)
		for i := range longer {
			require.NoError(t, other.Append(ctx, "q", fmt.Append(nil, i), agree))
		}
		if longer == 2 {
			require.ErrorIs(t, c.Refresh(ctx), ErrTampered)
		}
		_, err = c.Of(ctx, "p")
		require.ErrorIs(t, err, ErrTampered)
		require.ErrorIs(t, c.Append(ctx, "p", nil, agree), ErrTampered)
	}
}

// TestAttackChainAnchor: another chain of the same ring, as long as the anchor
// says or shorter, is not the one that was anchored.
func TestAttackChainAnchor(t *testing.T) {
	for longer := range 3 {
		ring, db, older := newRing(t), newDB(t), newDB(t)
		c, other := openChain(t, ring, db), openChain(t, ring, older)
		for i := range longer {
			require.NoError(t, other.Append(ctx, "p", fmt.Append(nil, "permit", i), agree))
		}
		require.NoError(t, c.Append(ctx, "p", []byte("withdrawn"), agree))
		require.NoError(t, c.Anchor(ctx))
		require.NoError(t, c.Anchor(ctx), "twice is no error")
		_, err := OpenChain(ctx, ring, older)
		require.ErrorIs(t, err, ErrTampered, longer)
		require.ErrorIs(t, other.Append(ctx, "p", []byte("another"), agree), ErrTampered, "nor may it go on")
		require.ErrorIs(t, other.Anchor(ctx), ErrTampered, "nor cover it up")
		_, err = c.Of(ctx, "p")
		require.NoError(t, err)
	}
}

// TestAttackStoredLink: columns that hold more than they should, or nothing.
func TestAttackStoredLink(t *testing.T) {
	for _, change := range []string{
		"mac = CAST(mac || x'00' AS BLOB)", "prev = CAST(prev || x'00' AS BLOB)", "subject = CAST(subject || x'00' AS BLOB)",
		"mac = x''", "prev = x''", "body = x''", "body = CAST(body || x'00' AS BLOB)",
	} {
		ring, db := newRing(t), newDB(t)
		c := openChain(t, ring, db)
		require.NoError(t, c.Append(ctx, "p", []byte("a"), agree))
		_, err := db.Exec(`UPDATE consent_ledger SET ` + change)
		require.NoError(t, err)
		_, err = c.Of(ctx, "p")
		require.ErrorIs(t, err, ErrTampered, change)
		_, err = OpenChain(ctx, ring, db)
		require.ErrorIs(t, err, ErrTampered, change)
	}
}

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

// TestTreePages reads more leaves than fit into a page, from anywhere on.
func TestTreePages(t *testing.T) {
	const n = 20*blockLeaves + 3
	for _, db := range []*sql.DB{nil, newDB(t)} {
		tree := openTree(t, newRing(t), db)
		require.NoError(t, tree.Last(ctx, func([]byte) error { return errors.New("of an empty tree") }))
		leaves := make([][]byte, n)
		for i := range leaves {
			leaves[i] = fmt.Append(nil, i)
		}
		require.NoError(t, tree.Append(ctx, leaves...))
		for _, from := range []int64{0, 1, blockLeaves, n - 1, n, n + 9} {
			next := from
			require.NoError(t, tree.Leaves(ctx, from, func(i int64, leaf []byte) error {
				require.Equal(t, next, i)
				require.Equal(t, fmt.Sprint(i), string(leaf))
				next++
				return nil
			}))
			require.Equal(t, max(from, n), next)
		}
		require.NoError(t, tree.Last(ctx, func(leaf []byte) error {
			require.Equal(t, fmt.Sprint(n-1), string(leaf))
			return nil
		}))
		stop := errors.New("stop")
		require.ErrorIs(t, tree.Leaves(ctx, 3, func(int64, []byte) error { return stop }), stop)
		_, err := tree.Verify(ctx, func([]byte) error { return stop })
		require.ErrorIs(t, err, stop)
		key, err := tree.VerifierKey(ctx)
		require.NoError(t, err)
		for _, i := range []int64{0, blockLeaves, n - 1} {
			leaf, hashes, checkpoint, err := tree.Prove(ctx, i)
			require.NoError(t, err)
			require.NoError(t, CheckProof(key, i, leaf, hashes, checkpoint))
			require.ErrorIs(t, CheckProof(key, i+1, leaf, hashes, checkpoint), ErrTampered)
			require.NoError(t, tree.Extends(ctx, checkpoint))
		}
		for _, i := range []int64{-1, n} {
			_, _, _, err := tree.Prove(ctx, i)
			require.Error(t, err)
		}
	}
}

// TestCancelledInABatch: who gives up does not take the others of its batch along.
func TestCancelledInABatch(t *testing.T) {
	tree := openTree(t, newRing(t), nil)
	gate := make(chan struct{})
	tree.store = gated{tree.store, gate}
	given, cancel := context.WithCancel(ctx)
	first, second := make(chan error, 1), make(chan error, 1)
	tree.writing.Lock() // a write is under way: both wait for the next
	go func() { first <- tree.Append(given, []byte("a")) }()
	require.Eventually(t, func() bool { tree.mu.Lock(); defer tree.mu.Unlock(); return tree.waiting != nil }, time.Second, time.Millisecond)
	go func() { second <- tree.Append(ctx, []byte("b")) }()
	require.Eventually(t, func() bool { tree.mu.Lock(); defer tree.mu.Unlock(); return len(tree.waiting.leaves) == 2 }, time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	tree.writing.Unlock()
	close(gate)
	require.NoError(t, <-second)
	n, err := tree.Verify(ctx, func([]byte) error { return nil })
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
}

type gated struct {
	treeStore
	gate chan struct{}
}

func (g gated) queue(ctx context.Context, b []block, size int64) error {
	<-g.gate
	if err := ctx.Err(); err != nil {
		return err
	}
	return g.treeStore.queue(ctx, b, size)
}

// TestCheckpointText: one form, of one log.
func TestCheckpointText(t *testing.T) {
	const origin, hash = "rahasia/r", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	tree, err := parseCheckpoint(origin+"\n5\n"+hash+"\n", origin)
	require.NoError(t, err)
	require.Equal(t, tlog.Tree{N: 5}, tree)
	for name, text := range map[string]string{
		"another log":       "rahasia/q\n5\n" + hash + "\n",
		"a leading zero":    origin + "\n05\n" + hash + "\n",
		"a sign":            origin + "\n+5\n" + hash + "\n",
		"a negative size":   origin + "\n-5\n" + hash + "\n",
		"too large a size":  origin + "\n99999999999999999999\n" + hash + "\n",
		"a CR in the hash":  origin + "\n5\n" + hash[:9] + "\r" + hash[9:] + "\n",
		"loose bits":        origin + "\n5\n" + hash[:42] + "B=\n",
		"no padding":        origin + "\n5\n" + hash[:43] + "\n",
		"a short hash":      origin + "\n5\nAA==\n",
		"a line more":       origin + "\n5\n" + hash + "\nx\n",
		"a line less":       origin + "\n5\n",
		"no newline at end": origin + "\n5\n" + hash,
		"nothing":           "",
	} {
		_, err := parseCheckpoint(text, origin)
		require.ErrorIs(t, err, ErrTampered, name)
	}
}

// TestPad: every length comes back, no padding tells it, and nothing else passes.
func TestPad(t *testing.T) {
	for n := range 3 * bucket {
		for _, fill := range []string{"\x00", "\x80", "x"} {
			text := []byte(strings.Repeat(fill, n))
			padded := Pad(bytes.Clone(text))
			require.Len(t, padded, (n/bucket+1)*bucket)
			got, err := Unpad(padded)
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
	}
	full := Pad(nil)
	for name, bad := range map[string][]byte{
		"nothing": {}, "a byte less": full[:bucket-1], "a byte more": append(bytes.Clone(full), 0),
		"a bucket of zeros more": append(bytes.Clone(full), make([]byte, bucket)...), "no mark": make([]byte, bucket), "another mark": bytes.Repeat([]byte{1}, bucket),
	} {
		_, err := Unpad(bad)
		require.ErrorIs(t, err, ErrTampered, name)
	}
}

// FuzzUnpad: what unpads pads to the same.
func FuzzUnpad(f *testing.F) {
	f.Add(Pad(nil))
	f.Add(Pad([]byte("text")))
	f.Add(Pad(make([]byte, bucket)))
	f.Add(make([]byte, bucket))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, padded []byte) {
		text, err := Unpad(padded)
		if err == nil && !bytes.Equal(Pad(bytes.Clone(text)), padded) {
			t.Errorf("%x is not canonical", padded)
		}
	})
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
		tree.Leaves(ctx, 0, nil), tree.Last(ctx, nil),
	} {
		require.ErrorIs(t, err, keyring.ErrClosed, i)
	}
	_, err = chain.Of(ctx, "p")
	require.ErrorIs(t, err, keyring.ErrClosed)
	_, err = tree.VerifierKey(ctx)
	require.ErrorIs(t, err, keyring.ErrClosed)
}
