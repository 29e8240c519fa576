package clinic

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

var (
	dewi = User{Name: "dpo-dewi", Role: Officer, Title: "Dewi"}
	ayu  = User{Name: "dr-ayu", Role: Doctor, Title: "dr. Ayu"}
)

// opened is a clinic on SQLite with four patients: the first agreed to everything,
// the last was never asked.
func opened(t *testing.T) (*Clinic, []string) {
	t.Helper()
	c, err := Open(t.Context(), Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c, fill(t, c)
}

func fill(t *testing.T, c *Clinic) (ids []string) {
	t.Helper()
	var patients []*Patient
	var visits []*Visit
	choices := map[string][]string{}
	for i := range 4 {
		p := &Patient{
			ID: NewID(), NIK: fmt.Sprintf("990101010190%04d", i+1), Name: fmt.Sprintf("Nama Rekaan %d", i), Phone: fmt.Sprintf("+62 810 0000 %04d", i),
			Born: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), Sex: "male", Address: "Jalan Rekaan 1, Depok", Conditions: []string{"J45.9 Asthma"},
		}
		patients, ids = append(patients, p), append(ids, p.ID)
		visits = append(visits, &Visit{ID: NewID(), Patient: p.ID, At: time.Date(2026, 1, 1, 9, 0, 0, 0, time.UTC), Complaint: "Wheezing", Diagnosis: "J45.9 Asthma", Notes: "Inhaler shown."})
		choices[p.ID] = []string{"treatment", "research"}
	}
	choices[ids[0]] = append(choices[ids[0]], "showcase")
	choices[ids[3]] = nil
	require.NoError(t, c.TakeOver(t.Context(), dewi, patients, choices, visits, func(int) {}))
	return ids
}

// Each method of the officer's refuses everybody else before it does anything.
func TestOfficerAlone(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	for _, role := range []string{Doctor, Clerk, Researcher, Self, ""} {
		u := User{Name: "somebody", Role: role}
		for name, call := range map[string]func() error{
			"Overview":    func() error { _, err := c.Overview(ctx, u); return err },
			"Activity":    func() error { _, _, err := c.Activity(ctx, u, time.Hour, 1); return err },
			"ToShow":      func() error { _, err := c.ToShow(ctx, u, 1); return err },
			"Stolen":      func() error { _, err := c.Stolen(ctx, u, ids[0]); return err },
			"Showcase":    func() error { _, err := c.Showcase(ctx, u, ids[0]); return err },
			"Sweep":       func() error { _, err := c.Sweep(ctx, u, &Chart{}); return err },
			"Keys":        func() error { _, err := c.Keys(ctx, u); return err },
			"Rotate":      func() error { return c.Rotate(ctx, u, "identity") },
			"SetState":    func() error { return c.SetState(ctx, u, "identity", 1, keyring.Suspended) },
			"MoveKeys":    func() error { return c.MoveKeys(u) },
			"Moved":       func() error { _, err := c.Moved(u); return err },
			"VerifyLog":   func() error { _, err := c.VerifyLog(ctx, u); return err },
			"Checkpoint":  func() error { _, _, err := c.Checkpoint(ctx, u); return err },
			"Extends":     func() error { return c.Extends(ctx, u, nil) },
			"Entries":     func() error { _, err := c.Entries(ctx, u, consent.Filter{}, 1); return err },
			"Emergencies": func() error { _, err := c.Emergencies(ctx, u); return err },
			"Review":      func() error { return c.Review(ctx, u, []string{"x"}, true, "x") },
			"Alerts":      func() error { _, err := c.Alerts(ctx, u, 1); return err },
			"Investigate": func() error { _, err := c.Investigate(ctx, u, consent.Incident{Actor: "x"}); return err },
			"GivenTo":     func() error { _, err := c.GivenTo(ctx, u); return err },
			"Erasures":    func() error { _, err := c.Erasures(ctx, u); return err },
			"Erase":       func() error { _, err := c.Erase(ctx, u, ids[0]); return err },
			"Retain":      func() error { _, err := c.Retain(ctx, u, ids[0], keyring.Retention{}); return err },
		} {
			require.ErrorIs(t, call(), ErrForbidden, "%s for %q", name, role)
		}
	}
}

