package consent

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestDecide(t *testing.T) {
	treat := Consent{ID: "c1", Subject: "p", Purposes: []Purpose{Treatment}}
	with := func(c Consent, f func(*Consent)) Consent { f(&c); return c }
	req := Request{Purpose: Treatment, Actor: "dr-ayu", Role: "doctor"}
	hiv := Data{Sensitivity: []Label{"HIV"}}
	tests := []struct {
		name     string
		consents []Consent
		req      Request
		data     Data
		want     Reason
	}{
		{"nothing given", nil, req, Data{}, NoConsent},
		{"given", []Consent{treat}, req, Data{}, Permitted},
		{"another purpose", []Consent{treat}, Request{Purpose: Marketing, Actor: "a"}, Data{}, NoConsent},
		{"a purpose below", []Consent{treat}, Request{Purpose: "COC", Actor: "a"}, Data{}, Permitted},
		{"a purpose above", []Consent{with(treat, func(c *Consent) { c.Purposes = []Purpose{"COC"} })}, req, Data{}, NoConsent},
		{"break-glass is not implied", []Consent{treat}, Request{Purpose: BreakGlass, Actor: "a"}, Data{}, NoConsent},
		{"nor what is below emergency care", []Consent{treat}, Request{Purpose: "ERTREAT", Actor: "a"}, Data{}, NoConsent},
		{"emergency care that is named", []Consent{with(treat, func(c *Consent) { c.Purposes = []Purpose{EmergencyTreatment} })}, Request{Purpose: "ERTREAT", Actor: "a"}, Data{}, Permitted},
		{"model training is not operations", []Consent{with(treat, func(c *Consent) { c.Purposes = []Purpose{Operations} })}, Request{Purpose: "MLTRAINING", Actor: "a"}, Data{}, NoConsent},
		{"a refusal covers it all the same", []Consent{
			with(treat, func(c *Consent) { c.Purposes = []Purpose{"MLTRAINING"} }),
			with(treat, func(c *Consent) { c.ID, c.Purposes, c.Refused = "c2", []Purpose{Operations}, true }),
		}, Request{Purpose: "MLTRAINING", Actor: "a"}, Data{}, Refused},
		{"an unknown purpose", []Consent{treat}, Request{Purpose: "TREATS", Actor: "a"}, Data{}, Unknown},
		{"the abstract root", []Consent{treat}, Request{Purpose: "PurposeOfUse", Actor: "a"}, Data{}, Unknown},
		{"an unknown label", []Consent{treat}, req, Data{Sensitivity: []Label{"HVI"}}, Unknown},
		{"an unknown level", []Consent{treat}, req, Data{Confidentiality: "X"}, Unknown},
		{"a retired label", []Consent{treat}, req, Data{Sensitivity: []Label{"SICKLE"}}, Unknown},
		{"a label without permission", []Consent{treat}, req, hiv, NoConsent},
		{"a label with it", []Consent{with(treat, func(c *Consent) { c.Sensitivity = []Label{"HIV"} })}, req, hiv, Permitted},
		{"a label by its ancestor", []Consent{with(treat, func(c *Consent) { c.Sensitivity = []Label{"SPI"} })}, req, Data{Sensitivity: []Label{"OPIOIDUD"}}, Permitted},
		{"one label of two", []Consent{with(treat, func(c *Consent) { c.Sensitivity = []Label{"HIV"} })}, req, Data{Sensitivity: []Label{"HIV", "PSY"}}, NoConsent},
		{"restricted data", []Consent{treat}, req, Data{Confidentiality: Restricted}, NoConsent},
		{"restricted data, allowed", []Consent{with(treat, func(c *Consent) { c.Confidentiality = Restricted })}, req, Data{Confidentiality: Restricted}, Permitted},
		{"a high-water mark reaches down", []Consent{with(treat, func(c *Consent) { c.Confidentiality = Restricted })}, req, Data{}, Permitted},
		{"a refusal of restricted data leaves the rest", []Consent{treat, with(treat, func(c *Consent) { c.ID, c.Refused, c.Confidentiality = "c2", true, Restricted })}, req, Data{}, Permitted},
		{"a refusal reaches up", []Consent{
			with(treat, func(c *Consent) { c.Confidentiality = "V" }),
			with(treat, func(c *Consent) { c.ID, c.Refused, c.Confidentiality = "c2", true, Restricted }),
		}, req, Data{Confidentiality: "V"}, Refused},
		{"a refusal by label", []Consent{
			with(treat, func(c *Consent) { c.Sensitivity = []Label{"HIV"} }),
			with(treat, func(c *Consent) { c.ID, c.Refused, c.Sensitivity = "c2", true, []Label{"HIV"} }),
		}, req, hiv, Refused},
		{"a refusal by label leaves the rest", []Consent{treat, with(treat, func(c *Consent) { c.ID, c.Refused, c.Sensitivity = "c2", true, []Label{"HIV"} })}, req, Data{}, Permitted},
		{"another actor", []Consent{with(treat, func(c *Consent) { c.Actors = []string{"dr-budi"} })}, req, Data{}, NoConsent},
		{"this actor", []Consent{with(treat, func(c *Consent) { c.Actors = []string{"dr-budi", "dr-ayu"} })}, req, Data{}, Permitted},
		{"another role", []Consent{with(treat, func(c *Consent) { c.Roles = []string{"nurse"} })}, req, Data{}, NoConsent},
		{"a refusal for one actor", []Consent{treat, with(treat, func(c *Consent) { c.ID, c.Refused, c.Actors = "c2", true, []string{"dr-ayu"} })}, req, Data{}, Refused},
		{"not yet", []Consent{with(treat, func(c *Consent) { c.From = noon.Add(1) })}, req, Data{}, NotYet},
		{"from now on", []Consent{with(treat, func(c *Consent) { c.From = noon })}, req, Data{}, Permitted},
		{"until just after", []Consent{with(treat, func(c *Consent) { c.Until = noon.Add(1) })}, req, Data{}, Permitted},
		{"until now", []Consent{with(treat, func(c *Consent) { c.Until = noon })}, req, Data{}, Expired},
		{"withdrawn", []Consent{with(treat, func(c *Consent) { c.Withdrawn = noon })}, req, Data{}, Ended},
		{"not withdrawn yet", []Consent{with(treat, func(c *Consent) { c.Withdrawn = noon.Add(1) })}, req, Data{}, Permitted},
		{"a refusal for another actor", []Consent{treat, with(treat, func(c *Consent) { c.ID, c.Refused, c.Actors = "c2", true, []string{"dr-budi"} })}, req, Data{}, Permitted},
		{"a refusal of no level meets every level", []Consent{treat, with(treat, func(c *Consent) { c.ID, c.Refused = "c2", true })}, req, Data{Confidentiality: "L"}, Refused},
		{"a label by its descendant", []Consent{with(treat, func(c *Consent) { c.Sensitivity = []Label{"OPIOIDUD"} })}, req, Data{Sensitivity: []Label{"SPI"}}, NoConsent},
		{"withdrawn tells more than expired", []Consent{
			with(treat, func(c *Consent) { c.Withdrawn = noon }), with(treat, func(c *Consent) { c.ID, c.Until = "c2", noon }),
		}, req, Data{}, Ended},
		{"expired tells more than not yet", []Consent{
			with(treat, func(c *Consent) { c.Until = noon }), with(treat, func(c *Consent) { c.ID, c.From = "c2", noon.Add(1) }),
		}, req, Data{}, Expired},
		{"not yet tells more than nothing", []Consent{
			with(treat, func(c *Consent) { c.Roles = []string{"nurse"} }), with(treat, func(c *Consent) { c.ID, c.From = "c2", noon.Add(1) }),
		}, req, Data{}, NotYet},
		{"a withdrawn refusal is none", []Consent{treat, with(treat, func(c *Consent) { c.ID, c.Refused, c.Withdrawn = "c2", true, noon })}, req, Data{}, Permitted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := new(Policy).Decide(tt.consents, tt.req, tt.data, noon)
			require.Equal(t, tt.want, d.Reason)
			require.Equal(t, tt.want == Permitted, d.Permit)
		})
	}
}

