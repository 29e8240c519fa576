package pseudo

import (
	"context"
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// tokens returns the tokens of values in one domain.
func tokens(t testing.TB, kind Kind, values []string) []Token {
	t.Helper()
	d := open(t, newRing(t, study), study)
	column := make([]Token, len(values))
	for i, r := range d.Tokens(context.Background(), kind, values) {
		require.NoError(t, r.Err)
		column[i] = r.Token
	}
	return column
}

// skewed returns n values of which the k-th of many occurs in proportion to
// 1/(k+1), as names nearly do.
func skewed(n, many int, value func(int) string) []string {
	r := rand.New(rand.NewPCG(1, 2))
	sum := 0.0
	for k := range many {
		sum += 1 / float64(k+1)
	}
	values := make([]string, 0, n)
	for range n {
		k, at := 0, r.Float64()*sum
		for ; k < many-1 && at > 1/float64(k+1); k++ {
			at -= 1 / float64(k+1)
		}
		values = append(values, value(k))
	}
	return values
}

// frequencyAnalysis returns the share of the rows whose value an attacker
// names who knows how often each value occurs and sees the column: the tokens
// and the values are laid side by side in the order of their frequency.
func frequencyAnalysis(column []Token, values []string) float64 {
	byToken, byValue := map[Token]int{}, map[string]int{}
	for i := range column {
		byToken[column[i]]++
		byValue[values[i]]++
	}
	var ts []Token
	for t := range byToken {
		ts = append(ts, t)
	}
	var vs []string
	for v := range byValue {
		vs = append(vs, v)
	}
	slices.SortFunc(ts, func(a, b Token) int { return byToken[b] - byToken[a] })
	slices.SortFunc(vs, func(a, b string) int { return byValue[b] - byValue[a] })
	guess := map[Token]string{}
	for i, t := range ts {
		guess[t] = vs[i]
	}
	right := 0
	for i, t := range column {
		if guess[t] == values[i] {
			right++
		}
	}
	return float64(right) / float64(len(column))
}

// TestAttackFrequencyAnalysis: on names it succeeds, and the guard says how
// far; on NIKs it gets nowhere, and the guard has nothing to say.
func TestAttackFrequencyAnalysis(t *testing.T) {
	names := skewed(20_000, 4_000, func(k int) string {
		return "nama" + string(rune('a'+k%26)) + string(rune('a'+k/26%26)) + string(rune('a'+k/676))
	})
	column := tokens(t, Name, names)
	leak := LeakageOf(slices.Values(column))
	attack := 0.0
	for range 25 { // it breaks ties by chance, which alone moves one attack by 0.01
		attack += frequencyAnalysis(column, names) / 25
	}
	require.Greater(t, attack, 0.3)
	require.InDelta(t, attack, leak.Guessed+leak.Commonest, 0.02)
	require.ErrorIs(t, leak.Check(), ErrLeakage)

	niks := patients(20_000)
	column = tokens(t, NIK, niks)
	leak = LeakageOf(slices.Values(column))
	require.Less(t, frequencyAnalysis(column, niks), 0.001)
	require.Equal(t, Leakage{Rows: 20_000, Distinct: 20_000, Patients: 1, Commonest: 1.0 / 20_000, StandsOut: 1}, leak)
	require.NoError(t, leak.Check())
	require.Equal(t, leak, LeakageOf(slices.Values(niks)), "the values themselves say the same")
}

func TestLeakageCheck(t *testing.T) {
	column := func(n int, value func(int) int) Leakage {
		return LeakageOf(func(yield func(int) bool) {
			for i := range n {
				if !yield(1 + value(i)) {
					return
				}
			}
		})
	}
	unique := func(i int) int { return i }
	for name, c := range map[string]struct {
		leak Leakage
		want error
		text string
	}{
		"unique":                {column(10_000, unique), nil, ""},
		"as few as can be":      {column(1_000, unique), nil, ""},
		"too few":               {column(999, unique), ErrRange, "1000 rows"},
		"none":                  {column(0, unique), ErrRange, "1000 rows"},
		"families of four":      {column(10_000, func(i int) int { return i / 4 }), nil, ""},
		"families of 1 to 7":    {column(10_000, func(i int) int { return i/28*28 + []int{0, 1, 3, 6, 10, 15, 21, 28}[family(i%28)] }), nil, ""},
		"a clinic's own number": {column(10_000, func(i int) int { return max(0, i-200) }), ErrLeakage, "the commonest token is on 2.0 %"},
		"dates":                 {column(40_000, func(i int) int { return i % 4_000 }), ErrLeakage, "10 patients on average"},
		"one value":             {column(10_000, func(int) int { return 0 }), ErrLeakage, "10000 patients"},
		"some common, most not": {column(35_050, func(i int) int {
			if i < 30_000 {
				return 100 + i
			}
			k := 0 // the k-th of 100 values is on k rows
			for i -= 30_000; i >= 0; i -= k {
				k++
			}
			return k - 1
		}), ErrLeakage, "frequency analysis names up to 14.1 %"},
		"regions": {column(10_000, func(i int) int { return i * i / 200_000 }), ErrLeakage, "patients on average"},
	} {
		err := c.leak.Check()
		require.ErrorIs(t, err, c.want, name)
		if c.want != nil {
			require.ErrorContains(t, err, c.text, name)
		}
	}
	clinic := column(10_000, func(i int) int { return max(0, i-200) })
	require.Equal(t, 201.0, clinic.StandsOut)
	require.Zero(t, LeakageOf(slices.Values([]Token{{}, {}})), "zero tokens are NULLs")
	require.Zero(t, LeakageOf(slices.Values(slices.Repeat([]float64{math.NaN()}, maxCounters+1))))
	require.Equal(t, 1, LeakageOf(slices.Values([]Token{{}, testToken(), {}})).Rows)
}

func testToken() Token { return Token{version: 1, mac: [macSize]byte{1}} }

// family returns in which of families of 1 to 7 the i-th of 28 is.
func family(i int) int {
	f := 0
	for size := 1; i >= size; size++ {
		i -= size
		f++
	}
	return f
}

// TestLeakageLongColumn: beyond the limit of memory the estimates stay close to
// what exact counting gives, and the counters within the limit.
func TestLeakageLongColumn(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 200_000
	}
	for name, value := range map[string]func(*rand.Rand) int{
		"unique":     func(r *rand.Rand) int { return int(r.Uint64() >> 1) },
		"names":      func(r *rand.Rand) int { return int(1 / (r.Float64() + 1e-6)) },
		"heavy tail": func(r *rand.Rand) int { return int(100 / (r.Float64() + 1e-6)) },
		"one in ten": func(r *rand.Rand) int { return int(r.Uint64()>>1) * max(0, r.IntN(10)-8) },
	} {
		r := rand.New(rand.NewPCG(3, 4))
		exact := map[int]int{}
		got := LeakageOf(func(yield func(int) bool) {
			for range n {
				v := 1 + value(r)
				exact[v]++
				yield(v)
			}
		})
		first, different := 0, map[int]bool{}
		for _, count := range exact {
			first, different[count] = max(first, count), true
		}
		guessed := -first
		for count := range different {
			guessed += count
		}
		require.Equal(t, n, got.Rows, name)
		require.InEpsilon(t, len(exact), got.Distinct, 0.02, name)
		require.InDelta(t, float64(first)/float64(n), got.Commonest, 0.0001, name)
		require.InDelta(t, float64(guessed)/float64(n), got.Guessed, 0.01, name)
	}
}

