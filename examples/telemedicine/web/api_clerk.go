package web

import (
	"net/http"
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

func (s *Server) apiClerk(mux *routes) {
	mux.HandleFunc("POST /api/clerk/register", s.as(clinic.Clerk, s.apiRegister))
	mux.HandleFunc("GET /api/clerk/sent", s.as(clinic.Clerk, s.apiSent))
}

func (s *Server) apiRegister(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	var in struct {
		Name, NIK, Phone, Born, Sex, Address string
		Allergies, Choices                   []string
	}
	if err := fromJSON(r, &in); err != nil {
		return err
	}
	born, _ := time.Parse(time.DateOnly, in.Born) // one that is none is the zero time, which is refused
	p := clinic.Patient{NIK: in.NIK, Name: in.Name, Phone: in.Phone, Born: born, Sex: in.Sex, Address: in.Address, Allergies: in.Allergies}
	portal, err := s.clinic.Branch().Register(r.Context(), &p, in.Choices)
	if err != nil {
		return err
	}
	s.json(w, http.StatusCreated, map[string]string{"id": portal.Arrival, "name": portal.Name, "password": portal.Password})
	return nil
}

func (s *Server) apiSent(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	sent, err := s.clinic.Branch().Arrivals(r.Context(), 50)
	if err != nil {
		return err
	}
	type one struct {
		ID    string    `json:"id"`
		At    time.Time `json:"at"`
		State string    `json:"state"`
		Bytes int       `json:"bytes"`
	}
	out := []one{}
	for _, a := range sent {
		out = append(out, one{a.ID, a.At, a.State, a.Bytes})
	}
	s.json(w, http.StatusOK, out)
	return nil
}
