package risk_test

import (
	"context"
	"fmt"

	"github.com/rahasia/rahasia/pseudo/risk"
)

// visits is a de-identified table, as an export makes it: the column
// "pseudonym" says which rows are of one patient.
var visits = [][]any{
	{"T1", "1981", "F", "3171", "flu"}, {"T1", "1981", "F", "3171", "asthma"}, {"T2", "1984", "F", "3174", "TB"}, {"T3", "1987", "F", "3171", "flu"},
	{"T4", "1962", "M", "3578", "TB"}, {"T5", "1966", "M", "3578", "flu"}, {"T6", "1969", "M", "3509", "TB"},
	{"T7", "1936 or earlier", "M", "9471", "flu"},
}

func table() risk.Table {
	return risk.Table{
		Columns: []string{"pseudonym", "born", "sex", "region", "diagnosis"},
		Rows: func(yield func([]any, error) bool) { // the same rows each time it is read
			for _, row := range visits {
				if !yield(row, nil) {
					return
				}
			}
		},
	}
}

func plan() risk.Plan {
	return risk.Plan{
		Subject: "pseudonym",
		Quasi: []risk.Quasi{
			{Column: "born", Levels: []risk.Level{risk.Bands(10)}},
			{Column: "sex"},
			{Column: "region", Levels: []risk.Level{risk.Prefix(2)}}, // regency, then province
		},
		Sensitive: []risk.Sensitive{{Column: "diagnosis"}},
	}
}

// A table is measured before anybody decides on it: here each patient stands
// alone.
func ExampleMeasure() {
	m, err := risk.Measure(context.Background(), table(), plan())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("k = %d, %d of %d rows are of a patient who stands alone\n", m.K, m.Unique, m.Rows)
	fmt.Printf("%s: l = %d, t = %.2f\n", m.Sensitive[0].Column, m.Sensitive[0].L, m.Sensitive[0].T)
	// Output:
	// k = 1, 8 of 8 rows are of a patient who stands alone
	// diagnosis: l = 1, t = 0.62
}

// The gate makes of it the table in which each patient is one of at least
// three, with at least two diagnoses, and leaves out at most an eighth of the rows.
func ExampleGate() {
	release, err := risk.Gate(context.Background(), table(), plan(), risk.Rule{K: 3, L: 2, Suppress: 0.125})
	if err != nil { // errors.Is(err, risk.ErrRefused): such a table does not leave
		fmt.Println(err)
		return
	}
	r := release.Report
	fmt.Printf("levels %v, %d row left out, loss %.2f, k = %d\n", r.Levels, r.Suppressed, r.Loss, r.After.K)
	for row, err := range release.Rows() {
		if err != nil { // discard what was read
			fmt.Println(err)
			return
		}
		fmt.Println(row)
	}
	// Output:
	// levels [1 0 1], 1 row left out, loss 0.30, k = 3
	// [T1 1980-1989 F 31 flu]
	// [T1 1980-1989 F 31 asthma]
	// [T2 1980-1989 F 31 TB]
	// [T3 1980-1989 F 31 flu]
	// [T4 1960-1969 M 35 TB]
	// [T5 1960-1969 M 35 flu]
	// [T6 1960-1969 M 35 TB]
}

// What is not to be changed is only checked.
func ExampleGate_check() {
	p := plan()
	for i := range p.Quasi {
		p.Quasi[i].Levels, p.Quasi[i].Required = nil, true
	}
	_, err := risk.Gate(context.Background(), table(), p, risk.Rule{K: 3})
	fmt.Println(err)
	// Output: risk: refused: no levels make every class obey the rule with at most 0 of 8 rows left out
}
