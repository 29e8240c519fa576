package consent

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// intakeClinic is a clinic with an inbox, a branch of it, and the application's database.
func intakeClinic(t testing.TB, cfg *Config) (*envelope.Inbox, *envelope.Intake, *sql.DB) {
	t.Helper()
	ctx := context.Background()
	require.NoError(t, cfg.Ring.CreateKeyset(ctx, "inbox/branches"))
	inbox, err := envelope.NewInbox("branches", cfg.Ring)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "branch")
	require.NoError(t, inbox.Enrol(ctx, "branch-2", path))
	to, err := envelope.OpenIntake(path)
	require.NoError(t, err)
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "app.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = sqlite.Close(db) })
	_, err = db.Exec(`CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY)`)
	require.NoError(t, err)
	return inbox, to, db
}

func intakeOf[T any](t testing.TB, name string, to *envelope.Intake) *Intake[T] {
	t.Helper()
	i, err := NewIntake[T](name, to)
	require.NoError(t, err)
	return i
}

// accepting accepts item in a transaction that is committed where it was.
func accepting[T any](t testing.TB, r *Records[T], db *sql.DB, from *envelope.Inbox, item envelope.Item) (*Accepted[T], error) {
	t.Helper()
	tx, err := db.Begin()
	require.NoError(t, err)
	got, err := r.Accept(context.Background(), tx, from, item)
	if err != nil {
		require.NoError(t, tx.Rollback())
		require.Nil(t, got)
		return nil, err
	}
	return got, tx.Commit()
}

func TestIntake(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	inbox, to, db := intakeClinic(t, cfg)
	branch := intakeOf[person](t, "person", to)

	tag := Tag{Purpose: Treatment, Basis: Consented, Actor: "nurse-3", Sensitivity: []Label{"SUD"}, Author: "dr-tono", Time: noon, Policy: "v3"}
	item, err := branch.Seal(&ayu, tag)
	require.NoError(t, err)
	require.NotContains(t, string(item), ayu.NIK)
	got, err := accepting(t, r, db, inbox, item)
	require.NoError(t, err)
	require.Equal(t, "branch-2", got.Sender)
	require.EqualValues(t, 1, got.Version)
	require.Equal(t, &person{ID: ayu.ID, Clinic: ayu.Clinic}, got.Record, "nothing that is sealed comes back in clear")

	e := lastOf(t, cfg, ayu.ID)
	require.Equal(t, "accept", e.Action)
	require.Equal(t, "branch-2/nurse-3", e.Actor)
	require.Equal(t, "done", e.Outcome)
	require.Equal(t, Treatment, e.Purpose)

	found, err := r.Lookup(ctx, "NIK", ayu.NIK, care)
	require.NoError(t, err)
	require.Contains(t, found, got.Tokens["NIK"])
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, got.Sealed, care)
	var withheld *WithheldError
	require.ErrorAs(t, err, &withheld, "the label that the branch gave holds")
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}, Data: Selection{Authors: []string{"dr-tono"}, From: noon, Until: noon.Add(time.Second)}})
	require.NoError(t, err)
	back, err := open(r, ayu.ID, got.Sealed, care)
	require.NoError(t, err, "author and time of the branch's tag as well")
	want := ayu
	want.Clinic = ""
	require.Equal(t, want, back)
}

// rolledBack accepts an item in a transaction that ends in vain: the clinic's disk was full, say.
func rolledBack(t *testing.T, r *Records[person], db *sql.DB, inbox *envelope.Inbox, item envelope.Item) {
	t.Helper()
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = r.Accept(context.Background(), tx, inbox, item)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
}

// TestIntakeRepeat: an item comes as often as it likes, and is a record once.
func TestIntakeRepeat(t *testing.T) {
	cfg := memoryConfig(t)
	r := people(t, cfg)
	inbox, to, db := intakeClinic(t, cfg)
	item, err := intakeOf[person](t, "person", to).Seal(&ayu, careTag)
	require.NoError(t, err)

	rolledBack(t, r, db, inbox, item)
	_, err = accepting(t, r, db, inbox, item)
	require.NoError(t, err, "what was rolled back was not accepted")
	before := len(entries(t, cfg.Log))
	for range 3 {
		_, err = accepting(t, r, db, inbox, item)
		require.ErrorIs(t, err, envelope.ErrReplayed)
	}
	require.Len(t, entries(t, cfg.Log), before, "a repeat does nothing")
}

