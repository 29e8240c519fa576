package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/ecg"
)

// doctorUpload takes a file as it comes: the parts of the form are read one by
// one and the content is sealed on its way to the disk. The form parser of
// net/http would keep large files in clear in a temporary folder.
func (s *Server) doctorUpload(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	f := clinic.File{Patient: r.PathValue("id")}
	why, _ := s.why(r, f.Patient)
	err := eachPart(r, func(part *multipart.Part) error {
		switch part.FormName() {
		case "name":
			return text(part, &f.Name)
		case "header":
			return text(part, &f.Header)
		case "content": // the last: what came before says what it is
			return s.clinic.AddFile(r.Context(), u, &f, part, why)
		}
		return clinic.ErrInput
	})
	if (err == nil && f.ID == "") || errors.Is(err, io.ErrUnexpectedEOF) { // a form without content, or one cut off
		err = clinic.ErrInput
	}
	if errors.Is(err, clinic.ErrInput) {
		_, _ = io.Copy(io.Discard, r.Body) // or the browser is cut off before it reads the answer
		return s.showChart(w, r, u, http.StatusUnprocessableEntity, chartPage{Bad: "doctor.bad.file", Open: "file"})
	}
	if err != nil {
		return s.refused(w, r, err)
	}
	toChart(w, r)
	return nil
}

func eachPart(r *http.Request, do func(*multipart.Part) error) error {
	form, err := r.MultipartReader()
	if err != nil {
		return clinic.ErrInput
	}
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if large := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &large) {
			return clinic.ErrInput
		}
		if err != nil {
			return err
		}
		if err := do(part); err != nil {
			return err
		}
	}
}

// text reads a short part of a form.
func text(part io.Reader, into *string) error {
	const most = 4 << 10
	all, err := io.ReadAll(io.LimitReader(part, most+1))
	if err == nil && len(all) > most {
		err = clinic.ErrInput
	}
	*into = string(all)
	return err
}

// filePage is an ECG, a part of it at a time.
type filePage struct {
	ID, Name string
	Drawing  drawing
	Parts    []filePart
	Now      filePart
}

type filePart struct {
	Number   int // from 1
	From, To int // seconds
}

// onePart is how many seconds of an ECG a page shows.
const onePart = 10

func (s *Server) doctorFile(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	patient := r.PathValue("id")
	why, _ := s.why(r, patient)
	f, err := s.clinic.OpenFile(r.Context(), u, patient, r.PathValue("file"), why)
	if err != nil {
		return s.refused(w, r, err)
	}
	defer f.Close()
	if f.Kind == clinic.PDF {
		s.document(w, f)
		return nil
	}
	page, err := ecgPage(f, r.URL.Query().Get("part"))
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "doctor-ecg", page)
}

func ecgPage(f *clinic.Opened, part string) (*filePage, error) {
	header, err := ecg.Parse([]byte(f.Header))
	if err != nil {
		return nil, err
	}
	page := &filePage{ID: f.Patient, Name: f.Name}
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

// document hands a PDF to the browser's own viewer: as nothing but a PDF, shut in
// a sandbox, for whoever made the file is not trusted.
func (s *Server) document(w http.ResponseWriter, f *clinic.Opened) {
	h := w.Header()
	h.Set("Content-Type", "application/pdf")
	h.Set("Content-Disposition", "inline")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	h.Set("Content-Length", strconv.FormatInt(f.Object.Size(), 10))
	if _, err := io.Copy(w, f.ReaderAt); err != nil {
		// What was sent is shorter than announced, so that the browser sees that it
		// is not all.
		s.log.Warn("document", "err", err)
	}
}