func TestDecideObligations(t *testing.T) {
	c := []Consent{
		{ID: "a", Purposes: []Purpose{Research}, Obligations: []Obligation{"NORDSCLCD"}},
		{ID: "b", Purposes: []Purpose{"CLINTRCH"}, Obligations: []Obligation{Deidentify}, Until: noon.Add(time.Hour)},
	}
	d := new(Policy).Decide(c, Request{Purpose: "CLINTRCH", Actor: "r"}, Data{}, noon)
	require.True(t, d.Permit)
	require.Equal(t, []Obligation{Deidentify, "NORDSCLCD", Pseudonymise}, d.Obligations, "every permit's obligations hold, and research is pseudonymous")
	require.Equal(t, noon.Add(time.Hour), d.Until)
	require.Equal(t, "a", d.Consent)
}

// TestDecideUntil: the first boundary of any consent, in whatever order they come.
func TestDecideUntil(t *testing.T) {
	c := []Consent{
		{ID: "a", Purposes: []Purpose{Treatment}, From: noon.Add(-3), Until: noon.Add(9)},
		{ID: "b", Purposes: []Purpose{Marketing}, From: noon.Add(2), Until: noon.Add(5), Refused: true},
		{ID: "c", Purposes: []Purpose{Treatment}, Withdrawn: noon.Add(7)},
		{ID: "d", Purposes: []Purpose{Treatment}, Until: noon.Add(-1)},
	}
	for range 2 {
		require.Equal(t, noon.Add(2), new(Policy).Decide(c, care, Data{}, noon).Until)
		slices.Reverse(c)
	}
}

