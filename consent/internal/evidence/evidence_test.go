package evidence

import (
	"context"
	"database/sql"
	"encoding/hex"
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
