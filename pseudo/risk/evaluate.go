package risk

// monotone tests the part of the rule that holds on every node above one on
// which it holds. k and l are that part: two classes that join have no fewer
// people and values than either. Entropy and t belong to it only where no row
// may be left out, because a class that obeys may break the rule by joining
// one that would have been left out.
func (s *search) monotone(n node) bool {
	v := s.in.group(s.attributes, n)
	out := 0
	rule := s.rule
	if s.limit > 0 {
		rule.EntropyL, rule.T = 0, 0
	}
	kept := s.obeying(v, rule, &out)
	if out > s.limit {
		return false
	}
	return rule.T == 0 || s.close(v, kept, rule.T) == 0
}

// evaluate returns the node as a candidate, or nil if it breaks the rule.
func (s *search) evaluate(n node) *candidate {
	c := &candidate{at: n, grouping: s.in.group(s.attributes, n)}
	c.kept = s.obeying(c.grouping, s.rule, &c.suppressed)
	for s.rule.T > 0 && c.suppressed <= s.limit {
		// what is left out moves the table, so the rest is measured again
		far := s.close(c.grouping, c.kept, s.rule.T)
		if far == 0 {
			break
		}
		c.suppressed += far
	}
	if c.suppressed > s.limit || c.suppressed == s.in.total {
		return nil
	}
	c.loss = s.loss(s.missing(c), c.suppressed)
	return c
}

// obeying returns which classes obey the rule but for t, and adds the rows of
// the others to out. It stops early, with a meaningless result, when out
// exceeds the limit.
func (s *search) obeying(v *grouping, r Rule, out *int) []bool {
	kept := make([]bool, len(v.rows))
	for g, rows := range v.rows {
		kept[g] = int(rows) >= r.K && s.in.people(v, g, s.tallies) >= r.K && s.diverse(v, g, r)
		if kept[g] {
			continue
		}
		if *out += int(rows); *out > s.limit {
			break
		}
	}
	return kept
}

// diverse reports whether class g obeys the rule for l.
func (s *search) diverse(v *grouping, g int, r Rule) bool {
	if r.L <= 1 && r.EntropyL <= 1 {
		return true
	}
	ok := true
	for i := range s.in.tracks {
		t, y := &s.in.tracks[i], &s.tallies[i]
		if t.kind == nil {
			continue
		}
		y.of(t, v, g)
		ok = ok && y.distinct(t.null) >= r.L && (r.EntropyL <= 1 || y.entropy(t.null) >= r.EntropyL-slack)
		y.clear()
	}
	return ok
}

// close drops the kept classes that lie further than t from the kept table,
// and returns how many rows they have.
func (s *search) close(v *grouping, kept []bool, t float64) int {
	far := make([]bool, len(kept))
	for i := range s.in.tracks {
		tr, y := &s.in.tracks[i], &s.tallies[i]
		if tr.kind == nil {
			continue
		}
		table := tr.spread(v, kept)
		for g := range kept {
			if !kept[g] || far[g] {
				continue
			}
			y.of(tr, v, g)
			far[g] = table.distance(y) > t+slack
			y.clear()
		}
	}
	out := 0
	for g := range kept {
		if far[g] {
			kept[g] = false
			out += int(v.rows[g])
		}
	}
	return out
}

// missing sums, for each quasi-identifier, what the kept rows lose.
func (s *search) missing(c *candidate) []uint64 {
	width := len(s.attributes)
	miss := make([]uint64, width)
	for class, rows := range s.in.rows {
		if !c.kept[c.grouping.of[class]] {
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
