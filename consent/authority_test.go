package consent

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/pseudo"
)

const studyDomain = "recipient/ui-2026"

var board = Request{Purpose: Treatment, Actor: "dr-board", Role: "board", Justification: "an incidental finding"}

// boardConfig gives the ethics board's doctor the right to turn the study's
// tokens back, and an analyst that of translating them to an insurer's.
func boardConfig(t testing.TB) (*Config, *sql.DB) {
	t.Helper()
	ctx := context.Background()
	cfg, db := sqlConfig(t)
	cfg.Roles = map[string][]string{"board": {"identity"}, "clerk": {"clinical"}, "doctor": {"identity", "clinical"}}
	cfg.Policy.Reversals = []ReversalBasis{
		{Basis: VitalInterest, Article: "KEPK 2026-114", Domains: []string{studyDomain}, Purposes: []Purpose{Treatment, Research}, Roles: []string{"board", "clerk"}},
		{Basis: LegalObligation, Article: "Perpres 82/2018", Domains: []string{studyDomain}, To: []string{"recipient/x"}, Purposes: []Purpose{Research}, Actors: []string{"dr-board"}},
	}
	for _, name := range []string{"ui-2026", "x", "y"} {
		require.NoError(t, cfg.AddRecipient(ctx, name))
	}
	return cfg, db
}

func reversible(t testing.TB, cfg *Config, domain string, req Request) *pseudo.Reversible {
	t.Helper()
	d, err := pseudo.OpenReversible(context.Background(), cfg.Ring, domain, cfg.Authority(req))
	require.NoError(t, err)
	return d
}

// reversibleTokens are tokens of n numbers.
func reversibleTokens(t testing.TB, cfg *Config, domain string, n int) (tokens []pseudo.ReversibleToken) {
	t.Helper()
	d := reversible(t, cfg, domain, Request{})
	for i := range n {
		tok, err := d.Token(context.Background(), pseudo.NIK, nik(i))
		require.NoError(t, err)
		tokens = append(tokens, tok)
	}
	return tokens
}

func TestAuthority(t *testing.T) {
	ctx := context.Background()
	cfg, _ := boardConfig(t)
	tokens := reversibleTokens(t, cfg, studyDomain, 3)
	got, err := reversible(t, cfg, studyDomain, board).Reverse(ctx, pseudo.NIK, tokens)
	require.NoError(t, err)
	for i := range got {
		require.NoError(t, got[i].Err)
		require.Equal(t, nik(i), got[i].Value)
	}
	e := last(t, cfg.Log)
	require.NotEmpty(t, e.Decision)
	require.Equal(t, Entry{
		Index: e.Index, Time: noon.Local(), Actor: "dr-board", Role: "board", Purpose: Treatment, Action: "reidentify", Type: studyDomain, Fields: []string{"nik"},
		Outcome: "done", Reason: ByLaw, Decision: e.Decision, Article: "KEPK 2026-114", Justification: "an incidental finding", Count: 3,
	}, e)

	insurer, err := pseudo.Open(ctx, cfg.Ring, "recipient/x")
	require.NoError(t, err)
	research := board
	research.Purpose = Research
	translated, err := reversible(t, cfg, studyDomain, research).Translate(ctx, insurer, pseudo.NIK, tokens)
	require.NoError(t, err)
	own, err := insurer.Token(ctx, pseudo.NIK, nik(0))
	require.NoError(t, err)
	require.Equal(t, own, translated[0].Token)
	e = last(t, cfg.Log)
	require.Equal(t, []string{"translate", "x", "Perpres 82/2018", "done"}, []string{e.Action, e.Recipient, e.Article, e.Outcome})

	report := investigate(t, cfg, Incident{Actor: "dr-board"}, nil)
	require.Equal(t, []int{2, 6, 0}, []int{report.Entries, report.Reversed, report.Unnamed})
	for _, in := range []Language{English, Indonesian} {
		require.Contains(t, report.Text(in), ": 6\n")
	}
	require.Equal(t, 3, investigate(t, cfg, Incident{Recipient: "x"}, nil).Reversed, "found by the recipient, as exports are")
}

