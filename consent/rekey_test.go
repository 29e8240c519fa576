package consent

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRekeyedHistory: who is being rekeyed has one history, of before and after,
// in the extract, in an incident's report and among what awaits review.
func TestRekeyedHistory(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"doctor": {"identity", "clinical", "sensitive"}}
	cfg.Policy.Emergency.Roles = []string{"doctor"}
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	ask := Request{Purpose: BreakGlass, Actor: "dr-x", Role: "doctor", Justification: "unconscious", Fulfils: []Obligation{"NOPERSISTP"}}
	_, err := open(r, ayu.ID, row.Sealed, ask)
	require.NoError(t, err)
	before, err := cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, before, 2)

	require.NoError(t, cfg.Ring.Rekey(ctx, ayu.ID))
	_, err = open(r, ayu.ID, row.Sealed, ask)
	require.NoError(t, err)
	after, err := cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, after, 3)
	require.Equal(t, before, after[:2])

	ids := slices.Values([]string{"p-another", ayu.ID})
	report, err := cfg.Investigate(ctx, Incident{Actor: "dr-x"}, ids)
	require.NoError(t, err)
	require.Len(t, report.Patients, 1)
	require.Equal(t, ayu.ID, report.Patients[0].Subject)
	require.Equal(t, 2, report.Patients[0].Entries)
	require.Zero(t, report.Unnamed)

	waiting, err := cfg.AwaitingReview(ctx, maps.Keys(map[string]bool{ayu.ID: true}))
	require.NoError(t, err)
	require.Len(t, waiting, 2)
	for _, w := range waiting {
		require.Equal(t, ayu.ID, w.Subject)
	}
}

// TestRekeyEndsNames: with the old key the names of older entries end, and the
// entries stay; the extract from before proves them still.
func TestRekeyEndsNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		cfg := memoryConfig(t)
		sealed(t, people(t, cfg), ayu, Treatment)
		require.NoError(t, cfg.Ring.Rekey(ctx, ayu.ID))
		_, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Research}})
		require.NoError(t, err)
		file, err := cfg.Log.Extract(ctx, ayu.ID)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, cfg.Ring.EndRekey(ctx, ayu.ID))
		h, err := cfg.Log.History(ctx, ayu.ID)
		require.NoError(t, err)
		require.Len(t, h, 1, "what was named under the new key")
		require.Len(t, entries(t, cfg.Log), 3)
		vkey, err := cfg.Log.VerifierKey(ctx)
		require.NoError(t, err)
		proven, err := CheckExtract(file, vkey)
		require.NoError(t, err)
		require.Len(t, proven, 3)
	})
}
