package pseudo

import (
	"fmt"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
)

// The thresholds of [Leakage.Check].
const (
	fewestRows   = 1000
	mostPatients = 10   // on average behind one token
	mostCommon   = 0.01 // of the rows have one token
	mostGuessed  = 0.05 // of the rows are guessed beyond the commonest value
)

// A Leakage says what a column of deterministic tokens gives away to somebody
// who has no key: how often its values occur. It holds no token.
type Leakage struct {
	Rows     int // tokens that were read
	Distinct int // different ones among them: the number itself up to 65,536, beyond it an estimate within 2 %

	// Patients is how many rows have one token on average: 1 for an
	// identifier that nobody shares.
	Patients float64

	// Commonest is the share of the rows that have the commonest token, and
	// StandsOut how many times as many they are as those of the second: a
	// clinic's own telephone number in place of the patients', or a NIK that
	// was made up to get past a form, stands out by the hundred.
	Commonest, StandsOut float64

	// Guessed is the share of the rows whose value is named rightly, beyond
	// those that hold the commonest value, by who knows exactly how often
	// every value occurs and has only the column: frequency analysis at its
	// best. It is an upper bound, because nobody knows that exactly.
	Guessed float64
}

// LeakageOf estimates what the tokens of one column give away. Zero values
// stand for NULL and are left out. Reading them takes memory for twice 65,536
// tokens, however many there are; give it the whole column where that can be
// done, because patients who share a token are rarely in a small sample
// together. Up to ten million rows what the limit of memory adds to the error
// of Guessed is below 0.01.
//
// It works for whatever a column holds that can be compared: a [Token], the
// digits of a format-preserving one, or the values themselves, before anybody
// has made tokens of them. In a column that is being rotated one value has two
// tokens: measure the rows of one version.
func LeakageOf[T comparable](column iter.Seq[T]) Leakage {
	var (
		zero T
		rows int
		some = sampled[T]{counts: map[T]int{}, seed: maphash.MakeSeed()}
		many = frequent[T]{counts: map[T]int{}}
	)
	for t := range column {
		if t == zero || t != t { // a NaN is in no map, and could not be taken out of one
			continue
		}
		rows++
		some.add(t)
		many.add(t)
	}
	if rows == 0 {
		return Leakage{}
	}
	distinct := len(some.counts) << some.level
	first, second, guessed := some.tally(&many)
	return Leakage{
		Rows: rows, Distinct: distinct,
		Patients:  max(1, float64(rows)/float64(max(1, distinct))),
		Commonest: float64(first) / float64(rows),
		StandsOut: float64(first) / float64(max(1, second)),
		Guessed:   min(1, float64(guessed)/float64(rows)),
	}
}

// Check returns [ErrLeakage], naming the measure, if a token stands for ten
// patients or more on average, if the commonest is on 1 % of the rows or more,
// or if 5 % of the rows or more are guessed. NIKs, telephone numbers and family
// cards stay far below; names fail the last where some are as common as they
// are in a population. Fewer than 1,000 rows are [ErrRange]: they say too
// little. No error is not a proof that nothing leaks: who may ask for tokens
// can still try values out. A column that fails belongs in no export, and is
// better searched by another identifier.
func (l Leakage) Check() error {
	switch {
	case l.Rows < fewestRows:
		return fmt.Errorf("%w: want %d rows or more to measure", ErrRange, fewestRows)
	case l.Patients >= mostPatients:
		return fmt.Errorf("%w: a token stands for %.0f patients on average", ErrLeakage, l.Patients)
	case l.Commonest >= mostCommon:
		return fmt.Errorf("%w: the commonest token is on %.1f %% of the rows", ErrLeakage, 100*l.Commonest)
	case l.Guessed >= mostGuessed:
		return fmt.Errorf("%w: frequency analysis names up to %.1f %% of the rows", ErrLeakage, 100*l.Guessed)
	}
	return nil
}

// maxCounters bounds each of the two sets of counters.
const maxCounters = 1 << 16

// A sampled counts the values whose hash ends in level zero bits: all of them
// until there are too many, then half of those, and so on. What it keeps it has
// kept from the first occurrence on, so its counts are exact and its values an
// even sample of the different ones (Wegman's adaptive sampling; Flajolet 1990).
type sampled[T comparable] struct {
	counts map[T]int
	level  int
	seed   maphash.Seed
}

func (s *sampled[T]) in(t T) bool {
	return s.level == 0 || maphash.Comparable(s.seed, t)&(1<<s.level-1) == 0
}

func (s *sampled[T]) add(t T) {
	if !s.in(t) {
		return
	}
	s.counts[t]++
	for len(s.counts) > maxCounters {
		s.level++
		maps.DeleteFunc(s.counts, func(t T, _ int) bool { return !s.in(t) })
	}
}

// tally returns the two highest counts, and the sum of the different counts
// without the highest: of n values that occur c times each, an attacker who
// knows c names those of one right, whatever n is. Frequent values that the
// sample lacks count as often as is certain; the others among them are as rare
// as what the sample has.
func (s *sampled[T]) tally(many *frequent[T]) (first, second, guessed int) {
	different := map[int]bool{}
	note := func(count int) {
		different[count] = true
		if count > first {
			first, second = count, first
		} else if count > second {
			second = count
		}
	}
	for _, count := range s.counts {
		note(count)
	}
	for t, count := range many.counts {
		if !s.in(t) { // else it is counted exactly
			note(count)
		}
	}
	for count := range different {
		guessed += count
	}
	return first, second, guessed - first
}

// frequent counts the values that occur often (Misra and Gries 1982): a count
// is never too high, and too low by a 32,768th of the rows at most.
type frequent[T comparable] struct {
	counts map[T]int
	sorted []int // scratch
}

func (f *frequent[T]) add(t T) {
	f.counts[t]++
	if len(f.counts) <= maxCounters {
		return
	}
	f.sorted = slices.AppendSeq(f.sorted[:0], maps.Values(f.counts))
	slices.Sort(f.sorted)
	less := f.sorted[len(f.sorted)/2] // the median, so that each time at least half of the counters are free again
	for t, count := range f.counts {
		if count <= less {
			delete(f.counts, t)
		} else {
			f.counts[t] = count - less
		}
	}
}
