package web

import (
	"net/http"
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// officer are the pages of that role: the overview, here; the others in officer_thief.go,
// officer_keys.go, officer_watch.go (log, reviews and incidents) and officer_erasures.go.
func (s *Server) officer(mux *routes) {
	mux.HandleFunc("GET /officer", s.as(clinic.Officer, s.officerHome))
	mux.HandleFunc("GET /officer/thief", s.as(clinic.Officer, s.officerThief))
	mux.HandleFunc("GET /officer/keys", s.as(clinic.Officer, s.officerKeys))
	mux.HandleFunc("POST /officer/keys", s.as(clinic.Officer, s.officerChangeKeys))
	mux.HandleFunc("GET /officer/audit", s.as(clinic.Officer, s.officerAudit))
	mux.HandleFunc("POST /officer/audit", s.as(clinic.Officer, s.officerCheck))
	mux.HandleFunc("GET /officer/audit/checkpoint", s.as(clinic.Officer, s.officerCheckpoint))
	mux.HandleFunc("GET /officer/reviews", s.as(clinic.Officer, s.officerReviews))
	mux.HandleFunc("POST /officer/reviews", s.as(clinic.Officer, s.officerReview))
	mux.HandleFunc("GET /officer/incident", s.as(clinic.Officer, s.officerIncident))
	mux.HandleFunc("POST /officer/incident", s.as(clinic.Officer, s.officerLeak))
	mux.HandleFunc("GET /officer/erasures", s.as(clinic.Officer, s.officerErasures))
	mux.HandleFunc("POST /officer/erasures", s.as(clinic.Officer, s.officerDecide))
}

type officerHomePage struct {
	clinic.Overview
	By     string // hour or day
	Chart  barChart
	Opened []clinic.ActorOpenings
	Times  []clinic.Openings
	Titles map[string]string
	Recent []clinic.Alert
	Most   int // openings of who opened most
	Hour   int
	Day    int
}

func (s *Server) officerHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p := officerHomePage{By: "day"}
	step, n, layout := 24*time.Hour, 14, "2/1"
	if r.FormValue("by") == "hour" {
		p.By, step, n, layout = "hour", time.Hour, 24, "15:00"
	}
	var err error
	if p.Overview, err = s.clinic.Overview(r.Context(), u); err != nil {
		return err
	}
	if p.Times, p.Opened, err = s.clinic.Activity(r.Context(), u, step, n); err != nil {
		return err
	}
	if p.Titles, err = s.clinic.Titles(r.Context()); err != nil {
		return err
	}
	if len(p.Opened) > 0 {
		p.Most = p.Opened[0].Total()
	}
	if p.Recent, err = s.clinic.Alerts(r.Context(), u, 5); err != nil {
		return err
	}
	p.Hour, p.Day = s.clinic.GuardLimits()
	p.Chart = barsOf(p.Times, layout)
	return s.show(w, r, http.StatusOK, "officer-home", p)
}
