package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// The telephones of the seeded patients of the tour.
const (
	allowsAll   = "0810 0000 0100"
	holdsBack   = "0810 0000 0101"
	neverAsked  = "+62 810-0000-0102" // written otherwise than it was entered
	nobodyHasIt = "0810 0000 9999"
)

// find searches by telephone.
func (b *tab) find(phone string) {
	b.t.Helper()
	b.open("/doctor")
	b.do(chromedp.Click(`input[value=Phone]`))
	b.fill(`input[name=value]`, phone)
	b.click(`form[action="/doctor/search"] button`)
	require.NotContains(b.t, js[string](b, `location.href`), "0810", "an identifier in an address")
}

// unfold opens the form of a summary's details.
func (b *tab) unfold(form string) {
	b.t.Helper()
	b.do(chromedp.Click(`details:has(` + form + `) > summary`))
}

func TestBrowserDoctor(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("dr-ayu")
		b.look("doctor-home")

		b.expect("422")
		b.fill(`input[name=value]`, "3171")
		b.click(`form[action="/doctor/search"] button`)
		b.sees("A NIK has 16 digits")
		require.Equal(t, "3171", js[string](b, `document.querySelector("input[name=value]").value`))
		b.look("doctor-find-refused")
		b.find(nobodyHasIt)
		b.sees("Nobody has this number here")

		b.find(allowsAll)
		b.sees("Found: 1", "Panji")
		b.look("doctor-found")
		b.click(`.found a`)
		b.sees("Jalan Rekaan", "Consultations", "ECG at rest")
		require.NotContains(t, b.text(), "withheld")
		b.look("doctor-chart")
		require.NotContains(t, js[string](b, `document.title`), "Panji", "a name in the browser's history")

		nik := js[string](b, `[...document.querySelectorAll(".person .mono")][0].innerText`)
		b.open("/doctor")
		b.fill(`input[name=value]`, nik[:6]+" "+nik[6:])
		b.click(`form[action="/doctor/search"] button`)
		b.sees("Found: 1")
	})
}

func TestBrowserDoctorWrites(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("dr-ayu")
		b.find(allowsAll)
		b.click(`.found a`)

		const inert = `<script>document.title="owned"</script><img src=x onerror="document.title='owned'">`
		b.unfold(`form[action$="/visits"]`)
		b.fill(`textarea[name=complaint]`, "Coughs since Monday "+inert)
		b.fill(`input[name=diagnosis]`, "J06.9 Upper respiratory infection")
		b.fill(`textarea[name=notes]`, "Fluids.\nRest.")
		b.fill(`input[name=serology]`, "HIV-1/2 non-reactive")
		b.click(`form[action$="/visits"] button`)
		b.sees("Coughs since Monday", inert, "J06.9", "Fluids.\nRest.", "HIV-1/2 non-reactive")
		require.NotEqual(t, "owned", js[string](b, `document.title`))
		b.look("doctor-visit")

		// What was not taken is still in its form.
		b.expect("422")
		b.unfold(`form[action$="/visits"]`)
		b.fill(`textarea[name=notes]`, "half an hour of typing")
		js[int](b, `document.querySelectorAll("[required]").forEach(e => e.required = false), 0`)
		b.click(`form[action$="/visits"] button`)
		b.sees("needs a complaint and a diagnosis")
		require.Equal(t, "half an hour of typing", js[string](b, `document.querySelector("textarea[name=notes]").value`))
		b.look("doctor-visit-refused")

		// Two doctors change the same record: the second is told.
		b.open(js[string](b, `location.pathname.replace("/visits", "")`))
		b.expect("409")
		b.unfold(`form[action$="/update"]`)
		chart := js[string](b, `location.pathname`)
		stale := js[string](b, `document.querySelector("input[name=revision]").value`)
		b.fill(`textarea[name=allergies]`, "Latex\nBee stings\n")
		b.click(`form[action$="/update"] button`)
		b.sees("Bee stings", "Latex")
		b.unfold(`form[action$="/update"]`)
		js[int](b, `document.querySelector("input[name=revision]").value = "`+stale+`", 0`)
		b.fill(`textarea[name=allergies]`, "None")
		b.click(`form[action$="/update"] button`)
		b.sees("Somebody else has changed this record", "Bee stings")
		b.open(chart)
		b.sees("Bee stings")
		b.quiet()
	})
}

