package risk

import "context"

// Measures say how well a table hides the people in it.
type Measures struct {
	Rows    int
	Classes int

	// K is the number of people in the smallest class, without a
	// [Plan.Subject] the number of its rows. Who knows a person's
	// quasi-identifiers picks the right one of a class with a chance of at
	// most 1/K. Without a subject Classes/Rows is that chance on average.
	K int

	// Unique is the number of rows in classes of one person, the sample
	// uniques. It says nothing on who is unique among all people.
	Unique int

	Sensitive []Diversity // in the order of the plan
}

// Diversity says how much the class of a person tells of a sensitive column:
// the worst of all classes.
type Diversity struct {
	Column string

	// L is the least number of different values in a class.
	L int

	// EntropyL is the least effective number of values, e to the power of
	// their entropy: at most L, and L where all values are equally frequent.
	// pyCANON rounds it down.
	EntropyL float64

	// T is the greatest distance of a class from the table, from 0 to 1: half
	// of the summed differences, or for an ordered column the mean share of
	// rows that must cross each step of its order.
	T float64
}

// Measure reads the table once and measures it as it stands; the levels of
// the plan are not used. Errors: [ErrPlan], [ErrRow], also for a table
// without rows, [ErrLimit], the error of the context, and those of the rows.
//
// It takes rows for rows: in a table that another program has suppressed rows
// in by stars they are a class like any other and should be left out first.
func Measure(ctx context.Context, t Table, p Plan) (Measures, error) {
	in, err := load(ctx, t, p)
	if err != nil {
		return Measures{}, err
	}
	v := in.base()
	return in.measure(v, make([]bool, len(v.size))), nil
}

// base is the grouping of the table as it stands.
func (in *intake) base() *grouping {
	attributes := make([]attribute, len(in.values))
	for i := range attributes {
		g, _ := in.values[i].apply(nil, 0)
		attributes[i].levels = []generality{g}
	}
	return in.group(attributes, make(node, len(attributes)))
}

// measure measures the classes of the units that are not left out.
func (in *intake) measure(v *grouping, out []bool) Measures {
	var m Measures
	for g, rows := range v.rows {
		if out[v.unit[g]] {
			continue
		}
		people := v.people[v.unit[g]]
		if m.Classes++; m.Classes == 1 || people < m.K {
			m.K = people
		}
		m.Rows += int(rows)
		if people == 1 {
			m.Unique += int(rows)
		}
	}
	tallies := in.tallies()
	for i := range in.tracks {
		m.Sensitive = append(m.Sensitive, in.tracks[i].diversity(v, out, &tallies[i]))
	}
	return m
}

func (t *track) diversity(v *grouping, out []bool, y *tally) Diversity {
	d := Diversity{Column: t.kind.Column}
	s := t.spread(v, out)
	for g := range v.rows {
		if out[v.unit[g]] {
			continue
		}
		y.of(t, v, g)
		l, e := y.distinct(t.null), y.entropy(t.null)
		if d.L == 0 {
			d.L, d.EntropyL = l, e
		}
		d.L, d.EntropyL, d.T = min(d.L, l), min(d.EntropyL, e), max(d.T, s.distance(y))
		y.clear()
	}
	return d
}
