package pseudo

import (
	"context"
	"slices"
)

// AttributeReversible tells for whom leaked reversible tokens were made. It
// needs no candidates: a token opens under the key that made it and under no
// other. What it opens it discards, so no authority is asked, and who calls it
// learns nothing but what [Evidence] says, with the limits that [Attribute]
// states. The errors are those of [Attribute].
func AttributeReversible(ctx context.Context, domains []*Reversible, kind Kind, leaked []ReversibleToken) (Attribution, error) {
	place, err := placeOf(kind)
	if err != nil {
		return Attribution{}, err
	}
	byVersion := map[uint32][]int{} // the places of each version's tokens in leaked
	different := map[ReversibleToken]bool{}
	for i, t := range leaked {
		if !t.IsZero() {
			byVersion[t.version] = append(byVersion[t.version], i)
			different[t] = false
		}
	}
	a := Attribution{Leaked: len(different)}
	for _, r := range domains {
		p, err := r.current(ctx)
		if err != nil {
			return Attribution{}, err
		}
		for version := range p.keyset.States() {
			places := byVersion[version]
			if len(places) == 0 {
				continue
			}
			e, lost := lostEvidence(p, version)
			if !lost {
				e = Evidence{Domain: r.Name(), Version: version, Places: opened(p, place, leaked, places)}
			}
			e.Leaked = countDifferent(leaked, places)
			e.Explained = countDifferent(leaked, e.Places)
			e.Chance = chance(e.Leaked, 1, e.Explained)
			a.Evidence = append(a.Evidence, e)
			for _, i := range e.Places {
				different[leaked[i]] = true
			}
		}
		if err := ctx.Err(); err != nil {
			return Attribution{}, err
		}
	}
	for _, explained := range different {
		if explained {
			a.Explained++
		}
	}
	slices.SortFunc(a.Evidence, Evidence.compare)
	return a, nil
}

// opened returns those of places whose tokens open.
func opened(p *plan[reversibleKeys], place int, tokens []ReversibleToken, places []int) []int {
	opens := make([]bool, len(places))
	inParts(len(places), func(from, to int) {
		for i := from; i < to; i++ {
			_, err := openToken(p, place, tokens[places[i]])
			opens[i] = err == nil
		}
	})
	var list []int
	for i, ok := range opens {
		if ok {
			list = append(list, places[i])
		}
	}
	return list
}

func countDifferent(tokens []ReversibleToken, places []int) int {
	different := map[ReversibleToken]bool{}
	for _, i := range places {
		different[tokens[i]] = true
	}
	return len(different)
}