// TestAuthorityRefuses: no right is given by default, by another one, or by what
// permits records to be opened; each refusal is in the log.
func TestAuthorityRefuses(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		change func(cfg *Config, req *Request)
		domain string
		to     string
		want   Reason
	}{
		"the zero policy": {func(cfg *Config, _ *Request) { cfg.Policy = Policy{} }, "", "", NoRight},
		"a legal basis for everything": {func(cfg *Config, _ *Request) {
			cfg.Policy = Policy{Bases: []LegalBasis{{LegalObligation, "art. X", Rule{Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}}}}}
		}, "", "", NoRight},
		"an emergency": {func(cfg *Config, req *Request) {
			cfg.Policy, req.Purpose = Policy{Emergency: Emergency{Roles: []string{"board"}, OverRefusals: true}}, BreakGlass
		}, "", "", NoRight},
		"while it observes": {func(cfg *Config, _ *Request) {
			cfg.Policy, cfg.Observe = Policy{}, Observe{Until: noon.AddDate(0, 0, 7)}
		}, "", "", NoRight},
		"another domain":                {func(*Config, *Request) {}, "recipient/y", "", NoRight},
		"another purpose":               {func(_ *Config, req *Request) { req.Purpose = Marketing }, "", "", NoRight},
		"an unknown purpose":            {func(_ *Config, req *Request) { req.Purpose = "CARE" }, "", "", Unknown},
		"another role":                  {func(_ *Config, req *Request) { req.Role = "doctor" }, "", "", NoRight},
		"no role":                       {func(_ *Config, req *Request) { req.Role = "" }, "", "", NoRole},
		"a role that sees no identity":  {func(_ *Config, req *Request) { req.Role = "clerk" }, "", "", RoleForbids},
		"a job that is not registered":  {func(_ *Config, req *Request) { req.Job = "nightly" }, "", "", NoJob},
		"values for research":           {func(_ *Config, req *Request) { req.Purpose = Research }, "", "", ExportOnly},
		"values for a part of research": {func(_ *Config, req *Request) { req.Purpose = "CLINTRCH" }, "", "", ExportOnly},
		"a translation for care":        {func(*Config, *Request) {}, "", "recipient/x", NoRight},
		"a translation to another":      {func(_ *Config, req *Request) { req.Purpose = Research }, "", "recipient/y", NoRight},
		"a translation by another": {func(_ *Config, req *Request) {
			req.Purpose, req.Actor = Research, "dr-other"
		}, "", "recipient/x", NoRight},
		"when it is over": {func(cfg *Config, _ *Request) { cfg.Policy.Reversals[0].Until = noon }, "", "", NoRight},
		"before it began": {func(cfg *Config, _ *Request) { cfg.Policy.Reversals[0].From = noon.Add(1) }, "", "", NoRight},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _ := boardConfig(t)
			domain := studyDomain
			if tt.domain != "" {
				domain = tt.domain
			}
			tokens := reversibleTokens(t, cfg, domain, 2)
			req := board
			tt.change(cfg, &req)
			d := reversible(t, cfg, domain, req)
			action := "reidentify"
			var err error
			if tt.to == "" {
				var got []pseudo.Reversed
				got, err = d.Reverse(ctx, pseudo.NIK, tokens)
				require.Nil(t, got)
			} else {
				action = "translate"
				to, openErr := pseudo.Open(ctx, cfg.Ring, tt.to)
				require.NoError(t, openErr)
				_, err = d.Translate(ctx, to, pseudo.NIK, tokens)
			}
			var denied *DeniedError
			require.ErrorAs(t, err, &denied)
			require.ErrorIs(t, err, ErrDenied)
			require.Equal(t, tt.want, denied.Reason)
			require.Equal(t, action, denied.Action)
			e := last(t, cfg.Log)
			require.Equal(t, []any{action, "refused", tt.want, denied.Decision, 2, domain}, []any{e.Action, e.Outcome, e.Reason, e.Decision, e.Count, e.Type})
			require.Empty(t, e.Article)
			report := investigate(t, cfg, Incident{Actor: req.Actor}, nil)
			require.Zero(t, report.Reversed)
			reversed := *report
			reversed.Reversed = 1
			for _, in := range []Language{English, Indonesian} {
				require.Equal(t, strings.Count(report.Text(in), "\n")+1, strings.Count(reversed.Text(in), "\n"), "no line for none")
			}
		})
	}
}

// TestGuardAuthority: each token is a patient that the actor reaches.
func TestGuardAuthority(t *testing.T) {
	ctx := context.Background()
	cfg, _ := boardConfig(t)
	var alerts []Alert
	cfg.Guard = Guard{People: Limit{Hour: 5, Day: 5}, Alert: func(a Alert) { alerts = append(alerts, a) }, Jobs: map[string]Job{"findings": {Actors: []string{"dr-board"}, Limit: Limit{Day: 20}}}}
	tokens := reversibleTokens(t, cfg, studyDomain, 6)
	try := func(n int, req Request) error {
		_, err := reversible(t, cfg, studyDomain, req).Reverse(ctx, pseudo.NIK, tokens[:n])
		return err
	}
	reason := func(err error, want Reason) {
		t.Helper()
		var denied *DeniedError
		require.ErrorAs(t, err, &denied)
		require.Equal(t, want, denied.Reason)
	}
	reason(try(6, board), TooMany)
	require.Len(t, alerts, 1)
	require.Equal(t, []any{"reidentify", studyDomain, "dr-board"}, []any{alerts[0].Action, alerts[0].Type, alerts[0].Actor})
	require.NoError(t, try(3, board), "a batch that was too large counts for nothing")
	require.NoError(t, try(2, board))
	reason(try(1, board), TooMany)
	require.Equal(t, TooMany, last(t, cfg.Log).Reason)
	job := board
	job.Job = "findings"
	require.NoError(t, try(6, job))

	cfg.Guard.People = Limit{Hour: 2, Day: 20}
	apart := board
	apart.Job, cfg.Guard.Jobs = "apart", map[string]Job{"apart": {Actors: []string{"dr-board"}, Limit: Limit{Hour: 4, Day: 20}}}
	reason(try(5, apart), TooMany)
	require.NoError(t, try(4, apart), "nor does one that only the hour has no room for")

	cfg.Guard.People, cfg.Guard.Jobs = Limit{Hour: 5, Day: 5}, nil
	cfg.Roles["doctor"] = []string{"identity", "clinical", "sensitive"}
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	care := Request{Purpose: Treatment, Actor: "dr-board", Role: "doctor"}
	_, err := open(r, ayu.ID, row.Sealed, care)
	reason(err, TooMany) // one count of patients, whatever they are reached by
}

