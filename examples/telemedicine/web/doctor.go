package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// doctor are the pages of that role.
func (s *Server) doctor(mux *http.ServeMux) {
	mux.HandleFunc("GET /doctor", s.as(clinic.Doctor, s.doctorHome))
}

func (s *Server) doctorHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.show(w, r, http.StatusOK, "doctor-home", nil)
}
