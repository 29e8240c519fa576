package consent

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strconv"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/pseudo/risk"
)

// Gate is what a [Table] must obey before a row of it is given. The zero Gate
// asks for k = 11 over the columns of birth dates, dates and sexes, and
// leaves nobody out; see risk.Gate.
//
// It holds for one table. Those of one recipient have the same pseudonyms: joined
// they say more of a patient, and fewer are alike. Where that matters each study is
// a recipient of its own.
type Gate struct {
	// K is how many people at least must agree in all columns by which a patient
	// may be known, from 2; zero is 11: where clinical data are published, regulators
	// ask for a risk of at most 0.09 (EMA policy 0070, Health Canada), and one in
	// 11 is fewer.
	K int

	// Suppress is the share of the rows, from 0 to 1, that may be left out so that
	// the others obey.
	Suppress float64

	// Quasi are further columns by which a patient may be known, such as an
	// occupation or a rare diagnosis, and hierarchies in place of those that the
	// columns above have: years in bands of 5, 10 and 20, a sex as it is. Columns
	// that are neither are kept as they are, unmeasured.
	Quasi []risk.Quasi

	// Ungated says why the table is given without all that, a row at a time. It is
	// sealed into the audit log with each record.
	Ungated string
}

// defaultK is the k of the zero Gate.
const defaultK = 11

// k is what the audit log says of the gate: 0 is none.
func (g *Gate) k() int {
	switch {
	case g.Ungated != "":
		return 0
	case g.K == 0:
		return defaultK
	}
	return g.K
}

func (g *Gate) check() error {
	switch {
	case !text(g.Ungated):
		return ErrLimit
	case g.Ungated != "" && (g.K != 0 || g.Suppress != 0 || len(g.Quasi) > 0):
		return fmt.Errorf("gate: one that is to be obeyed, and why none is: %w", ErrRequest)
	case g.K < 0 || g.K == 1 || !(g.Suppress >= 0 && g.Suppress <= 1):
		return fmt.Errorf("gate: k or share: %w", ErrRequest)
	}
	return nil
}

// The columns that the gate sees besides the table's, in this order behind them.
const (
	placeColumn = "#"  // which row it is, to know afterwards who was left out
	sameColumn  = "##" // one value throughout: by it alone everybody is alike
)

// plan gives each column of the table its role.
func (g *Gate) plan(p *phi.Plan, columns []string) (risk.Plan, error) {
	plan := risk.Plan{Subject: columns[0], Keep: []string{placeColumn}, Quasi: []risk.Quasi{{Column: sameColumn, Required: true}}}
	for i, q := range g.Quasi {
		if q.Column == columns[0] || !slices.Contains(columns, q.Column) ||
			slices.ContainsFunc(g.Quasi[:i], func(other risk.Quasi) bool { return other.Column == q.Column }) {
			return risk.Plan{}, fmt.Errorf("gate: column %d: %w", i, risk.ErrPlan) // not quoted: a caller may have mixed up its arguments
		}
		plan.Quasi = append(plan.Quasi, q)
	}
	for _, name := range columns[1:] {
		if slices.ContainsFunc(g.Quasi, func(q risk.Quasi) bool { return q.Column == name }) {
			continue
		}
		f, ok := p.Field(name)
		switch {
		case !ok:
			plan.Keep = append(plan.Keep, name)
		case f.Kind.Form == phi.Year:
			plan.Quasi = append(plan.Quasi, risk.Quasi{Column: name, Levels: []risk.Level{years(5), years(10), years(20)}})
		case f.Kind.Name == "sex":
			plan.Quasi = append(plan.Quasi, risk.Quasi{Column: name})
		default:
			plan.Keep = append(plan.Keep, name)
		}
	}
	return plan, nil
}

// years are bands of years. What is no year stays what it is: the class of the
// oldest, and what is withheld.
func years(width int) risk.Level {
	bands := risk.Bands(width)
	return func(value string) (string, bool) {
		if _, err := strconv.ParseUint(value, 10, 16); err != nil {
			return value, true
		}
		return bands(value)
	}
}

