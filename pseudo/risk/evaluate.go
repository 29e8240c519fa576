package risk

// monotone tests the part of the rule that holds on every node above one on
// which it holds. k and l are that part: two classes that join have no fewer
// people and values than either. Entropy and t belong to it only where no row
// may be left out, because a class that obeys may break the rule by joining
// one that would have been left out.
func (s *search) monotone(n node) bool {
	c := &candidate{at: n, grouping: s.in.group(s.attributes, n)}
	rule := s.rule
	if s.limit > 0 {
		rule.EntropyL, rule.T = 0, 0
	}
	return s.obey(c, rule)
}

// evaluate returns the node as a candidate, or nil if it breaks the rule.
func (s *search) evaluate(n node) *candidate {
	c := &candidate{at: n, grouping: s.in.group(s.attributes, n)}
	if !s.obey(c, s.rule) || c.suppressed == s.in.total {
		return nil
	}
	c.loss = s.loss(s.missing(c), c.suppressed)
	return c
}

// obey leaves out the units that break the rule, and reports whether no more
// rows than allowed are in them.
func (s *search) obey(c *candidate, r Rule) bool {
	v := c.grouping
	c.out = make([]bool, len(v.size))
	for g := range v.rows {
		u := v.unit[g]
		if c.out[u] || v.people[u] >= r.K && s.diverse(v, g, r) {
			continue
		}
		if c.leave(u); c.suppressed > s.limit {
			return false
		}
	}
	// what is left out moves the table, so the rest is measured again
	for r.T > 0 && s.leaveFar(c, r.T) {
		if c.suppressed > s.limit {
			return false
		}
	}
	return true
}

// leaves reports whether the rows of a base class are left out.
func (c *candidate) leaves(class int) bool { return c.out[c.grouping.unit[c.grouping.of[class]]] }

func (c *candidate) leave(unit uint32) {
	c.out[unit] = true
	c.suppressed += int(c.grouping.size[unit])
}

// diverse reports whether class g obeys the rule for l.
func (s *search) diverse(v *grouping, g int, r Rule) bool {
	if r.L <= 1 && r.EntropyL <= 1 {
		return true
	}
	ok := true
	for i := range s.in.tracks {
		t, y := &s.in.tracks[i], &s.tallies[i]
		y.of(t, v, g)
		ok = ok && y.distinct(t.null) >= r.L && (r.EntropyL <= 1 || y.entropy(t.null) >= r.EntropyL-slack)
		y.clear()
	}
	return ok
}

// leaveFar leaves out the units with a class further than t from the table
// as it was before, and reports whether there was one.
func (s *search) leaveFar(c *candidate, t float64) bool {
	v := c.grouping
	far := make([]bool, len(c.out))
	for i := range s.in.tracks {
		tr, y := &s.in.tracks[i], &s.tallies[i]
		table := tr.spread(v, c.out)
		for g := range v.rows {
			if u := v.unit[g]; !c.out[u] && !far[u] {
				y.of(tr, v, g)
				far[u] = table.distance(y) > t+slack
				y.clear()
			}
		}
	}
	any := false
	for u, f := range far {
		if f {
			c.leave(uint32(u))
			any = true
		}
	}
	return any
}

// missing sums, for each quasi-identifier, what the kept rows lose.
func (s *search) missing(c *candidate) []uint64 {
	width := len(s.attributes)
	miss := make([]uint64, width)
	for class, rows := range s.in.rows {
		if c.leaves(class) {
			continue
		}
		for a := range s.attributes {
			miss[a] += s.attributes[a].levels[c.at[a]].miss[s.in.keys[class*width+a]] * uint64(rows)
		}
	}
	return miss
}

// loss is [Report.Loss].
func (s *search) loss(miss []uint64, suppressed int) float64 {
	total := float64(suppressed * len(miss))
	for a, n := range miss {
		total += float64(n) / s.attributes[a].others
	}
	return total / float64(len(miss)) / float64(s.in.total)
}
