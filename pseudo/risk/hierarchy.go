package risk

import "fmt"

// An attribute is a quasi-identifier with what its hierarchy makes of the
// values that occur.
type attribute struct {
	levels []generality
	others float64 // values that occur less one, of which a cell may be one
}

// A generality is one level of a hierarchy.
type generality struct {
	of   []uint32 // value: its general value
	cell []any    // general value: what stands in the table; unused on level 0
	miss []uint64 // value: how many others it can no longer be told from
	sum  uint64   // of miss over all rows
}

// generalise applies the hierarchies to the values of the table.
func (in *intake) generalise(p Plan) ([]attribute, error) {
	attributes := make([]attribute, len(p.Quasi))
	for i, q := range p.Quasi {
		d := &in.values[i]
		rows := make([]int, len(d.keys)) // of each value
		for c, n := range in.rows {
			rows[in.keys[c*len(in.quasi)+i]] += int(n)
		}
		a := &attributes[i]
		a.others = float64(max(len(d.keys)-1, 1)) // one value alone says nothing, and nothing is lost with it
		for level := 0; level <= len(q.Levels); level++ {
			g, ok := d.apply(q.Levels, level)
			if !ok {
				return nil, fmt.Errorf("%w: column %q, level %d knows no general value for one of the values", ErrPlan, q.Column, level)
			}
			a.levels = append(a.levels, g)
		}
		if !q.Required {
			a.levels = append(a.levels, generality{of: make([]uint32, len(d.keys)), cell: []any{star}})
		}
		for level := range a.levels {
			if level > 0 && !a.levels[level].coarser(&a.levels[level-1]) {
				return nil, fmt.Errorf("%w: column %q, level %d tells values apart that level %d does not", ErrPlan, q.Column, level, level-1)
			}
			a.levels[level].weigh(rows)
		}
	}
	return attributes, nil
}

// apply makes one level below the star.
func (d *dict) apply(levels []Level, level int) (generality, bool) {
	g := generality{of: make([]uint32, len(d.keys))}
	ids := map[string]uint32{}
	for i, key := range d.keys {
		general, cell := key, any(nil)
		switch {
		case level == 0 || key[0] == tagNull:
		case key[0] == tagMark:
			cell = key[1:]
		default:
			text, ok := levels[level-1](key[1:])
			if !ok {
				return g, false
			}
			general, cell = string(rune(tagString))+text, text
		}
		id, ok := ids[general]
		if !ok {
			id = uint32(len(g.cell))
			ids[general], g.cell = id, append(g.cell, cell)
		}
		g.of[i] = id
	}
	return g, true
}

// coarser reports whether g joins all that finer joins.
func (g *generality) coarser(finer *generality) bool {
	image := make([]uint32, len(finer.cell))
	for i := range image {
		image[i] = none
	}
	for value, from := range finer.of {
		to := g.of[value]
		if image[from] != none && image[from] != to {
			return false
		}
		image[from] = to
	}
	return true
}

// weigh counts what the level loses. Divided by the number of other values it
// is Iyengar's loss metric; it is kept in integers so that the order of rows
// cannot decide between two nodes.
func (g *generality) weigh(rows []int) {
	covered := make([]uint64, len(g.cell))
	for _, general := range g.of {
		covered[general]++
	}
	g.miss = make([]uint64, len(g.of))
	for value, general := range g.of {
		g.miss[value] = covered[general] - 1
		g.sum += g.miss[value] * uint64(rows[value])
	}
}
