package web

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

//go:embed pages words
var files embed.FS

// pages are the templates by name, and the words that they are made of.
type pages struct {
	templates map[string]*template.Template
	words     map[string]map[string]string // by language, by key
}

// loadPages reads pages/*.html, each on the frame of pages/frame.html, and
// words/*.json.
func loadPages() (pages, error) {
	p := pages{templates: map[string]*template.Template{}, words: map[string]map[string]string{"en": {}, "id": {}}}
	names, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		return p, err
	}
	for _, name := range names {
		key := strings.TrimSuffix(path.Base(name), ".html")
		if key == "frame" {
			continue
		}
		if p.templates[key], err = template.ParseFS(files, "pages/frame.html", name); err != nil {
			return p, err
		}
	}
	lists, err := fs.Glob(files, "words/*.json")
	if err != nil {
		return p, err
	}
	for _, name := range lists {
		if err := p.addWords(name); err != nil {
			return p, fmt.Errorf("%s: %w", name, err)
		}
	}
	return p, nil
}

// addWords reads a list of words: key, English, Indonesian.
func (p pages) addWords(name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	var list map[string][2]string
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	for key, in := range list {
		if _, there := p.words["en"][key]; there || in[0] == "" || in[1] == "" {
			return fmt.Errorf("%q is there twice, or lacks a language", key)
		}
		p.words["en"][key], p.words["id"][key] = in[0], in[1]
	}
	return nil
}

// View is what every page is given. Page is the handler's own.
type View struct {
	Lang string
	Path string
	User clinic.User
	Page any

	words map[string]string
	at    string // the path without its query
}

// T returns the words of a key, with arguments as fmt has them. A key that has
// none shows as it is, and a test refuses it.
func (v View) T(key string, args ...any) string {
	words, ok := v.words[key]
	if !ok {
		return "⟦" + key + "⟧"
	}
	if len(args) == 0 {
		return words
	}
	return fmt.Sprintf(words, args...)
}

// Field says a record's field in the page's language; one that has no words, as it is.
func (v View) Field(name string) string {
	if words, ok := v.words["patient.field."+name]; ok {
		return words
	}
	return name
}

// Why says a refusal's reason in the page's language.
func (v View) Why(reason consent.Reason) string { return reason.In(consent.Language(v.Lang)) }

// Day shows the day of a time as the page's readers write it, in Jakarta's zone.
func (v View) Day(t time.Time) string { return v.in(t, "2 Jan 2006") }

// Time is Day with the time of day.
func (v View) Time(t time.Time) string { return v.in(t, "2 Jan 2006, 15:04:05") }

// Minute is Time without the seconds.
func (v View) Minute(t time.Time) string { return v.in(t, "2 Jan 2006, 15:04") }

func (v View) in(t time.Time, layout string) string {
	if t.IsZero() {
		return "–"
	}
	text := t.In(clinic.Zone()).Format(layout)
	if v.Lang == "id" {
		text = strings.NewReplacer("May", "Mei", "Aug", "Agu", "Oct", "Okt", "Dec", "Des").Replace(text)
	}
	return text
}

// Age is how old somebody is on this day of Jakarta's, in years.
func (v View) Age(born time.Time) int { return ageOn(born, time.Now()) }

func ageOn(born, now time.Time) int {
	now = now.In(clinic.Zone())
	years := now.Year() - born.Year()
	if now.Month() < born.Month() || now.Month() == born.Month() && now.Day() < born.Day() {
		years--
	}
	return years
}

// page makes a handler of one that may fail.
func (s *Server) page(h func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	}
}

// as makes a handler for one role. Whoever is not signed in is sent to the
// door; another role is refused.
func (s *Server) as(role string, h func(http.ResponseWriter, *http.Request, clinic.User) error) http.HandlerFunc {
	return s.page(func(w http.ResponseWriter, r *http.Request) error {
		u, err := s.user(r)
		if errors.Is(err, clinic.ErrNotFound) {
			if isAPI(r) {
				return errSignIn
			}
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return nil
		}
		if err != nil {
			return err
		}
		if u.Role != role {
			return clinic.ErrForbidden
		}
		if u.MustChoose() {
			if isAPI(r) {
				return clinic.ErrForbidden
			}
			http.Redirect(w, r, "/password", http.StatusSeeOther)
			return nil
		}
		return h(w, r.WithContext(context.WithValue(r.Context(), signedIn{}, u)), u)
	})
}

