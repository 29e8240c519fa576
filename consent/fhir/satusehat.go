package fhir

import (
	"slices"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// Switch is the one thing that SATUSEHAT's consent service knows of a patient.
type Switch string

// The positions of the switch.
const (
	OptIn  Switch = "OPTIN"
	OptOut Switch = "OPTOUT"
)

// Satusehat projects a patient's consents onto the switch. SATUSEHAT's knows no
// purpose, data, recipient or period: with OPTIN every organisation in it may
// see whatever was sent there. So it is OPTIN only where one consent in force
// permits network to be disclosed everything, of every level and label, for
// treatment and without an obligation, and no refusal in force stands against
// treatment or anything below it, however small; otherwise it is OPTOUT. The fine consent
// stays here, and what is not to be seen must not be sent.
//
// network is the actor by whose id consents name SATUSEHAT, or empty where they
// name nobody. Project again after each event of the ledger, and at the time
// until, when the answer may change by itself; zero is never.
func Satusehat(consents []consent.Consent, network string, now time.Time) (s Switch, until time.Time) {
	s = OptOut
	for i := range consents {
		c := consents[i]
		if stands(&c, now) {
			return OptOut, nextChange(consents, now)
		}
		if disclosesAll(c, network, now) {
			s = OptIn
		}
	}
	return s, nextChange(consents, now)
}

// disclosesAll reports whether c alone permits network everything.
func disclosesAll(c consent.Consent, network string, now time.Time) bool {
	d := new(consent.Policy).Decide([]consent.Consent{c}, consent.Request{
		Purpose: consent.Treatment, Action: consent.Disclose, Actor: network,
	}, consent.Data{Confidentiality: highest}, now) // data of which nothing else is known: no permit that asks is met
	if !d.Permit || len(d.Obligations) > 0 {
		return false
	}
	labels := c.Sensitivity
	if d.Rule > 0 {
		labels = c.Except[d.Rule-1].Sensitivity
	}
	return slices.Contains(labels, consent.AnyLabel)
}

// stands reports whether c refuses anything that treatment covers.
func stands(c *consent.Consent, now time.Time) bool {
	if !inForce(c, now) {
		return false
	}
	refuses := c.Refused && touchesTreatment(c.Purposes)
	for i := range c.Except {
		r := &c.Except[i]
		of := r.Purposes
		if len(of) == 0 {
			of = c.Purposes
		}
		within := (r.From.IsZero() || !now.Before(r.From)) && (r.Until.IsZero() || now.Before(r.Until))
		refuses = refuses || r.Refused && within && touchesTreatment(of)
	}
	return refuses
}

func inForce(c *consent.Consent, now time.Time) bool {
	return (c.Withdrawn.IsZero() || now.Before(c.Withdrawn)) && (c.From.IsZero() || !now.Before(c.From)) && (c.Until.IsZero() || now.Before(c.Until))
}

// touchesTreatment reports whether one of the purposes is treatment or lies below
// it; above it lies none that a consent could name.
func touchesTreatment(all []consent.Purpose) bool {
	return slices.ContainsFunc(all, func(p consent.Purpose) bool {
		return meets(consent.Treatment, p)
	})
}

// nextChange is the first time after now at which a consent or an exception begins or ends.
func nextChange(consents []consent.Consent, now time.Time) (next time.Time) {
	at := func(times ...time.Time) {
		for _, t := range times {
			if t.After(now) && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	for i := range consents {
		c := &consents[i]
		at(c.From, c.Until, c.Withdrawn)
		if c.GivenBy != nil {
			at(c.GivenBy.Until)
		}
		for _, r := range c.Except {
			at(r.From, r.Until)
		}
	}
	return next
}
