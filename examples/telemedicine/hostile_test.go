package main

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// An address is one of the program's: whose it is, and the fields of its form.
type address struct {
	role   string // empty: everybody's
	fields string
	json   bool // its form is JSON
}

// addresses are all of the program's. TestHostileRoutes fails when one is missing.
func addresses() map[string]address {
	const chart, api = "/doctor/patients/{id}", "/api/doctor/patients/{id}"
	const person = "name nik phone born sex address allergies choice sure"
	all := map[string]address{
		"/": {}, "/api/": {}, "GET /{$}": {}, "GET /login": {}, "POST /login": {fields: "name password"}, "GET /password": {}, "POST /password": {fields: "password new again"}, "POST /logout": {}, "POST /language": {fields: "lang back"},
		"GET /notice": {}, "GET /notice.txt": {fields: "lang"}, "GET /keys.json": {}, "GET /api/me": {},
		"GET /doctor/search": {}, "GET " + chart + "/visits": {}, "GET " + chart + "/update": {}, "GET " + chart + "/emergency": {}, "GET " + chart + "/files": {},
	}
	of := func(role string, some map[string]address) {
		for pattern, a := range some {
			a.role = role
			all[pattern] = a
		}
	}
	of(clinic.Doctor, map[string]address{
		"GET /doctor": {}, "POST /doctor/search": {fields: "field value justification"}, "GET " + chart: {},
		"POST " + chart + "/visits":    {fields: "complaint diagnosis notes serology counselling"},
		"POST " + chart + "/update":    {fields: "revision allergies conditions"},
		"POST " + chart + "/emergency": {fields: "justification"}, "POST " + chart + "/emergency/end": {},
		"POST " + chart + "/files": {fields: "name header content"}, "GET " + chart + "/files/{file}": {fields: "part"}, "GET " + chart + "/files/{file}/download": {},
		"POST /api/doctor/search": {fields: "field value justification", json: true}, "GET " + api: {},
		"POST " + api + "/visits":    {fields: "complaint diagnosis notes serology counselling", json: true},
		"POST " + api + "/emergency": {fields: "justification", json: true},
	})
	of(clinic.Clerk, map[string]address{
		"GET /clerk": {}, "GET /clerk/register": {}, "POST /clerk/register": {fields: person}, "GET /clerk/sent/{id}": {},
		"POST /api/clerk/register": {fields: "name nik phone born sex address", json: true}, "GET /api/clerk/sent": {},
	})
	of(clinic.Self, map[string]address{
		"GET /patient": {}, "GET /patient/history": {fields: "own"}, "GET /patient/choices": {fields: "said"}, "POST /patient/choices": {fields: "key allow"},
		"POST /patient/receipt": {fields: "id"}, "GET /patient/rights": {}, "GET /patient/records.json": {}, "GET /patient/proof.json": {}, "POST /patient/erasure": {fields: "ask"},
		"GET /patient/files/{file}": {fields: "part"}, "GET /patient/files/{file}/download": {},
		"GET /api/patient/records": {}, "GET /api/patient/history": {}, "GET /api/patient/choices": {}, "POST /api/patient/choices": {fields: "key allow"}, "POST /api/patient/erasure": {fields: "ask"},
	})
	of(clinic.Researcher, map[string]address{
		"GET /researcher": {}, "POST /researcher/table": {fields: "of purpose k keep"}, "GET /researcher/table/{id}": {}, "GET /researcher/table/{id}/csv": {},
		"GET /api/researcher/tables": {}, "POST /api/researcher/tables": {fields: "of purpose k keep"}, "GET /api/researcher/tables/{id}": {},
	})
	of(clinic.Officer, map[string]address{
		"GET /officer": {fields: "by"}, "GET /officer/thief": {fields: "patient"}, "GET /officer/keys": {}, "POST /officer/keys": {fields: "do keyset version"},
		"GET /officer/audit": {fields: "actor action outcome"}, "POST /officer/audit": {fields: "do checkpoint"}, "GET /officer/audit/checkpoint": {},
		"GET /officer/reviews": {fields: "done"}, "POST /officer/reviews": {fields: "decision justified note"},
		"GET /officer/incident": {fields: "actor recipient from until found"}, "POST /officer/incident": {fields: "text file"},
		"GET /officer/erasures": {}, "POST /officer/erasures": {fields: "patient do until basis"},
		"GET /api/officer/overview": {}, "GET /api/officer/keys": {}, "GET /api/officer/keys/move": {}, "GET /api/officer/incident": {fields: "actor recipient from until found"},
		"POST /api/officer/leak": {fields: "text file"}, "POST /api/officer/verify": {},
	})
	return all
}