// signedIn is under what the context of a request has its user, once as has asked.
type signedIn struct{}

var errSignIn = errors.New("sign in first")

func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// show writes a page, whole or not at all.
func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, page any) error {
	v := View{Lang: language(r), Path: r.URL.RequestURI(), Page: page, at: r.URL.Path}
	v.words = s.pages.words[v.Lang]
	if u, err := s.user(r); err == nil {
		v.User = u
	}
	t := s.pages.templates[name]
	if t == nil {
		return fmt.Errorf("no page %q", name)
	}
	var body bytes.Buffer
	if err := t.ExecuteTemplate(&body, "frame", v); err != nil {
		return fmt.Errorf("page %q: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
	return nil
}

// language is the one chosen, the browser's, or Indonesian.
func language(r *http.Request) string {
	if c, err := r.Cookie("lang"); err == nil && (c.Value == "en" || c.Value == "id") {
		return c.Value
	}
	for _, tag := range strings.Split(r.Header.Get("Accept-Language"), ",") {
		switch base, _, _ := strings.Cut(strings.TrimSpace(tag), "-"); base {
		case "en", "id":
			return base
		}
	}
	return "id"
}

// problem is what a page or an answer says of an error: never more than a kind,
// for an error may name whom it is about.
type problem struct {
	Status int            `json:"-"`
	Code   string         `json:"error"`
	Reason string         `json:"reason,omitempty"`
	Fields []string       `json:"fields,omitempty"` // of a form
	Why    consent.Reason `json:"-"`
}

// problemOf sorts errors by what the reader can do about them.
func problemOf(err error) problem {
	var denied *consent.DeniedError
	var format *pseudo.FormatError
	var large *http.MaxBytesError
	var fields *clinic.FieldsError
	switch {
	case errors.Is(err, errSignIn):
		return problem{Status: http.StatusUnauthorized, Code: "sign-in"}
	case errors.Is(err, clinic.ErrNotFound), errors.Is(err, keyring.ErrNoSubjectKey):
		return problem{Status: http.StatusNotFound, Code: "not-found"}
	case errors.Is(err, clinic.ErrForbidden):
		return problem{Status: http.StatusForbidden, Code: "forbidden"}
	case errors.As(err, &large):
		return problem{Status: http.StatusRequestEntityTooLarge, Code: "too-large"}
	case errors.As(err, &format):
		return problem{Status: http.StatusUnprocessableEntity, Code: "format", Reason: format.Error()}
	case errors.As(err, &fields):
		return problem{Status: http.StatusUnprocessableEntity, Code: "input", Fields: fields.Fields}
	case errors.Is(err, clinic.ErrInput), errors.Is(err, consent.ErrLimit), errors.Is(err, consent.ErrRequest):
		return problem{Status: http.StatusUnprocessableEntity, Code: "input"}
	case errors.Is(err, clinic.ErrBusy):
		return problem{Status: http.StatusServiceUnavailable, Code: "busy"}
	case errors.Is(err, clinic.ErrConflict), errors.Is(err, consent.ErrReview): // another officer was quicker
		return problem{Status: http.StatusConflict, Code: "conflict"}
	case errors.Is(err, keyring.ErrShredded), errors.Is(err, keyring.ErrRetained):
		return problem{Status: http.StatusGone, Code: "gone"}
	case errors.As(err, &denied) && denied.Reason == consent.TooMany:
		return problem{Status: http.StatusTooManyRequests, Code: "too-many", Why: denied.Reason}
	case errors.As(err, &denied):
		return problem{Status: http.StatusForbidden, Code: "denied", Why: denied.Reason}
	case errors.Is(err, context.Canceled):
		return problem{Status: 499, Code: "gone-away"}
	}
	return problem{Status: http.StatusInternalServerError, Code: "internal"}
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		s.log.Error("request", "method", r.Method, "route", r.Pattern, "err", err)
	}
	if isAPI(r) {
		if p.Why != "" {
			p.Reason = p.Why.In(consent.English)
		}
		s.json(w, p.Status, p)
		return
	}
	if err := s.show(w, r, p.Status, "problem", p); err != nil {
		s.log.Error("page", "err", err)
		http.Error(w, "something went wrong", http.StatusInternalServerError)
	}
}

func (s *Server) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.log.Error("json", "err", err)
	}
}
