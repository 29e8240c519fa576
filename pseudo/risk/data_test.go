package risk

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var ctx = context.Background()

// shared is where the data sets lie that cannot be kept in the repository.
const shared = "../../../shared/data/deid/pycanon"

func sharedDir(t testing.TB) string {
	dirs := []string{shared, os.Getenv("RAHASIA_SHARED") + "/data/deid/pycanon"}
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "expected.json")); err == nil {
			return dir
		}
	}
	t.Skip("no shared/data/deid/pycanon beside the repository (or under RAHASIA_SHARED): pyCANON's sets of unclear licence are not tested")
	return ""
}

// readTable reads a CSV file, compressed or not. Every cell is a string.
func readTable(t testing.TB, file string, comma rune) Table {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		r, err = gzip.NewReader(f)
		require.NoError(t, err)
	}
	c := csv.NewReader(r)
	c.Comma = comma
	lines, err := c.ReadAll()
	require.NoError(t, err)
	rows := make([][]any, len(lines)-1)
	for i, line := range lines[1:] {
		for _, cell := range line {
			rows[i] = append(rows[i], cell)
		}
	}
	return table(lines[0], rows...)
}

func table(columns []string, rows ...[]any) Table {
	return Table{Columns: columns, Rows: func(yield func([]any, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}}
}

func collect(t testing.TB, rows iter.Seq2[[]any, error]) [][]any {
	t.Helper()
	var all [][]any
	for row, err := range rows {
		require.NoError(t, err)
		all = append(all, row)
	}
	return all
}

// plan makes the named columns quasi-identifiers and sensitive, and keeps the
// others.
func plan(t Table, quasi []string, sensitive ...Sensitive) Plan {
	p := Plan{Sensitive: sensitive}
	for _, name := range quasi {
		p.Quasi = append(p.Quasi, Quasi{Column: name})
	}
	for _, name := range t.Columns {
		if !slices.Contains(quasi, name) && !slices.ContainsFunc(sensitive, func(s Sensitive) bool { return s.Column == name }) {
			p.Keep = append(p.Keep, name)
		}
	}
	return p
}
