package risk

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// A node is a choice of one level for each quasi-identifier.
type node []int

// A grouping is the classes of the table at one node, each a set of base
// classes. Rows are left out by units: a class, or, if there is a subject, the
// classes of people who are alike in all their rows.
type grouping struct {
	of      []uint32 // base class: its class
	rows    []uint64 // of each class
	members []uint32 // the base classes, class after class
	start   []uint32 // the members of class g are start[g] to start[g+1]

	unit   []uint32 // of each class
	size   []uint64 // rows of each unit
	people []int    // of each unit, and so of each of its classes
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
		n := uint64(len(g.cell))
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
	return in.groupBy(packed, ids, number(packed, ids, card))
}

// groupBy makes a grouping of n sets of base classes. With a subject, rows
// are of one class only if their people's other rows are too: who holds the
// table sees which rows are one person's, and someone with rows in two regions
// may be the only one with both.
func (in *intake) groupBy(packed []uint64, ids []uint32, n uint64) *grouping {
	v := &grouping{of: ids}
	if in.subject == nobody {
		v.sort(in, int(n))
		v.unit, v.size, v.people = make([]uint32, n), v.rows, make([]int, n)
		for g := range v.unit {
			v.unit[g], v.people[g] = uint32(g), int(v.rows[g])
		}
		return v
	}
	kind, kinds := in.kinds(ids)
	for c, g := range ids {
		packed[c] = uint64(g)*uint64(kinds) + uint64(kind[in.person[c]])
	}
	n = number(packed, ids, n*uint64(kinds))
	v.sort(in, int(n))
	v.unit, v.size, v.people = make([]uint32, n), make([]uint64, kinds), make([]int, kinds)
	for _, k := range kind {
		v.people[k]++
	}
	for g := range v.unit {
		v.unit[g] = kind[in.person[v.members[v.start[g]]]]
		v.size[v.unit[g]] += v.rows[g]
	}
	return v
}

// kinds numbers the people by the set of classes that their rows are in.
func (in *intake) kinds(of []uint32) (kind []uint32, n int) {
	ids := map[string]uint32{}
	kind = make([]uint32, len(in.people))
	var set []uint32
	var key []byte
	for p := range kind {
		set, key = set[:0], key[:0]
		for _, c := range in.byPerson[in.from[p]:in.from[p+1]] {
			set = append(set, of[c])
		}
		slices.Sort(set)
		for _, g := range slices.Compact(set) {
			key = binary.LittleEndian.AppendUint32(key, g)
		}
		id, ok := ids[string(key)]
		if !ok {
			id = uint32(len(ids))
			ids[string(key)] = id
		}
		kind[p] = id
	}
	return kind, len(ids)
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
	v.rows = make([]uint64, n)
	for c, g := range v.of {
		v.rows[g] += uint64(in.rows[c])
	}
	v.start, v.members = bucket(v.of, n)
}

// bucket lists which of the items are of each of n buckets: those of b are
// items[start[b]] to items[start[b+1]].
func bucket(of []uint32, n int) (start, items []uint32) {
	start, items = make([]uint32, n+1), make([]uint32, len(of))
	for _, b := range of {
		start[b+1]++
	}
	for b := range n {
		start[b+1] += start[b]
	}
	next := slices.Clone(start[:n])
	for i, b := range of {
		items[next[b]] = uint32(i)
		next[b]++
	}
	return start, items
}

// A tally counts the values of one sensitive column in one class. Its counts
// are zero but while a class is being looked at.
type tally struct {
	count  []uint64
	values []uint32 // those whose count is not zero
}

func (in *intake) tallies() []tally {
	tallies := make([]tally, len(in.tracks))
	for i := range tallies {
		tallies[i].count = make([]uint64, len(in.tracks[i].keys))
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
