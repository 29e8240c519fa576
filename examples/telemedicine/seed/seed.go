// Package seed fills a clinic with synthetic patients.
package seed

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

// Password is that of all seeded accounts.
const Password = "rahasia-demo"

// staff are the seeded accounts of the clinic's people.
func staff() []clinic.User {
	return []clinic.User{
		{Name: "dr-ayu", Role: clinic.Doctor, Title: "dr. Ayu"},
		{Name: "dr-bima", Role: clinic.Doctor, Title: "dr. Bima"},
		{Name: "clerk-budi", Role: clinic.Clerk, Title: "Budi"},
		{Name: "ui-citra", Role: clinic.Researcher, Title: "Citra (UI)", Recipient: "ui-2026"},
		{Name: "itb-eko", Role: clinic.Researcher, Title: "Eko (ITB)", Recipient: "itb-2026"},
		{Name: "dpo-dewi", Role: clinic.Officer, Title: "Dewi"},
	}
}

// member is one of the staff.
func member(name string) clinic.User {
	all := staff()
	return all[slices.IndexFunc(all, func(u clinic.User) bool { return u.Name == name })]
}

// portals is how many of the patients can sign in: p-0001 and so on.
const portals = 4

// Run fills an empty clinic with n patients and their visits, and makes the
// accounts. The same n makes the same people.
func Run(ctx context.Context, c *clinic.Clinic, n int, progress func(what string, done, total int)) error {
	d := dice{rand.New(rand.NewPCG(2026, 11))}
	patients, visits := d.people(n), []*clinic.Visit{}
	choices := map[string][]string{}
	for i, p := range patients {
		visits = append(visits, d.visits(p)...)
		choices[p.ID] = d.chosen(i)
	}
	total := 2*len(patients) + len(visits)
	if err := c.TakeOver(ctx, member("dpo-dewi"), patients, choices, visits, func(done int) { progress("records", done, total) }); err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	if err := documents(ctx, c, member("dr-ayu"), patients, progress); err != nil {
		return err
	}
	return accounts(ctx, c, patients, progress)
}

func accounts(ctx context.Context, c *clinic.Clinic, patients []*clinic.Patient, progress func(string, int, int)) error {
	all := staff()
	for i := range min(portals, len(patients)) {
		all = append(all, clinic.User{Name: fmt.Sprintf("p-%04d", i+1), Role: clinic.Self, Patient: patients[i].ID})
	}
	for i, u := range all {
		if err := c.AddAccount(ctx, u, Password); err != nil {
			return fmt.Errorf("seed: %w", err)
		}
		progress("accounts", i+1, len(all))
	}
	return nil
}

// Bar returns a progress that draws a bar on a terminal's line.
func Bar(w io.Writer) func(what string, done, total int) {
	const width = 40
	return func(what string, done, total int) {
		full := width * done / max(total, 1)
		fmt.Fprintf(w, "\r  %-9s %s%s %d/%d", what, strings.Repeat("█", full), strings.Repeat("░", width-full), done, total)
		if done >= total {
			fmt.Fprintln(w)
		}
	}
}

// dice draws people who do not exist.
type dice struct{ *rand.Rand }

func one[T any](d dice, list []T) T { return list[d.IntN(len(list))] }

func (d dice) people(n int) []*clinic.Patient {
	all := make([]*clinic.Patient, n)
	for i := range all {
		sex, first := "male", men()
		if i%2 == 1 {
			sex, first = "female", women()
		}
		born := time.Date(1945+d.IntN(70), time.Month(1+d.IntN(12)), 1+d.IntN(28), 0, 0, 0, 0, time.UTC)
		all[i] = &clinic.Patient{
			ID: clinic.NewID(), NIK: d.nik(sex, born, i), Name: one(d, first) + " " + one(d, families()),
			Phone: fmt.Sprintf("+62 810 0000 %04d", i+100), Born: born, Sex: sex,
			Address: fmt.Sprintf("Jalan Rekaan %d Nomor %d, Depok", 1+d.IntN(40), 1+d.IntN(180)), Branch: "head-office",
		}
		if d.IntN(4) == 0 {
			all[i].Allergies = []string{one(d, allergies())}
		}
	}
	return all
}

// nik invents a number in the shape of a NIK: of region 99, which is nobody's.
func (d dice) nik(sex string, born time.Time, serial int) string {
	day := born.Day()
	if sex == "female" {
		day += 40
	}
	return fmt.Sprintf("99%04d%02d%02d%02d%04d", 101+d.IntN(9000), day, born.Month(), born.Year()%100, serial+1)
}

// visits invents a patient's consultations, and the conditions that they found.
func (d dice) visits(p *clinic.Patient) []*clinic.Visit {
	var all []*clinic.Visit
	for range 1 + d.IntN(3) {
		story := one(d, stories())
		v := &clinic.Visit{
			ID: clinic.NewID(), Patient: p.ID, At: time.Date(2025, 1, 1, 9, 0, 0, 0, time.UTC).Add(time.Duration(d.IntN(600*24*60)) * time.Minute),
			Complaint: story.complaint, Diagnosis: story.diagnosis, Notes: story.notes,
		}
		if d.IntN(9) == 0 {
			v.Serology = one(d, []string{"HIV-1/2 non-reactive", "HIV-1/2 reactive, confirmed"})
		}
		if d.IntN(7) == 0 {
			v.Counselling = one(d, counsellings())
		}
		all = append(all, v)
		if !slices.Contains(p.Conditions, v.Diagnosis) {
			p.Conditions = append(p.Conditions, v.Diagnosis)
		}
	}
	return all
}

// chosen is what a patient allows. The first three are those of the tour: one who
// allows everything, one who holds back what is labelled, and one who was never
// asked.
func (d dice) chosen(i int) []string {
	switch i {
	case 0:
		return []string{"treatment", "hiv", "counselling", "research", "showcase"}
	case 1:
		return []string{"treatment", "research"}
	case 2:
		return nil
	}
	out := []string{"treatment"}
	for _, key := range []string{"hiv", "counselling", "research"} {
		if d.IntN(4) > 0 {
			out = append(out, key)
		}
	}
	return out
}
