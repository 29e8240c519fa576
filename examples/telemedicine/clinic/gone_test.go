package clinic

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// Of an erased patient every page's call says that they are gone, so that the
// pages say what became of them.
func TestSelfGone(t *testing.T) {
	ctx := t.Context()
	c, err := Open(ctx, Options{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	p := &Patient{ID: NewID(), NIK: "9901014101900001", Name: "Sari Contoh", Phone: "+62 810 0000 9999", Sex: "female", Born: time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), Branch: "head"}
	require.NoError(t, c.TakeOver(ctx, User{Name: "dpo"}, []*Patient{p}, map[string][]string{p.ID: {"treatment"}}, nil, func(int) {}))
	u := User{Name: "p", Role: Self, Patient: p.ID}
	_, err = c.Own(ctx, u)
	require.NoError(t, err)
	_, err = c.cfg.Erase(ctx, p.ID, "dpo")
	require.NoError(t, err)
	for name, call := range map[string]func() error{
		"own":     func() error { _, err := c.Own(ctx, u); return err },
		"history": func() error { _, err := c.History(ctx, u); return err },
		"allowed": func() error { _, err := c.Allowed(ctx, u); return err },
		"data":    func() error { _, err := c.Data(ctx, u); return err },
		"proof":   func() error { _, err := c.Proof(ctx, u); return err },
		"receipt": func() error { _, err := c.Receipt(ctx, u, "treatment@takeover", consent.English); return err },
		"allow":   func() error { return c.Allow(ctx, u, "treatment") },
	} {
		require.ErrorIs(t, call(), keyring.ErrShredded, name)
	}
}

// Entries of one act become one event, and what came of an act stands with it.
func TestEvents(t *testing.T) {
	at := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	entry := func(after time.Duration, e consent.Entry) consent.Entry { e.Time = at.Add(after); return e }
	open := consent.Entry{Actor: "dr-a", Action: "open", Purpose: consent.Treatment, Outcome: "done"}
	of := func(e consent.Entry, kind, decision string, fields ...string) consent.Entry {
		e.Type, e.Decision, e.Fields = kind, decision, fields
		return e
	}
	emergency := open
	emergency.Purpose, emergency.Reason, emergency.Justification = consent.EmergencyTreatment, consent.InEmergency, "unconscious"
	export := consent.Entry{Actor: "ui", Action: "export", Purpose: consent.Research, Outcome: "done", Recipient: "ui-2026", Type: "patient", Decision: "d-5", Fields: []string{"Born"}}
	notGiven := export
	notGiven.Outcome, notGiven.Fields = "failed", nil

	events := eventsOf([]consent.Entry{
		entry(0, of(open, "patient", "d-1", "Name", "NIK")),
		entry(time.Second, of(open, "visit", "d-2", "Notes")),
		entry(2*time.Second, of(open, "visit", "d-3", "Notes")),
		entry(3*time.Second, of(emergency, "patient", "d-4", "Name")),
		entry(time.Hour, of(open, "patient", "d-6", "Name")),
		entry(2*time.Hour, export),
		entry(2*time.Hour, notGiven),
		entry(3*time.Hour, consent.Entry{Actor: "p", Action: "give", Purpose: consent.Treatment, Outcome: "done", Consents: []string{"treatment@1"}}),
		entry(3*time.Hour, consent.Entry{Actor: "p", Action: "give", Purpose: consent.Research, Outcome: "done", Consents: []string{"research@1", "of another kind"}}),
		entry(4*time.Hour, consent.Entry{Actor: "dpo", Action: "review", Outcome: "unjustified", Decision: "d-4", Justification: "the patient was awake"}),
	})
	require.Len(t, events, 5)
	require.Equal(t, map[string]int{"patient": 1, "visit": 2}, events[0].Types)
	require.Equal(t, []string{"NIK", "Name", "Notes"}, events[0].Fields)
	require.Equal(t, &Review{At: at.Add(4 * time.Hour), By: "dpo", Note: "the patient was awake"}, events[1].Review)
	require.Equal(t, "dr-a", events[2].Actor)
	require.Equal(t, []any{"failed", []string{}}, []any{events[3].Outcome, events[3].Fields}, "what was announced and did not happen")
	require.Equal(t, []string{"research", "treatment"}, events[4].Choices)
}

func TestYears(t *testing.T) {
	for cell, want := range map[string]int{"1980": 1, "1980-1999": 20, "1936 or earlier": 0, "*": 0, "": 0, "1999-1980": 0, "A15.0": 0, "19800101": 0} {
		require.Equal(t, want, years(cell), cell)
	}
}
