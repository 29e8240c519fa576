package fhir

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

func exportOptions() ExportOptions {
	return ExportOptions{
		Zone: jakarta, Policy: "https://clinic.example/policy", Given: on("2026-01-02"), Organization: "Organization/clinic",
		Reference: func(element, id string) string {
			return map[string]string{"patient": "Patient/", "performer": "RelatedPerson/", "actor": "Practitioner/", "instance": "Observation/", "related": "Encounter/", "authoredby": "Practitioner/"}[element] + id
		},
	}
}

func pick[T any](r *rand.Rand, few int, from ...T) (out []T) {
	for range r.IntN(few + 1) {
		out = append(out, from[r.IntN(len(from))])
	}
	return out
}

func randomRule(r *rand.Rand) consent.Rule {
	days := func() (from, until time.Time) {
		if r.IntN(6) == 0 {
			from = on("2026-01-01").AddDate(0, 0, r.IntN(10))
		}
		if r.IntN(6) == 0 {
			until = on("2026-01-11").Add(time.Duration(r.IntN(10*24))*time.Hour + time.Duration(r.IntN(2)))
		}
		return from, until
	}
	rule := consent.Rule{
		Refused: r.IntN(3) == 0, Purposes: pick(r, 2, consent.Treatment, consent.Payment, consent.Research, consent.BreakGlass),
		Actors: pick(r, 1, "a", "b"), Actions: pick(r, 1, consent.Access, consent.Disclose),
		Confidentiality: []consent.Confidentiality{"", "L", "N", "R", "V", "V"}[r.IntN(6)], Sensitivity: pick(r, 1, consent.Label("HIV"), "PSY", "SPI", consent.AnyLabel),
	}
	switch r.IntN(5) {
	case 0:
		rule.Data.Records = []string{"1"}
	case 1:
		rule.Data.Authors = []string{"a"}
	case 2:
		rule.Data.Related = []string{"e"}
	}
	rule.Data.From, rule.Data.Until = days()
	rule.From, rule.Until = days()
	return rule
}

func randomConsent(r *rand.Rand) consent.Consent {
	base := randomRule(r)
	c := consent.Consent{ID: "c", Subject: "p", Actors: base.Actors, From: base.From, Until: base.Until}
	setBase(&c, base)
	c.Purposes = append(c.Purposes, consent.Operations)
	for range r.IntN(3) {
		c.Except = append(c.Except, randomRule(r))
	}
	if r.IntN(3) == 0 {
		c.GivenBy = &consent.Representative{ID: "m", Until: []time.Time{{}, on("2026-01-15")}[r.IntN(2)]}
	}
	return c
}

// TestExportReadsBack: what is written decides, when it is read again, as what was
// written, for every request; and where it does not, it permits less.
func TestExportReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 27560))
	exported, permits := 0, 0
	for range 15_000 {
		c := randomConsent(r)
		text, err := Export(c, exportOptions())
		if err != nil {
			require.ErrorIs(t, err, ErrNotExpressible)
			continue
		}
		exported++
		got, err := Import(text, options(TypedRoot))
		require.NoError(t, err, string(text))
		require.Empty(t, got.Widened)
		for range 20 {
			req := consent.Request{
				Purpose: []consent.Purpose{"TREAT", "HPAYMT", "HOPERAT", "HRESCH", "BTG", "ETREAT"}[r.IntN(6)],
				Actor:   []string{"a", "b", "c"}[r.IntN(3)], Action: []consent.Action{"", consent.Access, consent.Disclose, consent.Use}[r.IntN(4)],
			}
			d := consent.Data{
				Confidentiality: []consent.Confidentiality{"", "L", "R", "V"}[r.IntN(4)], Sensitivity: pick(r, 2, consent.Label("HIV"), "PSY", "SPI"),
				Record: []string{"", "1", "2"}[r.IntN(3)], Author: []string{"", "a", "b"}[r.IntN(3)], Related: pick(r, 1, "e", "f"),
			}
			if r.IntN(2) == 0 {
				d.Time = on("2026-01-05").Add(time.Duration(r.IntN(20*24)) * time.Hour)
			}
			now := on("2026-01-01").Add(time.Duration(r.IntN(25*24)) * time.Hour)
			want := new(consent.Policy).Decide([]consent.Consent{c}, req, d, now)
			have := new(consent.Policy).Decide([]consent.Consent{got.Consent}, req, d, now)
			if want.Permit {
				permits++
			}
			if refusesRelated(&c) {
				require.False(t, have.Permit && !want.Permit)
				continue
			}
			require.Equal(t, want.Permit, have.Permit, "%s\n%+v %+v %s", text, req, d, now)
			require.Equal(t, want.Reason == consent.Refused, have.Reason == consent.Refused, "%s\n%+v %+v %s", text, req, d, now)
		}
	}
	require.Greater(t, exported, 3000)
	require.Greater(t, permits, 1000)
}

