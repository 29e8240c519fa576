package clinic_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// The folder of a clinic on one kind of database is not taken for one on the other:
// the branch's credential in it is for another ring.
func TestFolderOfAnother(t *testing.T) {
	dir := t.TempDir()
	c, err := clinic.Open(t.Context(), clinic.Options{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	_, err = clinic.Open(t.Context(), clinic.Options{Dir: dir, Postgres: "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"})
	require.ErrorContains(t, err, "name another folder")

	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "clinic.key"), nil, 0o600))
	_, err = clinic.Open(t.Context(), clinic.Options{Dir: dir})
	require.ErrorContains(t, err, "name another folder")
}

// The package's comment says what each of its files is for.
func TestFilesAreNamed(t *testing.T) {
	text, err := os.ReadFile("clinic.go")
	require.NoError(t, err)
	comment, _, _ := strings.Cut(string(text), "\npackage ")
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if name != "clinic.go" && !strings.HasSuffix(name, "_test.go") {
			require.Contains(t, comment, "//\t"+name+" ")
		}
	}
}
