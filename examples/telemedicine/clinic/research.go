package clinic

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/pseudo/risk"
)

// Question is what a researcher asks for.
type Question struct {
	Of      string          `json:"of"` // what a row is: Patients or Visits
	Purpose consent.Purpose `json:"purpose"`
	K       int             `json:"k"`              // how many people must be alike, from MinK
	Keep    string          `json:"keep,omitempty"` // of a table of patients, what must not be hidden: Born, Sex, or nothing in particular
}

// What a row of a table can be.
const (
	Patients = "patients"
	Visits   = "visits"
)

// MinK is the clinic's own floor: fewer people are never alike in a table that
// leaves. A researcher may ask for more.
const MinK = 11

// maxLeftOut is the share of the rows that the gate may leave out so that the
// others are alike.
const maxLeftOut = 0.1

// Purposes are those that a researcher can ask for. Only what patients have
// allowed brings rows.
func Purposes() []consent.Purpose {
	return []consent.Purpose{consent.Research, consent.PublicHealth, consent.Marketing}
}

// Study is a table that was made for a researcher's institution, and the account
// of it.
type Study struct {
	Question
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Actor     string    `json:"actor"`
	Recipient string    `json:"recipient"`

	Columns []Column   `json:"columns"`
	Rows    [][]string `json:"rows"` // as in the file
	CSV     []byte     `json:"-"`
	LeftOut []LeftOut  `json:"leftOut"` // most records first
	Alike   []Alike    `json:"alike"`   // by label
	Refused bool       `json:"refused"` // by the gate: no row is given
}

// Column is a column of a study, and what became of its values.
type Column struct {
	Name string `json:"name"`
	Form string `json:"form"`           // kept, year, bands, hidden, withheld
	Wide int    `json:"years,omitzero"` // of bands: how many years
}

// LeftOut is how many records are not in the table for a reason.
type LeftOut struct {
	Reason consent.Reason `json:"reason"`
	N      int            `json:"records"`
}

// Alike are people whom nobody can tell apart by what others may know of them.
type Alike struct {
	Label  string `json:"label"`
	People int    `json:"people"`
}

// Out is the number of records that are not in the table.
func (s *Study) Out() (n int) {
	for _, l := range s.LeftOut {
		n += l.N
	}
	return n
}

// People is the number of patients in the table.
func (s *Study) People() (n int) {
	for _, a := range s.Alike {
		n += a.People
	}
	return n
}

// Study makes a table: of every record whose patient allows the purpose, under
// pseudonyms that only this researcher's institution gets, through the gate. The gate
// measures this table and no other: an institution that asks twice, for other columns
// to be kept or for visits, joins what it got by the pseudonyms, and fewer than k are
// alike in that. Where an agreement does not allow for it, each study is a recipient
// of its own, with pseudonyms of its own. What
// the gate refuses is a study that is Refused; a question that cannot be asked is
// [ErrInput].
func (c *Clinic) Study(ctx context.Context, u User, q Question) (*Study, error) {
	if err := u.must(Researcher); err != nil {
		return nil, err
	}
	if q.K < MinK || q.K > 1000 || !slices.Contains(Purposes(), q.Purpose) || !slices.Contains([]string{"", "Born", "Sex"}, q.Keep) {
		return nil, fmt.Errorf("%w: purpose, k, or what to keep", ErrInput)
	}
	c.studies.making.Lock() // what is left out is counted by the time
	defer c.studies.making.Unlock()
	s := &Study{Question: q, ID: envelope.NewID(), At: c.now(), Actor: u.Name, Recipient: u.Recipient, Rows: [][]string{}, Alike: []Alike{}}
	req := u.request(q.Purpose)
	req.Job = tableJob(u)
	req.Recipient, req.Gate = u.Recipient, consent.Gate{K: q.K, Suppress: maxLeftOut, Quasi: quasi(q)}
	table, err := c.table(ctx, q.Of, req)
	if err != nil {
		return nil, err
	}
	if err := s.read(table); err != nil {
		return nil, err
	}
	if s.LeftOut, err = c.leftOut(ctx, s); err != nil {
		return nil, err
	}
	if len(s.Rows) > 0 {
		if err := c.noteStudy(ctx, s); err != nil {
			return nil, err
		}
	}
	c.studies.keep(s, c.now())
	return s, nil
}

// tableJob is the registered job of an institution's tables: they take in more
// patients than a person may reach.
func tableJob(u User) string { return "tables/" + u.Recipient }

// tableRecords are a type's records for one institution's tables, under a guard in
// which their job is registered for who asks. A guard's jobs name their actors
// before records are made of it, and researchers come and go while the clinic runs:
// so it is made for each table. A nightly job, whose actors never change, is
// registered once, where the clinic is opened.
func tableRecords[T any](c *Clinic, name string, req consent.Request) (*consent.Records[T], error) {
	cfg := *c.cfg
	cfg.Guard.Jobs = map[string]consent.Job{req.Job: {Actors: []string{req.Actor}, Limit: c.tables}}
	return consent.NewRecords[T](name, &cfg)
}

// quasi is what others may know of a patient: in a table of visits, what the gate
// measures by itself, which is the years. In one of patients the years of birth
// have coarser bands than the gate's own, so that a small clinic's table keeps more
// of them.
func quasi(q Question) []risk.Quasi {
	if q.Of != Patients {
		return nil
	}
	return []risk.Quasi{
		{Column: "Born", Levels: []risk.Level{risk.Bands(5), risk.Bands(10), risk.Bands(20), risk.Bands(40)}, Required: q.Keep == "Born"},
		{Column: "Sex", Required: q.Keep == "Sex"},
	}
}

