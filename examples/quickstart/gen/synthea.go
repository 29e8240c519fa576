package main

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// syntheaFHIR reduces the Synthea FHIR R4 bundles. Every observation and
// condition stays.
func syntheaFHIR(src fs.FS) ([]*bundle, error) {
	files, err := fs.Glob(src, "patients/synthea-fhir-r4/*.json")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("no file under patients/synthea-fhir-r4")
	}
	var out []*bundle
	for i, name := range files {
		b, err := reduce(src, name)
		if err != nil {
			return nil, fmt.Errorf("file %d: %w", i, err) // the file is named after its patient
		}
		out = append(out, b)
	}
	return out, nil
}

func reduce(src fs.FS, name string) (*bundle, error) {
	text, err := fs.ReadFile(src, name)
	if err != nil {
		return nil, err
	}
	var in struct {
		Entry []struct {
			Resource json.RawMessage `json:"resource"`
		} `json:"entry"`
	}
	if err := json.Unmarshal(text, &in); err != nil {
		return nil, err
	}
	var p *patient
	var rest []resource
	for _, e := range in.Entry {
		var head struct {
			ResourceType string `json:"resourceType"`
		}
		if err := json.Unmarshal(e.Resource, &head); err != nil {
			return nil, err
		}
		switch head.ResourceType {
		case "Patient":
			p = new(patient)
			err = json.Unmarshal(e.Resource, p)
		case "Observation":
			o := new(observation)
			err = json.Unmarshal(e.Resource, o)
			rest = append(rest, o)
		case "Condition":
			c := new(condition)
			err = json.Unmarshal(e.Resource, c)
			rest = append(rest, c)
		}
		if err != nil {
			return nil, err
		}
	}
	if p == nil {
		return nil, errors.New("no patient")
	}
	return newBundle("synthea-fhir", fromSynthea(p), owned(p.ID, rest)...), nil
}

// fromSynthea keeps name, address, birth date and the 555 number, now with its
// country code, and drops the race, the mother's name and the American numbers.
func fromSynthea(p *patient) *patient {
	p.Extension = nil
	p.Name = p.Name[:1]
	p.Name[0].Use = ""
	for i := range p.Address {
		p.Address[i].Extension = nil
	}
	for i := range p.Telecom {
		p.Telecom[i].Value = "+1 " + p.Telecom[i].Value
	}
	invent("synthea-fhir/" + p.ID).complete(p)
	return p
}

// owned rewrites urn:uuid references to the form that needs no fullUrl, and
// drops the tags and the repeated date of the generator of 2019.
func owned(id string, rest []resource) []resource {
	for _, r := range rest {
		switch r := r.(type) {
		case *observation:
			r.Meta, r.Subject = nil, subject(id)
		case *condition:
			r.Meta, r.Subject, r.Recorded = nil, subject(id), ""
		}
	}
	return rest
}

// syntheaCSV turns the CSV set into FHIR. Rows have no id of their own: theirs
// is derived from the line.
func syntheaCSV(src fs.FS) ([]*bundle, error) {
	patients, err := table(src, "patients")
	if err != nil {
		return nil, err
	}
	observations, err := table(src, "observations")
	if err != nil {
		return nil, err
	}
	conditions, err := table(src, "conditions")
	if err != nil {
		return nil, err
	}
	rest := map[string][]resource{}
	for i, row := range observations {
		rest[row["PATIENT"]] = append(rest[row["PATIENT"]], csvObservation(i, row))
	}
	for i, row := range conditions {
		rest[row["PATIENT"]] = append(rest[row["PATIENT"]], &condition{
			ResourceType: "Condition", ID: derivedID(fmt.Sprint("synthea-csv/conditions/", i)),
			Code:    concept{[]coding{{snomed, row["CODE"], row["DESCRIPTION"]}}},
			Subject: subject(row["PATIENT"]), Onset: row["START"],
		})
	}
	var out []*bundle
	for i, row := range patients {
		out = append(out, newBundle("synthea-csv", csvPatient(i, row), rest[row["Id"]]...))
	}
	return out, nil
}

// table reads one CSV file as rows by column name.
func table(src fs.FS, name string) ([]map[string]string, error) {
	f, err := src.Open("patients/synthea-csv-ohdsi/" + name + ".csv")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s.csv is empty", name)
	}
	var out []map[string]string
	for _, row := range rows[1:] {
		m := map[string]string{}
		for i, column := range rows[0] {
			m[column] = row[i]
		}
		out = append(out, m)
	}
	return out, nil
}

func csvPatient(i int, row map[string]string) *patient {
	gender := map[string]string{"M": "male", "F": "female"}[row["GENDER"]]
	p := &patient{
		ResourceType: "Patient", ID: row["Id"], Gender: gender, BirthDate: row["BIRTHDATE"],
		Name: []humanName{{Family: letters(row["LAST"]), Given: []string{letters(row["FIRST"])}}},
		Telecom: []contactPoint{{
			Extension: marked(), System: "phone", Value: phone(100 + i + 1),
		}},
		Address: []address{{Line: []string{row["ADDRESS"]}, City: row["CITY"], State: row["STATE"], Country: "US"}},
	}
	invent("synthea-csv/" + p.ID).complete(p)
	return p
}

// letters drops the digits that Synthea hangs onto a name to show that it is
// synthetic.
func letters(name string) string { return strings.TrimRight(name, "0123456789") }

func csvObservation(i int, row map[string]string) *observation {
	system := loinc
	if !strings.Contains(row["CODE"], "-") {
		system = "" // QALY, DALY and QOLS are Synthea's own
	}
	o := &observation{
		ResourceType: "Observation", ID: derivedID(fmt.Sprint("synthea-csv/observations/", i)), Status: "final",
		Code:    concept{[]coding{{system, row["CODE"], row["DESCRIPTION"]}}},
		Subject: subject(row["PATIENT"]), Effective: row["DATE"],
	}
	if row["TYPE"] == "numeric" {
		o.Quantity = &quantity{json.Number(row["VALUE"]), row["UNITS"]}
	} else {
		o.String = row["VALUE"]
	}
	return o
}
