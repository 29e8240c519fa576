package consent

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// TestTamperJournalPutBack: key store and journal of an earlier day are put back
// together, so that a patient who was erased since would be back. They agree with
// each other; the log knows better.
func TestTamperJournalPutBack(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "demo")
	cfg, err := OpenDir(ctx, dir)
	require.NoError(t, err)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	require.NoError(t, cfg.Close())
	older := map[string][]byte{}
	for _, name := range []string{keysFile, journalFile} {
		older[name], err = os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
	}
	cfg, err = OpenDir(ctx, dir)
	require.NoError(t, err)
	_, err = cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done"})) // any act after it
	require.NoError(t, cfg.Close())
	for name, text := range older {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	cfg, err = OpenDir(ctx, dir)
	if err == nil {
		_, err := open(people(t, cfg), ayu.ID, row.Sealed, care)
		t.Fatal("opened: ", err)
	}
	require.ErrorIs(t, err, keyring.ErrRolledBack)
}

// TestEntryCarriesJournal: what an entry says is what the journal held.
func TestEntryCarriesJournal(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	seq, hash, err := cfg.Ring.JournalHead(ctx)
	require.NoError(t, err)
	body := &logBody{Action: "open", Outcome: "done"}
	require.NoError(t, cfg.Log.append(ctx, body))
	require.Zero(t, body.Journal, "the caller's is not written to")
	got, err := cfg.Log.newest(ctx)
	require.NoError(t, err)
	require.Equal(t, seq, got.Journal)
	require.Equal(t, hash[:], got.JournalHash)
	require.NoError(t, cfg.check(ctx))
	for name, b := range map[string]logBody{
		"another hash": {Journal: seq, JournalHash: make([]byte, 32)},
		"a later one":  {Journal: seq + 1, JournalHash: hash[:]},
	} {
		require.ErrorIs(t, cfg.Log.journalHolds(ctx, &b), keyring.ErrRolledBack, name)
	}
}
