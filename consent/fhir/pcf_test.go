package fhir

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

const tpo = "TREAT HPAYMT HOPERAT"

// pcfRules are the rules that each of IHE's consents is read as.
var pcfRules = map[string][]string{
	"advanced-normal":                        {"permit " + tpo + " level N"},
	"advanced-normal-restricted":             {"permit " + tpo + " level R"},
	"advanced-normal-not-restricted":         {"permit " + tpo + " level N", "refuse level R"},
	"advanced-normal-focused-psy":            {"permit " + tpo + " level N", "permit by ex-practitioner level V label PSY"},
	"advanced-normal-focused-psy-or-sdv":     {"permit " + tpo + " level N", "permit by ex-practitioner level V label PSY SDV"},
	"advanced-normal-focused-restricted":     {"permit " + tpo + " level N", "permit by ex-practitioner level R"},
	"advanced-normal-break-glass-restricted": {"permit " + tpo + " level N", "permit BTG by ex-privilegedUsers level R"},
	"basic-ink":                              {"permit " + tpo + " level V label *"},
	"basic-reject":                           {"refuse " + tpo},
	"basic-research":                         {"permit HRESCH level V label *"},
	"basic-treat":                            {"permit " + tpo + " level V label *"},
	"basic-treat-infant":                     {"permit " + tpo + " level V label *"},
	"expired-treat":                          {"permit " + tpo + " level V label * in ..2023-01-01"},
	"intermediate-authoredby":                {"permit " + tpo + " level V label * author ex-practitioner"},
	"intermediate-data":                      {"permit " + tpo + " level V label * record ex-encounter ex-weight-2 ex-weight ex-bloodPressure ex-bloodSugar ex-alcoholUse"},
	"intermediate-encounter":                 {"permit " + tpo + " level V label * related ex-encounter"},
	"intermediate-timeframe":                 {"permit " + tpo + " level V label * data 2022-01-01..2023-01-01"},
	"intermediate-not-authoredby":            {"permit " + tpo + " level V label *", "refuse author ex-practitioner"},
	"intermediate-not-data":                  {"permit " + tpo + " level V label *", "refuse record ex-alcoholUse"},
	"intermediate-not-encounter":             {"permit " + tpo + " level V label *", "refuse record ex-encounter", "refuse related ex-encounter"},
	"intermediate-not-timeframe":             {"permit " + tpo + " level V label *", "refuse data 2022-01-01..2023-01-01"},
	"dissent-intermediate-break-glass":       {"refuse everything", "permit BTG by ex-privilegedUsers level V label *"},
}

// token is an access token of a consent's published note: for whom and which
// purposes it is issued, until when, and the residual rules in it, of which the last that
// matches holds; data that none matches is permitted. Who gets no token is rejected.
type token struct {
	actor    string // empty: anyone
	purposes []string
	until    string // the first day on which there is none any more
	residual []residual
}

type residual struct {
	permit          bool
	label           []string // securityLabel: the data carries one of them
	instance        []string
	related, author string
	dataPeriod      bool // of 2022
}

var (
	forAll  = []string{"TREAT", "HPAYMT", "HOPERAT"}
	forbid  = residual{}
	normal  = []residual{forbid, {permit: true, label: []string{"N"}}}
	both    = []residual{forbid, {permit: true, label: []string{"N", "R"}}}
	glass   = []string{"BTG"}
	whole   = []token{{purposes: forAll}}
	ofGroup = "ex-privilegedUsers"
	known   = "ex-practitioner"
)

func focused(label ...string) []token {
	return []token{{actor: known, purposes: forAll, residual: append(slices.Clone(normal), residual{permit: true, label: label})}, {purposes: forAll, residual: normal}}
}

func only(r residual) []token {
	r.permit = true
	return []token{{purposes: forAll, residual: []residual{forbid, r}}}
}

func without(r residual) []token { return []token{{purposes: forAll, residual: []residual{r}}} }