// table is the export of all rows of a kind.
func (c *Clinic) table(ctx context.Context, of string, req consent.Request) (*consent.Table, error) {
	switch of {
	case Patients:
		rows, err := c.shuffled(ctx, `SELECT id, id, sealed FROM patients`)
		if err != nil {
			return nil, err
		}
		patients, err := tableRecords[Patient](c, "patient", req)
		if err != nil {
			return nil, err
		}
		return patients.Export(ctx, sequence(rows, func(r sealedRow) *Patient { return &Patient{ID: r.patient} }), req)
	case Visits:
		rows, err := c.shuffled(ctx, `SELECT id, patient, sealed FROM visits`)
		if err != nil {
			return nil, err
		}
		visits, err := tableRecords[Visit](c, "visit", req)
		if err != nil {
			return nil, err
		}
		return visits.Export(ctx, sequence(rows, func(r sealedRow) *Visit { return &Visit{ID: r.id, Patient: r.patient} }), req)
	}
	return nil, fmt.Errorf("%w: table", ErrInput)
}

// shuffled puts the rows into an order that says nothing: two institutions that
// had theirs in one order would join them line by line.
func (c *Clinic) shuffled(ctx context.Context, query string) ([]sealedRow, error) {
	rows, err := collect(ctx, c.db, func(rows *sql.Rows) (r sealedRow, err error) {
		err = rows.Scan(&r.id, &r.patient, &r.sealed)
		return r, err
	}, query)
	rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows, err
}

// read makes the file. A table can be read once, so the pages show what the file
// holds.
func (s *Study) read(table *consent.Table) error {
	for _, name := range table.Columns {
		s.Columns = append(s.Columns, Column{Name: name, Form: "kept"})
	}
	var file bytes.Buffer
	err := table.WriteCSV(&file)
	if errors.Is(err, risk.ErrRefused) {
		s.Refused = true
		return nil
	}
	if err != nil {
		return err
	}
	s.CSV = file.Bytes()
	rows, err := csv.NewReader(&file).ReadAll()
	if err != nil {
		return err
	}
	s.Rows = rows[1:]
	for i := range s.Columns {
		s.Columns[i].look(s.Rows, i)
	}
	s.count()
	return nil
}

// look says what became of a column's values. Only dates and the sex are ever
// generalised, and a level is one for the whole column.
func (c *Column) look(rows [][]string, i int) {
	for _, row := range rows {
		switch cell := row[i]; {
		case cell == "":
			continue
		case cell == (consent.Withheld{}).String():
			c.Form = "withheld"
			continue
		case cell == "*":
			c.Form = "hidden"
		case years(cell) == 1:
			c.Form = "year"
		case years(cell) > 1:
			c.Form, c.Wide = "bands", years(cell)
		default:
			c.Form = "kept"
		}
		return
	}
}

// years is how many years a cell spans, such as 2 for "1980-1981"; 0 where it is
// none.
func years(cell string) int {
	first, last, several := strings.Cut(cell, "-")
	from, err := strconv.ParseUint(first, 10, 16)
	if err != nil || len(first) != 4 {
		return 0
	}
	if !several {
		return 1
	}
	to, err := strconv.ParseUint(last, 10, 16)
	if err != nil || to < from {
		return 0
	}
	return int(to-from) + 1
}

// count finds who is alike: the gate takes all rows of a person together.
func (s *Study) count() {
	of := map[string][]string{} // by pseudonym
	for _, row := range s.Rows {
		var known []string
		for i, col := range s.Columns {
			if col.Name == "Born" || col.Name == "Sex" || col.Name == "At" {
				known = append(known, row[i])
			}
		}
		of[row[0]] = union(of[row[0]], []string{strings.Join(known, ", ")})
	}
	people := map[string]int{}
	for _, known := range of {
		people[strings.Join(known, " + ")]++
	}
	for label, n := range people {
		s.Alike = append(s.Alike, Alike{label, n})
	}
	slices.SortFunc(s.Alike, func(a, b Alike) int { return strings.Compare(a.Label, b.Label) })
}

// leftOut counts the records that the table lacks, by the reasons that the audit
// log has. A caller is told a record's own reason nowhere else.
func (c *Clinic) leftOut(ctx context.Context, s *Study) ([]LeftOut, error) {
	n := map[consent.Reason]int{}
	for e, err := range c.cfg.Log.Entries(ctx, consent.Filter{From: s.At, Action: "export", Actor: s.Actor, Recipient: s.Recipient}) {
		switch {
		case err != nil:
			return nil, err
		case e.Outcome == "failed": // it would have been given, had the gate let it
			n[consent.TooFew]++
		case e.Outcome == "refused" && e.Reason != consent.TooFew: // that one is the gate's own entry
			n[e.Reason]++
		}
	}
	out := []LeftOut{}
	for reason, count := range n {
		out = append(out, LeftOut{reason, count})
	}
	slices.SortFunc(out, func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Reason, b.Reason))
	})
	return out, nil
}

// List returns what a cell that holds a list has in it, and other cells as they
// are.
func List(cell string) []string {
	var list []string
	if strings.HasPrefix(cell, "[") && json.Unmarshal([]byte(cell), &list) == nil {
		return list
	}
	return []string{cell}
}
