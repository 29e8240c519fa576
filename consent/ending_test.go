package consent

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// standing are the consents of p by id: why each has ended, or "".
func standing(t *testing.T, cfg *Config) map[string]Reason {
	t.Helper()
	all, err := cfg.Ledger.Of(context.Background(), "p")
	require.NoError(t, err)
	out := map[string]Reason{}
	for i := range all {
		out[all[i].ID] = all[i].live(cfg.now())
	}
	return out
}

func TestEnding(t *testing.T) {
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	ibu := &Representative{ID: "ibu", Relation: "MTH"}
	give := func(c Consent) {
		t.Helper()
		c.Subject, c.Recorder = "p", "clerk"
		if c.Purposes == nil {
			c.Purposes = []Purpose{Treatment}
		}
		_, err := cfg.Give(ctx, c)
		require.NoError(t, err)
	}
	give(Consent{ID: "own"})
	give(Consent{ID: "ibu", GivenBy: ibu})
	give(Consent{ID: "ibu-no", GivenBy: ibu, Purposes: []Purpose{Marketing}, Refused: true})
	give(Consent{ID: "hold", Purposes: []Purpose{Research}, Refused: true, Hold: true})
	give(Consent{ID: "own-2", Supersedes: "own", Until: noon.AddDate(1, 0, 0)})
	require.Equal(t, map[string]Reason{"own": Superseded, "own-2": "", "ibu": "", "ibu-no": "", "hold": ""}, standing(t, cfg))

	require.NoError(t, cfg.EndRepresentation(ctx, "p", "ibu", "clerk"))
	require.NoError(t, cfg.EndRepresentation(ctx, "p", "ibu", "clerk"), "twice is no error")
	require.Equal(t, map[string]Reason{"own": Superseded, "own-2": "", "ibu": NotRepresented, "ibu-no": "", "hold": ""}, standing(t, cfg))
	require.ErrorIs(t, cfg.EndRepresentation(ctx, "p", "ayah", "clerk"), ErrNoConsent)
	require.ErrorIs(t, cfg.EndRepresentation(ctx, "p", "", "clerk"), ErrNoConsent)
	require.ErrorIs(t, cfg.EndRepresentation(ctx, "", "ibu", "clerk"), ErrSubject)

	require.NoError(t, cfg.WithdrawAll(ctx, "p", "clerk"))
	require.NoError(t, cfg.WithdrawAll(ctx, "p", "clerk"), "nothing left is no error")
	after := map[string]Reason{"own": Superseded, "own-2": Ended, "ibu": NotRepresented, "ibu-no": "", "hold": ""}
	require.Equal(t, after, standing(t, cfg))
	require.ErrorIs(t, cfg.Withdraw(ctx, "p", "", "clerk"), ErrNoConsent, "no id is not all of them")

	_, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Supersedes: "another"})
	require.ErrorIs(t, err, ErrNoConsent)
	_, err = cfg.Give(ctx, Consent{Subject: "q", Purposes: []Purpose{Treatment}, Supersedes: "own-2"})
	require.ErrorIs(t, err, ErrNoConsent, "another patient's")

	reopen(t, cfg, db)
	require.Equal(t, after, standing(t, cfg), "the ledger says the same to the next process")
	e := lastOf(t, cfg, "p")
	require.Equal(t, "withdraw", e.Action)
	require.Equal(t, "clerk", e.Actor)
}

// TestKnownAt: what is recorded later does not change what was known.
func TestKnownAt(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	now := noon
	cfg.Now = func() time.Time { return now }
	id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	now = noon.Add(time.Hour)
	require.NoError(t, cfg.Withdraw(ctx, "p", id, "clerk"))
	for _, tt := range []struct {
		known time.Time
		want  Reason
	}{{noon.Add(-1), NoConsent}, {noon, Permitted}, {now.Add(-1), Permitted}, {now, Permitted}, {now.Add(time.Hour), Permitted}} {
		all, err := cfg.Ledger.At(ctx, "p", tt.known)
		require.NoError(t, err)
		require.Equal(t, tt.want, new(Policy).Decide(all, care, Data{}, noon.Add(time.Minute)).Reason, "as known at %v", tt.known)
	}
	all, err := cfg.Ledger.At(ctx, "p", now)
	require.NoError(t, err)
	require.Equal(t, Ended, new(Policy).Decide(all, care, Data{}, now).Reason)
	_, err = cfg.Ledger.At(ctx, "", now)
	require.ErrorIs(t, err, ErrSubject)
}

func TestGiveRefusesRules(t *testing.T) {
	cfg := memoryConfig(t)
	for name, tt := range map[string]struct {
		change func(*Consent)
		want   error
	}{
		"an unknown action":             {func(c *Consent) { c.Actions = []Action{"look"} }, ErrCode},
		"an unknown purpose within":     {func(c *Consent) { c.Except = []Rule{{}, {Purposes: []Purpose{"X"}}} }, ErrCode},
		"an unknown label within":       {func(c *Consent) { c.Except = []Rule{{Sensitivity: []Label{"X"}}} }, ErrCode},
		"an unknown obligation within":  {func(c *Consent) { c.Except = []Rule{{Obligations: []Obligation{"X"}}} }, ErrCode},
		"an unknown level within":       {func(c *Consent) { c.Except = []Rule{{Confidentiality: "X"}} }, ErrCode},
		"an empty period within":        {func(c *Consent) { c.Except = []Rule{{From: noon, Until: noon}} }, ErrPeriod},
		"an empty span":                 {func(c *Consent) { c.Data = Selection{From: noon, Until: noon} }, ErrPeriod},
		"a hold that permits":           {func(c *Consent) { c.Hold = true }, ErrCode},
		"a hold with an exception":      {func(c *Consent) { c.Hold, c.Refused, c.Except = true, true, []Rule{{}} }, ErrCode},
		"nobody in the patient's place": {func(c *Consent) { c.GivenBy = &Representative{Relation: "MTH"} }, ErrSubject},
		"a relation not UTF-8":          {func(c *Consent) { c.GivenBy = &Representative{ID: "ibu", Relation: "\xff"} }, ErrLimit},
		"an author not UTF-8":           {func(c *Consent) { c.Data.Authors = []string{"\xff"} }, ErrLimit},
		"too many records":              {func(c *Consent) { c.Data.Records = make([]string, maxList+1) }, ErrLimit},
		"too many exceptions":           {func(c *Consent) { c.Except = make([]Rule, maxList+1) }, ErrLimit},
		"a recorder not UTF-8":          {func(c *Consent) { c.Recorder = "\xff" }, ErrLimit},
		"an end with a reason":          {func(c *Consent) { c.Because = Ended }, ErrPeriod},
	} {
		t.Run(name, func(t *testing.T) {
			c := Consent{Subject: "p", Purposes: []Purpose{Treatment}}
			tt.change(&c)
			_, err := cfg.Give(context.Background(), c)
			require.ErrorIs(t, err, tt.want)
		})
	}
	require.ErrorIs(t, cfg.Withdraw(context.Background(), "p", "c", "\xff"), ErrLimit)
	for _, c := range []*Config{nil, {}} {
		require.ErrorIs(t, c.WithdrawAll(context.Background(), "p", "clerk"), ErrConfig)
		require.ErrorIs(t, c.EndRepresentation(context.Background(), "p", "ibu", "clerk"), ErrConfig)
	}
}
