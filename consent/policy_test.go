package consent

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPolicyRefuses(t *testing.T) {
	good := LegalBasis{PublicInterest, "art. X", Rule{Purposes: []Purpose{PublicHealth}}}
	with := func(f func(*LegalBasis)) Policy { b := good; f(&b); return Policy{Bases: []LegalBasis{good, b}} }
	require.NoError(t, new(Policy).check())
	p := with(func(*LegalBasis) {})
	require.NoError(t, p.check())
	for name, tt := range map[string]struct {
		policy Policy
		want   error
	}{
		"no basis":         {with(func(b *LegalBasis) { b.Basis = "" }), ErrNoBasis},
		"unknown basis":    {with(func(b *LegalBasis) { b.Basis = "because" }), ErrNoBasis},
		"consent":          {with(func(b *LegalBasis) { b.Basis = Consented }), ErrNoBasis},
		"no article":       {with(func(b *LegalBasis) { b.Article = "" }), ErrLimit},
		"no purpose":       {with(func(b *LegalBasis) { b.Rule.Purposes = nil }), ErrCode},
		"unknown purpose":  {with(func(b *LegalBasis) { b.Rule.Purposes = []Purpose{"ALL"} }), ErrCode},
		"a refusal":        {with(func(b *LegalBasis) { b.Rule.Refused = true }), ErrCode},
		"unknown label":    {with(func(b *LegalBasis) { b.Rule.Sensitivity = []Label{"HVI"} }), ErrCode},
		"unknown action":   {with(func(b *LegalBasis) { b.Rule.Actions = []Action{"look"} }), ErrCode},
		"empty period":     {with(func(b *LegalBasis) { b.Rule.From, b.Rule.Until = noon, noon }), ErrPeriod},
		"empty span":       {with(func(b *LegalBasis) { b.Rule.Data.From, b.Rule.Data.Until = noon, noon }), ErrPeriod},
		"past its end":     {Policy{Emergency: Emergency{For: -1}}, ErrLimit},
		"a role not UTF-8": {Policy{Emergency: Emergency{Roles: []string{"\xff"}}}, ErrLimit},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, tt.policy.check(), tt.want)
			cfg := memoryConfig(t)
			cfg.Policy = tt.policy
			_, err := NewRecords[person]("person", cfg)
			require.ErrorIs(t, err, tt.want, "records are not made under a policy that nobody thought of")
		})
	}
}

// TestPolicyOpens goes through Records: the entry says what a permit rested on.
func TestPolicyOpens(t *testing.T) {
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"doctor": {"identity", "clinical", "sensitive"}}
	cfg.Policy = Policy{
		Bases: []LegalBasis{
			{PublicInterest, "art. X", Rule{Purposes: []Purpose{"THREAT"}, Sensitivity: []Label{AnyLabel}}},
			{LegalObligation, "art. Y", Rule{Purposes: []Purpose{"DISASTER"}, Obligations: []Obligation{"NORDSCLCD"}}},
		},
		Emergency: Emergency{Roles: []string{"doctor"}},
	}
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	ask := func(p Purpose, change ...func(*Request)) error {
		req := Request{Purpose: p, Actor: "dr-ayu", Role: "doctor"}
		for _, f := range change {
			f(&req)
		}
		_, err := open(r, ayu.ID, row.Sealed, req)
		return err
	}
	why := func(req *Request) { req.Justification = "unconscious" }
	heed := func(codes ...Obligation) func(*Request) { return func(req *Request) { req.Fulfils = codes } }

	require.NoError(t, ask("THREAT"))
	e := last(t, cfg.Log)
	require.Equal(t, ByLaw, e.Reason)
	require.Equal(t, "art. X", e.Article)
	require.ErrorIs(t, ask("DISASTER"), ErrDenied, "an obligation that nobody discharges")
	require.Equal(t, CannotFulfil, last(t, cfg.Log).Reason)
	var partial *WithheldError
	require.ErrorAs(t, ask("DISASTER", heed("NORDSCLCD")), &partial)
	require.Equal(t, []Withheld{{"Serology", NoConsent}}, partial.Fields, "a basis reaches no label that it does not name")

	require.ErrorIs(t, ask(BreakGlass, heed("NOPERSISTP")), ErrDenied, "no justification")
	require.ErrorIs(t, ask(BreakGlass, why), ErrDenied, "nobody heeds NOPERSISTP")
	require.NoError(t, ask(BreakGlass, why, heed("NOPERSISTP")))
	e = last(t, cfg.Log)
	require.Equal(t, InEmergency, e.Reason)
	require.Equal(t, "unconscious", e.Justification)
	require.Empty(t, e.Article)
	require.NoError(t, ask("THREAT", why), "a justification beside another purpose")
	require.Empty(t, last(t, cfg.Log).Justification, "is not the emergency's")

	_, err := cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{BreakGlass}, Refused: true})
	require.NoError(t, err)
	require.ErrorIs(t, ask(BreakGlass, why, heed("NOPERSISTP")), ErrDenied)
	cfg.Policy.Emergency.OverRefusals = true
	require.NoError(t, ask(BreakGlass, why, heed("NOPERSISTP")))
	_, err = cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true, Hold: true})
	require.NoError(t, err)
	require.ErrorIs(t, ask(BreakGlass, why, heed("NOPERSISTP")), ErrDenied)
	require.Equal(t, Prohibited, last(t, cfg.Log).Reason)
}

