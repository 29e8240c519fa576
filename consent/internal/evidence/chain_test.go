package evidence

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqlite"
)

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

func TestChain(t *testing.T) {
	ring := newRing(t)
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "c.db"))
	require.NoError(t, err)
	defer func() { _ = sqlite.Close(db) }()
	inFile, err := OpenChain(ctx, ring, db)
	require.NoError(t, err)
	inMemory, err := OpenChain(ctx, ring, nil)
	require.NoError(t, err)
	for _, c := range []*Chain{inFile, inMemory} {
		for i := range 6 {
			require.NoError(t, c.Append(ctx, fmt.Sprint("p", i%2), fmt.Append(nil, i), agree))
		}
		got, err := c.Of(ctx, "p1")
		require.NoError(t, err)
		require.Equal(t, [][]byte{[]byte("1"), []byte("3"), []byte("5")}, got)
		none, err := c.Of(ctx, "p2")
		require.NoError(t, err)
		require.Empty(t, none)
		require.EqualValues(t, 6, c.Len())
		no := errors.New("no")
		require.ErrorIs(t, c.Append(ctx, "p0", nil, func(b [][]byte) error {
			require.Len(t, b, 3)
			return no
		}), no)
		require.EqualValues(t, 6, c.Len())
	}
}

// TestChainRotation: events under the old and the new key version are one
// subject's, in order.
func TestChainRotation(t *testing.T) {
	ring := newRing(t)
	c, err := OpenChain(ctx, ring, nil)
	require.NoError(t, err)
	require.NoError(t, c.Append(ctx, "p", []byte("old"), agree))
	_, err = ring.Rotate(ctx, ChainKeyset)
	require.NoError(t, err)
	require.NoError(t, c.Append(ctx, "p", []byte("new"), agree))
	require.NoError(t, c.Append(ctx, "q", []byte("other"), agree))
	got, err := c.Of(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("old"), []byte("new")}, got)
}

// TestSaboteurChain: stores that answer with what suits them.
func TestSaboteurChain(t *testing.T) {
	for name, lie := range map[string]func([]event) []event{
		"another's event":      func(all []event) []event { return all[1:2] },
		"nothing":              func([]event) []event { return nil },
		"the end left out":     func(all []event) []event { return all[:1] },
		"the beginning":        func(all []event) []event { return all[2:] },
		"one twice":            func(all []event) []event { return []event{all[0], all[0]} },
		"in another order":     func(all []event) []event { return []event{all[2], all[0]} },
		"another's beside own": func(all []event) []event { return all },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := OpenChain(ctx, newRing(t), nil)
			require.NoError(t, err)
			for i, who := range []string{"p", "q", "p"} {
				require.NoError(t, c.Append(ctx, who, fmt.Append(nil, i), agree))
			}
			c.store = liar{c.store, lie}
			got, err := c.Of(ctx, "p")
			if name == "another's beside own" && err == nil {
				t.Fatalf("passed off %d events as the subject's", len(got))
			}
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

type liar struct {
	chainStore
	lie func([]event) []event
}

func (l liar) of(ctx context.Context, _ []reference, _ uint64) ([]event, error) {
	all, err := l.chainStore.after(ctx, 0)
	return l.lie(all), err
}
