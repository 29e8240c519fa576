package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// killed is a store whose process dies, as by SIGKILL, at the n-th call that
// writes: before it or after.
type killed struct {
	keyring.Store
	left  *int
	after bool
}

func (s killed) die(late bool) {
	if !late {
		*s.left--
	}
	if *s.left == 0 && late == s.after {
		p, err := os.FindProcess(os.Getpid())
		if err == nil {
			_ = p.Kill()
		}
		select {}
	}
}

func (s killed) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	s.die(false)
	defer s.die(true)
	return s.Store.StageKeyset(ctx, rec)
}

func (s killed) Commit(ctx context.Context, c keyring.Change) error {
	s.die(false)
	defer s.die(true)
	return s.Store.Commit(ctx, c)
}

func (s killed) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	s.die(false)
	defer s.die(true)
	return s.Store.SwapKeys(ctx, swaps)
}

// files opens what a ring in dir is made of, and the KEK that it moves to.
func files(t testing.TB, dir string) (cfg keyring.Config, old, next keyring.KEK) {
	journal, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	old, err = keyring.KeyFile(filepath.Join(dir, "old"))
	require.NoError(t, err)
	next, err = keyring.KeyFile(filepath.Join(dir, "next"))
	require.NoError(t, err)
	return keyring.Config{Store: newStore(t, filepath.Join(dir, "keys.db")), Journal: journal, KEK: keyring.AnyKEK(next, old)}, old, next
}

// TestKillRewrapChild is the process that TestKillRewrap starts.
func TestKillRewrapChild(t *testing.T) {
	dir := os.Getenv("RAHASIA_KILL_DIR")
	if dir == "" {
		t.Skip("run by TestKillRewrap")
	}
	at, err := strconv.Atoi(os.Getenv("RAHASIA_KILL_AT"))
	require.NoError(t, err)
	cfg, _, next := files(t, dir)
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	cfg.Store = killed{cfg.Store, &at, os.Getenv("RAHASIA_KILL_AFTER") == "true"}
	r, err = keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	for _, job := range []keyring.Rewrapping{{}, {KEK: next}} {
		report, err := r.Rewrap(t.Context(), job)
		require.NoError(t, err)
		require.Zero(t, report.Left+report.Failed)
	}
}

// A process killed at every write of a rewrap, before it and after it: no key
// is lost, and the next one goes on where it stopped.
func TestKillRewrap(t *testing.T) {
	const subjects = 3
	for _, after := range []bool{false, true} {
		for at, alive := 1, false; !alive; at++ {
			require.Less(t, at, 20, "the child never ends by itself")
			dir := t.TempDir()
			for _, name := range []string{"old", "next"} {
				_, err := keyring.CreateKeyFile(filepath.Join(dir, name))
				require.NoError(t, err)
			}
			cfg, old, next := files(t, dir)
			cfg.KEK = old
			want := born(t, cfg, subjects)
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKillRewrapChild$")
			child.Env = append(os.Environ(), "RAHASIA_KILL_DIR="+dir, fmt.Sprint("RAHASIA_KILL_AT=", at), fmt.Sprint("RAHASIA_KILL_AFTER=", after))
			out, err := child.CombinedOutput()
			if alive = err == nil; !alive {
				require.Equal(t, -1, child.ProcessState.ExitCode(), "not killed: %s", out)
			}
			cfg.KEK = keyring.AnyKEK(next, old)
			r, err := keyring.Open(t.Context(), cfg)
			require.NoError(t, err)
			require.Equal(t, want, sealed(t, r, subjects), "killed at write %d, after it: %v", at, after)
			for _, job := range []keyring.Rewrapping{{}, {KEK: next}} {
				report, err := r.Rewrap(t.Context(), job)
				require.NoError(t, err)
				require.Zero(t, report.Left+report.Failed)
				require.True(t, !alive || report.Done == 0)
			}
			cfg.KEK = next
			r, err = keyring.Open(t.Context(), cfg)
			require.NoError(t, err)
			require.Equal(t, want, sealed(t, r, subjects))
		}
	}
}

// born makes a ring of two compartments with keys under version 1 of two.
func born(t testing.TB, cfg keyring.Config, subjects int) []string {
	r, err := keyring.Create(t.Context(), "clinic", cfg)
	require.NoError(t, err)
	var ids []string
	for i := range subjects {
		ids = append(ids, fmt.Sprint("patient-", i))
	}
	for _, name := range []string{"clinical", "identity"} {
		require.NoError(t, r.CreateKeyset(t.Context(), name))
	}
	_, err = r.CreateSubjects(t.Context(), ids, "clinical", "identity")
	require.NoError(t, err)
	want := sealed(t, r, subjects)
	for _, name := range []string{"clinical", "identity"} {
		_, err := r.Rotate(t.Context(), name)
		require.NoError(t, err)
	}
	return want
}

// sealed returns what each subject's keys make of the same text.
func sealed(t testing.TB, r *keyring.Ring, subjects int) (out []string) {
	for i := range subjects {
		keys, err := r.Subject(t.Context(), fmt.Sprint("patient-", i), "clinical", "identity")
		require.NoError(t, err)
		for _, k := range keys {
			a, err := k.Record(k.Generation())
			require.NoError(t, err)
			out = append(out, fmt.Sprintf("%x", secret.Cipher(a).Seal(nil, make([]byte, 12), []byte("the same"), nil)))
		}
	}
	return out
}
