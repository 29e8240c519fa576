package risk

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
)

// An intake is what one reading of a table leaves: its base classes, the rows
// that agree in every quasi-identifier as it stands and are of one person if
// there is a subject, with how often each sensitive value occurs in them.
type intake struct {
	*layout
	values   []dict              // of each quasi-identifier
	people   map[[16]byte]uint32 // who has rows
	classes  map[string]uint32   // by the ids of the values and the person, four bytes each
	keys     []uint32            // the ids of the values, class after class
	person   []uint32            // of each class, if there is a subject; the classes of p are
	from     []uint32            // byPerson[from[p]] to byPerson[from[p+1]]
	byPerson []uint32
	rows     []uint32 // of each class
	tracks   []track
	total    int
	entries  int
	seed     maphash.Seed
	digest   uint64
}

// A cursor is one reading of the table.
type cursor struct {
	in     *intake
	learn  bool // the first reading, which gives ids
	line   int
	class  uint32
	digest uint64 // of the rows as a multiset
	buf    []byte
	row    []byte // the ids of the row at hand: the class's key, then the sensitive values
}

// A dict numbers the distinct keys of a column in the order they come in.
type dict struct {
	ids  map[string]uint32
	keys []string
}

// A track is a sensitive column, whose values are counted in each class.
type track struct {
	dict
	kind  *Sensitive
	pairs map[uint64]uint32 // how often class and value meet, until sealed

	start, value, count []uint32 // sealed: the entries of class c are start[c] to start[c+1], values ascending
	sorted              []uint32 // the values of an ordered column, ascending
	null                uint32   // id of NULL, or none
}

const none = math.MaxUint32

// load reads the table once.
func load(ctx context.Context, t Table, p Plan) (*intake, error) {
	x, err := newLayout(t, p)
	if err != nil {
		return nil, err
	}
	in := newIntake(x)
	c := cursor{in: in, learn: true}
	for row, err := range t.Rows {
		if err == nil && c.line%1024 == 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = c.next(row)
		}
		if err == nil {
			err = in.count(&c)
		}
		if err != nil {
			return nil, err
		}
	}
	if c.line == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrRow)
	}
	in.total, in.digest = c.line, c.digest
	in.seal()
	return in, ctx.Err()
}

func newIntake(x *layout) *intake {
	in := &intake{
		layout: x, values: make([]dict, len(x.quasi)), people: map[[16]byte]uint32{}, classes: map[string]uint32{},
		tracks: make([]track, len(x.sensitive)), seed: maphash.MakeSeed(),
	}
	for i := range in.values {
		in.values[i].ids = map[string]uint32{}
	}
	for i := range in.tracks {
		in.tracks[i] = track{kind: &x.sensitive[i], pairs: map[uint64]uint32{}, null: none}
		in.tracks[i].ids = map[string]uint32{}
	}
	return in
}

// count counts the row at hand.
func (in *intake) count(c *cursor) error {
	in.rows[c.class]++
	first := len(c.row) - 4*len(in.tracks)
	for i := range in.tracks {
		pair := uint64(c.class)<<32 | uint64(binary.LittleEndian.Uint32(c.row[first+4*i:]))
		n := in.tracks[i].pairs[pair]
		if n == 0 {
			in.entries++
		}
		in.tracks[i].pairs[pair] = n + 1
	}
	if in.entries > in.limit || c.line > math.MaxInt32 {
		return fmt.Errorf("%w at row %d", ErrLimit, c.line)
	}
	return nil
}

// next turns a row into ids. A value, person or class that has none yet is
// given one, or, on a later reading, is ErrChanged.
func (c *cursor) next(row []any) error {
	in := c.in
	c.line++
	if len(row) != len(in.columns) {
		return fmt.Errorf("%w: row %d has %d cells, want %d", ErrRow, c.line, len(row), len(in.columns))
	}
	c.row = c.row[:0]
	var ok bool
	for i, at := range in.quasi {
		if c.buf, ok = appendCell(c.buf[:0], row[at]); !ok {
			return c.bad(at, row[at])
		}
		if err := c.put(c.value(&in.values[i])); err != nil {
			return err
		}
	}
	if at := in.subject; at != nobody {
		if c.buf, ok = appendText(c.buf[:0], row[at]); !ok || row[at] == nil {
			return c.bad(at, row[at])
		}
		if err := c.put(c.person()); err != nil {
			return err
		}
	}
	if err := c.classify(); err != nil {
		return err
	}
	for i, at := range in.tracked {
		if !c.tracked(&in.tracks[i], row[at]) {
			return c.bad(at, row[at])
		}
		if err := c.put(c.value(&in.tracks[i].dict)); err != nil {
			return err
		}
	}
	c.digest += maphash.Bytes(in.seed, c.row)
	return nil
}

