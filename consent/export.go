package consent

import (
	"context"
	"database/sql/driver"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"time"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Table is a de-identified table, made for one recipient. Its rows are made
// while they are read, in a bounded number at a time.
type Table struct {
	Columns []Column

	rows       func(yield func([]any, error) bool)
	suppressed int
}

// Column is one column of a [Table].
type Column struct {
	Name string
	Form string // pseudonym, year or keep: what the values are
}

// Rows yields the rows, one cell a column. A cell is nil where the record holds no
// value, a [Withheld] where the field may not be seen, a string in the columns
// pseudonym and year, and the field's own Go value in a column keep. An error ends the table:
// a row that does not open, or an audit entry that was not written. Read it once.
func (t *Table) Rows() iter.Seq2[[]any, error] {
	if t.rows == nil {
		return func(func([]any, error) bool) {}
	}
	return t.rows
}

// Suppressed is the number of records left out so far, because their
// patient's consents do not allow this export, or the patient withdrew or was
// erased before the row was read.
func (t *Table) Suppressed() int { return t.suppressed }

// WriteCSV writes the table as CSV (RFC 4180) with a header line. An absent
// value is an empty cell, a withheld one reads "(withheld)", a list is a JSON
// array. A text that a spreadsheet would run as a formula gets a "'" in front.
func (t *Table) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	line := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		line[i] = c.Name
	}
	if err := out.Write(line); err != nil {
		return err
	}
	for row, err := range t.Rows() {
		if err != nil {
			return err
		}
		for i, cell := range row {
			line[i] = ""
			if cell == nil {
				continue
			}
			if line[i], err = cellText(cell); err != nil {
				return fmt.Errorf("consent: column %s: %w", t.Columns[i].Name, err)
			}
		}
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cellText writes one value as it is and several as a JSON array, so that they
// can be told apart.
func cellText(cell any) (string, error) {
	switch reflect.TypeOf(cell).Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		b, err := json.Marshal(cell)
		if err != nil {
			return "", envelope.ErrType // json's own text may hold the value
		}
		return string(b), nil
	case reflect.String:
		return guardFormula(fmt.Sprint(cell)), nil
	}
	return fmt.Sprint(cell), nil
}

// guardFormula keeps a spreadsheet from running what a patient typed.
func guardFormula(s string) string {
	if s != "" && (s[0] == '=' || s[0] == '+' || s[0] == '-' || s[0] == '@' || s[0] == '\t' || s[0] == '\r') {
		return "'" + s
	}
	return s
}

