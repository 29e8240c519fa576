package main

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
	"github.com/rahasia/rahasia/keyring"
)

// TestBrowserOfficerOverview: two weeks of work, as pictures.
func TestBrowserOfficerOverview(t *testing.T) {
	clock := &seed.Clock{}
	h := openWith(t, clinic.Options{Now: clock.Now}, 0)
	clock.Set(time.Now().Add(-seed.Past))
	require.NoError(t, seed.Run(t.Context(), h.clinic, people, func(string, int, int) {}))
	require.NoError(t, seed.Work(t.Context(), h.clinic, clock, func(string, int, int) {}))
	b := openBrowser(t, h)
	b.signIn("dpo-dewi")
	b.sees("Records opened", "dr. Ayu", "dr. Bima", "1\nemergencies to be reviewed")
	require.Greater(t, js[int](b, `document.querySelectorAll(".bars rect").length`), 13)
	b.look("officer")
	b.open("/officer?by=hour")
	b.sees("24 hours", "14 days")
	b.look("officer-hours")
}

// TestBrowserOfficer: the privacy officer looks at what a thief would have, after
// the keys, at the audit log and at an emergency.
func TestBrowserOfficer(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ids := morning(t, h)
		b := openBrowser(t, h)
		b.signIn("dpo-dewi")
		b.sees("Records opened", "dr. Ayu", "1\nemergencies to be reviewed")

		// The thief's side has neither name nor number; the doctor's has.
		b.open("/officer/thief")
		b.sees("None was found.", "Depok")
		stolen := js[string](b, `document.querySelector(".stolen").innerText`)
		require.NotContains(t, stolen, "Depok")
		b.look("officer-thief")
		b.expect("403")
		b.open("/officer/thief?patient=" + ids["refused"])
		b.sees("You may not open this record")
		b.look("officer-thief-refused")

		b.open("/officer/keys")
		b.sees("All patients' keys are wrapped by the newest versions.")
		b.click(`button[aria-label="Rotate identity"]`)
		b.sees("60 patients' keys are still wrapped by an older version", "Version 2")
		b.look("officer-keys-rotated")
		b.click(`button[value=move]`)
		require.Eventually(t, func() bool {
			b.open("/officer/keys")
			return js[bool](b, `document.querySelector("progress") === null`)
		}, wait, tick)
		require.Equal(t, map[string]any{"done": 60.0, "total": 60.0, "failed": 0.0, "ended": true, "text": "60 / 60"}, js[map[string]any](b, `fetch("/api/officer/keys/move").then(r => r.json())`))
		b.sees("60 keys were moved", "All patients' keys are wrapped by the newest versions.")
		b.click(`button[aria-label="Suspend: identity 1"]`)
		b.sees("suspended")
		b.expect("409")
		b.open("/officer/thief")
		b.sees("Depok") // and still everything opens
		b.open("/officer/keys")
		b.look("officer-keys")

		b.open("/officer/audit")
		checkpoint := js[string](b, `document.querySelector("pre").textContent`)
		b.click(`button[value=verify]`)
		b.sees("entries hold")
		b.look("officer-audit")
		js[int](b, `document.querySelector("textarea").value = `+quoted(checkpoint)+`; 0`)
		b.click(`button[value=compare]`)
		b.sees("unchanged")
		js[int](b, `document.querySelector("textarea").value = `+quoted(checkpoint)+`.replace(/\n(\d+)\n/, "\n1$1\n"); 0`)
		b.click(`button[value=compare]`)
		b.sees("This is no checkpoint of this log")
		b.open("/officer/audit?action=open&outcome=refused&actor=dr-bima")
		b.sees("dr. Bima", "refused")
		require.NotContains(t, js[string](b, `document.querySelector("tbody").innerText`), "dr. Ayu")

		b.open("/officer/reviews")
		b.sees("Unconscious after a fall", ids["emergency"])
		b.look("officer-reviews")
		js[int](b, `document.querySelector("input[value=yes]").click(); 0`)
		b.fill("textarea", "Called the ward: it was so.")
		b.click(`main form button`)
		b.sees("The review is in the audit log.", "No emergency awaits a review.")
		b.quiet()
	})
}

