package web

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// chartPage is a chart with its forms.
type chartPage struct {
	*clinic.Chart
	Why    map[string]consent.Reason // of each withheld field of the patient
	Visits []visitView
	Until  time.Time // the emergency ends; zero: there is none
	Asks   bool      // something is withheld that an emergency might open

	Codes []string     // diagnoses to choose from
	Form  clinic.Visit // what was entered, where it was not taken
	Bad   string       // words on what was wrong; empty: nothing
	Open  string       // which form is open for that
}

// visitView is a consultation line by line.
type visitView struct {
	At    time.Time
	Title line
	Lines []line
}

// line is a field: its text, or why there is none to see.
type line struct {
	Label string // key of words
	Text  string
	Why   consent.Reason
}

func visitOf(v clinic.VisitView) visitView {
	why := reasons(v.Withheld)
	out := visitView{At: v.At, Title: line{"doctor.diagnosis", v.Diagnosis, why["Diagnosis"]}}
	for _, l := range []line{
		{"doctor.complaint", v.Complaint, why["Complaint"]},
		{"doctor.notes", v.Notes, why["Notes"]},
		{"doctor.serology", v.Serology, why["Serology"]},
		{"doctor.counselling", v.Counselling, why["Counselling"]},
	} {
		if l.Text != "" || l.Why != "" {
			out.Lines = append(out.Lines, l)
		}
	}
	return out
}

func (s *Server) doctorChart(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.showChart(w, r, u, http.StatusOK, chartPage{})
}

// showChart opens a chart and shows it, with what a form that was not taken left
// in page. Each time it is shown is an entry in the audit log.
func (s *Server) showChart(w http.ResponseWriter, r *http.Request, u clinic.User, status int, page chartPage) error {
	id := r.PathValue("id")
	why, until := s.why(r, id)
	chart, err := s.clinic.Chart(r.Context(), u, id, why)
	if err != nil {
		return s.refused(w, r, err)
	}
	page.Chart, page.Why, page.Until, page.Codes = chart, reasons(chart.Withheld), until, icd10()
	for _, v := range chart.Visits {
		page.Visits = append(page.Visits, visitOf(v))
		page.Asks = page.Asks || opensInEmergency(v.Withheld)
	}
	page.Asks = (page.Asks || opensInEmergency(chart.Withheld)) && until.IsZero()
	return s.show(w, r, status, "doctor-chart", page)
}

// opensInEmergency reports whether an emergency would open any of what is withheld:
// one that opens nothing is not to be asked for.
func opensInEmergency(withheld []consent.Withheld) bool {
	return slices.ContainsFunc(withheld, func(w consent.Withheld) bool { return clinic.OpensInEmergency(w.Field) })
}

// refusedPage says that a chart does not open, and what remains to be done.
type refusedPage struct {
	ID       string
	Problem  problem
	Declared bool // an emergency was declared, and does not open it either
}

// refused shows a refusal with the way to break the glass. Other errors it
// returns.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, err error) error {
	if denied := (*consent.DeniedError)(nil); !errors.As(err, &denied) {
		return err
	}
	id, p := r.PathValue("id"), problemOf(err)
	_, until := s.why(r, id)
	return s.show(w, r, p.Status, "doctor-refused", refusedPage{id, p, !until.IsZero()})
}

func (s *Server) doctorVisit(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	if err := posted(r); err != nil {
		return err
	}
	v := clinic.Visit{
		Patient: r.PathValue("id"), Complaint: field(r, "complaint"), Diagnosis: field(r, "diagnosis"), Notes: field(r, "notes"),
		Serology: field(r, "serology"), Counselling: field(r, "counselling"),
	}
	why, _ := s.why(r, v.Patient)
	err := s.clinic.AddVisit(r.Context(), u, &v, why)
	if errors.Is(err, clinic.ErrInput) {
		return s.showChart(w, r, u, http.StatusUnprocessableEntity, chartPage{Form: v, Bad: "doctor.bad.visit", Open: "visit"})
	}
	if err != nil {
		return s.refused(w, r, err)
	}
	toChart(w, r)
	return nil
}

func (s *Server) doctorUpdate(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	if err := posted(r); err != nil {
		return err
	}
	p := clinic.Patient{ID: r.PathValue("id"), Allergies: lines(field(r, "allergies")), Conditions: lines(field(r, "conditions"))}
	why, _ := s.why(r, p.ID)
	err := s.clinic.UpdatePatient(r.Context(), u, &p, r.PostFormValue("revision"), why)
	if errors.Is(err, clinic.ErrConflict) {
		return s.showChart(w, r, u, http.StatusConflict, chartPage{Bad: "doctor.bad.conflict", Open: "update"})
	}
	if err != nil {
		return s.refused(w, r, err)
	}
	toChart(w, r)
	return nil
}

// field is what was entered, with the line ends that a form sends made plain.
func field(r *http.Request, name string) string {
	return strings.TrimSpace(strings.ReplaceAll(r.PostFormValue(name), "\r\n", "\n"))
}

// lines are a text's lines, without the empty ones.
func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