// TestSelectedData: a consent to the data of one encounter opens that
// encounter's record, whole, and no other; a service that cannot see which
// encounter it is opens nothing.
func TestSelectedData(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	seal := func(tag Tag) Row {
		tag.Purpose, tag.Basis = Treatment, Consented
		row, err := r.Seal(ctx, &ayu, tag)
		require.NoError(t, err)
		return row
	}
	here := seal(Tag{Related: []string{"e2", "e1"}, Author: "dr-budi", Time: noon})
	there := seal(Tag{Related: []string{"e3"}, Author: "dr-ayu", Time: noon.Add(-time.Hour)})
	nowhere := seal(Tag{})
	for name, only := range map[string]Selection{
		"encounter":    {Related: []string{"e1"}},
		"author":       {Authors: []string{"dr-budi"}},
		"time":         {From: noon, Until: noon.Add(1)},
		"all of these": {Types: []string{"person"}, Records: []string{ayu.ID}, Related: []string{"e1"}, Authors: []string{"dr-budi"}, From: noon},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}, Data: only})
			require.NoError(t, err)
			got, err := open(r, ayu.ID, here.Sealed, care)
			require.NoError(t, err)
			require.Equal(t, ayu.Serology, got.Serology)
			for _, other := range []Row{there, nowhere} {
				_, err = open(r, ayu.ID, other.Sealed, care)
				require.ErrorIs(t, err, ErrDenied)
			}
			updated, err := r.Update(ctx, here.Sealed, &ayu, care, "Notes")
			require.NoError(t, err)
			_, err = open(r, ayu.ID, updated.Sealed, care)
			require.NoError(t, err, "an update carries what the record is selected by")

			cfg.Roles = map[string][]string{"desk": {"identity"}}
			_, err = open(r, ayu.ID, here.Sealed, Request{Purpose: Treatment, Actor: "desk-1", Role: "desk"})
			require.ErrorIs(t, err, ErrDenied, "who opens names alone cannot tell which record it is")
			cfg.Roles = nil
			require.NoError(t, cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
		})
	}
	for name, not := range map[string]Selection{"author": {Authors: []string{"dr-ayu"}}, "encounter": {Related: []string{"e3"}}, "time": {Until: noon}} {
		t.Run("but not "+name, func(t *testing.T) {
			id, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}, Except: []Rule{{Refused: true, Data: not}}})
			require.NoError(t, err)
			_, err = open(r, ayu.ID, here.Sealed, care)
			require.NoError(t, err)
			for _, other := range []Row{there, nowhere} { // what a record does not say is refused in full
				_, err = open(r, ayu.ID, other.Sealed, care)
				require.ErrorIs(t, err, ErrDenied)
			}
			require.NoError(t, cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
		})
	}
}

// TestActions: each verb states its own action, whatever the request says.
func TestActions(t *testing.T) {
	ctx := context.Background()
	for action, want := range map[Action][2]bool{Access: {true, false}, Correct: {false, true}, Collect: {}, Disclose: {}, Use: {}} {
		r := people(t, memoryConfig(t))
		row := sealed(t, r, ayu)
		_, err := r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}, Actions: []Action{action}})
		require.NoError(t, err)
		req := care
		req.Action = action
		_, err = open(r, ayu.ID, row.Sealed, req)
		require.Equal(t, want[0], err == nil, "open for %s", action)
		_, err = r.Update(ctx, row.Sealed, &ayu, req, "Notes")
		require.Equal(t, want[1], err == nil, "update for %s", action)
	}
}
