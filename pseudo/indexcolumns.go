package pseudo

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
)

// Columns returns what the two UNIQUE columns of every lookup field of src hold
// that is tagged unique, by stored field name: column a and column b, as
// [Domain.Columns] says. A field that is NULL or empty is not in the map: both of
// its columns are NULL, which is what a missing key of the map gives. The errors
// are those of [Index.Tokens] and of Domain.Columns.
func (x *Index[T]) Columns(ctx context.Context, src *T) (map[string][2]sql.Null[Token], error) {
	if err := x.check(src); err != nil {
		return nil, err
	}
	var columns map[string][2]sql.Null[Token]
	root := reflect.ValueOf(src).Elem()
	for i := range x.fields {
		f := &x.fields[i]
		if !f.field.Unique {
			continue
		}
		value, ok := f.field.Text(root)
		if !ok || value == "" {
			continue
		}
		a, b, err := f.domain.Columns(ctx, f.kind, value)
		if err != nil {
			return nil, fmt.Errorf("pseudo: field %q: %w", f.field.Name, err)
		}
		if columns == nil {
			columns = make(map[string][2]sql.Null[Token])
		}
		columns[f.field.Name] = [2]sql.Null[Token]{a, b}
	}
	return columns, nil
}
