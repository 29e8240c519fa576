package main

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// TestFirstPassword: with the password that a clerk has seen nothing opens, and no
// session that was begun with it lasts once the patient has chosen another.
func TestFirstPassword(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		portal, err := h.clinic.Branch().Register(t.Context(), &clinic.Patient{
			NIK: "3171014312900055", Phone: "081200007755", Sex: "female", Born: time.Date(1990, 12, 3, 0, 0, 0, 0, time.UTC), Name: "Nama Rekaan", Address: "Alamat Rekaan",
		}, []string{"treatment"})
		require.NoError(t, err)
		require.NoError(t, h.clinic.Receive(t.Context()))
		clerk, patient := callWith(t, h, portal.Name, portal.Password), callWith(t, h, portal.Name, portal.Password)
		shut := func(c *caller, to string, status int) {
			t.Helper()
			for _, path := range []string{"/patient", "/patient/records.json", "/patient/choices", "/patient/proof.json"} {
				got, answer, _ := c.tried("GET", path, "")
				require.Equal(t, []any{http.StatusSeeOther, to}, []any{got, answer.Get("Location")}, path)
			}
			got, _ := c.send("GET", "/api/patient/records", "", "")
			require.Equal(t, status, got)
		}
		shut(clerk, "/password", http.StatusForbidden)
		choose := func(c *caller, old, first, again string) int {
			t.Helper()
			status, _ := c.send("POST", "/password", formKind, url.Values{"password": {old}, "new": {first}, "again": {again}}.Encode())
			return status
		}
		const own = "her-own-password"
		for _, wrong := range [][3]string{{portal.Password, own, own + "x"}, {portal.Password, "short", "short"}, {portal.Password, portal.Password, portal.Password}, {"not the password", own, own}, {portal.Password, "", ""}} {
			require.Equal(t, http.StatusUnprocessableEntity, choose(patient, wrong[0], wrong[1], wrong[2]), wrong)
		}
		require.Equal(t, http.StatusSeeOther, choose(patient, portal.Password, own, own))
		require.Contains(t, mustSend(t, patient, "/patient"), "Nama Rekaan")
		shut(clerk, "/login", http.StatusUnauthorized)
		status, _ := visitor(t, h).send("POST", "/login", formKind, url.Values{"name": {portal.Name}, "password": {portal.Password}}.Encode())
		require.Equal(t, http.StatusUnauthorized, status)
		require.Contains(t, mustSend(t, callWith(t, h, portal.Name, own), "/patient"), "Nama Rekaan")

		// It is not tried out by who sits down at somebody's open session.
		for range 10 {
			choose(patient, "not the password", own+"2", own+"2")
		}
		require.Equal(t, http.StatusTooManyRequests, choose(patient, own, own+"2", own+"2"))
	})
}
