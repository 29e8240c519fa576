package consent

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/secret"
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

// TestActsOnKeysAreClosed: when an act on a patient's keys is over, the newest
// entry carries the journal's head as it is then, so that key store and journal
// cannot go back behind the act although nothing else is logged.
func TestActsOnKeysAreClosed(t *testing.T) {
	ctx := context.Background()
	cfg, key := custodianConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	other := ayu
	other.ID = "p-other"
	sealed(t, r, other, Treatment)
	for _, act := range []struct {
		name string
		do   func() error
	}{
		{"retain", func() error { _, err := cfg.Retain(ctx, ayu.ID, "officer", untilNextYear()); return err }},
		{"return", func() error { return cfg.EndRetention(ctx, ayu.ID, "custodian", key) }},
		{"retain", func() error { _, err := cfg.Retain(ctx, ayu.ID, "officer", untilNextYear()); return err }},
		{"erase", func() error { _, err := cfg.EraseRetained(ctx, ayu.ID, "officer", "PN 12/2026"); return err }},
		{"erase", func() error { _, err := cfg.Erase(ctx, other.ID, "officer"); return err }},
	} {
		before, _, err := cfg.Ring.JournalHead(ctx)
		require.NoError(t, err)
		require.NoError(t, act.do(), act.name)
		head, hash, err := cfg.Ring.JournalHead(ctx)
		require.NoError(t, err)
		require.Greater(t, head, before)
		got, err := cfg.Log.newest(ctx)
		require.NoError(t, err)
		require.Equal(t, act.name, got.Action)
		require.Equal(t, head, got.Journal, act.name)
		require.Equal(t, hash[:], got.JournalHash)
	}
	all := entries(t, cfg.Log)
	said, closed := all[len(all)-2], all[len(all)-1]
	require.Equal(t, []string{"done", "completed"}, []string{said.Outcome, closed.Outcome})
	require.Equal(t, said.Decision, closed.Decision)
	require.Equal(t, "officer", closed.Actor)
	_, err := open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, keyring.ErrShredded)
	got := investigate(t, cfg, Incident{Actor: "custodian"}, nil)
	require.Equal(t, []int{1, 1}, []int{got.Entries, got.Unnamed}, "who got back the keys is known by the second entry")
	got = investigate(t, cfg, Incident{Actor: "officer"}, nil)
	require.Equal(t, 6, got.Entries, "two ends of consents, two retentions, two erasures: what closes an act is no act of its own")
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

// TestTamperJournalBehindOlderEntry: the newest entries are of a process that did
// not know yet what those before them say the journal, or the ledger, holds.
func TestTamperJournalBehindOlderEntry(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	seq, hash, err := cfg.Ring.JournalHead(ctx)
	require.NoError(t, err)
	known := func() *logBody {
		b, err := cfg.Log.newest(ctx)
		require.NoError(t, err)
		return b
	}
	seal := func(b logBody) []byte {
		plain, err := encode(&b)
		require.NoError(t, err)
		ks, err := cfg.Ring.Keyset(ctx, evidence.TreeKeyset)
		require.NoError(t, err)
		aead, err := ks.Sealer(ks.Primary(), labelLogSeal)
		require.NoError(t, err)
		sum, opening := commit(labelLogCommit, plain)
		head := append([]byte{leafFormat, 0, 0, 0, 1}, sum[:]...)
		return secret.SealRandom(aead, head, evidence.Pad(opening), cfg.Log.bound(nil, head))
	}
	require.Equal(t, new(logBody), known())
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: "early"}))
	require.NoError(t, cfg.check(ctx))
	for name, b := range map[string]logBody{
		"journal": {Action: "erase", Outcome: "completed", Journal: seq + 1, JournalHash: hash[:]},
		"ledger":  {Action: "give", Outcome: "done", Ledger: cfg.Ledger.chain().Len() + 1},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, cfg.Log.tree().Append(ctx, seal(b)))
			for range recent - 2 {
				require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: "late"}))
			}
			require.Equal(t, "late", known().Actor)
			require.Equal(t, max(b.Journal, seq), known().Journal)
			require.Equal(t, b.Ledger, known().Ledger)
			require.Error(t, cfg.check(ctx))
			for range recent {
				require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "open", Outcome: "done"}))
			}
			require.NoError(t, cfg.check(ctx), "so far back only Verify looks")
		})
	}
	_, err = cfg.Log.Verify(ctx)
	require.ErrorIs(t, err, keyring.ErrRolledBack)
}
