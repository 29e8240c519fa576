package phi

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
)

// Field is one field of a record type.
type Field struct {
	Name        string // stored name: name=, or the Go path below the type
	Go          string // Go path, for errors: "Patient.Serology"
	Index       []int  // reflect index path; it may lead through pointers
	Type        reflect.Type
	Kind        Kind   // Untagged for a field without a tag; zero for a role and a clear field
	Compartment string // in=, or the kind's; empty for a role and a clear field
	Clear       bool   // stays outside the sealed row
	Lookup      bool   // has a lookup token
	Unique      bool   // the token's columns are two, and unique
	Labels      []string
}

// Plan is what the tags of a record type say.
type Plan struct {
	Type         reflect.Type
	Subject      *Field
	Record       *Field   // nil: one record per subject, whose id is the subject's
	Fields       []Field  // what is sealed, in declaration order
	Clear        []Field  // what says clear
	Compartments []string // of Fields, ascending

	byName map[string]int
}

// Field returns the sealed field of a stored name. The result is shared and
// must not be changed.
func (p *Plan) Field(name string) (*Field, bool) {
	i, ok := p.byName[name]
	if !ok {
		return nil, false
	}
	return &p.Fields[i], true
}

// plans caches what For has compiled, by reflect.Type. Plans are immutable and
// a type has one plan, so that it does not matter which of two racers stores.
var plans sync.Map

// For returns the plan of a struct type: compiled once, shared, not to be
// changed. Every error is a [*TagError].
func For(t reflect.Type) (*Plan, error) {
	if t == nil {
		return nil, &TagError{Type: "nil", Field: "nil", Rule: "not a struct"}
	}
	if p, ok := plans.Load(t); ok {
		return p.(*Plan), nil
	}
	p, err := compile(t, nil)
	if err != nil {
		return nil, err
	}
	stored, _ := plans.LoadOrStore(t, p)
	return stored.(*Plan), nil
}

// With returns the plan of a struct type that cannot carry tags of its own, as
// generated code cannot: tags maps Go paths below the type, such as
// "Home.Street", to what a tag there would say. A path that leads to no field
// that may have a tag is an error, and so is a field that has one of its own.
// The plan is not shared. Every error is a [*TagError].
func With(t reflect.Type, tags map[string]string) (*Plan, error) {
	if t == nil {
		return For(t)
	}
	return compile(t, maps.Clone(tags))
}

func compile(t reflect.Type, tags map[string]string) (*Plan, error) {
	c := &compiler{plan: &Plan{Type: t, byName: map[string]int{}}, tags: tags}
	if t.Kind() != reflect.Struct || IsTime(t) {
		return nil, c.fail(t.String(), errors.New("not a struct of fields"))
	}
	name := t.Name()
	if name == "" {
		name = "struct"
	}
	c.root = len(name) + 1
	if err := c.walk(t, scope{path: name}, []reflect.Type{t}); err != nil {
		return nil, err
	}
	if left := slices.Sorted(maps.Keys(c.tags)); len(left) > 0 {
		return nil, c.fail(name+"."+left[0], errors.New("there is no such field that could be tagged"))
	}
	switch {
	case c.plan.Subject == nil:
		return nil, c.fail(name, errors.New("no field is the subject"))
	case len(c.plan.Fields) == 0:
		return nil, c.fail(name, errors.New("no field to seal"))
	}
	for _, f := range c.plan.Fields {
		c.plan.Compartments = append(c.plan.Compartments, f.Compartment)
	}
	slices.Sort(c.plan.Compartments)
	c.plan.Compartments = slices.Compact(c.plan.Compartments)
	return c.plan, nil
}

type compiler struct {
	plan *Plan
	tags map[string]string // given as a value, by Go path; those met are deleted
	root int               // length of the type's name and its dot in a path
}

// tag returns what the tag of a field says.
func (c *compiler) tag(sf reflect.StructField, path string) (tag, error) {
	text, given := c.tags[path[c.root:]]
	if !given {
		return parseTag(sf)
	}
	if _, own := sf.Tag.Lookup(Key); own {
		return tag{}, errors.New("a tag of its own, and another given as a value")
	}
	delete(c.tags, path[c.root:])
	return readTag(text)
}

// scope is where in the type a walk is.
type scope struct {
	path    string // Go path of the struct
	prefix  string // of stored names, with its dot
	index   []int
	pointer bool // a pointer leads here, so a value may have no such struct
}

func (c *compiler) fail(path string, err error) error {
	return &TagError{Type: c.plan.Type.String(), Field: path, Rule: err.Error()}
}

