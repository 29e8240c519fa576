package web

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// api is the JSON beside the pages, for the same sessions: sign in by POST
// /login, and send an Origin with what changes something. Names in it are in
// camelCase, but for those of a record's fields, which are the audit log's.
func (s *Server) api(mux *routes) {
	mux.HandleFunc("GET /api/me", s.page(s.apiMe))
	s.apiDoctor(mux)
	s.apiClerk(mux)
	s.apiPatient(mux)
	s.apiResearcher(mux)
	s.apiOfficer(mux)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, clinic.ErrNotFound) })
}

func (s *Server) apiMe(w http.ResponseWriter, r *http.Request) error {
	u, err := s.user(r)
	if err != nil {
		return errSignIn
	}
	s.json(w, http.StatusOK, map[string]string{"name": u.Name, "role": u.Role, "title": u.Title})
	return nil
}

// fromJSON reads a body that is JSON, one value of known fields and no more.
func fromJSON(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return clinic.ErrInput
	}
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	err := in.Decode(into)
	if err == nil {
		if _, err = in.Token(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return err
	}
	return clinic.ErrInput // what the decoder says repeats what it read
}

// answer writes what a call returned, or returns its error.
func (s *Server) answer(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	s.json(w, http.StatusOK, v)
	return nil
}