// pcfTokens are what the notes say.
var pcfTokens = map[string][]token{
	"advanced-normal":                        {{purposes: forAll, residual: normal}},
	"advanced-normal-restricted":             {{purposes: forAll, residual: both}},
	"advanced-normal-not-restricted":         {{purposes: forAll, residual: append(slices.Clone(normal), residual{label: []string{"R"}})}},
	"advanced-normal-focused-psy":            focused("PSY"),
	"advanced-normal-focused-psy-or-sdv":     focused("PSY", "SDV"),
	"advanced-normal-focused-restricted":     {{actor: known, purposes: forAll, residual: both}, {purposes: forAll, residual: normal}},
	"advanced-normal-break-glass-restricted": {{actor: ofGroup, purposes: glass, residual: both}, {purposes: forAll, residual: normal}},
	"basic-ink":                              whole,
	"basic-reject":                           nil,
	"basic-research":                         {{purposes: []string{"HRESCH"}}}, // no note; by its description
	"basic-treat":                            whole,
	"basic-treat-infant":                     whole, // no note; by its description
	"expired-treat":                          {{purposes: forAll, until: "2023-01-01"}},
	"intermediate-authoredby":                only(residual{author: known}),
	"intermediate-data":                      only(residual{instance: []string{"ex-encounter", "ex-weight-2", "ex-weight", "ex-bloodPressure", "ex-bloodSugar", "ex-alcoholUse"}}),
	"intermediate-encounter":                 only(residual{related: "ex-encounter"}),
	"intermediate-timeframe":                 only(residual{dataPeriod: true}),
	"intermediate-not-authoredby":            without(residual{author: known}),
	"intermediate-not-data":                  without(residual{instance: []string{"ex-alcoholUse"}}),
	"intermediate-not-encounter":             without(residual{related: "ex-encounter"}),
	"intermediate-not-timeframe":             without(residual{dataPeriod: true}),
	"dissent-intermediate-break-glass":       {{actor: ofGroup, purposes: glass}},
}

// pcfData are IHE's observations, and some more.
var pcfData = []consent.Data{
	{Record: "ex-alcoholUse", Confidentiality: "R", Sensitivity: []consent.Label{"ETHUD"}, Author: "ex-author", Related: []string{"ex-encounter"}, Time: on("2022-06-13")},
	{Record: "ex-bloodPressure", Confidentiality: "N", Author: "ex-author", Related: []string{"ex-encounter"}, Time: on("2022-06-13")},
	{Record: "ex-bloodSugar", Confidentiality: "N", Author: "ex-author", Related: []string{"ex-encounter"}, Time: on("2020-12-05")},
	{Record: "ex-weight", Confidentiality: "N", Author: "ex-author", Related: []string{"ex-encounter"}, Time: on("2004-12-26")},
	{Record: "other", Confidentiality: "N", Author: known, Related: []string{"other"}, Time: on("2022-12-31").Add(23 * time.Hour)},
	{Record: "psy", Confidentiality: "R", Sensitivity: []consent.Label{"PSY"}, Author: known, Related: []string{"other"}, Time: on("2023-01-01")},
	{Record: "sdv", Confidentiality: "R", Sensitivity: []consent.Label{"SDV"}, Author: known, Related: []string{"other"}, Time: on("2021-12-31")},
	{Record: "bare", Confidentiality: "R", Author: known, Related: []string{"other"}, Time: on("2021-12-31")},
	{Record: "lower", Confidentiality: "L", Author: known, Related: []string{"other"}, Time: on("2021-12-31")},
	{Record: "higher", Confidentiality: "V", Author: known, Related: []string{"other"}, Time: on("2021-12-31")},
}

func on(day string) time.Time {
	t, err := time.ParseInLocation(time.DateOnly, day, jakarta)
	if err != nil {
		panic(err)
	}
	return t
}

func (r *residual) matches(d consent.Data) bool {
	carries := func(l string) bool {
		return string(d.Confidentiality) == l || slices.Contains(d.Sensitivity, consent.Label(l))
	}
	return (r.label == nil || slices.ContainsFunc(r.label, carries)) &&
		(r.instance == nil || slices.Contains(r.instance, d.Record)) &&
		(r.related == "" || slices.Contains(d.Related, r.related)) &&
		(r.author == "" || d.Author == r.author) &&
		(!r.dataPeriod || d.Time.Year() == 2022)
}

