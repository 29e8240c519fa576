package consent

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/phi"
	"github.com/rahasia/rahasia/internal/value"
)

// Intake seals records of type T where they must not be read: in a branch, at a
// laboratory, in the form that a patient fills in. It holds a public key, and a
// key by which its clinic knows the sender; neither opens anything, what it
// sealed itself included. The clinic takes the records in with [Records.Accept].
// It is safe for concurrent use.
type Intake[T any] struct {
	form *form
	to   *envelope.Intake
}

// NewIntake prepares an intake of records of type T under the record type name
// that the clinic gave [NewRecords]. It fails on any mistake in the tags, and on
// a field tagged clear whose type cannot be sent.
func NewIntake[T any](name string, to *envelope.Intake) (*Intake[T], error) {
	plan, err := planOf(name, reflect.TypeFor[T]())
	var f *form
	if err == nil {
		f, err = newForm(name, plan)
	}
	if err == nil && to == nil {
		err = ErrConfig
	}
	if err != nil {
		return nil, fmt.Errorf("consent: intake %q: %w", name, err)
	}
	return &Intake[T]{f, to}, nil
}

// Seal seals src, its ids and clear fields included, for the inbox. The tag's
// purpose and legal basis are required, as for [Records.Seal]. Keep the item
// until the clinic has acknowledged it, and send the same item again: one that is
// sealed again is another, and is accepted beside it.
//
// Nobody looks at what the fields hold before the clinic does: a NIK that is
// none is refused there. The item shows its sender and, in coarse steps, its
// length.
//
// Errors: [ErrNoBasis], [ErrCode], [ErrLimit], [ErrSubject], envelope.ErrEmpty for
// a missing record id, envelope.ErrValue for a value that cannot be sealed, and
// envelope.ErrLimit for a record of more than 16 MiB.
func (i *Intake[T]) Seal(src *T, tag Tag) (envelope.Item, error) {
	item, err := i.seal(src, tag)
	if err != nil {
		return nil, fmt.Errorf("consent: intake %s: %w", i.form.name, err)
	}
	return item, nil
}

func (i *Intake[T]) seal(src *T, tag Tag) (envelope.Item, error) {
	if src == nil {
		return nil, ErrSubject
	}
	if err := tag.check(); err != nil {
		return nil, err
	}
	v := reflect.ValueOf(src).Elem()
	subject, record := idsIn(i.form.plan, v)
	if err := checkIDs(subject, record); err != nil {
		return nil, err
	}
	if record == "" {
		return nil, fmt.Errorf("record id: %w", envelope.ErrEmpty)
	}
	payload, err := i.form.write(v, tag)
	if err != nil {
		return nil, err
	}
	defer clear(payload)
	return i.to.Seal(subject, payload)
}

// Accepted is a record that came through an intake, as the clinic stores it.
type Accepted[T any] struct {
	Row           // what Seal would have returned
	Record *T     // the ids and the clear fields; every sealed field is zero
	Sender string // whose credential sealed the item
	// Version is that of the inbox's keyset which enrolled the sender.
	Version uint32
}

// Accept takes in a record that an [Intake] sealed: it derives the lookup
// tokens, seals the record anew under the patient's keys, and notes the item in
// tx, in which the caller stores what Accept returns. A repeat of the item is
// envelope.ErrReplayed: roll back and acknowledge. The table is that of
// envelope.Received.Accept. An item that came in once, and whose tx was rolled
// back, can be accepted again.
//
// The entry "accept" is in the audit log before Accept returns, with the sender as
// its actor; where tx is rolled back, it says too much and not too little. Log
// and keys are not written through tx. So on SQLite tx must be of another
// database than theirs, which could not be written while tx is open.
//
// A sender says which patient a record is about: whether that one may, and whether
// a stolen credential's items are still taken, is for the caller to
// decide by Sender and Version, and to roll back if not.
//
// Errors: those of envelope.Inbox.Open (envelope.ErrOpen for what no enrolled
// sender made, keyring.ErrShredded, keyring.ErrRetained), envelope.ErrType and
// envelope.ErrField for another record type or one whose type differs, [ErrTag],
// those of [Records.Seal], and those of tx.
func (r *Records[T]) Accept(ctx context.Context, tx *sql.Tx, from *envelope.Inbox, item envelope.Item) (*Accepted[T], error) {
	a, err := r.accept(ctx, tx, from, item)
	if err != nil {
		return nil, fmt.Errorf("consent: accept %s: %w", r.name, err)
	}
	return a, nil
}