// accounts are who signs in for each role.
func accounts() map[string]string {
	return map[string]string{clinic.Doctor: "dr-ayu", clinic.Clerk: "clerk-budi", clinic.Self: "p-0001", clinic.Researcher: "ui-citra", clinic.Officer: "dpo-dewi"}
}

const (
	formKind = "application/x-www-form-urlencoded"
	jsonKind = "application/json"
)

// probe is in each hostile text, and must be in no log.
const probe = "zq7probe"

// texts are what is put into each field and each id.
func texts() map[string]string {
	return map[string]string{
		"script": probe + `"><script>owned=1</script><img src=x onerror=owned=1>`, "template": probe + `{{.}}${7*7}`,
		"sql": probe + `' OR '1'='1'; DROP TABLE patients; --`, "traversal": probe + `/../../../../etc/passwd`, "header": probe + "\r\nSet-Cookie: clinic=x",
		"nul": probe + "\x00", "no UTF-8": probe + "\xff\xfe", "long": probe + strings.Repeat("ä", 30_000), "number": "-9223372036854775809", "empty": "",
	}
}

// split is a pattern's method and path.
func split(pattern string) (method, path string) {
	method, path, found := strings.Cut(pattern, " ")
	if !found {
		return "GET", pattern
	}
	return method, strings.TrimSuffix(path, "{$}")
}

func withIDs(path, id string) string {
	id = url.PathEscape(id)
	return strings.NewReplacer("{id}", id, "{file}", id).Replace(path)
}

// tried is an answer to a request made by hand.
func (c *caller) tried(method, path, body string, header ...string) (int, http.Header, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, strings.NewReader(body))
	require.NoError(c.t, err, path)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.http.Do(r)
	require.NoError(c.t, err, path)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(c.t, err)
	return answer.StatusCode, answer.Header, string(text)
}

