package consent_test

import (
	"fmt"
	"os"
	"testing"
)

// TestMain runs the tests in an empty folder, because the README's program
// makes its own in the working directory.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "consent")
	if err == nil {
		err = os.Chdir(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
