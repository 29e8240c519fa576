package web

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

type officerAuditPage struct {
	Checkpoint, Key string
	Filter          consent.Filter
	Entries         []consent.Entry
	Titles          map[string]string
	Actions         []string
	Outcomes        []string

	Verified int64 // entries, where the log was verified for this page
	Took     time.Duration
	Tampered bool
	Compared string // what came of a checkpoint that was pasted: same, other
	Pasted   string
}

// newestEntries is how many entries a page shows.
const newestEntries = 25

func (s *Server) officerAudit(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.auditPage(w, r, u, officerAuditPage{})
}

func (s *Server) auditPage(w http.ResponseWriter, r *http.Request, u clinic.User, p officerAuditPage) error {
	text, key, err := s.clinic.Checkpoint(r.Context(), u)
	if err != nil {
		return err
	}
	p.Checkpoint, p.Key = string(text), key
	p.Actions = []string{"seal", "accept", "open", "lookup", "update", "export", "give", "withdraw", "receipt", "review", "retain", "erase"}
	p.Outcomes = []string{"done", "refused", "completed", "failed", "justified", "unjustified"}
	p.Filter = consent.Filter{Actor: strings.TrimSpace(r.FormValue("actor")), Action: r.FormValue("action"), Outcome: r.FormValue("outcome")}
	if p.Entries, err = s.clinic.Entries(r.Context(), u, p.Filter, newestEntries); err != nil {
		return err
	}
	if p.Titles, err = s.clinic.Titles(r.Context()); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "officer-audit", p)
}

// officerCheck verifies the log, or compares it with a checkpoint that was kept
// elsewhere.
func (s *Server) officerCheck(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	var p officerAuditPage
	var err error
	switch r.PostFormValue("do") {
	case "verify":
		began := time.Now()
		p.Verified, err = s.clinic.VerifyLog(r.Context(), u)
		p.Took = time.Since(began)
	case "compare":
		p.Pasted = strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("checkpoint"), "\r\n", "\n")) + "\n"
		p.Compared = "same"
		if err = s.clinic.Extends(r.Context(), u, []byte(p.Pasted)); errors.Is(err, consent.ErrTampered) {
			p.Compared, err = "other", nil
		}
	default:
		err = clinic.ErrInput
	}
	if errors.Is(err, consent.ErrTampered) {
		s.log.Error("the audit log does not hold", "err", err)
		p.Tampered = true // and nothing of it is shown
		return s.show(w, r, http.StatusOK, "officer-audit", p)
	}
	if err != nil {
		return err
	}
	return s.auditPage(w, r, u, p)
}

// officerCheckpoint gives the checkpoint, to be kept where this house does not
// reach.
func (s *Server) officerCheckpoint(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	text, _, err := s.clinic.Checkpoint(r.Context(), u)
	if err != nil {
		return err
	}
	return download(w, "checkpoint.txt", "text/plain; charset=utf-8", text)
}

type officerReviewsPage struct {
	Emergencies []clinic.Emergency
	Titles      map[string]string
	Done        bool
}

func (s *Server) officerReviews(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p := officerReviewsPage{Done: r.FormValue("done") != ""}
	var err error
	if p.Emergencies, err = s.clinic.Emergencies(r.Context(), u); err != nil {
		return err
	}
	if p.Titles, err = s.clinic.Titles(r.Context()); err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "officer-reviews", p)
}

func (s *Server) officerReview(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	found, note := r.PostFormValue("justified"), strings.TrimSpace(r.PostFormValue("note"))
	if found != "yes" && found != "no" {
		return clinic.ErrInput
	}
	if err := s.clinic.Review(r.Context(), u, r.PostForm["decision"], found == "yes", note); err != nil {
		return err
	}
	http.Redirect(w, r, "/officer/reviews?done=1", http.StatusSeeOther)
	return nil
}

type officerIncidentPage struct {
	Alerts     []clinic.Alert
	Hour, Day  int
	Recipients []string
	Titles     map[string]string
	Form       map[string]string // as it was entered
	Download   string            // where the same report is as JSON
	Report     *consent.Report
	English    string
	Indonesian string
	Problem    string

	Text           string // that was handed in
	Leaked, Others int    // pseudonyms that were handed in, and words that are none
}

