package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/keyring"
)

// patient are the pages of that role, and what the clinic publishes.
func (s *Server) patient(mux *routes) {
	self := func(h func(http.ResponseWriter, *http.Request, clinic.User) error) http.HandlerFunc {
		return s.as(clinic.Self, s.inService(h))
	}
	mux.HandleFunc("GET /patient", self(s.patientHome))
	mux.HandleFunc("GET /patient/history", self(s.patientHistory))
	mux.HandleFunc("GET /patient/choices", self(s.patientChoices))
	mux.HandleFunc("POST /patient/choices", self(s.patientChoose))
	mux.HandleFunc("POST /patient/receipt", self(s.patientReceipt))
	mux.HandleFunc("GET /patient/rights", self(s.patientRights))
	mux.HandleFunc("GET /patient/records.json", self(s.patientData))
	mux.HandleFunc("GET /patient/proof.json", self(s.patientProof))
	mux.HandleFunc("POST /patient/erasure", self(s.patientErasure))
	mux.HandleFunc("GET /patient/files/{file}", self(s.patientFile))
	mux.HandleFunc("GET /patient/files/{file}/download", self(s.patientKeep))

	// For everybody: what a patient was told, and the keys by which anybody checks
	// what a patient was given.
	mux.HandleFunc("GET /notice", s.page(s.notice))
	mux.HandleFunc("GET /notice.txt", s.page(s.noticeText))
	mux.HandleFunc("GET /keys.json", s.page(s.published))
}

// inService shows a patient whose keys are out of service what became of their
// wish, and one whose registration has not been taken in that it is under way, in
// place of a problem.
func (s *Server) inService(h func(http.ResponseWriter, *http.Request, clinic.User) error) func(http.ResponseWriter, *http.Request, clinic.User) error {
	return func(w http.ResponseWriter, r *http.Request, u clinic.User) error {
		err := h(w, r, u)
		retained := errors.Is(err, keyring.ErrRetained)
		switch {
		case errors.Is(err, keyring.ErrNoSubjectKey):
			return s.show(w, r, http.StatusNotFound, "patient-waits", nil)
		case !retained && !errors.Is(err, keyring.ErrShredded):
			return err
		}
		asked, err := s.clinic.Erasure(r.Context(), u)
		if err != nil {
			return err
		}
		return s.show(w, r, http.StatusGone, "patient-gone", gonePage{asked, retained})
	}
}

// gonePage is what is left to say to a patient whose keys are out of service.
type gonePage struct {
	Erasure *clinic.Erasure
	Kept    bool
}

func (s *Server) patientHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	chart, err := s.clinic.Own(r.Context(), u)
	if errors.Is(err, clinic.ErrNotFound) { // the branch has sent it, and it has not been taken in
		return s.show(w, r, http.StatusOK, "patient-waits", nil)
	}
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "patient-home", chart)
}

// historyPage is what was done with the patient's records.
type historyPage struct {
	Own       bool // with what the patient read
	Events    []happening
	Others    []other
	People    int // who read or received something
	Refused   int
	Emergency int
}

// happening is an event, and what the page calls who did it.
type happening struct {
	clinic.Event
	Who     string
	Self    bool
	By      string // who looked into it
	Refused bool
}

// other is somebody who reached for the patient's records, and how often.
type other struct {
	Who, Role     string
	Done, Refused int
	Emergency     bool
	Last          time.Time
}

// Initial stands for who it is in a picture.
func (o other) Initial() string {
	for _, r := range strings.TrimPrefix(o.Who, "dr. ") {
		return strings.ToUpper(string(r))
	}
	return ""
}

// Emergency reports whether it was opened because of a justification.
func (h happening) Emergency() bool { return h.Reason == consent.InEmergency }

// Left reports whether data left the house.
func (h happening) Left() bool { return h.Action == "export" && h.Outcome == "done" }

func (s *Server) patientHistory(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p, err := s.history(r, u)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "patient-history", p)
}

func (s *Server) history(r *http.Request, u clinic.User) (*historyPage, error) {
	events, err := s.clinic.History(r.Context(), u)
	if err != nil {
		return nil, err
	}
	titles, err := s.clinic.Titles(r.Context())
	if err != nil {
		return nil, err
	}
	p := &historyPage{Own: r.URL.Query().Get("own") == "yes"}
	for _, e := range events {
		h := happening{Event: e, Who: called(titles, e.Actor), Self: e.Actor == u.Name, Refused: e.Outcome == "refused"}
		if e.Review != nil {
			h.By = called(titles, e.Review.By)
		}
		p.count(&h)
		if !h.Self || e.Action != "open" || p.Own {
			p.Events = append(p.Events, h)
		}
	}
	return p, nil
}

// count adds what somebody else did, or tried.
func (p *historyPage) count(h *happening) {
	reached := slices.Contains([]string{"open", "update", "export"}, h.Action) && h.Outcome != "failed"
	if h.Self || !reached {
		return
	}
	i := slices.IndexFunc(p.Others, func(o other) bool { return o.Who == h.Who })
	if i < 0 { // events come newest first
		i = len(p.Others)
		p.Others = append(p.Others, other{Who: h.Who, Role: h.Role, Last: h.At})
	}
	o := &p.Others[i]
	if h.Refused {
		o.Refused++
		p.Refused++
		return
	}
	if o.Done++; o.Done == 1 {
		p.People++
	}
	if h.Emergency() {
		o.Emergency = true
		p.Emergency++
	}
}

