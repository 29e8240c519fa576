package consent

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/rahasia/rahasia/internal/phi"
)

// Redact returns a handler that logs through h and keeps records out of it. An
// attribute that is a tagged struct, or points to one, becomes a group: a field
// tagged clear as it is, every other one, ids included, as "[redacted]". Any
// other value in which a tagged struct may be found, in a slice, a map, another
// struct or behind an interface, becomes "[redacted]" and its type, whole. A
// LogValue method of such a type is not asked.
//
//	log := slog.New(consent.Redact(slog.NewJSONHandler(os.Stderr, nil)))
//	log.Info("opened", "patient", patient)
//
// It sees types, not texts: a field that was copied out ("nik", p.NIK), a message
// or an error made by fmt from a record, and what a program prints elsewhere
// pass as they are.
func Redact(h slog.Handler) slog.Handler { return &redactor{h, new(sync.Map)} }

type redactor struct {
	to    slog.Handler
	types *sync.Map // of reflect.Type to holding
}

// Enabled is h's.
func (r *redactor) Enabled(ctx context.Context, l slog.Level) bool { return r.to.Enabled(ctx, l) }

// Handle redacts the record's attributes and hands it on.
func (r *redactor) Handle(ctx context.Context, rec slog.Record) error {
	out := slog.NewRecord(rec.Time, rec.Level, rec.Message, rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(r.attr(a))
		return true
	})
	return r.to.Handle(ctx, out)
}

// WithAttrs redacts attrs.
func (r *redactor) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &redactor{r.to.WithAttrs(r.attrs(attrs)), r.types}
}

// WithGroup is h's.
func (r *redactor) WithGroup(name string) slog.Handler {
	return &redactor{r.to.WithGroup(name), r.types}
}

const redacted = "[redacted]"

func (r *redactor) attr(a slog.Attr) slog.Attr {
	return slog.Attr{Key: a.Key, Value: r.value(a.Value)}
}

func (r *redactor) attrs(attrs []slog.Attr) []slog.Attr {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = r.attr(a)
	}
	return out
}

// maxLogValues bounds how often a value is asked for what to log in its place.
const maxLogValues = 16

func (r *redactor) value(v slog.Value) slog.Value {
	for range maxLogValues {
		switch v.Kind() {
		case slog.KindGroup:
			return slog.GroupValue(r.attrs(v.Group())...)
		case slog.KindAny:
			return r.any(v)
		case slog.KindLogValuer:
			if r.carries(v.Any()) {
				return r.any(v)
			}
			v = logValue(v.LogValuer())
		default:
			return v
		}
	}
	return slog.StringValue(redacted)
}

// logValue asks v, whose panic must not end the program, as slog's own asking does not.
func logValue(v slog.LogValuer) (out slog.Value) {
	defer func() {
		if recover() != nil { // what it holds is not printed: it may be a record
			out = slog.StringValue(fmt.Sprintf("LogValue of %T panicked", v))
		}
	}()
	return v.LogValue()
}

func (r *redactor) any(v slog.Value) slog.Value {
	if !r.carries(v.Any()) {
		return v
	}
	x := reflect.ValueOf(v.Any())
	t := x.Type()
	for x.Kind() == reflect.Pointer && !x.IsNil() {
		x = x.Elem()
	}
	if x.Kind() == reflect.Struct {
		if plan, err := phi.For(x.Type()); err == nil {
			return r.byPlan(plan, x)
		}
	}
	return slog.StringValue(redacted + " " + t.String())
}

// byPlan shows what a type's tags say is clear.
func (r *redactor) byPlan(plan *phi.Plan, x reflect.Value) slog.Value {
	var attrs []slog.Attr
	hide := func(name string) { attrs = append(attrs, slog.String(name, redacted)) }
	hide(plan.Subject.Name)
	if plan.Record != nil {
		hide(plan.Record.Name)
	}
	for i := range plan.Fields {
		hide(plan.Fields[i].Name)
	}
	for i := range plan.Clear {
		f := &plan.Clear[i]
		if v, ok := f.Value(x); ok {
			attrs = append(attrs, slog.Attr{Key: f.Name, Value: r.value(slog.AnyValue(v.Interface()))})
		}
	}
	return slog.GroupValue(attrs...)
}

// holding is what values of a type may hold.
type holding uint8

const (
	nothing holding = iota // no record, ever
	unsaid                 // it depends on the value: there is an interface in it
	records                // a tagged struct
)

func (r *redactor) holding(t reflect.Type) holding {
	if h, ok := r.types.Load(t); ok {
		return h.(holding)
	}
	h := look(t, map[reflect.Type]bool{})
	r.types.Store(t, h)
	return h
}

// look walks a type, unexported fields too: fmt prints those as well.
func look(t reflect.Type, met map[reflect.Type]bool) holding {
	if met[t] {
		return nothing // more than where it was met first
	}
	met[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return unsaid
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return look(t.Elem(), met)
	case reflect.Map:
		return max(look(t.Key(), met), look(t.Elem(), met))
	case reflect.Struct:
		most := nothing
		for i := range t.NumField() {
			f := t.Field(i)
			if _, tagged := f.Tag.Lookup(phi.Key); tagged {
				return records
			}
			most = max(most, look(f.Type, met))
		}
		return most
	}
	return nothing
}

// search is one look for a record in a value.
type search struct {
	r    *redactor
	left int // steps; what needs more is taken for a record
}

const searchSteps = 10000

func (r *redactor) carries(v any) bool {
	return (&search{r, searchSteps}).in(reflect.ValueOf(v), true)
}

// in reports whether v is, contains or points to a record. What lies in an
// unexported field is printed by fmt alone, which follows no pointer there; nor
// does this, for others may be at work behind it.
func (s *search) in(v reflect.Value, exported bool) bool {
	if !v.IsValid() {
		return false
	}
	h := s.r.holding(v.Type())
	if s.left--; h != unsaid || s.left < 0 {
		return h != nothing
	}
	switch v.Kind() {
	case reflect.Interface:
		return s.in(v.Elem(), exported)
	case reflect.Pointer:
		return exported && s.in(v.Elem(), true)
	case reflect.Slice, reflect.Array:
		return among(v.Len(), func(i int) bool { return s.in(v.Index(i), exported) })
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if s.in(it.Key(), exported) || s.in(it.Value(), exported) {
				return true
			}
		}
	case reflect.Struct:
		return among(v.NumField(), func(i int) bool { return s.in(v.Field(i), exported && v.Type().Field(i).IsExported()) })
	}
	return false
}

// among reports whether is holds for one of n.
func among(n int, is func(int) bool) bool {
	for i := range n {
		if is(i) {
			return true
		}
	}
	return false
}
