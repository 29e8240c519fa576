package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// TestPeopleAPI: the JSON of patient and researcher, and what it refuses.
func TestPeopleAPI(t *testing.T) {
	h := open(t, "", 3)
	call := func(c *http.Client, method, path string, form url.Values, origin string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(form.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		answer, err := c.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(body)
	}
	as := func(name string) *http.Client {
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		c := &http.Client{Jar: jar}
		status, _ := call(c, "POST", "/login", url.Values{"name": {name}, "password": {seed.Password}}, h.url)
		require.Equal(t, http.StatusOK, status)
		return c
	}
	patient, researcher := as("p-0001"), as("ui-citra")

	status, body := call(patient, "GET", "/api/patient/records", nil, "")
	require.Equal(t, http.StatusOK, status)
	var records struct{ NIK string }
	require.NoError(t, json.Unmarshal([]byte(body), &records))
	require.Len(t, records.NIK, 16)
	status, body = call(patient, "POST", "/api/patient/choices", url.Values{"key": {"research"}, "allow": {"no"}}, h.url)
	require.Equal(t, []any{http.StatusOK, `{"said":"withdrawn"}`}, []any{status, strings.TrimSpace(body)})
	_, body = call(patient, "GET", "/api/patient/choices", nil, "")
	require.Contains(t, body, `"key":"research","now":false`)
	_, body = call(patient, "GET", "/api/patient/history", nil, "")
	require.Contains(t, body, `"withdraw"`)
	status, _ = call(patient, "POST", "/api/patient/erasure", url.Values{"ask": {"yes"}}, h.url)
	require.Equal(t, http.StatusOK, status)
	status, body = call(patient, "POST", "/api/patient/erasure", url.Values{"ask": {"no"}}, h.url)
	require.Equal(t, []any{http.StatusOK, "null"}, []any{status, strings.TrimSpace(body)})

	form := url.Values{"of": {"patients"}, "purpose": {"HRESCH"}, "k": {"11"}}
	status, body = call(researcher, "POST", "/api/researcher/tables", form, h.url)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, body, `"refused":true`, "three people are never alike enough")
	_, body = call(researcher, "GET", "/api/researcher/tables", nil, "")
	require.Equal(t, "[]", strings.TrimSpace(body))

	for path, want := range map[string]int{"/api/patient/records": http.StatusForbidden, "/api/researcher/tables": http.StatusOK, "/api/researcher/tables/x": http.StatusNotFound} {
		status, _ := call(researcher, "GET", path, nil, "")
		require.Equal(t, want, status, path)
		status, _ = call(&http.Client{}, "GET", path, nil, "")
		require.Equal(t, http.StatusUnauthorized, status, path)
	}
	for _, origin := range []string{"", "https://elsewhere.example"} {
		status, _ := call(patient, "POST", "/api/patient/erasure", url.Values{"ask": {"yes"}}, origin)
		require.Equal(t, http.StatusForbidden, status, "CSRF")
	}
	for _, form := range []url.Values{{}, {"key": {"research"}, "allow": {"perhaps"}}, {"key": {"'; DROP TABLE patients; --"}, "allow": {"yes"}}} {
		status, body := call(patient, "POST", "/api/patient/choices", form, h.url)
		require.Equal(t, []any{http.StatusUnprocessableEntity, `{"error":"input"}`}, []any{status, strings.TrimSpace(body)})
	}
	require.NotContains(t, h.logs.String(), records.NIK)
}

// TestPatientWaits: whoever signs in before the clinic has taken their registration
// in is told so, on every page.
func TestPatientWaits(t *testing.T) {
	h := open(t, "", 1)
	require.NoError(t, h.clinic.AddAccount(t.Context(), clinic.User{Name: "p-early", Role: clinic.Self, Patient: clinic.NewID()}, seed.Password))
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	c := &http.Client{Jar: jar}
	r, err := http.NewRequestWithContext(t.Context(), "POST", h.url+"/login", strings.NewReader(url.Values{"name": {"p-early"}, "password": {seed.Password}}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", h.url)
	for _, path := range []string{"", "/patient", "/patient/history", "/patient/choices", "/patient/rights", "/api/patient/history"} {
		if path != "" {
			r, err = http.NewRequestWithContext(t.Context(), "GET", h.url+path, nil)
			require.NoError(t, err)
		}
		r.Header.Set("Accept-Language", "en")
		answer, err := c.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Less(t, answer.StatusCode, 500, path)
		switch path {
		case "/patient/rights":
		case "/api/patient/history":
			require.Equal(t, `{"error":"not-found"}`, strings.TrimSpace(string(body)))
		default:
			require.Contains(t, string(body), "Your registration is under way", path)
		}
	}
}
