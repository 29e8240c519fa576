package consent

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

func TestSealAndOpen(t *testing.T) {
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu)
	_, err := r.cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	require.Len(t, row.Tokens, 2)

	got, err := open(r, ayu.ID, row.Sealed, care)
	require.NoError(t, err)
	want := ayu
	want.Clinic = "" // clear: the application stores it itself
	require.Equal(t, want, got)

	e := last(t, r.cfg.Log)
	require.Equal(t, "open", e.Action)
	require.Equal(t, "done", e.Outcome)
	require.Equal(t, "dr-ayu", e.Actor)
	require.Len(t, e.Fields, 9)
	require.Empty(t, e.Withheld)
}

// TestWithheld opens in parts: what is withheld is named and cleared.
func TestWithheld(t *testing.T) {
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Treatment)
	out := person{ID: ayu.ID, Serology: "before"}
	err := r.Open(context.Background(), &out, row.Sealed, care)
	var part *WithheldError
	require.ErrorAs(t, err, &part)
	require.Equal(t, []Withheld{{"Serology", NoConsent}}, part.Fields)
	require.Empty(t, out.Serology, "what stood there before may be another patient's")
	require.Equal(t, ayu.Name, out.Name)
	require.Equal(t, []string{"Serology"}, last(t, r.cfg.Log).Withheld)
	require.NotContains(t, err.Error(), "HIV", "the reason must not give the label away")
}

// TestRecordLabels withholds by the labels of the record, which only its
// manifest knows, with the same words as for the lack of any consent.
func TestRecordLabels(t *testing.T) {
	r := people(t, memoryConfig(t))
	tag := careTag
	tag.Sensitivity = []Label{"PSY"}
	row, err := r.Seal(context.Background(), &ayu, tag)
	require.NoError(t, err)
	_, err = r.cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	got, err := open(r, ayu.ID, row.Sealed, care)
	var part *WithheldError
	require.ErrorAs(t, err, &part)
	require.Equal(t, ayu.Name, got.Name)
	require.Empty(t, got.Diagnosis)
	var names []string
	for _, w := range part.Fields {
		names = append(names, w.Field)
		require.Equal(t, NoConsent, w.Reason)
	}
	require.Equal(t, []string{"Diagnosis", "Serology", "Family", "Notes"}, names, "in the type's order")
}

func TestRestrictedRecord(t *testing.T) {
	r := people(t, memoryConfig(t))
	tag := careTag
	tag.Confidentiality = Restricted
	row, err := r.Seal(context.Background(), &ayu, tag)
	require.NoError(t, err)
	_, err = r.cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
	require.Equal(t, NoConsent, last(t, r.cfg.Log).Reason)
}

func TestRefusals(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment)
	for name, tt := range map[string]struct {
		req  Request
		want Reason
	}{
		"marketing":       {Request{Purpose: Marketing, Actor: "ads"}, NoConsent},
		"break-glass":     {Request{Purpose: BreakGlass, Actor: "dr"}, NoConsent},
		"unknown purpose": {Request{Purpose: "CURIOSITY", Actor: "dr"}, Unknown},
		"unknown role":    {Request{Purpose: Treatment, Actor: "dr", Role: "admin"}, NoRole},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := open(r, ayu.ID, row.Sealed, tt.req)
			var denied *DeniedError
			require.ErrorAs(t, err, &denied)
			require.ErrorIs(t, err, ErrDenied)
			require.Equal(t, tt.want, denied.Reason)
			require.Equal(t, person{ID: ayu.ID}, got)
			e := last(t, r.cfg.Log)
			require.Equal(t, "refused", e.Outcome)
			require.Equal(t, denied.Decision, e.Decision)
			require.Empty(t, e.Fields)
		})
	}
	for name, req := range map[string]Request{"no purpose": {Actor: "dr"}, "no actor": {Purpose: Treatment}} {
		_, err := open(r, ayu.ID, row.Sealed, req)
		require.ErrorIs(t, err, ErrRequest, name)
		_, err = r.Lookup(ctx, "NIK", ayu.NIK, req)
		require.ErrorIs(t, err, ErrRequest, name)
	}
	_, err := open(r, "", row.Sealed, care)
	require.ErrorIs(t, err, ErrSubject)
	require.ErrorIs(t, r.Open(ctx, nil, row.Sealed, care), ErrSubject)
	_, err = r.Seal(ctx, nil, careTag)
	require.ErrorIs(t, err, ErrSubject)
	_, err = r.Update(ctx, row.Sealed, nil, care, "Name")
	require.ErrorIs(t, err, ErrSubject)
}

