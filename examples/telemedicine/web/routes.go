package web

import (
	"net/http"
	"slices"
)

// routes is a mux that can say what it has: a test ranges over it, so that no
// address is left without its tries of forged, foreign and malformed requests.
type routes struct {
	http.ServeMux
	patterns []string
}

// HandleFunc is that of [http.ServeMux].
func (m *routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.patterns = append(m.patterns, pattern)
	m.ServeMux.HandleFunc(pattern, h)
}

// Routes returns the patterns of all addresses but those below /static/, sorted.
func (s *Server) Routes() []string { return slices.Sorted(slices.Values(s.routes)) }

// ServeHTTP serves the clinic's pages and the JSON beside them.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }
