package fhir

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

func TestSatusehat(t *testing.T) {
	now := on("2026-06-01")
	all := func(change func(*consent.Consent)) consent.Consent {
		c := consent.Consent{ID: "all", Purposes: []consent.Purpose{consent.Treatment}, Confidentiality: highest, Sensitivity: []consent.Label{consent.AnyLabel}}
		if change != nil {
			change(&c)
		}
		return c
	}
	refuse := func(change func(*consent.Consent)) []consent.Consent {
		c := consent.Consent{ID: "no", Purposes: []consent.Purpose{consent.Treatment}, Refused: true}
		change(&c)
		return []consent.Consent{all(nil), c}
	}
	for name, tt := range map[string]struct {
		consents []consent.Consent
		want     Switch
		until    string
	}{
		"nothing":          {nil, OptOut, ""},
		"everything":       {[]consent.Consent{all(nil)}, OptIn, ""},
		"until a day":      {[]consent.Consent{all(func(c *consent.Consent) { c.Until = on("2027-01-01") })}, OptIn, "2027-01-01"},
		"from a day":       {[]consent.Consent{all(func(c *consent.Consent) { c.From = on("2027-01-01") })}, OptOut, "2027-01-01"},
		"withdrawn":        {[]consent.Consent{all(func(c *consent.Consent) { c.Withdrawn = on("2026-05-01") })}, OptOut, ""},
		"by a parent":      {[]consent.Consent{all(func(c *consent.Consent) { c.GivenBy = &consent.Representative{ID: "m", Until: on("2026-12-01")} })}, OptIn, "2026-12-01"},
		"of ordinary data": {[]consent.Consent{all(func(c *consent.Consent) { c.Confidentiality, c.Sensitivity = "", nil })}, OptOut, ""},
		"but what is V":    {[]consent.Consent{all(func(c *consent.Consent) { c.Confidentiality = "R" })}, OptOut, ""},
		"of some labels":   {[]consent.Consent{all(func(c *consent.Consent) { c.Sensitivity = []consent.Label{"HIV", "SPI"} })}, OptOut, ""},
		"to use":           {[]consent.Consent{all(func(c *consent.Consent) { c.Actions = []consent.Action{consent.Access, consent.Use} })}, OptOut, ""},
		"to disclose":      {[]consent.Consent{all(func(c *consent.Consent) { c.Actions = []consent.Action{consent.Disclose} })}, OptIn, ""},
		"to the network":   {[]consent.Consent{all(func(c *consent.Consent) { c.Actors = []string{"satusehat"} })}, OptIn, ""},
		"to a doctor":      {[]consent.Consent{all(func(c *consent.Consent) { c.Actors = []string{"dr"} })}, OptOut, ""},
		"in a role":        {[]consent.Consent{all(func(c *consent.Consent) { c.Roles = []string{"dr"} })}, OptOut, ""},
		"of some data":     {[]consent.Consent{all(func(c *consent.Consent) { c.Data.Types = []string{"lab"} })}, OptOut, ""},
		"of some time":     {[]consent.Consent{all(func(c *consent.Consent) { c.Data.From = on("2020-01-01") })}, OptOut, ""},
		"obliged":          {[]consent.Consent{all(func(c *consent.Consent) { c.Obligations = []consent.Obligation{"NORDSCLCD"} })}, OptOut, ""},
		"for payment":      {[]consent.Consent{all(func(c *consent.Consent) { c.Purposes = []consent.Purpose{consent.Payment} })}, OptOut, ""},
		"by an exception": {[]consent.Consent{all(func(c *consent.Consent) {
			c.Confidentiality, c.Sensitivity = "", nil
			c.Except = []consent.Rule{{Confidentiality: highest, Sensitivity: []consent.Label{consent.AnyLabel}}}
		})}, OptIn, ""},
		"but for one doctor": {[]consent.Consent{all(func(c *consent.Consent) { c.Except = []consent.Rule{{Refused: true, Actors: []string{"dr"}}} })}, OptOut, ""},
		"but for one doctor until": {[]consent.Consent{all(func(c *consent.Consent) {
			c.Except = []consent.Rule{{Refused: true, Actors: []string{"dr"}, Until: on("2026-05-01")}}
		})}, OptIn, ""},

		"refused":                      {refuse(func(*consent.Consent) {}), OptOut, ""},
		"refused to one doctor":        {refuse(func(c *consent.Consent) { c.Actors = []string{"dr"} }), OptOut, ""},
		"one record refused":           {refuse(func(c *consent.Consent) { c.Data.Records = []string{"1"} }), OptOut, ""},
		"HIV refused":                  {refuse(func(c *consent.Consent) { c.Sensitivity = []consent.Label{"HIV"} }), OptOut, ""},
		"emergencies refused":          {refuse(func(c *consent.Consent) { c.Purposes = []consent.Purpose{consent.BreakGlass} }), OptOut, ""},
		"marketing refused":            {refuse(func(c *consent.Consent) { c.Purposes = []consent.Purpose{consent.Marketing} }), OptIn, ""},
		"no longer refused":            {refuse(func(c *consent.Consent) { c.Withdrawn = on("2026-05-01") }), OptIn, ""},
		"refused later":                {refuse(func(c *consent.Consent) { c.From = on("2026-07-01") }), OptIn, "2026-07-01"},
		"held":                         {refuse(func(c *consent.Consent) { c.Hold = true }), OptOut, ""},
		"a refusal by a parent stands": {refuse(func(c *consent.Consent) { c.GivenBy = &consent.Representative{ID: "m", Until: on("2026-01-01")} }), OptOut, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, until := Satusehat(tt.consents, "satusehat", now)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.until, day(until))
			if len(tt.consents) == 2 {
				turned := []consent.Consent{tt.consents[1], tt.consents[0]}
				again, _ := Satusehat(turned, "satusehat", now)
				require.Equal(t, got, again)
			}
		})
	}
}