func TestSealRefusesWhatHasNoBasis(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	for name, tt := range map[string]struct {
		change func(*person, *Tag)
		want   error
	}{
		"no basis":        {func(_ *person, tag *Tag) { tag.Basis = "" }, ErrNoBasis},
		"unknown basis":   {func(_ *person, tag *Tag) { tag.Basis = "habit" }, ErrNoBasis},
		"no purpose":      {func(_ *person, tag *Tag) { tag.Purpose = "" }, ErrCode},
		"unknown label":   {func(_ *person, tag *Tag) { tag.Sensitivity = []Label{"hiv"} }, ErrCode},
		"unknown level":   {func(_ *person, tag *Tag) { tag.Confidentiality = "Z" }, ErrCode},
		"too long":        {func(_ *person, tag *Tag) { tag.Policy = string(make([]byte, maxText+1)) }, ErrLimit},
		"empty subject":   {func(p *person, _ *Tag) { p.ID = "" }, ErrSubject},
		"malformed NIK":   {func(p *person, _ *Tag) { p.NIK = "9204014804" }, new(pseudo.FormatError)},
		"malformed phone": {func(p *person, _ *Tag) { p.Phone = new("call me") }, new(pseudo.FormatError)},
	} {
		p, tag := ayu, careTag
		tt.change(&p, &tag)
		row, err := r.Seal(ctx, &p, tag)
		require.Error(t, err, name)
		if format := new(pseudo.FormatError); errors.As(tt.want, &format) {
			require.ErrorAs(t, err, &format, name)
		} else {
			require.ErrorIs(t, err, tt.want, name)
		}
		require.Zero(t, row, name)
		for _, value := range []string{"9204014804", "call me", ayu.Name, ayu.Diagnosis[0]} {
			require.NotContains(t, err.Error(), value, name)
		}
	}
	require.Empty(t, entries(t, r.cfg.Log), "what was not sealed must not be in the log as sealed")
}

func TestRoles(t *testing.T) {
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"analyst": {"clinical"}, "desk": {"identity"}}
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	req := care
	req.Role = "analyst"
	got, err := open(r, ayu.ID, row.Sealed, req)
	var part *WithheldError
	require.ErrorAs(t, err, &part)
	require.Equal(t, person{ID: ayu.ID, Diagnosis: ayu.Diagnosis, Notes: ayu.Notes}, got)
	require.Contains(t, part.Fields, Withheld{"NIK", RoleForbids})
	require.Contains(t, part.Fields, Withheld{"Serology", NoConsent})
	require.Contains(t, part.Fields, Withheld{"Family", RoleForbids})

	_, err = r.Lookup(context.Background(), "NIK", ayu.NIK, req)
	require.ErrorIs(t, err, ErrDenied, "who may not see the NIK may not search by it")
	req.Role = ""
	_, err = open(r, ayu.ID, row.Sealed, req)
	require.ErrorIs(t, err, ErrDenied, "where there are roles, none is not all")
}

// TestPartialGrant opens with the keys of one compartment only.
func TestPartialGrant(t *testing.T) {
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Treatment)
	part := *r.cfg
	part.Provision = false
	part.Ring = r.cfg.Ring.Only("clinical", auditCompartment, evidence.ChainKeyset, evidence.TreeKeyset)
	narrow, err := NewRecords[clinicalView]("person", &part)
	require.NoError(t, err)
	out := clinicalView{ID: ayu.ID}
	err = narrow.Open(context.Background(), &out, row.Sealed, care)
	var withheld *WithheldError
	require.ErrorAs(t, err, &withheld)
	require.Equal(t, []Withheld{{"Name", KeyNotGranted}, {"Serology", NoConsent}}, withheld.Fields)
	require.Equal(t, ayu.Diagnosis, out.Diagnosis)

	_, err = narrow.Update(context.Background(), row.Sealed, &out, care, "Diagnosis")
	require.ErrorIs(t, err, keyring.ErrNotGranted, "an update carries every compartment")
	_, err = narrow.Seal(context.Background(), &out, careTag)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
}

type clinicalView struct {
	ID        string   `phi:"subject"`
	Name      string   `phi:"name"`
	Diagnosis []string `phi:"clinical"`
	Serology  string   `phi:"clinical,label=HIV"`
}

