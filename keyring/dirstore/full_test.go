//go:build linux

package dirstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The disk is full, in that no file may be longer than a few bytes: nothing of
// a change is done, and all of it when there is room. It runs in a process of its
// own, whose other files the limit does not hurt.
func TestFaultDiskFull(t *testing.T) {
	const child = "DIRSTORE_DISK_FULL"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestFaultDiskFull$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestFaultDiskFull")
		return
	}
	for name, call := range calls {
		for _, at := range []string{"intent", "committed"} {
			dir := filepath.Join(t.TempDir(), "keys")
			s := prepared(t, dir)
			before := state(t, dir)
			var old syscall.Rlimit
			require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
			s.SetFault(func(step string) {
				if step == at {
					require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 8, Max: old.Max}))
				}
			})
			err := call(t.Context(), s)
			require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
			require.ErrorIs(t, err, syscall.EFBIG, "%s, %s", name, at)
			s.SetFault(func(string) {})
			if now := state(t, dir); at == "intent" {
				require.Equal(t, before, now, "%s: half of it happened", name)
			} else {
				require.NotEqual(t, before, now, "%s: what was committed is lost", name)
			}
		}
	}
}
