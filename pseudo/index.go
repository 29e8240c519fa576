package pseudo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"

	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
)

// lookupPrefix is what the name of a lookup domain begins with; keyring knows it.
const lookupPrefix = "lookup/"

// LookupDomain returns the name of the domain that holds the tokens of a
// lookup field: "lookup/", the record type, a slash and the field's stored
// name. Each field of each type has its own, so that the mother's NIK on a
// newborn's record has no token in common with the mother's own record. The
// domain's keyset is created once with [keyring.Ring.CreateKeyset].
func LookupDomain(recordType, field string) string { return lookupPrefix + recordType + "/" + field }

// An Index makes the lookup tokens of records of type T: those of its fields
// that are tagged `phi:"…,lookup"`. It is safe for concurrent use. An Index
// that did not come from [NewIndex] returns [ErrNoDomain].
type Index[T any] struct {
	recordType string
	fields     []indexed
}

type indexed struct {
	field  *phi.Field
	kind   Kind
	domain *Domain
}

// NewIndex returns the index of the record type that the tags of T describe.
// The domain of each lookup field must exist, see [LookupDomain]: otherwise the
// errors of [Open]. One that ring is not granted is an error only when it is
// used, so that a service without it can still open records. A record type or field whose
// name has other characters than letters, digits and ._- is
// [keyring.ErrName], because with a slash in it two fields could share a
// domain.
func NewIndex[T any](ctx context.Context, recordType string, ring *keyring.Ring) (*Index[T], error) {
	plan, err := phi.For(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	if err := segment(recordType); err != nil {
		return nil, fmt.Errorf("pseudo: record type %q: %w", recordType, err)
	}
	x := &Index[T]{recordType: recordType}
	for i := range plan.Fields {
		f := &plan.Fields[i]
		if !f.Lookup {
			continue
		}
		kind := Kind(f.Kind.Name)
		if kind.normalizer() == "" {
			return nil, fmt.Errorf("%w: field %s", ErrUnknownKind, f.Go)
		}
		if err := segment(f.Name); err != nil {
			return nil, fmt.Errorf("pseudo: field %s: stored name %q: %w", f.Go, f.Name, err)
		}
		domain, err := Open(ctx, ring, LookupDomain(recordType, f.Name))
		if errors.Is(err, keyring.ErrNotGranted) {
			domain, err = newDomain(ring, LookupDomain(recordType, f.Name)), nil // says so when it is used
		}
		if err != nil {
			return nil, fmt.Errorf("pseudo: field %s: %w", f.Go, err)
		}
		x.fields = append(x.fields, indexed{f, kind, domain})
	}
	if x.fields == nil {
		x.fields = []indexed{} // set apart from an Index that nobody made
	}
	return x, nil
}

// segment returns keyring.ErrName unless s can be one part of the name of a
// domain.
func segment(s string) error {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return keyring.ErrName
		}
	}
	if s == "" {
		return keyring.ErrName
	}
	return nil
}

// Format writes the record type, whatever the verb.
func (x *Index[T]) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "pseudo.Index("+x.recordType+")")
}

// LogValue is the record type.
func (x *Index[T]) LogValue() slog.Value {
	return slog.StringValue("pseudo.Index(" + x.recordType + ")")
}

// Tokens returns the token of every lookup field of src under the primary key
// version, by stored field name, but for the fields tagged unique: their columns
// are two, [Index.Columns]. A field that is NULL or empty has no token
// and is not in the map: its column stays NULL. A value that its kind refuses
// is a [*FormatError] behind the field's name, and then there are no tokens at
// all.
func (x *Index[T]) Tokens(ctx context.Context, src *T) (map[string]Token, error) {
	if err := x.check(src); err != nil {
		return nil, err
	}
	tokens := make(map[string]Token, len(x.fields))
	root := reflect.ValueOf(src).Elem()
	for i := range x.fields {
		f := &x.fields[i]
		if f.field.Unique {
			continue
		}
		value, ok := f.field.Text(root)
		if !ok || value == "" {
			continue
		}
		t, err := f.domain.Token(ctx, f.kind, value)
		if err != nil {
			return nil, fmt.Errorf("pseudo: field %q: %w", f.field.Name, err)
		}
		tokens[f.field.Name] = t
	}
	return tokens, nil
}

// Lookup returns the tokens that value may have in the column of a field, by
// its stored name: under every readable key version, the primary first. A
// field that is not a lookup field of T is [ErrField]; an empty value is
// refused and never finds the records that have none.
func (x *Index[T]) Lookup(ctx context.Context, field, value string) ([]Token, error) {
	if x == nil || x.fields == nil {
		return nil, ErrNoDomain
	}
	for i := range x.fields {
		f := &x.fields[i]
		if f.field.Name != field {
			continue
		}
		tokens, err := f.domain.Lookup(ctx, f.kind, value)
		if err != nil {
			return nil, fmt.Errorf("pseudo: field %q: %w", f.field.Name, err)
		}
		return tokens, nil
	}
	// without the name that was asked for: a mistaken caller may have put the value there
	return nil, fmt.Errorf("%w (lookup fields: %s)", ErrField, strings.Join(x.names(), ", "))
}

// Matches reports whether t is the token of a lookup field of src under t's
// own key version, and of which: who found a record by a token learns whether
// the token column beside it was changed. No match is false without an error.
//
// Where t can be compared with none of the fields' values because its version
// is readable in no domain, the error is [keyring.ErrUnknownVersion]. A zero t
// is [ErrToken]. Whatever else keeps a field from being compared is returned
// unless another field matches. Never take an error for a match.
func (x *Index[T]) Matches(ctx context.Context, src *T, t Token) (field string, ok bool, err error) {
	if err := x.check(src); err != nil {
		return "", false, err
	}
	if t.IsZero() {
		return "", false, fmt.Errorf("%w: zero token", ErrToken)
	}
	root := reflect.ValueOf(src).Elem()
	compared := false
	var failed, unknown error
	for i := range x.fields {
		f := &x.fields[i]
		value, present := f.field.Text(root)
		if !present || value == "" {
			continue
		}
		derived, err := f.domain.TokenAt(ctx, t.version, f.kind, value)
		switch {
		case errors.Is(err, keyring.ErrUnknownVersion):
			unknown = err
		case err != nil:
			failed = fmt.Errorf("pseudo: field %q: %w", f.field.Name, err)
		case derived.equal(t):
			return f.field.Name, true, nil
		default:
			compared = true
		}
	}
	if failed == nil && !compared {
		failed = unknown
	}
	return "", false, failed
}

// check refuses an Index that nobody made, and a missing record.
func (x *Index[T]) check(src *T) error {
	if x == nil || x.fields == nil {
		return ErrNoDomain
	}
	if src == nil {
		return fmt.Errorf("%w: no record", ErrField)
	}
	return nil
}

// names returns the stored names of the lookup fields.
func (x *Index[T]) names() []string {
	names := make([]string, len(x.fields))
	for i := range x.fields {
		names[i] = x.fields[i].field.Name
	}
	return names
}