func TestUpdate(t *testing.T) {
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"doctor": {"identity", "clinical"}, "all": {"identity", "clinical", "sensitive"}}
	r := people(t, cfg)
	ctx := context.Background()
	row := sealed(t, r, ayu)
	_, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Roles: []string{"doctor"}})
	require.NoError(t, err)
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Roles: []string{"all"}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	req := Request{Purpose: Treatment, Actor: "dr", Role: "doctor"}
	src := person{ID: ayu.ID, Diagnosis: []string{"J45 Asthma", "R05 Cough"}, Phone: new("0810 0000 0002")}
	next, err := r.Update(ctx, row.Sealed, &src, req, "Diagnosis", "Phone")
	require.NoError(t, err)
	require.Equal(t, "update", last(t, cfg.Log).Action)
	require.Len(t, next.Tokens, 1, "only the changed lookup field")
	require.NotEqual(t, row.Tokens["Phone"], next.Tokens["Phone"])

	req.Role = "all"
	got, err := open(r, ayu.ID, next.Sealed, req)
	require.NoError(t, err)
	want := ayu
	want.Diagnosis, want.Phone, want.Clinic = src.Diagnosis, src.Phone, ""
	require.Equal(t, want, got, "what the doctor may not see was carried")

	req.Role = "doctor"
	for _, field := range []string{"Serology", "Family"} {
		_, err = r.Update(ctx, row.Sealed, &src, req, "Diagnosis", field)
		require.ErrorIs(t, err, ErrDenied, field)
		require.Empty(t, last(t, cfg.Log).Fields)
	}
	_, err = r.Update(ctx, row.Sealed, &src, req, "Nickname")
	require.ErrorIs(t, err, envelope.ErrField)
	_, err = r.Update(ctx, row.Sealed, &src, req)
	require.ErrorIs(t, err, envelope.ErrField)
}

func TestErase(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	row := sealed(t, r, ayu, Treatment)
	_, err := open(r, ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err)
	before, err := r.cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, before, 3)

	_, err = r.cfg.Erase(ctx, "p-ayo", "clerk")
	require.ErrorIs(t, err, keyring.ErrNoSubjectKey, "a mistyped id is not an erasure")
	receipt, err := r.cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	require.Contains(t, receipt.Compartments, "clinical")
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, keyring.ErrShredded)
	require.Equal(t, Erased, last(t, r.cfg.Log).Reason)
	_, err = r.Seal(ctx, &ayu, careTag)
	require.ErrorIs(t, err, keyring.ErrShredded, "an erased patient does not come back by sealing")
	_, err = r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.ErrorIs(t, err, keyring.ErrShredded)
	_, err = r.cfg.Log.History(ctx, ayu.ID)
	require.ErrorIs(t, err, keyring.ErrShredded)
	n, err := r.cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 6, n, "the entries stay and stay provable")
	require.Equal(t, "dr-ayu", entries(t, r.cfg.Log)[2].Actor, "and so does who looked")
}

func TestNewRecordsRefuses(t *testing.T) {
	cfg := memoryConfig(t)
	_, err := NewRecords[person]("person", nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = NewRecords[person]("person", &Config{Ring: cfg.Ring})
	require.ErrorIs(t, err, ErrConfig)
	cfg.Provision = false
	_, err = NewRecords[person]("person", cfg)
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
	cfg.Provision = true
	type misspelt struct {
		ID  string `phi:"subject"`
		NIK string `phi:"nik,lokup"`
	}
	_, err = NewRecords[misspelt]("person", cfg)
	require.ErrorContains(t, err, "misspelt.NIK")
	type lowEntropy struct {
		ID  string `phi:"subject"`
		Sex string `phi:"sex,lookup"`
	}
	_, err = NewRecords[lowEntropy]("person", cfg)
	require.ErrorContains(t, err, "lowEntropy.Sex")
	type noSuchLabel struct {
		ID  string `phi:"subject"`
		HIV string `phi:"clinical,label=AIDS"`
	}
	_, err = NewRecords[noSuchLabel]("person", cfg)
	require.ErrorIs(t, err, ErrCode)
}

// TestLongRecordID: an id that could not be written into the log is refused.
func TestLongRecordID(t *testing.T) {
	r, err := NewRecords[visit]("visit", memoryConfig(t))
	require.NoError(t, err)
	for _, n := range []int{maxText + 1, 1 << 16, 1 << 17} {
		out := visit{ID: "p", Visit: string(make([]byte, n))}
		require.ErrorIs(t, r.Open(context.Background(), &out, nil, care), ErrLimit)
	}
}
