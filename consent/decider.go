package consent

import (
	"cmp"
	"slices"
	"time"
)

// decider holds one request's answers, so that fields with the same labels are
// decided on once.
type decider struct {
	cfg      *Config
	consents []Consent
	req      Request
	action   string
	kind     string // record type
	record   string // record id
	now      time.Time
	basis    []string // ids of the consents that decided
	by       Reason   // what the permits rest on; of several the one that is looked at first in a review
	article  string   // of a legal basis
	known    []answer
}

type answer struct {
	data   Data // as far as fields of one record differ in it
	calm   bool // an emergency does not reach it
	reason Reason
}

// actionOf is what a verb of Records does with data, for the decision.
func actionOf(verb string) Action {
	switch verb {
	case "export":
		return Disclose
	case "update", "rebind":
		return Correct
	}
	return Access
}

// decide answers for one set of labels in a compartment.
func (d *decider) decide(data Data, compartment string) Reason {
	calm := !d.cfg.Policy.Emergency.reaches(compartment)
	for i := range d.known {
		if a := &d.known[i]; a.calm == calm && a.data.later == data.later && a.data.Confidentiality == data.Confidentiality && slices.Equal(a.data.Sensitivity, data.Sensitivity) {
			return a.reason
		}
	}
	req := d.req
	if calm {
		req.Justification = "" // declares no emergency
	}
	dec := d.cfg.Policy.Decide(d.consents, req, data, d.now)
	if d.cfg.Observe.lets(d, dec) {
		a := newAsking(&req, &data, d.now)
		dec = Decision{Permit: true, Reason: WouldDeny, Obligations: obliged(nil, &a)}
	}
	reason := dec.Reason
	if dec.Permit {
		reason = d.discharge(dec.Obligations)
		d.by = first(d.by, dec.Reason)
		d.article = cmp.Or(d.article, dec.Article)
	}
	if dec.Consent != "" && !slices.Contains(d.basis, dec.Consent) {
		d.basis = append(d.basis, dec.Consent)
	}
	d.known = append(d.known, answer{data, calm, reason})
	return reason
}

// discharge reports whether the action does what the permit obliges to. An
// obligation that nothing here discharges refuses, whatever it is.
func (d *decider) discharge(obligations []Obligation) Reason {
	for _, o := range obligations {
		switch o {
		case "AUDIT", "AUDTR": // every release is
		case "ENCRYPT", "ENCRYPTR": // every row is; a table is not
			if d.action == "export" {
				return CannotFulfil
			}
		case Pseudonymise, Deidentify:
			if d.action != "export" {
				return ExportOnly
			}
		default:
			if !slices.Contains(d.req.Fulfils, o) {
				return CannotFulfil
			}
		}
	}
	return Permitted
}
