package consent

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
)

func actors(t *testing.T, l *Log, f Filter) (out []string) {
	t.Helper()
	for e, err := range l.Entries(context.Background(), f) {
		require.NoError(t, err)
		out = append(out, e.Actor)
	}
	return out
}

func TestEntries(t *testing.T) {
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	l := cfg.Log
	db.SetMaxOpenConns(1)
	require.Empty(t, actors(t, l, Filter{}))
	at := func(hour int) time.Time { return noon.Add(time.Duration(hour) * time.Hour) }
	add := func(hour int, b logBody) {
		b.Time = at(hour).UnixNano()
		if b.Outcome == "" {
			b.Outcome = "done"
		}
		require.NoError(t, l.append(ctx, &b))
	}
	add(0, logBody{Actor: "a", Action: "open", Type: "patient", Purpose: Treatment, Fields: []string{"NIK", "Name"}})
	add(1, logBody{Actor: "b", Action: "open", Type: "patient", Purpose: Research, Role: "nurse"})
	add(2, logBody{Actor: "c", Action: "export", Type: "visit", Recipient: "ui-2026"})
	_, err := cfg.Ring.Rotate(ctx, evidence.TreeKeyset)
	require.NoError(t, err)
	add(3, logBody{Actor: "a", Action: "lookup", Outcome: "refused"})
	ks, err := cfg.Ring.Keyset(ctx, evidence.TreeKeyset)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		f    Filter
		want string
	}{
		"all":          {Filter{}, "[a b c a]"},
		"by actor":     {Filter{Actor: "a"}, "[a a]"},
		"from":         {Filter{From: at(1)}, "[b c a]"},
		"until":        {Filter{Until: at(1)}, "[a]"},
		"a window":     {Filter{From: at(1), Until: at(3)}, "[b c]"},
		"by action":    {Filter{Action: "open"}, "[a b]"},
		"by type":      {Filter{Type: "visit"}, "[c]"},
		"by purpose":   {Filter{Purpose: Research}, "[b]"},
		"by role":      {Filter{Role: "nurse"}, "[b]"},
		"by field":     {Filter{Field: "NIK"}, "[a]"},
		"by outcome":   {Filter{Outcome: "refused"}, "[a]"},
		"by recipient": {Filter{Recipient: "ui-2026"}, "[c]"},
		"by key":       {Filter{KeyVersion: ks.Primary()}, "[a]"},
		"by two":       {Filter{Actor: "a", Action: "open"}, "[a]"},
		"none":         {Filter{Actor: "z"}, "[]"},
	} {
		require.Equal(t, c.want, fmt.Sprint(actors(t, l, c.f)), name)
	}
	for e, err := range l.Entries(ctx, Filter{}) { // the pool has one connection
		require.NoError(t, err)
		_, err = l.Prove(ctx, e.Index)
		require.NoError(t, err)
		require.NoError(t, l.append(ctx, &logBody{Actor: "late", Action: "open", Outcome: "done"}))
	}
	require.Len(t, actors(t, l, Filter{}), 8, "the loop ended")
	_, err = db.Exec(flip("consent_log", "leaves", 44))
	require.NoError(t, err)
	n := 0
	for _, err = range l.Entries(ctx, Filter{}) {
		n++
	}
	require.ErrorIs(t, err, ErrTampered)
	require.Equal(t, 1, n)
}

// TestEntriesPages: more than one page, and a loop that is left early.
func TestEntriesPages(t *testing.T) {
	ctx := context.Background()
	cfg, _ := sqlConfig(t)
	bodies := make([]*logBody, entryPage+3)
	for i := range bodies {
		bodies[i] = &logBody{Actor: fmt.Sprint(i), Action: "open", Outcome: "done"}
	}
	require.NoError(t, cfg.Log.append(ctx, bodies...))
	next := 0
	for e, err := range cfg.Log.Entries(ctx, Filter{}) {
		require.NoError(t, err)
		require.EqualValues(t, next, e.Index)
		require.Equal(t, fmt.Sprint(next), e.Actor)
		next++
	}
	require.Equal(t, len(bodies), next)
	for e := range cfg.Log.Entries(ctx, Filter{}) {
		if e.Index == 5 {
			break
		}
	}
}
