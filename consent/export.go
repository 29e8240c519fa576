package consent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/pseudo"
	"github.com/rahasia/rahasia/pseudo/risk"
)

// Table is a de-identified table, made for one recipient. Its rows are made
// when they are read: all of them, in memory, before the first is given, because
// the gate must have seen all; without a gate a hundred at a time.
type Table struct {
	Columns []string // "pseudonym", then stored names of fields

	rows       func(yield func([]any, error) bool)
	suppressed int
}

// Rows yields the rows, one cell a column. A cell is nil where the record holds no
// value, a [Withheld] where the field may not be seen or its value makes no year, a
// string in the column pseudonym and for the year of a date, and elsewhere the
// field's own Go value, not behind a pointer; what the gate has generalised is a
// string. An error ends the table: a row that does not open, an audit entry that was
// not written, risk.ErrRefused where the gate refuses, before any row, and
// risk.ErrChanged where a patient withdrew since, after which the rows that were
// given must not be used: make another table. Read it once.
func (t *Table) Rows() iter.Seq2[[]any, error] {
	if t.rows == nil {
		return func(func([]any, error) bool) {}
	}
	return t.rows
}

// Suppressed is the number of records left out so far, because their
// patient's consents do not allow this export, the patient withdrew or was
// erased before the row was read, or too few others are like it for the gate.
func (t *Table) Suppressed() int { return t.suppressed }

// WriteCSV writes the table as [pseudo.WriteCSV] does. A withheld value reads
// "(withheld)".
func (t *Table) WriteCSV(w io.Writer) error { return pseudo.WriteCSV(w, t.Columns, t.Rows()) }

// Export gives the records of in as a table for req.Recipient: direct
// identifiers left out, dates as years (and a time.Time in a field of another kind
// not at all), and in the column "pseudonym" a token of the patient in the
// recipient's own domain ([Config.AddRecipient]), so two recipients' tables have no
// pseudonym in common. in yields for each record a T with its ids set and its row;
// where it can fail, check that before you use the table. A record of which the
// type's columns would be given, but for a label of its own, is left out whole: a
// gap would show the label. A record whose patient does not allow the export is left
// out and counted; each one that is given or left out has its entry in the audit log
// before its row is yielded.
//
// Rows come in the order of in: give it an order that says nothing, or two
// recipients join their tables line by line.
//
// No row is given before the whole table obeys req.Gate, unless its Ungated says
// why. The rows are pseudonymous and still personal data: who knows of a patient
// what the gate does not measure, such as a rare diagnosis, may recognise the row.
//
// Errors: [ErrRequest], risk.ErrPlan for a gate that names a column twice or one
// that is not there, [*DeniedError] for a role that may see none of the columns
// and at the patient who is one too many for the [Guard],
// keyring.ErrNoKeyset for a recipient that was not added, [pseudo.ErrPolicy] for a
// type with a field that is stored as "pseudonym"; while reading, what
// [Records.Open] returns, and keyring.ErrUnknownVersion where the recipient's keyset
// was rotated and the old version suspended meanwhile.
func (r *Records[T]) Export(ctx context.Context, in iter.Seq2[*T, envelope.Sealed], req Request) (*Table, error) {
	err := req.check()
	if err == nil && (req.Recipient == "" || in == nil) {
		err = fmt.Errorf("recipient or records: %w", ErrRequest)
	}
	var domain *pseudo.Domain
	if err == nil {
		domain, err = pseudo.Open(ctx, r.cfg.Ring, recipientDomain(req.Recipient))
	}
	var deidentified *pseudo.Deidentifier[T]
	if err == nil {
		deidentified, err = pseudo.NewDeidentifier[T](ctx, domain, exportPolicy(r.plan, r.cfg.now()))
	}
	if err != nil {
		return nil, fmt.Errorf("consent: export %s: %w", r.name, err)
	}
	x := &export[T]{records: r, deidentified: deidentified, req: req, table: &Table{Columns: deidentified.Columns()}}
	x.columns = slices.Clone(x.table.Columns) // the table's are the caller's
	x.names = x.columns[1:]
	if x.plan, err = req.Gate.plan(r.plan, x.columns); err != nil {
		return nil, x.wrap(err)
	}
	mayRun := r.cfg.Guard.mayRun(&req)
	if !mayRun || !slices.ContainsFunc(x.names, func(name string) bool {
		f, ok := r.plan.Field(name)
		return ok && r.cfg.roleMay(req.Role, f.Compartment)
	}) {
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
		return nil, denied(b)
	}
	x.table.rows = func(yield func([]any, error) bool) { x.gated(ctx, in, yield) }
	if req.Gate.Ungated != "" {
		x.table.rows = func(yield func([]any, error) bool) {
			x.run(ctx, in, func(_ *exported[T], row []any, err error) bool { return yield(row, err) })
		}
	}
	return x.table, nil
}

