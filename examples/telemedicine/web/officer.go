package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// officer are the pages of that role.
func (s *Server) officer(mux *http.ServeMux) {
	mux.HandleFunc("GET /officer", s.as(clinic.Officer, s.officerHome))
}

func (s *Server) officerHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.show(w, r, http.StatusOK, "officer-home", nil)
}
