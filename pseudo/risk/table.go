package risk

import (
	"fmt"
	"iter"
	"slices"
)

// A Table is rows under named columns. Rows must yield the same rows each
// time it is ranged over, in any order: [Gate] reads them twice. A row has one
// cell a column; it is not kept, nor written to, and may be reused by the
// sequence. An error that Rows yields ends what reads the table.
//
// A cell of a measured column is nil for NULL, or of any type whose underlying
// kind is string, bool, integer or float, with at most 1,024 bytes of text.
// Lists are refused there, because lists that differ may share the one entry
// that matters. A quasi-identifier may also be of a struct type without fields,
// such as pseudo.Unfit: a mark of why there is no value, which equals only itself
// and stands by its text on every level but the star. Other columns may hold
// anything.
type Table struct {
	Columns []string
	Rows    iter.Seq2[[]any, error]
}

// A Plan gives each column of a table its one role. A column with none is an
// error, so that a column added later is not released unseen.
type Plan struct {
	Subject   string      // whose row it is, never NULL; it is released as it is. Empty: each row is a person
	Quasi     []Quasi     // at least one
	Sensitive []Sensitive // may be none
	Keep      []string    // neither measured nor changed

	// Limit is the greatest number of entries kept in memory, of about 100
	// bytes each: a distinct value of a measured column, a person, a distinct
	// combination of quasi-identifiers and person, a distinct sensitive value
	// in one of these; long ones count for several. Zero is 8,388,608.
	Limit int
}

// A Quasi is a quasi-identifier with its hierarchy: level 0 is the cell as it
// is, then come Levels, each coarser than the one before, and above them one
// that replaces every cell, NULL too, by "*".
type Quasi struct {
	Column   string
	Levels   []Level
	Required bool // never replaced by "*": rather refuse the table
}

// A Sensitive is a column of what must not be learnt of a person, such as a
// diagnosis. Its t is measured by the equal distance, unless the column has an
// order; then by the ordered distance, for which NULL lies below all values.
type Sensitive struct {
	Column  string
	Numeric bool     // ordered as numbers; text must read as one
	Order   []string // ordered as listed, ascending; other values are refused
}

const (
	defaultLimit = 1 << 23
	maxCell      = 1024
	star         = "*"
	nobody       = -1
)

// A layout is a checked plan over the columns of a table.
type layout struct {
	columns   []string
	quasi     []int // places in a row
	tracked   []int // of the sensitive columns
	subject   int   // or nobody
	sensitive []Sensitive
	limit     int
}

func newLayout(t Table, p Plan) (*layout, error) {
	x := &layout{columns: slices.Clone(t.Columns), sensitive: slices.Clone(p.Sensitive), limit: p.Limit}
	for i := range x.sensitive {
		x.sensitive[i].Order = slices.Clone(x.sensitive[i].Order)
	}
	if x.limit == 0 {
		x.limit = defaultLimit
	}
	if t.Rows == nil || len(p.Quasi) == 0 || x.limit < 0 {
		return nil, fmt.Errorf("%w: want rows, a quasi-identifier and a limit that is not negative", ErrPlan)
	}
	roles := make([]bool, len(t.Columns))
	take := func(name string) (int, error) {
		at := slices.Index(t.Columns, name)
		switch {
		case at < 0:
			return 0, fmt.Errorf("%w: no column %q", ErrPlan, name)
		case roles[at]:
			return 0, fmt.Errorf("%w: column %q twice", ErrPlan, name)
		}
		roles[at] = true
		return at, nil
	}
	if err := x.place(p, take); err != nil {
		return nil, err
	}
	if at := slices.Index(roles, false); at >= 0 {
		return nil, fmt.Errorf("%w: column %q has no role, or the name of another", ErrPlan, t.Columns[at])
	}
	return x, nil
}

// place finds the columns of the plan.
func (x *layout) place(p Plan, take func(string) (int, error)) error {
	add := func(list *[]int, name string) error {
		at, err := take(name)
		if list != nil {
			*list = append(*list, at)
		}
		return err
	}
	if x.subject = nobody; p.Subject != "" {
		var err error
		if x.subject, err = take(p.Subject); err != nil {
			return err
		}
	}
	for _, q := range p.Quasi {
		if err := add(&x.quasi, q.Column); err != nil {
			return err
		}
		if slices.ContainsFunc(q.Levels, func(l Level) bool { return l == nil }) {
			return fmt.Errorf("%w: column %q has a nil level", ErrPlan, q.Column)
		}
	}
	for _, s := range p.Sensitive {
		if err := add(&x.tracked, s.Column); err != nil {
			return err
		}
		if s.Numeric && len(s.Order) > 0 {
			return fmt.Errorf("%w: column %q has two orders", ErrPlan, s.Column)
		}
	}
	for _, name := range p.Keep {
		if err := add(nil, name); err != nil {
			return err
		}
	}
	return nil
}