// TestBrowserOfficerIncident: what the guard stopped, a report on a login that was
// stolen, and a table that came to light.
func TestBrowserOfficerIncident(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		morning(t, h)
		ayu := user(t, h, "dr-ayu")
		for i := 0; ; i++ { // until the guard has enough
			_, err := h.clinic.Find(t.Context(), ayu, "Phone", phone(i), clinic.Why{})
			if err != nil {
				require.ErrorIs(t, err, consent.ErrDenied)
				break
			}
			require.Less(t, i, 300)
		}
		b := openBrowser(t, h)
		b.signIn("dpo-dewi")
		require.Eventually(t, func() bool {
			b.open("/officer/incident")
			return js[bool](b, `document.querySelector("#alerts ~ .scroll") !== null`)
		}, wait, tick)
		b.sees("stopped at the limit")
		b.look("officer-guard")
		b.click(`td a[href="/officer/incident?actor=dr-ayu"]`)
		b.sees("INCIDENT REPORT", "dr-ayu", "patients affected", "Written notices by")
		b.look("officer-incident")
		b.click(".language button")
		b.sees("LAPORAN INSIDEN", "pasien terdampak")
		b.look("officer-incident-id")
		b.click(".language button")

		report := js[map[string]any](b, `fetch(document.querySelector("a[download]").href).then(r => r.json())`)
		require.NotEmpty(t, report["patients"])
		require.NotEmpty(t, report["notifyBy"])

		b.open("/officer/incident")
		b.fill(`textarea[name=text]`, "nothing of anybody's")
		b.expect("422")
		b.click(`[aria-labelledby=leak] button`)
		b.sees("There is no pseudonym in this text.")
		b.quiet()
	})
}

// TestBrowserOfficerLeak: a table that came to light says for whom it was made.
func TestBrowserOfficerLeak(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tables := map[string][]byte{}
		for _, name := range []string{"ui-citra", "itb-eko"} {
			s, err := h.clinic.Study(t.Context(), user(t, h, name), clinic.Question{Of: clinic.Patients, Purpose: consent.Research, K: clinic.MinK})
			require.NoError(t, err)
			require.NotEmpty(t, s.Rows)
			tables[name] = s.CSV
		}
		b := openBrowser(t, h)
		b.signIn("dpo-dewi")
		b.open("/officer/incident")
		js[int](b, `document.querySelector("textarea[name=text]").value = `+quoted(string(tables["itb-eko"]))+`; 0`)
		b.click(`[aria-labelledby=leak] button`)
		b.sees("itb-2026", "made for this recipient", "not this recipient", "leaked", "Written notices by")
		require.Contains(t, js[string](b, `document.querySelector(".suspect.meant").innerText`), "itb-2026")
		b.look("officer-leak")
		require.Equal(t, "itb-2026", js[string](b, `fetch("/api/officer/leak", {method: "POST", body: new URLSearchParams(new FormData(document.querySelector("form[action='/api/officer/leak']")))}).then(r => r.json()).then(r => r.domains[0].recipient)`))
	})
}

// TestBrowserOfficerAlone: nobody else reaches the officer's pages and addresses.
func TestBrowserOfficerAlone(t *testing.T) {
	h := open(t, "", 12)
	b := openBrowser(t, h)
	b.signIn("dr-ayu")
	b.expect("403")
	for _, path := range []string{"", "/thief", "/keys", "/audit", "/audit/checkpoint", "/reviews", "/incident", "/erasures"} {
		b.open("/officer" + path)
		b.sees("Not for this role")
	}
	for _, path := range []string{"overview", "keys", "keys/move", "incident?actor=dr-ayu"} {
		require.Equal(t, 403, js[int](b, `fetch("/api/officer/`+path+`").then(r => r.status)`), path)
	}
	b.quiet()
}