// gated makes the whole table, and yields what the gate lets through of it.
func (e *export[T]) gated(ctx context.Context, in iter.Seq2[*T, envelope.Sealed], yield func([]any, error) bool) {
	var rows [][]any
	var of []exported[T]
	var failed error
	e.run(ctx, in, func(p *exported[T], row []any, err error) bool {
		if err != nil {
			failed = err
			return false
		}
		p.x.reading = nil // it holds the sealed row and keys
		rows, of = append(rows, e.measured(row, len(rows))), append(of, *p)
		return true
	})
	if failed != nil {
		e.notGiven(ctx, of)
		yield(nil, failed)
		return
	}
	if len(rows) == 0 {
		return
	}
	kept, err := e.gate(ctx, rows)
	if err != nil {
		e.notGiven(ctx, of)
		yield(nil, e.wrap(err))
		return
	}
	e.give(ctx, kept, of, yield)
}

// measured adds the gate's columns, and makes cells that it can measure of those
// that are withheld.
func (e *export[T]) measured(row []any, at int) []any {
	for i, cell := range row {
		if w, ok := cell.(Withheld); ok && slices.ContainsFunc(e.plan.Quasi, func(q risk.Quasi) bool { return q.Column == e.columns[i] }) {
			row[i] = w.String()
		}
	}
	return append(row, at, "")
}

// gate returns the rows that the gate lets through. It has been logged.
func (e *export[T]) gate(ctx context.Context, rows [][]any) ([][]any, error) {
	table := risk.Table{Columns: append(slices.Clone(e.columns), placeColumn, sameColumn), Rows: func(yield func([]any, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}}
	b := e.records.entry("export", e.req)
	b.Outcome, b.Fields, b.K = "done", e.names, e.req.Gate.k()
	release, err := risk.Gate(ctx, table, e.plan, risk.Rule{K: b.K, Suppress: e.req.Gate.Suppress})
	if err != nil {
		b.Outcome, b.Reason, b.Fields = "refused", TooFew, nil
	}
	if logged := e.records.cfg.Log.append(ctx, b); logged != nil {
		return nil, logged
	}
	if err != nil {
		return nil, err
	}
	kept := make([][]any, 0, len(rows)-release.Report.Suppressed)
	for row, err := range release.Rows() {
		if err != nil {
			return nil, err
		}
		kept = append(kept, row)
	}
	return kept, nil
}

// give yields the rows that the gate has let through. A patient who is not as
// decided on any more ends the table: without the row, others would be too few.
func (e *export[T]) give(ctx context.Context, kept [][]any, of []exported[T], yield func([]any, error) bool) {
	n := len(e.columns)
	left := slices.Clone(of)
	for _, row := range kept {
		left[row[n].(int)].x = nil // measured put it there
	}
	e.notGiven(ctx, slices.DeleteFunc(left, func(p exported[T]) bool { return p.x == nil }))
	e.table.suppressed += len(of) - len(kept)
	for i, row := range kept {
		same, err := e.records.unchanged(ctx, of[row[n].(int)].of, of[row[n].(int)].x)
		if err == nil && !same || gone(err) {
			err = risk.ErrChanged
		}
		if err != nil {
			e.notGivenFrom(ctx, kept[i:], of)
			yield(nil, e.wrap(err))
			return
		}
		if !yield(row[:n:n], nil) {
			return
		}
	}
}

func (e *export[T]) notGivenFrom(ctx context.Context, kept [][]any, of []exported[T]) {
	var rest []exported[T]
	for _, row := range kept {
		rest = append(rest, of[row[len(e.columns)].(int)])
	}
	e.notGiven(ctx, rest)
}

// notGiven says in the log that these were not given, whatever their entries announced.
func (e *export[T]) notGiven(ctx context.Context, records []exported[T]) {
	for page := range slices.Chunk(records, pageSize) {
		bodies := make([]*logBody, len(page))
		for i, p := range page {
			bodies[i] = e.records.notDone(p.x)
		}
		_ = e.records.cfg.Log.append(context.WithoutCancel(ctx), bodies...) // as in failed
	}
}
