package web

import (
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// home is where each role begins.
func home(role string) string { return "/" + role }

func (s *Server) signingIn(mux *routes) {
	mux.HandleFunc("GET /{$}", s.start)
	mux.HandleFunc("GET /login", s.page(s.loginPage))
	mux.HandleFunc("POST /login", s.page(s.login))
	mux.HandleFunc("GET /password", s.page(s.passwordPage))
	mux.HandleFunc("POST /password", s.page(s.password))
	mux.HandleFunc("POST /logout", s.page(s.logout))
	mux.HandleFunc("POST /language", s.page(s.language))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, clinic.ErrNotFound) })
}

func (s *Server) start(w http.ResponseWriter, r *http.Request) {
	to := "/login"
	if u, err := s.user(r); err == nil {
		to = home(u.Role)
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) error {
	return s.show(w, r, http.StatusOK, "login", nil)
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	name, now := strings.TrimSpace(r.PostFormValue("name")), time.Now()
	if len(name) > 64 || !s.attempts.begin(name, now) {
		return s.show(w, r, http.StatusTooManyRequests, "login", "login.wait")
	}
	u, err := s.clinic.SignIn(r.Context(), name, r.PostFormValue("password"))
	if errors.Is(err, clinic.ErrNotFound) {
		return s.show(w, r, http.StatusUnauthorized, "login", "login.wrong")
	}
	if errors.Is(err, clinic.ErrBusy) {
		return s.show(w, r, http.StatusServiceUnavailable, "login", "problem.busy.text")
	}
	if err != nil {
		return err
	}
	s.attempts.succeeded(name)
	return s.begin(w, r, u)
}

// begin begins a session, with nothing of whoever sat here before: RenewToken alone
// would hand their emergencies on.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	if err := errors.Join(s.sessions.Clear(r.Context()), s.sessions.RenewToken(r.Context())); err != nil {
		return err
	}
	s.sessions.Put(r.Context(), "user", u.Name)
	s.sessions.Put(r.Context(), "password", u.Changed)
	to := home(u.Role)
	if u.MustChoose() {
		to = "/password"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (s *Server) passwordPage(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.user(r); err != nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	return s.show(w, r, http.StatusOK, "password", nil)
}

// password changes it. Tries of the one that it was count as sign-ins do.
func (s *Server) password(w http.ResponseWriter, r *http.Request) error {
	u, err := s.user(r)
	if err != nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return nil
	}
	if r.PostFormValue("new") != r.PostFormValue("again") {
		return s.show(w, r, http.StatusUnprocessableEntity, "password", "password.again.wrong")
	}
	if !s.attempts.begin(u.Name, time.Now()) {
		return s.show(w, r, http.StatusTooManyRequests, "password", "login.wait")
	}
	err = s.clinic.ChangePassword(r.Context(), u, r.PostFormValue("password"), r.PostFormValue("new"))
	switch {
	case errors.Is(err, clinic.ErrNotFound):
		return s.show(w, r, http.StatusUnprocessableEntity, "password", "password.wrong")
	case errors.Is(err, clinic.ErrInput):
		return s.show(w, r, http.StatusUnprocessableEntity, "password", "password.short")
	case errors.Is(err, clinic.ErrBusy):
		return s.show(w, r, http.StatusServiceUnavailable, "password", "problem.busy.text")
	case err != nil:
		return err
	}
	s.attempts.succeeded(u.Name)
	if u, err = s.clinic.User(r.Context(), u.Name); err != nil {
		return err
	}
	return s.begin(w, r, u)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	if err := s.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// user returns who is signed in, or clinic.ErrNotFound.
func (s *Server) user(r *http.Request) (clinic.User, error) {
	if u, ok := r.Context().Value(signedIn{}).(clinic.User); ok {
		return u, nil
	}
	name := s.sessions.GetString(r.Context(), "user")
	if name == "" {
		return clinic.User{}, clinic.ErrNotFound
	}
	u, err := s.clinic.User(r.Context(), name)
	if err == nil && u.Changed != s.sessions.GetInt(r.Context(), "password") {
		err = clinic.ErrNotFound // of a password that is no more
	}
	return u, err
}

// language is the switch in each page's head.
func (s *Server) language(w http.ResponseWriter, r *http.Request) error {
	lang := r.PostFormValue("lang")
	if lang != "id" && lang != "en" {
		return clinic.ErrInput
	}
	http.SetCookie(w, &http.Cookie{Name: "lang", Value: lang, Path: "/", MaxAge: 365 * 24 * 3600, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: s.sessions.Cookie.Secure})
	back := r.PostFormValue("back") // a path of this server: browsers drop tabs, and read / and \ alike
	if !strings.HasPrefix(back, "/") || strings.HasPrefix(back, "//") || strings.ContainsFunc(back, func(c rune) bool { return c == '\\' || unicode.IsControl(c) }) {
		back = "/"
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
	return nil
}