// TestBrowserOfficerTampered: a log that was changed under the clinic shows nothing
// but that.
func TestBrowserOfficerTampered(t *testing.T) {
	h := open(t, "", 12)
	b := openBrowser(t, h)
	b.signIn("dpo-dewi")
	b.open("/officer/audit")
	db, err := sql.Open("sqlite", filepath.Join(h.dir, "rahasia", "consent.db"))
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE consent_log SET leaves = zeroblob(length(leaves)) WHERE id = (SELECT min(id) FROM consent_log)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	b.click(`button[value=verify]`)
	b.sees("The audit log does not hold")
	require.Equal(t, 0, js[int](b, `document.querySelectorAll("table, pre").length`))
	b.look("officer-tampered")
}

// TestBrowserOfficerErasure: a patient who asked is erased, and the receipt says so.
func TestBrowserOfficerErasure(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		patient := user(t, h, "p-0004").Patient
		asks(t, h, patient)
		b := openBrowser(t, h)
		b.signIn("dpo-dewi")
		b.sees("1\npatients ask for erasure")
		b.open("/officer/erasures")
		b.look("officer-erasures")

		// The page asks first; who says no erases nobody.
		js[int](b, `window.confirm = () => false; document.querySelector("button.danger").click(); 0`)
		_, err := h.clinic.Chart(t.Context(), user(t, h, "dr-ayu"), patient, clinic.Why{})
		require.NoError(t, err)
		js[int](b, `window.confirm = () => true; 0`)
		b.click("button.danger")
		b.sees("Erased:", patient, "erased")
		b.look("officer-erased")
		_, err = h.clinic.Chart(t.Context(), user(t, h, "dr-ayu"), patient, clinic.Why{})
		require.ErrorIs(t, err, keyring.ErrShredded)

		// Nobody is erased twice, nor unasked.
		b.expect("404")
		for _, id := range []string{patient, user(t, h, "p-0001").Patient, "nobody"} {
			require.Equal(t, 404, js[int](b, `fetch("/officer/erasures", {method: "POST", body: new URLSearchParams({do: "erase", patient: `+quoted(id)+`})}).then(r => r.status)`))
		}
		b.open("/officer")
		b.sees("0\npatients ask for erasure", "60\npatients")
		b.quiet()
	})
}

// asks writes into the clinic's database that a patient asks to be erased.
func asks(t *testing.T, h *house, patient string) {
	t.Helper()
	driver, dsn := "sqlite", filepath.Join(h.dir, "app.db")
	if h.postgres != "" {
		driver, dsn = "pgx", h.postgres+" search_path=app"
	}
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `INSERT INTO erasures (patient, asked, done, outcome) VALUES ($1, $2, 0, '')`, patient, time.Now().UnixMilli())
	require.NoError(t, err)
}

const (
	wait = 20 * time.Second
	tick = 300 * time.Millisecond
)

func quoted(s string) string { return strconv.Quote(s) }

func phone(i int) string { return fmt.Sprintf("+62 811 5555 %04d", i) }

func user(t *testing.T, h *house, name string) clinic.User {
	t.Helper()
	u, err := h.clinic.User(t.Context(), name)
	require.NoError(t, err)
	return u
}

// morning is what doctors did before the officer came: charts opened, one refused,
// and one opened in an emergency. It returns the ids of those two, one patient.
func morning(t *testing.T, h *house) map[string]string {
	t.Helper()
	ayu, bima, dewi := user(t, h, "dr-ayu"), user(t, h, "dr-bima"), user(t, h, "dpo-dewi")
	all, err := h.clinic.ToShow(t.Context(), dewi, people)
	require.NoError(t, err)
	var refused string
	for i, p := range all {
		u := ayu
		if i%3 == 0 {
			u = bima
		}
		_, err := h.clinic.Chart(t.Context(), u, p.ID, clinic.Why{})
		if errors.Is(err, consent.ErrDenied) {
			refused = p.ID
			_, err = h.clinic.Chart(t.Context(), bima, p.ID, clinic.Why{})
			require.ErrorIs(t, err, consent.ErrDenied)
			continue
		}
		require.NoError(t, err)
	}
	require.NotEmpty(t, refused)
	_, err = h.clinic.Chart(t.Context(), bima, refused, clinic.Why{Justification: "Unconscious after a fall, allergies needed"})
	require.NoError(t, err)
	return map[string]string{"refused": refused, "emergency": refused}
}