// TestHostileRoutes: each address is in the table; whoever is not signed in, of
// another role, or sent by another site reaches none.
func TestHostileRoutes(t *testing.T) {
	h := open(t, "", 4)
	all := addresses()
	var known []string
	for pattern := range all {
		known = append(known, pattern)
	}
	require.ElementsMatch(t, h.pages.Routes(), known, "the table of addresses")
	stranger, as := visitor(t, h), map[string]*caller{}
	for role, name := range accounts() {
		as[role] = call(t, h, name)
	}
	stale := call(t, h, "dr-ayu")
	cookie := stale.http.Jar.Cookies(must(url.Parse(h.url)))[0]
	status, _ := stale.send("POST", "/logout", formKind, "")
	require.Equal(t, http.StatusSeeOther, status)

	for pattern, a := range all {
		method, path := split(pattern)
		path = withIDs(path, "nobody")
		if method == "POST" {
			for _, from := range [][]string{nil, {"Origin", "http://elsewhere.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", h.url + ".example"}} {
				c := stranger
				if a.role != "" {
					c = as[a.role]
				}
				status, _, _ := c.tried("POST", path, "", from...)
				require.Equal(t, http.StatusForbidden, status, "%s from %v", pattern, from)
			}
		}
		for _, wrong := range []string{"PUT", "DELETE", "PATCH", "TRACE", "QUERY", "OPTIONS"} {
			status, _, _ := stranger.tried(wrong, path, "", "Origin", h.url)
			require.Contains(t, []int{404, 405}, status, "%s %s", wrong, path)
		}
		if a.role == "" {
			continue
		}
		door := func(name string, header ...string) {
			t.Helper()
			status, answer, _ := stranger.tried(method, path, "", append(header, "Origin", h.url)...)
			if strings.HasPrefix(path, "/api/") {
				require.Equal(t, http.StatusUnauthorized, status, "%s: %s", pattern, name)
			} else {
				require.Equal(t, []any{http.StatusSeeOther, "/login"}, []any{status, answer.Get("Location")}, "%s: %s", pattern, name)
			}
		}
		door("nobody")
		for name, value := range map[string]string{"signed out": cookie.Value, "changed": cookie.Value[1:] + "A", "empty": "", "a name": "dr-ayu", "junk": strings.Repeat("A", 4000), "sql": "' OR 1=1 --"} {
			door(name, "Cookie", "clinic="+url.QueryEscape(value))
		}
		for role, c := range as {
			if role == a.role {
				continue
			}
			status, _, _ := c.tried(method, path, "", "Origin", h.url)
			require.Equal(t, http.StatusForbidden, status, "%s as %s", pattern, role)
		}
	}
}

// TestHostileInput: whatever is put into an address, a form or a body is refused or
// lies there inert: it is no error of the server's, and in no log. What no database
// gets to see is tried on SQLite alone.
func TestHostileInput(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		hostileInput(t, open(t, "", 4))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		hostileInput(t, open(t, database(t), people))
	})
}

