package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

func TestBrowserClerk(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("clerk-budi")
		b.sees("Nothing was sent yet")
		b.click(`main a.button`)
		b.look("clerk-register")
		b.click(`.language button`)
		b.sees("Apa yang diizinkan pasien")
		b.picture("clerk-register-id")
		b.click(`.language button`)

		// What was entered wrongly is said where it stands, and the rest is kept.
		b.expect("422")
		b.fill(`input[name=name]`, `Siti <b>Rekaan</b>`)
		b.fill(`input[name=nik]`, "31710143129000")
		b.fill(`input[name=phone]`, "0812 0000 7777")
		b.fill(`textarea[name=allergies]`, "Penicillin")
		b.do(chromedp.Click(`input[value=treatment]`))
		b.click(`form[action="/clerk/register"] button`)
		b.sees("Some fields need to be corrected", "16 digits", "A date that is past", "An address is missing")
		require.Equal(t, "Penicillin|0812 0000 7777|true", js[string](b,
			`[document.querySelector("textarea").value, document.querySelector("input[name=phone]").value, document.querySelector("input[value=treatment]").checked].join("|")`))
		b.look("clerk-refused")

		// An unusual number is a question and no refusal.
		b.fill(`input[name=nik]`, "3171 0143 1290 0001")
		js[int](b, `document.querySelector("input[name=born]").value = "1991-12-03", 0`)
		b.do(chromedp.Click(`input[value=female]`))
		b.fill(`input[name=address]`, "Jalan Rekaan 7, Depok")
		b.click(`form[action="/clerk/register"] button`)
		b.sees("The birth date in it is another than the one you entered")
		b.look("clerk-doubt")
		b.do(chromedp.Click(`input[name=sure]`))
		b.click(`form[action="/clerk/register"] button`)
		b.sees("Sealed and sent", "Hand this to the patient", "What lies here now")
		b.look("clerk-sent")

		name := js[string](b, `document.querySelectorAll(".hand dd")[0].innerText`)
		password := js[string](b, `document.querySelectorAll(".hand dd")[1].innerText`)
		b.open(js[string](b, `location.pathname`))
		require.NotContains(t, b.text(), password, "it is shown once")
		for _, value := range []string{"Siti", "Rekaan", "3171014312900001", "81200007777", "Penicillin"} {
			require.False(t, js[bool](b, fmt.Sprintf(`document.documentElement.outerHTML.replaceAll(" ", "").includes(%q)`, value)), value)
		}
		require.Eventually(t, func() bool {
			b.open("/clerk")
			return js[bool](b, `document.querySelector("tbody .good") !== null`)
		}, 20*time.Second, 200*time.Millisecond, "the clinic has taken it in")
		b.look("clerk-home")

		// The clerk reaches no chart, and the patient signs in.
		b.click(`form[action="/logout"] button`)
		b.open("/login")
		b.fill(`input[name=name]`, name)
		b.fill(`input[name=password]`, password)
		b.click(`form[action="/login"] button`)
		require.Equal(t, h.url+"/password", js[string](b, `location.href`), "nothing opens by a password that the desk has seen")
		b.look("password")
		b.fill(`input[name=password]`, password)
		b.fill(`input[name=new]`, "her-own-password")
		b.fill(`input[name=again]`, "her-own-password")
		b.click(`form[action="/password"] button`)
		require.Equal(t, h.url+"/patient", js[string](b, `location.href`))
		b.click(`form[action="/logout"] button`)

		// The doctor finds her by the number, as it was entered or not.
		b.signIn("dr-ayu")
		b.fill(`input[name=value]`, "3171014312900001")
		b.click(`form[action="/doctor/search"] button`)
		b.sees(`Siti <b>Rekaan</b>`, "Penicillin")
		b.quiet()

		// The same number again is looked into by the clinic and refused to nobody.
		b.click(`form[action="/logout"] button`)
		b.signIn("clerk-budi")
		b.open("/clerk/register")
		for field, value := range map[string]string{"name": "Siti Rekaan", "nik": "3171014312900001", "phone": "081200007777", "address": "Jalan Rekaan 7"} {
			b.fill(`input[name=`+field+`]`, value)
		}
		js[int](b, `document.querySelector("input[name=born]").value = "1990-12-03", 0`)
		b.do(chromedp.Click(`input[value=female]`))
		b.click(`form[action="/clerk/register"] button`)
		b.sees("Sealed and sent")
		require.Eventually(t, func() bool {
			b.open("/clerk")
			return js[bool](b, `document.querySelector("tbody .warn") !== null`)
		}, 20*time.Second, 200*time.Millisecond)
		b.sees("number known already")
		b.expect("404")
		b.open("/clerk/sent/somebody-elses")
		b.sees("Nothing here")
		b.quiet()
	})
}