// issued is what PCF decides: by the first token for the actor and purpose.
func issued(tokens []token, actor, purpose string, d consent.Data, now time.Time) (permit bool) {
	for _, t := range tokens {
		if t.actor != "" && t.actor != actor || !slices.Contains(t.purposes, purpose) || t.until != "" && !now.Before(on(t.until)) {
			continue
		}
		permit = true
		for _, r := range t.residual {
			if r.matches(d) {
				permit = r.permit
			}
		}
		return permit
	}
	return false
}

// pcfDeviations are where this library decides otherwise than the notes, and why.
var pcfDeviations = map[string]func(id, actor string, d consent.Data, permit bool) bool{
	"a level is a high-water mark (FHIR R4, Consent.provision.securityLabel): N reaches L": func(id, _ string, d consent.Data, permit bool) bool {
		return permit && d.Confidentiality == "L"
	},
	"a level names no sensitivity: R alone does not reach what is labelled": func(id, _ string, d consent.Data, permit bool) bool {
		return !permit && d.Confidentiality == "R" && len(d.Sensitivity) > 0 && id != "advanced-normal-not-restricted"
	},
	"PCF labels every resource with what makes it sensitive; with LabelLevel V data of a higher level without a label is reached by a permit that names labels only": func(id, actor string, d consent.Data, permit bool) bool {
		return permit && actor == known && len(d.Sensitivity) == 0 && slices.Contains([]string{"advanced-normal-focused-psy", "advanced-normal-focused-psy-or-sdv"}, id)
	},
}

func TestPCF(t *testing.T) {
	all := examples(t, "ihe-pcf", "Consent-ex-consent-")
	if text, ok := all["Consent-ex-dissent-intermediate-break-glass"]; ok {
		all["dissent-intermediate-break-glass"] = text
		delete(all, "Consent-ex-dissent-intermediate-break-glass")
	}
	require.Len(t, all, 23)
	met := map[string]int{}
	for id, text := range all {
		t.Run(id, func(t *testing.T) {
			got, err := Import(text, options(TypedRoot))
			if id == "intermediate-purpose" { // FooBar at http://example.org: no purpose that a request could have
				require.Equal(t, &ElementError{"Consent.provision.purpose[0]", ErrNotEvaluated}, err)
				return
			}
			require.NoError(t, err)
			require.Empty(t, got.Widened)
			require.Equal(t, "ex-patient", got.Consent.Subject)
			require.Equal(t, pcfRules[id], said(got.Consent))
			if id == "basic-treat-infant" {
				require.Equal(t, &consent.Representative{ID: "ex-mother"}, got.Consent.GivenBy)
			} else {
				require.Nil(t, got.Consent.GivenBy)
			}
			compare(t, id, got.Consent, met)
		})
	}
	for why := range pcfDeviations {
		require.NotZero(t, met[why], "a deviation that does not occur: %s", why)
	}
}

// compare holds the decisions against the note's, for everybody, every purpose and all data.
func compare(t *testing.T, id string, c consent.Consent, met map[string]int) {
	tokens, ok := pcfTokens[id]
	require.True(t, ok)
	permits := 0
	for _, now := range []time.Time{on("2022-12-31").Add(24*time.Hour - 1), on("2023-01-01")} {
		for _, actor := range []string{known, ofGroup, "somebody"} {
			for _, purpose := range []string{"TREAT", "HPAYMT", "HOPERAT", "HRESCH", "BTG", "ETREAT", "HMARKT"} {
				for _, d := range pcfData {
					got := new(consent.Policy).Decide([]consent.Consent{c}, consent.Request{Purpose: consent.Purpose(purpose), Actor: actor}, d, now).Permit
					if got {
						permits++
					}
					if got == issued(tokens, actor, purpose, d, now) {
						continue
					}
					listed := false
					for why, applies := range pcfDeviations {
						if applies(id, actor, d, got) {
							met[why]++
							listed = true
						}
					}
					require.True(t, listed, "%s %s for %s at %s: permit %t", actor, d.Record, purpose, now, got)
				}
			}
		}
	}
	require.Equal(t, id != "basic-reject", permits > 0)
}
