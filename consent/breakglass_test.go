package consent

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// emergencyConfig lets doctors declare an emergency that opens clinical fields.
func emergencyConfig(t testing.TB) *Config {
	t.Helper()
	cfg := memoryConfig(t)
	cfg.Roles = map[string][]string{"doctor": {"identity", "clinical", "sensitive"}}
	cfg.Policy = Policy{Emergency: Emergency{Roles: []string{"doctor"}, Compartments: []string{"clinical"}}}
	return cfg
}

var emergency = Request{Purpose: BreakGlass, Actor: "dr-jaga", Role: "doctor", Justification: "unconscious", Fulfils: []Obligation{"NOPERSISTP"}}

// TestEmergencyOpensTheLeast: what an emergency does not open, it does not open
// by being declared; a consent that names it still does.
func TestEmergencyOpensTheLeast(t *testing.T) {
	ctx := context.Background()
	cfg := emergencyConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	got, err := open(r, ayu.ID, row.Sealed, emergency)
	var partial *WithheldError
	require.ErrorAs(t, err, &partial)
	require.Equal(t, ayu.Diagnosis, got.Diagnosis)
	require.Equal(t, ayu.Serology, got.Serology, "labels do not stand in the way of an emergency")
	require.Empty(t, got.Name)
	require.Empty(t, got.Family)
	for _, w := range partial.Fields {
		require.Equal(t, NoConsent, w.Reason)
	}
	require.Equal(t, InEmergency, last(t, cfg.Log).Reason)

	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{BreakGlass}})
	require.NoError(t, err)
	got, err = open(r, ayu.ID, row.Sealed, emergency)
	require.NoError(t, err)
	require.Equal(t, ayu.Name, got.Name)
	require.Equal(t, InEmergency, last(t, cfg.Log).Reason)
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, emergency)
	require.ErrorIs(t, err, ErrDenied)
	cfg.Policy.Emergency.OverRefusals = true
	got, err = open(r, ayu.ID, row.Sealed, emergency)
	require.ErrorAs(t, err, &partial)
	require.Empty(t, got.Name, "a refusal is overridden where the emergency reaches, and nowhere else")
	require.Equal(t, ayu.Diagnosis, got.Diagnosis)
}

func TestReview(t *testing.T) {
	ctx := context.Background()
	cfg := emergencyConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	budi := ayu
	budi.ID, budi.NIK = "p-budi", "9271060312000001"
	other := sealed(t, r, budi)
	require.Empty(t, awaitingOf(t, cfg, nil))
	_, _ = open(r, ayu.ID, row.Sealed, emergency)
	_, _ = open(r, budi.ID, other.Sealed, emergency)
	_, _ = open(r, budi.ID, other.Sealed, Request{Purpose: Marketing, Actor: "ads", Role: "doctor"})

	nameless := awaitingOf(t, cfg, nil)
	require.Len(t, nameless, 2)
	require.Empty(t, nameless[0].Subject)
	require.Equal(t, "unconscious", nameless[0].Justification)
	named := awaitingOf(t, cfg, []string{"p-nobody", budi.ID, ayu.ID})
	require.Equal(t, []string{ayu.ID, budi.ID}, []string{named[0].Subject, named[1].Subject})

	of := named[1].Decision
	require.ErrorIs(t, cfg.Review(ctx, Review{Decision: "no such", By: "dr-kepala"}), ErrReview)
	require.ErrorIs(t, cfg.Review(ctx, Review{Decision: of, By: "dr-jaga", Justified: true}), ErrReview, "nobody reviews what they did themselves")
	require.ErrorIs(t, cfg.Review(ctx, Review{Decision: of}), ErrLimit)
	require.ErrorIs(t, cfg.Review(ctx, Review{Decision: of, By: "\xff"}), ErrLimit)
	require.NoError(t, cfg.Review(ctx, Review{Decision: of, By: "dr-kepala", Note: "not in the ward that night"}))
	e := lastOf(t, cfg, budi.ID)
	require.Equal(t, []string{"review", "unjustified", "dr-kepala", "not in the ward that night", of}, []string{e.Action, e.Outcome, e.Actor, e.Justification, e.Decision}, "the patient sees it")
	require.ErrorIs(t, cfg.Review(ctx, Review{Decision: of, By: "dr-kepala"}), ErrReview, "once")
	left := awaitingOf(t, cfg, nil)
	require.Len(t, left, 1)
	require.NoError(t, cfg.Review(ctx, Review{Decision: left[0].Decision, By: "dr-kepala", Justified: true}))
	require.Equal(t, "justified", lastOf(t, cfg, ayu.ID).Outcome)
	require.Empty(t, awaitingOf(t, cfg, nil))
}

// TestReviewOfTheErased: what an emergency opened is reviewed although nobody
// can say any more whose it was.
func TestReviewOfTheErased(t *testing.T) {
	ctx := context.Background()
	cfg := emergencyConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu)
	_, _ = open(r, ayu.ID, row.Sealed, emergency)
	_, err := cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	q := awaitingOf(t, cfg, []string{ayu.ID})
	require.Len(t, q, 1)
	require.Empty(t, q[0].Subject)
	require.NoError(t, cfg.Review(ctx, Review{Decision: q[0].Decision, By: "dr-kepala", Justified: true}))
}

func awaitingOf(t testing.TB, cfg *Config, patients []string) []Entry {
	t.Helper()
	all, err := cfg.AwaitingReview(context.Background(), slices.Values(patients))
	require.NoError(t, err)
	return all
}
