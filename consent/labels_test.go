package consent

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type (
	inIdentity struct {
		ID   string `phi:"subject"`
		Name string `phi:"name"`
		Diag string `phi:"clinical,in=identity"`
		Note string `phi:"clinical"`
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

// TestLabelsReachIdentity: a record's own labels hold in the section of names
// too, where that holds something clinical or is the only one.
func TestLabelsReachIdentity(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	tag := careTag
	tag.Sensitivity = []Label{"PSY"}
	_, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	mixed, err := NewRecords[inIdentity]("mixed", cfg)
	require.NoError(t, err)
	row, err := mixed.Seal(ctx, &inIdentity{"p", "Ayu", "F20", "n"}, tag)
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
		"labels unsorted":  with(func(s *sectionTag) { s.Sensitivity = []Label{"PSY", "HIV"} }),
		"a relation twice": with(func(s *sectionTag) { s.Related = []string{"e", "e"} }),
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
			req := Request{Purpose: Operations, Actor: "a", Recipient: "ui-2026", Gate: study.Gate}
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

// TestReplayRefuses: events that no ledger writes.
func TestReplayRefuses(t *testing.T) {
	given := newGranted(Consent{Purposes: []Purpose{Treatment}})
	for name, tt := range map[string]struct {
		body any
		ok   bool
	}{
		"given":                    {eventBody{Kind: "given", ID: "c", Consent: given}, true},
		"withdrawn":                {eventBody{Kind: "withdrawn", ID: "c"}, true},
		"given nothing":            {eventBody{Kind: "given", ID: "c"}, false},
		"withdrawn with a consent": {eventBody{Kind: "withdrawn", ID: "c", Consent: given}, false},
		"all withdrawn":            {eventBody{Kind: "withdrawn"}, true},
		"given without an id":      {eventBody{Kind: "given", Consent: given}, false},
		"unrepresented":            {eventBody{Kind: "unrepresented", ID: "ibu"}, true},
		"nobody unrepresented":     {eventBody{Kind: "unrepresented"}, false},
		"unrepresented and given":  {eventBody{Kind: "unrepresented", ID: "ibu", Consent: given}, false},
		"another kind":             {eventBody{Kind: "renewed", ID: "c"}, false},
		"no kind":                  {eventBody{ID: "c"}, false},
		"no event":                 {"c", false},
	} {
		b, err := encode(tt.body)
		require.NoError(t, err)
		_, err = replay([][]byte{b}, "p", time.Time{})
		if tt.ok {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrTampered, name)
	}
}
