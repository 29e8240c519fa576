package web

import (
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// apiPatient is what a patient's telephone would ask for. What changes something
// takes a form, as the pages send it.
func (s *Server) apiPatient(mux *routes) {
	mux.HandleFunc("GET /api/patient/records", s.as(clinic.Self, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		data, err := s.clinic.Data(r.Context(), u)
		return s.answer(w, data, err)
	}))
	mux.HandleFunc("GET /api/patient/history", s.as(clinic.Self, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		events, err := s.clinic.History(r.Context(), u)
		return s.answer(w, events, err)
	}))
	mux.HandleFunc("GET /api/patient/choices", s.as(clinic.Self, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		all, err := s.clinic.Allowed(r.Context(), u)
		return s.answer(w, all, err)
	}))
	mux.HandleFunc("POST /api/patient/choices", s.as(clinic.Self, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		said, err := s.choose(r, u, r.PostFormValue("key"), r.PostFormValue("allow"))
		return s.answer(w, map[string]string{"said": said}, err)
	}))
	mux.HandleFunc("POST /api/patient/erasure", s.as(clinic.Self, func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		if err := s.erasure(r, u, r.PostFormValue("ask")); err != nil {
			return err
		}
		asked, err := s.clinic.Erasure(r.Context(), u)
		return s.answer(w, asked, err)
	}))
}
