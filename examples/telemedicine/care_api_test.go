package main

import (
	"bytes"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// A caller is a program that uses the JSON, signed in as somebody.
type caller struct {
	t    *testing.T
	base string
	http *http.Client
}

func call(t *testing.T, h *house, name string) *caller {
	t.Helper()
	return callWith(t, h, name, seed.Password)
}

// visitor is a caller who has not signed in.
func visitor(t *testing.T, h *house) *caller {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &caller{t, h.url, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (c *caller) send(method, path, kind, body string) (int, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Origin", c.base)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	answer, err := c.http.Do(r)
	require.NoError(c.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	return answer.StatusCode, string(text)
}

// asked sends a body, none where it is nil, and reads the answer into a T.
func asked[T any](c *caller, method, path string, body any, status int) (out T) {
	c.t.Helper()
	text := []byte(nil)
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(c.t, err)
	}
	got, answer := c.send(method, path, "application/json", string(text))
	require.Equal(c.t, status, got, answer)
	require.NoError(c.t, json.Unmarshal([]byte(answer), &out), answer)
	return out
}

type object = map[string]any

func TestAPICare(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		clerk, doctor := call(t, h, "clerk-budi"), call(t, h, "dr-ayu")
		siti := object{"name": "Siti Rekaan", "nik": "3171014312900001", "phone": "0812 0000 7777", "born": "1990-12-03", "sex": "female",
			"address": "Jalan Rekaan 7", "allergies": []string{"Penicillin"}, "choices": []string{"treatment"}}
		portal := asked[map[string]string](clerk, "POST", "/api/clerk/register", siti, http.StatusCreated)
		require.NotEmpty(t, portal["password"])
		require.Eventually(t, func() bool {
			return asked[[]object](clerk, "GET", "/api/clerk/sent", nil, http.StatusOK)[0]["state"] == "received"
		}, 20*time.Second, 100*time.Millisecond)
		siti["nik"], siti["born"] = "31", "soon"
		refused := asked[object](clerk, "POST", "/api/clerk/register", siti, http.StatusUnprocessableEntity)
		require.Equal(t, object{"error": "input", "fields": []any{"nik", "born"}}, refused)

		found := asked[[]object](doctor, "POST", "/api/doctor/search", object{"field": "NIK", "value": "3171014312900001"}, http.StatusOK)
		require.Len(t, found, 1)
		require.Equal(t, "Siti Rekaan", found[0]["name"])
		chart := "/api/doctor/patients/" + found[0]["id"].(string)
		visit := object{"complaint": "Cough", "diagnosis": "J45.9 Asthma", "notes": "Rest", "counselling": "Sleeps badly"}
		asked[object](doctor, "POST", chart+"/visits", visit, http.StatusCreated)
		asked[object](doctor, "POST", chart+"/visits", object{"notes": "Rest"}, http.StatusUnprocessableEntity)
		opened := asked[object](doctor, "GET", chart, nil, http.StatusOK)["visits"].([]any)[0].(object)
		require.Equal(t, "Rest", opened["notes"])
		require.NotContains(t, opened, "counselling")
		require.Contains(t, opened["withheld"], "Counselling")

		// Who was never asked opens in an emergency, for whoever declared it.
		found = asked[[]object](doctor, "POST", "/api/doctor/search", object{"field": "Phone", "value": neverAsked}, http.StatusOK)
		require.NotContains(t, found[0], "name")
		require.Equal(t, "no live consent covers this purpose and data", found[0]["refused"])
		chart = "/api/doctor/patients/" + found[0]["id"].(string)
		require.Equal(t, "denied", asked[object](doctor, "GET", chart, nil, http.StatusForbidden)["error"])
		asked[object](doctor, "POST", chart+"/emergency", object{"justification": "short"}, http.StatusUnprocessableEntity)
		asked[object](doctor, "POST", chart+"/emergency", object{"justification": "Unconscious after a fall"}, http.StatusCreated)
		require.NotEmpty(t, asked[object](doctor, "GET", chart, nil, http.StatusOK)["emergencyUntil"])
		require.Equal(t, "denied", asked[object](call(t, h, "dr-bima"), "GET", chart, nil, http.StatusForbidden)["error"])

		for _, path := range []string{chart, "/api/doctor/search", "/api/doctor/patients/x/visits"} {
			method := "POST"
			if path == chart {
				method = "GET"
			}
			require.Equal(t, "forbidden", asked[object](clerk, method, path, nil, http.StatusForbidden)["error"])
		}
	})
}

// What is malformed, too large, or of somebody else is refused, and says nothing.
func TestCareHostile(t *testing.T) {
	h := open(t, "", 4)
	doctor := call(t, h, "dr-ayu")
	found := asked[[]object](doctor, "POST", "/api/doctor/search", object{"field": "Phone", "value": allowsAll}, http.StatusOK)
	chart := "/doctor/patients/" + found[0]["id"].(string)
	large := strings.Repeat("x", 2<<20)
	const form, js = "application/x-www-form-urlencoded", "application/json"
	for name, try := range map[string]struct {
		path, kind, body string
		status           int
	}{
		"sql":             {"/doctor/search", form, url.Values{"field": {"NIK"}, "value": {"' OR 1=1 --"}}.Encode(), 422},
		"sql in a field":  {"/doctor/search", form, url.Values{"field": {"phone = $1 OR 1=1"}, "value": {"0812"}}.Encode(), 422},
		"escape":          {"/doctor/search", form, "field=%zz", 422},
		"large":           {"/doctor/search", form, "value=" + large, 413},
		"large json":      {"/api/doctor/search", js, `{"value":"` + large + `"}`, 413},
		"unknown":         {"/api/doctor/search", js, `{"field":"NIK","value":"1","x":1}`, 422},
		"two values":      {"/api/doctor/search", js, `{"field":"NIK","value":"1"}{}`, 422},
		"no json":         {"/api/doctor/search", form, `{"field":"NIK","value":"1"}`, 422},
		"nobody":          {"/doctor/patients/nobody/visits", form, "complaint=a&diagnosis=b", 404},
		"traversal":       {"/doctor/patients/..%2f..%2fetc/visits", form, "complaint=a&diagnosis=b", 404},
		"not multipart":   {chart + "/files", form, "name=a", 422},
		"no content":      {chart + "/files", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--b--\r\n", 422},
		"cut off":         {chart + "/files", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx", 422},
		"cut off content": {chart + "/files", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nx\r\n--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\n%PDF-1.7", 422},
		"unknown part":    {chart + "/files", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\nx\r\n--b--\r\n", 422},
		"no reason":       {chart + "/emergency", form, "justification=+++++++++++++++", 422},
	} {
		status, answer := doctor.send("POST", try.path, try.kind, try.body)
		require.Equal(t, try.status, status, name)
		require.NotContains(t, answer, "1=1\"", name)
		require.NotContains(t, answer, "⟦", name)
	}
	for _, path := range []string{"/files/..%2f..%2fclinic.key", "/files/%2e%2e", "/files/nobody", "/files/" + url.PathEscape("' OR '1'='1")} {
		status, _ := doctor.send("GET", chart+path, "", "")
		require.Contains(t, []int{404, 301, 307}, status, path)
	}

	// More than an upload may be: nothing of it stays.
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	require.NoError(t, w.WriteField("name", "Large"))
	part, err := w.CreateFormFile("content", "large.pdf")
	require.NoError(t, err)
	_, err = io.Copy(part, io.MultiReader(strings.NewReader("%PDF-1.7"), io.LimitReader(zeros{}, 33<<20)))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	status, _ := doctor.send("POST", chart+"/files", w.FormDataContentType(), body.String())
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	_, page := doctor.send("GET", chart, "", "")
	require.NotContains(t, page, "Large")

	// Another site's page, and what does not say where it comes from.
	for _, origin := range []string{"http://elsewhere.example", ""} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", h.url+chart+"/visits", strings.NewReader("complaint=a&diagnosis=b"))
		require.NoError(t, err)
		r.Header.Set("Content-Type", form)
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		answer, err := doctor.http.Do(r)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusForbidden, answer.StatusCode)
	}
	for _, value := range []string{"Panji", "1=1", "elsewhere"} {
		require.NotContains(t, h.logs.String(), value)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
