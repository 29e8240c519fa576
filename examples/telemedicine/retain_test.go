package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/keyring"
)

// TestBrowserRetain: the officer puts a patient who asked for erasure out of service
// until a date, and everybody is told so in their own words.
func TestBrowserRetain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		self := user(t, h, "p-0002")
		require.NoError(t, h.clinic.AskErasure(t.Context(), self))
		b := openBrowser(t, h)
		b.signIn("dpo-dewi")
		b.open("/officer/erasures")
		b.sees("to be decided", "Stop now, keep for the law", "Erase now")
		b.look("officer-decides")

		// A date that is past, and a law that cannot be written, are not taken.
		b.expect("422")
		for _, form := range []string{`{until: "2020-01-01"}`, `{until: ""}`, `{basis: ""}`, `{until: "9999-01-01"}`} {
			require.Equal(t, 422, js[int](b, `fetch("/officer/erasures", {method: "POST", body: new URLSearchParams({patient: `+quoted(self.Patient)+`, do: "keep", until: "2050-01-01", basis: "art. 39", ...`+form+`})}).then(r => r.status)`), form)
		}
		_, err := h.clinic.Own(t.Context(), self)
		require.NoError(t, err)

		js[int](b, `window.confirm = () => true; 0`)
		b.click(`button[value=keep]`)
		last := time.Now().In(time.FixedZone("WIB", 7*3600)).AddDate(25, 0, 0).Format("2 Jan 2006")
		b.sees("Out of service:", "kept until "+last, "Permenkes 24/2022 art. 39")
		b.look("officer-kept")
		b.expect("410")
		require.Equal(t, 410, js[int](b, `fetch("/officer/erasures", {method: "POST", body: new URLSearchParams({patient: `+quoted(self.Patient)+`, do: "erase"})}).then(r => r.status)`))
		b.click(`form[action="/logout"] button`)

		b.signIn("p-0002")
		for _, path := range []string{"/patient", "/patient/rights"} {
			b.open(path)
			b.sees("A law obliges the clinic", last, "The keys lie with a custodian")
		}
		b.spoken("patient-kept")
		b.click(`form[action="/logout"] button`)

		b.signIn("dr-ayu")
		b.fill(`input[name=value]`, "0810 0000 0101")
		js[int](b, `document.querySelector("input[value=Phone]").click(); 0`)
		b.click(`form.find button`)
		b.sees("kept out of service")
		b.look("doctor-kept")
		b.quiet()
		_, err = h.clinic.Chart(t.Context(), user(t, h, "dr-ayu"), self.Patient, clinic.Why{})
		require.ErrorIs(t, err, keyring.ErrRetained)
	})
}
