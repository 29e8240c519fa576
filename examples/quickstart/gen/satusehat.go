package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
)

//go:embed sandbox.json
var sandboxJSON []byte

// sandbox writes the ten dummy patients that the ministry publishes for the
// SATUSEHAT sandbox. NIK, name, sex, birth date and IHS number are theirs; the
// notes, observations and conditions are invented.
func sandbox(fs.FS) ([]*bundle, error) {
	var rows []struct{ NIK, Name, Gender, BirthDate, IHS string }
	if err := json.Unmarshal(sandboxJSON, &rows); err != nil {
		return nil, err
	}
	var out []*bundle
	for i, row := range rows {
		p := &patient{
			ResourceType: "Patient", ID: row.IHS, Gender: row.Gender, BirthDate: row.BirthDate,
			Identifier: []identifier{{System: nikSystem, Value: row.NIK}, {System: ihsSystem, Value: row.IHS}},
			Name:       []humanName{{Use: "official", Text: row.Name}},
		}
		d := invent("satusehat-sandbox/" + row.IHS)
		d.complete(p)
		d.note(p)
		rest := d.history(p)
		if i == 0 {
			// The story needs one of them that can be found by telephone.
			p.Telecom = []contactPoint{{Extension: marked(), System: "phone", Value: phone(301)}}
			p.Address = []address{d.address()}
			rest = append(rest, d.serology(p, nonReactive))
		}
		for _, r := range rest {
			tag(r)
		}
		out = append(out, newBundle("satusehat-sandbox", p, rest...))
	}
	return out, nil
}

// tag marks an invented resource in a bundle that is not invented as a whole.
func tag(r resource) {
	switch r := r.(type) {
	case *observation:
		if r.Meta == nil {
			r.Meta = &meta{}
		}
		r.Meta.Tag = origin("generated").Tag
	case *condition:
		r.Meta = origin("generated")
	}
}

// The payloads' observations and conditions speak of this patient, whose own
// payload has no id.
const payloadID = "100000030009"

// payloads writes the two example patients of the SATUSEHAT collection: an adult
// and a newborn. Their numbers (NIK, telephone) are replaced, since the examples
// repeat a sandbox NIK or may be somebody's; passport, family card, e-mail and
// contact person are dropped.
func payloads(src fs.FS) ([]*bundle, error) {
	adult, err := payloadPatient(src, "patient-01-patient-create-by-nik", payloadID, 201)
	if err != nil {
		return nil, err
	}
	newborn, err := payloadPatient(src, "patient-02-patient-create-by-mother-s-nik-newborn", payloadID+"-2", 202)
	if err != nil {
		return nil, err
	}
	var rest []resource
	for _, name := range []string{"observation-ttv-01-observation-create", "observation-ttv-02-observation-update"} {
		o := new(observation)
		if err := payload(src, name, o); err != nil {
			return nil, err
		}
		o.ID = orDerived(o.ID, name)
		o.Subject.Display = ""
		rest = append(rest, o)
	}
	for _, name := range []string{"condition-01-condition-diagnosis", "condition-02-condition-meninggalkan-faskes", "condition-03-condition-update"} {
		c := new(condition)
		if err := payload(src, name, c); err != nil {
			return nil, err
		}
		c.ID = orDerived(c.ID, name)
		c.Recorded = "2022-06-14" // as the payload's encounter says in words
		c.Subject.Display = ""
		rest = append(rest, c)
	}
	return []*bundle{
		newBundle("satusehat-payload", adult, rest...),
		newBundle("satusehat-payload", newborn),
	}, nil
}

func payload(src fs.FS, name string, to any) error {
	text, err := fs.ReadFile(src, path.Join("indonesia/satusehat-payloads", name+".json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func payloadPatient(src fs.FS, name, id string, number int) (*patient, error) {
	p := new(patient)
	if err := payload(src, name, p); err != nil {
		return nil, err
	}
	p.ID, p.Extension, p.Identifier = id, nil, nil
	p.Telecom = []contactPoint{{Extension: marked(), System: "phone", Value: phone(number)}}
	for i := range p.Address {
		p.Address[i].Extension = nil
	}
	invent("satusehat-payload/" + id).complete(p)
	return p, nil
}

func orDerived(id, name string) string {
	if id != "" {
		return id
	}
	return derivedID("satusehat-payload/" + name)
}
