package evidence

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

var ctx = context.Background()

func newRing(t testing.TB) *keyring.Ring {
	t.Helper()
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	ring, err := keyring.Create(ctx, "ring-test", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	require.NoError(t, ring.CreateKeyset(ctx, ChainKeyset))
	require.NoError(t, ring.CreateKeyset(ctx, TreeKeyset))
	return ring
}

func agree([][]byte) error { return nil }

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

// TestSaboteurTree: a log that says it has written and drops the entry is
// noticed by whoever reads, and nothing is appended any more.
func TestSaboteurTree(t *testing.T) {
	for name, drops := range map[string]func(treeStore) treeStore{
		"before it had its place": func(s treeStore) treeStore { return droppingQueue{s} },
		"with its place":          func(s treeStore) treeStore { return droppingGrowth{s} },
	} {
		tree, err := OpenTree(ctx, newRing(t), nil)
		require.NoError(t, err)
		require.NoError(t, tree.Append(ctx, []byte("a")))
		require.NoError(t, tree.settle(ctx))
		tree.store = drops(tree.store)
		require.NoError(t, tree.Append(ctx, []byte("b")))
		tree.seeTo()
		require.ErrorIs(t, tree.Append(ctx, []byte("c")), ErrTampered, name)
	}
}

type droppingQueue struct{ treeStore }

func (droppingQueue) queue(context.Context, []block, int64) error { return nil }

type droppingGrowth struct{ treeStore }

func (d droppingGrowth) grow(ctx context.Context, g *growth) error {
	fake := *g
	fake.hashes, fake.note, fake.size = nil, g.old.note, g.old.size
	return d.treeStore.grow(ctx, &fake)
}

// TestTreeFailedWrite: a write that fails leaves the tree as it was, and the
// next one works.
func TestTreeFailedWrite(t *testing.T) {
	tree, err := OpenTree(ctx, newRing(t), nil)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("a")))
	whole := tree.store
	tree.store = full{whole}
	require.ErrorContains(t, tree.Append(ctx, []byte("b")), "disk full")
	tree.store = whole
	require.NoError(t, tree.Append(ctx, []byte("c"), []byte("d")))
	var leaves []string
	n, err := tree.Verify(ctx, func(leaf []byte) error {
		leaves = append(leaves, string(leaf))
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, []string{"a", "c", "d"}, leaves)
}

type full struct{ treeStore }

func (full) queue(context.Context, []block, int64) error { return errors.New("disk full") }

// TestFailingStore fails each n-th call of a store: what was acknowledged is
// there, whatever failed in between, and everything still verifies.
func TestFailingStore(t *testing.T) {
	broken := errors.New("store is down")
	refused := 0
	defer func() { require.Greater(t, refused, 40) }()
	for n := 1; n < 8; n++ {
		ring := newRing(t)
		chain, err := OpenChain(ctx, ring, nil)
		require.NoError(t, err)
		tree, err := OpenTree(ctx, ring, nil)
		require.NoError(t, err)
		f, g := &failing{chainStore: chain.store, every: n, err: broken}, &failing{treeStore: tree.store, every: n, err: broken}
		chain.store, tree.store = failingChain{f}, failingTree{g}
		var events, leaves []string
		for i := range 40 {
			body := fmt.Append(nil, i)
			if err := chain.Append(ctx, "p", body, agree); err == nil {
				events = append(events, string(body))
			} else {
				require.ErrorIs(t, err, broken)
			}
			if err := tree.Append(ctx, body); err == nil {
				leaves = append(leaves, string(body))
			} else {
				require.ErrorIs(t, err, broken)
				refused++
			}
			if i%3 == 0 {
				_ = tree.settle(ctx)
			}
		}
		if n > 5 { // an append makes up to five calls
			require.NotEmpty(t, events)
			require.NotEmpty(t, leaves)
			require.Less(t, len(events), 40)
		}
		f.every, g.every = 0, 0
		got, err := chain.Of(ctx, "p")
		require.NoError(t, err)
		require.Equal(t, events, texts(got))
		var stored [][]byte
		size, err := tree.Verify(ctx, func(leaf []byte) error {
			stored = append(stored, leaf)
			return nil
		})
		require.NoError(t, err)
		require.EqualValues(t, len(leaves), size)
		require.Equal(t, leaves, texts(stored))
	}
}

func texts(b [][]byte) []string {
	var out []string
	for _, x := range b {
		out = append(out, string(x))
	}
	return out
}

// failing fails each call whose number is a multiple of every.
type failing struct {
	chainStore chainStore
	treeStore  treeStore
	calls      int
	every      int
	err        error
}

func (f *failing) call() error {
	f.calls++
	if f.every > 0 && f.calls%f.every == 0 {
		return f.err
	}
	return nil
}

type failingChain struct{ *failing }

func (f failingChain) after(ctx context.Context, seq uint64) ([]event, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.chainStore.after(ctx, seq)
}

func (f failingChain) of(ctx context.Context, r []reference, upTo uint64) ([]event, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.chainStore.of(ctx, r, upTo)
}

