package consent

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

type (
	inIdentity struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		Diag string `phi:"clinical,in=identity"`
	}
	nameOnly struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
	}
	named struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		Diag string `phi:"clinical"`
	}
	labelled struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		Diag string `phi:"clinical,label=HIV"`
	}
)

// TestLabelsReachIdentity: a record's own labels hold where its only section
// is the one of names too, whether or not that holds anything clinical.
func TestLabelsReachIdentity(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	tag := careTag
	tag.Sensitivity = []Label{"PSY"}
	_, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	mixed, err := NewRecords[inIdentity]("mixed", cfg)
	require.NoError(t, err)
	row, err := mixed.Seal(ctx, &inIdentity{"p", "Ayu", "F20"}, tag)
	require.NoError(t, err)
	a := inIdentity{ID: "p"}
	require.ErrorIs(t, mixed.Open(ctx, &a, row.Sealed, care), ErrDenied)
	require.Equal(t, inIdentity{ID: "p"}, a)

	names, err := NewRecords[nameOnly]("names", cfg)
	require.NoError(t, err)
	row, err = names.Seal(ctx, &nameOnly{"p", "Ayu"}, tag)
	require.NoError(t, err)
	b := nameOnly{ID: "p"}
	require.ErrorIs(t, names.Open(ctx, &b, row.Sealed, care), ErrDenied)
	require.Equal(t, nameOnly{ID: "p"}, b)

	_, err = cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"PSY"}})
	require.NoError(t, err)
	require.NoError(t, names.Open(ctx, &b, row.Sealed, care))
	require.Equal(t, "Ayu", b.Name)
}

// TestAttackReasonTellsLabel: whatever a record's own labels, and whatever the
// patient said about them, a caller is told the same.
func TestAttackReasonTellsLabel(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	for _, c := range []Consent{
		{Purposes: []Purpose{Treatment}},
		{Purposes: []Purpose{Treatment}, Refused: true, Sensitivity: []Label{"PSY"}},
		{Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}, Until: noon},
		{Purposes: []Purpose{Treatment}, Sensitivity: []Label{"SUD"}, From: noon.Add(1)},
		{Purposes: []Purpose{Treatment}, Refused: true, Confidentiality: "V"},
	} {
		c.Subject = ayu.ID
		_, err := r.cfg.Give(ctx, c)
		require.NoError(t, err)
	}
	told := map[string][]Withheld{}
	for _, l := range []Label{"PSY", "STD", "SUD"} {
		tag := careTag
		tag.Sensitivity = []Label{l}
		row, err := r.Seal(ctx, &ayu, tag)
		require.NoError(t, err)
		_, err = open(r, ayu.ID, row.Sealed, care)
		var part *WithheldError
		require.ErrorAs(t, err, &part, l)
		require.NotContains(t, err.Error(), string(l))
		told[string(l)] = part.Fields
	}
	for l, fields := range told {
		require.Equal(t, told["STD"], fields, l)
	}
	for _, level := range []Confidentiality{Restricted, "V"} {
		tag := careTag
		tag.Confidentiality = level
		row, err := r.Seal(ctx, &ayu, tag)
		require.NoError(t, err)
		_, err = open(r, ayu.ID, row.Sealed, care)
		var denied *DeniedError
		require.ErrorAs(t, err, &denied)
		require.NotEqual(t, Refused, denied.Reason, level)
	}
}

// TestAttackLengths: the length of a stored event must not tell a refusal from
// a permit, nor which labels one names.
func TestAttackLengths(t *testing.T) {
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	for _, c := range []Consent{
		{}, {Refused: true}, {Sensitivity: []Label{"HIV"}}, {Sensitivity: []Label{"OPIOIDUD"}}, {Confidentiality: Restricted}, {Obligations: []Obligation{Deidentify}},
	} {
		c.Subject, c.Purposes = "p", []Purpose{Treatment}
		_, err := cfg.Give(ctx, c)
		require.NoError(t, err)
	}
	var events, lengths int
	require.NoError(t, db.QueryRow(`SELECT count(*), count(DISTINCT length(body)) FROM consent_ledger`).Scan(&events, &lengths))
	require.Equal(t, 6, events)
	require.Equal(t, 1, lengths)
}

