package web

import (
	"net/http"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

func (s *Server) apiDoctor(mux *routes) {
	mux.HandleFunc("POST /api/doctor/search", s.as(clinic.Doctor, s.apiSearch))
	mux.HandleFunc("GET /api/doctor/patients/{id}", s.as(clinic.Doctor, s.apiChart))
	mux.HandleFunc("POST /api/doctor/patients/{id}/visits", s.as(clinic.Doctor, s.apiVisit))
	mux.HandleFunc("POST /api/doctor/patients/{id}/emergency", s.as(clinic.Doctor, s.apiEmergency))
}

// A field that is withheld is not there, and named in withheld with the reason.
type patientJSON struct {
	ID         string            `json:"id"`
	NIK        string            `json:"nik,omitempty"`
	Name       string            `json:"name,omitempty"`
	Phone      string            `json:"phone,omitempty"`
	Born       string            `json:"born,omitempty"`
	Sex        string            `json:"sex,omitempty"`
	Address    string            `json:"address,omitempty"`
	Allergies  []string          `json:"allergies,omitempty"`
	Conditions []string          `json:"conditions,omitempty"`
	Withheld   map[string]string `json:"withheld,omitempty"`
	Refused    string            `json:"refused,omitempty"` // why nothing may be seen
}

type visitJSON struct {
	ID          string            `json:"id"`
	At          time.Time         `json:"at,omitzero"`
	Complaint   string            `json:"complaint,omitempty"`
	Diagnosis   string            `json:"diagnosis,omitempty"`
	Notes       string            `json:"notes,omitempty"`
	Serology    string            `json:"serology,omitempty"`
	Counselling string            `json:"counselling,omitempty"`
	Withheld    map[string]string `json:"withheld,omitempty"`
}

type fileJSON struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Kind string `json:"kind,omitempty"`
	Size int64  `json:"size"`
}

func patientOf(p clinic.Patient, withheld []consent.Withheld) patientJSON {
	out := patientJSON{
		ID: p.ID, NIK: p.NIK, Name: p.Name, Phone: p.Phone, Sex: p.Sex, Address: p.Address,
		Allergies: p.Allergies, Conditions: p.Conditions, Withheld: inEnglish(withheld),
	}
	if !p.Born.IsZero() {
		out.Born = p.Born.Format(time.DateOnly)
	}
	return out
}

func inEnglish(withheld []consent.Withheld) map[string]string {
	out := map[string]string{}
	for _, w := range withheld {
		out[w.Field] = w.Reason.In(consent.English)
	}
	return out
}

func (s *Server) apiSearch(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	var in struct{ Field, Value, Justification string }
	if err := fromJSON(r, &in); err != nil {
		return err
	}
	found, err := s.find(r, u, in.Field, in.Value, in.Justification)
	if err != nil {
		return err
	}
	out := []patientJSON{}
	for _, f := range found {
		p := patientOf(f.Patient, f.Withheld)
		if f.Refused != nil {
			p.Refused = f.Refused.Reason.In(consent.English)
		}
		out = append(out, p)
	}
	s.json(w, http.StatusOK, out)
	return nil
}

func (s *Server) apiChart(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	why, until := s.why(r, r.PathValue("id"))
	chart, err := s.clinic.Chart(r.Context(), u, r.PathValue("id"), why)
	if err != nil {
		return err
	}
	out := struct {
		Patient   patientJSON `json:"patient"`
		Visits    []visitJSON `json:"visits"`
		Files     []fileJSON  `json:"files"`
		Emergency time.Time   `json:"emergencyUntil,omitzero"`
	}{patientOf(chart.Patient, chart.Withheld), []visitJSON{}, []fileJSON{}, until}
	for _, v := range chart.Visits {
		out.Visits = append(out.Visits, visitJSON{
			ID: v.ID, At: v.At, Complaint: v.Complaint, Diagnosis: v.Diagnosis, Notes: v.Notes,
			Serology: v.Serology, Counselling: v.Counselling, Withheld: inEnglish(v.Withheld),
		})
	}
	for _, f := range chart.Files {
		out.Files = append(out.Files, fileJSON{f.ID, f.Name, f.Kind, f.Object.Size()})
	}
	s.json(w, http.StatusOK, out)
	return nil
}

func (s *Server) apiVisit(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	var in struct{ Complaint, Diagnosis, Notes, Serology, Counselling string }
	if err := fromJSON(r, &in); err != nil {
		return err
	}
	v := clinic.Visit{
		Patient: r.PathValue("id"), Complaint: in.Complaint, Diagnosis: in.Diagnosis, Notes: in.Notes,
		Serology: in.Serology, Counselling: in.Counselling,
	}
	why, _ := s.why(r, v.Patient)
	if err := s.clinic.AddVisit(r.Context(), u, &v, why); err != nil {
		return err
	}
	s.json(w, http.StatusCreated, map[string]string{"id": v.ID})
	return nil
}

func (s *Server) apiEmergency(w http.ResponseWriter, r *http.Request, _ clinic.User) error {
	var in struct{ Justification string }
	if err := fromJSON(r, &in); err != nil {
		return err
	}
	if err := s.declare(r, r.PathValue("id"), in.Justification); err != nil {
		return err
	}
	_, until := s.why(r, r.PathValue("id"))
	s.json(w, http.StatusCreated, map[string]time.Time{"until": until})
	return nil
}
