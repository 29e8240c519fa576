package envelope

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/rahasia/rahasia/internal/secret"
)

func (c *core) reseal(ctx context.Context, r *Reading, v reflect.Value, fields []string, tags map[string][]byte) (Sealed, error) {
	x, err := c.resume(r, v)
	if err != nil {
		return nil, err
	}
	s := c.get()
	defer c.put(s)
	if err := s.want(c, fields, false); err != nil {
		return nil, err
	}
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
			return nil, c.homeless(compartments)
		}
	}
	return x.resealAs(ctx, s, &x.bind, compartments, v, tags)
}

// rebind seals everything that r reads, and nothing else, as the record v.
func (c *core) rebind(ctx context.Context, r *Reading, v reflect.Value) (Sealed, error) {
	if r.none() {
		return nil, fmt.Errorf("%w: no reading", ErrEmpty)
	}
	x := r.read()
	if x.core != c {
		return nil, fmt.Errorf("%w: type %q: a reading of another record", ErrOpen, c.recordType)
	}
	var b binding
	if err := c.bind(&b, v); err != nil {
		return nil, err
	}
	s := c.get()
	defer c.put(s)
	if err := s.want(c, nil, false); err != nil {
		return nil, err
	}
	if err := x.checkReseal(s); err != nil {
		return nil, err
	}
	return x.resealAs(ctx, s, &b, r.Compartments(), v, nil)
}

// resealAs seals the wanted fields of v and what else x reads as the record b,
// in compartments that include all of x's.
func (x *reading) resealAs(ctx context.Context, s *scratch, b *binding, compartments []string, v reflect.Value, tags map[string][]byte) (Sealed, error) {
	c := x.core
	keys, err := c.ring.CreateSubject(ctx, b.subject, compartments...)
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
	return c.finish(nil, s, b)
}

// section returns the opened section of a compartment, or an empty one.
func (x *reading) section(compartment string) *section {
	if i := x.layout.find(x.row, compartment); i >= 0 {
		return &x.sections[i]
	}
	return &section{}
}

// checkReseal refuses to leave anything of the row behind, or to store a field
// twice. It sorts the wanted columns.
func (x *reading) checkReseal(s *scratch) error {
	slices.Sort(s.wanted)
	s.wanted = slices.Compact(s.wanted)
	for i := range x.sections {
		if !x.sections[i].opened {
			return fmt.Errorf("%w: type %q: section %q is not open", ErrCompartment, x.core.recordType, x.compartment(i))
		}
	}
	for _, w := range s.wanted {
		col := &x.core.columns[w]
		if x.section(x.core.plan.Compartments[col.group]).find(col.name) >= 0 {
			continue
		}
		if x.holds(col.name) {
			return x.misplaced(col)
		}
	}
	return nil
}

// merge adds the fields of one section to the part that is being made: those
// that are wanted from v, the others from the row, ascending by name.
func (x *reading) merge(s *scratch, o *section, compartment string, v reflect.Value) error {
	next := 0
	if g, ok := slices.BinarySearch(x.core.plan.Compartments, compartment); ok {
		for _, w := range s.wanted { // ascending, each once: checkReseal saw to that
			if x.core.columns[w].group != g {
				continue
			}
			col := &x.core.columns[w]
			for ; next < len(o.entries) && string(o.entries[next].name(o.manifest)) < col.name; next++ {
				if err := x.carry(s, o, next); err != nil {
					return err
				}
			}
			if next < len(o.entries) && string(o.entries[next].name(o.manifest)) == col.name {
				next++ // replaced
			}
			if err := x.core.write(s, col, v); err != nil {
				return err
			}
		}
	}
	for ; next < len(o.entries); next++ {
		if err := x.carry(s, o, next); err != nil {
			return err
		}
	}
	return nil
}

// carry adds one field of the row to the part that is being made.
func (x *reading) carry(s *scratch, o *section, i int) error {
	e := &o.entries[i]
	s.nonce.set(sealID(x.row))
	values, err := o.open(s.values, secret.Cipher(o.key), &s.nonce, i)
	if err != nil {
		return x.core.at(ErrOpen, string(e.name(o.manifest)))
	}
	s.values = values
	s.index = appendLength(appendEntry(s.index, e.name(o.manifest), e.code), int(e.length))
	s.lengths = append(s.lengths, int(e.length))
	return nil
}
