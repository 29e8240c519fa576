package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// patient are the pages of that role.
func (s *Server) patient(mux *http.ServeMux) {
	mux.HandleFunc("GET /patient", s.as(clinic.Self, s.patientHome))
}

func (s *Server) patientHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.show(w, r, http.StatusOK, "patient-home", nil)
}
