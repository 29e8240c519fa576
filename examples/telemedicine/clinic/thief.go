package clinic

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/rahasia/rahasia/consent"
)

// Stolen is a row as it lies in the database.
type Stolen struct {
	Table   string
	Columns []StolenColumn
}

// StolenColumn is a value of it: text, bytes, or neither where it is NULL.
type StolenColumn struct {
	Name  string
	Text  string
	Bytes []byte
}

// Shown is a patient whom the officer may pick, by what a thief has of them.
type Shown struct {
	ID     string
	Sealed []byte
	NIK    []byte // the token
	Agreed bool   // to be shown: the choice "showcase"
}

// ToShow returns some patients as they lie there, those first who agreed to be
// shown with their record open.
func (c *Clinic) ToShow(ctx context.Context, u User, limit int) ([]Shown, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	all, err := collect(ctx, c.db, func(rows *sql.Rows) (s Shown, err error) {
		var b []byte
		err = rows.Scan(&s.ID, &s.Sealed, &s.NIK, &b)
		if s.NIK == nil {
			s.NIK = b
		}
		return s, err
	}, `SELECT id, sealed, nik_a, nik_b FROM patients ORDER BY id LIMIT 200`)
	if err != nil {
		return nil, err
	}
	var agreed, others []Shown
	for _, s := range all {
		consents, err := c.cfg.Ledger.Of(ctx, s.ID)
		if err != nil {
			continue // erased, for instance: nothing to show
		}
		policy := c.cfg.Policy
		s.Agreed = policy.Decide(consents, u.request(consent.Operations), consent.Data{Type: "patient"}, c.now()).Permit
		if s.Agreed {
			agreed = append(agreed, s)
		} else if len(others) < limit {
			others = append(others, s)
		}
	}
	return append(agreed, others...)[:min(limit, len(agreed)+len(others))], nil
}

// Showcase opens the chart of a patient who agreed to be shown, as the doctor's
// page would, but for what only doctors may open. It is counted and logged like
// any other opening, and refused for everybody who did not agree.
func (c *Clinic) Showcase(ctx context.Context, u User, id string) (*Chart, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	return c.chart(ctx, id, u.request(consent.Operations))
}

// Stolen returns the rows of the application's database that are a patient's
// record, and the newest entry of the audit log, as they lie there.
func (c *Clinic) Stolen(ctx context.Context, u User, id string) ([]Stolen, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	var out []Stolen
	for _, from := range []struct{ table, where string }{{"patients", "id"}, {"visits", "patient"}, {"files", "patient"}} {
		err := c.rows(ctx, from.table, ` WHERE `+from.where+` = $1 ORDER BY 1`, func(s Stolen) { out = append(out, s) }, id)
		if err != nil {
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, ErrNotFound
	}
	text, err := c.cfg.Log.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := c.cfg.Log.Prove(ctx, sizeOf(text)-1)
	if err != nil {
		return nil, err
	}
	return append(out, Stolen{"consent_log", []StolenColumn{{Name: "entry", Bytes: proof.Leaf}}}), nil
}

// rows reads whole rows of a table, whatever its columns are. The table's name and
// what follows are this package's own.
func (c *Clinic) rows(ctx context.Context, table, rest string, row func(Stolen), args ...any) error {
	rows, err := c.db.QueryContext(ctx, `SELECT * FROM `+table+rest, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		s := Stolen{Table: table}
		for i, v := range values {
			column := StolenColumn{Name: names[i]}
			switch v := v.(type) {
			case nil:
			case []byte:
				column.Bytes = v
			default:
				column.Text = fmt.Sprint(v)
			}
			s.Columns = append(s.Columns, column)
		}
		row(s)
	}
	return rows.Err()
}

// Sweep is a search of the whole database for values in clear.
type Sweep struct {
	Values, Rows, Bytes int
	Found               int
}

// Sweep looks for what a chart shows in every value of every table: what a thief
// would do first.
func (c *Clinic) Sweep(ctx context.Context, u User, chart *Chart) (Sweep, error) {
	if err := u.must(Officer); err != nil {
		return Sweep{}, err
	}
	clear := clearOf(chart)
	s := Sweep{Values: len(clear)}
	for _, table := range []string{"patients", "visits", "files", "accounts", "arrivals", "rahasia_accepted", "erasures", "exports", "alerts"} {
		err := c.rows(ctx, table, "", func(row Stolen) {
			s.Rows++
			for _, column := range row.Columns {
				b := append(column.Bytes, column.Text...)
				s.Bytes += len(b)
				for _, value := range clear {
					if bytes.Contains(b, []byte(value)) {
						s.Found++
					}
				}
			}
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// clearOf are the texts of a chart that are long enough to be recognised.
func clearOf(chart *Chart) []string {
	p := chart.Patient
	all := append([]string{p.NIK, p.Name, p.Phone, strings.ReplaceAll(p.Phone, " ", ""), p.Address, p.Born.Format("2006-01-02")}, p.Allergies...)
	all = append(all, p.Conditions...)
	for _, v := range chart.Visits {
		all = append(all, v.Complaint, v.Diagnosis, v.Notes)
	}
	var out []string
	for _, text := range all {
		if len(text) >= 5 {
			out = append(out, text)
		}
	}
	return out
}