func (c *compiler) walk(t reflect.Type, s scope, above []reflect.Type) error {
	fields := 0
	for i := range t.NumField() {
		sf := t.Field(i)
		path := s.path + "." + sf.Name
		tag, err := c.tag(sf, path)
		if err != nil {
			return c.fail(path, err)
		}
		if !sf.IsExported() {
			if tag.present {
				return c.fail(path, errors.New("tag on a field that is not exported"))
			}
			if !sf.Anonymous || sf.Type.Kind() != reflect.Struct {
				if sf.Anonymous && sf.Type.Kind() == reflect.Pointer {
					return c.fail(path, errors.New("embedded pointer to a type that is not exported cannot be set"))
				}
				continue
			}
		}
		fields++
		at := scope{path: path, prefix: s.prefix, index: append(slices.Clip(s.index), i), pointer: s.pointer}
		if err := c.field(sf, tag, at, above); err != nil {
			return err
		}
	}
	if fields == 0 {
		return c.fail(s.path, errors.New("no exported field"))
	}
	return nil
}

// field adds one field, or walks into it.
func (c *compiler) field(sf reflect.StructField, tag tag, at scope, above []reflect.Type) error {
	f := Field{Name: at.prefix + sf.Name, Go: at.path, Index: at.index, Type: sf.Type}
	switch {
	case tag.role != "":
		return c.role(f, tag.role, at.pointer)
	case tag.clear:
		if err := checkUntagged(sf.Type, nil); err != nil {
			return c.fail(at.path, err)
		}
		f.Clear = true
		c.plan.Clear = append(c.plan.Clear, f)
		return nil
	case !tag.present:
		inner, pointer, err := walkable(sf.Type)
		if err != nil {
			return c.fail(at.path, err)
		}
		if inner != nil {
			if slices.Contains(above, inner) {
				return c.fail(at.path, fmt.Errorf("type %v contains itself", inner))
			}
			if !sf.Anonymous {
				at.prefix = f.Name + "."
			}
			at.pointer = at.pointer || pointer
			return c.walk(inner, at, append(slices.Clip(above), inner))
		}
		if !sf.IsExported() {
			return c.fail(at.path, errors.New("embedded value that is not exported cannot be set"))
		}
	}
	return c.seal(f, tag)
}

// walkable returns the struct that an untagged field of type t is walked into,
// or nil if it is a value.
func walkable(t reflect.Type) (inner reflect.Type, pointer bool, err error) {
	if t.Kind() == reflect.Pointer {
		t, pointer = t.Elem(), true
	}
	if t.Kind() != reflect.Struct || IsTime(t) {
		return nil, false, nil
	}
	if _, null := NullValue(t); null {
		return nil, false, nil
	}
	if binary, err := IsBinary(t); binary || err != nil {
		return nil, false, err
	}
	return t, pointer, nil
}

func (c *compiler) role(f Field, role string, pointer bool) error {
	dst := &c.plan.Subject
	if role == "record" {
		dst = &c.plan.Record
	}
	switch {
	case f.Type.Kind() != reflect.String:
		return c.fail(f.Go, fmt.Errorf("the %s is not a string", role))
	case pointer:
		return c.fail(f.Go, fmt.Errorf("the %s is behind a pointer", role))
	case *dst != nil:
		return c.fail(f.Go, fmt.Errorf("a second %s, after %s", role, (*dst).Go))
	}
	*dst = &f
	return nil
}

func (c *compiler) seal(f Field, tag tag) error {
	f.Kind, f.Compartment = tag.kind, tag.kind.Compartment
	f.Lookup, f.Unique, f.Labels = tag.lookup, tag.unique, tag.labels
	if tag.in != "" {
		f.Compartment = tag.in
	}
	if tag.name != "" {
		f.Name = f.Name[:len(f.Name)-len(lastName(f.Go))] + tag.name
	}
	if err := checkOpaque(f.Type, nil); err != nil {
		return c.fail(f.Go, err)
	}
	if f.Kind.Form == Year && !isDate(f.Type) && !isText(f.Type) {
		return c.fail(f.Go, fmt.Errorf("kind %q on a %v: want a time.Time, or a text such as \"1984-03\", of which an export can keep the year", f.Kind.Name, f.Type))
	}
	if f.Lookup && !isText(f.Type) {
		return c.fail(f.Go, fmt.Errorf("lookup on a %v, which is not one text", f.Type))
	}
	if !validName(f.Name) {
		return c.fail(f.Go, fmt.Errorf("stored name %q is not 1 to %d bytes of printable ASCII; say name=", f.Name, maxName))
	}
	if i, ok := c.plan.byName[f.Name]; ok {
		return c.fail(f.Go, fmt.Errorf("stored name %q is also that of %s", f.Name, c.plan.Fields[i].Go))
	}
	c.plan.byName[f.Name] = len(c.plan.Fields)
	c.plan.Fields = append(c.plan.Fields, f)
	return nil
}

func lastName(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' {
			return path[i+1:]
		}
	}
	return path
}

// isText reports whether [Field.Text] can read a field of type t.
func isText(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	} else if f, ok := NullValue(t); ok {
		t = f.Type
	}
	return t.Kind() == reflect.String
}
