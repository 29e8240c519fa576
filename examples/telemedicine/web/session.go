package web

import (
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
)

// newSessions returns the sessions of one server, in memory.
func newSessions(secure bool) *scs.SessionManager {
	s := scs.New()
	s.Store = &lastingEnds{Store: memstore.New(), ended: map[string]time.Time{}}
	s.Lifetime = 8 * time.Hour
	s.IdleTimeout = 30 * time.Minute
	s.Cookie.Name = "clinic"
	if secure {
		s.Cookie.Name = "__Host-clinic" // which no other host, and nothing without HTTPS, can set
	}
	s.Cookie.HttpOnly = true
	s.Cookie.SameSite = http.SameSiteStrictMode
	s.Cookie.Secure = secure
	s.Cookie.Persist = false
	return s
}

// lastingEnds is a store in which a session that was ended stays so. Each request
// writes back the session that it began with, so one that is under way while
// somebody signs out, a thief's slow download for instance, would bring it back.
type lastingEnds struct {
	scs.Store

	mu    sync.Mutex
	ended map[string]time.Time
}

// endedLasts is longer than any request takes: see the server's limits in main.go.
const endedLasts = time.Hour

// Delete ends a session.
func (s *lastingEnds) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.ended, func(_ string, at time.Time) bool { return now.Sub(at) > endedLasts })
	s.ended[token] = now
	return s.Store.Delete(token)
}

// Commit keeps a session that has not ended.
func (s *lastingEnds) Commit(token string, b []byte, expiry time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ended := s.ended[token]; ended {
		return nil
	}
	return s.Store.Commit(token, b, expiry)
}
