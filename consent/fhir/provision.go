package fhir

import (
	"cmp"
	"slices"

	"github.com/rahasia/rahasia/consent"
)

// provision is an element Consent.provision, at whichever level.
type provision struct {
	*element
	permit bool
	inside *provision // the one around it; nil for the root's

	wide       bool // a refusal with an element that is not evaluated
	named      bool // it names purposes
	unlabelled bool // it has no securityLabel
}

// says returns the provision's own type, and whether it has one.
func (p *provision) says() (permit, stated bool) {
	switch p.text("type") {
	case "permit":
		return true, true
	case "deny":
		return false, true
	case "":
	default:
		p.in.fail(p.at("type"), ErrMalformed)
	}
	return false, false
}

// unsupported refuses a permit with an element that the decision does not
// evaluate, and lets a refusal apply in full.
func (p *provision) unsupported(path string) {
	if p.permit {
		p.in.fail(path, ErrNotEvaluated)
		return
	}
	p.wide = true
	p.in.widened = append(p.in.widened, path)
}

// rules returns what the provision says: one rule for a permit, and for a refusal
// as many as it takes, for the values of one element are alternatives, and the
// attributes of a rule are not.
func (p *provision) rules() []consent.Rule {
	r := consent.Rule{Refused: !p.permit}
	r.Purposes = p.purposes()
	r.Actors = p.actors()
	r.Actions = p.actions()
	r.From, r.Until = p.period("period")
	marks, data := p.labels(), p.data()
	from, until := p.period("dataPeriod")
	for _, name := range [...]string{"class", "code"} {
		if _, ok := p.take(name); ok {
			p.unsupported(p.at(name))
		}
	}
	p.ignore("id")
	if !p.whole() {
		p.unsupported(p.path)
	}
	var out []consent.Rule
	for _, m := range marks {
		for _, d := range data {
			r := r
			r.Confidentiality, r.Sensitivity, r.Data = m.level, m.labels, d
			r.Data.From, r.Data.Until = from, until
			out = append(out, r)
		}
	}
	return out
}

func (p *provision) purposes() (out []consent.Purpose) {
	for _, e := range p.all("purpose") {
		system, code, ok := e.coding()
		if !ok || system != systemPurpose || !knows(consent.Request{Purpose: consent.Purpose(code)}, consent.Data{}) {
			p.unsupported(e.path)
			return everyPurpose()
		}
		out = append(out, consent.Purpose(code))
		p.named = true
	}
	return out
}

// actors returns who receives. Another role than that says something about
// the data or its keeper, which no actor of a request is.
func (p *provision) actors() (out []string) {
	for _, e := range p.all("actor") {
		var role string
		if r := e.one("role"); r != nil {
			role, _ = r.concept(systemParticipation)
		}
		var ids []string
		if ref := e.one("reference"); ref != nil {
			ids, _ = ref.reference()
		}
		e.ignore("id")
		if !e.whole() || role != "IRCP" && role != "PRCP" || len(ids) == 0 {
			p.unsupported(e.path)
			return nil
		}
		out = append(out, ids...)
	}
	return out
}

func (p *provision) actions() (out []consent.Action) {
	for _, e := range p.all("action") {
		code, ok := e.concept(systemAction)
		if !ok || !knows(consent.Request{Action: consent.Action(code)}, consent.Data{}) {
			p.unsupported(e.path)
			return nil
		}
		out = append(out, consent.Action(code))
	}
	return out
}

// mark is what a rule reaches of the labels of data.
type mark struct {
	level  consent.Confidentiality
	labels []consent.Label
}

func (p *provision) labels() []mark {
	all := mark{}
	if p.permit {
		all = mark{highest, []consent.Label{consent.AnyLabel}}
	}
	var levels []consent.Confidentiality
	var labels []consent.Label
	for _, e := range p.all("securityLabel") {
		system, code, ok := e.coding()
		level, label := consent.Confidentiality(code), consent.Label(code)
		switch {
		case ok && system == systemConfidentiality && rank(level) >= 0:
			levels = append(levels, level)
		case ok && system == systemActCode && knows(consent.Request{}, consent.Data{Sensitivity: []consent.Label{label}}):
			labels = append(labels, label)
		default:
			p.unsupported(e.path)
			return []mark{all}
		}
	}
	slices.SortFunc(levels, func(a, b consent.Confidentiality) int { return rank(a) - rank(b) })
	switch {
	case len(levels)+len(labels) == 0:
		p.unlabelled = true
		return []mark{all}
	case p.permit && len(levels) == 0:
		return []mark{{cmp.Or(p.in.o.LabelLevel, consent.Normal), labels}}
	case p.permit:
		return []mark{{levels[len(levels)-1], labels}}
	}
	var out []mark
	if len(levels) > 0 {
		out = append(out, mark{level: levels[0]})
	}
	if len(labels) > 0 {
		out = append(out, mark{labels: labels})
	}
	return out
}

// data returns the selections that provision.data makes: one for a permit.
func (p *provision) data() []consent.Selection {
	var records, related, authors []string
	for _, e := range p.all("data") {
		meaning := e.text("meaning")
		var ids []string
		if ref := e.one("reference"); ref != nil {
			ids, _ = ref.reference()
		}
		e.ignore("id")
		if !e.whole() || len(ids) == 0 {
			meaning = ""
		}
		switch meaning {
		case "instance":
			records = append(records, ids...)
		case "related", "dependents":
			related = append(related, ids...)
		case "authoredby":
			authors = append(authors, ids...)
		default:
			p.unsupported(e.path)
			return []consent.Selection{{}}
		}
	}
	if !p.permit {
		records = append(records, related...) // what data is related to is meant as well
	}
	var out []consent.Selection
	if len(records) > 0 {
		out = append(out, consent.Selection{Records: records})
	}
	if len(related) > 0 {
		out = append(out, consent.Selection{Related: related})
	}
	if len(authors) > 0 {
		out = append(out, consent.Selection{Authors: authors})
	}
	switch {
	case len(out) == 0:
		return []consent.Selection{{}}
	case p.permit && len(out) > 1:
		p.in.fail(p.at("data"), ErrAmbiguous) // the meanings are alternatives
	}
	return out
}
