package consent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
)

// released is what a decision lets out of one record.
type released struct {
	reading  *envelope.Reading
	fields   []string   // permitted, in the type's order
	withheld []Withheld // the rest
	entry    *logBody
}

// asked is what is to be done with which fields of a record.
type asked struct {
	action string
	req    Request
	fields []string // nil: every field of the type
	whole  bool     // all of them or none
}

// release is the one way to a record's fields. It decides on what the type
// fixes, opens the manifests, decides on the record's own labels, and writes
// the audit entry; only then does it name the fields that may be opened.
func (r *Records[T]) release(ctx context.Context, of *T, row envelope.Sealed, a asked) (*released, error) {
	if err := a.req.check(); err != nil {
		return nil, err
	}
	x, refusal := r.decide(ctx, of, row, a)
	if x == nil {
		return nil, refusal
	}
	if err := r.finish(ctx, of, x, refusal); err != nil {
		return nil, err
	}
	if err := r.cfg.Log.append(ctx, x.entry); err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	return x, nil
}

// decide fills in the whole answer, its entry included. An error beside an
// answer is a refusal that has to be logged first.
func (r *Records[T]) decide(ctx context.Context, of *T, row envelope.Sealed, a asked) (*released, error) {
	wanted, err := r.wanted(a.fields)
	if err != nil {
		return nil, err
	}
	subject, _ := r.ids(of)
	consents, err := r.cfg.Ledger.of(ctx, subject)
	if err != nil {
		return nil, err
	}
	x := &released{entry: r.entry(a.action, a.req)}
	d := decider{cfg: r.cfg, consents: consents, req: a.req, action: a.action, now: r.cfg.now()}
	for i := range consents {
		if c := &consents[i]; c.Withdrawn.After(d.now) {
			c.Withdrawn = d.now // written by a process whose clock is ahead: it bites now all the same
		}
	}
	open := d.byType(x, wanted)
	if len(open) > 0 {
		if err := r.decideByRecord(ctx, &d, x, of, row, open); err != nil {
			x.entry.Reason = NotAuthentic
			switch {
			case errors.Is(err, keyring.ErrShredded):
				x.entry.Reason = Erased
			case errors.Is(err, ErrTokenMismatch):
				x.entry.Reason = NotFoundBy
			case errors.Is(err, keyring.ErrNotGranted):
				x.entry.Reason = KeyNotGranted
			}
			x.fields = nil
			return x, err
		}
	}
	x.entry.Consent = d.basis
	if len(x.fields) == 0 || a.whole && len(x.withheld) > 0 {
		x.fields, x.entry.Reason = nil, x.withheld[0].Reason
		return x, r.denied(x.entry)
	}
	x.entry.Reason = Permitted
	return x, nil
}

func (r *Records[T]) wanted(fields []string) ([]*phi.Field, error) {
	out := make([]*phi.Field, 0, len(r.plan.Fields))
	for i := range r.plan.Fields {
		if f := &r.plan.Fields[i]; fields == nil || slices.Contains(fields, f.Name) {
			out = append(out, f)
		}
	}
	for _, name := range fields {
		if _, ok := r.plan.Field(name); !ok {
			return nil, fmt.Errorf("%q: %w", name, envelope.ErrField)
		}
	}
	return out, nil
}

// decider holds one request's answers, so that fields with the same labels are
// decided on once.
type decider struct {
	cfg      *Config
	consents []Consent
	req      Request
	action   string
	now      time.Time
	basis    string // id of the consent behind the permits
	known    []answer
}

type answer struct {
	data   Data
	reason Reason
}

// byType withholds what role, keys or the type's own labels forbid, and
// returns the rest.
func (d *decider) byType(x *released, wanted []*phi.Field) []*phi.Field {
	var open []*phi.Field
	for _, f := range wanted {
		reason := Permitted
		switch {
		case !d.cfg.roleMay(d.req.Role, f.Compartment):
			reason = RoleForbids
		case !d.cfg.Ring.Granted(f.Compartment):
			reason = KeyNotGranted
		default:
			reason = d.decide(Data{Sensitivity: labelsOf(f)})
		}
		if reason == Permitted {
			open = append(open, f)
			continue
		}
		x.withheld = append(x.withheld, Withheld{f.Name, reason})
	}
	return open
}

