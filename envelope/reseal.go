package envelope

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
)

func (c *core) reseal(ctx context.Context, r *Reading, v reflect.Value, fields []string, tags map[string][]byte) (Sealed, error) {
	x, err := c.resume(r, v)
	if err != nil {
		return nil, err
	}
	s := c.get()
	defer c.put(s)
	if err := s.want(c, fields); err != nil {
		return nil, err
	}
	slices.Sort(s.wanted) // so that a part's new fields ascend by name
	if err := x.checkReseal(s); err != nil {
		return nil, err
	}
	compartments := c.plan.Compartments
	for i := range x.layout.n {
		if name := string(x.compartment(i)); !slices.Contains(c.plan.Compartments, name) {
			compartments = append(slices.Clip(compartments), name)
		}
	}
	compartments = slices.Sorted(slices.Values(compartments))
	for compartment := range tags {
		if !slices.Contains(compartments, compartment) {
			return nil, c.homeless()
		}
	}
	keys, err := c.ring.CreateSubject(ctx, x.bind.subject, compartments...)
	if err != nil {
		return nil, fmt.Errorf("envelope: reseal type %q: %w", c.recordType, err)
	}
	for i, compartment := range compartments {
		o := x.section(compartment)
		tag, changed := tags[compartment]
		if !changed {
			tag = o.tag
		}
		if err := s.newPart(keys[i], compartment, tag); err != nil {
			return nil, fmt.Errorf("envelope: reseal type %q: %w", c.recordType, err)
		}
		if err := x.merge(s, o, compartment, v); err != nil {
			return nil, err
		}
		s.endPart()
	}
	return c.finish(s, &x.bind)
}

// section returns the opened section of a compartment, or an empty one.
func (x *reading) section(compartment string) *section {
	if i := x.layout.find(x.row, compartment); i >= 0 {
		return &x.sections[i]
	}
	return &section{}
}

// checkReseal refuses to leave anything of the row behind, or to store a field
// twice.
func (x *reading) checkReseal(s *scratch) error {
	for i := range x.layout.n {
		if !x.sections[i].opened {
			return fmt.Errorf("%w: type %q: section %q is not open", ErrCompartment, x.core.recordType, x.compartment(i))
		}
		for _, w := range s.wanted {
			col := &x.core.columns[w]
			if string(x.compartment(i)) != col.field.Compartment && x.sections[i].find(col.name, 0) >= 0 {
				return x.core.at(ErrCompartment, col.field.Name)
			}
		}
	}
	return nil
}

// merge adds the fields of one section to the part that is being made: those
// that are wanted from v, the others from the row, ascending by name.
func (x *reading) merge(s *scratch, o *section, compartment string, v reflect.Value) error {
	next := 0
	carry := func(below []byte) error { // the entries of o before a name; all if it is nil
		for ; next < len(o.entries); next++ {
			e := &o.entries[next]
			if below != nil && bytes.Compare(e.name, below) >= 0 {
				return nil
			}
			values, err := x.value(s, s.values, o, next)
			if err != nil {
				return x.core.at(ErrOpen, string(e.name))
			}
			s.values = values
			s.index = appendLength(appendEntry(s.index, e.name, e.code), e.length)
			s.lengths = append(s.lengths, e.length)
		}
		return nil
	}
	for _, w := range s.wanted {
		col := &x.core.columns[w]
		if col.field.Compartment != compartment {
			continue
		}
		if err := carry(col.name); err != nil {
			return err
		}
		if next < len(o.entries) && bytes.Equal(o.entries[next].name, col.name) {
			next++ // replaced
		}
		if err := x.core.write(s, col, v); err != nil {
			return err
		}
	}
	return carry(nil)
}
