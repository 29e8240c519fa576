package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// account is a seeded one.
func (h *house) account(t *testing.T, name string) clinic.User {
	t.Helper()
	u, err := h.clinic.User(t.Context(), name)
	require.NoError(t, err)
	return u
}

// spoken requires that a page says everything in words, in both languages, and
// takes its picture.
func (b *tab) spoken(name string) {
	b.t.Helper()
	b.look(name)
	for _, suffix := range []string{"-id", ""} {
		b.click(`.language button`)
		require.NotContains(b.t, js[string](b, `document.documentElement.outerHTML`), "⟦")
		if suffix != "" {
			b.picture(name + suffix)
		}
	}
}

// fetched is what the page gets from an address, as text: a download.
func (b *tab) fetched(method, path, form string) string {
	b.t.Helper()
	options := `{method: "` + method + `"}`
	if form != "" {
		options = `{method: "` + method + `", body: new URLSearchParams("` + form + `")}`
	}
	return js[string](b, `fetch("`+path+`", `+options+`).then(r => r.text())`)
}

// TestBrowserPatient: a patient reads their records, sees who else did, takes a
// permission back and sees that it counts, takes receipt and proof home, and asks
// for erasure.
func TestBrowserPatient(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		doctor, self := h.account(t, "dr-ayu"), h.account(t, "p-0001")
		_, err := h.clinic.Chart(ctx, doctor, self.Patient, clinic.Why{})
		require.NoError(t, err)
		_, err = h.clinic.Study(ctx, h.account(t, "itb-eko"), clinic.Question{Of: clinic.Patients, Purpose: consent.Marketing, K: clinic.MinK})
		require.NoError(t, err)

		b := openBrowser(t, h)
		b.signIn("p-0001")
		b.sees("Good day", "Jalan Rekaan", "99")
		b.spoken("patient-home")

		t.Log("the switch counts at once")
		b.click(`.top nav a[href="/patient/choices"]`)
		b.spoken("patient-choices")
		b.click(`section[aria-labelledby=choice-treatment] button.switch`)
		b.sees("From now on it is refused", "No doctor opens your records", "Needs the permission for treatment")
		_, err = h.clinic.Chart(ctx, doctor, self.Patient, clinic.Why{})
		require.ErrorIs(t, err, consent.ErrDenied)
		_, err = h.clinic.Chart(ctx, h.account(t, "dr-bima"), self.Patient, clinic.Why{Justification: "Found unconscious in the street"})
		require.NoError(t, err)
		b.look("patient-choices-withdrawn")
		b.click(`section[aria-labelledby=choice-treatment] button.switch`)
		b.sees("You allow it from now on")
		_, err = h.clinic.Chart(ctx, doctor, self.Patient, clinic.Why{})
		require.NoError(t, err)

		t.Log("who looked")
		b.click(`.top nav a[href="/patient/history"]`)
		b.sees("dr. Ayu read your records", "dr. Ayu tried to read your records", "dr. Bima read your records", "Found unconscious in the street",
			"asked for a table, and you are not in it", "itb-2026", "Searches are not in this list")
		require.NotContains(t, b.text(), "You read your records")
		js[string](b, `document.querySelectorAll("details").forEach(d => d.open = true), ""`)
		b.spoken("patient-history")
		b.open("/patient/history?own=yes")
		b.sees("You read your records")

		t.Log("what is taken home is checked without the clinic")
		b.click(`.top nav a[href="/patient/rights"]`)
		b.spoken("patient-rights")
		var keys clinic.Published
		require.NoError(t, json.Unmarshal([]byte(b.fetched("GET", "/keys.json", "")), &keys))
		entries, err := consent.CheckExtract([]byte(b.fetched("GET", "/patient/proof.json", "")), keys.Log...)
		require.NoError(t, err)
		require.NotEmpty(t, entries)
		b.open("/patient/choices")
		id := js[string](b, `document.querySelector("#choice-treatment").closest("section").querySelector("input[name=id]").value`)
		receipt, err := consent.CheckReceipt([]byte(b.fetched("POST", "/patient/receipt", "id="+id)), keys.Receipts...)
		require.NoError(t, err)
		require.Equal(t, []any{id, "given"}, []any{receipt.RecordID, receipt.EventState})
		require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(b.fetched("GET", "/notice.txt?lang=en", "")))), receipt.NoticeSHA256)
		require.Contains(t, b.fetched("GET", "/patient/records.json", ""), `"nik": "99`)

		t.Log("another's receipt is nobody's")
		b.expect("404")
		require.Contains(t, b.fetched("POST", "/patient/receipt", "id=treatment@nobody"), "Nothing here")
		b.expect("403")
		for _, path := range []string{"/doctor", "/officer", "/researcher"} {
			require.Contains(t, b.fetched("GET", path, ""), "Not for this role")
		}

		t.Log("erasure is asked for, and taken back")
		b.open("/patient/rights")
		b.click(`#erasure form button`)
		b.sees("It waits for the privacy officer")
		b.look("patient-erasure")
		b.click(`#erasure form button`)
		require.NotContains(t, b.text(), "It waits for the privacy officer")
		b.open("/notice")
		b.look("patient-notice")
		b.quiet()
	})
}