func hostileInput(t *testing.T, h *house) {
	t.Helper()
	as := map[string]*caller{"": visitor(t, h)}
	for role, name := range accounts() {
		as[role] = call(t, h, name)
	}
	patient := user(t, h, "p-0002").Patient // another's than the one who is signed in
	all := addresses()
	delete(all, "POST /logout")
	// The officer's first: they read the whole log, which each try makes longer.
	officer := func(pattern string) int {
		if all[pattern].role == clinic.Officer {
			return 0
		}
		return 1
	}
	for _, pattern := range slices.SortedFunc(maps.Keys(all), func(p, q string) int {
		return cmp.Or(cmp.Compare(officer(p), officer(q)), strings.Compare(p, q))
	}) {
		a := all[pattern]
		method, path := split(pattern)
		c := as[a.role]
		try := func(what, path, kind, body string) {
			t.Helper()
			header := []string{"Origin", h.url, "Accept-Language", "en"}
			if kind != "" {
				header = append(header, "Content-Type", kind)
			}
			status, answered, answer := c.tried(method, path, body, header...)
			require.Less(t, status, 500, "%s: %s", pattern, what)
			require.NotContains(t, answer, "<script>owned", "%s: %s", pattern, what)
			require.NotContains(t, answer, "<img src=x", "%s: %s", pattern, what)
			require.NotContains(t, answer, "root:x:", "%s: %s", pattern, what)
			for _, set := range answered["Set-Cookie"] {
				require.NotRegexp(t, `clinic=x(;|$)`, set, "%s: %s", pattern, what)
			}
			if to := answered.Get("Location"); to != "" {
				require.Regexp(t, `^/([^/\\]|$)`, to, "%s: %s", pattern, what)
			}
		}
		for name, text := range texts() {
			if strings.Contains(path, "{") && len(text) < 4096 {
				try(name+" as id", withIDs(path, text), formKind, "")
			}
			for field := range strings.FieldsSeq(a.fields) {
				form := url.Values{field: {text}}
				what, at := name+" in "+field, withIDs(path, patient)
				switch {
				case method == "GET" && len(text) < 4096:
					try(what, at+"?"+form.Encode(), "", "")
				case a.json:
					try(what, at, jsonKind, `{"`+field+`":`+quoted(text)+`}`)
					try(what, at, jsonKind, `{"`+field+`":"`+probe+`\u0000"}`)
				case method == "POST":
					try(what, at, formKind, form.Encode())
					if hashes(path) {
						continue
					}
					try(what, at, formKind, filled(a.fields, field, text))
					if h.postgres != "" {
						continue
					}
					try(what, at, "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\""+field+"\"\r\n\r\n"+text+"\r\n--b--\r\n")
				}
			}
		}
		if method != "POST" || h.postgres != "" {
			continue
		}
		at := withIDs(path, patient)
		for _, kind := range []string{"", formKind, jsonKind, "multipart/form-data", "multipart/form-data; boundary=b", "multipart/form-data; boundary=" + strings.Repeat("b", 200), "application/cbor", "%%", "text/html; charset=\xff"} {
			if hashes(path) && kind != formKind {
				continue // one function reads the bodies of all addresses
			}
			for what, body := range map[string]string{
				"nothing": "", "escape": "a=%zz&" + probe, "cut JSON": `{"` + probe, "deep JSON": strings.Repeat("[", 20_000), "wrong JSON": `{"value":{"` + probe + `":[1e999]}}`, "list": "[]", "null": "null",
				"CBOR": "\xbf\x61a\x9f\xff\xff" + probe, "cut parts": "--b\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\n%PDF-1.7" + probe, "no end": "--b\r\n" + probe, "bare": "--b--", "many": strings.Repeat("a=b&", 20_000),
			} {
				try(what+" as "+kind, at, kind, body)
			}
		}
		status, _, _ := c.tried(method, at, "name="+strings.Repeat("x", 2<<20), "Origin", h.url, "Content-Type", formKind)
		require.Equal(t, http.StatusRequestEntityTooLarge, status, "%s: too large", pattern)
	}
	// And once more, now that they show what was tried.
	for pattern, a := range all {
		if method, path := split(pattern); method == "GET" {
			status, _, answer := as[a.role].tried(method, withIDs(path, patient), "", "Accept-Language", "en")
			require.Less(t, status, 500, pattern)
			require.NotContains(t, answer, "<script>owned", pattern)
			require.NotContains(t, answer, "<img src=x", pattern)
		}
	}
	require.NotContains(t, h.logs.String(), probe)
	require.NotContains(t, h.logs.String(), "panic")
}

// hashes reports whether each try at an address costs a password's hash, of a tenth
// of a second on two cores.
func hashes(path string) bool { return path == "/login" || path == "/password" }

// filled is a form whose other fields hold what fits.
func filled(fields, field, text string) string {
	fit := map[string]string{
		"name": "Nama Rekaan", "nik": "3171014312900033", "phone": "081200007733", "born": "1990-12-03", "sex": "female", "address": "Jalan Rekaan", "choice": "treatment", "sure": "yes", "field": "Phone", "value": "0812",
		"complaint": "Cough", "diagnosis": "R05 Cough", "of": "patients", "purpose": "HRESCH", "k": "11", "key": "research", "allow": "yes", "do": "rotate", "keyset": "nothing", "justified": "yes", "note": "Seen.", "lang": "en",
	}
	form := url.Values{}
	for f := range strings.FieldsSeq(fields) {
		form.Set(f, fit[f])
	}
	form.Set(field, text)
	return form.Encode()
}