func (r *Records[T]) accept(ctx context.Context, tx *sql.Tx, from *envelope.Inbox, item envelope.Item) (*Accepted[T], error) {
	if tx == nil || from == nil {
		return nil, ErrConfig
	}
	f, err := r.form()
	if err != nil {
		return nil, err
	}
	got, err := from.Open(ctx, item)
	if err != nil {
		return nil, err
	}
	defer clear(got.Payload)
	var src T
	v := reflect.ValueOf(&src).Elem()
	tag, err := f.read(v, got.Subject, got.Payload)
	if err != nil {
		return nil, err
	}
	sections, err := tag.sections(r.plan)
	if err != nil {
		return nil, err
	}
	// Before the record's key and entry are made: a repeat makes neither.
	if err := got.Accept(ctx, tx); err != nil {
		return nil, err
	}
	entry := new(logBody)
	row, err := r.sealOne(ctx, &src, tag, sections, entry)
	if err != nil {
		return nil, err
	}
	entry.Action, entry.Actor = "accept", got.Sender
	if tag.Actor != "" {
		entry.Actor += "/" + tag.Actor // no sender's name has a slash
	}
	if err := r.cfg.Log.append(ctx, entry); err != nil {
		return nil, err
	}
	r.wipe(&src)
	return &Accepted[T]{Row: row, Record: &src, Sender: got.Sender, Version: got.Version}, nil
}

// intakeBody is a record as an item carries it.
type intakeBody struct {
	Type   string                 `cbor:"1,keyasint"`
	Record string                 `cbor:"2,keyasint,omitempty"` // where the type has several records of a patient
	Actor  string                 `cbor:"3,keyasint,omitempty"`
	Tag    sectionTag             `cbor:"4,keyasint"`
	Sealed map[string]intakeValue `cbor:"5,keyasint"`           // by stored name; what is NULL is not there
	Clear  map[string]intakeValue `cbor:"6,keyasint,omitempty"` // likewise
}

type intakeValue struct {
	_     struct{} `cbor:",toarray"`
	Code  value.Code
	Value []byte // SPEC, 2.4
}

// form writes and reads whole records of a type outside a row.
type form struct {
	name          string
	plan          *phi.Plan
	sealed, clear map[string]formField
}

type formField struct {
	*phi.Field
	coder *value.Coder
}

func newForm(name string, plan *phi.Plan) (*form, error) {
	f := &form{name: name, plan: plan}
	var err error
	if f.sealed, err = formFields(plan.Fields); err == nil {
		f.clear, err = formFields(plan.Clear)
	}
	return f, err
}

func formFields(fields []phi.Field) (map[string]formField, error) {
	out := make(map[string]formField, len(fields))
	for i := range fields {
		f := &fields[i]
		coder, err := value.New(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Go, err)
		}
		if _, twice := out[f.Name]; twice {
			return nil, fmt.Errorf("%s: a second clear field of this name: %w", f.Go, envelope.ErrField)
		}
		out[f.Name] = formField{f, coder}
	}
	return out, nil
}

// write encodes the record v, all but its subject.
func (f *form) write(v reflect.Value, tag Tag) ([]byte, error) {
	b := intakeBody{Type: f.name, Actor: tag.Actor, Tag: tag.facts()}
	if f.plan.Record != nil {
		_, b.Record = idsIn(f.plan, v)
	}
	var err error
	if b.Sealed, err = writeFields(v, f.sealed); err != nil {
		return nil, err
	}
	if b.Clear, err = writeFields(v, f.clear); err != nil {
		return nil, err
	}
	return encodeReadable(b)
}

func writeFields(v reflect.Value, fields map[string]formField) (map[string]intakeValue, error) {
	out := make(map[string]intakeValue, len(fields))
	for name, f := range fields {
		at, ok := f.Value(v)
		if !ok || f.coder.Absent(at) {
			continue
		}
		b, err := f.coder.Write(nil, at)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Go, envelope.ErrValue)
		}
		out[name] = intakeValue{Code: f.coder.Code, Value: b}
	}
	return out, nil
}

// read decodes what write wrote into v, a zero record, of a subject.
func (f *form) read(v reflect.Value, subject string, payload []byte) (Tag, error) {
	var b intakeBody
	if err := decode(payload, &b); err != nil {
		return Tag{}, fmt.Errorf("item: %w", envelope.ErrType)
	}
	if b.Type != f.name || (b.Record == "") != (f.plan.Record == nil) || len(b.Record) > maxText {
		return Tag{}, fmt.Errorf("item: of another record type: %w", envelope.ErrType)
	}
	v.FieldByIndex(f.plan.Subject.Index).SetString(subject)
	if f.plan.Record != nil {
		v.FieldByIndex(f.plan.Record.Index).SetString(b.Record)
	}
	tag := b.Tag.tag()
	tag.Actor = b.Actor
	if !b.Tag.wellFormed() || tag.check() != nil || len(b.Tag.Fields) > 0 {
		return Tag{}, ErrTag
	}
	if err := readFields(v, f.sealed, b.Sealed); err != nil {
		return Tag{}, err
	}
	return tag, readFields(v, f.clear, b.Clear)
}

func readFields(v reflect.Value, fields map[string]formField, values map[string]intakeValue) error {
	for name, got := range values {
		f, ok := fields[name]
		if !ok {
			return fmt.Errorf("item: a field that the type has not: %w", envelope.ErrField) // not quoted: the sender wrote it
		}
		if got.Code != f.coder.Code {
			return fmt.Errorf("%s: %w", f.Go, envelope.ErrType)
		}
		if rest, err := f.coder.Read(got.Value, f.Make(v)); err != nil || len(rest) > 0 {
			return fmt.Errorf("%s: %w", f.Go, envelope.ErrType)
		}
	}
	return nil
}