func (f failingChain) append(ctx context.Context, e event) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.chainStore.append(ctx, e)
}

type failingTree struct{ *failing }

func (f failingTree) queue(ctx context.Context, b []block, size int64) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.treeStore.queue(ctx, b, size)
}

func (f failingTree) view(ctx context.Context, do func(treeView) error) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.treeStore.view(ctx, do)
}

func (f failingTree) grow(ctx context.Context, g *growth) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.treeStore.grow(ctx, g)
}

// TestTreeIsRFC6962 compares the root with one computed from the definition.
func TestTreeIsRFC6962(t *testing.T) {
	tree, err := OpenTree(ctx, newRing(t), nil)
	require.NoError(t, err)
	var leaves []tlog.Hash
	for i := range 21 {
		leaf := fmt.Append(nil, "leaf ", i)
		require.NoError(t, tree.Append(ctx, leaf))
		leaves = append(leaves, tlog.RecordHash(leaf))
		if i%3 != 0 {
			continue // two steps or more at a time
		}
		require.NoError(t, tree.settle(ctx))
		require.Equal(t, root(leaves), tree.newest().Hash)
	}
}

// root is MTH of RFC 6962, section 2.1.
func root(h []tlog.Hash) tlog.Hash {
	if len(h) == 1 {
		return h[0]
	}
	k := 1
	for 2*k < len(h) {
		k *= 2
	}
	return tlog.NodeHash(root(h[:k]), root(h[k:]))
}

// TestTreeRotation: heads signed under an older key version still verify.
func TestTreeRotation(t *testing.T) {
	ring := newRing(t)
	tree, err := OpenTree(ctx, ring, nil)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("a")))
	old, err := tree.VerifierKey(ctx)
	require.NoError(t, err)
	_, err = ring.Rotate(ctx, TreeKeyset)
	require.NoError(t, err)
	_, err = tree.Checkpoint(ctx)
	require.NoError(t, err)
	require.NoError(t, tree.Append(ctx, []byte("b")))
	now, err := tree.VerifierKey(ctx)
	require.NoError(t, err)
	require.NotEqual(t, old, now)
	leaf, hashes, checkpoint, err := tree.Prove(ctx, 0)
	require.NoError(t, err)
	require.NoError(t, CheckProof(now, 0, leaf, hashes, checkpoint))
	require.ErrorIs(t, CheckProof(old, 0, leaf, hashes, checkpoint), ErrTampered)
}

func TestEmptyTree(t *testing.T) {
	tree, err := OpenTree(ctx, newRing(t), nil)
	require.NoError(t, err)
	head, err := tree.Checkpoint(ctx)
	require.NoError(t, err)
	require.Nil(t, head)
	n, err := tree.Verify(ctx, nil)
	require.NoError(t, err)
	require.Zero(t, n)
	_, _, _, err = tree.Prove(ctx, 0)
	require.Error(t, err)
}

// TestLeak prints the signer and both records through every verb.
func TestLeak(t *testing.T) {
	ring := newRing(t)
	tree, err := OpenTree(ctx, ring, nil)
	require.NoError(t, err)
	chain, err := OpenChain(ctx, ring, nil)
	require.NoError(t, err)
	require.NoError(t, chain.Append(ctx, "p", []byte("plain words"), agree))
	ks, err := ring.Keyset(ctx, TreeKeyset)
	require.NoError(t, err)
	s, _, _, err := tree.signerOf(ks, ks.Primary())
	require.NoError(t, err)
	k, err := ks.Derive(ks.Primary(), labelTreeSign)
	require.NoError(t, err)
	seed := secret.Expose(k)
	needles := []string{
		"plain words", string(seed[:8]), hex.EncodeToString(seed[:8]), strings.ToUpper(hex.EncodeToString(seed[:8])),
		strings.Trim(fmt.Sprint(seed[:6]), "[]"), strings.Trim(fmt.Sprintf("%#v", seed[:4]), "[]byte{}"),
	}
	for _, v := range []any{s, *s, tree, chain, struct{ x any }{s}, []*signer{s}} {
		for _, verb := range "vTtbcdoOqxXUeEfFgGsp" {
			for _, flag := range []string{"", "+", "#", "# "} {
				text := fmt.Sprintf("%"+flag+string(verb), v)
				for _, n := range needles {
					require.NotContains(t, text, n)
				}
			}
		}
	}
}

// FuzzCheckpoint: what passes as a checkpoint's text is what sign writes.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("rahasia/r\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("rahasia/r\n05\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("rahasia/r\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n"))
	f.Add([]byte("go.sum database tree\n5\nAA==\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		tree, err := parseCheckpoint(string(text), "rahasia/r")
		if err == nil && checkpointText("rahasia/r", tree) != string(text) {
			t.Errorf("%q is not canonical", text)
		}
		if _, err := openCheckpoint(text, "rahasia/r", note.VerifierList()); err == nil {
			t.Error("opened without a signature")
		}
	})
}
