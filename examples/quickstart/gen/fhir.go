package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// The elements of FHIR R4 that the quickstart uses. Upstream bundles are decoded
// into the same types that are written, so what is not named here is dropped.

const (
	nikSystem    = "https://fhir.kemkes.go.id/id/nik"
	ihsSystem    = "https://fhir.kemkes.go.id/id/ihs-number"
	originSystem = "urn:rahasia:origin"
	generatedURL = "urn:rahasia:generated"
	noteURL      = "urn:rahasia:note"
	actCode      = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	loinc        = "http://loinc.org"
	snomed       = "http://snomed.info/sct"
)

type (
	coding struct {
		System  string `json:"system,omitempty"`
		Code    string `json:"code"`
		Display string `json:"display,omitempty"`
	}
	concept struct {
		Coding []coding `json:"coding"`
	}
	meta struct {
		Security []coding `json:"security,omitempty"`
		Tag      []coding `json:"tag,omitempty"`
	}
	extension struct {
		URL    string `json:"url"`
		Bool   bool   `json:"valueBoolean,omitempty"`
		String string `json:"valueString,omitempty"`
	}
	identifier struct {
		Extension []extension `json:"extension,omitempty"`
		System    string      `json:"system"`
		Value     string      `json:"value"`
	}
	humanName struct {
		Use    string   `json:"use,omitempty"`
		Text   string   `json:"text,omitempty"`
		Family string   `json:"family,omitempty"`
		Given  []string `json:"given,omitempty"`
	}
	contactPoint struct {
		Extension []extension `json:"extension,omitempty"`
		System    string      `json:"system"`
		Value     string      `json:"value"`
	}
	address struct {
		Extension []extension `json:"extension,omitempty"`
		Line      []string    `json:"line"`
		City      string      `json:"city"`
		State     string      `json:"state,omitempty"`
		Country   string      `json:"country"`
	}
	reference struct {
		Extension []extension `json:"extension,omitempty"`
		Reference string      `json:"reference,omitempty"`
		Display   string      `json:"display,omitempty"`
	}
	quantity struct {
		Value json.Number `json:"value"`
		Unit  string      `json:"unit,omitempty"`
	}
	component struct {
		Code     concept   `json:"code"`
		Quantity *quantity `json:"valueQuantity"`
	}
)

type patient struct {
	ResourceType string         `json:"resourceType"`
	ID           string         `json:"id"`
	Meta         *meta          `json:"meta,omitempty"`
	Extension    []extension    `json:"extension,omitempty"`
	Identifier   []identifier   `json:"identifier"`
	Name         []humanName    `json:"name"`
	Telecom      []contactPoint `json:"telecom,omitempty"`
	Gender       string         `json:"gender"`
	BirthDate    string         `json:"birthDate"`
	Address      []address      `json:"address,omitempty"`
	Organization *reference     `json:"managingOrganization,omitempty"`
}

type observation struct {
	ResourceType string      `json:"resourceType"`
	ID           string      `json:"id"`
	Meta         *meta       `json:"meta,omitempty"`
	Status       string      `json:"status"`
	Code         concept     `json:"code"`
	Subject      reference   `json:"subject"`
	Effective    string      `json:"effectiveDateTime"`
	Quantity     *quantity   `json:"valueQuantity,omitempty"`
	Concept      *concept    `json:"valueCodeableConcept,omitempty"`
	String       string      `json:"valueString,omitempty"`
	Component    []component `json:"component,omitempty"`
}

type condition struct {
	ResourceType string    `json:"resourceType"`
	ID           string    `json:"id"`
	Meta         *meta     `json:"meta,omitempty"`
	Code         concept   `json:"code"`
	Subject      reference `json:"subject"`
	Onset        string    `json:"onsetDateTime,omitempty"`
	Recorded     string    `json:"recordedDate,omitempty"`
}

type resource interface{ key() string }

func (p *patient) key() string     { return p.ID }
func (o *observation) key() string { return o.ID }
func (c *condition) key() string   { return c.ID }

type entry struct {
	Resource resource `json:"resource"`
}

type bundle struct {
	ResourceType string  `json:"resourceType"`
	Meta         *meta   `json:"meta"`
	Type         string  `json:"type"`
	Entry        []entry `json:"entry"`
}

func origin(code string) *meta {
	return &meta{Tag: []coding{{System: originSystem, Code: code}}}
}

// newBundle holds one patient. A resource without a tag of its own has the
// bundle's origin.
func newBundle(from string, p *patient, rest ...resource) *bundle {
	p.Meta = origin(from)
	b := &bundle{ResourceType: "Bundle", Meta: origin(from), Type: "collection", Entry: []entry{{p}}}
	for _, r := range rest {
		b.Entry = append(b.Entry, entry{r})
	}
	return b
}

func marked() []extension { return []extension{{URL: generatedURL, Bool: true}} }

func subject(id string) reference { return reference{Reference: "Patient/" + id} }

// derivedID is a version 8 UUID (RFC 9562) made of SHA-256 of what names the
// resource upstream, for those that have no id there.
func derivedID(name string) string {
	h := sha256.Sum256([]byte("rahasia/quickstart/" + name))
	h[6] = h[6]&0x0f | 0x80
	h[8] = h[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}
