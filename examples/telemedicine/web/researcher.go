package web

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// researcher are the pages of that role.
func (s *Server) researcher(mux *routes) {
	mux.HandleFunc("GET /researcher", s.as(clinic.Researcher, s.researcherHome))
	mux.HandleFunc("POST /researcher/table", s.as(clinic.Researcher, s.researcherAsk))
	mux.HandleFunc("GET /researcher/table/{id}", s.as(clinic.Researcher, s.researcherTable))
	mux.HandleFunc("GET /researcher/table/{id}/csv", s.as(clinic.Researcher, s.researcherCSV))
}

type researcherPage struct {
	Purposes []consent.Purpose
	MinK     int
	Made     []clinic.Made
}

func (s *Server) researcherHome(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	made, err := s.clinic.Made(r.Context(), u)
	if err != nil {
		return err
	}
	return s.show(w, r, http.StatusOK, "researcher-home", researcherPage{clinic.Purposes(), clinic.MinK, made})
}

func (s *Server) researcherAsk(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	study, err := s.study(r, u)
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/researcher/table/"+study.ID, http.StatusSeeOther)
	return nil
}

// study makes the table that a form asks for.
func (s *Server) study(r *http.Request, u clinic.User) (*clinic.Study, error) {
	k, err := strconv.Atoi(r.PostFormValue("k"))
	if err != nil {
		return nil, fmt.Errorf("%w: k", clinic.ErrInput)
	}
	return s.clinic.Study(r.Context(), u, clinic.Question{
		Of: r.PostFormValue("of"), Purpose: consent.Purpose(r.PostFormValue("purpose")), K: k, Keep: r.PostFormValue("keep"),
	})
}

// tablePage is a study, with its beginning and a picture.
type tablePage struct {
	*clinic.Study
	Some [][][]string // rows of cells, each with what it holds
	Bars picture
}

func (s *Server) researcherTable(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	study, err := s.clinic.StudyOf(u, r.PathValue("id"))
	if err != nil {
		return err
	}
	p := tablePage{Study: study, Bars: drawAlike(study)}
	for _, row := range study.Rows[:min(len(study.Rows), 8)] {
		cells := make([][]string, len(row))
		for i, cell := range row {
			cells[i] = clinic.List(cell)
		}
		p.Some = append(p.Some, cells)
	}
	return s.show(w, r, http.StatusOK, "researcher-table", p)
}

func (s *Server) researcherCSV(w http.ResponseWriter, r *http.Request, u clinic.User) error {
	study, err := s.clinic.StudyOf(u, r.PathValue("id"))
	if err != nil {
		return err
	}
	if study.CSV == nil {
		return clinic.ErrNotFound
	}
	return download(w, study.Of+"-"+study.Recipient+".csv", "text/csv; charset=utf-8", study.CSV)
}

// picture is one of how many people are alike, in units of its own: a bar for each
// group, and the line that none may stay below.
type picture struct {
	High  int
	Line  int // where k people are
	Alike []group
}

type group struct {
	Label      string
	People     int
	Y, Wide, N int // N is where the number stands
}

// The units of the picture.
const (
	barsLeft = 190
	barsWide = 440
	barStep  = 34
	maxBars  = 24
)

func drawAlike(s *clinic.Study) picture {
	most := s.K
	for _, a := range s.Alike {
		most = max(most, a.People)
	}
	b := picture{Line: barsLeft + barsWide*s.K/most}
	for i, a := range s.Alike {
		if i == maxBars {
			break
		}
		wide := barsWide * a.People / most
		b.Alike = append(b.Alike, group{a.Label, a.People, 24 + i*barStep, wide, barsLeft + wide + 8})
	}
	b.High = 24 + len(b.Alike)*barStep
	return b
}

// Alike says in the page's words what people who are alike have in common. What is
// hidden of them is not said.
func (v View) Alike(label string) string {
	rows := strings.Split(label, " + ")
	for i, row := range rows {
		var cells []string
		for cell := range strings.SplitSeq(row, ", ") {
			switch cell {
			case "*":
			case "male", "female":
				cells = append(cells, v.T("researcher.is."+cell))
			default:
				cells = append(cells, cell)
			}
		}
		rows[i] = cmp.Or(strings.Join(cells, ", "), v.T("researcher.is.*"))
	}
	return strings.Join(rows, " + ")
}
