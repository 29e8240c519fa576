package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// TestBrowserPatientGone: what an erased patient is shown.
func TestBrowserPatientGone(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		self := h.account(t, "p-0003")
		require.NoError(t, h.clinic.AskErasure(t.Context(), self))
		b := openBrowser(t, h)
		b.signIn("p-0003")
		b.sees("Good day")
		b.open("/patient/choices")
		b.sees("Needs the permission for treatment") // who was never asked
		require.NoError(t, erased(t, h, self))
		b.expect("410")
		for _, path := range []string{"/patient", "/patient/choices", "/patient/history"} {
			b.open(path)
			b.sees("Your records are erased")
		}
		b.spoken("patient-gone")
		require.Contains(t, b.fetched("GET", "/patient/records.json", ""), "Your records are erased")
		require.Contains(t, b.fetched("GET", "/api/patient/records", ""), `"error":"gone"`)
	})
}

func erased(t *testing.T, h *house, self clinic.User) error {
	_, err := h.clinic.Erase(t.Context(), h.account(t, "dpo-dewi"), self.Patient)
	return err
}
