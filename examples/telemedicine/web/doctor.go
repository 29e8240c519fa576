package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/pseudo"
)

// doctor are the pages of that role: finding a patient, here; the chart, in
// doctor_chart.go; its files, in doctor_file.go.
func (s *Server) doctor(mux *routes) {
	mux.HandleFunc("GET /doctor", s.as(clinic.Doctor, s.doctorHome))
	// A search is a POST: an identifier in an address would lie in the browser's
	// history and in every log on the way.
	mux.HandleFunc("POST /doctor/search", s.as(clinic.Doctor, s.doctorSearch))
	mux.HandleFunc("GET /doctor/search", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/doctor", http.StatusSeeOther) })

	const chart = "/doctor/patients/{id}"
	mux.HandleFunc("GET "+chart, s.as(clinic.Doctor, s.doctorChart))
	mux.HandleFunc("POST "+chart+"/visits", s.as(clinic.Doctor, s.doctorVisit))
	mux.HandleFunc("POST "+chart+"/update", s.as(clinic.Doctor, s.doctorUpdate))
	mux.HandleFunc("POST "+chart+"/emergency", s.as(clinic.Doctor, s.doctorEmergency))
	mux.HandleFunc("POST "+chart+"/emergency/end", s.as(clinic.Doctor, s.doctorEmergencyEnd))
	mux.HandleFunc("POST "+chart+"/files", s.as(clinic.Doctor, s.doctorUpload))
	mux.HandleFunc("GET "+chart+"/files/{file}", s.as(clinic.Doctor, s.doctorFile))
	mux.HandleFunc("GET "+chart+"/files/{file}/download", s.as(clinic.Doctor, s.doctorKeep))
	for _, form := range []string{"/visits", "/update", "/emergency", "/files"} { // the language switch comes back by GET
		mux.HandleFunc("GET "+chart+form, func(w http.ResponseWriter, r *http.Request) { toChart(w, r) })
	}
}

// findPage is the search, and what it found.
type findPage struct {
	Field, Value string
	Bad          bool // Value has not the form of Field
	Searched     bool
	Stopped      bool // by the guard: what remains is an emergency
	Found        []foundView
}

type foundView struct {
	clinic.Found
	Why map[string]consent.Reason // of each withheld field
}

// Gone reports whether the records are out of service, where no emergency helps.
func (f foundView) Gone() bool { return f.Refused != nil && f.Refused.Reason == consent.Retained }

func (s *Server) doctorHome(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	return s.show(w, r, http.StatusOK, "doctor-home", findPage{Field: "NIK"})
}

func (s *Server) doctorSearch(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	if err := posted(r); err != nil {
		return err
	}
	page := findPage{Field: r.PostFormValue("field"), Value: strings.TrimSpace(r.PostFormValue("value"))}
	found, err := s.find(r, u, page.Field, page.Value, field(r, "justification"))
	if format := (*pseudo.FormatError)(nil); errors.As(err, &format) {
		page.Bad = true
		return s.show(w, r, http.StatusUnprocessableEntity, "doctor-home", page)
	}
	if denied := (*consent.DeniedError)(nil); errors.As(err, &denied) && denied.Reason == consent.TooMany {
		page.Stopped = true
		return s.show(w, r, http.StatusTooManyRequests, "doctor-home", page)
	}
	if err != nil {
		return err
	}
	page.Searched = true
	for _, f := range found {
		page.Found = append(page.Found, foundView{f, reasons(f.Withheld)})
	}
	return s.show(w, r, http.StatusOK, "doctor-home", page)
}

// find searches, and keeps in the session by what each patient was found: whose
// chart is opened next must be whom the identifier names, whatever somebody wrote
// into the database in between. A justification opens the charts too.
func (s *Server) find(r *http.Request, u clinic.User, field, value, justification string) ([]clinic.Found, error) {
	why, err := inEmergency(justification)
	if err != nil {
		return nil, err
	}
	found, err := s.clinic.Find(r.Context(), u, field, value, why)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		s.sessions.Put(r.Context(), foundKey(f.Patient.ID), f.Token.String())
		if why.Justification != "" {
			if err := s.declare(r, f.Patient.ID, why.Justification); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// posted reads a form, and says where it is too large or none.
func posted(r *http.Request) error {
	err := r.ParseForm()
	if large := (*http.MaxBytesError)(nil); err == nil || errors.As(err, &large) {
		return err
	}
	return clinic.ErrInput
}

// reasons are why fields are withheld, by field.
func reasons(withheld []consent.Withheld) map[string]consent.Reason {
	out := map[string]consent.Reason{}
	for _, w := range withheld {
		out[w.Field] = w.Reason
	}
	return out
}

// toChart sends the browser to the chart that an address is below.
func toChart(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/doctor/patients/"+r.PathValue("id"), http.StatusSeeOther)
}

// A justification opens one chart, in this session alone and for as long as the
// clinic says. Sessions lie in memory; in a database they would have to be sealed,
// for a justification is about a patient.
func emergencyKeys(patient string) (why, until string) {
	return "emergency/" + patient, "emergency-until/" + patient
}

// foundKey is where a session has the token by which a patient was found.
func foundKey(patient string) string { return "found/" + patient }

// why is how this session opens a patient's chart, and until when an emergency
// does.
func (s *Server) why(r *http.Request, patient string) (clinic.Why, time.Time) {
	var open clinic.Why
	if token, err := pseudo.ParseToken(s.sessions.GetString(r.Context(), foundKey(patient))); err == nil {
		open.FoundBy = token
	}
	why, until := emergencyKeys(patient)
	end := time.UnixMilli(s.sessions.GetInt64(r.Context(), until))
	if !time.Now().Before(end) {
		return open, time.Time{}
	}
	open.Justification = s.sessions.GetString(r.Context(), why)
	return open, end
}

func (s *Server) doctorEmergency(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	if err := posted(r); err != nil {
		return err
	}
	if err := s.declare(r, r.PathValue("id"), field(r, "justification")); err != nil {
		return err
	}
	toChart(w, r)
	return nil
}

// declare notes an emergency in the session. What it opens, and to whom, the
// clinic's policy decides each time that the chart is opened.
func (s *Server) declare(r *http.Request, patient, justification string) error {
	emergency, err := inEmergency(justification)
	if err != nil {
		return err
	}
	if emergency.Justification == "" {
		return clinic.ErrInput
	}
	if err := s.clinic.Has(r.Context(), patient); err != nil { // or a session would grow by whatever somebody makes up
		return err
	}
	why, until := emergencyKeys(patient)
	s.sessions.Put(r.Context(), why, emergency.Justification)
	s.sessions.Put(r.Context(), until, time.Now().Add(clinic.EmergencyLasts()).UnixMilli())
	return nil
}

// inEmergency is the emergency that a justification declares; an empty one
// declares none. It must say something to whoever reviews it.
func inEmergency(justification string) (clinic.Why, error) {
	justification = strings.TrimSpace(justification)
	if n := len(justification); n > 0 && n < 10 || n > 500 {
		return clinic.Why{}, clinic.ErrInput
	}
	return clinic.Why{Justification: justification}, nil
}

func (s *Server) doctorEmergencyEnd(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	why, until := emergencyKeys(r.PathValue("id"))
	s.sessions.Remove(r.Context(), why)
	s.sessions.Remove(r.Context(), until)
	http.Redirect(w, r, "/doctor", http.StatusSeeOther)
	return nil
}
