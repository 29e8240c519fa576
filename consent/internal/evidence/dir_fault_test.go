package evidence

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// steps counts the steps of a folder's files, and fails some.
type steps struct {
	mu   sync.Mutex
	n    int
	at   int  // which fails
	dead bool // and all that come after it
	die  func()
	seen map[string]bool
}

func (s *steps) step(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	s.seen[name] = true
	if s.n == s.at && s.die != nil {
		s.die()
	}
	if s.n == s.at || s.dead && s.n > s.at {
		return errKilled
	}
	return nil
}

// inFolder opens chain and tree in a folder, whose steps from then on are s's.
func inFolder(t *testing.T, ring *keyring.Ring, dir string, s *steps) (*Chain, *Tree) {
	t.Helper()
	chain, tree := place{dir: dir}.chain(t, ring), place{dir: dir}.tree(t, ring)
	chain.store.(*dirChain).tape.Fault = s.step
	chain.store.(*dirChain).tape.Segment = 400
	store := tree.store.(*dirTree)
	store.tape.Segment = 2000
	store.tape.Fault, store.fault = s.step, s.step
	tree.told.Store(1 << 62) // it does not anchor by itself: the steps are the same every time
	tree.tending = true      // nor give places beside the test
	return chain, tree
}

// work appends to both and returns what was acknowledged, which it tells at once.
func work(chain *Chain, tree *Tree, tell func(string)) (events, leaves []string) {
	for i := range 3 {
		if chain.Append(ctx, "p", fmt.Append(nil, i), agree) == nil {
			events = append(events, fmt.Sprint(i))
			tell(fmt.Sprint("event ", i))
		}
		if tree.Append(ctx, batchOf(i)...) == nil {
			leaves = append(leaves, fmt.Sprint(i))
			tell(fmt.Sprint("leaf ", i))
		}
		_ = tree.settle(ctx)
	}
	return events, leaves
}

// batchOf is the leaves of two blocks, and one batch.
func batchOf(i int) [][]byte {
	batch := [][]byte{fmt.Append(nil, i)}
	for j := range blockLeaves {
		batch = append(batch, fmt.Appendf(nil, "%d-%d", i, j))
	}
	return batch
}

// TestFaultDir: each step that writes to the folder fails in turn, that one alone
// or the process with it. What was acknowledged is there once, what was not at
// most once, all of a batch or nothing, and everything verifies and goes on.
func TestFaultDir(t *testing.T) {
	for _, dead := range []bool{false, true} {
		t.Run(fmt.Sprint("dead=", dead), func(t *testing.T) {
			all := map[string]bool{}
			for at := 1; ; at++ {
				ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
				s := &steps{at: at, dead: dead, seen: all}
				chain, tree := inFolder(t, ring, dir, s)
				events, leaves := work(chain, tree, func(string) {})
				check(t, ring, dir, at, events, leaves)
				if s.n < at {
					require.Len(t, events, 3)
					require.Len(t, leaves, 3)
					require.Greater(t, at, 20)
					break
				}
			}
			for _, name := range []string{
				"ledger segment", "ledger write", "ledger sync", "ledger names", "ledger mark", "ledger cut", "log write", "log sync", "log mark", "log cut", "log segment", "log names",
				"write log.hashes", "sync log.hashes", "write log.places", "sync log.places", "write log.head", "rename", "sync names",
			} {
				require.True(t, all[name], name)
			}
		})
	}
}

// check reopens a folder and looks for what was acknowledged.
func check(t *testing.T, ring *keyring.Ring, dir string, at int, events, leaves []string) {
	t.Helper()
	chain, tree := place{dir: dir}.chain(t, ring), place{dir: dir}.tree(t, ring)
	require.NoError(t, chain.Append(ctx, "p", []byte("next"), agree), at)
	require.NoError(t, tree.Append(ctx, []byte("next")), at)
	got, err := chain.Of(ctx, "p")
	require.NoError(t, err, at)
	once(t, texts(got), events, at)
	var stored []string
	rest := map[string]int{}
	_, err = tree.Verify(ctx, func(leaf []byte) error {
		if i, _, is := strings.Cut(string(leaf), "-"); is {
			rest[i]++
		} else {
			stored = append(stored, string(leaf))
		}
		return nil
	})
	require.NoError(t, err, at)
	once(t, stored, leaves, at)
	for _, i := range stored[:len(stored)-1] {
		if n, whole := rest[i]; whole {
			require.Equal(t, blockLeaves, n, "half of a batch, %d", at)
		}
	}
}

func once(t *testing.T, found, told []string, at int) {
	t.Helper()
	require.Equal(t, "next", found[len(found)-1], at)
	found = found[:len(found)-1]
	require.True(t, slices.IsSorted(found), "in order: %v, %d", found, at)
	require.Len(t, slices.Compact(slices.Clone(found)), len(found), "twice, %d", at)
	require.Subset(t, found, told, at)
}