// TestHostileOther: with another patient's ids a patient reaches nothing, and a
// researcher no other institution's table.
func TestHostileOther(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		other := user(t, h, "p-0002").Patient
		self := call(t, h, "p-0001")
		receipts := between(mustSend(t, call(t, h, "p-0002"), "/patient/choices"), `name="id" value="`, `"`)
		require.NotEmpty(t, receipts)
		// Consents have names that are the same for each patient: one asks for one's own.
		for _, form := range []url.Values{{"id": {other}}, {"id": {receipts + "/" + other}}, {"id": {"../" + receipts}}} {
			status, answer := self.send("POST", "/patient/receipt", formKind, form.Encode())
			require.Equal(t, http.StatusNotFound, status)
			require.NotContains(t, answer, other)
		}
		for _, path := range []string{"/patient", "/patient/history", "/patient/records.json", "/patient/proof.json", "/api/patient/records", "/api/patient/history", "/patient/rights"} {
			require.NotContains(t, mustSend(t, self, path+"?patient="+other+"&id="+other+"&subject="+other), `"`+other, path)
		}
		ui, itb := call(t, h, "ui-citra"), call(t, h, "itb-eko")
		made := asked[object](ui, "POST", "/api/researcher/tables", nil, http.StatusUnprocessableEntity)
		require.Equal(t, "input", made["error"])
		status, answer, _ := ui.tried("POST", "/researcher/table", "of=patients&purpose=HRESCH&k=11", "Origin", h.url, "Content-Type", formKind)
		require.Equal(t, http.StatusSeeOther, status)
		table := answer.Get("Location")
		require.Contains(t, mustSend(t, ui, table), "ui-2026")
		for _, path := range []string{table, table + "/csv", strings.Replace(table, "/researcher/table/", "/api/researcher/tables/", 1)} {
			status, _ := itb.send("GET", path, "", "")
			require.Equal(t, http.StatusNotFound, status, path)
		}
		// A file's id opens it with its patient's alone.
		doctor := call(t, h, "dr-ayu")
		file := between(mustSend(t, doctor, "/doctor/patients/"+user(t, h, "p-0001").Patient), "/files/", `"`)
		require.NotEmpty(t, file)
		for _, end := range []string{"", "/download"} {
			status, _ = doctor.send("GET", "/doctor/patients/"+other+"/files/"+file+end, "", "")
			require.Equal(t, http.StatusNotFound, status)
			status, _ = call(t, h, "p-0002").send("GET", "/patient/files/"+file+end, "", "")
			require.Equal(t, http.StatusNotFound, status)
		}
	})
}

func mustSend(t *testing.T, c *caller, path string) string {
	t.Helper()
	status, answer := c.send("GET", path, "", "")
	require.Equal(t, http.StatusOK, status, path)
	return answer
}

// TestBrowserHostile enters scripts into every text of a patient and shows them on
// every page that has them: they are read and do not run.
func TestBrowserHostile(t *testing.T) {
	h := open(t, "", 4)
	script := func(where string) string {
		return where + `"'><script>owned=1</script><img src=x onerror=owned=1><svg onload=owned=1>{{.}}`
	}
	portal, err := h.clinic.Branch().Register(t.Context(), &clinic.Patient{
		NIK: "3171014312900044", Phone: "081200007744", Sex: "female", Born: time.Date(1990, 12, 3, 0, 0, 0, 0, time.UTC),
		Name: script("Nama"), Address: script("Alamat"), Allergies: []string{script("Alergi")},
	}, []string{"treatment", "hiv", "counselling", "showcase"})
	require.NoError(t, err)
	require.NoError(t, h.clinic.Receive(t.Context()))
	id := user(t, h, portal.Name).Patient
	doctor := call(t, h, "dr-ayu")
	chart := "/doctor/patients/" + id
	form := url.Values{}
	for _, field := range []string{"complaint", "diagnosis", "notes", "serology", "counselling"} {
		form.Set(field, script(field))
	}
	status, _ := doctor.send("POST", chart+"/visits", formKind, form.Encode())
	require.Equal(t, http.StatusSeeOther, status)
	status, _ = doctor.send("POST", chart+"/emergency", formKind, url.Values{"justification": {script("Darurat")}}.Encode())
	require.Equal(t, http.StatusSeeOther, status)
	mustSend(t, doctor, chart)

	b := openBrowser(t, h)
	inert := func(path string, texts ...string) {
		t.Helper()
		b.open(path)
		for _, text := range texts {
			b.sees(script(text))
		}
		require.Equal(t, "undefined", js[string](b, `typeof owned`), path)
	}
	b.signIn("dr-ayu")
	inert(chart, "Nama", "Alamat", "Alergi", "complaint", "diagnosis", "notes", "serology", "counselling")
	b.click(`form[action="/logout"] button`)
	b.open("/login")
	b.fill(`input[name=name]`, portal.Name)
	b.fill(`input[name=password]`, portal.Password)
	b.click(`form[action="/login"] button`)
	for field, text := range map[string]string{"password": portal.Password, "new": portal.Password + "-mine", "again": portal.Password + "-mine"} {
		b.fill(`input[name=`+field+`]`, text)
	}
	b.click(`form[action="/password"] button`)
	inert("/patient", "Nama", "Alamat", "Alergi", "complaint", "diagnosis", "notes", "serology", "counselling")
	inert("/patient/history")
	b.click(`form[action="/logout"] button`)
	b.signIn("dpo-dewi")
	inert("/officer/reviews", "Darurat")
	inert("/officer/thief?patient="+id, "Nama", "complaint")
	inert("/officer/audit?actor=" + url.QueryEscape(script("Aktor")))
	inert("/officer/incident?actor=" + url.QueryEscape(script("Aktor")))
	b.quiet()
}