// Export gives the records of in as a table for req.Recipient: direct
// identifiers left out, dates as years, and in the column "pseudonym" a token
// of the patient in the recipient's own domain ([Config.AddRecipient]), so two
// recipients' tables have no pseudonym in common. in yields for each record a
// T with its ids set and its row; where it can fail, check that before you use
// the table. A record of which the type's columns would be given, but for a label
// of its own, is left out whole: a gap would show the label. A record whose patient does not allow the
// export is left out and counted; each one that is given or left out has its
// entry in the audit log before its row is yielded.
//
// Rows come in the order of in: give it an order that says nothing, or two
// recipients join their tables line by line.
//
// The rows are pseudonymous and still personal data: who knows a patient's
// birth year, sex and diagnosis may recognise the row. No k-anonymity is
// checked.
//
// Errors: [ErrRequest], [*DeniedError] for a role that may see none of the
// columns and at the patient who is one too many for the [Guard], keyring.ErrNoKeyset for a recipient that was not added; while reading, what [Records.Open] returns.
func (r *Records[T]) Export(ctx context.Context, in iter.Seq2[*T, envelope.Sealed], req Request) (*Table, error) {
	err := req.check()
	if err == nil && (req.Recipient == "" || in == nil) {
		err = fmt.Errorf("recipient or records: %w", ErrRequest)
	}
	var domain *pseudo.Domain
	if err == nil {
		domain, err = pseudo.Open(ctx, r.cfg.Ring, recipientDomain(req.Recipient))
	}
	if err != nil {
		return nil, fmt.Errorf("consent: export %s: %w", r.name, err)
	}
	x := &export[T]{records: r, domain: domain, req: req, table: &Table{Columns: []Column{{"pseudonym", "pseudonym"}}}}
	for i := range r.plan.Fields {
		if f := &r.plan.Fields[i]; f.Kind.Form != phi.Drop {
			x.fields = append(x.fields, f)
			x.names = append(x.names, f.Name)
			x.table.Columns = append(x.table.Columns, Column{f.Name, string(f.Kind.Form)})
		}
	}
	mayRun := r.cfg.Guard.mayRun(&req)
	if !mayRun || !slices.ContainsFunc(x.fields, func(f *phi.Field) bool { return r.cfg.roleMay(req.Role, f.Compartment) }) {
		b := r.entry("export", req)
		b.Outcome, b.Reason = "refused", RoleForbids
		switch {
		case !r.cfg.roleKnown(req.Role):
			b.Reason = NoRole
		case !mayRun:
			b.Reason = NoJob
		}
		if err := r.cfg.Log.append(ctx, b); err != nil {
			return nil, fmt.Errorf("consent: export %s: %w", r.name, err)
		}
		return nil, r.denied(b)
	}
	x.table.rows = func(yield func([]any, error) bool) { x.run(ctx, in, yield) }
	return x.table, nil
}

// export is one export under way.
type export[T any] struct {
	records *Records[T]
	domain  *pseudo.Domain
	req     Request
	table   *Table
	fields  []*phi.Field // of the columns after the first
	names   []string
	page    []exported[T]
}

// exported is a record of the page that waits for its audit entry.
type exported[T any] struct {
	of *T
	x  *released
}

func (e *export[T]) run(ctx context.Context, in iter.Seq2[*T, envelope.Sealed], yield func([]any, error) bool) {
	for who, row := range in {
		of := new(T)
		if who != nil { // a copy of the ids: the sequence may use one variable for all
			e.records.setIDs(of, who)
		}
		x, err := e.decide(ctx, of, row)
		if err != nil {
			yield(nil, e.wrap(err))
			return
		}
		e.page = append(e.page, exported[T]{of, x})
		if len(e.page) == pageSize && !e.flush(ctx, yield) {
			return
		}
	}
	e.flush(ctx, yield)
}

// decide answers for one record. A refusal leaves the record out and is no error.
func (e *export[T]) decide(ctx context.Context, of *T, row envelope.Sealed) (*released, error) {
	r := e.records
	x, refusal := r.decide(ctx, of, row, asked{action: "export", req: e.req, fields: e.names})
	if x == nil {
		return nil, refusal
	}
	if refusal == nil && x.byRecord {
		// A gap that other records do not have would tell who carries a label.
		x.fields, x.entry.Reason = nil, NoConsent
		refusal = r.denied(x.entry)
	}
	if err := r.finish(ctx, of, x, refusal); err != nil {
		return nil, err
	}
	if refusal == nil {
		return x, nil
	}
	if errors.Is(refusal, ErrDenied) || errors.Is(refusal, keyring.ErrShredded) {
		return x, nil
	}
	return nil, errors.Join(refusal, r.cfg.Log.append(ctx, x.entry))
}

// flush writes the page's entries, and only then opens its records and yields
// their rows. It reports whether the reader wants more.
func (e *export[T]) flush(ctx context.Context, yield func([]any, error) bool) bool {
	page := e.page
	e.page = nil
	if len(page) == 0 {
		return true
	}
	if err := e.log(ctx, page); err != nil {
		yield(nil, e.wrap(err))
		return false
	}
	for i := range page {
		if err := e.records.tooMany(page[i].x); err != nil {
			yield(nil, err)
			return false
		}
		given, err := e.given(ctx, &page[i])
		if err != nil {
			yield(nil, e.wrap(err))
			return false
		}
		if !given {
			e.table.suppressed++
			continue
		}
		row, err := e.row(ctx, &page[i])
		if err != nil {
			yield(nil, e.wrap(err))
			return false
		}
		if !yield(row, nil) {
			return false
		}
	}
	return true
}

