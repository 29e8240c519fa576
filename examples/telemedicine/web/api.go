package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// api is the JSON beside the pages, for the same sessions: sign in by POST
// /login, and send an Origin with what changes something.
func (s *Server) api(mux *routes) {
	mux.HandleFunc("GET /api/me", s.page(s.apiMe))
	s.apiDoctor(mux)
	s.apiClerk(mux)
	s.patientAPI(mux)
	s.researcherAPI(mux)
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