func TestShowcase(t *testing.T) {
	c, ids := opened(t)
	shown, err := c.ToShow(t.Context(), dewi, 3)
	require.NoError(t, err)
	require.Len(t, shown, 3)
	require.Equal(t, ids[0], shown[0].ID)
	require.True(t, shown[0].Agreed)
	require.False(t, shown[1].Agreed)

	chart, err := c.Showcase(t.Context(), dewi, ids[0])
	require.NoError(t, err)
	require.Equal(t, "Nama Rekaan 0", chart.Patient.Name)
	require.Equal(t, "Inhaler shown.", chart.Visits[0].Notes)
	_, err = c.Showcase(t.Context(), dewi, ids[1])
	require.ErrorIs(t, err, consent.ErrDenied)
	_, err = c.Showcase(t.Context(), dewi, "nobody")
	require.ErrorIs(t, err, ErrNotFound)
	_, err = c.Stolen(t.Context(), dewi, "nobody")
	require.ErrorIs(t, err, ErrNotFound)

	// The patient finds it in the history.
	history, err := c.cfg.Log.History(t.Context(), ids[0])
	require.NoError(t, err)
	last := history[len(history)-1]
	require.Equal(t, "dpo-dewi", last.Actor)
	require.Equal(t, consent.Operations, last.Purpose)
}

// The sweep finds nothing of a chart in the database, and finds what is there: a
// search that cannot find proves nothing.
func TestSweep(t *testing.T) {
	c, ids := opened(t)
	chart, err := c.Showcase(t.Context(), dewi, ids[0])
	require.NoError(t, err)
	s, err := c.Sweep(t.Context(), dewi, chart)
	require.NoError(t, err)
	require.Zero(t, s.Found)
	require.GreaterOrEqual(t, s.Rows, 8)
	require.Greater(t, s.Bytes, 2000)

	rows, err := c.Stolen(t.Context(), dewi, ids[0])
	require.NoError(t, err)
	require.Equal(t, []string{"patients", "visits", "consent_log"}, []string{rows[0].Table, rows[1].Table, rows[2].Table})
	require.NotContains(t, fmt.Sprintf("%s", rows), "Rekaan")

	_, err = c.db.ExecContext(t.Context(), `UPDATE patients SET branch = 'of Nama Rekaan 0' WHERE id = $1`, ids[1])
	require.NoError(t, err)
	_, err = c.db.ExecContext(t.Context(), `UPDATE visits SET sealed = $1 WHERE patient = $2`, []byte("x+62 810 0000 0000x"), ids[2])
	require.NoError(t, err)
	s, err = c.Sweep(t.Context(), dewi, chart)
	require.NoError(t, err)
	require.Equal(t, 2, s.Found)
}

// Keys are rotated, moved and their old versions destroyed, and everything still
// opens.
func TestKeys(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	for _, name := range []string{"identity", "clinical", "sensitive", "audit", "consent/ledger", "consent/log"} {
		require.NoError(t, c.Rotate(ctx, dewi, name), name)
	}
	for _, name := range []string{"lookup/patient/NIK", "lookup/patient/Phone", "inbox/branches"} {
		require.ErrorIs(t, c.Rotate(ctx, dewi, name), ErrInput, name)
	}
	require.ErrorIs(t, c.Rotate(ctx, dewi, "ring"), ErrNotFound)

	k, err := c.keyset(ctx, dewi, "identity")
	require.NoError(t, err)
	require.Equal(t, 4, k.Stale)
	require.Equal(t, []KeyVersion{{2, keyring.Active}, {1, keyring.Deactivated}}, k.Versions)
	require.ErrorIs(t, c.SetState(ctx, dewi, "identity", 1, keyring.Suspended), keyring.ErrInUse)
	require.ErrorIs(t, c.SetState(ctx, dewi, "consent/log", 1, keyring.Suspended), keyring.ErrInUse) // what is under it must stay readable

	require.NoError(t, c.MoveKeys(dewi))
	require.NoError(t, c.MoveKeys(dewi)) // it is under way, or there is nothing left
	require.Eventually(t, func() bool { m, err := c.Moved(dewi); return err == nil && !m.Running }, 10*time.Second, 10*time.Millisecond)
	m, err := c.Moved(dewi)
	require.NoError(t, err)
	require.False(t, m.Failed)
	require.Zero(t, m.Report.Left+m.Report.Failed)

	require.NoError(t, c.SetState(ctx, dewi, "identity", 1, keyring.Suspended))
	require.ErrorIs(t, c.SetState(ctx, dewi, "identity", 1, keyring.Destroyed), keyring.ErrState) // not within a minute
	_, err = c.Chart(ctx, ayu, ids[1], Why{})
	require.NoError(t, err)
	_, err = c.VerifyLog(ctx, dewi)
	require.NoError(t, err)
	require.NoError(t, c.allow(ctx, ids[3], "treatment", "later", "dpo-dewi"))
	_, err = c.Chart(ctx, ayu, ids[3], Why{})
	require.NoError(t, err)
}