// TestHostileSession: who signs in where somebody else sat has nothing of theirs, an
// emergency is of somebody who exists, and no address leads to another host.
func TestHostileSession(t *testing.T) {
	h := open(t, "", 4)
	rows, err := h.clinic.ToShow(t.Context(), user(t, h, "dpo-dewi"), 9)
	require.NoError(t, err)
	doctor, opened, refused := call(t, h, "dr-ayu"), "", ""
	for _, p := range rows {
		if status, _ := doctor.send("GET", "/doctor/patients/"+p.ID, "", ""); status == http.StatusForbidden {
			refused = "/doctor/patients/" + p.ID
		} else {
			opened = p.ID
		}
	}
	require.NotEmpty(t, refused)
	require.NotEmpty(t, opened)
	status, _ := doctor.send("POST", refused+"/emergency", formKind, "justification=Unconscious+after+a+fall")
	require.Equal(t, http.StatusSeeOther, status)
	mustSend(t, doctor, refused)
	status, _ = doctor.send("POST", "/login", formKind, url.Values{"name": {"dr-bima"}, "password": {seed.Password}}.Encode())
	require.Equal(t, http.StatusSeeOther, status)
	require.Contains(t, mustSend(t, doctor, "/api/me"), "dr-bima")
	status, _ = doctor.send("GET", refused, "", "")
	require.Equal(t, http.StatusForbidden, status, "the other doctor's justification")

	status, _ = doctor.send("POST", "/doctor/patients/nobody/emergency", formKind, "justification=Unconscious+after+a+fall")
	require.Equal(t, http.StatusNotFound, status)

	for _, back := range []string{"//elsewhere.example", "/\t/elsewhere.example", "/\\elsewhere.example", "https://elsewhere.example", "/\n/elsewhere.example", ""} {
		status, answer, _ := doctor.tried("POST", "/language", url.Values{"lang": {"en"}, "back": {back}}.Encode(), "Origin", h.url, "Content-Type", formKind)
		require.Equal(t, http.StatusSeeOther, status)
		require.Equal(t, "/", answer.Get("Location"), "%q", back)
	}
	status, _ = doctor.send("GET", "/static/", "", "")
	require.Equal(t, http.StatusNotFound, status)
	status, answer, _ := doctor.tried("GET", "/static/style.css", "")
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, answer["Set-Cookie"], "a cache may keep it, and with it the session")
}
