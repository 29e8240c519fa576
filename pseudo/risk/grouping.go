package risk

import "math/bits"

// A node is a choice of one level for each quasi-identifier.
type node []int

// A grouping is the classes of the table at one node, each a set of base
// classes.
type grouping struct {
	of      []uint32 // base class: its class
	rows    []uint64 // of each class
	members []uint32 // the base classes, class after class
	start   []uint32 // the members of class g are start[g] to start[g+1]
}

// group joins the base classes at a node. It packs the general values of a
// class into one number, and numbers the classes anew whenever the next value
// would not fit, so that it is exact for any number of columns.
func (in *intake) group(attributes []attribute, at node) *grouping {
	width := len(in.quasi)
	packed := make([]uint64, len(in.rows))
	ids := make([]uint32, len(in.rows))
	card := uint64(1)
	for i := range attributes {
		g := &attributes[i].levels[at[i]]
		n := uint64(len(g.text))
		if n == 1 {
			continue
		}
		if hi, _ := bits.Mul64(card, n); hi != 0 {
			card = number(packed, ids, card)
			for c, id := range ids {
				packed[c] = uint64(id)
			}
		}
		card *= n
		for c := range packed {
			packed[c] = packed[c]*n + uint64(g.of[in.keys[c*width+i]])
		}
	}
	v := &grouping{of: ids}
	v.sort(in, int(number(packed, ids, card)))
	return v
}

// number gives each distinct value of packed, all below card, a number in the
// order they come in, and returns how many there are.
func number(packed []uint64, ids []uint32, card uint64) uint64 {
	if card <= 4*uint64(len(packed)) { // a table is faster than a map
		seen := make([]uint32, card)
		n := uint32(0)
		for c, p := range packed {
			if seen[p] == 0 {
				n++
				seen[p] = n
			}
			ids[c] = seen[p] - 1
		}
		return uint64(n)
	}
	seen := make(map[uint64]uint32)
	for c, p := range packed {
		id, ok := seen[p]
		if !ok {
			id = uint32(len(seen))
			seen[p] = id
		}
		ids[c] = id
	}
	return uint64(len(seen))
}

// sort lists the members of the n classes.
func (v *grouping) sort(in *intake, n int) {
	v.rows, v.start, v.members = make([]uint64, n), make([]uint32, n+1), make([]uint32, len(v.of))
	for c, g := range v.of {
		v.rows[g] += uint64(in.rows[c])
		v.start[g+1]++
	}
	for g := range n {
		v.start[g+1] += v.start[g]
	}
	next := append([]uint32(nil), v.start[:n]...)
	for c, g := range v.of {
		v.members[next[g]] = uint32(c)
		next[g]++
	}
}

// A tally counts the values of one tracked column in one class. Its counts
// are zero but while a class is being looked at.
type tally struct {
	count  []uint64
	values []uint32 // those whose count is not zero
}

func (in *intake) tallies() []tally {
	tallies := make([]tally, len(in.tracks))
	for i := range tallies {
		tallies[i].count = make([]uint64, in.tracks[i].size())
	}
	return tallies
}

// of counts the values in class g; call clear before the next.
func (y *tally) of(t *track, v *grouping, g int) {
	for _, c := range v.members[v.start[g]:v.start[g+1]] {
		for j := t.start[c]; j < t.start[c+1]; j++ {
			value := t.value[j]
			if y.count[value] == 0 {
				y.values = append(y.values, value)
			}
			y.count[value] += uint64(t.count[j])
		}
	}
}

func (y *tally) clear() {
	for _, value := range y.values {
		y.count[value] = 0
	}
	y.values = y.values[:0]
}