// decideByRecord opens the manifests of the fields' sections and decides on the
// labels that the record was sealed with.
func (r *Records[T]) decideByRecord(ctx context.Context, d *decider, x *released, of *T, row envelope.Sealed, open []*phi.Field) error {
	compartments := r.sections(d, open)
	var err error
	if x.reading, err = r.codec.Begin(ctx, of, row, compartments...); err != nil {
		return err
	}
	if err := r.checkFoundBy(ctx, d.req, of, x.reading); err != nil {
		return err
	}
	tags := map[string]sectionTag{}
	for _, f := range open {
		tag, err := readTag(tags, x.reading, f.Compartment)
		if err != nil {
			return err
		}
		if reason := d.decide(tag.data(f)); reason != Permitted {
			x.withheld = append(x.withheld, Withheld{f.Name, reason})
			continue
		}
		x.fields = append(x.fields, f.Name)
	}
	r.order(x)
	return nil
}

// sections are the compartments that have to be opened; none is all of them.
func (r *Records[T]) sections(d *decider, open []*phi.Field) []string {
	if d.action == "update" {
		return nil // what is not named is carried, and so must be whole
	}
	var out []string
	add := func(f *phi.Field) {
		if !slices.Contains(out, f.Compartment) {
			out = append(out, f.Compartment)
		}
	}
	for _, f := range open {
		add(f)
	}
	for i := range r.plan.Fields {
		if f := &r.plan.Fields[i]; f.Lookup && !d.req.FoundBy.IsZero() {
			add(f)
		}
	}
	return out
}

// readTag reads a section's tag once. A row that is older than the compartment
// has no section for it: the field is absent, and its labels are the type's.
func readTag(tags map[string]sectionTag, reading *envelope.Reading, compartment string) (sectionTag, error) {
	tag, ok := tags[compartment]
	if ok {
		return tag, nil
	}
	tag.Confidentiality = Normal
	if sealed := reading.Tag(compartment); sealed != nil {
		var err error
		if tag, err = parseTag(sealed); err != nil {
			return tag, fmt.Errorf("compartment %s: %w", compartment, err)
		}
	}
	tags[compartment] = tag
	return tag, nil
}

// order puts what is withheld, found out in two passes, in the type's order.
func (r *Records[T]) order(x *released) {
	place := func(w Withheld) int {
		return slices.IndexFunc(r.plan.Fields, func(f phi.Field) bool { return f.Name == w.Field })
	}
	slices.SortFunc(x.withheld, func(a, b Withheld) int { return place(a) - place(b) })
}

// checkFoundBy derives the lookup tokens again from the record itself. What it
// opens for that goes no further than this function.
func (r *Records[T]) checkFoundBy(ctx context.Context, req Request, of *T, reading *envelope.Reading) error {
	if req.FoundBy.IsZero() {
		return nil
	}
	var scratch T
	r.setIDs(&scratch, of)
	var names []string
	for i := range r.plan.Fields {
		if f := &r.plan.Fields[i]; f.Lookup {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return ErrTokenMismatch
	}
	if err := r.codec.OpenFields(reading, &scratch, names...); err != nil {
		return err
	}
	_, ok, err := r.index.Matches(ctx, &scratch, req.FoundBy)
	if err != nil {
		return err
	}
	if !ok {
		return ErrTokenMismatch
	}
	return nil
}

// decide answers for one set of labels.
func (d *decider) decide(data Data) Reason {
	for i := range d.known {
		if a := &d.known[i]; a.data.Confidentiality == data.Confidentiality && slices.Equal(a.data.Sensitivity, data.Sensitivity) {
			return a.reason
		}
	}
	dec := Decide(d.consents, d.req, data, d.now)
	reason := dec.Reason
	if dec.Permit {
		d.basis = dec.Consent
		reason = d.discharge(dec.Obligations)
	}
	d.known = append(d.known, answer{data, reason})
	return reason
}

// discharge reports whether the action does what the permit obliges to. An
// obligation that nothing here discharges refuses, whatever it is.
func (d *decider) discharge(obligations []Obligation) Reason {
	for _, o := range obligations {
		switch o {
		case "AUDIT", "AUDTR", "ENCRYPT", "ENCRYPTR": // every release is audited, every row is encrypted
		case Pseudonymise, Deidentify:
			if d.action != "export" {
				return ExportOnly
			}
		default:
			return CannotFulfil
		}
	}
	return Permitted
}

// finish completes an entry: what was given, what not, and about whom.
func (r *Records[T]) finish(ctx context.Context, of *T, x *released, refusal error) error {
	b := x.entry
	b.Outcome, b.Fields = "done", x.fields
	if refusal != nil {
		b.Outcome = "refused"
	}
	for _, w := range x.withheld {
		b.Withheld = append(b.Withheld, w.Field)
	}
	subject, record := r.ids(of)
	key, err := r.cfg.subjectKey(ctx, subject)
	if err != nil || key == nil {
		return err
	}
	return b.sealRef(key, subject, record)
}
