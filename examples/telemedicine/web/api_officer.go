package web

import (
	"fmt"
	"net/http"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

func (s *Server) apiOfficer(mux *routes) {
	mux.HandleFunc("GET /api/officer/overview", s.as(clinic.Officer, s.apiOverview))
	mux.HandleFunc("GET /api/officer/keys", s.as(clinic.Officer, s.apiKeys))
	mux.HandleFunc("GET /api/officer/keys/move", s.as(clinic.Officer, s.apiMove))
	mux.HandleFunc("GET /api/officer/incident", s.as(clinic.Officer, s.apiIncident))
	mux.HandleFunc("POST /api/officer/leak", s.as(clinic.Officer, s.apiLeak))
	mux.HandleFunc("POST /api/officer/verify", s.as(clinic.Officer, s.apiVerify))
}

func (s *Server) apiOverview(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	o, err := s.clinic.Overview(r.Context(), u)
	if err != nil {
		return err
	}
	s.json(w, http.StatusOK, map[string]any{"patients": o.Patients, "logEntries": o.Entries, "alerts": o.Alerts, "reviews": o.Reviews, "erasures": o.Erasures})
	return nil
}

func (s *Server) apiKeys(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	all, err := s.clinic.Keys(r.Context(), u)
	if err != nil {
		return err
	}
	type keyset struct {
		Name     string            `json:"name"`
		Of       string            `json:"of"`
		Versions map[uint32]string `json:"versions"`
		Stale    int               `json:"stale"`
	}
	out := []keyset{}
	for _, k := range all {
		versions := map[uint32]string{}
		for _, v := range k.Versions {
			versions[v.Number] = v.State.String()
		}
		out = append(out, keyset{k.Name, k.Of, versions, k.Stale})
	}
	s.json(w, http.StatusOK, out)
	return nil
}

// apiMove is what the bar on the page of keys follows.
func (s *Server) apiMove(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	m, err := s.clinic.Moved(u)
	if err != nil {
		return err
	}
	done, total := m.Report.Done, m.Report.Done+m.Report.Left+m.Report.Failed
	s.json(w, http.StatusOK, map[string]any{"done": done, "total": total, "failed": m.Report.Failed, "ended": !m.Running, "text": fmt.Sprintf("%d / %d", done, total)})
	return nil
}

func (s *Server) apiVerify(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	n, err := s.clinic.VerifyLog(r.Context(), u)
	if err != nil {
		return err
	}
	s.json(w, http.StatusOK, map[string]int64{"entries": n})
	return nil
}

// apiIncident is the report, by the fields of the page's form.
func (s *Server) apiIncident(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	what, err := incidentOf(r)
	if err != nil {
		return err
	}
	report, err := s.clinic.Investigate(r.Context(), u, what)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="incident.json"`)
	s.json(w, http.StatusOK, report)
	return nil
}

// apiLeak is the report on the pseudonyms of a text.
func (s *Server) apiLeak(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	text, err := leaked(r)
	if err != nil {
		return err
	}
	report, found, _, err := s.attribute(r, u, text)
	if err == nil && found == 0 {
		err = clinic.ErrInput
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="leak.json"`)
	s.json(w, http.StatusOK, report)
	return nil
}
