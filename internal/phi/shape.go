package phi

import (
	"database/sql"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"time"
)

var (
	timeType      = reflect.TypeFor[time.Time]()
	marshalType   = reflect.TypeFor[encoding.BinaryMarshaler]()
	unmarshalType = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	nullPackage   = reflect.TypeFor[sql.NullString]().PkgPath()
)

// IsTime reports whether t is time.Time.
func IsTime(t reflect.Type) bool { return t == timeType }

// isDate reports whether t is a time.Time, behind a pointer or a sql.Null
// perhaps.
func isDate(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	} else if f, ok := NullValue(t); ok {
		t = f.Type
	}
	return IsTime(t)
}

// HoldsTime reports whether there is a time.Time anywhere in t: what is kept of it
// in an export is a date.
func HoldsTime(t reflect.Type) bool { return holdsTime(t, map[reflect.Type]bool{}) }

func holdsTime(t reflect.Type, seen map[reflect.Type]bool) bool {
	if IsTime(t) {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map: // no key holds one, see checkMapKey
		return holdsTime(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsTime(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// NullValue returns the value field of a sql.Null type, such as String of
// sql.NullString. The other field of such a type, at index 1, is Valid.
func NullValue(t reflect.Type) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct || t.PkgPath() != nullPackage || t.NumField() != 2 || t.Field(1).Name != "Valid" {
		return reflect.StructField{}, false
	}
	return t.Field(0), true
}

// IsBinary reports whether t, or a pointer to it, implements
// encoding.BinaryMarshaler and BinaryUnmarshaler. One without the other is an
// error, and so is a struct that may have the methods only from an embedded
// field while it has others, which they would lose.
func IsBinary(t reflect.Type) (bool, error) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return false, nil
	}
	p := reflect.PointerTo(t)
	m, u := p.Implements(marshalType), p.Implements(unmarshalType)
	switch {
	case !m && !u:
		return false, nil
	case m != u:
		return false, fmt.Errorf("type %v has only one of MarshalBinary and UnmarshalBinary", t)
	}
	if t.Kind() == reflect.Struct && t.NumField() > 1 {
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Anonymous && (f.Type.Implements(marshalType) || reflect.PointerTo(f.Type).Implements(marshalType)) {
				return false, fmt.Errorf("type %v may have MarshalBinary only from its embedded %v, which would lose its other fields", t, f.Type)
			}
		}
	}
	return true, nil
}

// nullable reports whether a value of t can itself say that it is absent.
func nullable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return true
	}
	_, null := NullValue(t)
	return null
}

// checkOpaque says whether t can be one opaque value: what is in it can be
// encoded, and carries no tag.
func checkOpaque(t reflect.Type, above []reflect.Type) error {
	for _, a := range above {
		if a == t {
			return fmt.Errorf("type %v contains itself", t)
		}
	}
	above = append(above[:len(above):len(above)], t)
	if IsTime(t) {
		return nil
	}
	if f, ok := NullValue(t); ok {
		return checkInner(t, f.Type, above)
	}
	if binary, err := IsBinary(t); binary || err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Pointer:
		return checkInner(t, t.Elem(), above)
	case reflect.Slice, reflect.Array:
		return checkOpaque(t.Elem(), above)
	case reflect.Map:
		if err := checkMapKey(t.Key()); err != nil {
			return err
		}
		return checkOpaque(t.Elem(), above)
	case reflect.Struct:
		return checkMembers(t, above)
	}
	return fmt.Errorf("type %v cannot be sealed", t)
}

// checkInner refuses a null within a null: which of the two was absent could
// not be told when it is read back.
func checkInner(outer, inner reflect.Type, above []reflect.Type) error {
	if nullable(inner) {
		return fmt.Errorf("type %v has two ways to be absent", outer)
	}
	return checkOpaque(inner, above)
}

func checkMapKey(t reflect.Type) error {
	if binary, err := IsBinary(t); binary || err != nil {
		return fmt.Errorf("map key %v has methods of its own", t)
	}
	switch t.Kind() {
	case reflect.String,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	}
	return fmt.Errorf("map key %v is neither text nor integer", t)
}

func checkMembers(t reflect.Type, above []reflect.Type) error {
	exported := 0
	for i := range t.NumField() {
		f := t.Field(i)
		if _, tagged := f.Tag.Lookup(Key); tagged {
			return fmt.Errorf("tag on %v.%s, inside an opaque value", t, f.Name)
		}
		if !f.IsExported() {
			if f.Anonymous {
				return fmt.Errorf("embedded %v of %v is not exported and would be lost", f.Type, t)
			}
			continue
		}
		exported++
		if err := checkOpaque(f.Type, above); err != nil {
			return err
		}
	}
	if exported == 0 && t.NumField() > 0 {
		return fmt.Errorf("type %v has no exported field", t)
	}
	return nil
}

// checkUntagged refuses a tag anywhere inside a clear field: the field would
// look protected and is not.
func checkUntagged(t reflect.Type, above []reflect.Type) error {
	for _, a := range above {
		if a == t {
			return nil
		}
	}
	above = append(above[:len(above):len(above)], t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return checkUntagged(t.Elem(), above)
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if _, tagged := f.Tag.Lookup(Key); tagged {
				return errors.New("tag on " + t.String() + "." + f.Name + ", inside a clear field")
			}
			if err := checkUntagged(f.Type, above); err != nil {
				return err
			}
		}
	}
	return nil
}
