package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/keyring"
)

type officerKeysPage struct {
	Keysets []clinic.Keyset
	Stale   int // patients' keys that an older version wraps
	Move    clinic.Move
	Problem string // key of what is said of an act that was refused
}

func (s *Server) officerKeys(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	return s.keysPage(w, r, u, "")
}

func (s *Server) keysPage(w http.ResponseWriter, r *http.Request, u clinic.User, problem string) error {
	p := officerKeysPage{Problem: problem}
	var err error
	if p.Move, err = s.clinic.Moved(u); err != nil {
		return err
	}
	if p.Keysets, err = s.clinic.Keys(r.Context(), u); err != nil {
		return err
	}
	for _, k := range p.Keysets {
		p.Stale += k.Stale
	}
	status := http.StatusOK
	if problem != "" {
		status = http.StatusConflict
	}
	return s.show(w, r, status, "officer-keys", p)
}

// officerChangeKeys does what a button of the page says: rotate, move, or a new
// state for an older version.
func (s *Server) officerChangeKeys(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	var err error
	switch do, name := r.PostFormValue("do"), r.PostFormValue("keyset"); do {
	case "move":
		err = s.clinic.MoveKeys(u)
	case "rotate":
		err = s.clinic.Rotate(r.Context(), u, name)
	default:
		to, ok := map[string]keyring.State{"suspend": keyring.Suspended, "resume": keyring.Deactivated, "destroy": keyring.Destroyed}[do]
		version, bad := strconv.ParseUint(r.PostFormValue("version"), 10, 32)
		if !ok || bad != nil {
			return clinic.ErrInput
		}
		err = s.clinic.SetState(r.Context(), u, name, uint32(version), to)
	}
	switch {
	case errors.Is(err, keyring.ErrInUse):
		return s.keysPage(w, r, u, "officer.keys.in-use")
	case errors.Is(err, keyring.ErrState):
		return s.keysPage(w, r, u, "officer.keys.not-yet")
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/officer/keys", http.StatusSeeOther)
	return nil
}

// versionAct is a button beside a version of a keyset.
type versionAct struct {
	Keyset, Act, Words, Ask string
	Version                 uint32
}

// Do is a button's data; what cannot be undone asks before.
func (v View) Do(keyset string, version uint32, act string) versionAct {
	a := versionAct{Keyset: keyset, Version: version, Act: act, Words: v.T("officer.keys." + act)}
	if act == "destroy" {
		a.Ask = v.T("officer.keys.destroy.ask")
	}
	return a
}
