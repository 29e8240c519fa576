package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/consenttest"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// TestLeak enters whatever each role can enter, and searches for it in all that the
// clinic has written: its folder, its databases row by row, PostgreSQL's own folder,
// and the logs of both.
//
// In clear by design, and so not searched for: names of staff and of portals, which
// are the actors of the audit log; ids, which say nothing; the names of roles,
// institutions, keysets and states.
func TestLeak(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		values := enterAll(t, h)
		h.server.Close()
		require.NoError(t, h.clinic.Close())
		written := t.TempDir()
		places := []string{h.dir, dump(t, h, written)}
		logs := filepath.Join(written, "server.log")
		require.NoError(t, os.WriteFile(logs, []byte("the server's log\n"+h.logs.String()), 0o600))
		places = append(places, logs)
		if h.postgres != "" {
			_, dir, _ := strings.Cut(h.postgres, "host=")
			dir, _, _ = strings.Cut(dir, " ")
			places = append(places, filepath.Join(dir, "log"), filepath.Join(dir, "data", "pg_wal"), filepath.Join(dir, "data", "base"))
		}
		consenttest.RequireNoPlaintext(t, places, values...)

		// The search finds each of them where it is.
		for i, value := range values {
			decoy := filepath.Join(written, "decoy")
			require.NoError(t, os.WriteFile(decoy, []byte("x"+value+"x"), 0o600))
			require.True(t, found(decoy, value), "value %d is not found", i)
		}
		require.False(t, found(logs, values[0]))
		// And the dump has what is in clear by design.
		require.True(t, found(places[1], "clerk-budi"))
		require.True(t, found(places[1], "ui-2026"))
	})
}

// found reports whether the search finds a value.
func found(path, value string) bool {
	f := &failing{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		consenttest.RequireNoPlaintext(f, []string{path}, value)
	}()
	<-done
	return f.failed
}

// failing is a test that may fail.
type failing struct {
	testing.TB
	failed bool
}

func (*failing) Helper() {}

func (f *failing) Fatalf(string, ...any) {
	f.failed = true
	runtime.Goexit()
}

