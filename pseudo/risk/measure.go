package risk

import "context"

// Measures say how well a table hides the people in it.
type Measures struct {
	Rows    int
	Classes int

	// K is the number of people in the smallest class: without a
	// [Plan.Subject] the number of its rows. Who knows a person's
	// quasi-identifiers picks the right one of a class with a chance of at
	// most 1/K; Classes/Rows is that chance on average, without a subject.
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
	return in.measure(in.base(), nil), nil
}

// base is the grouping of the table as it stands.
func (in *intake) base() *grouping {
	v := &grouping{of: make([]uint32, len(in.rows))}
	for c := range v.of {
		v.of[c] = uint32(c)
	}
	v.sort(in, len(in.rows))
	return v
}

// measure measures the kept classes; nil keeps all.
func (in *intake) measure(v *grouping, kept []bool) Measures {
	if kept == nil {
		kept = make([]bool, len(v.rows))
		for g := range kept {
			kept[g] = true
		}
	}
	var m Measures
	tallies := in.tallies()
	for g, rows := range v.rows {
		if !kept[g] {
			continue
		}
		people := in.people(v, g, tallies)
		if m.Classes++; m.Classes == 1 || people < m.K {
			m.K = people
		}
		m.Rows += int(rows)
		if people == 1 {
			m.Unique += int(rows)
		}
	}
	for i := range in.tracks {
		if t := &in.tracks[i]; t.kind != nil && m.Classes > 0 {
			m.Sensitive = append(m.Sensitive, t.diversity(v, kept, &tallies[i]))
		}
	}
	return m
}

// people returns how many people are in class g.
func (in *intake) people(v *grouping, g int, tallies []tally) int {
	if !in.subject {
		return int(v.rows[g])
	}
	y := &tallies[0]
	defer y.clear()
	y.of(&in.tracks[0], v, g)
	return len(y.values)
}

func (t *track) diversity(v *grouping, kept []bool, y *tally) Diversity {
	d := Diversity{Column: t.kind.Column}
	s := t.spread(v, kept)
	for g := range v.rows {
		if !kept[g] {
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
