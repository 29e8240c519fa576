// Package web is the pages of the telemedicine example and the JSON beside them:
// the standard library's server and templates, and no build step.
//
// Each role has files of handlers, its pages and a file of words: doctor*.go,
// pages/doctor-*.html, words/doctor.json, and the JSON beside them in api_doctor.go.
// frame.go has what all share, nav.go the links of each role, file.go the files of a
// chart, which doctors and patients open alike.
package web

import (
	"embed"
	"log/slog"
	"net/http"
	"strings"

	"github.com/alexedwards/scs/v2"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// Server serves one clinic.
type Server struct {
	clinic   *clinic.Clinic
	log      *slog.Logger
	sessions *scs.SessionManager
	pages    pages
	attempts *attempts
	handler  http.Handler
	routes   []string
}

//go:embed static
var static embed.FS

// Options are how pages are served.
type Options struct {
	Log *slog.Logger
	// Secure says that browsers reach the server by HTTPS, through a proxy: the
	// session's cookie then travels by nothing else.
	Secure bool
}

// New returns the handler of a clinic's pages.
func New(c *clinic.Clinic, o Options) (*Server, error) {
	s := &Server{clinic: c, log: o.Log, sessions: newSessions(o.Secure), attempts: newAttempts()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.pages, err = loadPages(); err != nil {
		return nil, err
	}
	s.sessions.ErrorFunc = func(w http.ResponseWriter, r *http.Request, err error) { s.fail(w, r, err) }

	mux := &routes{}
	s.signingIn(mux)
	s.doctor(mux)
	s.clerk(mux)
	s.patient(mux)
	s.researcher(mux)
	s.officer(mux)
	s.api(mux)
	s.routes = mux.patterns
	// What caches may keep has no session: each answer that has one sets its cookie.
	all := http.NewServeMux()
	all.Handle("GET /static/", cached(http.FileServerFS(static)))
	all.Handle("/", s.sessions.LoadAndSave(s.plain(mux)))
	s.handler = s.recovered(secured(sameOrigin(all)))
	return s, nil
}

// cached lets browsers keep what does not change while the program runs.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/") { // a list of what there is
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "max-age=300")
		next.ServeHTTP(w, r)
	})
}