func called(titles map[string]string, name string) string {
	if title := titles[name]; title != "" {
		return title
	}
	return name
}

// choicesPage is what the patient allows.
type choicesPage struct {
	All  []choice
	Said string // what has just been done: given or withdrawn
}

type choice struct {
	clinic.Allowed
	Open bool // what it needs is allowed
}

func (s *Server) patientChoices(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	all, err := s.clinic.Allowed(r.Context(), u)
	if err != nil {
		return err
	}
	p := choicesPage{}
	if said := r.URL.Query().Get("said"); said == "given" || said == "withdrawn" {
		p.Said = said
	}
	on := map[string]bool{"": true}
	for _, a := range all {
		on[a.Key] = a.Now
	}
	for _, a := range all {
		p.All = append(p.All, choice{a, on[a.Needs]})
	}
	return s.show(w, r, http.StatusOK, "patient-choices", p)
}

func (s *Server) patientChoose(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	said, err := s.choose(r, u, r.PostFormValue("key"), r.PostFormValue("allow"))
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/patient/choices?said="+said, http.StatusSeeOther)
	return nil
}

func (s *Server) choose(r *http.Request, u clinic.User, key, allow string) (said string, err error) {
	switch allow {
	case "yes":
		return "given", s.clinic.Allow(r.Context(), u, key)
	case "no":
		return "withdrawn", s.clinic.Withdraw(r.Context(), u, key)
	}
	return "", clinic.ErrInput
}

// patientReceipt is a form and no link: which consent it is says something of the
// patient, and addresses are kept by browsers and proxies.
func (s *Server) patientReceipt(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	receipt, err := s.clinic.Receipt(r.Context(), u, r.PostFormValue("id"), consent.Language(language(r)))
	if err != nil {
		return err
	}
	return download(w, "receipt.txt", "text/plain; charset=utf-8", receipt)
}

// download sends a file to keep.
func download(w http.ResponseWriter, name, kind string, content []byte) error {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
	_, _ = w.Write(content)
	return nil
}

// rightsPage is what the patient may take along or ask for.
type rightsPage struct {
	Erasure *clinic.Erasure
	Keys    clinic.Published
}

func (s *Server) patientRights(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	asked, err := s.clinic.Erasure(r.Context(), u)
	if err != nil {
		return err
	}
	if asked != nil && !asked.Waits() {
		return s.show(w, r, http.StatusGone, "patient-gone", gonePage{asked, asked.Kept()})
	}
	keys, err := s.clinic.Published(r.Context())
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "patient-rights", rightsPage{asked, keys})
}

func (s *Server) patientData(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	data, err := s.clinic.Data(r.Context(), u)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(data, "", "  ")
	if err != nil {
		return err
	}
	return download(w, "records.json", "application/json", text)
}

func (s *Server) patientProof(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	proof, err := s.clinic.Proof(r.Context(), u)
	if err != nil {
		return err
	}
	return download(w, "proof.json", "application/json", proof)
}

func (s *Server) patientFile(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	f, err := s.clinic.OwnFile(r.Context(), u, r.PathValue("file"))
	if err != nil {
		return err
	}
	defer f.Close()
	return s.showFile(w, r, f, "/patient")
}

func (s *Server) patientKeep(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	f, err := s.clinic.OwnFile(r.Context(), u, r.PathValue("file"))
	if err != nil {
		return err
	}
	defer f.Close()
	return s.keepFile(w, f)
}

func (s *Server) patientErasure(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	if err := s.erasure(r, u, r.PostFormValue("ask")); err != nil {
		return err
	}
	http.Redirect(w, r, "/patient/rights", http.StatusSeeOther)
	return nil
}

func (s *Server) erasure(r *http.Request, u clinic.User, ask string) error {
	switch ask {
	case "yes":
		return s.clinic.AskErasure(r.Context(), u)
	case "no":
		return s.clinic.UnaskErasure(r.Context(), u)
	}
	return clinic.ErrInput
}

func (s *Server) notice(w http.ResponseWriter, r *http.Request) error {
	return s.show(w, r, http.StatusOK, "patient-notice", clinic.NoticeText(consent.Language(language(r))))
}

// noticeText is the notice to the byte: a receipt has its SHA-256.
func (s *Server) noticeText(w http.ResponseWriter, r *http.Request) error {
	in := language(r)
	if lang := r.URL.Query().Get("lang"); lang == "en" || lang == "id" {
		in = lang
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, clinic.NoticeText(consent.Language(in)))
	return nil
}

func (s *Server) published(w http.ResponseWriter, r *http.Request) error {
	keys, err := s.clinic.Published(r.Context())
	if err != nil {
		return err
	}
	s.json(w, http.StatusOK, keys)
	return nil
}
