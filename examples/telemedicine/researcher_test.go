package main

import (
	"encoding/csv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestBrowserResearcher: a researcher asks for tables: one is given, one is refused
// by the gate, one has no row, and another institution's has other pseudonyms.
func TestBrowserResearcher(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("ui-citra")
		b.sees("ui-2026", "None yet")
		b.spoken("researcher-home")
		ask := `form[action="/researcher/table"] button`

		t.Log("patients")
		b.click(ask)
		b.sees("no live consent covers this purpose and data", "A pseudonym of your institution's own", "k = 11", "Hidden")
		b.spoken("researcher-patients")
		mine := b.table()
		require.Equal(t, []string{"pseudonym", "Born", "Sex", "Allergies", "Conditions"}, mine[0])
		require.Greater(t, len(mine), 11)

		t.Log("visits")
		b.open("/researcher")
		b.do(chromedp.Click(`input[value=visits]`))
		b.click(ask)
		b.sees("The year", "withheld")
		b.spoken("researcher-visits")

		t.Log("the gate refuses")
		b.open("/researcher")
		b.fill(`input[name=k]`, "900")
		b.click(ask)
		b.sees("The gate lets no row out", "too few patients in the table are alike")
		require.NotContains(t, b.text(), "Download")
		b.expect("404")
		require.Contains(t, b.fetched("GET", js[string](b, `location.pathname`)+"/csv", ""), "Nothing here")
		b.spoken("researcher-refused")

		t.Log("nobody allows it")
		b.open("/researcher")
		js[string](b, `document.querySelector("select[name=purpose]").value = "HMARKT"`)
		b.click(ask)
		b.sees("No patient allows this")
		b.spoken("researcher-nobody")

		t.Log("what the clinic does not offer")
		b.expect("422")
		for _, form := range []string{"of=patients&purpose=HRESCH&k=10", "of=patients&purpose=TREAT&k=11", "of=files&purpose=HRESCH&k=11", "of=patients&purpose=HRESCH&k=eleven"} {
			require.Contains(t, b.fetched("POST", "/researcher/table", form), "Something is missing", form)
		}
		b.open("/researcher")
		b.spoken("researcher-made")
		address := js[string](b, `document.querySelector("td a").getAttribute("href")`)

		t.Log("another institution")
		b.click(`form[action="/logout"] button`)
		b.signIn("itb-eko")
		b.sees("itb-2026", "None yet")
		require.Contains(t, b.fetched("GET", address, ""), "Nothing here", "another's table")
		b.click(ask)
		for _, row := range b.table()[1:] {
			require.NotContains(t, pseudonyms(mine), row[0])
		}
		b.quiet()
	})
}

// table is the file that the page offers.
func (b *tab) table() [][]string {
	b.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(b.fetched("GET", js[string](b, `location.pathname`)+"/csv", ""))).ReadAll()
	require.NoError(b.t, err)
	return rows
}

func pseudonyms(table [][]string) []string {
	var all []string
	for _, row := range table {
		all = append(all, row[0])
	}
	return all
}