// TestBypassAuthority: without its entry in the log nothing is turned back.
func TestBypassAuthority(t *testing.T) {
	ctx := context.Background()
	cfg, db := boardConfig(t)
	tokens := reversibleTokens(t, cfg, studyDomain, 2)
	d := reversible(t, cfg, studyDomain, board)
	require.NoError(t, db.Close())
	got, err := d.Reverse(ctx, pseudo.NIK, tokens)
	require.ErrorIs(t, err, ErrAudit)
	require.Nil(t, got)

	for name, tt := range map[string]struct {
		a    pseudo.Authority
		r    pseudo.Reversal
		want error
	}{
		"no purpose":       {cfg.Authority(Request{Actor: "a"}), pseudo.Reversal{Domain: studyDomain, Kind: pseudo.NIK, Count: 1}, ErrRequest},
		"no actor":         {cfg.Authority(Request{Purpose: Treatment}), pseudo.Reversal{Domain: studyDomain, Kind: pseudo.NIK, Count: 1}, ErrRequest},
		"no domain":        {cfg.Authority(board), pseudo.Reversal{Kind: pseudo.NIK, Count: 1}, ErrRequest},
		"no tokens":        {cfg.Authority(board), pseudo.Reversal{Domain: studyDomain, Kind: pseudo.NIK}, ErrRequest},
		"no configuration": {new(Config).Authority(board), pseudo.Reversal{Domain: studyDomain, Kind: pseudo.NIK, Count: 1}, ErrConfig},
	} {
		require.ErrorIs(t, tt.a.Authorize(ctx, tt.r), tt.want, name)
	}
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", cfg.Authority(board), cfg.Authority(board), cfg.Authority(board)), "dr-board")
}

func TestPolicyRefusesReversals(t *testing.T) {
	good := ReversalBasis{Basis: VitalInterest, Article: "X", Domains: []string{studyDomain}, Purposes: []Purpose{Treatment}, Roles: []string{"board"}}
	for name, tt := range map[string]struct {
		change func(*ReversalBasis)
		want   error
	}{
		"as it should be": {func(*ReversalBasis) {}, nil},
		"no basis":        {func(b *ReversalBasis) { b.Basis = "" }, ErrNoBasis},
		"consent":         {func(b *ReversalBasis) { b.Basis = Consented }, ErrNoBasis},
		"no article":      {func(b *ReversalBasis) { b.Article = "" }, ErrLimit},
		"no domain":       {func(b *ReversalBasis) { b.Domains = nil }, pseudo.ErrNoDomain},
		"a compartment":   {func(b *ReversalBasis) { b.Domains = []string{"identity"} }, pseudo.ErrNoDomain},
		"to nowhere":      {func(b *ReversalBasis) { b.To = []string{""} }, pseudo.ErrNoDomain},
		"no purpose":      {func(b *ReversalBasis) { b.Purposes = nil }, ErrCode},
		"unknown purpose": {func(b *ReversalBasis) { b.Purposes = []Purpose{"ALL"} }, ErrCode},
		"for anyone":      {func(b *ReversalBasis) { b.Roles = nil }, ErrRequest},
		"empty period":    {func(b *ReversalBasis) { b.From, b.Until = noon, noon }, ErrPeriod},
		"not UTF-8":       {func(b *ReversalBasis) { b.Actors = []string{"\xff"} }, ErrLimit},
	} {
		b := good
		b.Domains = slices.Clone(good.Domains)
		tt.change(&b)
		p := Policy{Reversals: []ReversalBasis{b}}
		require.ErrorIs(t, p.check(), tt.want, name)
	}
	b := good
	b.Domains = []string{"study"}
	require.ErrorContains(t, b.check(), "slash", "says what the name lacks")
}