// TestKillTornTail: a process dies when a batch is written and not on disk yet,
// and a power cut leaves some of its bytes, or others in their place. It is cut
// off, and nothing of what was acknowledged.
func TestKillTornTail(t *testing.T) {
	for name, tear := range map[string]func(b []byte, whole int64) []byte{
		"cut":     func(b []byte, whole int64) []byte { return b[:whole+(int64(len(b))-whole)/2] },
		"a byte":  func(b []byte, whole int64) []byte { return b[:whole+1] },
		"zeros":   func(b []byte, whole int64) []byte { clear(b[whole:]); return b },
		"changed": func(b []byte, whole int64) []byte { b[len(b)-1]++; return b },
		"its end": func(b []byte, whole int64) []byte { clear(b[len(b)-20:]); return b },
	} {
		for _, mark := range []string{"as it was", "lost"} {
			t.Run(name+", the mark "+mark, func(t *testing.T) {
				ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
				s := &steps{seen: map[string]bool{}}
				chain, tree := inFolder(t, ring, dir, s)
				require.NoError(t, chain.Append(ctx, "p", []byte("0"), agree))
				require.NoError(t, tree.Append(ctx, []byte("0")))
				sizes := map[string]int64{}
				for _, f := range []string{"ledger-0000000000000000", "log-0000000000000000"} {
					sizes[f] = size(t, filepath.Join(dir, f))
				}
				s.dead = true
				s.at = s.n + 2 // the write's is the next, and then its sync
				require.ErrorIs(t, chain.Append(ctx, "p", []byte("1"), agree), errKilled)
				s.at = s.n + 2
				require.ErrorIs(t, tree.Append(ctx, batchOf(1)...), errKilled)
				for f, whole := range sizes {
					path := filepath.Join(dir, f)
					b, err := os.ReadFile(path)
					require.NoError(t, err)
					require.Greater(t, int64(len(b)), whole)
					require.NoError(t, os.WriteFile(path, tear(b, whole), 0o600))
					if mark == "lost" {
						require.NoError(t, os.Truncate(filepath.Join(dir, strings.TrimSuffix(f, "-0000000000000000")+".mark"), 3))
					}
				}
				check(t, ring, dir, 0, []string{"0"}, nil)
			})
		}
	}
}

// TestTamperAcknowledged: the same damage to what was acknowledged is never cut
// off in silence.
func TestTamperAcknowledged(t *testing.T) {
	for _, after := range []string{"write", "place"} {
		ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
		chain, tree := inFolder(t, ring, dir, &steps{seen: map[string]bool{}})
		require.NoError(t, chain.Append(ctx, "p", []byte("0"), agree))
		require.NoError(t, tree.Append(ctx, []byte("0")))
		if after == "place" { // then the head tells, without the mark
			require.NoError(t, tree.settle(ctx))
			require.NoError(t, os.Remove(filepath.Join(dir, "log.mark")))
		}
		for _, f := range []string{"ledger-0000000000000000", "log-0000000000000000"} {
			path := filepath.Join(dir, f)
			require.NoError(t, os.Truncate(path, size(t, path)-1))
		}
		_, err := OpenChainDir(ctx, ring, dir)
		require.ErrorIs(t, err, ErrTampered)
		_, err = OpenTreeDir(ctx, ring, dir)
		require.ErrorIs(t, err, ErrTampered)
		require.ErrorIs(t, tree.Append(ctx, []byte("1")), ErrTampered)
		_, err = chain.Of(ctx, "p")
		require.ErrorIs(t, err, ErrTampered)
	}
}

func size(t *testing.T, path string) int64 {
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Size()
}

// TestFaultDirRead: folders that are files, and files that are folders.
func TestFaultDirRead(t *testing.T) {
	for _, name := range []string{"ledger.mark", "ledger-0000000000000000", "ledger.lock", "log.mark", "log-0000000000000000", "log.lock", "log.head", "log.hashes", "log.places", "log.head.lock"} {
		ring, dir := newRing(t), filepath.Join(t.TempDir(), "evidence")
		chain, tree := place{dir: dir}.chain(t, ring), place{dir: dir}.tree(t, ring)
		require.NoError(t, chain.Append(ctx, "p", []byte("0"), agree))
		require.NoError(t, tree.Append(ctx, []byte("0")))
		require.NoError(t, tree.settle(ctx))
		require.NoError(t, os.Remove(filepath.Join(dir, name)), name)
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
		_, inChain := OpenChainDir(ctx, ring, dir)
		_, inTree := OpenTreeDir(ctx, ring, dir)
		if name == "log.head.lock" {
			require.NoError(t, tree.Append(ctx, []byte("1")))
			_, inTree = OpenTreeDir(ctx, ring, dir)
		}
		require.Error(t, errors.Join(inChain, inTree), name)
	}
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "x"), filepath.Join(t.TempDir(), "no", "parent")} {
		_, err := OpenChainDir(ctx, newRing(t), dir)
		require.Error(t, err)
		_, err = OpenTreeDir(ctx, newRing(t), dir)
		require.Error(t, err)
	}
}