func (c *cursor) bad(at int, cell any) error {
	return fmt.Errorf("%w: row %d, column %q, a %T: want a text of at most 1,024 bytes, a number or a bool, no list, in the order if there is one, and a subject in each row",
		ErrRow, c.line, c.in.columns[at], cell)
}

// put appends an id to the row at hand.
func (c *cursor) put(id uint32) error {
	if id == none {
		return fmt.Errorf("%w: row %d", ErrChanged, c.line)
	}
	c.row = binary.LittleEndian.AppendUint32(c.row, id)
	return nil
}

// classify finds the class of the row at hand.
func (c *cursor) classify() error {
	in := c.in
	class, ok := in.classes[string(c.row)]
	switch {
	case !ok && !c.learn:
		return fmt.Errorf("%w: row %d", ErrChanged, c.line)
	case !ok:
		class = uint32(len(in.rows))
		in.classes[string(c.row)] = class
		in.rows = append(in.rows, 0)
		for i := range in.quasi {
			in.keys = append(in.keys, binary.LittleEndian.Uint32(c.row[4*i:]))
		}
		if in.subject != nobody {
			in.person = append(in.person, binary.LittleEndian.Uint32(c.row[4*len(in.quasi):]))
		}
		in.entries += 1 + len(c.row)/32
	}
	c.class = class
	return nil
}

// tracked writes the key of a cell of a sensitive column into c.buf and
// reports whether it may stand there.
func (c *cursor) tracked(t *track, cell any) (ok bool) {
	if t.kind.Numeric {
		c.buf, ok = appendNumber(c.buf[:0], cell)
		return ok
	}
	if len(t.kind.Order) > 0 {
		c.buf, ok = appendCell(c.buf[:0], cell)
		return ok && (cell == nil || c.buf[0] == tagString && slices.Contains(t.kind.Order, string(c.buf[1:])))
	}
	c.buf, ok = appendText(c.buf[:0], cell)
	return ok
}

// value returns the number of the key in c.buf.
func (c *cursor) value(d *dict) uint32 {
	id, found := d.ids[string(c.buf)]
	switch {
	case found:
		return id
	case !c.learn:
		return none
	}
	key := string(c.buf)
	id = uint32(len(d.keys))
	d.ids[key], d.keys = id, append(d.keys, key)
	c.in.entries += 1 + len(key)/64 // a long text is as many entries as it takes the room of
	return id
}

// person returns the number of the person whose key is in c.buf. 128 bits of
// a hash are kept, which take less memory than a pseudonym and name nobody;
// two people who met in them would count as one.
func (c *cursor) person() uint32 {
	h := sha256.Sum256(c.buf)
	key := [16]byte(h[:16])
	id, found := c.in.people[key]
	switch {
	case found:
		return id
	case !c.learn:
		return none
	}
	id = uint32(len(c.in.people))
	c.in.people[key] = id
	c.in.entries++
	return id
}

// seal turns the counted pairs into runs of each class.
func (in *intake) seal() {
	in.from, in.byPerson = bucket(in.person, len(in.people))
	for i := range in.tracks {
		t := &in.tracks[i]
		pairs := make([]uint64, 0, len(t.pairs))
		for pair := range t.pairs {
			pairs = append(pairs, pair)
		}
		slices.Sort(pairs)
		t.start = make([]uint32, len(in.rows)+1)
		t.value, t.count = make([]uint32, len(pairs)), make([]uint32, len(pairs))
		for j, pair := range pairs {
			t.start[pair>>32+1] = uint32(j + 1) // no class is empty, so each end is set
			t.value[j], t.count[j] = uint32(pair), t.pairs[pair]
		}
		t.pairs = nil
		if id, ok := t.ids[string(rune(tagNull))]; ok {
			t.null = id
		}
		if t.kind.Numeric || len(t.kind.Order) > 0 {
			t.order()
		}
	}
}

// order sorts the values of an ordered column, NULL below all.
func (t *track) order() {
	weight := make([]float64, len(t.keys))
	t.sorted = make([]uint32, len(t.keys))
	for i, key := range t.keys {
		t.sorted[i] = uint32(i)
		switch {
		case key[0] == tagNull:
			weight[i] = math.Inf(-1)
		case t.kind.Numeric:
			weight[i], _ = strconv.ParseFloat(key[1:], 64) // appendNumber wrote it
		default:
			weight[i] = float64(slices.Index(t.kind.Order, key[1:]))
		}
	}
	slices.SortFunc(t.sorted, func(a, b uint32) int { return cmp.Compare(weight[a], weight[b]) })
}
