package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// TestBrowserPatient: a patient reads their records, sees who else did, takes a
// permission back and sees that it counts, takes receipt and proof home, and asks
// for erasure.
func TestBrowserPatient(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		doctor, err := h.clinic.User(ctx, "dr-ayu")
		require.NoError(t, err)
		self, err := h.clinic.User(ctx, "p-0001")
		require.NoError(t, err)
		_, err = h.clinic.Chart(ctx, doctor, self.Patient, clinic.Why{})
		require.NoError(t, err)

		b := openBrowser(t, h)
		b.signIn("p-0001")
		b.look("patient-home")
		b.open("/patient/choices")
		b.look("patient-choices")
		b.open("/patient/history")
		b.look("patient-history")
		b.open("/patient/rights")
		b.look("patient-rights")
	})
}

func TestBrowserResearcher(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("ui-citra")
		b.look("researcher-home")
		b.click(`main form button`)
		b.look("researcher-table")
	})
}