func TestBrowserDoctorFiles(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("dr-ayu")
		b.find(allowsAll)
		b.click(`.found a`)
		chart := js[string](b, `location.pathname`)

		b.click(`.files .ecg a`)
		b.sees("ECG at rest", "25 mm/s", "0–10 s", "50–60 s")
		first := js[string](b, `document.querySelector(".trace").getAttribute("points")`)
		b.look("doctor-ecg")
		b.click(`.parts a:last-child`)
		require.NotEqual(t, first, js[string](b, `document.querySelector(".trace").getAttribute("points")`))
		b.expect("404")
		b.open(js[string](b, `location.pathname`) + "?part=7")
		b.sees("Nothing here")

		// A PDF comes as nothing else, in a sandbox.
		b.open(chart)
		pdf := js[string](b, `document.querySelector(".files .pdf a").getAttribute("href")`)
		require.Equal(t, "application/pdf|nosniff|sandbox; default-src 'none'; frame-ancestors 'none'|%PDF-|143710", js[string](b,
			`fetch("`+pdf+`").then(async r => [...["content-type", "x-content-type-options", "content-security-policy"].map(h => r.headers.get(h)), ...(await r.arrayBuffer().then(a => [String.fromCharCode(...new Uint8Array(a).slice(0, 5)), a.byteLength]))].join("|"))`))

		data, err := filepath.Abs("seed/data")
		require.NoError(t, err)
		b.unfold(`form[enctype]`)
		b.upload(`form:has(input[name=header])`, "Second ECG", map[string]string{"header": data + "/100_1min.hea", "content": data + "/100_1min.dat"})
		b.sees("Second ECG")
		b.unfold(`form[enctype]`)
		b.upload(`form[enctype]:not(:has(input[name=header]))`, "Laboratory", map[string]string{"content": data + "/CDA_with_Embedded_PDF.pdf"})
		b.sees("Laboratory")

		// What only calls itself a PDF is refused, and so are samples of another header.
		b.expect("422")
		page := filepath.Join(t.TempDir(), "page.pdf")
		require.NoError(t, os.WriteFile(page, []byte("<script>alert(1)</script>"), 0o600))
		b.unfold(`form[enctype]`)
		b.upload(`form[enctype]:not(:has(input[name=header]))`, "Trojan", map[string]string{"content": page})
		b.sees("This is neither a PDF nor an ECG")
		b.look("doctor-file-refused")
		b.open(chart)
		b.unfold(`form[enctype]`)
		b.upload(`form:has(input[name=header])`, "Trojan", map[string]string{"header": data + "/100_1min.hea", "content": page})
		b.sees("This is neither a PDF nor an ECG")
		require.NotContains(t, b.text(), "Trojan")
		b.quiet()

		parts, err := filepath.Glob(filepath.Join(h.dir, "objects", "*.part"))
		require.NoError(t, err)
		require.Empty(t, parts, "what was refused is gone")
	})
}

// upload fills the form of a file and sends it.
func (b *tab) upload(form, name string, files map[string]string) {
	b.t.Helper()
	b.fill(form+` input[name=name]`, name)
	for field, path := range files {
		b.do(chromedp.SetUploadFiles(form+` input[name=`+field+`]`, []string{path}))
	}
	b.click(form + ` button`)
}

