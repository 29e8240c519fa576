package envelope

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/rahasia/rahasia/internal/cbor"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/internal/value"
	"github.com/rahasia/rahasia/keyring"
)

// core is a codec without its type parameter.
type core struct {
	recordType string
	ringID     string
	ring       *keyring.Ring
	plan       *phi.Plan
	columns    []column // ascending by compartment and stored name
	groups     []group  // of the columns, by plan.Compartments
	byName     map[string]int
	all        []int // the columns
	pool       sync.Pool
}

// column is a sealed field of the type.
type column struct {
	name  string
	field *phi.Field
	coder *value.Coder
	code  value.Code // the coder's
	entry []byte     // of its manifest entry, up to the length
	short bool       // the entry is of 8 to 16 bytes:
	head  uint64     // its first eight
	tail  uint64     // its last eight
	at    int        // its index in the struct, or -1 if it lies deeper
	plain bool       // a slice of bytes that is not deeper
	group int
}

// group is the columns[from:to] of one compartment.
type group struct {
	from, to int
}

func newCore(t reflect.Type, recordType string, ring *keyring.Ring, plans func(reflect.Type) (*phi.Plan, error)) (*core, error) {
	switch {
	case ring == nil:
		return nil, fmt.Errorf("%w: no ring", ErrEmpty)
	case recordType == "":
		return nil, fmt.Errorf("%w: no record type", ErrEmpty)
	case len(recordType) > maxID:
		return nil, fmt.Errorf("%w: record type longer than %d bytes", ErrLimit, maxID)
	}
	plan, err := plans(t)
	if err != nil {
		return nil, fmt.Errorf("envelope: type %q: %w", recordType, err)
	}
	if len(plan.Compartments) > maxSections {
		return nil, fmt.Errorf("%w: type %q has more than %d compartments", ErrLimit, recordType, maxSections)
	}
	c := &core{recordType: recordType, ringID: ring.ID(), ring: ring, plan: plan, byName: map[string]int{}}
	for g, compartment := range plan.Compartments {
		from := len(c.columns)
		if err := c.addColumns(g, compartment); err != nil {
			return nil, err
		}
		if len(c.columns)-from > maxFields {
			return nil, fmt.Errorf("%w: type %q has more than %d fields in %q", ErrLimit, recordType, maxFields, compartment)
		}
		slices.SortFunc(c.columns[from:], func(a, b column) int { return strings.Compare(a.name, b.name) })
		c.groups = append(c.groups, group{from, len(c.columns)})
	}
	for i := range c.columns {
		c.byName[c.columns[i].name] = i
		c.all = append(c.all, i)
	}
	return c, nil
}

// addColumns adds the fields of one compartment.
func (c *core) addColumns(g int, compartment string) error {
	for i := range c.plan.Fields {
		f := &c.plan.Fields[i]
		if f.Compartment != compartment {
			continue
		}
		coder, err := value.New(f.Type)
		if err != nil {
			return fmt.Errorf("envelope: type %q field %q: %w", c.recordType, f.Name, err)
		}
		col := column{name: f.Name, field: f, coder: coder, code: coder.Code, at: -1, group: g}
		col.setEntry(appendEntry(nil, []byte(f.Name), coder.Code))
		if len(f.Index) == 1 {
			col.at = f.Index[0]
			col.plain = coder.Direct == value.Bytes
		}
		c.columns = append(c.columns, col)
	}
	return nil
}

// bind sets in b whose record v says it is.
func (c *core) bind(b *binding, v reflect.Value) error {
	b.ring, b.recordType = c.ringID, c.recordType
	b.subject = role(c.plan.Subject, v)
	b.record = b.subject
	if c.plan.Record != nil {
		b.record = role(c.plan.Record, v)
	}
	switch {
	case b.subject == "":
		return fmt.Errorf("%w: type %q has no subject id", ErrEmpty, c.recordType)
	case b.record == "":
		return fmt.Errorf("%w: type %q has no record id", ErrEmpty, c.recordType)
	case len(b.subject) > maxID || len(b.record) > maxID:
		return fmt.Errorf("%w: type %q has an id longer than %d bytes", ErrLimit, c.recordType, maxID)
	}
	return nil
}

// role returns the text of a role field, which is a string behind no pointer.
func role(f *phi.Field, v reflect.Value) string {
	for _, i := range f.Index {
		v = v.Field(i)
	}
	return v.String()
}