// TestWithheldInTheTypesOrder: what the type withholds and what the record
// withholds are told in one order.
func TestWithheldInTheTypesOrder(t *testing.T) {
	r := people(t, memoryConfig(t))
	tag := careTag
	tag.Sensitivity = []Label{"PSY"}
	row, err := r.Seal(context.Background(), &ayu, tag)
	require.NoError(t, err)
	_, err = r.cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	var part *WithheldError
	require.ErrorAs(t, err, &part)
	require.Equal(t, []Withheld{{"Diagnosis", NoConsent}, {"Serology", NoConsent}, {"Family", NoConsent}, {"Notes", NoConsent}}, part.Fields)
	require.Equal(t, []string{"Diagnosis", "Serology", "Family", "Notes"}, last(t, r.cfg.Log).Withheld)
}

// TestTypeGainsAndLosesLabels: the labels that a field was sealed with and the
// ones it has now all hold.
func TestTypeGainsAndLosesLabels(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	plain, err := NewRecords[named]("x", cfg)
	require.NoError(t, err)
	strict, err := NewRecords[labelled]("x", cfg)
	require.NoError(t, err)
	permit := func(labels ...Label) {
		_, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Sensitivity: labels})
		require.NoError(t, err)
	}
	permit("PSY")
	psy := careTag
	psy.Sensitivity = []Label{"PSY"}

	lost, err := strict.Seal(ctx, &labelled{"p", "Ayu", "reactive"}, careTag)
	require.NoError(t, err)
	a := named{ID: "p"}
	var part *WithheldError
	require.ErrorAs(t, plain.Open(ctx, &a, lost.Sealed, care), &part)
	require.Equal(t, named{ID: "p", Name: "Ayu"}, a, "sealed as HIV")

	permit("HIV")
	gained, err := plain.Seal(ctx, &named{"p", "Ayu", "reactive"}, psy)
	require.NoError(t, err)
	b := labelled{ID: "p"}
	require.ErrorAs(t, strict.Open(ctx, &b, gained.Sealed, care), &part)
	require.Equal(t, labelled{ID: "p", Name: "Ayu"}, b, "each label is permitted, both together by no consent")
}

// TestTagIsSealed reads back what a tag says, from each section.
func TestTagIsSealed(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	tag := Tag{
		Purpose: Treatment, Basis: VitalInterest, Actor: "desk-1", Consent: "form-7", Policy: "2026-01", Confidentiality: Restricted,
		Sensitivity: []Label{"STD", "PSY", "STD"}, Retain: year(9999),
	}
	row, err := r.Seal(ctx, &ayu, tag)
	require.NoError(t, err)
	require.Equal(t, "desk-1", last(t, r.cfg.Log).Actor)
	reading, err := r.codec.Begin(ctx, &person{ID: ayu.ID}, row.Sealed)
	require.NoError(t, err)
	want := sectionTag{Purpose: Treatment, Basis: VitalInterest, Consent: "form-7", Policy: "2026-01", Confidentiality: Restricted, Retain: year(9999).Unix()}
	for c, change := range map[string]func(*sectionTag){
		"identity": func(*sectionTag) {},
		"clinical": func(s *sectionTag) {
			s.Sensitivity, s.Fields = []Label{"PSY", "STD"}, map[string][]Label{"Serology": {"HIV"}}
		},
		"sensitive": func(s *sectionTag) { s.Sensitivity = []Label{"PSY", "STD"} },
	} {
		w := want
		change(&w)
		got, err := parseTag(reading.Tag(c))
		require.NoError(t, err)
		require.Equal(t, w, got, c)
	}
}

