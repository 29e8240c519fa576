package risk

import (
	"fmt"
	"math"
	"slices"
)

// naive computes k, l, entropy l and t of one column from their
// definitions, value by value, for cells that are not NULL. Where compare is nil
// the distance is the equal one.
func naive(rows [][]any, quasi []int, sensitive int, compare func(a, b any) int) (k, l int, entropyL, t float64) {
	classes := map[string][]any{}
	var values []any
	for _, row := range rows {
		key := ""
		for _, q := range quasi {
			key += fmt.Sprintf("%T %q|", row[q], fmt.Sprint(row[q]))
		}
		classes[key] = append(classes[key], row[sensitive])
		if !slices.Contains(values, row[sensitive]) {
			values = append(values, row[sensitive])
		}
	}
	if compare != nil {
		slices.SortFunc(values, compare)
	}
	share := func(of []any, value any) float64 {
		n := 0
		for _, v := range of {
			if v == value {
				n++
			}
		}
		return float64(n) / float64(len(of))
	}
	var whole []any
	for _, row := range rows {
		whole = append(whole, row[sensitive])
	}
	p := make([]float64, len(values))
	for i, v := range values {
		p[i] = share(whole, v)
	}
	k, l, entropyL = math.MaxInt, math.MaxInt, math.Inf(1)
	for _, class := range classes {
		distinct, h, equal, ahead, steps := 0, 0.0, 0.0, 0.0, 0.0
		for i, v := range values {
			q := share(class, v)
			if q > 0 {
				distinct++
				h -= q * math.Log(q)
			}
			equal += math.Abs(p[i]-q) / 2
			ahead += q - p[i]
			steps += math.Abs(ahead)
		}
		if compare != nil {
			if equal = 0; len(values) > 1 {
				equal = steps / float64(len(values)-1)
			}
		}
		k, l, entropyL, t = min(k, len(class)), min(l, distinct), min(entropyL, math.Exp(h)), max(t, equal)
	}
	return k, l, entropyL, t
}
