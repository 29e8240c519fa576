package consent

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

var registrar = Request{Purpose: Operations, Actor: "registrar-1"}

// mergeConfig allows to correct records for the clinic's operations.
func mergeConfig(t testing.TB) *Config {
	t.Helper()
	cfg := memoryConfig(t)
	cfg.Policy.Bases = []LegalBasis{{Basis: LegalObligation, Article: "Permenkes 24/2022", Rule: Rule{
		Purposes: []Purpose{Operations}, Actions: []Action{Correct}, Sensitivity: []Label{AnyLabel},
	}}}
	return cfg
}

func TestRebind(t *testing.T) {
	ctx := context.Background()
	cfg := mergeConfig(t)
	r := people(t, cfg)
	double := ayu
	double.ID = "p-double"
	row := sealed(t, r, double)
	_, err := cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment, Research}, Sensitivity: []Label{"HIV"}})
	require.NoError(t, err)
	for _, c := range []Consent{
		{ID: "no-research", Purposes: []Purpose{Research}, Refused: true},
		{ID: "a-permit", Purposes: []Purpose{Payment}},
		{ID: "but-not-dr-x", Purposes: []Purpose{PublicHealth}, Except: []Rule{{Refused: true, Actors: []string{"dr-x"}}}},
	} {
		c.Subject = double.ID
		_, err = cfg.Give(ctx, c)
		require.NoError(t, err)
	}
	ended, err := cfg.Give(ctx, Consent{Subject: double.ID, Purposes: []Purpose{Treatment}, Refused: true})
	require.NoError(t, err)
	require.NoError(t, cfg.Withdraw(ctx, double.ID, ended, "clerk"))

	for range 2 { // a second row of the patient gives nothing twice
		moved, err := r.Rebind(ctx, row.Sealed, &person{ID: double.ID}, &person{ID: ayu.ID}, registrar)
		require.NoError(t, err)
		got, err := open(r, ayu.ID, moved, care)
		require.NoError(t, err)
		want := ayu
		want.Clinic = ""
		require.Equal(t, want, got)
		_, err = open(r, double.ID, moved, registrar)
		require.Error(t, err)
		require.ErrorIs(t, r.codec.Open(ctx, &person{ID: double.ID}, moved), envelope.ErrOpen)
	}
	all, err := cfg.Ledger.Of(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, all, 3, "its own permit, the refusal and the exception; neither a permit nor what has ended")
	_, err = open(r, ayu.ID, row.Sealed, Request{Purpose: Research, Actor: "a"})
	var denied *DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, Refused, denied.Reason)

	for _, id := range []string{ayu.ID, double.ID} {
		h, err := cfg.Log.History(ctx, id)
		require.NoError(t, err)
		n := 0
		for _, e := range h {
			if e.Action == "rebind" {
				n++
				require.Equal(t, []string{"registrar-1", "done", "Permenkes 24/2022"}, []string{e.Actor, e.Outcome, e.Article})
			}
		}
		require.Equal(t, 2, n)
	}
}

func TestRebindRefuses(t *testing.T) {
	ctx := context.Background()
	cfg := mergeConfig(t)
	r := people(t, cfg)
	double := ayu
	double.ID = "p-double"
	row := sealed(t, r, double)
	sealed(t, r, ayu)
	from, to := &person{ID: double.ID}, &person{ID: ayu.ID}
	for name, tt := range map[string]struct {
		from, to *person
		req      Request
		want     error
	}{
		"nobody":           {&person{}, to, registrar, ErrSubject},
		"to nobody":        {from, nil, registrar, ErrSubject},
		"to the same":      {from, from, registrar, ErrSubject},
		"without a basis":  {from, to, care, ErrDenied},
		"without a reason": {from, to, Request{Actor: "a"}, ErrRequest},
		"another's row":    {to, &person{ID: "p-third"}, registrar, envelope.ErrOpen},
	} {
		moved, err := r.Rebind(ctx, row.Sealed, tt.from, tt.to, tt.req)
		require.ErrorIs(t, err, tt.want, name)
		require.Nil(t, moved)
	}
	_, err := cfg.Ring.Subject(ctx, "p-third", auditCompartment)
	require.ErrorIs(t, err, keyring.ErrNoSubjectKey, "what is refused makes no keys")
	id, err := cfg.Give(ctx, Consent{Subject: double.ID, Purposes: []Purpose{Operations}, Refused: true, Actions: []Action{Correct}})
	require.NoError(t, err)
	_, err = r.Rebind(ctx, row.Sealed, from, to, registrar)
	require.ErrorIs(t, err, ErrDenied, "a patient who refuses it is not merged")
	all, err := cfg.Ledger.Of(ctx, ayu.ID)
	require.NoError(t, err)
	require.Empty(t, all, "a merge that is denied closes nothing")
	require.NoError(t, cfg.Withdraw(ctx, double.ID, id, "clerk"))
	_, err = cfg.Erase(ctx, ayu.ID, "clerk")
	require.NoError(t, err)
	_, err = r.Rebind(ctx, row.Sealed, from, to, registrar)
	require.ErrorIs(t, err, keyring.ErrShredded)
	e := lastOf(t, cfg, double.ID)
	require.Equal(t, []string{"rebind", "failed"}, []string{e.Action, e.Outcome})
}
