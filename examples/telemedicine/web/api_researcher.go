package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// apiResearcher is what a statistics program asks for: the account of a table, and
// by its id the file.
func (s *Server) apiResearcher(mux *routes) {
	mux.HandleFunc("GET /api/researcher/tables", s.as(clinic.Researcher, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		made, err := s.clinic.Made(r.Context(), u)
		return s.answer(w, made, err)
	}))
	mux.HandleFunc("POST /api/researcher/tables", s.as(clinic.Researcher, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		study, err := s.study(r, u)
		return s.answer(w, study, err)
	}))
	mux.HandleFunc("GET /api/researcher/tables/{id}", s.as(clinic.Researcher, s.researcherCSV))
}
