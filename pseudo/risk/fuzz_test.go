package risk

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzGate makes a table of the bytes: whatever is released obeys the rule,
// row by row a generalisation of what came in, and no error quotes a cell.
func FuzzGate(f *testing.F) {
	f.Add([]byte("0123456789"), uint8(2), uint8(2), uint8(10))
	f.Add([]byte("00110011"), uint8(2), uint8(0), uint8(0))
	f.Add([]byte{0xff, 0, 0xff, 0, 17, 18, 19}, uint8(3), uint8(1), uint8(50))
	f.Fuzz(func(t *testing.T, data []byte, k, l, share uint8) {
		cell := func(b byte) any {
			switch b % 5 {
			case 0:
				return nil
			case 1:
				return int(b / 16)
			case 2:
				return b < 128
			}
			return strings.Repeat("~", int(b/64)) + string(rune(b/16+'a'))
		}
		var rows [][]any
		for i := 0; i+3 < len(data) && i < 400; i += 4 {
			rows = append(rows, []any{cell(data[i]), cell(data[i+1]), cell(data[i+2]), i / 4, data[i+3] % 16})
		}
		tb := table([]string{"a", "b", "c", "row", "who"}, rows...)
		p := Plan{
			Quasi:     []Quasi{{Column: "a", Levels: []Level{Prefix(2), Prefix(1)}}, {Column: "b", Required: l%2 == 0}},
			Sensitive: []Sensitive{{Column: "c"}}, Keep: []string{"row"}, Subject: "who",
		}
		rule := Rule{K: int(k), L: int(l % 4), T: float64(l%3) / 4, Suppress: float64(share%101) / 100}
		r, err := Gate(ctx, tb, p, rule)
		if err != nil {
			require.True(t, errors.Is(err, ErrPlan) && k < 2 || errors.Is(err, ErrRow) && len(rows) == 0 || errors.Is(err, ErrRefused), "%v", err)
			require.NotContains(t, err.Error(), "~")
			return
		}
		obeys(t, r, p, rule)
		for _, row := range collect(t, r.Rows()) {
			in := rows[row[3].(int)]
			require.Equal(t, in[2:], row[2:])
			for i, level := range r.Report.Levels {
				switch top := level == 3-2*i; {
				case level == 0:
					require.Equal(t, in[i], row[i])
				case top:
					require.Equal(t, "*", row[i])
				case in[i] == nil:
					require.Nil(t, row[i])
				}
			}
		}
	})
}

// FuzzLevels: a general value is made of the value again, and is not finer.
func FuzzLevels(f *testing.F) {
	f.Add("3171", 1<<30)
	f.Add("999999927", 95) // a band that ends beyond the last number
	for _, s := range []string{"", "3171", "0", "90+", "1936 or earlier", "40-49", "15-25", "-1", "1947", "999999999", "1000000000", "é\xffa", "١٢"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, n int) {
		if g, ok := Prefix(n)(s); ok {
			require.True(t, strings.HasPrefix(s, g))
			require.LessOrEqual(t, utf8.RuneCountInString(g), n)
			again, ok := Prefix(n)(g)
			require.True(t, ok)
			require.Equal(t, g, again)
		} else {
			require.Less(t, n, 1)
		}
		if g, ok := Bands(n)(s); ok {
			require.Regexp(t, `^[0-9]{1,10}(-[0-9]{1,10}|\+| or earlier)?$`, g)
			again, ok := Bands(n)(g)
			require.True(t, ok)
			require.Equal(t, g, again, "a band is its own")
			low, _, _ := strings.Cut(g, "-")
			again, ok = Bands(n)(low)
			require.True(t, ok)
			require.Equal(t, g, again, "a band's first value is in it")
		}
	})
}

// FuzzCell: two cells have one key only if they are one value.
func FuzzCell(f *testing.F) {
	f.Add("1", 1, 1.0)
	f.Add("", 0, 0.0)
	f.Add("true", -5, 1e300)
	f.Fuzz(func(t *testing.T, s string, i int, x float64) {
		keys := map[string]any{}
		for _, cell := range []any{nil, s, i, x, s == "", uint64(1) << 63} {
			key, ok := appendCell([]byte("before"), cell)
			if !ok {
				require.Greater(t, len(s), maxCell)
				continue
			}
			require.True(t, strings.HasPrefix(string(key), "before"))
			_, twice := keys[string(key)]
			require.False(t, twice, "%v", cell)
			keys[string(key)] = cell
		}
		if key, ok := appendNumber(nil, s); ok {
			again, ok := appendNumber(nil, string(key[1:]))
			require.True(t, ok)
			require.Equal(t, key, again, "the form of a number is its own form")
		}
	})
}
