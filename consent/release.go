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
	"github.com/rahasia/rahasia/pseudo"
)

// released is what a decision lets out of one record.
type released struct {
	subject  string
	reading  *envelope.Reading
	fields   []string   // permitted, in the type's order
	withheld []Withheld // the rest
	entry    *logBody
	consents []Consent // decided on
	basis    []string  // ids of those that decided
	byRecord bool      // something is withheld for a label that only the record carries
	tags     map[string]*sectionTag
	at       time.Time // when it was decided, by the process's clock
}

// answerAge is how long an answer holds: a loop that takes its time between two
// records of a page must not open the second with keys that were put out of service
// since, or on a consent that has expired.
const answerAge = time.Minute

func (x *released) old() bool { return time.Since(x.at) >= answerAge }

// asked is what is to be done with which fields of a record.
type asked struct {
	action string
	req    Request
	fields []string // nil: every field of the type
	whole  bool     // all of them or none
}

// release is the one way to a record's fields. It decides on what the type
// fixes, opens the manifests, decides on the record's own labels, and writes
// the audit entry; only then, and if neither a withdrawal nor an erasure came in
// between, does it name the fields that may be opened.
func (r *Records[T]) release(ctx context.Context, of *T, row envelope.Sealed, a asked) (*released, error) {
	for {
		x, refusal := r.answer(ctx, of, row, a)
		if x == nil {
			return nil, refusal
		}
		if refusal == nil {
			if err := r.admit(ctx, &a.req, x); err != nil {
				return nil, err
			}
			refusal = r.tooMany(x)
		}
		if err := r.cfg.Log.append(ctx, x.entry); err != nil {
			return nil, err
		}
		if refusal != nil {
			return nil, refusal
		}
		same, err := r.unchanged(ctx, of, x)
		if same {
			return x, nil
		}
		r.failed(ctx, x)
		if err != nil {
			return nil, err
		}
		// the patient was faster: ask again, with what holds now
	}
}

// answer decides and completes the entry, which is not written yet. An error
// beside an answer is a refusal that has to be logged first.
func (r *Records[T]) answer(ctx context.Context, of *T, row envelope.Sealed, a asked) (x *released, refusal error) {
	if err := a.req.check(); err != nil {
		return nil, err
	}
	x, refusal = r.decide(ctx, of, row, a)
	if x == nil {
		return nil, refusal
	}
	if err := r.finish(ctx, of, x, refusal); err != nil {
		return nil, err
	}
	return x, refusal
}

// unchanged reports whether the patient's consents are still those that were
// decided on. An erasure since is an error.
func (r *Records[T]) unchanged(ctx context.Context, of *T, x *released) (bool, error) {
	subject, _ := r.ids(of)
	if _, err := r.cfg.Ring.Subject(ctx, subject, auditCompartment); err != nil {
		return false, err
	}
	now, err := r.cfg.Ledger.of(ctx, subject)
	if err != nil {
		return false, err
	}
	return slices.EqualFunc(now, x.consents, func(a, b Consent) bool {
		return a.ID == b.ID && a.Withdrawn.IsZero() == b.Withdrawn.IsZero()
	}), nil
}

// failed says in the log that what an entry announced did not happen. The error
// that the caller is told is another; where this entry cannot be written either,
// the log says too much and not too little.
func (r *Records[T]) failed(ctx context.Context, x *released) {
	_ = r.cfg.Log.append(context.WithoutCancel(ctx), r.notDone(x))
}

// notDone is the entry of what x's entry announced and did not happen.
func (r *Records[T]) notDone(x *released) *logBody {
	b := *x.entry
	b.Time, b.Outcome, b.Fields, b.Withheld = r.cfg.now().UnixNano(), "failed", nil, nil
	return &b
}

