package consent

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/pseudo"
)

func TestWriteCSV(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
	p := ayu
	p.Sex = `=HYPERLINK("x")`
	table, err := r.Export(ctx, each([]stored{{p.ID, sealed(t, r, p, Research).Sealed}}), study)
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, table.WriteCSV(&b))
	lines, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"pseudonym", "Born", "Sex", "Diagnosis", "Serology"}, lines[0])
	require.Equal(t, []string{"1989", `'=HYPERLINK("x")`, `["J45 Asthma"]`, "(withheld)"}, lines[1][1:])
}

// TestCSVOfABrokenTable: an error of the table or the writer ends it.
func TestCSVOfABrokenTable(t *testing.T) {
	broken := errors.New("broken")
	table := func(row []any, err error) *Table {
		return &Table{Columns: []string{"a"}, rows: func(yield func([]any, error) bool) { yield(row, err) }}
	}
	require.ErrorIs(t, table(nil, broken).WriteCSV(io.Discard), broken)
	require.ErrorIs(t, table([]any{[]any{make(chan int)}}, nil).WriteCSV(io.Discard), pseudo.ErrPolicy)
	require.ErrorIs(t, table([]any{"x"}, nil).WriteCSV(brokenWriter{broken}), broken)
	require.ErrorIs(t, table([]any{strings.Repeat("x", 1<<16)}, nil).WriteCSV(brokenWriter{broken}), broken)
	require.NoError(t, table([]any{nil}, nil).WriteCSV(io.Discard))
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
