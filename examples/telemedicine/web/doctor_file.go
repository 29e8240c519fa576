package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
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

func (s *Server) doctorFile(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.doctorOpen(w, r, u, func(f *clinic.Opened) error { return s.showFile(w, r, f, "/doctor/patients/"+f.Patient) })
}

func (s *Server) doctorKeep(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.doctorOpen(w, r, u, func(f *clinic.Opened) error { return s.keepFile(w, f) })
}

func (s *Server) doctorOpen(w http.ResponseWriter, r *http.Request, u clinic.User, do func(*clinic.Opened) error) error {
	why, _ := s.why(r, r.PathValue("id"))
	f, err := s.clinic.OpenFile(r.Context(), u, r.PathValue("id"), r.PathValue("file"), why)
	if err != nil {
		return s.refused(w, r, err)
	}
	defer f.Close()
	return do(f)
}
