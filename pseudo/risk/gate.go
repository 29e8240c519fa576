package risk

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
)

// A Rule is what a released table must obey. Every class is held to all of
// it, l and t in every sensitive column. Zero asks nothing of L, EntropyL and
// T. Values differ as they are written: "TB" and "tb" are two, 7 and "7" one.
type Rule struct {
	K        int     // people in a class; at least 2
	L        int     // different sensitive values in a class
	EntropyL float64 // effective number of sensitive values in a class
	T        float64 // distance of a class from the released table

	// Suppress is the share of rows that may be left out, from 0 to 1.
	Suppress float64
}

// slack is what rounding may cost: four equally frequent values have an
// effective number of 4, give or take the last bit.
const slack = 1e-9

func (r Rule) check(p Plan) error {
	asks := r.L != 0 || r.EntropyL != 0 || r.T != 0
	switch {
	case r.K < 2:
		return fmt.Errorf("%w: want k of 2 or more", ErrPlan)
	case r.L < 0 || !(r.EntropyL >= 0) || !(r.T >= 0) || !(r.Suppress >= 0 && r.Suppress <= 1): // NaN is refused
		return fmt.Errorf("%w: want l, t not negative and a share from 0 to 1", ErrPlan)
	case asks && len(p.Sensitive) == 0:
		return fmt.Errorf("%w: l or t without a sensitive column", ErrPlan)
	}
	return nil
}

// A Report says what a release cost.
type Report struct {
	Before, After Measures

	Levels     []int // of each quasi-identifier, 0 for as it was
	Suppressed int   // rows left out

	// Height is the sum of Levels (Samarati 2001).
	Height int

	// Loss is the mean over all cells of quasi-identifiers of the share of
	// the column's other values that the cell cannot be told from, 1 for rows
	// left out: from 0, nothing lost, to 1 (Iyengar 2002).
	Loss float64

	// Precision is 1 less the mean of level by height of the hierarchy, rows
	// left out counting as the top: from 1, nothing lost, to 0 (Sweeney 2002).
	Precision float64

	// Discernibility is the sum of the squares of the classes' sizes and,
	// for each row left out, the size of the table (Bayardo and Agrawal 2005).
	Discernibility uint64
}

// A Release is a table that obeys a rule, made while it is read.
type Release struct {
	Columns []string // those of the table
	Report  Report

	rows iter.Seq2[[]any, error] // a closure: printing a Release must not walk the table's values
}

// Gate measures the table, and returns the release that obeys the rule at the
// least [Report.Loss] of all that replace each quasi-identifier by one level
// of its hierarchy throughout and leave out the rows of the classes that still
// break the rule, at most the rule's share. The choice depends on the rows, not
// on their order. What cannot be mended is [ErrRefused].
//
// To check only, give no levels, make every quasi-identifier required, and
// suppress nothing. Other errors are those of [Measure].
//
// The number of releases to choose from is the product of the heights of the
// hierarchies, at most 1,048,576. Most are ruled out unseen; each that is
// looked at takes time in proportion to what is kept in memory, so a dozen
// columns that agree in nothing take long. The search ends with the context.
func Gate(ctx context.Context, t Table, p Plan, r Rule) (*Release, error) {
	if err := r.check(p); err != nil {
		return nil, err
	}
	if err := searchable(p); err != nil {
		return nil, err
	}
	in, err := load(ctx, t, p)
	if err != nil {
		return nil, err
	}
	attributes, err := in.generalise(p)
	if err != nil {
		return nil, err
	}
	s := newSearch(in, attributes, r)
	best, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	if best == nil {
		return nil, fmt.Errorf("%w: no levels make every class obey the rule with at most %d of %d rows left out", ErrRefused, s.limit, in.total)
	}
	w := &writer{in: in, table: t.Rows, attributes: attributes, best: best}
	return &Release{Columns: slices.Clone(t.Columns), Report: in.report(attributes, best), rows: w.run}, nil
}

func (in *intake) report(attributes []attribute, best *candidate) Report {
	r := Report{
		After:  in.measure(best.grouping, best.out),
		Levels: slices.Clone(best.at), Suppressed: best.suppressed, Loss: best.loss,
	}
	base := in.base()
	r.Before = in.measure(base, make([]bool, len(base.size)))
	climbed := 0.0
	for i, level := range best.at {
		r.Height += level
		if top := len(attributes[i].levels) - 1; top > 0 {
			climbed += float64(level) / float64(top)
		}
	}
	out := float64(best.suppressed) / float64(in.total)
	r.Precision = 1 - (1-out)*climbed/float64(len(attributes)) - out
	for g, rows := range best.grouping.rows {
		if !best.out[best.grouping.unit[g]] {
			r.Discernibility += rows * rows
		}
	}
	r.Discernibility += uint64(best.suppressed) * uint64(in.total)
	return r
}

// Rows yields the released rows in the table's order, each a slice of the
// caller's own. A generalised cell is a string; a cell on level 0, and of the
// other columns, is what the table holds; NULL stays NULL below the star. It
// reads the table again each time it is ranged over, and ends with
// [ErrChanged] when that is not the table that was measured, of which
// [Plan.Keep] is no part, and which is known for sure only at the end. So nothing
// may be published before Rows has ended without an error. An error ends it.
func (r *Release) Rows() iter.Seq2[[]any, error] {
	if r == nil || r.rows == nil {
		return func(yield func([]any, error) bool) { yield(nil, fmt.Errorf("%w: no release", ErrPlan)) }
	}
	return r.rows
}

// A writer makes the rows of a release. It is not changed by that.
type writer struct {
	in         *intake
	table      iter.Seq2[[]any, error]
	attributes []attribute
	best       *candidate
}

func (w *writer) run(yield func([]any, error) bool) {
	c := cursor{in: w.in}
	for row, err := range w.table {
		if err == nil {
			err = c.next(row)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		if !w.best.leaves(int(c.class)) && !yield(w.general(row, c.class), nil) {
			return
		}
	}
	if c.line != w.in.total || c.digest != w.in.digest {
		yield(nil, ErrChanged)
	}
}

// general returns the row of a class with its quasi-identifiers generalised.
func (w *writer) general(row []any, class uint32) []any {
	out := slices.Clone(row)
	for i, at := range w.in.quasi {
		level := w.best.at[i]
		if level == 0 {
			continue
		}
		g := &w.attributes[i].levels[level]
		out[at] = g.cell[g.of[w.in.keys[int(class)*len(w.in.quasi)+i]]]
	}
	return out
}

// allowed returns how many rows may be left out.
func (r Rule) allowed(total int) int { return int(math.Floor(r.Suppress*float64(total) + slack)) }
