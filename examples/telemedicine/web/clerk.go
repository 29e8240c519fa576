package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// clerk are the pages of that role.
func (s *Server) clerk(mux *http.ServeMux) {
	mux.HandleFunc("GET /clerk", s.as(clinic.Clerk, s.clerkHome))
}

func (s *Server) clerkHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.show(w, r, http.StatusOK, "clerk-home", nil)
}