// TestLeakageCounters: neither set of counters grows beyond its limit; the
// sample counts exactly, and the other never too high nor too low by more than
// it says.
func TestLeakageCounters(t *testing.T) {
	some := sampled[int]{counts: map[int]int{}, seed: maphash.MakeSeed()}
	many := frequent[int]{counts: map[int]int{}}
	exact := map[int]int{}
	const n = 300_000
	for i := range n {
		v := i
		if i%4 == 0 {
			v = -1 - i%100 // 25 values of 3,000 rows each
		}
		exact[v]++
		some.add(v)
		many.add(v)
		if len(some.counts) > maxCounters || len(many.counts) > maxCounters {
			t.Fatal("more counters than the limit")
		}
	}
	require.Positive(t, some.level)
	for v, count := range some.counts {
		require.Equal(t, exact[v], count)
	}
	frequentValues := 0
	for v, count := range many.counts {
		if count > exact[v] || count < exact[v]-n/(maxCounters/2) {
			t.Fatalf("counted %d, are %d", count, exact[v])
		}
		if v < 0 {
			frequentValues++
		}
	}
	require.Equal(t, 25, frequentValues)
}

// TestLeakageMeasures has a column that can be counted by hand.
func TestLeakageMeasures(t *testing.T) {
	values := []string{"a", "a", "a", "b", "b", "c", "d", ""}
	got := LeakageOf(slices.Values(values))
	for range 50 { // whatever the order in which a map is walked
		require.Equal(t, got, LeakageOf(slices.Values(values)))
	}
	require.Equal(t, 7, got.Rows)
	require.Equal(t, 4, got.Distinct)
	require.InDelta(t, 7.0/4, got.Patients, 1e-9)
	require.InDelta(t, 3.0/7, got.Commonest, 1e-9)
	require.InDelta(t, 1.5, got.StandsOut, 1e-9)
	require.InDelta(t, (2.0+1)/7, got.Guessed, 1e-9)
}