// enterAll enters what each role can enter, by pages and by JSON, and returns it.
func enterAll(t *testing.T, h *house) (values []string) {
	t.Helper()
	keep := func(value string) string {
		values = append(values, value)
		return value
	}
	post := func(c *caller, path string, form url.Values, status int) string {
		t.Helper()
		got, answer := c.send("POST", path, "application/x-www-form-urlencoded", form.Encode())
		require.Equal(t, status, got, path)
		return answer
	}
	cookies := func(c *caller) {
		for _, cookie := range c.http.Jar.Cookies(must(url.Parse(h.url))) {
			keep(cookie.Value)
		}
	}
	keep(seed.Password)

	// The clerk: a page's form, refused and then taken, and JSON.
	clerk := call(t, h, "clerk-budi")
	form := url.Values{"name": {keep("Kirana Rekawati")}, "nik": {keep("317101431290")}, "phone": {"0812 0000 7711"}, "born": {"1990-12-03"}, "sex": {"female"},
		"address": {keep("Jalan Kebocoran 17, Depok")}, "allergies": {keep("Cephalexin-allergy")}, "choice": {"treatment", "hiv", "counselling", "research"}, "sure": {"yes"}}
	post(clerk, "/clerk/register", form, http.StatusUnprocessableEntity)
	form.Set("nik", keep("3171014312900011"))
	values = append(values, "0812 0000 7711", "081200007711", "+6281200007711")
	post(clerk, "/clerk/register", form, http.StatusSeeOther)
	portal := asked[map[string]string](clerk, "POST", "/api/clerk/register", object{"name": keep("Ratih Karangan"), "nik": keep("3171014312900022"), "phone": keep("+6281200007722"), "born": "1990-12-03", "sex": "female",
		"address": keep("Gang Rahasia 22, Bogor"), "allergies": []string{keep("Tetracycline-allergy")}, "choices": []string{"treatment", "hiv", "counselling"}}, http.StatusCreated)
	require.Eventually(t, func() bool {
		for _, a := range asked[[]object](clerk, "GET", "/api/clerk/sent", nil, http.StatusOK) {
			if a["state"] != "received" {
				return false
			}
		}
		return true
	}, wait, tick)
	cookies(clerk)

	// The doctor: searches, a visit by page and by JSON, files, an emergency.
	doctor := call(t, h, "dr-ayu")
	post(doctor, "/doctor/search", url.Values{"field": {"NIK"}, "value": {keep("9999994312909999")}}, http.StatusOK)
	post(doctor, "/doctor/search", url.Values{"field": {"Phone"}, "value": {keep("081299998888")}}, http.StatusOK)
	id := asked[[]object](doctor, "POST", "/api/doctor/search", object{"field": "NIK", "value": "3171014312900022"}, http.StatusOK)[0]["id"].(string)
	chart := "/doctor/patients/" + id
	post(doctor, chart+"/visits", url.Values{"complaint": {keep("Whistling ears since Thursday")}, "diagnosis": {keep("H93.1 Tinnitus-leak")}, "notes": {keep("Audiogram ordered, worried")},
		"serology": {keep("HIV-1/2 reactive, leak probe")}, "counselling": {keep("Speaks of her sister's death")}}, http.StatusSeeOther)
	asked[object](doctor, "POST", "/api"+chart+"/visits", object{"complaint": keep("Cannot sleep on trains"), "diagnosis": keep("G47.0 Insomnia-leak"), "notes": keep("Melatonin tried twice")}, http.StatusCreated)
	_, page := doctor.send("GET", chart, "", "")
	post(doctor, chart+"/update", url.Values{"revision": {between(page, `name="revision" value="`, `"`)}, "allergies": {keep("Bee-venom-leak")}, "conditions": {keep("M35.0 Sicca-leak")}}, http.StatusSeeOther)
	for name, file := range map[string][2]string{"Probe ECG of Ratih": {"seed/data/100_1min.hea", "seed/data/100_1min.dat"}, "Probe letter of Ratih": {"", "seed/data/CDA_with_Embedded_PDF.pdf"}} {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		require.NoError(t, w.WriteField("name", keep(name)))
		if file[0] != "" {
			require.NoError(t, w.WriteField("header", string(must(os.ReadFile(file[0])))))
		}
		content := must(os.ReadFile(file[1]))
		_, err := must(w.CreateFormFile("content", "probe")).Write(content)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		status, _ := doctor.send("POST", chart+"/files", w.FormDataContentType(), body.String())
		require.Equal(t, http.StatusSeeOther, status)
		for _, at := range []int{0, len(content) / 2, len(content) - 48} { // also where chunks of it begin
			keep(string(content[at : at+48]))
		}
	}
	values = append(values, "212 200 11 1024", "%PDF-1.") // of the header, and what a PDF begins with
	unasked := "/doctor/patients/" + user(t, h, "p-0003").Patient
	post(doctor, unasked+"/emergency", url.Values{"justification": {keep("Unconscious beside the Ciliwung")}}, http.StatusSeeOther)
	status, _ := doctor.send("GET", unasked, "", "")
	require.Equal(t, http.StatusOK, status)
	cookies(doctor)

	// The patient, by the portal's password; and one who is mistaken.
	keep(portal["password"])
	self := callWith(t, h, portal["name"], portal["password"])
	post(self, "/password", url.Values{"password": {portal["password"]}, "new": {keep("her-own-password-5")}, "again": {"her-own-password-5"}}, http.StatusSeeOther)
	post(self, "/login", url.Values{"name": {portal["name"]}, "password": {keep("not-her-password-9")}}, http.StatusUnauthorized)
	post(self, "/patient/choices", url.Values{"key": {"research"}, "allow": {"yes"}}, http.StatusSeeOther)
	post(self, "/patient/receipt", url.Values{"id": {keep("a receipt of nobody's")}}, http.StatusNotFound)
	post(self, "/patient/erasure", url.Values{"ask": {"yes"}}, http.StatusSeeOther)
	for _, path := range []string{"/patient", "/patient/history", "/patient/records.json", "/patient/proof.json"} {
		status, _ := self.send("GET", path, "", "")
		require.Equal(t, http.StatusOK, status, path)
	}
	cookies(self)

	// The researcher: two tables, one refused.
	researcher := call(t, h, "ui-citra")
	table := asked[object](researcher, "GET", "/api/me", nil, http.StatusOK)
	require.Equal(t, "researcher", table["role"])
	post(researcher, "/researcher/table", url.Values{"of": {"patients"}, "purpose": {"HRESCH"}, "k": {"11"}}, http.StatusSeeOther)
	post(researcher, "/researcher/table", url.Values{"of": {keep("patients of Ratih")}, "purpose": {"HRESCH"}, "k": {"11"}}, http.StatusUnprocessableEntity)
	cookies(researcher)

	// The officer: keys, an emergency's review, an incident, a leak.
	officer := call(t, h, "dpo-dewi")
	post(officer, "/officer/keys", url.Values{"do": {"rotate"}, "keyset": {"identity"}}, http.StatusSeeOther)
	_, page = officer.send("GET", "/officer/reviews", "", "")
	post(officer, "/officer/reviews", url.Values{"decision": {between(page, `name="decision" value="`, `"`)}, "justified": {"yes"}, "note": {keep("The ward's book names Kirana")}}, http.StatusSeeOther)
	post(officer, "/officer/incident", url.Values{"text": {keep("pasted by mistake: Ratih")}}, http.StatusUnprocessableEntity)
	post(officer, "/officer/audit", url.Values{"do": {"compare"}, "checkpoint": {keep("no checkpoint at all")}}, http.StatusOK)
	for _, path := range []string{"/officer", "/officer/thief", "/officer/audit", "/officer/incident?actor=" + url.QueryEscape(keep("dr-nobody-here")), "/officer/thief?patient=" + url.QueryEscape(keep("a patient of nobody's"))} {
		status, _ := officer.send("GET", path, "", "")
		require.Less(t, status, 500, path)
	}
	cookies(officer)

	// What the seed entered.
	all, err := h.clinic.Chart(t.Context(), user(t, h, "dr-ayu"), user(t, h, "p-0001").Patient, clinic.Why{})
	require.NoError(t, err)
	p := all.Patient
	values = append(values, p.Name, p.NIK, p.Phone, p.Address)
	for _, v := range all.Visits {
		values = append(values, v.Complaint, v.Diagnosis, v.Notes)
	}
	return values
}

