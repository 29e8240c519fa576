package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// The longest bodies that are read: a form, and an upload.
const (
	maxForm   = 1 << 20
	maxUpload = 32 << 20
)

// secured sets what browsers need to be told once for all pages. A page runs no
// script and shows no style or picture but the server's own, is shown in no
// frame, and is kept in no cache.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		limit := int64(maxForm)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
			limit = maxUpload
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

// sameOrigin refuses what another site's page makes a browser send. The standard
// library's check lets pass what says nothing of where it comes from, which no
// browser of today sends; here that is refused too.
func sameOrigin(next http.Handler) http.Handler {
	checked := http.NewCrossOriginProtection().Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		changes := r.Method != http.MethodGet && r.Method != http.MethodHead
		if changes && r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
			http.Error(w, "a request that changes something must say its Origin", http.StatusForbidden)
			return
		}
		checked.ServeHTTP(w, r)
	})
}

// plain refuses addresses and forms that are no text: PostgreSQL takes neither a NUL
// nor what is no UTF-8, and no person enters it. A body of parts or of JSON is read
// by its handler.
func (s *Server) plain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isText(r.URL.Path) {
			s.fail(w, r, clinic.ErrNotFound)
			return
		}
		err := r.ParseForm() // only once does it say what is wrong
		if large := (*http.MaxBytesError)(nil); err != nil && !errors.As(err, &large) {
			err = clinic.ErrInput // the parser's repeats what it read
		}
		for _, values := range r.Form {
			if err == nil && slices.ContainsFunc(values, func(v string) bool { return !isText(v) }) {
				err = clinic.ErrInput
			}
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// recovered answers for a handler that panicked. What it panicked with may hold
// a patient's values, so only where it did is logged.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == http.ErrAbortHandler { // an answer that must not end as if it were whole
				panic(v)
			}
			if v != nil {
				s.log.Error("panic", "type", fmt.Sprintf("%T", v), "stack", string(debug.Stack()))
				http.Error(w, "something went wrong", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// attempts counts sign-ins that failed or are under way by name, so that a password
// cannot be tried out. It forgets after a quarter of an hour. Whoever knows a name
// can keep its owner out meanwhile: the proxy in front limits each address.
type attempts struct {
	mu    sync.Mutex
	last  map[string][]time.Time
	swept time.Time
}

// The failures after which a name must wait, and for how long they count.
const (
	maxFailures  = 10
	failuresLast = 15 * time.Minute
)

func newAttempts() *attempts { return &attempts{last: map[string][]time.Time{}} }

// begin counts a try, before it is known how it ends: of many at once no more are
// let through than of many in turn. It reports whether there may be one.
func (a *attempts) begin(name string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.swept) >= failuresLast {
		// All that counts no more goes. What counts never does, however many names
		// somebody makes up: each cost them a hash.
		maps.DeleteFunc(a.last, func(_ string, times []time.Time) bool { return now.Sub(times[len(times)-1]) >= failuresLast })
		a.swept = now
	}
	kept := slices.DeleteFunc(a.last[name], func(at time.Time) bool { return now.Sub(at) >= failuresLast })
	if len(kept) >= maxFailures {
		a.last[name] = kept
		return false
	}
	a.last[name] = append(kept, now)
	return true
}

// succeeded forgets the tries of a name that somebody has signed in by.
func (a *attempts) succeeded(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.last, name)
}