func TestWatch(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	text, key, err := c.Checkpoint(ctx, dewi)
	require.NoError(t, err)
	require.NotEmpty(t, key)
	n, err := c.VerifyLog(ctx, dewi)
	require.NoError(t, err)
	require.Equal(t, n, sizeOf(text))
	require.NoError(t, c.Extends(ctx, dewi, text))
	require.ErrorIs(t, c.Extends(ctx, dewi, []byte("a poem\n")), consent.ErrTampered)

	_, err = c.Chart(ctx, ayu, ids[3], Why{})
	require.ErrorIs(t, err, consent.ErrDenied)
	_, err = c.Chart(ctx, ayu, ids[3], Why{Justification: "Unconscious"})
	require.NoError(t, err)
	_, err = c.Chart(ctx, ayu, ids[0], Why{})
	require.NoError(t, err)

	entries, err := c.Entries(ctx, dewi, consent.Filter{Action: "open"}, 2)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Greater(t, entries[0].Index, entries[1].Index)
	for _, e := range entries {
		require.Empty(t, e.Subject)
	}

	reached, err := c.patientIDs(ctx)
	require.NoError(t, err)
	_, err = c.Own(ctx, User{Name: "p-self", Role: Self, Patient: reached[0]})
	require.NoError(t, err)
	times, actors, err := c.Activity(ctx, dewi, time.Hour, 24)
	require.NoError(t, err)
	for _, a := range actors {
		require.NotEqual(t, "p-self", a.Actor, "patients who read their own are no staff")
	}
	require.Len(t, times, 24)
	require.Equal(t, ayu.Name, actors[0].Actor)
	require.Equal(t, [3]int{2, 1, 2}, [3]int{actors[0].Done, actors[0].Refused, actors[0].Emergency})
	sum := 0
	for _, o := range times {
		sum += o.Total()
	}
	require.Equal(t, 5, sum)

	emergencies, err := c.Emergencies(ctx, dewi)
	require.NoError(t, err)
	require.Len(t, emergencies, 1)
	require.Equal(t, ids[3], emergencies[0].Subject)
	require.Len(t, emergencies[0].Decisions, 2)
	o, err := c.Overview(ctx, dewi)
	require.NoError(t, err)
	require.Equal(t, 4, o.Patients)
	require.Equal(t, 1, o.Reviews)

	require.ErrorIs(t, c.Review(ctx, dewi, emergencies[0].Decisions, true, ""), ErrInput)
	require.ErrorIs(t, c.Review(ctx, dewi, []string{"no-such"}, true, "x"), consent.ErrReview)
	require.NoError(t, c.Review(ctx, dewi, emergencies[0].Decisions, false, "Nobody was unconscious."))
	emergencies, err = c.Emergencies(ctx, dewi)
	require.NoError(t, err)
	require.Empty(t, emergencies)

	// Another reason is another emergency.
	for _, why := range []string{"Bleeding", "Bleeding again"} {
		_, err = c.Chart(ctx, ayu, ids[3], Why{Justification: why})
		require.NoError(t, err)
	}
	emergencies, err = c.Emergencies(ctx, dewi)
	require.NoError(t, err)
	require.Len(t, emergencies, 2)
}