func refusesRelated(c *consent.Consent) bool {
	return c.Refused && c.Data.Related != nil || slices.ContainsFunc(c.Except, func(r consent.Rule) bool { return r.Refused && r.Data.Related != nil })
}

func TestExport(t *testing.T) {
	c := consent.Consent{
		ID: "c1", Subject: "ayu", Purposes: []consent.Purpose{consent.Treatment}, Until: on("2027-01-01"),
		Except:  []consent.Rule{{Refused: true, Sensitivity: []consent.Label{"PSY"}}, {Actors: []string{"dr"}, Confidentiality: highest, Sensitivity: []consent.Label{"HIV"}}},
		GivenBy: &consent.Representative{ID: "ibu", Relation: "MTH", Until: on("2026-06-01")},
	}
	text, err := Export(c, exportOptions())
	require.NoError(t, err)
	got, err := Import(text, options(TypedRoot))
	require.NoError(t, err)
	require.Equal(t, []string{"permit TREAT level N in ..2026-06-01", "refuse TREAT label PSY", "permit TREAT by dr level V label HIV"}, said(got.Consent))
	require.Equal(t, &consent.Representative{ID: "ibu"}, got.Consent.GivenBy)
	again, err := Export(c, exportOptions())
	require.NoError(t, err)
	require.Equal(t, text, again)
	for _, want := range []string{`"dateTime":"2026-01-02T00:00:00+07:00"`, `"end":"2026-05-31T23:59:59+07:00"`, `"organization":[{"reference":"Organization/clinic"}]`, `"policy":[{"uri":"https://clinic.example/policy"}]`} {
		require.Contains(t, string(text), want)
	}

	// What an exception takes over is written out: to others, what is absent does not constrain.
	narrow := consent.Consent{
		Subject: "p", Purposes: []consent.Purpose{consent.Treatment}, Actors: []string{"a"}, Actions: []consent.Action{consent.Access},
		Data: consent.Selection{Records: []string{"1"}}, Except: []consent.Rule{{Confidentiality: "R"}, {Refused: true}},
	}
	text, err = Export(narrow, exportOptions())
	require.NoError(t, err)
	for _, name := range []string{`"actor"`, `"action"`, `"data"`} {
		require.Equal(t, 2, strings.Count(string(text), name), name)
	}
	require.Equal(t, 3, strings.Count(string(text), `"purpose"`))

	c.Withdrawn = on("2026-02-01")
	text, err = Export(c, exportOptions())
	require.NoError(t, err)
	require.Contains(t, string(text), `"status":"inactive"`)
	_, err = Import(text, options(TypedRoot))
	require.ErrorIs(t, err, ErrNotInForce)
}

// TestExportOfPCF: IHE's consents, read and written, read as the same rules.
func TestExportOfPCF(t *testing.T) {
	for id, text := range examples(t, "ihe-pcf", "Consent-ex-consent-") {
		first, err := Import(text, options(TypedRoot))
		if id == "intermediate-purpose" {
			continue
		}
		require.NoError(t, err)
		out, err := Export(first.Consent, exportOptions())
		require.NoError(t, err, id)
		second, err := Import(out, options(TypedRoot))
		require.NoError(t, err)
		want := first.Consent
		for i := range want.Except {
			want.Except[i] = under(want.Except[i], &want)
		}
		require.Equal(t, slices.Compact(said(want)), slices.Compact(said(second.Consent)), id)
	}
}

