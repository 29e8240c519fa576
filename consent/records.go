package consent

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Records seals and opens records of the struct type T, whose fields say by
// `phi` tags what they are. It is safe for concurrent use.
type Records[T any] struct {
	name  string
	cfg   *Config
	plan  *phi.Plan
	codec *envelope.Codec[T]
	index *pseudo.Index[T]
	form  func() (*form, error) // of what intakes send; a type that cannot be sent is an error there only

	tagged  []sectionForm
	keyed   []string  // the compartments, and last the audit key's
	buffers sync.Pool // of *sealBuffers
}

// Row is a sealed record as an application stores it: the bytes for one
// column, for each field tagged lookup the token for an indexed column, and for
// each that is tagged unique as well those for its two UNIQUE columns.
type Row struct {
	Sealed envelope.Sealed
	// Tokens by stored field name. A field that holds no value has no token.
	// After an [Records.Update] the named lookup fields are here, with the zero
	// token where one holds no value any more: store NULL for that.
	Tokens map[string]pseudo.Token
	// Unique by stored field name, for the fields tagged unique, which have nothing
	// in Tokens: what the columns a and b of one hold now, both NULL where it holds
	// no value. The statements never change, and while the lookup domain is rotated
	// no value is stored twice and none is missed: see pseudo.Domain.Columns for the
	// recipe, whose backfill an Update of the field is. Commit the row within 20
	// seconds. After an Update only the named fields are here; leave the columns of
	// the others as they are, for what is missing here reads as NULL.
	Unique map[string][2]sql.Null[pseudo.Token]
}

// NewRecords prepares records of type T under a record type name, which is
// sealed into every row: 1 to 64 letters, digits, '-', '_' or '.'. It fails on
// any mistake in the tags (an error that names type and field), on an incomplete
// configuration ([ErrConfig]), and on a keyset that the ring lacks and may not be
// made (keyring.ErrNoKeyset; see Config.Provision).
func NewRecords[T any](name string, cfg *Config) (*Records[T], error) {
	ctx := context.Background() // start-up reads the key store once; requests carry their own
	r, err := newRecords[T](ctx, name, cfg)
	if err != nil {
		return nil, fmt.Errorf("consent: records %q: %w", name, err)
	}
	return r, nil
}

