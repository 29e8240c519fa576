//go:build unix

package evidence

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What tells a child of TestKillDir its folder and the step to die at.
const killEnv = "RAHASIA_EVIDENCE_KILL"

// TestKillDir kills a process with SIGKILL before each step that it takes on the
// folder's files, and once more after the last: what it was told is durable is
// there once, whatever else it wrote at most once, and another goes on. All steps
// where RAHASIA_KILL is "all" or -run names the kill tests, else every eighth.
func TestKillDir(t *testing.T) {
	if order, ok := os.LookupEnv(killEnv); ok {
		killChild(t, order)
		return
	}
	step := 8
	if os.Getenv("RAHASIA_KILL") == "all" || strings.Contains(flag.Lookup("test.run").Value.String(), "Kill") {
		step = 1
	}
	deaths := 0
	for at := 1 + rand.IntN(step); ; at += step {
		dir := t.TempDir()
		ring := sharedRing(t, dir)
		require.NoError(t, ring.CreateKeyset(ctx, ChainKeyset))
		require.NoError(t, ring.Close())
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestKillDir$")
		cmd.Env = append(os.Environ(), killEnv+"="+fmt.Sprintf("%s\n%d", dir, at))
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		require.True(t, err == nil || killed, "%s", out)
		var events, leaves []string
		b, err := os.ReadFile(filepath.Join(dir, "told"))
		require.NoError(t, err)
		for line := range strings.Lines(string(b)) {
			if what, n, _ := strings.Cut(strings.TrimSpace(line), " "); what == "event" {
				events = append(events, n)
			} else {
				leaves = append(leaves, n)
			}
		}
		check(t, sharedRing(t, dir), filepath.Join(dir, "evidence"), at, events, leaves)
		if !killed {
			require.Len(t, events, 3)
			require.Len(t, leaves, 3)
			break
		}
		deaths++
	}
	require.Greater(t, deaths, 40/step)
	t.Logf("killed at %d steps, every %d.", deaths, step)
}

func killChild(t *testing.T, order string) {
	dir, at, _ := strings.Cut(order, "\n")
	n, err := strconv.Atoi(at)
	require.NoError(t, err)
	told, err := os.OpenFile(filepath.Join(dir, "told"), os.O_CREATE|os.O_WRONLY|os.O_SYNC, 0o600)
	require.NoError(t, err)
	s := &steps{seen: map[string]bool{}, at: n, die: func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}}
	chain, tree := inFolder(t, sharedRing(t, dir), filepath.Join(dir, "evidence"), s)
	work(chain, tree, func(line string) {
		_, err := told.WriteString(line + "\n")
		require.NoError(t, err)
	})
}
