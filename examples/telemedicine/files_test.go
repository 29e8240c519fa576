package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/ecg"
)

// TestBrowserOwnFiles: a patient looks at their files and takes them along, as the
// doctor does; and nobody else's.
func TestBrowserOwnFiles(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		b := openBrowser(t, h)
		b.signIn("p-0001")
		b.click(`li.ecg a.grow`)
		b.sees("ECG at rest", "25 mm/s", "Back to my records")
		b.spoken("patient-ecg")
		path := js[string](b, `location.pathname`)
		b.open("/patient")
		pdf := js[string](b, `document.querySelector("li.pdf a.keep").getAttribute("href")`)

		for _, who := range []string{"p-0001", "dr-ayu"} {
			prefix := "/patient"
			if who != "p-0001" {
				b.click(`form[action="/logout"] button`)
				b.signIn(who)
				prefix = "/doctor/patients/" + user(t, h, "p-0001").Patient
			}
			ecgPath := prefix + path[len("/patient"):]
			name, content := kept(b, ecgPath+"/download")
			require.Contains(t, name, `attachment; filename="ECG at rest, one minute.zip"`)
			z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
			require.NoError(t, err)
			require.Len(t, z.File, 2)
			require.Equal(t, []string{"100_1min.hea", "100_1min.dat"}, []string{z.File[0].Name, z.File[1].Name})
			header, err := ecg.Parse(unzipped(t, z.File[0]))
			require.NoError(t, err)
			require.NoError(t, header.Check(io.Discard, bytes.NewReader(unzipped(t, z.File[1]))), "the checksum of all samples")
			name, content = kept(b, prefix+pdf[len("/patient"):])
			require.Contains(t, name, `filename="Advance directive.pdf"`)
			require.True(t, bytes.HasPrefix(content, []byte("%PDF-")))
		}
		b.click(`form[action="/logout"] button`)
		b.signIn("p-0002")
		b.expect("404")
		for _, of := range []string{path, path + "/download", pdf, "/patient/files/x/download"} {
			require.Equal(t, 404, js[int](b, `fetch(`+quoted(of)+`).then(r => r.status)`), of)
		}
		b.quiet()
		_, err := h.clinic.OwnFile(t.Context(), user(t, h, "dr-ayu"), "x")
		require.ErrorIs(t, err, clinic.ErrForbidden)
	})
}

// kept is a file that a browser is sent to keep, and what it is called.
func kept(b *tab, path string) (disposition string, content []byte) {
	b.t.Helper()
	got := js[[]string](b, `fetch(`+quoted(path)+`).then(async r => [r.headers.get("content-disposition"), btoa(Array.from(new Uint8Array(await r.arrayBuffer()), c => String.fromCharCode(c)).join(""))])`)
	content, err := base64.StdEncoding.DecodeString(got[1])
	require.NoError(b.t, err)
	return got[0], content
}

func unzipped(t *testing.T, f *zip.File) []byte {
	t.Helper()
	r, err := f.Open()
	require.NoError(t, err)
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	return all
}
