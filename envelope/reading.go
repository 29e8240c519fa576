package envelope

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"slices"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// Reading is a row that [Codec.Begin] began: its authenticated header, and the
// opened manifests of some of its sections. It holds keys, tags and the names
// of the fields that are not NULL, but no value; treat it as sensitive and let
// it go when the call ends. It is safe for concurrent use. The zero Reading
// has no sections.
type Reading struct {
	_    [0]func()
	read func() *reading
}

// Format writes a fixed text, whatever the verb.
func (r *Reading) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "envelope.Reading") }

// LogValue is a fixed text.
func (r *Reading) LogValue() slog.Value { return slog.StringValue("envelope.Reading") }

// Compartments returns those that the row has a section of, opened or not,
// ascending.
func (r *Reading) Compartments() []string {
	if r.none() {
		return nil
	}
	x := r.read()
	names := make([]string, x.layout.n)
	for i := range names {
		names[i] = string(x.compartment(i))
	}
	return names
}

// Tag returns a copy of the tag of a compartment's section: nil if the section
// is not opened, and not nil if it is, even for an empty tag.
func (r *Reading) Tag(compartment string) []byte {
	if r.none() {
		return nil
	}
	x := r.read()
	i := x.layout.find(x.row, compartment)
	if i < 0 || !x.sections[i].opened {
		return nil
	}
	return append([]byte{}, x.sections[i].tag...)
}

// Has reports whether the opened sections hold a field of this stored name. A
// field that is NULL is not held.
func (r *Reading) Has(field string) bool {
	if r.none() {
		return false
	}
	return r.read().holds(field)
}

// SealID returns the row's seal id, which is its revision: every sealing has
// another.
func (r *Reading) SealID() [12]byte {
	if r.none() {
		return [12]byte{}
	}
	x := r.read()
	return [idSize]byte(sealID(x.row))
}

func (r *Reading) none() bool { return r == nil || r.read == nil }

// reading is a row that is being opened.
type reading struct {
	core     *core
	bind     binding
	row      []byte
	layout   layout
	sections []section // those of layout, in its order
	names    []string  // of the compartments that a call asks the ring for
	at       []int     // their sections
	known    *known    // nil: none
}

// known are keys of the subject that need not be asked for.
type known struct {
	compartments []string
	keys         []*keyring.SubjectKey
}

// all returns the keys of those compartments, or nil.
func (k *known) all(names []string) []*keyring.SubjectKey {
	if k == nil || k.keys == nil {
		return nil
	}
	if slices.Equal(names, k.compartments) {
		return k.keys
	}
	keys := make([]*keyring.SubjectKey, len(names))
	for i, name := range names {
		at := slices.Index(k.compartments, name)
		if at < 0 {
			return nil
		}
		keys[i] = k.keys[at]
	}
	return keys
}

// wipe clears what is secret in x, and keeps its buffers.
func (x *reading) wipe() {
	for i := range x.sections {
		o := &x.sections[i]
		o.opened, o.key, o.tag, o.fields = false, secret.AEAD{}, nil, nil
		o.manifest, o.entries = wipe(o.manifest), o.entries[:0]
	}
	clear(x.names)
	x.core, x.bind, x.row, x.layout.n, x.known = nil, binding{}, nil, 0, nil
	x.sections, x.names, x.at = x.sections[:0], x.names[:0], x.at[:0]
}

// parse takes a row. It keeps it.
func (x *reading) parse(c *core, v reflect.Value, row []byte) error {
	if err := c.bind(&x.bind, v); err != nil {
		return err
	}
	if err := x.layout.parse(row); err != nil {
		return err
	}
	x.core, x.row = c, row
	for cap(x.sections) < x.layout.n {
		x.sections = append(x.sections[:cap(x.sections)], section{})
	}
	x.sections = x.sections[:x.layout.n]
	return nil
}

// compartment returns the name of section i, which aliases the row.
func (x *reading) compartment(i int) []byte { return x.layout.spans[i].name(x.row) }

// want asks for section i.
func (x *reading) want(i int) {
	if !x.sections[i].opened && !slices.Contains(x.at, i) {
		x.at = append(x.at, i)
		x.names = append(x.names, x.core.compartment(x.compartment(i)))
	}
}

// expected returns the columns of a compartment, nil if the type has none there.
func (c *core) expected(compartment string) []column {
	for g, known := range c.plan.Compartments {
		if known == compartment {
			return c.columns[c.groups[g].from:c.groups[g].to]
		}
	}
	return nil
}

// compartment returns a compartment's name as a string, without allocating for
// one that the type has.
func (c *core) compartment(name []byte) string {
	for _, known := range c.plan.Compartments {
		if known == string(name) {
			return known
		}
	}
	return string(name)
}

// open opens the sections that are wanted. If there are none it opens one that
// is granted, because nothing in the header, such as what it does not name, is
// to be trusted before.
func (x *reading) open(ctx context.Context, s *scratch) error {
	if len(x.at) == 0 {
		for i := range x.layout.n {
			if x.core.ring.Granted(string(x.compartment(i))) {
				x.want(i)
				break
			}
		}
	}
	if len(x.at) == 0 {
		return fmt.Errorf("envelope: open type %q: %w: none of the row's compartments", x.core.recordType, keyring.ErrNotGranted)
	}
	keys := x.known.all(x.names)
	if keys == nil {
		var err error
		if keys, err = x.core.ring.Subject(ctx, x.bind.subject, x.names...); err != nil {
			return x.core.refused(err)
		}
	}
	for k, i := range x.at {
		span := &x.layout.spans[i]
		aead, err := keys[k].Record(span.generation)
		if err != nil {
			return x.core.refused(err)
		}
		if !s.openSection(&x.sections[i], x.row, x.layout.header, span, &x.bind, aead, x.core.expected(x.names[k])) {
			return fmt.Errorf("%w: type %q compartment %q", ErrOpen, x.core.recordType, x.names[k])
		}
	}
	clear(x.names)
	x.names, x.at = x.names[:0], x.at[:0]
	return nil
}

func (c *core) begin(ctx context.Context, v reflect.Value, row Sealed, compartments []string) (*Reading, error) {
	x := new(reading)
	if err := x.parse(c, v, slices.Clone(row)); err != nil {
		return nil, err
	}
	for i := range x.layout.n {
		if len(compartments) == 0 || slices.Contains(compartments, string(x.compartment(i))) {
			x.want(i)
		}
	}
	s := c.get()
	defer c.put(s)
	if err := x.open(ctx, s); err != nil {
		return nil, err
	}
	return &Reading{read: func() *reading { return x }}, nil
}

// resume returns what r reads, if it is a reading of this codec and of v.
func (c *core) resume(r *Reading, v reflect.Value) (*reading, error) {
	if r.none() {
		return nil, fmt.Errorf("%w: no reading", ErrEmpty)
	}
	var b binding
	if err := c.bind(&b, v); err != nil {
		return nil, err
	}
	x := r.read()
	if x.core != c || x.bind != b {
		return nil, fmt.Errorf("%w: type %q: a reading of another record", ErrOpen, c.recordType)
	}
	return x, nil
}
