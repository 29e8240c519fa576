package phi

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Key is the key of the struct tag.
const Key = "phi"

// maxName is the longest stored name, in bytes.
const maxName = 64

// maxLabel is the longest label code, in bytes.
const maxLabel = 32

// TagError says which rule the tag or the type of a field breaks. It is made
// from source code alone and never holds a value.
type TagError struct {
	Type  string // the type that a plan was asked for
	Field string // Go path, such as "Patient.Serology"; the type's name if it is about the type
	Rule  string
}

// Error names the field and the rule.
func (e *TagError) Error() string { return "phi: " + e.Field + ": " + e.Rule }

// tag is a parsed struct tag. At most one of role and clear is set; a kind is
// always there.
type tag struct {
	present  bool
	role     string // "subject" or "record"
	clear    bool
	kind     Kind
	lookup   bool
	unique   bool
	labels   []string
	in, name string
}

func parseTag(f reflect.StructField) (tag, error) {
	text, ok := f.Tag.Lookup(Key)
	if !ok {
		for word := range strings.FieldsSeq(string(f.Tag)) {
			if strings.HasPrefix(word, Key+":") { // unquoted, or behind such a one: package reflect skips it in silence
				return tag{}, fmt.Errorf("malformed struct tag %q", string(f.Tag))
			}
		}
		return tag{kind: Untagged()}, nil
	}
	return readTag(text)
}

// readTag reads the text of a tag.
func readTag(text string) (tag, error) {
	var ok bool
	t := tag{present: true}
	first, rest, more := strings.Cut(text, ",")
	switch first {
	case "subject", "record":
		t.role = first
	case "clear":
		t.clear = true
	default:
		if t.kind, ok = KindByName(first); !ok {
			return tag{}, fmt.Errorf("unknown kind %q (there are subject, record, clear, %s; or no tag)", first, kindNames())
		}
	}
	if !more {
		return t, nil
	}
	if t.role != "" || t.clear {
		return tag{}, fmt.Errorf("%q takes no options", first)
	}
	for option := range strings.SplitSeq(rest, ",") {
		if err := t.option(option); err != nil {
			return tag{}, err
		}
	}
	if t.unique && !t.lookup {
		return tag{}, fmt.Errorf("unique without lookup")
	}
	slices.Sort(t.labels)
	return t, nil
}

func (t *tag) option(option string) error {
	key, value, hasValue := strings.Cut(option, "=")
	switch {
	case key == "lookup" && !hasValue:
		return t.setLookup()
	case key == "unique" && !hasValue:
		return once(option, &t.unique)
	case key == "label" && hasValue:
		return t.addLabel(value)
	case key == "in" && hasValue:
		if !validCompartment(value) {
			return fmt.Errorf("bad compartment name %q", value)
		}
		return set(key, &t.in, value)
	case key == "name" && hasValue:
		if !validName(value) {
			return fmt.Errorf("bad stored name %q: 1 to %d bytes of printable ASCII", value, maxName)
		}
		return set(key, &t.name, value)
	}
	return fmt.Errorf("unknown option %q", option)
}

func (t *tag) setLookup() error {
	if !t.kind.Lookup {
		return fmt.Errorf("no lookup on kind %q: %s", t.kind.Name, t.kind.Why)
	}
	return once("lookup", &t.lookup)
}

func (t *tag) addLabel(code string) error {
	if !validLabel(code) {
		return fmt.Errorf("bad label %q: capital letters only", code)
	}
	if slices.Contains(t.labels, code) {
		return fmt.Errorf("label %q twice", code)
	}
	t.labels = append(t.labels, code)
	return nil
}

func once(option string, flag *bool) error {
	if *flag {
		return fmt.Errorf("option %q twice", option)
	}
	*flag = true
	return nil
}

func set(key string, dst *string, value string) error {
	if *dst != "" {
		return fmt.Errorf("option %q twice", key+"=")
	}
	*dst = value
	return nil
}

// validCompartment is the rule of keyring for compartments. "ring" is the
// ring's control keyset; "audit" is granted to every opener, so a field in it
// would be readable by all.
func validCompartment(name string) bool {
	if name == "" || len(name) > 32 || name == "ring" || name == "audit" {
		return false
	}
	for i, c := range []byte(name) {
		lower := 'a' <= c && c <= 'z'
		if !lower && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

func validLabel(code string) bool {
	if code == "" || len(code) > maxLabel {
		return false
	}
	return !strings.ContainsFunc(code, func(r rune) bool { return r < 'A' || r > 'Z' })
}

func validName(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' })
}
