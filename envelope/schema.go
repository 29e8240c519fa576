package envelope

import (
	"reflect"
	"strings"

	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
)

// Plan says what the fields of a type are that cannot carry phi tags, such as
// one of generated code: by the Go path below the type, "Home.Street", what the
// tag there would say, "address". Fields without a tag and without an entry are
// sealed with the clinical ones, as ever. It is an error if a path leads to no
// field that could be tagged, such as one inside a field that has an entry, or to
// one that has a tag of its own.
type Plan map[string]string

// NewCodecWith is [NewCodec] for a type that plan says the tags of, with the same
// errors; those about the plan name the path.
func NewCodecWith[T any](recordType string, ring *keyring.Ring, plan Plan) (*Codec[T], error) {
	return codecOf[T](recordType, ring, func(t reflect.Type) (*phi.Plan, error) { return phi.With(t, plan) })
}

// Schema returns what rows of T store, for a golden file: a changed line is a
// change that stored rows will notice. The first line is the record type; then
// comes one line for each sealed field, ascending by compartment and stored
// name: these two and the encoding in the words of docs/SPEC.md, 2.4, with what
// is inside it in parentheses: "list(text)".
//
// A field that may be absent looks like one that may not, because rows of both
// read alike. Fields outside the row, subject, record and clear ones, are not
// in it.
func (c *Codec[T]) Schema() string {
	k := c.core()
	var b strings.Builder
	b.WriteString(k.recordType + "\n")
	for i := range k.columns {
		col := &k.columns[i]
		b.WriteString(col.field.Compartment + "\t" + col.name + "\t" + col.coder.Type + "\n")
	}
	return b.String()
}
