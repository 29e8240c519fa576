package consent

import (
	"slices"
	"time"
)

// Action is what is done with data: a code of HL7's consentaction
// (http://terminology.hl7.org/CodeSystem/consentaction).
type Action string

// The actions. [Records] states the one that it is about to do.
const (
	Collect  Action = "collect"  // Seal
	Access   Action = "access"   // Open, Lookup
	Use      Action = "use"      // stated by nothing in this package
	Disclose Action = "disclose" // Export
	Correct  Action = "correct"  // Update
)

func (a Action) known() bool {
	switch a {
	case Collect, Access, Use, Disclose, Correct:
		return true
	}
	return false
}

// Selection says which of a patient's data a rule speaks of. Attributes are
// ANDed, the values inside one are ORed, and an empty one does not constrain.
type Selection struct {
	Types       []string  // record types, as NewRecords names them
	Records     []string  // record ids
	Authors     []string  // who made the data
	Related     []string  // what it belongs to: an encounter, an episode of care
	From, Until time.Time // data of a clinical time in [From, Until); zero is unbounded
}

func (s *Selection) empty() bool {
	return len(s.Types)+len(s.Records)+len(s.Authors)+len(s.Related) == 0 && s.From.IsZero() && s.Until.IsZero()
}

// Rule is an exception from a [Consent]: the patient allows or refuses what it
// describes, whatever the consent says otherwise. Its fields mean what those of
// the same name in Consent mean.
//
// An exception without purposes speaks of the consent's. One that permits has
// the consent's actors, roles, actions and data too where it states none of its
// own; one that refuses then means all of them.
type Rule struct {
	Refused         bool
	Purposes        []Purpose
	Actions         []Action
	Actors          []string
	Roles           []string
	Confidentiality Confidentiality
	Sensitivity     []Label
	Data            Selection
	Obligations     []Obligation
	From, Until     time.Time // the exception holds in [From, Until)
}

// base is what c says before its exceptions.
func (c *Consent) base() Rule {
	return Rule{
		Refused: c.Refused, Purposes: c.Purposes, Actions: c.Actions, Actors: c.Actors, Roles: c.Roles,
		Confidentiality: c.Confidentiality, Sensitivity: c.Sensitivity, Data: c.Data, Obligations: c.Obligations,
	}
}

// under is the exception r with what it takes over from the consent.
func (r Rule) under(c *Consent) Rule {
	if len(r.Purposes) == 0 {
		r.Purposes = c.Purposes
	}
	if r.Refused {
		return r
	}
	if len(r.Actors) == 0 {
		r.Actors = c.Actors
	}
	if len(r.Roles) == 0 {
		r.Roles = c.Roles
	}
	if len(r.Actions) == 0 {
		r.Actions = c.Actions
	}
	if r.Data.empty() {
		r.Data = c.Data
	}
	return r
}

// gap is the first attribute in which a rule does not meet a request.
type gap uint8

const (
	none gap = iota // the rule meets the request
	byPurpose
	byAction
	byActor
	byRole
	byLevel
	byLabel
	byData
	byTime
)

// asking is a request, prepared for being held against many rules.
type asking struct {
	req  *Request
	data *Data
	now  time.Time
	line [maxDepth]Purpose // the request's purpose, its parent, and so on
	n    int               // of line
	deep int               // how many of line a permit may name; see mustBeNamed
}

// maxDepth is more than the code system is deep.
const maxDepth = 8

func newAsking(req *Request, data *Data, now time.Time) asking {
	a := asking{req: req, data: data, now: now}
	parents := codes().purposes
	for p := req.Purpose; p != "" && a.n < maxDepth; p = parents[p] {
		a.line[a.n] = p
		a.n++
		if a.deep == 0 && p.mustBeNamed() {
			a.deep = a.n
		}
	}
	if a.deep == 0 {
		a.deep = a.n
	}
	return a
}

// gap returns where r does not meet the request. What the request or the record
// leaves unsaid, no permit that asks for it meets, and every refusal does.
func (r *Rule) gap(a *asking) gap {
	switch {
	case !r.forPurpose(a):
		return byPurpose
	case !isNamed(r.Actions, a.req.Action, r.Refused):
		return byAction
	case len(r.Actors) > 0 && !slices.Contains(r.Actors, a.req.Actor):
		return byActor
	case len(r.Roles) > 0 && !slices.Contains(r.Roles, a.req.Role):
		return byRole
	case !r.From.IsZero() && a.now.Before(r.From), !r.Until.IsZero() && !a.now.Before(r.Until):
		return byTime
	case !r.Data.selects(a.data, r.Refused):
		return byData
	}
	return r.labelGap(a.data)
}

func (r *Rule) forPurpose(a *asking) bool {
	line := a.line[:a.n]
	if !r.Refused {
		line = a.line[:a.deep]
	}
	for _, p := range line {
		if slices.Contains(r.Purposes, p) {
			return true
		}
	}
	return false
}

// isNamed reports whether value is one that a rule names; a rule that names none
// means every one, and a value that nobody stated is met by refusals only.
func isNamed[S ~string](names []S, value S, refused bool) bool {
	switch {
	case len(names) == 0:
		return true
	case value == "":
		return refused
	}
	return slices.Contains(names, value)
}

func (s *Selection) selects(d *Data, refused bool) bool {
	return s.empty() ||
		isNamed(s.Types, d.Type, refused) && isNamed(s.Records, d.Record, refused) && s.selectsByTag(d, refused)
}

// selectsByTag holds against s what only the record's own tag says.
func (s *Selection) selectsByTag(d *Data, refused bool) bool {
	if len(s.Authors)+len(s.Related) == 0 && s.From.IsZero() && s.Until.IsZero() {
		return true
	}
	if d.later {
		return !refused
	}
	return isNamed(s.Authors, d.Author, refused) && s.related(d, refused) && s.during(d, refused)
}

func (s *Selection) related(d *Data, refused bool) bool {
	switch {
	case len(s.Related) == 0:
		return true
	case len(d.Related) == 0:
		return refused
	}
	return slices.ContainsFunc(d.Related, func(to string) bool { return slices.Contains(s.Related, to) })
}

func (s *Selection) during(d *Data, refused bool) bool {
	switch {
	case s.From.IsZero() && s.Until.IsZero():
		return true
	case d.Time.IsZero():
		return refused
	}
	return (s.From.IsZero() || !d.Time.Before(s.From)) && (s.Until.IsZero() || d.Time.Before(s.Until))
}

// labelGap holds the labels of the data against the high-water marks of r: a
// permit must reach all of them, a refusal one.
func (r *Rule) labelGap(d *Data) gap {
	if r.Refused {
		if r.Confidentiality != "" && (d.later || d.Confidentiality.rank() < r.Confidentiality.rank()) {
			return byLevel
		}
		if len(r.Sensitivity) == 0 || slices.ContainsFunc(d.Sensitivity, r.names) {
			return none
		}
		return byLabel
	}
	if !d.later && d.Confidentiality.rank() > r.Confidentiality.rank() {
		return byLevel
	}
	for _, l := range d.Sensitivity {
		if !r.names(l) {
			return byLabel
		}
	}
	return none
}

// names reports whether r names l, an ancestor of it, or every label.
func (r *Rule) names(l Label) bool {
	return slices.ContainsFunc(r.Sensitivity, func(own Label) bool { return own == AnyLabel || own.covers(l) })
}
