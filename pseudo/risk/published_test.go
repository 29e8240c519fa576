package risk

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// The figures of pyCANON's own tests (tests/test_anonymity.py at 3561f35), and
// its file names, which say the k that ARX was told to reach.
var adultQuasi = []string{"age", "education", "occupation", "relationship", "sex", "native-country"}

func TestRiskPyCANONAdult(t *testing.T) {
	for _, k := range []int{3, 10, 20} {
		tb := readTable(t, fmt.Sprintf("testdata/pycanon/adult_anonymized_%d.csv.gz", k), ',')
		m, err := Measure(ctx, tb, plan(tb, adultQuasi, Sensitive{Column: "salary-class"}))
		require.NoError(t, err)
		require.Equal(t, k, m.K)
		require.Zero(t, m.Unique)
		same(t, tb, m, 0, "salary-class")
	}
}

func TestRiskPyCANONHospital(t *testing.T) {
	tb := readTable(t, "testdata/pycanon/hospital_anonymized.csv", ',')
	m, err := Measure(ctx, tb, plan(tb, []string{"age", "gender", "city", "religion"}, Sensitive{Column: "disease"}))
	require.NoError(t, err)
	require.Equal(t, 2, m.K) // "2-anonymity", as the table is published
	require.Equal(t, 1, m.Sensitive[0].L, "three men of Tamil Nadu, all with cancer")
	require.InDelta(t, 1-5.0/13, m.Sensitive[0].T, 1e-12, "5 of 13 have cancer")
}

// TestRiskPyCANONScores has the figures for t by the ordered distance: pyCANON
// measures a numeric column so.
func TestRiskPyCANONScores(t *testing.T) {
	dir := sharedDir(t)
	raw, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	require.NoError(t, err)
	var expected struct {
		Raw struct {
			QI       []string
			SA       []string
			K, L     int
			EntropyL int `json:"entropy_l"`
			T        float64
		} `json:"StudentsMath_Score.csv"`
		Five struct{ K int } `json:"StudentsMath_Score_k5.csv"`
		K    map[string]any  `json:"k_recomputed_here"`
	}
	require.NoError(t, json.Unmarshal(raw, &expected))
	want := expected.Raw

	tb := readTable(t, filepath.Join(dir, "StudentsMath_Score.csv"), ',')
	score := Sensitive{Column: want.SA[0], Numeric: true}
	m, err := Measure(ctx, tb, plan(tb, want.QI, score))
	require.NoError(t, err)
	require.Equal(t, want.K, m.K)
	require.Equal(t, want.L, m.Sensitive[0].L)
	require.Equal(t, want.EntropyL, int(m.Sensitive[0].EntropyL+slack))
	require.InDelta(t, want.T, m.Sensitive[0].T, 1e-12)

	ks := map[string]int{"StudentsMath_Score_k5.csv": expected.Five.K}
	for name, k := range expected.K {
		if n, ok := k.(float64); ok && filepath.Base(name)[0] == 'S' {
			ks[name] = int(n)
		}
	}
	require.Len(t, ks, 3)
	for name, k := range ks {
		tb := readTable(t, filepath.Join(dir, name), ',')
		m, err := Measure(ctx, tb, plan(tb, want.QI, score))
		require.NoError(t, err)
		require.Equal(t, k, m.K, name)
		require.GreaterOrEqual(t, m.Sensitive[0].L, 1)
		same(t, tb, m, 0, score.Column)
	}
}

// TestRiskPyCANONStroke has the sets whose k their file names say.
func TestRiskPyCANONStroke(t *testing.T) {
	dir := sharedDir(t)
	quasi := []string{"gender", "age", "hypertension", "heart_disease", "ever_married", "work_type", "Residence_type", "smoking_status"}
	for _, k := range []int{2, 5, 10, 15, 19, 20, 22, 25} {
		tb := readTable(t, filepath.Join(dir, fmt.Sprintf("stroke_k%d.csv", k)), ',')
		m, err := Measure(ctx, tb, plan(tb, quasi, Sensitive{Column: "stroke", Numeric: true}))
		require.NoError(t, err)
		require.GreaterOrEqual(t, m.K, k)
		same(t, tb, m, 0, "stroke")
	}
	tb := readTable(t, filepath.Join(dir, "drugs_k5.csv"), ',')
	m, err := Measure(ctx, tb, plan(tb, []string{"Age", "Sex", "BP", "Cholesterol", "Na_to_K"}, Sensitive{Column: "Drug"}))
	require.NoError(t, err)
	require.Equal(t, 5, m.K)
	same(t, tb, m, 0, "Drug")
}

