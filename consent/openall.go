package consent

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/rahasia/rahasia/envelope"
)

// pageSize is how many records share one question for keys and one durable
// write of the audit log.
const pageSize = 100

// OpenAll opens many records as [Records.Open] does one, and yields them in
// order: each with nil, with its [*WithheldError], or with why it did not open.
// A record that does not open keeps the others from nothing. rows yields each
// row with a T that names by its ids whose it is; no T may come twice.
//
// A hundred records share one question for keys and one durable write of the
// audit log, unless the loop is a minute late for one of them, before the first of them is opened: their entries say that they
// were, whether or not the loop takes them all. A
// refused request ([ErrRequest]) is the error of every record. When ctx ends,
// what comes next is its error, and the last.
func (r *Records[T]) OpenAll(ctx context.Context, rows iter.Seq2[*T, envelope.Sealed], req Request) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		p := opening[T]{records: r, req: req}
		for out, row := range rows {
			if err := ctx.Err(); err != nil {
				yield(out, fmt.Errorf("consent: open %s: %w", r.name, err))
				return
			}
			p.page = append(p.page, opened[T]{out: out, row: row})
			if len(p.page) == pageSize && !p.flush(ctx, yield) {
				return
			}
		}
		p.flush(ctx, yield)
	}
}

// opening is one OpenAll under way.
type opening[T any] struct {
	records *Records[T]
	req     Request
	page    []opened[T]
}

// opened is a record of the page: what may be opened of it, or why nothing.
type opened[T any] struct {
	out *T
	row envelope.Sealed
	x   *released
	err error
}

// flush opens the page and yields it. It reports whether the loop wants more.
func (p *opening[T]) flush(ctx context.Context, yield func(*T, error) bool) bool {
	page := p.page
	p.page = nil
	p.decide(ctx, page)
	for i := range page {
		o := &page[i]
		if o.err == nil {
			o.err = p.open(ctx, o)
		}
		if !yield(o.out, o.err) {
			return false
		}
	}
	return true
}

// decide answers for the page and writes all its entries at once.
func (p *opening[T]) decide(ctx context.Context, page []opened[T]) {
	r := p.records
	subjects := make([]string, len(page))
	for i := range page {
		subjects[i], _ = r.ids(page[i].out)
	}
	r.loadKeys(ctx, subjects)
	var answers []*released
	var entries []*logBody
	for i := range page {
		o := &page[i]
		r.wipe(o.out)
		if o.x, o.err = r.answer(ctx, o.out, o.row, asked{action: "open", req: p.req}); o.err != nil {
			o.err = r.wrap("open", o.err)
		}
		if o.x != nil {
			answers, entries = append(answers, o.x), append(entries, o.x.entry)
		}
	}
	if len(entries) == 0 {
		return
	}
	err := r.admit(ctx, &p.req, answers...)
	if err == nil {
		err = r.cfg.Log.append(ctx, entries...)
	}
	for i := range page {
		switch o := &page[i]; {
		case o.x == nil: // who was not even decided on has an error of their own
		case err != nil:
			o.err = r.wrap("open", err)
		case o.err == nil:
			o.err = r.tooMany(o.x)
		}
	}
}

// loadKeys asks once for the keys of a page of subjects, who may be nobody. Where
// that fails, each record asks for its own and says so itself.
func (r *Records[T]) loadKeys(ctx context.Context, subjects []string) {
	compartments := []string{auditCompartment}
	for _, c := range r.plan.Compartments {
		if r.cfg.Ring.Granted(c) {
			compartments = append(compartments, c)
		}
	}
	subjects = slices.DeleteFunc(slices.Clone(subjects), func(s string) bool { return s == "" })
	_, _ = r.cfg.Ring.Subjects(ctx, subjects, compartments...)
}

// open opens one record of the page, whose entry is written. Since then the
// patient may have withdrawn or been erased, or much time have passed; then it is
// asked for anew.
func (p *opening[T]) open(ctx context.Context, o *opened[T]) error {
	r := p.records
	same, err := r.unchanged(ctx, o.out, o.x)
	if !same || o.x.old() {
		r.failed(ctx, o.x)
		if err == nil {
			o.x, err = r.release(ctx, o.out, o.row, asked{action: "open", req: p.req})
		}
		if err != nil {
			return r.wrap("open", err)
		}
	}
	return r.fill(ctx, o.out, o.x)
}
