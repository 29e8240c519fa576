package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/keyring"
)

type officerErasuresPage struct {
	Erasures []clinic.Erasure
	Until    string // that the form proposes
	Earliest string
	Basis    string

	Patient, Receipt string // of what has just been done
	Kept             bool   // and not erased
	Bad              string // the patient whose form was not taken
}

// A law that obliges clinics to keep medical records, and for how long.
const (
	keepYears = 25
	keepBasis = "Permenkes 24/2022 art. 39"
)

func (s *Server) officerErasures(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.erasuresPage(w, r, u, http.StatusOK, officerErasuresPage{})
}

func (s *Server) erasuresPage(w http.ResponseWriter, r *http.Request, u clinic.User, status int, p officerErasuresPage) error {
	var err error
	if p.Erasures, err = s.clinic.Erasures(r.Context(), u); err != nil {
		return err
	}
	today := time.Now().In(clinic.Zone())
	p.Until, p.Earliest, p.Basis = today.AddDate(keepYears, 0, 0).Format(time.DateOnly), today.Format(time.DateOnly), keepBasis
	return s.show(w, r, status, "officer-erasures", p)
}

// officerDecide erases a patient who asked for it, or keeps the records until a date.
func (s *Server) officerDecide(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	p := officerErasuresPage{Patient: r.PostFormValue("patient"), Kept: r.PostFormValue("do") == "keep"}
	var receipt keyring.Receipt
	var err error
	switch r.PostFormValue("do") {
	case "erase":
		receipt, err = s.clinic.Erase(r.Context(), u, p.Patient)
	case "keep":
		receipt, err = s.keep(r, u, p.Patient)
		if errors.Is(err, clinic.ErrInput) {
			return s.erasuresPage(w, r, u, http.StatusUnprocessableEntity, officerErasuresPage{Bad: p.Patient})
		}
	default:
		err = clinic.ErrInput
	}
	if err != nil {
		return err
	}
	p.Receipt = receipt.String()
	return s.erasuresPage(w, r, u, http.StatusOK, p)
}

// keep puts the records out of service through the whole of a day that the form says.
func (s *Server) keep(r *http.Request, u clinic.User, patient string) (keyring.Receipt, error) {
	day, err := time.ParseInLocation(time.DateOnly, r.PostFormValue("until"), clinic.Zone())
	if err != nil || day.After(time.Now().AddDate(100, 0, 0)) {
		return keyring.Receipt{}, clinic.ErrInput
	}
	return s.clinic.Retain(r.Context(), u, patient, keyring.Retention{Until: day.AddDate(0, 0, 1), Basis: strings.TrimSpace(r.PostFormValue("basis"))})
}
