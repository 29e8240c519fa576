package pseudo

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCSVCells: numbers stay numbers, formulas do not stay formulas, and what
// cannot be written says so without its value.
func TestCSVCells(t *testing.T) {
	type text string
	for _, tt := range []struct {
		cell any
		want string
	}{
		{nil, ""}, {-3.2, "-3.2"}, {-7, "-7"}, {int8(-1), "-1"}, {uint(7), "7"}, {true, "true"}, {"", ""}, {"a=b", "a=b"},
		{"=1+1", "'=1+1"}, {"+1", "'+1"}, {"-1", "'-1"}, {"@x", "'@x"}, {"\tx", "'\tx"}, {"\rx", "'\rx"}, {text("=1"), "'=1"}, {formula{}, "'=1"},
		{[]string{"=1", "b"}, `["=1","b"]`}, {[]int{-1}, "[-1]"}, {[2]int{1, 2}, "[1,2]"}, {map[string]int{"a": 1}, `{"a":1}`},
		{Unfit{}, "(unfit)"}, {time.Date(2026, 6, 1, 8, 30, 0, 0, time.UTC), "2026-06-01T08:30:00Z"},
	} {
		got, err := cellText(tt.cell)
		require.NoError(t, err)
		require.Equal(t, tt.want, got)
	}
	for _, bad := range []any{[]float64{math.Inf(1)}, []any{make(chan int)}} {
		_, err := cellText(bad)
		require.ErrorIs(t, err, ErrPolicy)
		require.NotContains(t, err.Error(), "Inf")
	}
}

type formula struct{}

func (formula) String() string { return "=1" }

// TestCSVOfABrokenTable: an error of the table or the writer ends it.
func TestCSVOfABrokenTable(t *testing.T) {
	broken := errors.New("broken")
	write := func(w io.Writer, row []any, err error) error {
		return WriteCSV(w, []string{"a"}, iter.Seq2[[]any, error](func(yield func([]any, error) bool) { yield(row, err) }))
	}
	require.ErrorIs(t, write(io.Discard, nil, broken), broken)
	require.ErrorIs(t, write(io.Discard, []any{"x", "y"}, nil), ErrPolicy)
	require.ErrorIs(t, write(io.Discard, nil, nil), ErrPolicy)
	require.ErrorIs(t, write(brokenWriter{broken}, []any{"x"}, nil), broken)
	require.ErrorIs(t, write(brokenWriter{broken}, []any{strings.Repeat("x", 1<<16)}, nil), broken)
	var b bytes.Buffer
	require.NoError(t, write(&b, []any{nil}, nil))
	require.Equal(t, "a\n\n", b.String())
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }
