package risk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// random makes a table of columns a and b (quasi-identifiers, two levels
// each), c (subject) and d, e (sensitive, e numeric), with NULLs in all but c.
func random(r *rand.Rand, rows, values int) (Table, Plan) {
	cell := func(n int) any {
		if r.IntN(12) == 0 {
			return nil
		}
		return fmt.Sprint(r.IntN(n))
	}
	var all [][]any
	for range rows {
		all = append(all, []any{cell(values), cell(values), fmt.Sprintf("p%d", r.IntN(rows)), cell(4), cell(5)})
	}
	t := table([]string{"a", "b", "c", "d", "e"}, all...)
	return t, Plan{
		Quasi:     []Quasi{{Column: "a", Levels: []Level{Bands(2), Bands(4)}}, {Column: "b", Levels: []Level{Bands(3)}}},
		Keep:      []string{"c"},
		Sensitive: []Sensitive{{Column: "d"}, {Column: "e", Numeric: true}},
	}
}

func asSubject(p Plan) Plan {
	p.Subject, p.Keep = "c", nil
	return p
}

// obeys holds a released table against the rule by measuring it anew.
func obeys(t *testing.T, r *Release, p Plan, rule Rule) Measures {
	t.Helper()
	out := table(r.Columns, collect(t, r.Rows())...)
	m, err := Measure(ctx, out, p)
	require.NoError(t, err)
	require.GreaterOrEqual(t, m.K, rule.K)
	require.GreaterOrEqual(t, alike(t, out, p), rule.K)
	for _, d := range m.Sensitive {
		require.GreaterOrEqual(t, d.L, rule.L)
		require.GreaterOrEqual(t, d.EntropyL, rule.EntropyL-slack)
		if rule.T > 0 {
			require.LessOrEqual(t, d.T, rule.T+slack)
		}
	}
	return m
}

// alike attacks a table by all that is released of a person: it returns how
// many people there are of the rarest set of combinations.
func alike(t *testing.T, tb Table, p Plan) int {
	t.Helper()
	sets := map[string]map[string]bool{}
	for i, row := range collect(t, tb.Rows) {
		who, combination := fmt.Sprint(i), ""
		for at, name := range tb.Columns {
			if name == p.Subject {
				who = fmt.Sprint(row[at])
			} else if slices.ContainsFunc(p.Quasi, func(q Quasi) bool { return q.Column == name }) {
				combination += fmt.Sprintf("%#v|", row[at])
			}
		}
		if sets[who] == nil {
			sets[who] = map[string]bool{}
		}
		sets[who][combination] = true
	}
	people := map[string]int{}
	for _, set := range sets {
		people[fmt.Sprint(set)]++ // fmt sorts the keys of a map
	}
	least := len(sets)
	for _, n := range people {
		least = min(least, n)
	}
	return least
}

var rules = []Rule{
	{K: 2}, {K: 5, Suppress: 0.1}, {K: 3, L: 2, Suppress: 0.3}, {K: 3, L: 3}, {K: 2, EntropyL: 1.8, Suppress: 0.3}, {K: 2, EntropyL: 2},
	{K: 2, T: 0.3}, {K: 2, T: 0.25, Suppress: 0.5}, {K: 4, L: 2, EntropyL: 1.5, T: 0.4, Suppress: 0.2}, {K: 2, Suppress: 1}, {K: 10, T: 0.2, Suppress: 0.05},
}

// TestRiskGateIsOptimal compares the search with looking at every node.
func TestRiskGateIsOptimal(t *testing.T) {
	released, refused, suppressed := 0, 0, 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		tb, p := random(r, 10+r.IntN(60), 3+r.IntN(7))
		if seed%2 == 1 {
			p = asSubject(p)
		}
		p.Quasi[0].Required = seed%3 == 0
		p.Quasi[1].Required = seed%5 == 0
		for _, rule := range rules {
			s, _ := at(t, tb, p, rule, make(node, 2))
			var best *candidate
			for i := range s.bound {
				c := s.evaluate(s.at(i))
				if c != nil && (best == nil || c.loss < best.loss) {
					best = c
				}
				if c != nil {
					require.GreaterOrEqual(t, c.loss, s.bound[i]-slack, "a bound that is none")
				}
			}
			release, err := Gate(ctx, tb, p, rule)
			if best == nil {
				refused++
				require.ErrorIs(t, err, ErrRefused)
				require.Nil(t, release)
				continue
			}
			require.NoError(t, err)
			released++
			require.InDelta(t, best.loss, release.Report.Loss, 1e-12, "seed %d, rule %+v", seed, rule)
			m := obeys(t, release, p, rule)
			require.Equal(t, release.Report.After, m, "what the report says of the output is what the output says")
			require.Equal(t, m.Rows+release.Report.Suppressed, release.Report.Before.Rows)
			require.LessOrEqual(t, float64(release.Report.Suppressed), rule.Suppress*float64(release.Report.Before.Rows)+slack)
			if release.Report.Suppressed > 0 {
				suppressed++
			}
		}
	}
	require.Greater(t, released, 100)
	require.Greater(t, refused, 20)
	require.Greater(t, suppressed, 50)
}

// TestRiskMeasureIsTheDefinition compares the sparse sums with the definitions.
func TestRiskMeasureIsTheDefinition(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var rows [][]any
		for range 1 + r.IntN(80) {
			rows = append(rows, []any{fmt.Sprint(r.IntN(4)), r.IntN(2), fmt.Sprint(r.IntN(1 + int(seed)%9)), fmt.Sprint(r.IntN(1 + int(seed)%13))})
		}
		tb := table([]string{"a", "b", "d", "e"}, rows...)
		m, err := Measure(ctx, tb, plan(tb, []string{"a", "b"}, Sensitive{Column: "d"}, Sensitive{Column: "e", Numeric: true}))
		require.NoError(t, err)
		for i, compare := range []func(a, b any) int{nil, byNumber} {
			k, l, e, d := naive(rows, []int{0, 1}, 2+i, compare)
			require.Equal(t, k, m.K)
			require.Equal(t, l, m.Sensitive[i].L)
			require.InDelta(t, e, m.Sensitive[i].EntropyL, 1e-9)
			require.InDelta(t, d, m.Sensitive[i].T, 1e-9)
		}
	}
}

// TestRiskGateIsDeterministic gives the same rows in another order.
func TestRiskGateIsDeterministic(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 3))
		tb, p := random(r, 60, 8)
		rows := collect(t, tb.Rows)
		for _, rule := range rules {
			first, err := Gate(ctx, tb, p, rule)
			r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
			second, err2 := Gate(ctx, table(tb.Columns, rows...), p, rule)
			require.Equal(t, err, err2)
			if err != nil {
				continue
			}
			require.Equal(t, first.Report, second.Report)
			require.ElementsMatch(t, collect(t, first.Rows()), collect(t, second.Rows()))
			require.Equal(t, collect(t, first.Rows()), collect(t, first.Rows()), "a release is read again")
		}
	}
}

func TestRiskGateGeneralises(t *testing.T) {
	tb := table([]string{"year", "region", "visit", "disease"},
		[]any{"1981", "3171", 1, "flu"}, []any{"1984", "3174", 2, "TB"}, []any{"1987", "3201", 3, "flu"}, []any{"1989", nil, 4, "TB"},
		[]any{"1951", "9471", 5, "flu"})
	p := Plan{
		Quasi:     []Quasi{{Column: "year", Levels: []Level{Bands(10)}, Required: true}, {Column: "region", Levels: []Level{Prefix(2)}}},
		Sensitive: []Sensitive{{Column: "disease"}}, Keep: []string{"visit"},
	}
	r, err := Gate(ctx, tb, p, Rule{K: 2, L: 2, Suppress: 0.2})
	require.NoError(t, err)
	require.Equal(t, [][]any{
		{"1980-1989", "*", 1, "flu"}, {"1980-1989", "*", 2, "TB"}, {"1980-1989", "*", 3, "flu"}, {"1980-1989", "*", 4, "TB"},
	}, collect(t, r.Rows()), "the row of 1951 is left out, and no class of its own")
	require.Equal(t, []int{1, 2}, r.Report.Levels)
	require.Equal(t, 1, r.Report.Suppressed)
	require.Equal(t, Measures{Rows: 4, Classes: 1, K: 4, Sensitive: []Diversity{{"disease", 2, 2, 0}}}, round(r.Report.After))
	require.Equal(t, 5, r.Report.Before.Unique)
	require.Equal(t, 3, r.Report.Height)
	// 1980s cover 4 of 5 years, so 3 of 4 others; all regions; and one row whole
	require.InDelta(t, (4*(0.75+1)+2)/10, r.Report.Loss, 1e-12)
	require.InDelta(t, 0, r.Report.Precision, 1e-12, "both columns are at the top of their hierarchies")
	require.Equal(t, uint64(4*4+1*5), r.Report.Discernibility)

	p.Quasi[1].Required = true
	_, err = Gate(ctx, tb, p, Rule{K: 2, L: 2, Suppress: 0.2})
	require.ErrorIs(t, err, ErrRefused, "rather refused than a column lost")
	r, err = Gate(ctx, tb, p, Rule{K: 2, L: 2, Suppress: 0.6})
	require.NoError(t, err)
	require.Equal(t, [][]any{{"1980-1989", "31", 1, "flu"}, {"1980-1989", "31", 2, "TB"}}, collect(t, r.Rows()))
}

func round(m Measures) Measures {
	for i := range m.Sensitive {
		m.Sensitive[i].EntropyL = float64(int(m.Sensitive[i].EntropyL + slack))
	}
	return m
}

// TestRiskCountsPeople: ten visits of one person hide nobody.
func TestRiskCountsPeople(t *testing.T) {
	var rows [][]any
	for i := range 10 {
		rows = append(rows, []any{"A", "1980", fmt.Sprint(i)})
	}
	tb := table([]string{"who", "year", "disease"}, append(rows, []any{"B", "1990", "x"}, []any{"C", "1990", "y"})...)
	byRow := plan(tb, []string{"year"}, Sensitive{Column: "disease"})
	m, err := Measure(ctx, tb, byRow)
	require.NoError(t, err)
	require.Equal(t, 2, m.K)
	byPerson := byRow
	byPerson.Subject, byPerson.Keep = "who", nil
	m, err = Measure(ctx, tb, byPerson)
	require.NoError(t, err)
	require.Equal(t, 1, m.K)
	require.Equal(t, 10, m.Unique)
	r, err := Gate(ctx, tb, byPerson, Rule{K: 2, Suppress: 0.9})
	require.NoError(t, err)
	require.Equal(t, 10, r.Report.Suppressed)
	require.Equal(t, 2, obeys(t, r, byPerson, Rule{K: 2}).K)
}

// TestRiskCountsWhatIsWritten: the number 7 and the text "7" stand in the released
// table alike. As two they would make two people of one, and a class diverse.
func TestRiskCountsWhatIsWritten(t *testing.T) {
	for _, same := range [][]any{{7, "7"}, {int64(7), 7.0}, {true, "true"}, {float32(0.1), 0.1}, {uint8(7), int16(7)}} {
		tb := table([]string{"who", "year", "disease"},
			[]any{same[0], "1980", same[1]}, []any{same[1], "1980", same[0]}, []any{same[0], "1980", same[0]})
		p := plan(tb, []string{"year"}, Sensitive{Column: "disease"})
		p.Subject, p.Keep = "who", nil
		m, err := Measure(ctx, tb, p)
		require.NoError(t, err)
		require.Equal(t, 1, m.K, "%v", same)
		require.Equal(t, 1, m.Sensitive[0].L, "%v", same)
		require.Equal(t, 0.0, m.Sensitive[0].T, "%v", same)
		_, err = Gate(ctx, tb, p, Rule{K: 2})
		require.ErrorIs(t, err, ErrRefused)
	}
}

// TestRiskLinkedRows: in each region three people, but one of them has been
// in both, which the pseudonym shows.
func TestRiskLinkedRows(t *testing.T) {
	var rows [][]any
	for _, who := range []string{"A", "B", "C"} {
		rows = append(rows, []any{who, "31"})
	}
	for _, who := range []string{"C", "D", "E"} {
		rows = append(rows, []any{who, "32"})
	}
	tb := table([]string{"who", "region"}, rows...)
	p := Plan{Subject: "who", Quasi: []Quasi{{Column: "region", Required: true}}}
	m, err := Measure(ctx, tb, p)
	require.NoError(t, err)
	require.Equal(t, Measures{Rows: 6, Classes: 4, K: 1, Unique: 2}, m)
	_, err = Gate(ctx, tb, p, Rule{K: 2})
	require.ErrorIs(t, err, ErrRefused)
	r, err := Gate(ctx, tb, p, Rule{K: 2, Suppress: 0.34})
	require.NoError(t, err)
	require.Equal(t, [][]any{{"A", "31"}, {"B", "31"}, {"D", "32"}, {"E", "32"}}, collect(t, r.Rows()), "C is left out whole")
}

// TestRiskNULL: a wildcard NULL would make each of these rows match another
// (sdcMicro issue 225).
func TestRiskNULL(t *testing.T) {
	tb := table([]string{"q", "r", "d"}, []any{"1", nil, "x"}, []any{nil, "1", "y"}, []any{"", nil, "x"}, []any{"1", "1", "y"})
	m, err := Measure(ctx, tb, plan(tb, []string{"q", "r"}, Sensitive{Column: "d"}))
	require.NoError(t, err)
	require.Equal(t, 4, m.Classes)
	require.Equal(t, 4, m.Unique)

	for _, c := range []struct {
		values   []any
		l        int
		entropyL float64
	}{
		{[]any{"x", nil}, 1, 1},
		{[]any{nil, nil}, 1, 1},
		{[]any{"x", ""}, 2, 2},
		{[]any{"x", "y", nil}, 2, 2},
		{[]any{"x", "x", "x", "y", "y", "y", nil}, 2, 2},
		{[]any{"x", "y", nil, nil, nil, nil, nil, nil, nil, nil}, 2, 1.8946457081379975}, // NULL as a value: less diverse than without
	} {
		var rows [][]any
		for _, v := range c.values {
			rows = append(rows, []any{"1", v})
		}
		tb := table([]string{"q", "d"}, rows...)
		m, err := Measure(ctx, tb, plan(tb, []string{"q"}, Sensitive{Column: "d"}))
		require.NoError(t, err)
		require.Equal(t, c.l, m.Sensitive[0].L, "%v", c.values)
		require.InDelta(t, c.entropyL, m.Sensitive[0].EntropyL, 1e-12, "%v", c.values)
	}

	ordered := table([]string{"q", "d"}, []any{"1", nil}, []any{"1", -1}, []any{"2", 3}, []any{"2", 3})
	m, err = Measure(ctx, ordered, plan(ordered, []string{"q"}, Sensitive{Column: "d", Numeric: true}))
	require.NoError(t, err)
	require.InDelta(t, (0.25+0.5)/2, m.Sensitive[0].T, 1e-12, "NULL is a step below -1")
}

// TestRiskSuppressionIsNotMonotone: leaving out the one-sided class obeys the
// rule, joining it to the other does not.
func TestRiskSuppressionIsNotMonotone(t *testing.T) {
	var rows [][]any
	for _, c := range []string{"1x", "1y", "1x", "1y", "2x", "2x", "2x", "2x"} {
		rows = append(rows, []any{c[:1], c[1:]})
	}
	tb := table([]string{"q", "d"}, rows...)
	r, err := Gate(ctx, tb, plan(tb, []string{"q"}, Sensitive{Column: "d"}), Rule{K: 2, EntropyL: 1.9, Suppress: 0.5})
	require.NoError(t, err)
	require.Equal(t, rows[:4], collect(t, r.Rows()))
}

// TestRiskManyColumns: more combinations than 64 bits can number.
func TestRiskManyColumns(t *testing.T) {
	var columns []string
	var quasi []int
	for i := range 9 {
		columns, quasi = append(columns, fmt.Sprint("q", i)), append(quasi, i)
	}
	var rows [][]any
	for i := range 256 { // nine columns of 256 values: the first weighs 2^64, and each row has a twin that differs there alone
		row := []any{i}
		for at := range columns[1:] {
			row = append(row, i*(2*at+3)%256)
		}
		rows = append(rows, append(row, "x"), append(slices.Clone(row), "y"), append(append([]any{i ^ 1}, row[1:]...), "z"))
	}
	tb := table(append(columns, "d"), rows...)
	m, err := Measure(ctx, tb, plan(tb, columns, Sensitive{Column: "d"}))
	require.NoError(t, err)
	k, l, e, d := naive(rows, quasi, 9, nil)
	require.Equal(t, Measures{Rows: 768, Classes: 512, K: k, Unique: 256, Sensitive: []Diversity{{"d", l, e, m.Sensitive[0].T}}}, m)
	require.InDelta(t, d, m.Sensitive[0].T, 1e-12)
}

// TestRiskStars: a released star stands for NULL too, and a level below it not.
func TestRiskStars(t *testing.T) {
	tb := table([]string{"q"}, []any{"17"}, []any{nil}, []any{"18"}, []any{nil})
	r, err := Gate(ctx, tb, Plan{Quasi: []Quasi{{Column: "q", Levels: []Level{Bands(10)}}}}, Rule{K: 2})
	require.NoError(t, err)
	require.Equal(t, [][]any{{"10-19"}, {nil}, {"10-19"}, {nil}}, collect(t, r.Rows()))
	r, err = Gate(ctx, tb, Plan{Quasi: []Quasi{{Column: "q", Levels: []Level{Bands(10)}}}}, Rule{K: 3})
	require.NoError(t, err)
	require.Equal(t, [][]any{{"*"}, {"*"}, {"*"}, {"*"}}, collect(t, r.Rows()))
}

func TestRiskKeepsWhatItNeedNotChange(t *testing.T) {
	type sex string
	rows := [][]any{{sex("F"), 1, 2.5, []string{"kept"}}, {sex("F"), 1, 2.5, nil}}
	tb := table([]string{"sex", "n", "f", "list"}, rows...)
	r, err := Gate(ctx, tb, Plan{Quasi: []Quasi{{Column: "sex"}, {Column: "n"}, {Column: "f"}}, Keep: []string{"list"}}, Rule{K: 2})
	require.NoError(t, err)
	out := collect(t, r.Rows())
	require.Equal(t, rows, out)
	out[0][0] = "changed"
	require.Equal(t, sex("F"), rows[0][0], "a released row is the caller's own")
	require.Zero(t, r.Report.Loss)
	require.Equal(t, 1.0, r.Report.Precision)
}

func TestRiskChanged(t *testing.T) {
	columns := []string{"q", "d"}
	first := [][]any{{"1", "x"}, {"1", "y"}, {"2", "x"}, {"2", "y"}}
	for name, second := range map[string][][]any{
		"fewer":     first[:3],
		"more":      append(slices.Clone(first), first[0]),
		"value":     {{"1", "x"}, {"1", "z"}, {"2", "x"}, {"2", "y"}},
		"class":     {{"1", "x"}, {"1", "y"}, {"2", "x"}, {"3", "y"}},
		"swapped":   {{"1", "x"}, {"1", "x"}, {"2", "y"}, {"2", "y"}},
		"exchanged": {{"1", "x"}, {"2", "y"}, {"2", "x"}, {"2", "y"}},
	} {
		pass := 0
		tb := Table{Columns: columns, Rows: func(yield func([]any, error) bool) {
			rows := first
			if pass++; pass > 1 {
				rows = second
			}
			table(columns, rows...).Rows(yield)
		}}
		r, err := Gate(ctx, tb, plan(tb, []string{"q"}, Sensitive{Column: "d"}), Rule{K: 2})
		require.NoError(t, err, name)
		var last error
		for _, err := range r.Rows() {
			last = err
		}
		require.ErrorIs(t, last, ErrChanged, name)
	}
}

// TestRiskBands: the forms that package pseudo gives years and ages have bands.
func TestRiskBands(t *testing.T) {
	for _, c := range []struct {
		width       int
		value, want string // "" for none
	}{
		{10, "1984", "1980-1989"}, {10, "1936 or earlier", "1936 or earlier"}, {10, "90+", "90+"}, {20, "40-49", "40-59"}, {10, "40-49", "40-49"},
		{20, "85-89", "80-99"}, {10, "85-94", ""}, {5, "40-49", ""}, {1, "42", "42"}, {1, "42-43", ""}, {10, "49-40", ""}, {10, "40-40", ""}, {10, "-5", ""},
		{10, "+", ""}, {10, "x+", ""}, {10, " or earlier", ""}, {0, "90+", ""}, {10, "40-49-50", ""}, {10, "1000000000", ""}, {10, "0-1000000000", ""},
	} {
		got, ok := Bands(c.width)(c.value)
		require.Equal(t, c.want, got, c)
		require.Equal(t, c.want != "", ok, c)
	}
}

type unfit struct{}

func (unfit) String() string { return "(unfit)" }

// TestRiskMark: a mark of why there is no value is a class of its own, neither NULL
// nor the text of it, stays what it is on each level and counts as no secret.
func TestRiskMark(t *testing.T) {
	rows := [][]any{
		{"1984", "x"}, {"1985", "y"}, {unfit{}, "x"}, {unfit{}, "y"}, {nil, "x"}, {nil, "y"}, {"1938", "x"}, {"1938", "y"},
	}
	tb := table([]string{"born", "d"}, rows...)
	p := Plan{Quasi: []Quasi{{Column: "born", Levels: []Level{Bands(10)}, Required: true}}, Sensitive: []Sensitive{{Column: "d"}}}
	r, err := Gate(ctx, tb, p, Rule{K: 2, L: 2})
	require.NoError(t, err)
	require.Equal(t, []int{1}, r.Report.Levels)
	require.Equal(t, 4, r.Report.After.Classes)
	require.Equal(t, [][]any{
		{"1980-1989", "x"}, {"1980-1989", "y"}, {"(unfit)", "x"}, {"(unfit)", "y"}, {nil, "x"}, {nil, "y"}, {"1930-1939", "x"}, {"1930-1939", "y"},
	}, collect(t, r.Rows()))
	m, err := Measure(ctx, table([]string{"born", "d"}, []any{unfit{}, "x"}, []any{"(unfit)", "x"}, []any{nil, "x"}), p)
	require.NoError(t, err)
	require.Equal(t, 3, m.Classes)
	for _, s := range []Sensitive{{Column: "d"}, {Column: "d", Numeric: true}, {Column: "d", Order: []string{"(unfit)"}}} {
		p.Sensitive = []Sensitive{s}
		_, err = Measure(ctx, table([]string{"born", "d"}, []any{"1984", unfit{}}), p)
		require.ErrorIs(t, err, ErrRow)
	}
}

func TestRiskErrors(t *testing.T) {
	good := table([]string{"q", "d"}, []any{"1", "x"}, []any{"1", "y"})
	q, d := []Quasi{{Column: "q"}}, []Sensitive{{Column: "d"}}
	for name, c := range map[string]struct {
		t    Table
		p    Plan
		r    Rule
		want error
	}{
		"k":                {good, Plan{Quasi: q, Sensitive: d}, Rule{K: 1}, ErrPlan},
		"negative l":       {good, Plan{Quasi: q, Sensitive: d}, Rule{K: 2, L: -1}, ErrPlan},
		"NaN":              {good, Plan{Quasi: q, Sensitive: d}, Rule{K: 2, T: nan()}, ErrPlan},
		"share":            {good, Plan{Quasi: q, Sensitive: d}, Rule{K: 2, Suppress: 1.1}, ErrPlan},
		"nothing to l":     {good, Plan{Quasi: q, Keep: []string{"d"}}, Rule{K: 2, L: 2}, ErrPlan},
		"no rows":          {Table{Columns: good.Columns}, Plan{Quasi: q, Sensitive: d}, Rule{K: 2}, ErrPlan},
		"no quasi":         {good, Plan{Sensitive: d, Keep: []string{"q"}}, Rule{K: 2}, ErrPlan},
		"no role":          {good, Plan{Quasi: q}, Rule{K: 2}, ErrPlan},
		"two roles":        {good, Plan{Quasi: q, Sensitive: d, Keep: []string{"q"}}, Rule{K: 2}, ErrPlan},
		"no column":        {good, Plan{Quasi: q, Sensitive: d, Subject: "who"}, Rule{K: 2}, ErrPlan},
		"two columns":      {table([]string{"q", "q", "d"}), Plan{Quasi: q, Sensitive: d}, Rule{K: 2}, ErrPlan},
		"two orders":       {good, Plan{Quasi: q, Sensitive: []Sensitive{{"d", true, []string{"x"}}}}, Rule{K: 2}, ErrPlan},
		"nil level":        {good, Plan{Quasi: []Quasi{{Column: "q", Levels: []Level{nil}}}, Sensitive: d}, Rule{K: 2}, ErrPlan},
		"no hierarchy":     {secretTable(), Plan{Quasi: []Quasi{{Column: "q", Levels: []Level{oneForAll, Prefix(1)}}}, Sensitive: d}, Rule{K: 2}, ErrPlan},
		"no general value": {secretTable(), Plan{Quasi: []Quasi{{Column: "q", Levels: []Level{Bands(5)}}}, Sensitive: d}, Rule{K: 2}, ErrPlan},
		"too many levels":  {good, Plan{Quasi: []Quasi{{Column: "q", Levels: slices.Repeat([]Level{Prefix(1)}, maxNodes)}}, Sensitive: d}, Rule{K: 2}, ErrPlan},
		"limit":            {secretTable(), Plan{Quasi: q, Sensitive: d, Limit: 5}, Rule{K: 2}, ErrLimit},
		"negative limit":   {good, Plan{Quasi: q, Sensitive: d, Limit: -1}, Rule{K: 2}, ErrPlan},
		"empty":            {table(good.Columns), Plan{Quasi: q, Sensitive: d}, Rule{K: 2}, ErrRow},
		"short row":        {table(good.Columns, []any{secret}), Plan{Quasi: q, Sensitive: d}, Rule{K: 2}, ErrRow},
		"list":             {table(good.Columns, []any{"1", []string{secret}}), Plan{Quasi: q, Sensitive: d}, Rule{K: 2}, ErrRow},
		"long cell":        {table(good.Columns, []any{strings.Repeat(secret, 100), "x"}), Plan{Quasi: q, Sensitive: d}, Rule{K: 2}, ErrRow},
		"not a number":     {secretTable(), Plan{Quasi: q, Sensitive: []Sensitive{{Column: "d", Numeric: true}}}, Rule{K: 2}, ErrRow},
		"infinite":         {table(good.Columns, []any{"1", "Inf"}), Plan{Quasi: q, Sensitive: []Sensitive{{Column: "d", Numeric: true}}}, Rule{K: 2}, ErrRow},
		"not in order":     {secretTable(), Plan{Quasi: q, Sensitive: []Sensitive{{Column: "d", Order: []string{"mild"}}}}, Rule{K: 2}, ErrRow},
		"number in order":  {table(good.Columns, []any{"1", 1}), Plan{Quasi: q, Sensitive: []Sensitive{{Column: "d", Order: []string{"1"}}}}, Rule{K: 2}, ErrRow}, // beside "1" it would be a second value
		"nobody's row":     {table(good.Columns, []any{"1", nil}), Plan{Quasi: q, Subject: "d"}, Rule{K: 2}, ErrRow},
		"refused":          {secretTable(), Plan{Quasi: []Quasi{{Column: "q", Required: true}}, Sensitive: d}, Rule{K: 2}, ErrRefused},
		"few rows":         {secretTable(), Plan{Quasi: q, Sensitive: d}, Rule{K: 4}, ErrRefused},
		"all suppressed":   {secretTable(), Plan{Quasi: []Quasi{{Column: "q", Required: true}}, Sensitive: d}, Rule{K: 2, Suppress: 1}, ErrRefused},
	} {
		release, err := Gate(ctx, c.t, c.p, c.r)
		require.ErrorIs(t, err, c.want, name)
		require.Nil(t, release, name)
		for at := range len(secret) - 4 {
			require.NotContains(t, err.Error(), secret[at:at+5], name)
		}
	}
}