// draw makes random consents, requests and labels from small sets, so that
// they meet often.
type draw struct{ *rand.Rand }

func pick[T any](d draw, of ...T) T { return of[d.IntN(len(of))] }

func some[T any](d draw, of ...T) []T {
	var out []T
	for _, x := range of {
		if d.IntN(3) == 0 {
			out = append(out, x)
		}
	}
	return out
}

func (d draw) maybe(n int) bool { return d.IntN(n) == 0 }

// near is a time around noon, or none.
func (d draw) near() time.Time {
	if d.IntN(4) != 0 {
		return time.Time{}
	}
	return noon.Add(time.Duration(d.IntN(3)-1) * time.Hour)
}

func (d draw) rule(refused bool) Rule {
	r := Rule{
		Refused: refused, Purposes: []Purpose{pick(d, Treatment, "COC", Research, Operations, BreakGlass, "MLTRAINING")},
		Actors: some(d, "a", "b"), Roles: some(d, "doctor"), Confidentiality: pick[Confidentiality](d, "", "L", "N", "R", "V"),
		Sensitivity: some(d, "HIV", "SPI", "PSY", AnyLabel), Until: d.near(),
	}
	if d.maybe(4) {
		r.Actions = some(d, Access, Disclose)
	}
	if d.maybe(4) {
		r.Data = Selection{Types: some(d, "lab", "visit"), Authors: some(d, "a", "b"), Related: some(d, "e1"), From: d.near()}
	}
	if d.maybe(3) {
		r.Obligations = some[Obligation](d, "AUDIT", "DEID")
	}
	return r
}

func (d draw) consent(id string) Consent {
	r := d.rule(d.maybe(4))
	c := Consent{
		ID: id, Purposes: r.Purposes, Refused: r.Refused, Actors: r.Actors, Roles: r.Roles, Actions: r.Actions, Data: r.Data,
		Confidentiality: r.Confidentiality, Sensitivity: r.Sensitivity, Obligations: r.Obligations, Until: r.Until, Withdrawn: d.near(),
	}
	for d.maybe(3) {
		e := d.rule(d.maybe(3))
		if d.maybe(2) {
			e.Purposes = nil
		}
		c.Except = append(c.Except, e)
	}
	if d.maybe(6) {
		c.GivenBy = &Representative{ID: "ibu", Until: d.near()}
	}
	c.Hold = c.Refused && len(c.Except) == 0 && d.maybe(3)
	return c
}

func (d draw) policy() *Policy {
	if d.maybe(3) {
		return nil
	}
	p := &Policy{Emergency: Emergency{Roles: some(d, "doctor"), OverRefusals: d.maybe(2)}}
	if d.maybe(3) {
		p.Bases = []LegalBasis{{PublicInterest, "art. X", d.rule(false)}}
	}
	return p
}

// refuses reports whether a rule of c refuses something.
func refusesSomething(c *Consent) bool {
	return c.Refused || slices.ContainsFunc(c.Except, func(r Rule) bool { return r.Refused })
}

// TestDecideLaws holds Decide to what a decision must obey whatever the
// consents, the policy and the request: 100,000 cases of each law.
func TestDecideLaws(t *testing.T) {
	met, cases := map[Reason]int{}, uint64(100_000)
	if testing.Short() {
		cases /= 5
	}
	for seed := range cases {
		d := draw{rand.New(rand.NewPCG(seed, 1))}
		l := law{draw: d, seed: seed, policy: d.policy()}
		for i := range 1 + d.IntN(4) {
			l.given = append(l.given, d.consent(string(rune('a'+i))))
		}
		l.req = Request{Purpose: pick[Purpose](d, Treatment, "COC", Research, "ERTREAT", BreakGlass, "MLTRAINING"), Actor: pick(d, "a", "b", "c"), Role: pick(d, "doctor", "clerk"), Action: pick(d, "", Access, Disclose)}
		if d.maybe(2) {
			l.req.Justification = "because"
		}
		l.data = Data{Confidentiality: pick[Confidentiality](d, "L", "N", "R"), Sensitivity: some[Label](d, "HIV", "PSY"), Type: pick(d, "", "lab"), Author: pick(d, "", "a"), Related: some(d, "e1"), Time: d.near()}
		l.got = l.decide(l.given)
		met[l.got.Reason]++
		l.order(t)
		l.refusing(t)
		l.removing(t)
		l.withdrawing(t)
		l.raising(t)
		l.untilThen(t)
	}
	for _, r := range []Reason{Permitted, Refused, ByLaw, InEmergency, Prohibited, NoConsent, Ended, Expired, NotRepresented} {
		require.Greater(t, met[r], int(cases/1000), "the draws must meet %q, or the laws are held by silence", r)
	}
}

