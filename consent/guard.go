package consent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/consent/internal/tally"
	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/internal/sqldb"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Guard limits how many different patients one actor reaches, so that bulk theft
// by a legitimate login ends at a number and is noticed. The zero Guard has the
// limits of people and alerts through slog.
//
// Patients whose records are opened, updated or exported are counted by
// [Request.Actor], and with them each token that is turned back or translated;
// so are, apart, the different values that are looked up. A patient who was
// counted within the hour costs nothing again, so whoever is at the limit can go
// on with those already seen. What a decision refuses counts for nothing. Beyond the limit the answer is a refusal for the reason
// [TooMany]; but for an emergency that the [Policy] allows, which is counted
// apart, alerted, and never refused.
//
// The counts lie where the [Log] lies, so processes that share its database or
// folder share them. They hold no actor and no patient in clear, and the next
// count removes what is older than a day, in a folder than two. Where they cannot be kept nothing is released: [ErrAudit].
//
// It believes the actor that it is told: pass the login and not what a client
// sent. Whoever may write there can set the counts back; the log
// still has every access. Of limits that differ between processes each applies
// its own.
type Guard struct {
	// People is the limit of an actor; a field that is zero is 200 an hour, 1,000 a day.
	People Limit

	// Jobs are the registered jobs by name. A request that names one in
	// [Request.Job] is counted for the job, whoever of its actors runs it.
	Jobs map[string]Job

	// Alert is told when a limit is met, or the counts cannot be kept: once an
	// hour for each actor or job in each process. It is called before the answer
	// is given, so it should hand on and return. nil warns through [slog.Default].
	Alert func(Alert)
}

// Limit is how many different patients may be reached in any hour and in any
// day of 24 hours, whose ends are those of steps of five minutes.
type Limit struct{ Hour, Day int }

// Job is a program that reaches more patients than a person may: a nightly
// report, a migration.
type Job struct {
	Actors []string // who may run it
	Limit  Limit    // Day must be set; Hour zero is as Day
}

// Alert says that a limit is met. It names no patient.
type Alert struct {
	Time      time.Time
	Actor     string
	Role      string
	Job       string
	Purpose   Purpose
	Action    string // open, lookup, update, export, reidentify, translate
	Type      string // record type; the domain of tokens that were to be turned back
	Emergency bool   // the request was not refused, because it declared an emergency
	Hour, Day int    // patients, or values looked up, that were counted
	Limit     Limit
	Decision  string // id of the first decision concerned in the audit log
	Err       error  // why the counts could not be kept; nil where a limit is met
}

func (g *Guard) check() error {
	if g.People.Hour < 0 || g.People.Day < 0 {
		return fmt.Errorf("guard: people: %w", ErrLimit)
	}
	for name, j := range g.Jobs {
		if name == "" || !text(name) || len(j.Actors) == 0 || slices.Contains(j.Actors, "") || j.Limit.Day <= 0 || j.Limit.Hour < 0 {
			return fmt.Errorf("guard: a job without name, actors or limit: %w", ErrLimit)
		}
	}
	return nil
}

// mayRun reports whether a request may name its job.
func (g *Guard) mayRun(req *Request) bool {
	j, ok := g.Jobs[req.Job]
	return req.Job == "" || ok && slices.Contains(j.Actors, req.Actor)
}

// limit is the one that a request is held to.
func (g *Guard) limit(req *Request) Limit {
	if j, ok := g.Jobs[req.Job]; ok {
		l := j.Limit
		if l.Hour == 0 {
			l.Hour = l.Day
		}
		return l
	}
	l := g.People
	if l.Hour == 0 {
		l.Hour = 200
	}
	if l.Day == 0 {
		l.Day = 1000
	}
	return l
}

// admit counts the patients of answers that are permitted, and turns those
// beyond the limit into refusals. It comes before their entries are written. An
// error means that nothing may be released.
func (r *Records[T]) admit(ctx context.Context, req *Request, answers ...*released) error {
	var usual, emergency []*released
	for _, x := range answers {
		switch {
		case len(x.fields) == 0: // refused already
		case x.entry.Reason == InEmergency:
			emergency = append(emergency, x)
		default:
			usual = append(usual, x)
		}
	}
	for _, all := range [][]*released{usual, emergency} {
		if len(all) == 0 {
			continue
		}
		patients := make([]string, len(all))
		for i, x := range all {
			patients[i] = x.subject
		}
		over, err := r.cfg.reach(ctx, req, all[0].entry, all[0].entry.Reason == InEmergency, patients)
		if err != nil {
			return err
		}
		for i, x := range all {
			if over[i] {
				x.fields = nil
				x.entry.Outcome, x.entry.Reason, x.entry.Fields, x.entry.Article = "refused", TooMany, nil, ""
			}
		}
	}
	return nil
}

// tooMany returns the refusal of an answer that admit refused.
func (r *Records[T]) tooMany(x *released) error {
	if x.entry.Reason != TooMany {
		return nil
	}
	return denied(x.entry)
}