// same holds m against the definitions.
func same(t *testing.T, tb Table, m Measures, at int, column string) {
	t.Helper()
	rows := collect(t, tb.Rows)
	var quasi []int
	sensitive := -1
	p := map[string]bool{"Student": true, "id": true, "avg_glucose_level": true, "bmi": true, column: true}
	for i, name := range tb.Columns {
		if name == column {
			sensitive = i
		}
		if !p[name] {
			quasi = append(quasi, i)
		}
	}
	var compare func(a, b any) int
	if column == "Score" || column == "stroke" {
		compare = byNumber
	}
	k, l, e, d := naive(rows, quasi, sensitive, compare)
	require.Equal(t, k, m.K)
	require.Equal(t, l, m.Sensitive[at].L)
	require.InDelta(t, e, m.Sensitive[at].EntropyL, 1e-9)
	require.InDelta(t, d, m.Sensitive[at].T, 1e-9)
}

func byNumber(a, b any) int {
	x, _ := strconv.ParseFloat(a.(string), 64)
	y, _ := strconv.ParseFloat(b.(string), 64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// TestRiskLi has the worked figures of Li, Li and Venkatasubramanian, ICDE
// 2007, section 4: salaries of 3k to 11k in nine steps.
func TestRiskLi(t *testing.T) {
	row := func(class string, salary int) []any { return []any{class, salary} }
	tb := table([]string{"class", "salary"},
		row("1", 3), row("1", 4), row("1", 5), row("2", 6), row("2", 11), row("2", 8), row("3", 7), row("3", 9), row("3", 10))
	x, err := load(ctx, tb, plan(tb, []string{"class"}, Sensitive{Column: "salary", Numeric: true}))
	require.NoError(t, err)
	v, y := x.base(), x.tallies()
	table := x.tracks[0].spread(v, make([]bool, 3))
	for g, want := range []float64{0.375, 1.0 / 6} { // {3k, 4k, 5k} and {6k, 8k, 11k}
		y[0].of(&x.tracks[0], v, g)
		require.InDelta(t, want, table.distance(&y[0]), 1e-12)
		y[0].clear()
	}
	m, err := Measure(ctx, tb, plan(tb, []string{"class"}, Sensitive{Column: "salary", Numeric: true}))
	require.NoError(t, err)
	require.InDelta(t, 0.375, m.Sensitive[0].T, 1e-12)
	require.Equal(t, 3, m.Sensitive[0].L)
	require.InDelta(t, 3, m.Sensitive[0].EntropyL, 1e-12)
}

// arx is ARX's Adult set with its hierarchies, the stars above them left to
// the gate.
func arx(t testing.TB, sensitive ...Sensitive) (Table, Plan) {
	tb := readTable(t, "testdata/arx/adult.csv.gz", ';')
	var quasi []string
	for _, name := range tb.Columns {
		if len(sensitive) == 0 || sensitive[0].Column != name {
			quasi = append(quasi, name)
		}
	}
	p := plan(tb, quasi, sensitive...)
	for i := range p.Quasi {
		f, err := os.Open("testdata/arx/adult_hierarchy_" + p.Quasi[i].Column + ".csv")
		require.NoError(t, err)
		r := csv.NewReader(f)
		r.Comma = ';'
		lines, err := r.ReadAll()
		require.NoError(t, err)
		require.NoError(t, f.Close())
		for level := 1; level < len(lines[0])-1; level++ {
			general := map[string]string{}
			for _, line := range lines {
				general[line[0]] = line[level]
			}
			p.Quasi[i].Levels = append(p.Quasi[i].Levels, func(v string) (string, bool) { g, ok := general[v]; return g, ok })
		}
	}
	return tb, p
}

// at searches only one node.
func at(t *testing.T, tb Table, p Plan, r Rule, n node) (*search, *candidate) {
	in, err := load(ctx, tb, p)
	require.NoError(t, err)
	attributes, err := in.generalise(p)
	require.NoError(t, err)
	s := newSearch(in, attributes, r)
	return s, s.evaluate(n)
}

// TestRiskARX has figures of ARX's tests (src/test/org/deidentifier/arx/test
// at aacd487) for its best transformations of Adult.
func TestRiskARX(t *testing.T) {
	t.Run("risk", func(t *testing.T) { // TestRiskMetrics.testAverageRisk2
		tb, p := arx(t)
		m, err := Measure(ctx, tb, p)
		require.NoError(t, err)
		require.Equal(t, 30162, m.Rows)
		require.Equal(t, 0.6465751607983555, float64(m.Classes)/float64(m.Rows))
		require.Equal(t, 1, m.K)
	})
	t.Run("discernibility", func(t *testing.T) { // TestAnonymizationOrderedDistanceTCloseness, without suppression
		for _, c := range []struct {
			k    int
			t    float64
			at   node
			loss uint64
		}{
			{5, 0.1, node{1, 1, 1, 2, 3, 2, 2, 1}, 97868020},
			{100, 0.2, node{1, 4, 1, 1, 1, 2, 2, 1}, 162312130},
		} {
			tb, p := arx(t, Sensitive{Column: "occupation", Order: occupations})
			s, best := at(t, tb, p, Rule{K: c.k, T: c.t}, c.at)
			require.NotNil(t, best, "ARX finds that this node obeys")
			require.Equal(t, c.loss, s.in.report(s.attributes, best).Discernibility)
		}
	})
	t.Run("loss", func(t *testing.T) { // TestUtilityMetricsLoss: k = 5, any number of rows suppressed
		tb, p := arx(t, Sensitive{Column: "occupation"})
		s, best := at(t, tb, p, Rule{K: 5, Suppress: 1}, node{0, 3, 0, 0, 1, 0, 0, 0})
		require.InDelta(t, 0.1297659306, float64(best.suppressed)/30162, 1e-10)
		education := float64(s.missing(best)[4])/s.attributes[4].others + float64(best.suppressed)
		require.InDelta(t, 0.297248193, education/30162, 1e-9)
	})
	t.Run("entropy", func(t *testing.T) { // TestAnonymizationLDiversity
		tb, p := arx(t, Sensitive{Column: "occupation"})
		_, best := at(t, tb, p, Rule{K: 2, EntropyL: 5}, node{1, 1, 1, 1, 3, 2, 2, 1})
		require.NotNil(t, best)
		_, err := Gate(ctx, tb, p, Rule{K: 2, EntropyL: 100})
		require.ErrorIs(t, err, ErrRefused)
	})
}

var occupations = []string{
	"Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial", "Farming-fishing", "Handlers-cleaners", "Machine-op-inspct",
	"Other-service", "Priv-house-serv", "Prof-specialty", "Protective-serv", "Sales", "Tech-support", "Transport-moving",
}

// TestRiskARXTable is the seven-row example of ARX's DataProvider, 2-anonymous
// with an average risk of 3/7.
func TestRiskARXTable(t *testing.T) {
	tb := table([]string{"age", "gender", "zipcode"},
		[]any{"34", "male", "81667"}, []any{"45", "female", "81675"}, []any{"66", "male", "81925"}, []any{"70", "female", "81931"},
		[]any{"34", "female", "81931"}, []any{"70", "male", "81931"}, []any{"45", "male", "81931"})
	p := plan(tb, tb.Columns)
	p.Quasi[0].Levels = []Level{func(v string) (string, bool) {
		if v < "50" {
			return "<50", true
		}
		return ">=50", true
	}}
	p.Quasi[2].Levels = []Level{Prefix(4), Prefix(3), Prefix(2), Prefix(1)}
	m, err := Measure(ctx, tb, p)
	require.NoError(t, err)
	require.Equal(t, 7, m.Unique)
	r, err := Gate(ctx, tb, p, Rule{K: 2})
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.Report.After.K, 2)
	require.Equal(t, 7, r.Report.After.Rows)
}
