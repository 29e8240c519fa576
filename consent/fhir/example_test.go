package fhir_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/consent/fhir"
)

const resource = `{
	"resourceType": "Consent", "id": "c-17", "status": "active",
	"scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
	"patient": {"reference": "Patient/p-ayu"},
	"provision": {
		"type": "permit",
		"period": {"end": "2026-12-31"},
		"purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
		"provision": [{
			"type": "deny",
			"securityLabel": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}]
		}]
	}
}`

// A consent comes from a hospital that says in which dialect it writes them.
func ExampleImport() {
	o := fhir.Options{
		Dialect: fhir.TypedRoot,
		Zone:    time.FixedZone("Asia/Jakarta", 7*60*60), // time.LoadLocation, where the zones are at hand
		Local: func(reference string) []string {
			if id, ok := strings.CutPrefix(reference, "Patient/"); ok {
				return []string{id} // where the ids are the same; else a look-up
			}
			return nil
		},
	}
	in, err := fhir.Import([]byte(resource), o)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(in.Consent.Subject, in.Consent.Purposes, "until", in.Consent.Until.Format(time.RFC3339))
	fmt.Println("except", in.Consent.Except[0].Sensitivity)

	// Read as the base specification has it, the same resource would mean something else.
	o.Dialect = fhir.BaseR4
	_, err = fhir.Import([]byte(resource), o)
	fmt.Println(err, errors.Is(err, fhir.ErrAmbiguous))
	// Output:
	// p-ayu [TREAT] until 2027-01-01T00:00:00+07:00
	// except [PSY]
	// Consent.policyRule: the dialect does not say what this means true
}

// What was consented to here, for a partner who reads IHE's profile.
func ExampleExport() {
	text, err := fhir.Export(consent.Consent{Subject: "p-ayu", Purposes: []consent.Purpose{consent.Treatment}}, fhir.ExportOptions{
		Zone: time.UTC, Policy: "https://clinic.example/policy",
		Reference: func(element, id string) string { return "Patient/" + id },
	})
	fmt.Println(strings.Contains(string(text), `"type":"permit"`), err)
	// Output: true <nil>
}

// SATUSEHAT's switch is on only for who permits everything.
func ExampleSatusehat() {
	consents := []consent.Consent{{
		Purposes: []consent.Purpose{consent.Treatment}, Actions: []consent.Action{consent.Disclose}, Actors: []string{"satusehat"},
		Confidentiality: "V", Sensitivity: []consent.Label{consent.AnyLabel},
	}}
	now, _ := fhir.Satusehat(consents, "satusehat", time.Now())
	consents = append(consents, consent.Consent{Purposes: []consent.Purpose{consent.Treatment}, Refused: true, Sensitivity: []consent.Label{"PSY"}})
	then, _ := fhir.Satusehat(consents, "satusehat", time.Now())
	fmt.Println(now, then)
	// Output: OPTIN OPTOUT
}