func TestExportRefuses(t *testing.T) {
	good := func() consent.Consent {
		return consent.Consent{ID: "c", Subject: "p", Purposes: []consent.Purpose{consent.Treatment}, Except: []consent.Rule{{Refused: true, Actors: []string{"a"}}}}
	}
	_, err := Export(good(), exportOptions())
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		spoil func(*consent.Consent)
		path  string
	}{
		"a role":                    {func(c *consent.Consent) { c.Roles = []string{"r"} }, "Consent.provision"},
		"an exception's role":       {func(c *consent.Consent) { c.Except[0].Roles = []string{"r"} }, "Consent.provision.provision[0]"},
		"an obligation":             {func(c *consent.Consent) { c.Obligations = []consent.Obligation{"PSEUD"} }, "Consent.provision"},
		"an exception's obligation": {func(c *consent.Consent) { c.Except[0].Obligations = []consent.Obligation{"PSEUD"} }, "Consent.provision.provision[0]"},
		"a hold":                    {func(c *consent.Consent) { c.Refused, c.Hold, c.Except = true, true, nil }, "Consent"},
		"a record type":             {func(c *consent.Consent) { c.Data.Types = []string{"x"} }, "Consent.provision.data"},
		"two ways of data":          {func(c *consent.Consent) { c.Data.Records, c.Data.Authors = []string{"x"}, []string{"y"} }, "Consent.provision.data"},
		"level and label":           {func(c *consent.Consent) { c.Sensitivity = []consent.Label{"HIV"} }, "Consent.provision.securityLabel"},
		"every label of a level":    {func(c *consent.Consent) { c.Sensitivity = []consent.Label{consent.AnyLabel} }, "Consent.provision.securityLabel"},
		"a refusal of level and label": {func(c *consent.Consent) {
			c.Except[0].Confidentiality, c.Except[0].Sensitivity = "R", []consent.Label{"HIV"}
		}, "Consent.provision.provision[0].securityLabel"},
		"all in a permit of some": {func(c *consent.Consent) {
			c.Except[0] = consent.Rule{Confidentiality: highest, Sensitivity: []consent.Label{consent.AnyLabel}}
		}, "Consent.provision.provision[0].securityLabel"},
		"far away":                  {func(c *consent.Consent) { c.Until = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC) }, "Consent.provision"},
		"no purpose":                {func(c *consent.Consent) { c.Purposes = nil }, "Consent.provision"},
		"an id without a reference": {func(c *consent.Consent) { c.Actors = []string{"none"} }, "Consent.provision.actor[0]"},
	} {
		c := good()
		tt.spoil(&c)
		o := exportOptions()
		inner := o.Reference
		o.Reference = func(element, id string) string {
			if id == "none" {
				return ""
			}
			return inner(element, id)
		}
		text, err := Export(c, o)
		require.Equal(t, &ElementError{tt.path, ErrNotExpressible}, err, name)
		require.Nil(t, text, name)
	}
	o := exportOptions()
	o.Given = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC)
	_, err = Export(good(), o)
	require.Equal(t, &ElementError{"Consent.dateTime", ErrNotExpressible}, err)
	for _, spoil := range []func(*ExportOptions){func(o *ExportOptions) { o.Zone = nil }, func(o *ExportOptions) { o.Policy = "" }, func(o *ExportOptions) { o.Reference = nil }} {
		o := exportOptions()
		spoil(&o)
		_, err := Export(good(), o)
		require.ErrorIs(t, err, ErrOptions)
	}
}

// TestOldZone: local mean time has seconds in its offset, which FHIR cannot write.
func TestOldZone(t *testing.T) {
	zone := time.FixedZone("LMT", 7*3600+7*60+12)
	for _, at := range []time.Time{on("1910-01-01"), on("1910-01-01").Add(123456789)} {
		text, ok := endText(at, zone)
		require.True(t, ok)
		got, ok := bound(text, zone, true)
		require.True(t, ok, text)
		require.True(t, at.Equal(got), text)
		require.True(t, strings.HasSuffix(text, "Z"))
	}
}
