package web

import (
	"encoding/hex"
	"errors"
	"net/http"
	"slices"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

type officerThiefPage struct {
	Patients []clinic.Shown
	ID       string
	Stolen   []clinic.Stolen
	Chart    *clinic.Chart
	Refused  consent.Reason
	Sweep    clinic.Sweep
}

// officerThief shows what lies in the database beside what a doctor sees of it.
// Without a patient in its address it takes the first who agreed to be shown.
func (s *Server) officerThief(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p := officerThiefPage{ID: r.FormValue("patient")}
	var err error
	if p.Patients, err = s.clinic.ToShow(r.Context(), u, 12); err != nil {
		return err
	}
	if p.ID == "" && len(p.Patients) > 0 {
		p.ID = p.Patients[0].ID
	}
	if p.ID == "" {
		return s.show(w, r, http.StatusOK, "officer-thief", p)
	}
	if !slices.ContainsFunc(p.Patients, func(shown clinic.Shown) bool { return shown.ID == p.ID }) {
		p.Patients = append(p.Patients, clinic.Shown{ID: p.ID})
	}
	if p.Stolen, err = s.clinic.Stolen(r.Context(), u, p.ID); err != nil {
		return err
	}
	status := http.StatusOK
	var denied *consent.DeniedError
	switch p.Chart, err = s.clinic.Showcase(r.Context(), u, p.ID); {
	case errors.As(err, &denied):
		p.Refused, status = denied.Reason, http.StatusForbidden
	case err != nil:
		return err
	default:
		if p.Sweep, err = s.clinic.Sweep(r.Context(), u, p.Chart); err != nil {
			return err
		}
	}
	return s.show(w, r, status, "officer-thief", p)
}

// Hex writes bytes as a thief reads them: the first of them, in groups of four.
func (v View) Hex(b []byte, most int) string {
	cut := b[:min(len(b), most)]
	text := hex.EncodeToString(cut)
	var out []byte
	for i := range text {
		if i > 0 && i%8 == 0 {
			out = append(out, ' ')
		}
		out = append(out, text[i])
	}
	if len(cut) < len(b) {
		out = append(out, " …"...)
	}
	return string(out)
}