func (s *Server) officerIncident(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p := officerIncidentPage{Form: map[string]string{}, Download: "/api/officer/incident?" + r.URL.RawQuery}
	for _, name := range []string{"actor", "recipient", "from", "until", "found"} {
		p.Form[name] = strings.TrimSpace(r.FormValue(name))
	}
	if r.URL.RawQuery == "" {
		return s.incidentPage(w, r, u, p)
	}
	what, err := incidentOf(r)
	if err != nil {
		p.Problem = "officer.incident.empty"
		return s.incidentPage(w, r, u, p)
	}
	if p.Report, err = s.clinic.Investigate(r.Context(), u, what); err != nil {
		if !errors.Is(err, consent.ErrRequest) {
			return err
		}
		p.Problem = "officer.incident.empty"
	}
	return s.incidentPage(w, r, u, p)
}

// Affected is how many patients a report is about, those among them whom it
// cannot name.
func (p officerIncidentPage) Affected() int { return len(p.Report.Patients) + p.Report.Unnamed }

// incidentOf reads what is known of an incident. Times are Jakarta's, as an
// <input type="datetime-local"> has them.
func incidentOf(r *http.Request) (what consent.Incident, err error) {
	what.Actor, what.Recipient = strings.TrimSpace(r.FormValue("actor")), strings.TrimSpace(r.FormValue("recipient"))
	for name, to := range map[string]*time.Time{"from": &what.From, "until": &what.Until, "found": &what.Found} {
		text := r.FormValue(name)
		if text == "" {
			continue
		}
		if *to, err = time.ParseInLocation("2006-01-02T15:04", text, clinic.Zone()); err != nil {
			return what, clinic.ErrInput
		}
	}
	if what.Found.IsZero() {
		what.Found = time.Now().In(clinic.Zone())
	}
	return what, nil
}

func (s *Server) incidentPage(w http.ResponseWriter, r *http.Request, u clinic.User, p officerIncidentPage) error {
	var err error
	if p.Alerts, err = s.clinic.Alerts(r.Context(), u, 20); err != nil {
		return err
	}
	if p.Recipients, err = s.clinic.GivenTo(r.Context(), u); err != nil {
		return err
	}
	if p.Titles, err = s.clinic.Titles(r.Context()); err != nil {
		return err
	}
	p.Hour, p.Day = s.clinic.GuardLimits()
	status := http.StatusOK
	if p.Problem != "" {
		status = http.StatusUnprocessableEntity
	}
	if p.Report != nil {
		p.English, p.Indonesian = p.Report.Text(consent.English), p.Report.Text(consent.Indonesian)
	}
	return s.show(w, r, status, "officer-incident", p)
}

// officerLeak tells for whom a table was made that came to light, by the
// pseudonyms in it: a text that was pasted, or a file.
func (s *Server) officerLeak(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p := officerIncidentPage{Form: map[string]string{}}
	var err error
	if p.Text, err = leaked(r); err != nil {
		return err
	}
	p.Report, p.Leaked, p.Others, err = s.attribute(r, u, p.Text)
	switch {
	case p.Leaked == 0 && err == nil:
		p.Problem = "officer.leak.none"
	case errors.Is(err, consent.ErrRequest):
		p.Problem = "officer.leak.nobody"
	case err != nil:
		return err
	}
	return s.incidentPage(w, r, u, p)
}

// leaked is the text that was pasted, and the file's.
func leaked(r *http.Request) (string, error) {
	file, _, err := r.FormFile("file") // before FormValue, which would not read the parts of a form that was looked at (plain)
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return r.FormValue("text"), nil
	}
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		return "", err
	}
	if err != nil {
		return "", clinic.ErrInput // the parser's repeats what it read
	}
	defer file.Close()
	b, err := io.ReadAll(file) // the body has its limit, see guard.go
	return r.FormValue("text") + "\n" + string(b), err
}

// attribute reports on the pseudonyms in a text; without one there is no report.
func (s *Server) attribute(r *http.Request, u clinic.User, text string) (report *consent.Report, found, others int, err error) {
	tokens, others := clinic.Pseudonyms(text)
	if len(tokens) == 0 {
		return nil, 0, others, nil
	}
	report, err = s.clinic.Investigate(r.Context(), u, consent.Incident{Leaked: tokens, Found: time.Now().In(clinic.Zone())})
	return report, len(tokens), others, err
}