// A table that came to light names whom it was made for, and nobody else.
func TestLeak(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	tables := map[string]string{}
	for _, recipient := range []string{"ui-2026", "itb-2026"} {
		require.NoError(t, c.cfg.AddRecipient(ctx, recipient))
		table, err := c.patients.Export(ctx, c.everyone(t), consent.Request{
			Purpose: consent.Research, Actor: "somebody", Role: Researcher, Recipient: recipient, Gate: consent.Gate{Ungated: "a test of four"},
		})
		require.NoError(t, err)
		var csv strings.Builder
		require.NoError(t, table.WriteCSV(&csv))
		tables[recipient] = csv.String()
		_, err = c.db.ExecContext(ctx, `INSERT INTO exports (id, at, actor, recipient, subject, k, given, left_out) VALUES ($1, 0, 'somebody', $1, 'patient', 11, 3, 1)`, recipient)
		require.NoError(t, err)
	}
	given, err := c.GivenTo(ctx, dewi)
	require.NoError(t, err)
	require.Equal(t, []string{"itb-2026", "ui-2026"}, given)

	tokens, others := Pseudonyms(tables["ui-2026"])
	require.Len(t, tokens, 3)
	require.Positive(t, others)
	report, err := c.Investigate(ctx, dewi, consent.Incident{Leaked: tokens})
	require.NoError(t, err)
	require.Equal(t, "ui-2026", report.Domains[0].Recipient)
	require.Equal(t, 3, report.Domains[0].Explained)
	require.Less(t, report.Domains[0].Chance, 1e-20)
	require.Zero(t, report.Domains[1].Explained)
	var who []string
	for _, p := range report.Patients {
		require.True(t, p.Leaked)
		who = append(who, p.Subject)
	}
	require.ElementsMatch(t, ids[:3], who)

	tokens, _ = Pseudonyms("no pseudonym,\tin \"this\"")
	require.Empty(t, tokens)
}

func (c *Clinic) everyone(t *testing.T) iter.Seq2[*Patient, envelope.Sealed] {
	t.Helper()
	rows, err := collect(context.Background(), c.db, scanPatient, `SELECT id, branch, sealed FROM patients`)
	require.NoError(t, err)
	return sequence(rows, func(r sealedRow) *Patient { return &Patient{ID: r.id} })
}

func TestErase(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	_, err := c.Erase(ctx, dewi, ids[0])
	require.ErrorIs(t, err, ErrNotFound) // who has not asked is not erased
	_, err = c.db.ExecContext(ctx, `INSERT INTO erasures (patient, asked, done, outcome) VALUES ($1, 1, 0, '')`, ids[0])
	require.NoError(t, err)
	waiting, err := c.Erasures(ctx, dewi)
	require.NoError(t, err)
	require.Len(t, waiting, 1)
	require.True(t, waiting[0].Done.IsZero())

	found, err := c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	receipt, err := c.Erase(ctx, dewi, ids[0])
	require.NoError(t, err)
	require.Equal(t, "erased", receipt.Action)
	_, err = c.Chart(ctx, ayu, ids[0], Why{})
	require.ErrorIs(t, err, keyring.ErrShredded)
	found, err = c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	require.Empty(t, found)
	_, err = c.Erase(ctx, dewi, ids[0])
	require.ErrorIs(t, err, ErrNotFound)

	gone, err := c.Erasures(ctx, dewi)
	require.NoError(t, err)
	require.False(t, gone[0].Done.IsZero())
	require.Equal(t, receipt.String(), gone[0].Receipt)
	require.NotContains(t, gone[0].Receipt, ids[0])
	_, err = c.Overview(ctx, dewi) // what goes through all patients passes over who is gone
	require.NoError(t, err)
	_, err = c.ToShow(ctx, dewi, 10)
	require.NoError(t, err)
	_, err = c.Investigate(ctx, dewi, consent.Incident{Actor: ayu.Name})
	require.NoError(t, err)
}
