package consent

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/pseudo"
)

// Update seals the record anew with the named fields taken from src and every
// other one carried over as it is, the withheld and the unknown ones included,
// so that who may see a part of a record cannot erase the rest. It releases
// nothing by carrying. The request must be permitted for each named field, and
// the service must hold the keys of all compartments of the row. src names the
// record by its ids; old is the row as it is stored.
//
// Store the result only where the row is still old (… WHERE sealed = old), or
// two writers lose an update. Errors as for [Records.Open], [*DeniedError]
// where one of the named fields is not permitted, and envelope.ErrField.
func (r *Records[T]) Update(ctx context.Context, old envelope.Sealed, src *T, req Request, fields ...string) (Row, error) {
	row, err := r.update(ctx, old, src, req, fields)
	if err != nil {
		return Row{}, r.wrap("update", err)
	}
	return row, nil
}

func (r *Records[T]) update(ctx context.Context, old envelope.Sealed, src *T, req Request, fields []string) (Row, error) {
	if subject, _ := r.ids(src); subject == "" {
		return Row{}, ErrSubject
	}
	if len(fields) == 0 {
		return Row{}, fmt.Errorf("no field named: %w", envelope.ErrField)
	}
	row, err := r.changedTokens(ctx, src, fields)
	if err != nil {
		return Row{}, err
	}
	x, err := r.release(ctx, src, old, asked{"update", req, fields, true})
	if err != nil {
		return Row{}, err
	}
	tags, err := r.newSections(x)
	if err != nil {
		return Row{}, err
	}
	if row.Sealed, err = r.codec.Reseal(ctx, x.reading, src, x.fields, tags); err != nil {
		r.failed(ctx, x)
		return Row{}, err
	}
	r.observed(x)
	return row, nil
}

// changedTokens is a row of the tokens of the named lookup fields; the zero token
// and NULL for one that holds no value any more. The other fields of src may be
// anything.
func (r *Records[T]) changedTokens(ctx context.Context, src *T, fields []string) (row Row, err error) {
	var named T
	r.setIDs(&named, src)
	from, to := reflect.ValueOf(src).Elem(), reflect.ValueOf(&named).Elem()
	tokens, unique := map[string]pseudo.Token{}, map[string][2]sql.Null[pseudo.Token]{}
	for i := range r.plan.Fields {
		f := &r.plan.Fields[i]
		if !f.Lookup || !slices.Contains(fields, f.Name) {
			continue
		}
		if f.Unique {
			unique[f.Name] = [2]sql.Null[pseudo.Token]{}
		} else {
			tokens[f.Name] = pseudo.Token{}
		}
		if v, ok := f.Value(from); ok {
			f.Make(to).Set(v)
		}
	}
	if len(tokens) > 0 {
		if row.Tokens, err = r.index.Tokens(ctx, &named); err != nil {
			return Row{}, err
		}
	}
	if len(unique) > 0 {
		if row.Unique, err = r.index.Columns(ctx, &named); err != nil {
			return Row{}, err
		}
	}
	maps.Copy(tokens, row.Tokens)
	maps.Copy(unique, row.Unique)
	return Row{Tokens: tokens, Unique: unique}, nil
}

// newSections are the tags of the compartments that the type has gained since
// the row was sealed: the facts of collection that the row states elsewhere.
func (r *Records[T]) newSections(x *released) (map[string][]byte, error) {
	there := x.reading.Compartments()
	var facts sectionTag
	var about Data
	for _, c := range there {
		tag, err := readTag(x.tags, x.reading, c)
		if err != nil {
			return nil, err
		}
		labels := append(tag.Sensitivity, facts.Sensitivity...)
		tag.describe(&about)
		facts, facts.Sensitivity = *tag, labels
	}
	t := facts.tag()
	t.Author, t.Related, t.Time = about.Author, about.Related, about.Time
	tags, err := t.sections(r.plan)
	for _, c := range there {
		delete(tags, c)
	}
	return tags, err
}