// An emergency is offered where it would open something, and only there: counselling
// stays closed even then.
func TestEmergencyOffered(t *testing.T) {
	h := open(t, "", 1)
	doctor := call(t, h, "dr-ayu")
	ayu, err := h.clinic.User(t.Context(), "dr-ayu")
	require.NoError(t, err)
	for name, want := range map[string]bool{"treatment": true, "treatment hiv": false} {
		p := clinic.Patient{
			NIK: "317101431290000" + strconv.Itoa(len(name)%10), Name: "Siti Rekaan", Phone: "0812 0000 7777", Born: time.Date(1990, 12, 3, 0, 0, 0, 0, time.UTC),
			Sex: "female", Address: "Jalan Rekaan 7, Depok",
		}
		_, err := h.clinic.Branch().Register(t.Context(), &p, strings.Fields(name))
		require.NoError(t, err)
		v := clinic.Visit{Patient: p.ID, Complaint: "Cough", Diagnosis: "J45.9 Asthma", Serology: "HIV-1/2 reactive", Counselling: "Sleeps badly"}
		require.Eventually(t, func() bool { return h.clinic.AddVisit(t.Context(), ayu, &v, clinic.Why{}) == nil }, 20*time.Second, 20*time.Millisecond)
		status, page := doctor.send("GET", "/doctor/patients/"+p.ID, "", "")
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, page, `class="withheld"`)
		require.Equal(t, want, strings.Contains(page, p.ID+`/emergency"`), name)
	}
}

func TestBrowserDoctorEmergency(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("dr-bima")

		// One patient holds back what is sensitive.
		b.find(holdsBack)
		b.click(`.found a`)
		b.sees("withheld", "no live consent covers this purpose and data", "It cannot wait?")
		b.look("doctor-chart-withheld")
		b.click(`.language button`)
		b.sees("Konsultasi", "tidak ditampilkan")
		b.picture("doctor-chart-withheld-id")
		b.click(`.language button`)

		// Another was never asked.
		b.expect("403")
		b.find(neverAsked)
		b.sees("Name withheld", "Nothing may be shown")
		b.look("doctor-found-refused")
		b.click(`.found a`)
		b.sees("Not permitted", "no live consent", "It cannot wait?")
		b.look("doctor-refused")
		chart := js[string](b, `location.pathname`)

		b.fill(`textarea[name=justification]`, "Unconscious after a fall, treatment depends on allergies")
		b.click(`form[action$="/emergency"] button`)
		b.sees("Opened in an emergency", "Jalan Rekaan", "Consultations")
		b.look("doctor-emergency")

		// In another session it is as closed as before.
		other := openBrowser(t, h)
		other.expect("403")
		other.signIn("dr-ayu")
		other.open(chart)
		other.sees("Not permitted")

		b.click(`form[action$="/emergency/end"] button`)
		b.open(chart)
		b.sees("Not permitted")
		b.quiet()
	})
}

// The guard stops who opens more patients than the clinic allows a person. An
// emergency still opens.
func TestBrowserDoctorGuard(t *testing.T) {
	h := openWith(t, clinic.Options{People: consent.Limit{Hour: 2, Day: 2}}, 6)
	b := openBrowser(t, h)
	b.signIn("dr-bima")
	b.find(allowsAll)
	b.sees("Panji")
	b.find(holdsBack)
	b.click(`.found a`)
	b.expect("429")
	b.find("0810 0000 0103")
	b.sees("Stopped by the guard")
	b.look("doctor-guard")

	b.fill(`textarea[name=justification]`, "Brought in by ambulance, unconscious")
	b.click(`form[action="/doctor/search"] button`)
	b.sees("Found: 1")
	b.click(`.found a`)
	b.sees("Opened in an emergency", "Consultations")
	b.find("0810 0000 0104")
	b.sees("Stopped by the guard") // that emergency was for one patient
	b.find(allowsAll)
	b.sees("Panji") // who was seen within the hour stays open
	b.quiet()
}

// Nobody but a doctor reaches a chart.
func TestBrowserDoctorOthers(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("dr-ayu")
		b.find(allowsAll)
		chart := js[string](b, `document.querySelector(".found a").getAttribute("href")`)
		b.click(`form[action="/logout"] button`)
		b.open(chart)
		require.Equal(t, h.url+"/login", js[string](b, `location.href`))
		b.expect("403")
		for _, name := range []string{"clerk-budi", "ui-citra", "dpo-dewi", "p-0001"} {
			b.signIn(name)
			b.open(chart)
			b.sees("Not for this role")
			b.click(`form[action="/logout"] button`)
		}
		b.quiet()
	})
}