// decide fills in the whole answer, its entry included. An error beside an
// answer is a refusal that has to be logged first.
func (r *Records[T]) decide(ctx context.Context, of *T, row envelope.Sealed, a asked) (*released, error) {
	wanted, err := r.wanted(a.fields)
	if err != nil {
		return nil, err
	}
	subject, record := r.ids(of)
	if len(record) > maxText {
		return nil, fmt.Errorf("record id: %w", ErrLimit)
	}
	x := &released{subject: subject, at: time.Now(), entry: r.entry(a.action, a.req)} // before the ledger is read: it says how much of it was known
	consents, err := r.cfg.Ledger.of(ctx, subject)
	if err != nil {
		return nil, err
	}
	if _, err := r.cfg.Ring.Subject(ctx, subject, auditCompartment); gone(err) {
		x.entry.Reason = goneReason(err) // whatever the consents say
		return x, err
	}
	x.consents = consents
	d := decider{cfg: r.cfg, consents: consents, req: a.req, action: a.action, kind: r.name, record: record, now: r.cfg.now()}
	d.req.Action = actionOf(a.action)
	for i := range consents {
		if consents[i].Withdrawn.After(d.now) {
			d.consents = slices.Clone(d.consents) // what the ledger keeps is not ours to change
			d.consents[i].Withdrawn = d.now       // written by a process whose clock is ahead: it bites now all the same
		}
	}
	open := d.byType(x, wanted)
	if len(open) > 0 {
		if err := r.decideByRecord(ctx, &d, x, of, row, open); err != nil {
			x.entry.Reason, x.fields = reasonOf(err), nil
			return x, err
		}
	}
	x.basis = d.basis
	if len(x.fields) == 0 || a.whole && len(x.withheld) > 0 {
		x.fields, x.entry.Reason = nil, x.withheld[0].Reason
		return x, denied(x.entry)
	}
	x.entry.Reason, x.entry.Article = d.by, d.article
	if d.by == InEmergency {
		x.entry.Justification = a.req.Justification
	}
	return x, nil
}

// reasonOf names the errors of opening a manifest for the log.
func reasonOf(err error) Reason {
	switch {
	case gone(err):
		return goneReason(err)
	case errors.Is(err, ErrTokenMismatch):
		return NotFoundBy
	case errors.Is(err, keyring.ErrNotGranted):
		return KeyNotGranted
	case errors.Is(err, envelope.ErrOpen):
		return NotAuthentic
	}
	return Unreadable
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
			return nil, envelope.ErrField // not quoted: a caller may have mixed up its arguments
		}
	}
	return out, nil
}

// byType withholds what role, keys or the type's own labels forbid, and
// returns the rest.
func (d *decider) byType(x *released, wanted []*phi.Field) []*phi.Field {
	var open []*phi.Field
	for _, f := range wanted {
		reason := Permitted
		switch {
		case !d.cfg.roleKnown(d.req.Role):
			reason = NoRole
		case !d.cfg.Guard.mayRun(&d.req):
			reason = NoJob
		case !d.cfg.roleMay(d.req.Role, f.Compartment):
			reason = RoleForbids
		case !d.cfg.Ring.Granted(f.Compartment):
			reason = KeyNotGranted
		default:
			reason = d.decide(Data{Sensitivity: labelsOf(f), Type: d.kind, Record: d.record, later: true}, f.Compartment)
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
	x.tags = map[string]*sectionTag{}
	record := Data{Type: d.kind, Record: d.record}
	for _, f := range open {
		tag, err := readTag(x.tags, x.reading, f.Compartment)
		if err != nil {
			return err
		}
		tag.describe(&record)
	}
	x.fields = make([]string, 0, len(open))
	for _, f := range open {
		tag := x.tags[f.Compartment]
		data := record
		data.Confidentiality, data.Sensitivity = tag.labels(f)
		if reason := d.decide(data, f.Compartment); reason != Permitted {
			// By its type it was permitted: any other word would tell of a label.
			x.withheld, x.byRecord = append(x.withheld, Withheld{f.Name, NoConsent}), true
			continue
		}
		x.fields = append(x.fields, f.Name)
	}
	r.order(x)
	return nil
}

// sections are the compartments that have to be opened; none is all of them.
func (r *Records[T]) sections(d *decider, open []*phi.Field) []string {
	if d.action == "update" || d.action == "rebind" {
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
func readTag(tags map[string]*sectionTag, reading *envelope.Reading, compartment string) (*sectionTag, error) {
	if tag := tags[compartment]; tag != nil {
		return tag, nil
	}
	tag := &sectionTag{Confidentiality: Normal}
	if sealed := reading.Tag(compartment); sealed != nil {
		var err error
		if *tag, err = parseTag(sealed); err != nil {
			return nil, fmt.Errorf("compartment %s: %w", compartment, err)
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
		return fmt.Errorf("found by a token: %w", pseudo.ErrField)
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
	if err == nil && refusal == nil {
		b.under, err = r.keysOf(ctx, subject, x.fields)
	}
	if err != nil {
		return err
	}
	if key == nil && refusal == nil {
		return errAuditKey // an opening must not be anonymous
	}
	if key == nil {
		return nil
	}
	return b.sealRef(key, subject, record, x.basis...)
}
