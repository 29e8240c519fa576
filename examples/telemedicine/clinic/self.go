package clinic

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// Own opens a patient's own record for the patient, labels included: the law says
// that they may read it, whatever they have allowed to others. It is logged like
// any other reading.
func (c *Clinic) Own(ctx context.Context, u User) (*Chart, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	return c.chart(ctx, u.Patient, u.request(consent.PatientRequest))
}

// Event is something that was done with a patient's records, or refused: the
// entries of the audit log that one act left, taken together.
type Event struct {
	At            time.Time       `json:"at"`
	Actor         string          `json:"actor"`
	Role          string          `json:"role"`
	Action        string          `json:"action"` // as [consent.Entry] has it
	Purpose       consent.Purpose `json:"purpose"`
	Outcome       string          `json:"outcome"` // done, refused, or failed where what was announced did not happen
	Reason        consent.Reason  `json:"reason,omitempty"`
	Article       string          `json:"article,omitempty"`
	Justification string          `json:"justification,omitempty"` // of an emergency
	Recipient     string          `json:"recipient,omitempty"`     // of a table
	K             int             `json:"k,omitzero"`              // that the table obeys

	Types    map[string]int `json:"types"`            // how many records of each type
	Fields   []string       `json:"fields"`           // that were seen, or taken in, sorted
	Withheld []string       `json:"withheld"`         // that were not
	Choices  []string       `json:"choices"`          // keys of choices that were given or withdrawn, or of which there is a receipt
	Review   *Review        `json:"review,omitempty"` // of an emergency, once somebody has looked into it
}

// Review is what came of looking into an emergency.
type Review struct {
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Justified bool      `json:"justified"`
	Note      string    `json:"note"`
}

// together is how long an act takes at most: a chart leaves an entry for each of
// its records.
const together = time.Minute

// History returns what was done with the patient's records, newest first. Searches
// are not in it: they name nobody.
func (c *Clinic) History(ctx context.Context, u User) ([]Event, error) {
	if err := u.must(Self); err != nil {
		return nil, err
	}
	entries, err := c.cfg.Log.History(ctx, u.Patient)
	if err != nil {
		return nil, err
	}
	events := eventsOf(entries)
	slices.Reverse(events)
	return events, nil
}

// eventsOf takes entries that one act left together, in order.
func eventsOf(entries []consent.Entry) []Event {
	var events []*Event
	of := map[string]*Event{} // by decision
	failed := map[string]bool{}
	for _, e := range entries {
		failed[e.Decision] = failed[e.Decision] || e.Outcome == "failed"
	}
	for _, e := range entries {
		switch {
		case e.Action == "review":
			if event := of[e.Decision]; event != nil {
				event.Review = &Review{At: e.Time, By: e.Actor, Justified: e.Outcome == "justified", Note: e.Justification}
			}
			continue
		case e.Outcome == "failed", e.Outcome == "completed":
			continue // about an act whose entry came before
		}
		if e.Decision != "" && failed[e.Decision] {
			e.Outcome, e.Fields = "failed", nil
		}
		if len(events) == 0 || !events[len(events)-1].is(e) {
			events = append(events, &Event{
				At: e.Time, Actor: e.Actor, Role: e.Role, Action: e.Action, Purpose: e.Purpose, Outcome: e.Outcome, Reason: e.Reason,
				Article: e.Article, Justification: e.Justification, Recipient: e.Recipient, K: e.K, Types: map[string]int{},
				Fields: []string{}, Withheld: []string{}, Choices: []string{},
			})
		}
		event := events[len(events)-1]
		event.add(e)
		of[e.Decision] = event
	}
	out := make([]Event, len(events))
	for i, event := range events {
		out[i] = *event
	}
	return out
}

// is reports whether an entry is of the same act. What somebody chose is one,
// whatever it is about.
func (v *Event) is(e consent.Entry) bool {
	return v.Actor == e.Actor && v.Action == e.Action && (v.Chosen() || v.Purpose == e.Purpose) && v.Outcome == e.Outcome && v.Recipient == e.Recipient &&
		v.Justification == e.Justification && e.Time.Sub(v.At) < together
}

// Chosen reports whether it is about what the patient allows, and not about records.
func (v Event) Chosen() bool {
	return slices.Contains([]string{"give", "withdraw", "receipt"}, v.Action)
}

func (v *Event) add(e consent.Entry) {
	if e.Type != "" {
		v.Types[e.Type]++
	}
	v.Fields = union(v.Fields, e.Fields)
	v.Withheld = union(v.Withheld, e.Withheld)
	if v.Chosen() {
		for _, id := range e.Consents {
			if key := choiceIn(id); key != "" {
				v.Choices = union(v.Choices, []string{key})
			}
		}
	}
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

// OwnData is a patient's records for the patient to take along, in a form that
// other programs read.
type OwnData struct {
	Made       time.Time   `json:"made"`
	Clinic     string      `json:"clinic"`
	ID         string      `json:"id"`
	NIK        string      `json:"nik"`
	Name       string      `json:"name"`
	Phone      string      `json:"phone"`
	Born       string      `json:"birthDate"`
	Sex        string      `json:"gender"`
	Address    string      `json:"address"`
	Allergies  []string    `json:"allergies"`
	Conditions []string    `json:"conditions"`
	Visits     []ownVisit  `json:"visits"`
	Files      []ownFile   `json:"files"`
	Allowed    []ownChoice `json:"allowed"`
}

type ownVisit struct {
	At          time.Time `json:"at"`
	Complaint   string    `json:"complaint"`
	Diagnosis   string    `json:"diagnosis"`
	Notes       string    `json:"notes,omitempty"`
	Serology    string    `json:"serology,omitempty"`
	Counselling string    `json:"counselling,omitempty"`
}

type ownFile struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

type ownChoice struct {
	Choice  string    `json:"choice"`
	Allowed bool      `json:"allowed"`
	Since   time.Time `json:"since,omitzero"`
}

// Data returns all that the clinic has of the patient.
func (c *Clinic) Data(ctx context.Context, u User) (*OwnData, error) {
	chart, err := c.Own(ctx, u)
	if err != nil {
		return nil, err
	}
	if len(chart.Withheld) > 0 {
		return nil, fmt.Errorf("%w: a part of the record is withheld", ErrForbidden) // a part would be taken for all
	}
	allowed, err := c.Allowed(ctx, u)
	if err != nil {
		return nil, err
	}
	p := chart.Patient
	d := &OwnData{
		Made: c.now().UTC(), Clinic: "Klinik Rahasia", ID: p.ID, NIK: p.NIK, Name: p.Name, Phone: p.Phone, Born: p.Born.Format(time.DateOnly),
		Sex: p.Sex, Address: p.Address, Allergies: append([]string{}, p.Allergies...), Conditions: append([]string{}, p.Conditions...), Visits: []ownVisit{}, Files: []ownFile{},
	}
	for _, v := range chart.Visits {
		d.Visits = append(d.Visits, ownVisit{v.At, v.Complaint, v.Diagnosis, v.Notes, v.Serology, v.Counselling})
	}
	for _, f := range chart.Files {
		d.Files = append(d.Files, ownFile{f.Name, f.Kind})
	}
	for _, a := range allowed {
		d.Allowed = append(d.Allowed, ownChoice{a.Key, a.Now, a.Since})
	}
	return d, nil
}
