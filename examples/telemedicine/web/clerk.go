package web

import (
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/pseudo"
)

// clerk are the pages of that role. They reach nothing but the branch, which can
// seal and not open; on a machine of its own the branch would serve only these
// (docs/DEPLOY.md).
func (s *Server) clerk(mux *routes) {
	mux.HandleFunc("GET /clerk", s.as(clinic.Clerk, s.clerkHome))
	mux.HandleFunc("GET /clerk/register", s.as(clinic.Clerk, s.clerkForm))
	mux.HandleFunc("POST /clerk/register", s.as(clinic.Clerk, s.clerkRegister))
	mux.HandleFunc("GET /clerk/sent/{id}", s.as(clinic.Clerk, s.clerkSent))
}

// registration is the form, with what was entered.
type registration struct {
	Name, NIK, Phone, Born, Sex, Address, Allergies string

	Chosen map[string]bool
	Bad    map[string]bool // fields to be filled in anew
	Doubts []string        // keys of words: what is unusual, and no reason to refuse
}

// Choices are what a patient is asked.
func (registration) Choices() []clinic.Choice { return clinic.Choices() }

func (s *Server) clerkForm(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	return s.show(w, r, http.StatusOK, "clerk-register", registration{Chosen: map[string]bool{}})
}

func (s *Server) clerkRegister(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	if err := posted(r); err != nil {
		return err
	}
	form := registration{
		Name: field(r, "name"), NIK: field(r, "nik"), Phone: field(r, "phone"), Born: field(r, "born"), Sex: field(r, "sex"),
		Address: field(r, "address"), Allergies: field(r, "allergies"), Chosen: map[string]bool{},
	}
	for _, key := range r.PostForm["choice"] {
		form.Chosen[key] = true
	}
	born, _ := time.Parse(time.DateOnly, form.Born) // one that is none is the zero time, which is refused
	p := clinic.Patient{NIK: form.NIK, Name: form.Name, Phone: form.Phone, Born: born, Sex: form.Sex, Address: form.Address, Allergies: lines(form.Allergies)}
	doubts, err := s.clinic.Branch().Check(&p, r.PostForm["choice"])
	if bad := (*clinic.FieldsError)(nil); errors.As(err, &bad) {
		form.Bad = map[string]bool{}
		for _, name := range bad.Fields {
			form.Bad[name] = true
		}
		return s.show(w, r, http.StatusUnprocessableEntity, "clerk-register", form)
	}
	if err != nil {
		return err
	}
	if len(doubts) > 0 && r.PostFormValue("sure") == "" {
		form.Doubts = doubtWords(doubts)
		return s.show(w, r, http.StatusOK, "clerk-register", form)
	}
	portal, err := s.clinic.Branch().Register(r.Context(), &p, r.PostForm["choice"])
	if err != nil {
		return err
	}
	// The password is shown on the next page, once.
	s.sessions.Put(r.Context(), "portal/"+portal.Arrival, portal.Name+" "+portal.Password)
	http.Redirect(w, r, "/clerk/sent/"+portal.Arrival, http.StatusSeeOther)
	return nil
}

func doubtWords(doubts []pseudo.Warning) []string {
	words := map[pseudo.Warning]string{
		pseudo.WarnRegion: "clerk.doubt.region", pseudo.WarnDay: "clerk.doubt.day", pseudo.WarnBorn: "clerk.doubt.born", pseudo.WarnSerial: "clerk.doubt.serial",
	}
	var out []string
	for _, d := range doubts {
		out = append(out, words[d])
	}
	return out
}

func (s *Server) clerkHome(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	sent, err := s.clinic.Branch().Arrivals(r.Context(), 50)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "clerk-home", sent)
}

// sentPage is one registration: all that this desk still has of it.
type sentPage struct {
	clinic.Arrival
	Portal clinic.Portal // the first time it is shown
	Hex    string
}

func (s *Server) clerkSent(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	arrival, item, err := s.clinic.Branch().Raw(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	page := sentPage{Arrival: arrival, Hex: groups(item)}
	if r.Method == http.MethodGet { // HEAD shows nothing, and would use it up
		page.Portal.Name, page.Portal.Password, _ = strings.Cut(s.sessions.PopString(r.Context(), "portal/"+arrival.ID), " ")
	}
	return s.show(w, r, http.StatusOK, "clerk-sent", page)
}

// groups writes bytes for people: two digits each, in fours.
func groups(b []byte) string {
	var out []byte
	for i := 0; i < len(b); i += 4 {
		out = hex.AppendEncode(out, b[i:min(i+4, len(b))])
		out = append(out, ' ')
	}
	return string(out)
}