// law is one case.
type law struct {
	draw
	seed   uint64
	policy *Policy
	given  []Consent
	req    Request
	data   Data
	got    Decision
}

func (l *law) decide(cs []Consent) Decision { return l.policy.Decide(cs, l.req, l.data, noon) }

// opens fails if a change opened what was closed.
func (l *law) opens(t *testing.T, d Decision, what string) {
	if d.Permit && !l.got.Permit {
		t.Fatalf("seed %d: %s opened: %+v, before %+v", l.seed, what, d, l.got)
	}
}

func (l *law) order(t *testing.T) {
	shuffled := slices.Clone(l.given)
	l.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if again := l.decide(shuffled); !reflect.DeepEqual(again, l.got) {
		t.Fatalf("seed %d: order matters: %+v, %+v", l.seed, l.got, again)
	}
	if again := l.decide(slices.Concat(l.given, shuffled)); !reflect.DeepEqual(again, l.got) {
		t.Fatalf("seed %d: a consent twice is not the consent once: %+v, %+v", l.seed, l.got, again)
	}
}

func (l *law) refusing(t *testing.T) {
	refusal := l.consent("z")
	refusal.Refused, refusal.Except = true, nil
	l.opens(t, l.decide(append(slices.Clone(l.given), refusal)), "a refusal")
	for i := range l.given {
		more := slices.Clone(l.given)
		more[i].Except = append(slices.Clip(more[i].Except), l.rule(true))
		l.opens(t, l.decide(more), "an exception that refuses")
	}
}

func (l *law) removing(t *testing.T) {
	for i := range l.given {
		if refusesSomething(&l.given[i]) {
			continue
		}
		l.opens(t, l.decide(slices.Delete(slices.Clone(l.given), i, i+1)), "taking a permit away")
	}
	if l.policy != nil {
		less := *l.policy
		less.Bases = nil
		l.opens(t, less.Decide(l.given, l.req, l.data, noon), "taking a legal basis away")
	}
}

func (l *law) withdrawing(t *testing.T) {
	for i := range l.given {
		gone := slices.Clone(l.given[i : i+1])
		gone[0].Withdrawn = noon
		for _, later := range []time.Duration{0, 1, time.Hour, 1 << 55} {
			if new(Policy).Decide(gone, l.req, l.data, noon.Add(later)).Permit {
				t.Fatalf("seed %d: a withdrawn consent permits", l.seed)
			}
		}
	}
}

func (l *law) raising(t *testing.T) {
	more := l.data
	more.Confidentiality, more.Sensitivity = "V", append(slices.Clone(more.Sensitivity), "STD")
	l.opens(t, l.policy.Decide(l.given, l.req, more, noon), "raising the labels")
}

func (l *law) untilThen(t *testing.T) {
	if l.got.Permit && !l.got.Until.IsZero() && !l.policy.Decide(l.given, l.req, l.data, l.got.Until.Add(-1)).Permit {
		t.Fatalf("seed %d: the answer changed before Until", l.seed)
	}
}

// TestCodes reads the code table as its own rules want it: one parent a code,
// and each parent a code of the table or an abstract root.
func TestCodes(t *testing.T) {
	c := codes()
	require.Len(t, c.purposes, 62)
	for p, parent := range c.purposes {
		if parent != "PurposeOfUse" {
			require.Contains(t, c.purposes, parent, p)
		}
	}
	for l, parent := range c.labels {
		if parent[0] != '_' {
			require.Contains(t, c.labels, parent, l)
		}
	}
	for _, p := range []Purpose{EmergencyTreatment, BreakGlass, Marketing, "MLTRAINING", "CLINTRL", "MILCDM"} {
		require.True(t, p.known(), p)
		require.True(t, p.mustBeNamed(), p)
	}
	require.False(t, EmergencyTreatment.covers(BreakGlass, true))
	for _, p := range []Purpose{Treatment, EmergencyTreatment, BreakGlass, Payment, Operations, Research, PublicHealth, Marketing, PatientRequest} {
		require.True(t, p.known(), p)
	}
	require.True(t, Purpose("TREAT").covers("TREATDS", true))
	require.False(t, Purpose("TREAT").covers("CLINTRL", true))
	require.True(t, Purpose("TREAT").covers("CLINTRL", false))
}