// TestTagRefusesOtherForms: no tag but one that Seal could have written.
func TestTagRefusesOtherForms(t *testing.T) {
	good := sectionTag{Purpose: Treatment, Basis: Consented, Confidentiality: Normal}
	with := func(change func(*sectionTag)) []byte {
		s := good
		change(&s)
		b, err := encode(s)
		require.NoError(t, err)
		return b
	}
	b := with(func(*sectionTag) {})
	_, err := parseTag(b)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"unknown purpose":  with(func(s *sectionTag) { s.Purpose = "X" }),
		"unknown basis":    with(func(s *sectionTag) { s.Basis = "habit" }),
		"unknown level":    with(func(s *sectionTag) { s.Confidentiality = "Z" }),
		"nothing":          {},
		"not a map":        {0x80},
		"trailing byte":    append(append([]byte{}, b...), 0),
		"cut off":          b[:len(b)-1],
		"indefinite map":   append(append([]byte{0xbf}, b[1:]...), 0xff),
		"a longer key":     append([]byte{b[0], 0x18, b[1]}, b[2:]...),
		"an unknown field": append(append([]byte{b[0] + 1}, b[1:]...), 0x18, 0x63, 0x00),
		"a field twice":    append(append([]byte{b[0] + 1}, b[1:]...), 0x05, 0x61, 'N'),
	} {
		_, err := parseTag(bad)
		require.ErrorIs(t, err, ErrTag, name)
	}
}

// TestUnreadableTag: a section whose tag cannot be read closes the record, and
// the entry names no field as given.
func TestUnreadableTag(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	sealed(t, r, ayu, Treatment)
	tags, err := careTag.sections(r.plan)
	require.NoError(t, err)
	tags["clinical"] = []byte{0xa0}
	row, err := r.codec.Seal(ctx, &ayu, tags)
	require.NoError(t, err)
	got, err := open(r, ayu.ID, row, care)
	require.ErrorIs(t, err, ErrTag)
	require.Equal(t, person{ID: ayu.ID}, got)
	e := last(t, r.cfg.Log)
	require.Equal(t, Unreadable, e.Reason)
	require.Empty(t, e.Fields)
	require.Equal(t, "refused", e.Outcome)
}

// TestObligations: what an action cannot discharge it refuses.
func TestObligations(t *testing.T) {
	ctx := context.Background()
	for o, want := range map[Obligation]struct{ open, export Reason }{
		"AUDIT":      {Permitted, Permitted},
		"AUDTR":      {Permitted, Permitted},
		"ENCRYPT":    {Permitted, CannotFulfil},
		"ENCRYPTR":   {Permitted, CannotFulfil},
		Deidentify:   {ExportOnly, Permitted},
		Pseudonymise: {ExportOnly, Permitted},
		"MASK":       {CannotFulfil, CannotFulfil},
		"REDACT":     {CannotFulfil, CannotFulfil},
		"ANONY":      {CannotFulfil, CannotFulfil},
		"HUAPRV":     {CannotFulfil, CannotFulfil},
		"NORDSCLCD":  {CannotFulfil, CannotFulfil},
	} {
		t.Run(string(o), func(t *testing.T) {
			r := people(t, memoryConfig(t))
			require.NoError(t, r.cfg.AddRecipient(ctx, "ui-2026"))
			row := sealed(t, r, ayu)
			_, err := r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Operations}, Obligations: []Obligation{o}})
			require.NoError(t, err)
			req := Request{Purpose: Operations, Actor: "a", Recipient: "ui-2026"}
			_, errOpen := open(r, ayu.ID, row.Sealed, req)
			_, errUpdate := r.Update(ctx, row.Sealed, &ayu, req, "Name")
			if want.open == Permitted {
				require.IsType(t, &WithheldError{}, errOpen)
				require.NoError(t, errUpdate)
			} else {
				for _, err := range []error{errOpen, errUpdate} {
					var denied *DeniedError
					require.ErrorAs(t, err, &denied)
					require.Equal(t, want.open, denied.Reason)
				}
			}
			table, err := r.Export(ctx, each([]stored{{ayu.ID, row.Sealed}}), req)
			require.NoError(t, err)
			require.Len(t, readAll(t, table), map[Reason]int{Permitted: 1}[want.export])
			require.Equal(t, want.export, last(t, r.cfg.Log).Reason)
		})
	}
}