type referral struct {
	Patient string    `phi:"subject"`
	ID      string    `phi:"record"`
	At      time.Time `phi:"date"`
	Nested  *struct {
		Code *string `phi:"clinical"`
	}
	Seen *time.Time `phi:"clear"`
	Desk int        `phi:"clear"`
}

// TestIntakeCarriesEverything: several records of a patient, what is NULL, what
// lies behind pointers, clear fields.
func TestIntakeCarriesEverything(t *testing.T) {
	cfg := memoryConfig(t)
	r, err := NewRecords[referral]("visit", cfg)
	require.NoError(t, err)
	inbox, to, db := intakeClinic(t, cfg)
	branch := intakeOf[referral](t, "visit", to)
	full := referral{Patient: ayu.ID, ID: "v-1", At: noon.UTC(), Seen: utcNoon(), Desk: 4}
	full.Nested = &struct {
		Code *string `phi:"clinical"`
	}{new("J45")}
	for _, src := range []referral{full, {Patient: ayu.ID, ID: "v-2"}} {
		item, err := branch.Seal(&src, careTag)
		require.NoError(t, err)
		got, err := accepting(t, r, db, inbox, item)
		require.NoError(t, err)
		require.Equal(t, src.Seen, got.Record.Seen)
		require.Equal(t, src.Desk, got.Record.Desk)
		require.True(t, got.Record.At.IsZero())
		require.True(t, got.Record.Nested == nil || got.Record.Nested.Code == nil)
		back := referral{Patient: ayu.ID, ID: src.ID}
		require.NoError(t, r.codec.Open(context.Background(), &back, got.Sealed))
		require.True(t, src.At.Equal(back.At))
		require.Equal(t, src.Nested, back.Nested)
	}
	_, err = branch.Seal(&referral{Patient: ayu.ID}, careTag)
	require.ErrorIs(t, err, envelope.ErrEmpty, "which record")
}

