package risk

import (
	"cmp"
	"context"
	"fmt"
	"slices"
)

const maxNodes = 1 << 20

// A search looks for the best node of the lattice of all of them. It goes
// through the nodes in the order of the least loss that each can have, and
// stops where no later one can win. On the way it rules nodes out without
// looking: what fails the part of the rule that only gets easier with
// generalisation fails on every node below (Samarati 2001, LeFevre et al.
// 2005), and such failures are sought by bisecting paths to the top, as Flash
// does (Kohlmayer et al. 2012).
type search struct {
	in         *intake
	attributes []attribute
	rule       Rule
	limit      int // rows that may be left out
	tallies    []tally

	heights []int     // levels of each quasi-identifier
	bound   []float64 // of each node, the least loss it can have
	order   []int32   // of the nodes
	verdict []verdict
}

type verdict uint8

const (
	unknown verdict = iota
	fails           // the monotone part of the rule
	passes
)

// A candidate is a node that obeys the rule.
type candidate struct {
	at         node
	grouping   *grouping
	out        []bool // of each unit: left out
	suppressed int
	loss       float64
}

// searchable returns an error for a plan with too many nodes.
func searchable(p Plan) error {
	nodes := 1
	for _, q := range p.Quasi {
		levels := len(q.Levels) + 2
		if q.Required {
			levels--
		}
		if nodes *= levels; nodes > maxNodes {
			return fmt.Errorf("%w: more than %d combinations of levels", ErrPlan, maxNodes)
		}
	}
	return nil
}

func newSearch(in *intake, attributes []attribute, r Rule) *search {
	s := &search{in: in, attributes: attributes, rule: r, limit: r.allowed(in.total), tallies: in.tallies()}
	nodes := 1
	for i := range attributes {
		s.heights = append(s.heights, len(attributes[i].levels))
		nodes *= len(attributes[i].levels)
	}
	s.bound, s.order, s.verdict = make([]float64, nodes), make([]int32, nodes), make([]verdict, nodes)
	height := make([]int, nodes)
	for i := range nodes {
		s.order[i] = int32(i)
		miss := make([]uint64, len(attributes))
		for a, level := range s.at(i) {
			miss[a] = attributes[a].levels[level].sum
			height[i] += level
		}
		s.bound[i] = s.loss(miss, 0)
	}
	slices.SortFunc(s.order, func(a, b int32) int {
		return cmp.Or(cmp.Compare(s.bound[a], s.bound[b]), cmp.Compare(height[a], height[b]), cmp.Compare(a, b))
	})
	return s
}

// at returns the levels of a node; the last column's runs fastest.
func (s *search) at(index int) node {
	n := make(node, len(s.heights))
	for a := len(n) - 1; a >= 0; a-- {
		n[a] = index % s.heights[a]
		index /= s.heights[a]
	}
	return n
}

func (s *search) index(n node) int {
	index := 0
	for a, level := range n {
		index = index*s.heights[a] + level
	}
	return index
}

// run returns the best candidate, nil if there is none.
func (s *search) run(ctx context.Context) (*candidate, error) {
	var best *candidate
	for _, i := range s.order {
		if best != nil && s.bound[i] >= best.loss {
			break
		}
		if s.verdict[i] == unknown {
			if err := s.bisect(ctx, s.at(int(i))); err != nil {
				return nil, err
			}
		}
		if s.verdict[i] == fails {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if c := s.evaluate(s.at(int(i))); c != nil && (best == nil || c.loss < best.loss) {
			best = c
		}
	}
	return best, nil
}

// bisect finds where on a path from n to the top the monotone part of the
// rule begins to hold. It leaves the verdict on n known.
func (s *search) bisect(ctx context.Context, n node) error {
	path := s.path(n)
	for low, high := 0, len(path); low < high; {
		if err := ctx.Err(); err != nil {
			return err
		}
		mid := (low + high) / 2
		i := s.index(path[mid])
		if s.verdict[i] == unknown {
			s.mark(path[mid], s.monotone(path[mid]))
		}
		if s.verdict[i] == passes {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return nil
}

// path climbs from n to the top, by the step of the least loss each time.
func (s *search) path(n node) []node {
	path := []node{n}
	for {
		var next node
		for a := range n {
			if n[a]+1 == s.heights[a] {
				continue
			}
			up := slices.Clone(n)
			up[a]++
			if next == nil || s.bound[s.index(up)] < s.bound[s.index(next)] {
				next = up
			}
		}
		if next == nil {
			return path
		}
		path, n = append(path, next), next
	}
}

// mark spreads a verdict: a pass to all nodes above, a failure to all below.
func (s *search) mark(n node, pass bool) {
	low, high, v := make(node, len(n)), slices.Clone(n), fails
	if pass {
		low, high, v = n, slices.Clone(n), passes
		for a := range high {
			high[a] = s.heights[a] - 1
		}
	}
	for at := slices.Clone(low); ; {
		s.verdict[s.index(at)] = v
		a := len(at) - 1
		for ; a >= 0 && at[a] == high[a]; a-- {
			at[a] = low[a]
		}
		if a < 0 {
			return
		}
		at[a]++
	}
}