// TestUpdateOfAGrownType: the compartment that a type has gained takes the
// record's facts of collection over, labels included.
func TestUpdateOfAGrownType(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	small, err := NewRecords[nameOnly]("p", cfg)
	require.NoError(t, err)
	grown, err := NewRecords[named]("p", cfg)
	require.NoError(t, err)
	tag := Tag{Purpose: Treatment, Basis: Contract, Consent: "form-7", Policy: "2026-01", Sensitivity: []Label{"PSY"}, Retain: time.Unix(1<<33, 0)}
	row, err := small.Seal(ctx, &nameOnly{"p", "Ayu"}, tag)
	require.NoError(t, err)
	id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"PSY"}})
	require.NoError(t, err)
	out := named{ID: "p"}
	require.NoError(t, grown.Open(ctx, &out, row.Sealed, care))
	require.Equal(t, named{ID: "p", Name: "Ayu"}, out)
	next, err := grown.Update(ctx, row.Sealed, &named{ID: "p", Diag: "J45"}, care, "Diag")
	require.NoError(t, err)
	out = named{ID: "p"}
	require.NoError(t, grown.Open(ctx, &out, next.Sealed, care))
	require.Equal(t, named{"p", "Ayu", "J45"}, out)
	reading, err := grown.codec.Begin(ctx, &named{ID: "p"}, next.Sealed)
	require.NoError(t, err)
	got, err := parseTag(reading.Tag("clinical"))
	require.NoError(t, err)
	require.Equal(t, sectionTag{Purpose: Treatment, Basis: Contract, Consent: "form-7", Policy: "2026-01", Confidentiality: Normal, Sensitivity: []Label{"PSY"}, Retain: 1 << 33}, got)

	require.NoError(t, cfg.Withdraw(ctx, "p", id))
	_, err = cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	out = named{ID: "p"}
	require.ErrorIs(t, grown.Open(ctx, &out, next.Sealed, care), ErrDenied)
}

// TestUpdateTokens: the named lookup fields' tokens and no others, the zero
// one for a field that holds no value any more; what is not named may be anything.
func TestUpdateTokens(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Treatment)
	full := ayu
	full.Phone = new("0810 0000 0002")
	malformed := person{ID: ayu.ID, NIK: "12345", Phone: new("call me"), Diagnosis: []string{"R05 Cough"}}
	for name, tt := range map[string]struct {
		src    person
		fields []string
		want   []string
		zero   bool
	}{
		"one of two":                {full, []string{"Phone", "Name"}, []string{"Phone"}, false},
		"cleared":                   {person{ID: ayu.ID}, []string{"Phone"}, []string{"Phone"}, true},
		"none":                      {full, []string{"Name"}, nil, false},
		"malformed where not named": {malformed, []string{"Diagnosis"}, nil, false},
	} {
		next, err := r.Update(ctx, row.Sealed, &tt.src, care, tt.fields...)
		require.NoError(t, err, name)
		require.Len(t, next.Tokens, len(tt.want), name)
		for _, f := range tt.want {
			token, ok := next.Tokens[f]
			require.True(t, ok, name)
			require.Equal(t, tt.zero, token.IsZero(), name)
		}
	}
	_, err := r.Update(ctx, row.Sealed, &malformed, care, "NIK")
	require.ErrorAs(t, err, new(*pseudo.FormatError))
}

// TestFoundBy: the token proves the record to Update as to Open, also to a role
// that may not see the field itself; a type without lookup fields has none.
func TestFoundBy(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"analyst": {"clinical"}}
	r := people(t, cfg)
	budi := ayu
	budi.ID, budi.NIK, budi.Phone = "p-budi", "9271060312000001", nil
	row, other := sealed(t, r, ayu, Treatment), sealed(t, r, budi)
	req := Request{Purpose: Treatment, Actor: "a", Role: "analyst", FoundBy: row.Tokens["NIK"]}
	got, err := open(r, ayu.ID, row.Sealed, req)
	require.IsType(t, &WithheldError{}, err)
	require.Equal(t, person{ID: ayu.ID, Diagnosis: ayu.Diagnosis, Notes: ayu.Notes}, got, "the NIK goes no further")
	_, err = r.Update(ctx, row.Sealed, &ayu, req, "Notes")
	require.NoError(t, err)
	req.FoundBy = other.Tokens["NIK"]
	_, err = open(r, ayu.ID, row.Sealed, req)
	require.ErrorIs(t, err, ErrTokenMismatch)
	_, err = r.Update(ctx, row.Sealed, &ayu, req, "Notes")
	require.ErrorIs(t, err, ErrTokenMismatch)

	cfg.Roles = nil
	v, err := NewRecords[named]("named", cfg)
	require.NoError(t, err)
	plain, err := v.Seal(ctx, &named{ayu.ID, "Ayu", "J45"}, careTag)
	require.NoError(t, err)
	req.Role = ""
	require.ErrorIs(t, v.Open(ctx, &named{ID: ayu.ID}, plain.Sealed, req), pseudo.ErrField)
}

