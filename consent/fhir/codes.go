package fhir

import (
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// The code systems that are read and written.
const (
	systemPurpose         = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	systemConfidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	systemActCode         = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	systemScope           = "http://terminology.hl7.org/CodeSystem/consentscope"
	systemAction          = "http://terminology.hl7.org/CodeSystem/consentaction"
	systemParticipation   = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	systemLOINC           = "http://loinc.org"
)

const scopePrivacy = "patient-privacy"

// highest is the level that nothing lies above.
const highest consent.Confidentiality = "V"

// everyPurpose returns the purposes below which all others lie.
func everyPurpose() []consent.Purpose {
	return []consent.Purpose{
		consent.Treatment, consent.Payment, consent.Operations, consent.Research,
		consent.PublicHealth, consent.Marketing, consent.PatientRequest,
	}
}

// rank returns the place of a level in the order, or -1.
func rank(c consent.Confidentiality) int {
	if len(c) != 1 {
		return -1
	}
	return strings.Index("ULMNRV", string(c))
}

// knows asks the decision itself which codes it knows.
func knows(req consent.Request, data consent.Data) bool {
	if req.Purpose == "" {
		req.Purpose = consent.Treatment
	}
	return new(consent.Policy).Decide(nil, req, data, time.Time{}).Reason != consent.Unknown
}

// meets reports whether a refusal of p meets a request for q: q is p or lies below it.
func meets(p, q consent.Purpose) bool {
	refusal := []consent.Consent{{Purposes: []consent.Purpose{p}, Refused: true}}
	return new(consent.Policy).Decide(refusal, consent.Request{Purpose: q}, consent.Data{}, time.Time{}).Reason == consent.Refused
}

// coding reads a Coding; ok is false where there is more to it than a system and a code.
func (e *element) coding() (system, code string, ok bool) {
	system, code = e.text("system"), e.text("code")
	e.ignore("id", "version", "display", "userSelected")
	return system, code, e.whole() && code != ""
}

// concept returns the code of a CodeableConcept in a system. There must be one
// exactly; codings in other systems are translations of it.
func (e *element) concept(system string) (code string, ok bool) {
	for _, c := range e.all("coding") {
		s, found, plain := c.coding()
		switch {
		case s != system:
		case code != "" || !plain:
			return "", false
		default:
			code = found
		}
	}
	e.ignore("id", "text")
	return code, e.whole() && code != ""
}