// callWith is call with another password than the seeded accounts'.
func callWith(t *testing.T, h *house, name, password string) *caller {
	t.Helper()
	c := visitor(t, h)
	status, _ := c.send("POST", "/login", "application/x-www-form-urlencoded", url.Values{"name": {name}, "password": {password}}.Encode())
	require.Equal(t, http.StatusSeeOther, status)
	return c
}

func between(text, from, to string) string {
	_, text, _ = strings.Cut(text, from)
	text, _, _ = strings.Cut(text, to)
	return text
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// dump writes all rows of all tables into a file: what lies over several pages of a
// database's file lies in one piece there.
func dump(t *testing.T, h *house, dir string) string {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, "dump"))
	require.NoError(t, err)
	tables := 0
	if h.postgres != "" {
		tables = dumpDatabase(t, out, "pgx", h.postgres, `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`)
	} else {
		files, err := filepath.Glob(filepath.Join(h.dir, "*.db"))
		require.NoError(t, err)
		more, err := filepath.Glob(filepath.Join(h.dir, "*", "*.db"))
		require.NoError(t, err)
		for _, file := range append(files, more...) {
			tables += dumpDatabase(t, out, "sqlite", file, `SELECT '"' || name || '"' FROM sqlite_master WHERE type = 'table'`)
		}
	}
	require.NoError(t, out.Close())
	require.Greater(t, tables, 12, "of the clinic, of keys, of consents")
	return out.Name()
}

func dumpDatabase(t *testing.T, out *os.File, driver, dsn, names string) (tables int) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	for _, name := range column(t, db, names) {
		rows, err := db.QueryContext(t.Context(), `SELECT * FROM `+name)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			row := make([]any, len(columns))
			for i := range row {
				row[i] = new(any)
			}
			require.NoError(t, rows.Scan(row...))
			for _, cell := range row {
				switch v := (*cell.(*any)).(type) {
				case []byte:
					_, err = out.Write(v)
				case time.Time:
				default:
					_, err = fmt.Fprintln(out, v)
				}
				require.NoError(t, err)
			}
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		tables++
	}
	return tables
}

func column(t *testing.T, db *sql.DB, query string) (out []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	return out
}
