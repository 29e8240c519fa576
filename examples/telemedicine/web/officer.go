package web

import (
	"net/http"
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// officer are the pages of that role. officer_keys.go, officer_watch.go and
// officer_thief.go have the rest of them.
func (s *Server) officer(mux *routes) {
	pages := map[string]func(http.ResponseWriter, *http.Request, clinic.User) error{
		"GET /officer":                  s.officerHome,
		"GET /officer/thief":            s.officerThief,
		"GET /officer/keys":             s.officerKeys,
		"POST /officer/keys":            s.officerChangeKeys,
		"GET /officer/audit":            s.officerAudit,
		"POST /officer/audit":           s.officerCheck,
		"GET /officer/audit/checkpoint": s.officerCheckpoint,
		"GET /officer/reviews":          s.officerReviews,
		"POST /officer/reviews":         s.officerReview,
		"GET /officer/incident":         s.officerIncident,
		"POST /officer/incident":        s.officerLeak,
		"GET /officer/erasures":         s.officerErasures,
		"POST /officer/erasures":        s.officerDecide,
	}
	for pattern, page := range pages {
		mux.HandleFunc(pattern, s.as(clinic.Officer, page))
	}
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
