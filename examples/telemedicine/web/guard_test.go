package web

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// Tries count before it is known how they end, and no made-up name clears those of
// another.
func TestAttempts(t *testing.T) {
	a, now := newAttempts(), time.Now()
	tried := 0
	for range 50 { // all under way at once
		if a.begin("dr-ayu", now) {
			tried++
		}
	}
	require.Equal(t, maxFailures, tried)
	for i := range 20_000 {
		require.True(t, a.begin(fmt.Sprint("nobody-", i), now))
	}
	require.False(t, a.begin("dr-ayu", now))
	later := now.Add(failuresLast)
	require.True(t, a.begin("dr-ayu", later))
	require.Len(t, a.last, 1, "what counts no more is forgotten")
	a.succeeded("dr-ayu")
	require.Empty(t, a.last)
}

// What was under way while somebody signed out does not bring their session back.
func TestSessionEnds(t *testing.T) {
	sessions := newSessions(false)
	began, end := make(chan struct{}), make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/in", func(_ http.ResponseWriter, r *http.Request) { sessions.Put(r.Context(), "user", "dr-ayu") })
	mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { close(began); <-end })
	mux.HandleFunc("/out", func(_ http.ResponseWriter, r *http.Request) { _ = sessions.Destroy(r.Context()) })
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, sessions.GetString(r.Context(), "user"))
	})
	h := sessions.LoadAndSave(mux)
	ask := func(path string, cookies ...*http.Cookie) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	cookie := ask("/in").Result().Cookies()[0]
	require.Equal(t, "dr-ayu", ask("/who", cookie).Body.String())
	done := make(chan struct{})
	go func() { defer close(done); ask("/slow", cookie) }()
	<-began
	ask("/out", cookie)
	close(end)
	<-done
	require.Empty(t, ask("/who", cookie).Body.String())
}

// Behind HTTPS no other host sets the session's cookie.
func TestSessionCookie(t *testing.T) {
	require.Equal(t, "clinic", newSessions(false).Cookie.Name)
	c := newSessions(true).Cookie
	require.Equal(t, []any{"__Host-clinic", true, "/", ""}, []any{c.Name, c.Secure, c.Path, c.Domain})
}

// A download that breaks off looks broken off.
func TestAbortedAnswer(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	server := httptest.NewServer(s.recovered(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "PK")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})))
	defer server.Close()
	answer, err := http.Get(server.URL)
	require.NoError(t, err)
	defer answer.Body.Close()
	_, err = io.ReadAll(answer.Body)
	require.True(t, errors.Is(err, io.ErrUnexpectedEOF), "%v", err)
}

// Whoever finds too many before them is told so, and it is no error of the server's.
func TestBusy(t *testing.T) {
	require.Equal(t, problem{Status: http.StatusServiceUnavailable, Code: "busy"}, problemOf(fmt.Errorf("register: %w", clinic.ErrBusy)))
}
