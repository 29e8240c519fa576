package envelope

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
)

// core is a codec without its type parameter.
type core struct {
	recordType string
	ring       *keyring.Ring
	plan       *phi.Plan
	columns    []column // ascending by stored name
	pool       sync.Pool
}

// column is a sealed field of the type.
type column struct {
	field *phi.Field
	name  []byte
	entry []byte // of its manifest entry, up to the length
	at    int    // its index in the struct, or -1 if it lies deeper
	place int    // among the columns of its compartment: where its entry is in a row without NULLs
	coder *coder
}

func newCore(t reflect.Type, recordType string, ring *keyring.Ring) (*core, error) {
	switch {
	case ring == nil:
		return nil, fmt.Errorf("%w: no ring", ErrEmpty)
	case recordType == "":
		return nil, fmt.Errorf("%w: no record type", ErrEmpty)
	case len(recordType) > maxID:
		return nil, fmt.Errorf("%w: record type longer than %d bytes", ErrLimit, maxID)
	}
	plan, err := phi.For(t)
	if err != nil {
		return nil, fmt.Errorf("envelope: type %q: %w", recordType, err)
	}
	c := &core{recordType: recordType, ring: ring, plan: plan}
	if len(plan.Compartments) > maxSections {
		return nil, fmt.Errorf("%w: type %q has more than %d compartments", ErrLimit, recordType, maxSections)
	}
	for i := range plan.Fields {
		f := &plan.Fields[i]
		coder, err := newCoder(f.Type)
		if err != nil {
			return nil, fmt.Errorf("envelope: type %q field %q: %w", recordType, f.Name, err)
		}
		col := column{field: f, name: []byte(f.Name), at: -1, coder: coder}
		col.entry = appendEntry(nil, col.name, coder.code)
		if len(f.Index) == 1 {
			col.at = f.Index[0]
		}
		c.columns = append(c.columns, col)
	}
	slices.SortFunc(c.columns, func(a, b column) int { return cmp.Compare(a.field.Name, b.field.Name) })
	places := map[string]int{}
	for i := range c.columns {
		in := c.columns[i].field.Compartment
		if c.columns[i].place = places[in]; c.columns[i].place == maxFields {
			return nil, fmt.Errorf("%w: type %q has more than %d fields in %q", ErrLimit, recordType, maxFields, in)
		}
		places[in]++
	}
	return c, nil
}

// column returns the index of the column of a stored name.
func (c *core) column(name string) (int, error) {
	i, ok := slices.BinarySearchFunc(c.columns, name, func(col column, name string) int {
		return strings.Compare(col.field.Name, name)
	})
	if !ok {
		return 0, fmt.Errorf("%w: type %q has no sealed field of that name", ErrField, c.recordType)
	}
	return i, nil
}

// bind returns whose record v says it is.
func (c *core) bind(v reflect.Value) (binding, error) {
	b := binding{ring: c.ring.ID(), recordType: c.recordType}
	b.subject, _ = c.plan.Subject.Text(v)
	b.record = b.subject
	if c.plan.Record != nil {
		b.record, _ = c.plan.Record.Text(v)
	}
	switch {
	case b.subject == "":
		return b, fmt.Errorf("%w: type %q has no subject id", ErrEmpty, c.recordType)
	case b.record == "":
		return b, fmt.Errorf("%w: type %q has no record id", ErrEmpty, c.recordType)
	case len(b.subject) > maxID || len(b.record) > maxID:
		return b, fmt.Errorf("%w: type %q has an id longer than %d bytes", ErrLimit, c.recordType, maxID)
	}
	return b, nil
}

// seal seals all of v.
func (c *core) seal(ctx context.Context, v reflect.Value, tags map[string][]byte) (Sealed, error) {
	b, err := c.bind(v)
	if err != nil {
		return nil, err
	}
	keys, err := c.ring.CreateSubject(ctx, b.subject, c.plan.Compartments...)
	if err != nil {
		return nil, fmt.Errorf("envelope: seal type %q: %w", c.recordType, err)
	}
	s := c.get()
	defer c.put(s)
	tagged := 0
	for i, compartment := range c.plan.Compartments {
		tag, ok := tags[compartment]
		if ok {
			tagged++
		}
		if err := s.newPart(keys[i], compartment, tag); err != nil {
			return nil, fmt.Errorf("envelope: seal type %q: %w", c.recordType, err)
		}
		for j := range c.columns {
			if c.columns[j].field.Compartment != compartment {
				continue
			}
			if err := c.write(s, &c.columns[j], v); err != nil {
				return nil, err
			}
		}
		s.endPart()
	}
	if tagged < len(tags) {
		return nil, c.homeless()
	}
	return c.finish(s, &b)
}

// finish seals what was gathered in s.
func (c *core) finish(s *scratch, b *binding) (Sealed, error) {
	row, err := s.sealFresh(b)
	if err != nil {
		return nil, fmt.Errorf("%w: type %q", err, c.recordType)
	}
	return row, nil
}

// homeless refuses a tag that would be dropped in silence.
func (c *core) homeless() error {
	return fmt.Errorf("%w: type %q has no such compartment for a tag", ErrCompartment, c.recordType)
}

// write adds the value of a column to the part that is being made.
func (c *core) write(s *scratch, col *column, root reflect.Value) error {
	v, ok := root, true
	if col.at >= 0 {
		v = root.Field(col.at)
	} else if v, ok = col.field.Value(root); !ok {
		return nil
	}
	if col.coder.absent(v) {
		return nil
	}
	start := len(s.values)
	if col.coder.direct == codeBytes {
		b := v.Bytes()
		s.values = append(appendHead(s.values, majorBytes, uint64(len(b))), b...)
	} else {
		values, err := col.coder.write(s.values, v)
		s.values = values
		if err != nil {
			return fmt.Errorf("%w: %w", c.at(ErrValue, col.field.Name), err)
		}
	}
	n := len(s.values) - start
	if n > maxValue || len(s.values) > maxRow {
		return c.at(ErrLimit, col.field.Name)
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
