package keyring_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a program pays for having keys at all: the size of its binary, which
// differs by no more than the names of folders from build to build and must keep the bars of DESIGN §9, and the time that
// it takes to initialise, which is reported, and here only kept from getting out of
// hand: the bar is 5 ms.
func TestSizeAndStartUp(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	for name, most := range map[string]int64{"memory": 9e6, "sqlite": 14e6, "consent": 14e6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := filepath.Join(t.TempDir(), name)
			build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", program, "./testdata/size/"+name)
			out, err := build.CombinedOutput()
			require.NoError(t, err, string(out))
			info, err := os.Stat(program)
			require.NoError(t, err)
			least, packages := time.Hour, 0
			for range 3 {
				run := exec.CommandContext(t.Context(), program)
				run.Env = append(os.Environ(), "GODEBUG=inittrace=1")
				out, err := run.CombinedOutput()
				require.NoError(t, err, string(out))
				var took time.Duration
				took, packages = initTime(t, string(out))
				least = min(least, took)
			}
			t.Logf("%s: %.2f MB, %v of init in %d packages", name, float64(info.Size())/1e6, least, packages)
			require.LessOrEqual(t, info.Size(), most, "bytes; go tool nm -size -sort size, on a build without -s, tells of what")
			require.Greater(t, packages, 10, "nothing was traced")
			require.Less(t, least, 50*time.Millisecond)
		})
	}
}

// initTime adds up what GODEBUG=inittrace=1 wrote: "init PACKAGE @AT ms, TOOK ms clock, …".
func initTime(t *testing.T, trace string) (total time.Duration, packages int) {
	for line := range strings.Lines(trace) {
		if f := strings.Fields(line); len(f) > 5 && f[0] == "init" {
			took, err := time.ParseDuration(f[4] + f[5])
			require.NoError(t, err)
			total, packages = total+took, packages+1
		}
	}
	return total, packages
}