// log counts the page's patients and writes its entries.
func (e *export[T]) log(ctx context.Context, page []exported[T]) error {
	answers, entries := make([]*released, len(page)), make([]*logBody, len(page))
	for i := range page {
		answers[i], entries[i] = page[i].x, page[i].x.entry
	}
	if err := e.records.admit(ctx, &e.req, answers...); err != nil {
		return err
	}
	return e.records.cfg.Log.append(ctx, entries...)
}

// given reports whether a record of the page is given. Between its entry and
// its row lies as much time as the reader takes: a patient who withdrew or was
// erased meanwhile is left out.
func (e *export[T]) given(ctx context.Context, p *exported[T]) (bool, error) {
	if len(p.x.fields) == 0 {
		return false, nil
	}
	same, err := e.records.unchanged(ctx, p.of, p.x)
	if same || err != nil && !errors.Is(err, keyring.ErrShredded) {
		return same, err
	}
	e.records.failed(ctx, p.x)
	return false, nil
}

func (e *export[T]) wrap(err error) error {
	return fmt.Errorf("consent: export %s: %w", e.records.name, err)
}

// row opens one record and makes its de-identified form.
func (e *export[T]) row(ctx context.Context, p *exported[T]) ([]any, error) {
	r := e.records
	var rec T
	r.setIDs(&rec, p.of)
	if err := r.codec.OpenFields(p.x.reading, &rec, p.x.fields...); err != nil {
		return nil, err
	}
	subject, _ := r.ids(&rec)
	pseudonym, err := e.domain.Token(ctx, pseudo.Subject, subject)
	if err != nil {
		return nil, err
	}
	row := make([]any, 1, len(e.fields)+1)
	row[0] = pseudonym.String()
	for _, f := range e.fields {
		cell, err := e.cell(&rec, f, p.x)
		if err != nil {
			return nil, err
		}
		row = append(row, cell)
	}
	return row, nil
}

func (e *export[T]) cell(rec *T, f *phi.Field, x *released) (any, error) {
	for _, w := range x.withheld {
		if w.Field == f.Name {
			return w, nil
		}
	}
	if !x.reading.Has(f.Name) {
		return nil, nil
	}
	v, err := plain(rec, f)
	if v == nil || err != nil || f.Kind.Form == phi.Keep {
		return v, err
	}
	if f.Kind.Form == phi.Year && reflect.TypeOf(v).Kind() == reflect.String {
		return Withheld{f.Name, NotGeneral}, nil // a date as text waits for pseudo.Deidentifier here
	}
	t, ok := v.(time.Time)
	if !ok || f.Kind.Form != phi.Year {
		return nil, fmt.Errorf("%s: form %s: %w", f.Go, f.Kind.Form, envelope.ErrType)
	}
	year, err := pseudo.Year(t, e.records.cfg.now())
	if err != nil {
		return Withheld{f.Name, NotGeneral}, nil // a date that makes no year must not stop the table, nor pass as it is
	}
	return year, nil
}

// plain returns the Go value of a field behind its pointer or sql.Null, and
// nil where there is none.
func plain[T any](rec *T, f *phi.Field) (any, error) {
	v, ok := f.Value(reflect.ValueOf(rec).Elem())
	if !ok || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, nil
	}
	if null, ok := v.Interface().(driver.Valuer); ok {
		got, err := null.Value()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Go, envelope.ErrType)
		}
		return got, nil
	}
	return reflect.Indirect(v).Interface(), nil
}