// TestEntriesTell: who, which consents, which record; and the true reason.
func TestEntriesTell(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	for _, c := range []Consent{{ID: "a-plain"}, {ID: "b-hiv", Sensitivity: []Label{"HIV"}}} {
		c.Subject, c.Purposes = ayu.ID, []Purpose{Treatment}
		_, err := cfg.Give(ctx, c)
		require.NoError(t, err)
		require.Equal(t, []string{c.ID}, lastOf(t, cfg, ayu.ID).Consents)
	}
	_, err := open(r, ayu.ID, row.Sealed, care)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"a-plain", "b-hiv"}, lastOf(t, cfg, ayu.ID).Consents)
	_, err = cfg.Give(ctx, Consent{ID: "no", Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
	require.Equal(t, []string{"no"}, lastOf(t, cfg, ayu.ID).Consents)

	for want, req := range map[Reason]Request{
		MaySearch: {Purpose: Marketing, Actor: "a"}, Unknown: {Purpose: "X", Actor: "a"}, NoRole: {Purpose: Treatment, Actor: "a", Role: "r"},
	} {
		_, err := r.Lookup(ctx, "NIK", ayu.NIK, req)
		require.Equal(t, want != MaySearch, err != nil)
		e := last(t, cfg.Log)
		require.Equal(t, want, e.Reason)
		require.Equal(t, []string{"NIK"}, e.Fields)
	}

	visits, err := NewRecords[visit]("visit", cfg)
	require.NoError(t, err)
	rows, err := visits.SealAll(ctx, []*visit{{ID: "p", Visit: "1"}, {ID: "p", Visit: "2"}, {ID: "p", Visit: "3"}}, careTag)
	require.NoError(t, err)
	require.ErrorIs(t, visits.Open(ctx, &visit{ID: "p", Visit: "2"}, rows[1].Sealed, care), ErrDenied)
	h, err := cfg.Log.History(ctx, "p")
	require.NoError(t, err)
	var records []string
	for _, e := range h {
		records = append(records, e.Record)
	}
	require.Equal(t, []string{"1", "2", "3", "2"}, records)
	h, err = cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Equal(t, ayu.ID, h[0].Record, "a type without a record id has one record a patient")
}

// TestUpdateNotGranted: the log says that a key was lacking, and nothing of an erasure.
func TestUpdateNotGranted(t *testing.T) {
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	part := *cfg
	part.Provision = false
	part.Ring = cfg.Ring.Only("identity", "clinical", auditCompartment)
	narrow, err := NewRecords[named]("person", &part)
	require.NoError(t, err)
	_, err = narrow.Update(context.Background(), row.Sealed, &named{ID: ayu.ID, Name: "x"}, care, "Name")
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	require.Equal(t, KeyNotGranted, last(t, cfg.Log).Reason)
	require.NotErrorIs(t, err, envelope.ErrOpen)
}

// TestReplayRefuses: events that no ledger writes.
func TestReplayRefuses(t *testing.T) {
	given := &granted{Purposes: []Purpose{Treatment}}
	for name, tt := range map[string]struct {
		body any
		ok   bool
	}{
		"given":                    {eventBody{Kind: "given", ID: "c", Consent: given}, true},
		"withdrawn":                {eventBody{Kind: "withdrawn", ID: "c"}, true},
		"given nothing":            {eventBody{Kind: "given", ID: "c"}, false},
		"withdrawn with a consent": {eventBody{Kind: "withdrawn", ID: "c", Consent: given}, false},
		"another kind":             {eventBody{Kind: "renewed", ID: "c"}, false},
		"no kind":                  {eventBody{ID: "c"}, false},
		"no event":                 {"c", false},
	} {
		b, err := encode(tt.body)
		require.NoError(t, err)
		_, err = replay([][]byte{b}, "p")
		if tt.ok {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrTampered, name)
	}
}