// seal appends the row of all of v to dst.
func (c *core) seal(ctx context.Context, dst []byte, v reflect.Value, tags map[string][]byte) ([]byte, error) {
	var b binding
	if err := c.bind(&b, v); err != nil {
		return nil, err
	}
	keys, err := c.ring.CreateSubject(ctx, b.subject, c.plan.Compartments...)
	if err != nil {
		return nil, c.unsealed(err)
	}
	return c.sealWith(dst, &b, keys, v, tags)
}

// unsealed wraps an error of keyring met while sealing.
func (c *core) unsealed(err error) error {
	return fmt.Errorf("envelope: seal type %q: %w", c.recordType, err)
}

// sealWith is seal under the subject's keys for the plan's compartments.
func (c *core) sealWith(dst []byte, b *binding, keys []*keyring.SubjectKey, v reflect.Value, tags map[string][]byte) ([]byte, error) {
	s := c.get()
	defer c.put(s)
	tagged := 0
	for i, compartment := range c.plan.Compartments {
		tag, ok := tags[compartment]
		if ok {
			tagged++
		}
		if err := s.newPart(keys[i], compartment, tag); err != nil {
			return nil, c.unsealed(err)
		}
		if err := c.writeGroup(s, &c.groups[i], v); err != nil {
			return nil, err
		}
		s.endPart()
	}
	if tagged < len(tags) {
		return nil, c.homeless(c.plan.Compartments)
	}
	return c.finish(dst, s, b)
}

// finish appends to dst the row of what was gathered in s.
func (c *core) finish(dst []byte, s *scratch, b *binding) ([]byte, error) {
	row, err := s.sealFresh(dst, b)
	if err != nil {
		return nil, fmt.Errorf("%w: type %q", err, c.recordType)
	}
	return row, nil
}

// writeGroup adds the values of a group of columns to the part that is being
// made: what write does for each, and for slices of bytes with less ado.
func (c *core) writeGroup(s *scratch, g *group, root reflect.Value) error {
	columns := c.columns[g.from:g.to]
	for j := range columns {
		col := &columns[j]
		if !col.plain {
			if err := c.write(s, col, root); err != nil {
				return err
			}
			continue
		}
		b := root.Field(col.at).Bytes()
		if b == nil {
			continue
		}
		n := cbor.HeadSize(len(b)) + len(b)
		if len(b) > maxValue || n > maxValue || len(s.values)+n > maxRow {
			return c.at(ErrLimit, col.name)
		}
		s.values = append(cbor.AppendHead(s.values, cbor.Bytes, uint64(len(b))), b...)
		s.index = appendLength(append(s.index, col.entry...), n)
		s.lengths = append(s.lengths, n)
	}
	return nil
}

// write adds the value of a column to the part that is being made.
func (c *core) write(s *scratch, col *column, root reflect.Value) error {
	v, ok := root, true
	if col.at >= 0 {
		v = root.Field(col.at)
	} else if v, ok = col.field.Value(root); !ok {
		return nil
	}
	if col.coder.Direct != 0 && v.Len() > maxValue { // before it is copied
		return c.at(ErrLimit, col.name)
	}
	start := len(s.values)
	switch {
	case col.coder.Direct == value.Bytes:
		b := v.Bytes()
		if b == nil {
			return nil
		}
		s.values = append(cbor.AppendHead(s.values, cbor.Bytes, uint64(len(b))), b...)
	case col.coder.Absent(v):
		return nil
	default:
		s.torn = true // if a MarshalBinary panics
		values, err := col.coder.Write(s.values, v)
		s.values, s.torn = values, false
		if err != nil {
			return fmt.Errorf("%w: %w", c.at(ErrValue, col.name), err)
		}
	}
	n := len(s.values) - start
	if n > maxValue || len(s.values) > maxRow {
		return c.at(ErrLimit, col.name)
	}
	s.index = appendLength(append(s.index, col.entry...), n)
	s.lengths = append(s.lengths, n)
	return nil
}

// newPart begins a section under the newest generation of a subject key.
func (s *scratch) newPart(key *keyring.SubjectKey, compartment string, tag []byte) error {
	generation := key.Generation()
	aead, err := key.Record(generation)
	if err != nil {
		return err
	}
	s.addPart(part{compartment: compartment, generation: generation, key: aead, tag: tag})
	return nil
}

// addPart begins a section. Its fields are those added to s until endPart.
func (s *scratch) addPart(p part) {
	p.fields, p.index, p.values = len(s.lengths), len(s.index), len(s.values)
	s.parts = append(s.parts, p)
}

// endPart ends the section.
func (s *scratch) endPart() {
	p := &s.parts[len(s.parts)-1]
	p.fields, p.index, p.values = len(s.lengths)-p.fields, len(s.index)-p.index, len(s.values)-p.values
}
