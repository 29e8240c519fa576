package consent

import (
	"embed"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The JSON of testdata/decisions, described in its README.
type (
	vector struct {
		Name     string       `json:"name"`
		Why      string       `json:"why"`
		Policy   *vPolicy     `json:"policy"`
		Consents []vConsent   `json:"consents"`
		Request  vRequest     `json:"request"`
		Data     vData        `json:"data"`
		Now      time.Time    `json:"now"`
		Expect   vExpectation `json:"expect"`
	}
	vPolicy struct {
		Bases []struct {
			Basis   Basis  `json:"basis"`
			Article string `json:"article"`
			Rule    vRule  `json:"rule"`
		} `json:"bases"`
		Emergency struct {
			Roles        []string `json:"roles"`
			OverRefusals bool     `json:"overRefusals"`
		} `json:"emergency"`
	}
	vRule struct {
		Refused         bool            `json:"refused"`
		Purposes        []Purpose       `json:"purposes"`
		Actions         []Action        `json:"actions"`
		Actors          []string        `json:"actors"`
		Roles           []string        `json:"roles"`
		Confidentiality Confidentiality `json:"confidentiality"`
		Sensitivity     []Label         `json:"sensitivity"`
		Data            vSelection      `json:"data"`
		Obligations     []Obligation    `json:"obligations"`
		From            time.Time       `json:"from"`
		Until           time.Time       `json:"until"`
	}
	vConsent struct {
		vRule
		ID        string    `json:"id"`
		Except    []vRule   `json:"except"`
		Hold      bool      `json:"hold"`
		Withdrawn time.Time `json:"withdrawn"`
		Because   string    `json:"because"`
		GivenBy   *struct {
			ID       string    `json:"id"`
			Relation string    `json:"relation"`
			Until    time.Time `json:"until"`
		} `json:"givenBy"`
	}
	vSelection struct {
		Types   []string  `json:"types"`
		Records []string  `json:"records"`
		Authors []string  `json:"authors"`
		Related []string  `json:"related"`
		From    time.Time `json:"from"`
		Until   time.Time `json:"until"`
	}
	vRequest struct {
		Purpose       Purpose `json:"purpose"`
		Actor         string  `json:"actor"`
		Role          string  `json:"role"`
		Action        Action  `json:"action"`
		Justification string  `json:"justification"`
	}
	vData struct {
		Confidentiality Confidentiality `json:"confidentiality"`
		Sensitivity     []Label         `json:"sensitivity"`
		Type            string          `json:"type"`
		Record          string          `json:"record"`
		Author          string          `json:"author"`
		Related         []string        `json:"related"`
		Time            time.Time       `json:"time"`
	}
	vExpectation struct {
		Permit      bool         `json:"permit"`
		Reason      string       `json:"reason"`
		Consent     string       `json:"consent"`
		Rule        int          `json:"rule"`
		Article     string       `json:"article"`
		Obligations []Obligation `json:"obligations"`
		Until       *time.Time   `json:"until"`
	}
)

// vReasons are the neutral names of reasons.
var vReasons = map[string]Reason{
	"permitted": Permitted, "by-law": ByLaw, "in-emergency": InEmergency, "prohibited": Prohibited, "no-consent": NoConsent, "refused": Refused,
	"not-yet": NotYet, "expired": Expired, "withdrawn": Ended, "superseded": Superseded, "not-represented": NotRepresented, "unknown": Unknown,
}

func (r vRule) rule() Rule {
	return Rule{r.Refused, r.Purposes, r.Actions, r.Actors, r.Roles, r.Confidentiality, r.Sensitivity, Selection(r.Data), r.Obligations, r.From, r.Until}
}

func (v vConsent) consent(t *testing.T) Consent {
	b := v.rule()
	c := Consent{
		ID: v.ID, Subject: "p", Purposes: b.Purposes, Refused: b.Refused, Actors: b.Actors, Roles: b.Roles, Actions: b.Actions, Data: b.Data,
		Confidentiality: b.Confidentiality, Sensitivity: b.Sensitivity, Obligations: b.Obligations, From: b.From, Until: b.Until, Hold: v.Hold,
		Withdrawn: v.Withdrawn,
	}
	for _, r := range v.Except {
		c.Except = append(c.Except, r.rule())
	}
	if by := v.GivenBy; by != nil {
		c.GivenBy = &Representative{by.ID, by.Relation, by.Until}
	}
	if v.Because != "" {
		require.Contains(t, vReasons, v.Because)
		c.Because = vReasons[v.Because]
	}
	given := c
	given.Withdrawn, given.Because = time.Time{}, ""
	require.NoError(t, given.check(), "what Give would refuse proves nothing")
	return c
}

func (v *vPolicy) policy(t *testing.T) *Policy {
	if v == nil {
		return nil
	}
	p := &Policy{Emergency: Emergency{Roles: v.Emergency.Roles, OverRefusals: v.Emergency.OverRefusals}}
	for _, b := range v.Bases {
		p.Bases = append(p.Bases, LegalBasis{b.Basis, b.Article, b.Rule.rule()})
	}
	require.NoError(t, p.check())
	return p
}

// The tests run in a folder of their own, so the vectors are taken along.
//
//go:embed testdata/decisions/*.json
var vectorFiles embed.FS

// readVectors calls do with every vector.
func readVectors(t *testing.T, do func(t *testing.T, v vector)) {
	const dir = "testdata/decisions"
	files, err := vectorFiles.ReadDir(dir)
	require.NoError(t, err)
	for _, file := range files {
		f, err := vectorFiles.Open(dir + "/" + file.Name())
		require.NoError(t, err)
		d := json.NewDecoder(f)
		d.DisallowUnknownFields()
		var all []vector
		require.NoError(t, d.Decode(&all), file.Name())
		require.NoError(t, f.Close())
		for _, v := range all {
			t.Run(strings.TrimSuffix(file.Name(), ".json")+"/"+v.Name, func(t *testing.T) { do(t, v) })
		}
	}
}

// TestDecisionVectors runs the neutral suite, in the order given and reversed.
func TestDecisionVectors(t *testing.T) {
	seen := map[Reason]bool{}
	readVectors(t, func(t *testing.T, v vector) {
		require.Contains(t, vReasons, v.Expect.Reason)
		want := Decision{
			Permit: v.Expect.Permit, Reason: vReasons[v.Expect.Reason], Consent: v.Expect.Consent, Rule: v.Expect.Rule,
			Article: v.Expect.Article, Obligations: v.Expect.Obligations,
		}
		if v.Expect.Until != nil {
			want.Until = *v.Expect.Until
		}
		seen[want.Reason] = true
		var cs []Consent
		for _, c := range v.Consents {
			cs = append(cs, c.consent(t))
		}
		for range 2 {
			got := v.Policy.policy(t).Decide(cs, v.request(), v.data(), v.Now)
			if len(got.Obligations) == 0 {
				got.Obligations = nil
			}
			require.Equal(t, want, got, v.Why)
			slices.Reverse(cs)
		}
		e := v.Policy.policy(t).Explain(cs, v.request(), v.data(), v.Now)
		require.Equal(t, want.Reason, e.Decision.Reason)
		v.explained(t, cs, e)
	})
	require.Len(t, seen, len(vReasons), "a reason that no vector gives")
}

func (v *vector) request() Request {
	return Request{Purpose: v.Request.Purpose, Actor: v.Request.Actor, Role: v.Request.Role, Action: v.Request.Action, Justification: v.Request.Justification}
}

func (v *vector) data() Data {
	d := v.Data
	return Data{Confidentiality: d.Confidentiality, Sensitivity: d.Sensitivity, Type: d.Type, Record: d.Record, Author: d.Author, Related: d.Related, Time: d.Time}
}

// explained holds the steps to the decision: what decided is the last step of
// its consent that is met, and both languages say every step.
func (v *vector) explained(t *testing.T, cs []Consent, e Explanation) {
	rules := 0
	for i := range cs {
		rules += 1 + len(cs[i].Except)
	}
	if v.Policy != nil {
		rules += len(v.Policy.Bases)
	}
	require.Len(t, e.Steps, rules)
	if e.Decision.Consent != "" {
		last := -1
		for i, s := range e.Steps {
			if s.Consent == e.Decision.Consent && s.Met {
				last = i
			}
		}
		require.GreaterOrEqual(t, last, 0)
		require.Equal(t, e.Decision.Rule, e.Steps[last].Rule)
	}
	for _, in := range []Language{English, Indonesian} {
		text := e.Text(in)
		require.Equal(t, rules+1, strings.Count(text, "\n"), text)
		require.Contains(t, text, e.Decision.Reason.In(in))
		require.NotContains(t, text, "%!")
	}
	require.NotEqual(t, e.Text(English), e.Text(Indonesian))
}

// TestReasonsInIndonesian: each reason has its text, so that no refusal is told in half a language.
func TestReasonsInIndonesian(t *testing.T) {
	for _, r := range []Reason{
		Permitted, ByLaw, InEmergency, WouldDeny, Prohibited, NoConsent, Refused, NotYet, Expired, Ended, Superseded, NotRepresented, Unknown, RoleForbids,
		KeyNotGranted, ExportOnly, CannotFulfil, Erased, Retained, NotAuthentic, NotFoundBy, Unreadable, MaySearch, NoRole, NotGeneral, TooFew, TooMany, NoJob, NoRight,
	} {
		require.NotEqual(t, string(r), r.In(Indonesian), r)
		require.Equal(t, string(r), r.In(English))
	}
	require.Equal(t, "another", Reason("another").In(Indonesian))
}