func TestIntakeRefuses(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	inbox, to, db := intakeClinic(t, cfg)
	branch := intakeOf[person](t, "person", to)
	_, err := branch.Seal(&person{}, careTag)
	require.ErrorIs(t, err, ErrSubject)
	_, err = branch.Seal(nil, careTag)
	require.ErrorIs(t, err, ErrSubject)
	_, err = branch.Seal(&ayu, Tag{Purpose: Treatment})
	require.ErrorIs(t, err, ErrNoBasis)
	_, err = NewIntake[person]("", to)
	require.ErrorIs(t, err, ErrLimit)
	_, err = NewIntake[person]("person", nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = NewIntake[struct {
		ID string `phi:"subject"`
		A  string
		C  any `phi:"clear"`
	}]("person", to)
	require.ErrorContains(t, err, "C")

	send := func(change func(*intakeBody)) error {
		payload, err := branch.form.write(reflect.ValueOf(&ayu).Elem(), careTag)
		require.NoError(t, err)
		var b intakeBody
		require.NoError(t, decode(payload, &b))
		change(&b)
		payload, err = encode(b)
		require.NoError(t, err)
		item, err := to.Seal(ayu.ID, payload)
		require.NoError(t, err)
		_, err = accepting(t, r, db, inbox, item)
		return err
	}
	require.NoError(t, send(func(*intakeBody) {}), "else none of the following says anything")
	for name, tt := range map[string]struct {
		change func(*intakeBody)
		want   error
	}{
		"another record type":    {func(b *intakeBody) { b.Type = "visit" }, envelope.ErrType},
		"a record id":            {func(b *intakeBody) { b.Record = "r" }, envelope.ErrType},
		"an unknown field":       {func(b *intakeBody) { b.Sealed["Secret"] = b.Sealed["NIK"] }, envelope.ErrField},
		"an unknown clear field": {func(b *intakeBody) { b.Clear["NIK"] = b.Sealed["NIK"] }, envelope.ErrField},
		"a wrong code":           {func(b *intakeBody) { b.Sealed["NIK"] = b.Sealed["Born"] }, envelope.ErrType},
		"bytes after a value": {func(b *intakeBody) {
			b.Sealed["NIK"] = intakeValue{Code: b.Sealed["NIK"].Code, Value: append(b.Sealed["NIK"].Value, 0)}
		}, envelope.ErrType},
		"no legal basis":           {func(b *intakeBody) { b.Tag.Basis = "" }, ErrTag},
		"an unknown label":         {func(b *intakeBody) { b.Tag.Sensitivity = []Label{"NOSUCH"} }, ErrTag},
		"no level":                 {func(b *intakeBody) { b.Tag.Confidentiality = "" }, ErrTag},
		"relations in disorder":    {func(b *intakeBody) { b.Tag.Related = []string{"e-2", "e-1"} }, ErrTag},
		"a label twice":            {func(b *intakeBody) { b.Tag.Sensitivity = []Label{"HIV", "HIV"} }, ErrTag},
		"labels of fields":         {func(b *intakeBody) { b.Tag.Fields = map[string][]Label{"NIK": {"HIV"}} }, ErrTag},
		"a NIK that is none":       {func(b *intakeBody) { b.Sealed["NIK"] = b.Sealed["Name"] }, nil},
		"an actor that is no text": {func(b *intakeBody) { b.Actor = string(make([]byte, maxText+1)) }, ErrTag},
	} {
		before := len(entries(t, cfg.Log))
		err := send(tt.change)
		require.Error(t, err, name)
		if tt.want != nil {
			require.ErrorIs(t, err, tt.want, name)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			require.NotContains(t, e.Error(), ayu.NIK)
			require.NotContains(t, e.Error(), ayu.Name)
			require.NotContains(t, e.Error(), "Secret")
		}
		require.Len(t, entries(t, cfg.Log), before, name)
	}
	malformed := (*pseudo.FormatError)(nil)
	require.ErrorAs(t, send(func(b *intakeBody) { b.Sealed["NIK"] = b.Sealed["Name"] }), &malformed)

	item, err := branch.Seal(&ayu, careTag)
	require.NoError(t, err)
	_, err = r.Accept(ctx, nil, inbox, item)
	require.ErrorIs(t, err, ErrConfig)
	changed := append(envelope.Item{}, item...)
	changed[len(changed)-1] ^= 1
	_, err = accepting(t, r, db, inbox, changed)
	require.ErrorIs(t, err, envelope.ErrOpen)
	_, err = cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	_, err = accepting(t, r, db, inbox, item)
	require.ErrorIs(t, err, keyring.ErrShredded, "what is about an erased patient comes too late")
}

// TestIntakeWithoutAudit: a service that may not write who a record is about takes
// none in, and the item is not lost by that.
func TestIntakeWithoutAudit(t *testing.T) {
	cfg := memoryConfig(t)
	r := people(t, cfg)
	inbox, to, db := intakeClinic(t, cfg)
	item, err := intakeOf[person](t, "person", to).Seal(&ayu, careTag)
	require.NoError(t, err)
	whole := cfg.Ring
	cfg.Ring = whole.Only("identity", "clinical", "sensitive", "inbox/branches", "lookup/person/NIK", "lookup/person/Phone")
	_, err = accepting(t, r, db, inbox, item)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	cfg.Ring = whole
	_, err = accepting(t, r, db, inbox, item)
	require.NoError(t, err)
}

func FuzzIntake(f *testing.F) {
	plan, err := planOf("person", reflect.TypeFor[person]())
	require.NoError(f, err)
	form, err := newForm("person", plan)
	require.NoError(f, err)
	payload, err := form.write(reflect.ValueOf(&ayu).Elem(), Tag{Purpose: Treatment, Basis: Consented, Related: []string{"b", "a"}, Retain: noon, Time: noon})
	require.NoError(f, err)
	f.Add(payload)
	payload, err = form.write(reflect.ValueOf(&person{ID: "p"}).Elem(), careTag)
	require.NoError(f, err)
	f.Add(payload)
	f.Fuzz(func(t *testing.T, b []byte) {
		var p person
		tag, err := form.read(reflect.ValueOf(&p).Elem(), "p", b)
		if err != nil {
			return
		}
		again, err := form.write(reflect.ValueOf(&p).Elem(), tag)
		require.NoError(t, err)
		var q person
		got, err := form.read(reflect.ValueOf(&q).Elem(), "p", again)
		require.NoError(t, err)
		require.Equal(t, tag, got)
		require.Equal(t, p, q)
	})
}

func utcNoon() *time.Time { t := noon.UTC(); return &t }