// exportPolicy is what the kinds' forms say.
func exportPolicy(plan *phi.Plan, at time.Time) pseudo.Policy {
	p := pseudo.Policy{At: at, Kinds: map[pseudo.Kind]pseudo.Form{}, Fields: map[string]pseudo.Form{}}
	for _, k := range phi.Kinds() {
		p.Kinds[pseudo.Kind(k.Name)] = pseudo.Form(k.Form)
	}
	for i := range plan.Fields {
		if f := &plan.Fields[i]; f.Kind.Form == phi.Keep && phi.HoldsTime(f.Type) {
			p.Fields[f.Name] = pseudo.FormDrop // a date under a kind that is kept would leave to the second
		}
	}
	return p
}

// export is one export under way.
type export[T any] struct {
	records      *Records[T]
	deidentified *pseudo.Deidentifier[T]
	req          Request
	table        *Table
	columns      []string
	names        []string // of the columns after the first
	plan         risk.Plan
	page         []exported[T]
}

// exported is a record that waits to be decided on, for its audit entry, or for
// the gate.
type exported[T any] struct {
	of  *T
	row envelope.Sealed // until it is given
	x   *released
}

// run makes the rows of all records that are given.
func (e *export[T]) run(ctx context.Context, in iter.Seq2[*T, envelope.Sealed], yield func(*exported[T], []any, error) bool) {
	for who, row := range in {
		of := new(T)
		if who != nil { // a copy of the ids: the sequence may use one variable for all
			e.records.setIDs(of, who)
		}
		e.page = append(e.page, exported[T]{of: of, row: row})
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
	x.entry.K = e.req.Gate.k()
	if why := e.req.Gate.Ungated; why != "" {
		x.entry.Justification = strings.TrimPrefix(x.entry.Justification+"; "+why, "; ") // an emergency's stays
	}
	if refusal == nil && x.byRecord {
		// A gap that other records do not have would tell who carries a label.
		x.fields, x.entry.Reason = nil, NoConsent
		refusal = denied(x.entry)
	}
	if err := r.finish(ctx, of, x, refusal); err != nil {
		return nil, err
	}
	if refusal == nil {
		return x, nil
	}
	if errors.Is(refusal, ErrDenied) || gone(refusal) {
		return x, nil
	}
	return nil, errors.Join(refusal, r.cfg.Log.append(ctx, x.entry))
}

// flush decides on the page and writes its entries, and only then opens its
// records and yields their rows. It reports whether the reader wants more.
func (e *export[T]) flush(ctx context.Context, yield func(*exported[T], []any, error) bool) bool {
	page := e.page
	e.page = nil
	if len(page) == 0 {
		return true
	}
	err := e.answer(ctx, page)
	if err == nil {
		err = e.log(ctx, page)
	}
	if err != nil {
		yield(nil, nil, e.wrap(err))
		return false
	}
	for i := range page {
		if err := e.anew(ctx, page[i:i+1]); err != nil {
			yield(nil, nil, e.wrap(err))
			return false
		}
		page[i].row = nil
		if err := e.records.tooMany(page[i].x); err != nil {
			yield(nil, nil, err)
			return false
		}
		given, err := e.given(ctx, &page[i])
		if err != nil {
			yield(nil, nil, e.wrap(err))
			return false
		}
		if !given {
			e.table.suppressed++
			continue
		}
		row, err := e.row(ctx, &page[i])
		if err != nil {
			yield(nil, nil, e.wrap(err))
			return false
		}
		if !yield(&page[i], row, nil) {
			return false
		}
	}
	return true
}

// answer decides on the records of the page, with one question for their keys.
func (e *export[T]) answer(ctx context.Context, page []exported[T]) (err error) {
	subjects := make([]string, len(page))
	for i := range page {
		subjects[i], _ = e.records.ids(page[i].of)
	}
	e.records.loadKeys(ctx, subjects)
	for i := range page {
		p := &page[i]
		if p.x, err = e.decide(ctx, p.of, p.row); err != nil {
			return err
		}
	}
	return nil
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

// anew asks again for a record whose answer has grown old.
func (e *export[T]) anew(ctx context.Context, one []exported[T]) error {
	if x := one[0].x; len(x.fields) == 0 || !x.old() {
		return nil
	}
	e.records.failed(ctx, one[0].x)
	if err := e.answer(ctx, one); err != nil {
		return err
	}
	return e.log(ctx, one)
}

// given reports whether a record of the page is given. Between its entry and
// its row lies as much time as the reader takes: a patient who withdrew or was
// erased meanwhile is left out.
func (e *export[T]) given(ctx context.Context, p *exported[T]) (bool, error) {
	if len(p.x.fields) == 0 {
		return false, nil
	}
	same, err := e.records.unchanged(ctx, p.of, p.x)
	if same || err != nil && !gone(err) {
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
	row, err := e.deidentified.Row(ctx, &rec)
	if err != nil {
		return nil, err
	}
	for i, name := range e.names {
		row[i+1] = e.cell(row[i+1], name, p.x)
	}
	return row, nil
}

// cell is what the record's reader gets of a de-identified cell.
func (e *export[T]) cell(cell any, field string, x *released) any {
	for _, w := range x.withheld {
		if w.Field == field {
			return w
		}
	}
	if !x.reading.Has(field) {
		return nil // what was not opened is zero in the record
	}
	if _, unfit := cell.(pseudo.Unfit); unfit {
		return Withheld{field, NotGeneral}
	}
	return cell
}
