package phi

import "reflect"

// Value returns the field in root, a struct of the plan's type, and false if
// root has no such field because a pointer on the way to it is nil.
func (f *Field) Value(root reflect.Value) (reflect.Value, bool) {
	v := root
	for i, x := range f.Index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v, true
}

// Make returns the field in root, a settable struct of the plan's type, and
// makes the structs that nil pointers on the way to it do not point at.
func (f *Field) Make(root reflect.Value) reflect.Value {
	v := root
	for i, x := range f.Index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(x)
	}
	return v
}

// Text returns the text of a role or lookup field in root, a struct of the
// plan's type, and false if it is NULL. It panics on a field of another type.
func (f *Field) Text(root reflect.Value) (string, bool) {
	v, ok := f.Value(root)
	if !ok {
		return "", false
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "", false
		}
		v = v.Elem()
	case reflect.Struct:
		if !v.Field(1).Bool() {
			return "", false
		}
		v = v.Field(0)
	}
	if v.Kind() != reflect.String {
		panic("phi: " + f.Go + " is not one text") // String() would return "<T Value>", and a token be made of that
	}
	return v.String(), true
}
