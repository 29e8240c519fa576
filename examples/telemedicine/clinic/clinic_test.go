package clinic_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// The staff of the tests.
var (
	ayu  = clinic.User{Name: "dr-ayu", Role: clinic.Doctor, Title: "dr. Ayu"}
	bima = clinic.User{Name: "dr-bima", Role: clinic.Doctor, Title: "dr. Bima"}
	budi = clinic.User{Name: "clerk-budi", Role: clinic.Clerk, Title: "Budi"}
)

func open(t *testing.T) *clinic.Clinic {
	t.Helper()
	c, err := clinic.Open(t.Context(), clinic.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func siti() *clinic.Patient {
	return &clinic.Patient{
		NIK: "3171014312900001", Name: "Siti Rekaan", Phone: "0812 0000 7777", Born: time.Date(1990, 12, 3, 0, 0, 0, 0, time.UTC),
		Sex: "female", Address: "Jalan Rekaan 7, Depok", Allergies: []string{"Penicillin"},
	}
}

// register registers a patient, waits until the clinic has her, and returns her
// id and what the branch saw.
func register(t *testing.T, c *clinic.Clinic, p *clinic.Patient, choices ...string) (string, clinic.Portal) {
	t.Helper()
	portal, err := c.Branch().Register(t.Context(), p, choices)
	require.NoError(t, err)
	state(t, c, portal.Arrival, clinic.Received)
	return p.ID, portal
}

// state waits for what becomes of a registration.
func state(t *testing.T, c *clinic.Clinic, id, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		a, _, err := c.Branch().Raw(context.WithoutCancel(t.Context()), id)
		require.NoError(t, err)
		return a.State == want
	}, 20*time.Second, 20*time.Millisecond)
}