func newRecords[T any](ctx context.Context, name string, cfg *Config) (*Records[T], error) {
	if err := cfg.check(ctx); err != nil {
		return nil, err
	}
	plan, err := planOf(name, reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	if cfg.Provision {
		names := append(slices.Clone(plan.Compartments), auditCompartment)
		for i := range plan.Fields {
			if plan.Fields[i].Lookup {
				names = append(names, pseudo.LookupDomain(name, plan.Fields[i].Name))
			}
		}
		if err := cfg.createKeysets(ctx, names...); err != nil {
			return nil, err
		}
	}
	if _, err := cfg.Ring.Keyset(ctx, auditCompartment); err != nil {
		return nil, err
	}
	r := &Records[T]{name: name, cfg: cfg, plan: plan, form: sync.OnceValues(func() (*form, error) { return newForm(name, plan) })}
	r.keyed = append(slices.Clone(plan.Compartments), auditCompartment)
	if r.tagged, err = sectionForms(plan); err != nil {
		return nil, err
	}
	if r.codec, err = envelope.NewCodec[T](name, cfg.Ring); err != nil {
		return nil, err
	}
	if r.index, err = pseudo.NewIndex[T](ctx, name, cfg.Ring); err != nil {
		return nil, err
	}
	return r, nil
}

// planOf is the plan of a record type whose name and labels are known to be good.
func planOf(name string, t reflect.Type) (*phi.Plan, error) {
	if !typeName(name) {
		return nil, fmt.Errorf("record type: %w", ErrLimit)
	}
	plan, err := phi.For(t)
	if err != nil {
		return nil, err
	}
	for i := range plan.Fields {
		for _, l := range labelsOf(&plan.Fields[i]) {
			if !l.known() {
				return nil, fmt.Errorf("%s: label: %w", plan.Fields[i].Go, ErrCode)
			}
		}
	}
	return plan, nil
}

// typeName reports whether s can name a record type: it is a part of the names
// of the lookup domains and stands in the log.
func typeName(s string) bool {
	return len(s) > 0 && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// Seal seals src, of which nothing stays outside but the fields tagged clear,
// and returns what to store. The tag's purpose and legal basis are required.
// The row is returned only after its entry is in the audit log. What a reader
// of the row still learns: that the patient has a record of this type, which
// compartments and key generations it has, its size in coarse steps, and through
// a token that two rows hold the same value in that column.
//
// Errors: [ErrNoBasis], [ErrCode], [ErrSubject], [ErrLimit], [ErrAudit],
// envelope.ErrEmpty, *pseudo.FormatError, keyring.ErrShredded,
// keyring.ErrNotGranted.
func (r *Records[T]) Seal(ctx context.Context, src *T, tag Tag) (Row, error) {
	m, _ := r.buffers.Get().(*sealBuffers)
	if m == nil {
		m = &sealBuffers{tags: make(map[string][]byte, len(r.tagged))}
	}
	row, err := r.seal(ctx, m, src, tag)
	m.wipe()
	r.buffers.Put(m)
	if err != nil {
		return Row{}, fmt.Errorf("consent: seal %s: %w", r.name, err)
	}
	return row, nil
}

// SealAll seals several records under one tag, with one durable write of the
// audit log for all. It seals all or none.
func (r *Records[T]) SealAll(ctx context.Context, src []*T, tag Tag) ([]Row, error) {
	rows, err := r.sealAll(ctx, src, tag)
	if err != nil {
		return nil, fmt.Errorf("consent: seal %s: %w", r.name, err)
	}
	return rows, nil
}

func (r *Records[T]) sealAll(ctx context.Context, src []*T, tag Tag) ([]Row, error) {
	if err := tag.check(); err != nil {
		return nil, err
	}
	tags, err := tag.sections(r.plan)
	if err != nil {
		return nil, err
	}
	rows := make([]Row, len(src))
	entries := make([]*logBody, len(src))
	for i, s := range src {
		entries[i] = new(logBody)
		if rows[i], err = r.sealOne(ctx, s, tag, tags, entries[i]); err != nil {
			return nil, err
		}
	}
	if len(entries) == 0 {
		return rows, nil
	}
	if err := r.cfg.Log.append(ctx, entries...); err != nil {
		return nil, err
	}
	return rows, nil
}

// sealOne seals one record and writes its entry into b.
func (r *Records[T]) sealOne(ctx context.Context, src *T, tag Tag, tags map[string][]byte, b *logBody) (Row, error) {
	subject, record := r.ids(src)
	if err := checkIDs(subject, record); err != nil {
		return Row{}, err
	}
	tokens, err := r.index.Tokens(ctx, src)
	if err != nil {
		return Row{}, err
	}
	unique, err := r.index.Columns(ctx, src)
	if err != nil {
		return Row{}, err
	}
	keys, err := r.keysFor(ctx, subject)
	if err != nil {
		return Row{}, err
	}
	sealed, err := r.codec.Seal(ctx, src, tags)
	if err != nil {
		return Row{}, err
	}
	begin(r.cfg, b, "seal", r.name, &Request{Purpose: tag.Purpose, Actor: tag.Actor})
	b.Outcome, b.under = "done", versionsOf(b.under, keys[:len(keys)-1])
	if err := b.sealRef(keys[len(keys)-1], subject, record); err != nil {
		return Row{}, err
	}
	return Row{Sealed: sealed, Tokens: tokens, Unique: unique}, nil
}

// keysFor returns the patient's keys in the type's compartments and, last, the
// audit key. Keys are made with the patient's first record; where there are
// others, or consents, a missing audit key is not made anew.
func (r *Records[T]) keysFor(ctx context.Context, subject string) ([]*keyring.SubjectKey, error) {
	keys, err := r.cfg.Ring.Subject(ctx, subject, r.keyed...)
	if !errors.Is(err, keyring.ErrNoSubjectKey) {
		return keys, err
	}
	if _, err := r.cfg.Ring.Subject(ctx, subject, auditCompartment); errors.Is(err, keyring.ErrNoSubjectKey) {
		for _, name := range r.plan.Compartments {
			if _, err := r.cfg.Ring.Subject(ctx, subject, name); err == nil {
				return nil, errAuditKey
			}
		}
		if given, err := r.cfg.Ledger.of(ctx, subject); err != nil || len(given) > 0 {
			return nil, cmp.Or(err, errAuditKey)
		}
	}
	return r.cfg.Ring.CreateSubject(ctx, subject, r.keyed...)
}

// Open opens the record that out names by its subject and record ids, as far
// as the request is permitted. All sealed fields of out are cleared first, then
// the permitted ones are set; each withheld one stays zero and is named in a
// [*WithheldError], so that what stood in out, another patient's perhaps, is
// never taken for this one's. Never seal what was opened in part: that would
// erase the rest; use [Records.Update].
//
// The decision is made before anything is opened, and its entry is durable in
// the audit log before the first field is; a refusal is logged too. A
// withdrawal or an erasure that comes between decision and entry counts.
//
// Errors: [*WithheldError] for a partial answer; [*DeniedError] where nothing
// is permitted; [ErrTokenMismatch] where the record is not the one that
// req.FoundBy names; [ErrRequest], [ErrSubject], [ErrLimit], [ErrAudit],
// [ErrTag], [ErrTampered]; envelope.ErrOpen for a row that is not this record's
// or was changed, envelope.ErrType and envelope.ErrCompartment for one whose type
// has changed; keyring.ErrNotGranted; keyring.ErrShredded for an erased
// patient, *keyring.RetainedError for a retained one.
func (r *Records[T]) Open(ctx context.Context, out *T, row envelope.Sealed, req Request) error {
	r.wipe(out)
	x, err := r.release(ctx, out, row, asked{action: "open", req: req})
	if err != nil {
		return r.wrap("open", err)
	}
	return r.fill(ctx, out, x)
}

// fill opens what was released into out, which was wiped.
func (r *Records[T]) fill(ctx context.Context, out *T, x *released) error {
	if err := r.codec.OpenFields(x.reading, out, x.fields...); err != nil {
		r.failed(ctx, x)
		r.wipe(out)
		return r.wrap("open", err)
	}
	r.observed(x)
	if len(x.withheld) > 0 {
		return &WithheldError{Type: r.name, Purpose: x.entry.Purpose, Fields: x.withheld, Decision: x.entry.Decision}
	}
	return nil
}

// wipe clears the sealed fields of out.
func (r *Records[T]) wipe(out *T) {
	if out == nil {
		return
	}
	root := reflect.ValueOf(out).Elem()
	for i := range r.plan.Fields {
		if v, ok := r.plan.Fields[i].Value(root); ok {
			v.SetZero()
		}
	}
}

// wrap adds the context that the typed refusals carry themselves.
func (r *Records[T]) wrap(action string, err error) error {
	if denied := (*DeniedError)(nil); errors.As(err, &denied) {
		return denied
	}
	return fmt.Errorf("consent: %s %s: %w", action, r.name, err)
}

// ids are those that src names; a nil src names nobody.
func (r *Records[T]) ids(src *T) (subject, record string) {
	if src == nil {
		return "", ""
	}
	return idsIn(r.plan, reflect.ValueOf(src).Elem())
}

// checkIDs refuses ids under which nothing may be made: what names nobody, and what
// an extract of the log could not name, for JSON has no other texts than UTF-8.
func checkIDs(subject, record string) error {
	switch {
	case subject == "":
		return ErrSubject
	case !text(subject):
		return fmt.Errorf("subject id: %w", ErrLimit)
	case !text(record):
		return fmt.Errorf("record id: %w", ErrLimit)
	}
	return nil
}

// idsIn are the ids of the record v; where a patient has one, the subject's is its.
func idsIn(plan *phi.Plan, v reflect.Value) (subject, record string) {
	subject = v.FieldByIndex(plan.Subject.Index).String()
	if plan.Record == nil {
		return subject, subject
	}
	return subject, v.FieldByIndex(plan.Record.Index).String()
}

func (r *Records[T]) entry(action string, req Request) *logBody {
	b := new(logBody)
	begin(r.cfg, b, action, r.name, &req)
	return b
}

// begin fills in what an entry says before anything is decided.
func begin(c *Config, b *logBody, action, recordType string, req *Request) {
	b.Time, b.Actor, b.Role, b.Purpose, b.Action, b.Type = c.now().UnixNano(), req.Actor, req.Role, req.Purpose, action, recordType
	b.Decision, b.Recipient, b.Job, b.Ledger = envelope.NewID(), req.Recipient, req.Job, c.Ledger.chain().Len()
}

func denied(b *logBody) *DeniedError {
	return &DeniedError{Action: b.Action, Type: b.Type, Purpose: b.Purpose, Reason: b.Reason, Decision: b.Decision}
}

// subjectKey returns the key under which entries name the patient, or a nil
// key where there is none to name: a patient without records, an erased or a retained one.
func (c *Config) subjectKey(ctx context.Context, subject string) (*keyring.SubjectKey, error) {
	keys, err := c.Ring.Subject(ctx, subject, auditCompartment)
	if errors.Is(err, keyring.ErrNoSubjectKey) || gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

// setIDs makes dst name the record that of names.
func (r *Records[T]) setIDs(dst, of *T) {
	from, to := reflect.ValueOf(of).Elem(), reflect.ValueOf(dst).Elem()
	to.FieldByIndex(r.plan.Subject.Index).Set(from.FieldByIndex(r.plan.Subject.Index))
	if r.plan.Record != nil {
		to.FieldByIndex(r.plan.Record.Index).Set(from.FieldByIndex(r.plan.Record.Index))
	}
}