// admitLookup counts what is looked up. No policy decides on a lookup, so whether
// it is a part of an emergency is asked here.
func (r *Records[T]) admitLookup(ctx context.Context, req *Request, entry *logBody, tokens []pseudo.Token) (Reason, error) {
	if len(tokens) == 0 {
		return MaySearch, nil
	}
	a := newAsking(req, &Data{}, r.cfg.now())
	over, err := r.cfg.reach(ctx, req, entry, r.cfg.Policy.emergency(&a), []string{entry.Type + "/" + entry.Fields[0] + "/" + tokens[0].String()})
	if err != nil {
		return "", err
	}
	if over[0] {
		return TooMany, nil
	}
	return MaySearch, nil
}

const labelGuard = "rahasia/guard/v1"

// How long the counts may take, and in an emergency, which does not depend on them.
const (
	guardPatience     = 10 * time.Second
	emergencyPatience = 2 * time.Second
)

// reach counts things for a request, patients or what is looked up, and says
// which are beyond its limit: in an emergency none. entry is that of the first.
func (c *Config) reach(ctx context.Context, req *Request, entry *logBody, emergency bool, things []string) ([]bool, error) {
	limit, patience, who := c.Guard.limit(req), guardPatience, []string{"open", "actor", req.Actor}
	if req.Job != "" {
		who = []string{"open", "job", req.Job}
	}
	if entry.Action == "lookup" {
		who[0] = "lookup"
	}
	held := (*tally.Limit)(&limit)
	if emergency {
		held, patience, who = nil, emergencyPatience, append(who, "emergency")
	}
	within, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n, err := c.Log.guard().count(within, who, things, c.now(), held)
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: guard: %w", ErrAudit, ctx.Err())
	case err != nil:
		c.alert(req, entry, Alert{Emergency: emergency, Limit: limit, Err: err})
		if emergency {
			return make([]bool, len(things)), nil
		}
		return nil, fmt.Errorf("%w: guard: %w", ErrAudit, err)
	case slices.Contains(n.Over, true), emergency && (n.Hour > limit.Hour || n.Day > limit.Day):
		c.alert(req, entry, Alert{Emergency: emergency, Limit: limit, Hour: n.Hour, Day: n.Day})
	}
	return n.Over, nil
}

// alert completes an alert and passes it on, where it is the first in an hour.
func (c *Config) alert(req *Request, entry *logBody, a Alert) {
	a.Time, a.Actor, a.Role, a.Job, a.Purpose = c.now(), req.Actor, req.Role, req.Job, req.Purpose
	a.Action, a.Type, a.Decision = entry.Action, entry.Type, entry.Decision
	if !c.Log.guard().first(&a) {
		return
	}
	if c.Guard.Alert != nil {
		c.Guard.Alert(a)
		return
	}
	slog.Warn("consent: the exfiltration guard met a limit", "actor", a.Actor, "role", a.Role, "job", a.Job, "purpose", string(a.Purpose), "action", a.Action,
		"type", a.Type, "emergency", a.Emergency, "hour", a.Hour, "day", a.Day, "limit.hour", a.Limit.Hour, "limit.day", a.Limit.Day, "decision", a.Decision, "error", a.Err)
}

// reaches keeps a guard's counts, and what was alerted.
type reaches struct {
	ring  *keyring.Ring
	tally *tally.Tally

	mu      sync.Mutex
	alerted map[alertKey]time.Time
}

func openReaches(ring *keyring.Ring, open func() (*tally.Tally, error)) (*reaches, error) {
	t, err := open()
	if errors.Is(err, sqldb.ErrForeign) {
		err = fmt.Errorf("tables: %w: %w", err, ErrTampered)
	}
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return &reaches{ring: ring, tally: t, alerted: map[alertKey]time.Time{}}, nil
}

// alertKey is what one alert an hour is enough of.
type alertKey struct {
	actor, job        string
	emergency, failed bool
	lookup            bool
}

// first reports whether a is the first of its key within an hour.
func (g *reaches) first(a *Alert) bool {
	key := alertKey{a.Actor, a.Job, a.Emergency, a.Err != nil, a.Action == "lookup"}
	g.mu.Lock()
	defer g.mu.Unlock()
	for k, at := range g.alerted {
		if since := a.Time.Sub(at); since < 0 || since >= time.Hour {
			delete(g.alerted, k)
		}
	}
	if _, is := g.alerted[key]; is {
		return false
	}
	g.alerted[key] = a.Time
	return true
}

// count counts things for who. What is stored of both is a keyed hash: of a
// thing one that differs for each who.
func (g *reaches) count(ctx context.Context, who, things []string, now time.Time, limit *tally.Limit) (tally.Count, error) {
	mac, err := g.key(ctx)
	if err != nil {
		return tally.Count{}, err
	}
	id := func(parts ...string) tally.ID {
		sum := secret.Sum(mac, lp.Append(nil, parts...))
		return tally.ID(sum[:16])
	}
	whats := make([]tally.ID, len(things))
	for i, t := range things {
		whats[i] = id(append(who[:len(who):len(who)], "of", t)...)
	}
	return g.tally.Count(ctx, id(who...), whats, now, limit)
}

// key is the one of the log's newest version: after a rotation counts begin anew.
func (g *reaches) key(ctx context.Context) (secret.MAC, error) {
	ks, err := g.ring.Keyset(ctx, evidence.TreeKeyset)
	if err != nil {
		return secret.MAC{}, err
	}
	return ks.MAC(ks.Primary(), labelGuard)
}
