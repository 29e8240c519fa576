package risk

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// distinct returns how many different values a class has, NULL aside, and 1
// for a class of nothing but NULL.
func (y *tally) distinct(null uint32) int {
	n := len(y.values)
	if null != none && y.count[null] > 0 {
		n--
	}
	return max(n, 1)
}

// entropy returns the effective number of values of a class, e to the power
// of their entropy: that of all values or that of all but NULL, whichever is
// smaller.
func (y *tally) entropy(null uint32) float64 {
	counts := make([]uint64, 0, len(y.values))
	gaps := uint64(0)
	for _, value := range y.values {
		if value == null {
			gaps = y.count[value]
			continue
		}
		counts = append(counts, y.count[value])
	}
	without := effective(counts)
	if gaps == 0 {
		return without
	}
	return min(without, effective(append(counts, gaps)))
}

func effective(counts []uint64) float64 {
	slices.Sort(counts) // one sum for one class, whatever the order of rows
	total := uint64(0)
	for _, n := range counts {
		total += n
	}
	h := 0.0
	for _, n := range counts {
		p := float64(n) / float64(total)
		h -= p * math.Log(p)
	}
	return math.Exp(h)
}

// A spread is the distribution of a sensitive column over the classes of a
// table that are not left out.
type spread struct {
	total uint64
	count []uint64 // of each value
	place []uint32 // ordered: of each value that occurs, from 0
	upTo  []uint64 // ordered: of each place, how many rows have it or a lower one
	sum   []uint64 // ordered: of each place, the sum of upTo over those below
}

func (t *track) spread(v *grouping, out []bool) *spread {
	s := &spread{count: make([]uint64, len(t.keys))}
	for c, g := range v.of {
		if out[v.unit[g]] {
			continue
		}
		for j := t.start[c]; j < t.start[c+1]; j++ {
			s.count[t.value[j]] += uint64(t.count[j])
			s.total += uint64(t.count[j])
		}
	}
	if t.sorted == nil {
		return s
	}
	s.place, s.sum = make([]uint32, len(s.count)), []uint64{0}
	below, sum := uint64(0), uint64(0)
	for _, value := range t.sorted {
		if s.count[value] == 0 {
			continue // it was left out with its rows, and is no step on the scale
		}
		s.place[value] = uint32(len(s.upTo))
		below += s.count[value]
		sum += below
		s.upTo, s.sum = append(s.upTo, below), append(s.sum, sum)
	}
	return s
}

// distance returns how far the class in y lies from the table.
func (s *spread) distance(y *tally) float64 {
	n := uint64(0)
	for _, value := range y.values {
		n += y.count[value]
	}
	if s.place != nil {
		return s.ordered(y, n)
	}
	return s.equal(y, n)
}

// equal is the earth mover's distance where all values are equally far apart:
// half the sum of all differences. In integers: with at most 2^31 rows no term
// exceeds 2^62 and no sum 2^63.
func (s *spread) equal(y *tally, n uint64) float64 {
	differ, here := uint64(0), uint64(0)
	for _, value := range y.values {
		p, q := s.count[value]*n, y.count[value]*s.total
		differ += max(p, q) - min(p, q)
		here += s.count[value]
	}
	differ += (s.total - here) * n // the values that the class has not
	return float64(differ) / 2 / float64(n) / float64(s.total)
}

// ordered is the earth mover's distance where the values lie in a row, one
// step of 1/(m-1) apart: the sum over the steps of what must cross them. It
// jumps from value to value of the class: in between what the class has so far
// is constant, and what the table has grows past it at most once.
func (s *spread) ordered(y *tally, n uint64) float64 {
	if len(s.upTo) < 2 {
		return 0
	}
	slices.SortFunc(y.values, func(a, b uint32) int { return cmp.Compare(s.place[a], s.place[b]) })
	work, at, have := 0.0, 0, uint64(0)
	for _, value := range y.values {
		work += s.work(at, int(s.place[value]), have, n)
		at, have = int(s.place[value]), have+y.count[value]
	}
	work += s.work(at, len(s.upTo), have, n)
	return work / float64(len(s.upTo)-1)
}

// work sums what must cross the steps from place a to before b, where have of
// n rows of the class lie at or below.
func (s *spread) work(a, b int, have, n uint64) float64 {
	turn := a + sort.Search(b-a, func(i int) bool { return s.upTo[a+i]*n >= have*s.total })
	share := float64(have) / float64(n)
	ahead := share*float64(turn-a) - float64(s.sum[turn]-s.sum[a])/float64(s.total)
	behind := float64(s.sum[b]-s.sum[turn])/float64(s.total) - share*float64(b-turn)
	return ahead + behind
}
