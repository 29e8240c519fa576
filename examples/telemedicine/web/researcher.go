package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// researcher are the pages of that role.
func (s *Server) researcher(mux *http.ServeMux) {
	mux.HandleFunc("GET /researcher", s.as(clinic.Researcher, s.researcherHome))
}

func (s *Server) researcherHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.show(w, r, http.StatusOK, "researcher-home", nil)
}
