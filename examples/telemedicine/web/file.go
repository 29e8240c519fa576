package web

import (
	"archive/zip"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/ecg"
)

// filePage is an ECG, a part of it at a time.
type filePage struct {
	Name    string
	Back    string // the page that it was opened from
	Keep    string // the address to download it from
	Drawing drawing
	Parts   []filePart
	Now     filePart
}

type filePart struct {
	Number   int // from 1
	From, To int // seconds
}

// onePart is how many seconds of an ECG a page shows.
const onePart = 10

// showFile shows an ECG as a page and hands a PDF to the browser's viewer. back is
// the page that it was opened from.
func (s *Server) showFile(w http.ResponseWriter, r *http.Request, f *clinic.Opened, back string) error {
	if f.Kind == clinic.PDF {
		s.document(w, f, "inline")
		return nil
	}
	page, err := ecgPage(f, r.URL.Query().Get("part"))
	if err != nil {
		return err
	}
	page.Back, page.Keep = back, r.URL.Path+"/download"
	return s.show(w, r, http.StatusOK, "file-ecg", page)
}

// keepFile sends a file to keep: a PDF as it is, an ECG as a ZIP file of its header
// and its samples. From here on it is not sealed any more.
func (s *Server) keepFile(w http.ResponseWriter, f *clinic.Opened) error {
	if f.Kind == clinic.PDF {
		s.document(w, f, attachment(f.Name, ".pdf"))
		return nil
	}
	header, err := ecg.Parse([]byte(f.Header))
	if err != nil {
		return err
	}
	name := header.File
	if !plainName.MatchString(name) { // a path, for instance, which unpacking would follow
		name = "ecg.dat"
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", attachment(f.Name, ".zip"))
	if err := zipECG(w, f, name); err != nil {
		s.log.Warn("download", "err", err)
		panic(http.ErrAbortHandler) // or what was sent so far would pass for all of it
	}
	return nil
}

// plainName is a file's name without a folder. WFDB's own have no others.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,60}\.dat$`)

func zipECG(w io.Writer, f *clinic.Opened, samples string) error {
	z := zip.NewWriter(w)
	part, err := z.Create(strings.TrimSuffix(samples, ".dat") + ".hea")
	if err == nil {
		_, err = io.WriteString(part, f.Header)
	}
	if err == nil {
		part, err = z.Create(samples)
	}
	if err == nil {
		_, err = io.Copy(part, f.ReaderAt)
	}
	return errors.Join(err, z.Close())
}

// attachment names a file to keep. What a doctor called it may hold anything.
func attachment(name, ending string) string {
	return mime.FormatMediaType("attachment", map[string]string{"filename": strings.TrimSuffix(name, ending) + ending})
}

func ecgPage(f *clinic.Opened, part string) (*filePage, error) {
	header, err := ecg.Parse([]byte(f.Header))
	if err != nil {
		return nil, err
	}
	page := &filePage{Name: f.Name}
	for from := 0; float64(from) < header.Seconds(); from += onePart {
		page.Parts = append(page.Parts, filePart{len(page.Parts) + 1, from, from + onePart})
	}
	n := 1
	if part != "" {
		if n, err = strconv.Atoi(part); err != nil || n < 1 || n > len(page.Parts) {
			return nil, clinic.ErrNotFound
		}
	}
	page.Now = page.Parts[n-1]
	// Only these seconds of the sealed file are read and opened.
	mv, err := header.Read(f, page.Now.From*header.Rate, min(page.Now.To*header.Rate, header.Samples))
	if err != nil {
		return nil, err
	}
	page.Drawing = draw(header, page.Now.From, mv)
	return page, nil
}

// document sends a PDF, as nothing but a PDF and shut in a sandbox: whoever made the
// file is not trusted.
func (s *Server) document(w http.ResponseWriter, f *clinic.Opened, disposition string) {
	h := w.Header()
	h.Set("Content-Type", "application/pdf")
	h.Set("Content-Disposition", disposition)
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Content-Length", strconv.FormatInt(f.Object.Size(), 10))
	if _, err := io.Copy(w, f.ReaderAt); err != nil {
		// What was sent is shorter than announced, so that the browser sees that it
		// is not all.
		s.log.Warn("document", "err", err)
	}
}