func oneForAll(string) (string, bool) { return "1", true }

const secret = "9271060312000001"

func secretTable() Table {
	return table([]string{"q", "d"}, []any{secret, "x" + secret}, []any{"1" + secret, "y" + secret}, []any{"8271", "z"})
}

func nan() float64 { var zero float64; return zero / zero }

// TestRiskPassesErrorsOn: of the rows and of the context, on either reading.
func TestRiskPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	pass := 0
	tb := Table{Columns: []string{"q"}, Rows: func(yield func([]any, error) bool) {
		pass++
		for range 2 {
			if !yield([]any{"1"}, nil) {
				return
			}
		}
		if pass != 2 { // the first Gate meets the error, the second only when its release is read
			yield(nil, broken)
		}
	}}
	p := Plan{Quasi: []Quasi{{Column: "q"}}}
	_, err := Gate(ctx, tb, p, Rule{K: 2})
	require.ErrorIs(t, err, broken)
	r, err := Gate(ctx, tb, p, Rule{K: 2})
	require.NoError(t, err)
	for _, e := range r.Rows() {
		err = e
	}
	require.ErrorIs(t, err, broken)

	for _, e := range new(Release).Rows() {
		require.ErrorIs(t, e, ErrPlan)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Gate(done, secretTable(), plan(secretTable(), []string{"q", "d"}), Rule{K: 2})
	require.ErrorIs(t, err, context.Canceled)
	_, err = Measure(done, secretTable(), plan(secretTable(), []string{"q", "d"}))
	require.ErrorIs(t, err, context.Canceled)
}

// TestRiskReleasePrintsNoCell: a release knows the table's values, and fmt
// walks into whatever it is given.
func TestRiskReleasePrintsNoCell(t *testing.T) {
	tb := secretTable()
	r, err := Gate(ctx, tb, plan(tb, []string{"q"}, Sensitive{Column: "d"}), Rule{K: 2})
	require.NoError(t, err)
	var text strings.Builder
	for _, v := range []any{r, *r, struct{ r *Release }{r}, []Release{*r}} {
		for _, verb := range "vTdsqxXt" {
			for _, flag := range []string{"", "+", "#"} {
				fmt.Fprintf(&text, "%"+flag+string(verb), v)
			}
		}
		slog.New(slog.NewJSONHandler(&text, nil)).Info("", "r", v)
		slog.New(slog.NewTextHandler(&text, nil)).Info("", "r", v)
	}
	require.NotContains(t, text.String(), secret)
	require.NotContains(t, text.String(), fmt.Sprintf("%x", secret))
}
