package consent

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rahasia/rahasia/pseudo"
)

// ReversalBasis is a right to turn reversible tokens back (pseudo.Reversible),
// such as an ethics board's approval that patients with an incidental finding be
// called. Nothing else gives one: no [LegalBasis], whatever its actions, no
// emergency and no patient's consent, for whose tokens they are nobody knows
// before. What is not named is not meant.
type ReversalBasis struct {
	Basis   Basis  // UU PDP 27/2022, article 20(2) (b) to (f)
	Article string // the law or the approval that it rests on; it is written into the audit log

	Domains []string // whose tokens, by the domain's whole name, such as "recipient/ui-2026"; required

	// To are the domains to which they may be translated. None: no translation is
	// permitted, and the values themselves are.
	To []string

	Purposes    []Purpose // and those below them, as of a [Rule]; required
	Actors      []string  // who; empty: anyone in one of Roles
	Roles       []string  // in which role; empty: any of Actors. Both empty are an error
	From, Until time.Time // in [From, Until); zero is unbounded
}

func (b *ReversalBasis) check() error {
	rule := b.rule()
	err := rule.check()
	switch {
	case !b.Basis.known() || b.Basis == Consented:
		return ErrNoBasis
	case b.Article == "" || !text(b.Article):
		return fmt.Errorf("article: %w", ErrLimit)
	case len(b.Domains) == 0 || slices.ContainsFunc(slices.Concat(b.Domains, b.To), func(d string) bool { return !strings.Contains(d, "/") }):
		return fmt.Errorf("domains: %w: want names with a slash, such as %q", pseudo.ErrNoDomain, recipientDomain("ui-2026"))
	case len(b.Purposes) == 0:
		return fmt.Errorf("purposes: %w", ErrCode)
	case len(b.Actors)+len(b.Roles) == 0:
		return fmt.Errorf("actors or roles: %w", ErrRequest)
	}
	return err
}

func (b *ReversalBasis) rule() Rule {
	return Rule{Purposes: b.Purposes, Actors: b.Actors, Roles: b.Roles, From: b.From, Until: b.Until}
}

// reverses returns the basis on which the policy lets a request turn tokens back.
func (p *Policy) reverses(a *asking, r pseudo.Reversal) (*ReversalBasis, Reason) {
	if r.To == "" && slices.Contains(a.line[:a.deep], Research) {
		return nil, ExportOnly // research sees pseudonyms: a finding goes back for care
	}
	for i := range p.Reversals {
		b := &p.Reversals[i]
		rule := b.rule()
		to := len(b.To) == 0 && r.To == "" || slices.Contains(b.To, r.To)
		if to && slices.Contains(b.Domains, r.Domain) && rule.gap(a) == none {
			return b, ByLaw
		}
	}
	return nil, NoRight
}

// identityCompartment is where the fields of all kinds lie that have tokens.
const identityCompartment = "identity"

// authority is what Config.Authority returns; a function, so that printing it
// does not walk into a configuration.
type authority func(ctx context.Context, r pseudo.Reversal) error

func (a authority) Authorize(ctx context.Context, r pseudo.Reversal) error { return a(ctx, r) }

// Authority is what pseudo.OpenReversible takes to turn tokens back or translate
// them for one request, which says who asks, in which role and why: open the
// domain anew for each. A batch is permitted where [Policy].Reversals gives the right;
// a role, where there are any, must be one that may open the compartment
// "identity", where the values are. Research, which sees pseudonyms, never gets values.
//
// Each token counts for the [Guard] as a patient that the actor reaches, whether
// or not it was turned back before. A batch that is too many is refused whole; one
// that would fit an unused limit uses up the rest of it. The entry, "reidentify"
// or "translate", is durable in the audit log before the batch is allowed, and so
// is one of a refusal. It says how many tokens of which domain and kind, and no
// patient, whom nobody knows yet.
//
// Its errors, wrapped by pseudo's: [*DeniedError]; [ErrRequest], [ErrLimit],
// [ErrAudit], [ErrConfig].
func (c *Config) Authority(req Request) pseudo.Authority {
	return authority(func(ctx context.Context, r pseudo.Reversal) error { return c.authorize(ctx, req, r) })
}

func (c *Config) authorize(ctx context.Context, req Request, r pseudo.Reversal) error {
	err := c.whole()
	if err == nil {
		err = req.check()
	}
	if err == nil && (r.Domain == "" || r.Kind == "" || r.Count < 1 || !text(r.Domain, r.To, string(r.Kind))) {
		err = ErrRequest
	}
	if err != nil {
		return fmt.Errorf("consent: authority: %w", err)
	}
	b := new(logBody)
	begin(c, b, "reidentify", r.Domain, &req)
	if r.To != "" {
		b.Action = "translate"
	}
	b.Recipient = strings.TrimPrefix(r.To, recipientDomain("")) // as exports name one
	b.Fields, b.Count, b.Justification = []string{string(r.Kind)}, r.Count, req.Justification
	if b.Outcome, b.Reason, b.Article, err = c.mayReverse(ctx, &req, b, r); err == nil {
		err = c.Log.append(ctx, b)
	}
	switch {
	case err != nil:
		return fmt.Errorf("consent: authority: %w", err)
	case b.Outcome == "refused":
		return denied(b)
	}
	return nil
}

// mayReverse decides on a reversal and, if it is permitted, counts it.
func (c *Config) mayReverse(ctx context.Context, req *Request, b *logBody, r pseudo.Reversal) (outcome string, why Reason, article string, err error) {
	a := newAsking(req, &Data{}, c.now())
	refused := func(why Reason) (string, Reason, string, error) { return "refused", why, "", nil }
	switch {
	case !req.Purpose.known():
		return refused(Unknown)
	case !c.roleKnown(req.Role):
		return refused(NoRole)
	case !c.roleMay(req.Role, identityCompartment):
		return refused(RoleForbids)
	case !c.Guard.mayRun(req):
		return refused(NoJob)
	}
	basis, why := c.Policy.reverses(&a, r)
	if basis == nil {
		return refused(why)
	}
	limit := c.Guard.limit(req)
	if r.Count > limit.Hour || r.Count > limit.Day { // counts for nothing, as everything that is refused
		c.alert(req, b, Alert{Limit: limit})
		return refused(TooMany)
	}
	things := make([]string, r.Count)
	for i := range things {
		things[i] = b.Decision + "/" + strconv.Itoa(i) // no id of a patient: each token is one that nobody has reached yet
	}
	over, err := c.reach(ctx, req, b, false, things)
	switch {
	case err != nil:
		return "", "", "", err
	case slices.Contains(over, true):
		return refused(TooMany)
	}
	return "done", why, basis.Article, nil
}
