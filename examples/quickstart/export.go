package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/envelope"
)

// An exported table, as its recipient has it, and whose its rows are, which
// the recipient has not.
type exported struct {
	recipient  string
	csv        []byte
	head       []string
	rows       [][]string
	subjects   []string // by row; what the clinic knows and the table does not say
	suppressed int
}

// column returns the cells of a column by its name.
func (e *exported) column(name string) []string {
	at := slices.Index(e.head, name)
	if at < 0 {
		return nil
	}
	out := make([]string, len(e.rows))
	for i, row := range e.rows {
		out[i] = row[at]
	}
	return out
}

// export is chapter 5: two research recipients get a table each.
func (s *story) export(ctx context.Context) error {
	var tables [2]*exported
	for i, recipient := range []string{"university-2026", "institute-2026"} {
		if err := s.clinic.cfg.AddRecipient(ctx, recipient); err != nil {
			return err
		}
		var err error
		if tables[i], err = s.exportTo(ctx, recipient); err != nil {
			return err
		}
	}
	a, b := tables[0], tables[1]
	identifiers, shared, err := s.checkTables(a, b)
	if err != nil {
		return err
	}
	s.say("Two recipients get a table each, of %s rows and %s columns; %s patients did not consent to research and are left out. Three patients, with their pseudonyms in the one and in the other table:",
		count(len(a.rows)), count(len(a.head)), count(a.suppressed))
	s.sideBySide(a, b)
	s.say("Pseudonyms in both tables: %s. Names, NIKs, phones, addresses, birth dates, cities, notes and ids that the search finds in them: %s. Birth dates are years.",
		count(shared), count(identifiers))
	s.say("Still personal data: of %s rows %s are the only one with their year, sex and diagnoses, which somebody may know; the log has why this table left without a k gate.",
		count(len(a.rows)), count(unique(a)))
	return nil
}

// exportTo writes a recipient's table as CSV. The rows are taken in random
// order: two tables in the same order could be joined row by row.
func (s *story) exportTo(ctx context.Context, recipient string) (*exported, error) {
	rows, err := s.clinic.rows(ctx, `SELECT id, clinic, sealed FROM patients ORDER BY random()`)
	if err != nil {
		return nil, err
	}
	table, err := s.clinic.patients.Export(ctx, sequence(rows), analyst(recipient))
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := table.WriteCSV(&text); err != nil {
		return nil, err
	}
	s.clinic.acts.Add(int64(len(rows)))
	e := &exported{recipient: recipient, csv: text.Bytes(), suppressed: table.Suppressed()}
	for _, r := range rows {
		if s.consentsToResearch(r.ID) {
			e.subjects = append(e.subjects, r.ID)
		}
	}
	if e.rows, err = csv.NewReader(bytes.NewReader(e.csv)).ReadAll(); err != nil {
		return nil, err
	}
	e.head, e.rows = e.rows[0], e.rows[1:]
	return e, os.WriteFile(filepath.Join(s.dir, recipient+".csv"), e.csv, 0o600)
}

func sequence(rows []patientRow) iter.Seq2[*Patient, envelope.Sealed] {
	return func(yield func(*Patient, envelope.Sealed) bool) {
		for i := range rows {
			if !yield(&Patient{ID: rows[i].ID}, rows[i].Sealed) {
				return
			}
		}
	}
}

func (s *story) consentsToResearch(id string) bool {
	return inResearch(slices.IndexFunc(s.bundles, func(b bundle) bool { return b.Patient.ID == id }))
}

func (s *story) checkTables(a, b *exported) (identifiers, shared int, err error) {
	direct := directIdentifiers(s.list)
	for _, e := range []*exported{a, b} {
		if err := s.check("a table has exactly the patients who consented to research", checkLeftOut(e, len(s.bundles))); err != nil {
			return 0, 0, err
		}
		n, err := checkNoIdentifiers(e, direct)
		if err := s.check("a table has no direct identifier", err); err != nil {
			return 0, 0, err
		}
		identifiers += n
		if err := s.check("birth dates are years", checkYears(e, s.patient)); err != nil {
			return 0, 0, err
		}
	}
	shared, err = checkUnlinked(a, b)
	return identifiers, shared, s.check("two tables cannot be joined by pseudonym", err)
}

// directIdentifiers searches for what says whose a record is.
func directIdentifiers(list []secret) *thief {
	clinical := []string{"diagnosis", "serology", "observation"}
	return newThief(slices.DeleteFunc(slices.Clone(list), func(x secret) bool { return slices.Contains(clinical, x.Kind) }))
}

func (s *story) sideBySide(a, b *exported) {
	widths := []int{20, 20, 15, 6, 30}
	s.columns(widths, "university-2026", "institute-2026", "Born", "Sex", "Diagnosis")
	for i, subject := range a.subjects[:3] {
		j := slices.Index(b.subjects, subject)
		s.columns(widths, a.column("pseudonym")[i], b.column("pseudonym")[j], a.column("Born")[i], a.column("Sex")[i], a.column("Diagnosis")[i])
	}
}

// unique counts the rows that no other row equals, the pseudonym aside.
func unique(e *exported) (n int) {
	seen := map[string]int{}
	for _, row := range e.rows {
		seen[strings.Join(row[1:], "\x00")]++
	}
	for _, times := range seen {
		if times == 1 {
			n++
		}
	}
	return n
}
