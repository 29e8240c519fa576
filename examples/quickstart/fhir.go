package main

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Patient, Observation and Condition are the story's records as a telemedicine
// team would write them. The tags say what each field is; rahasia does the rest.
type Patient struct {
	ID        string    `phi:"subject"`
	NIK       string    `phi:"nik,lookup"`
	Name      string    `phi:"name"`
	Phone     string    `phi:"phone,lookup"`
	Born      time.Time `phi:"birthdate"`
	Sex       string    `phi:"sex"`
	Address   string    `phi:"address"`
	City      string    `phi:"region"`
	Diagnosis []string  `phi:"clinical"`
	Serology  string    `phi:"clinical,label=HIV"`
	Notes     string    // no tag: encrypted, never exported
	Clinic    string    `phi:"clear"`
}

// Observation is one measurement or answer.
type Observation struct {
	ID      string    `phi:"record"`
	Patient string    `phi:"subject"`
	Code    string    `phi:"clinical"`
	Text    string    `phi:"clinical"`
	Value   string    `phi:"clinical"`
	Unit    string    `phi:"clinical"`
	At      time.Time `phi:"date"`
}

// Condition is one diagnosis; Onset is zero where the source has no date.
type Condition struct {
	ID      string    `phi:"record"`
	Patient string    `phi:"subject"`
	Code    string    `phi:"clinical"`
	Text    string    `phi:"clinical"`
	Onset   time.Time `phi:"date"`
}

// A bundle is one patient with everything known of them. Origin is one of
// "synthea-fhir", "synthea-csv", "satusehat-sandbox", "satusehat-payload" and
// "generated"; testdata/README.md describes them.
type bundle struct {
	Origin       string
	Patient      Patient
	Observations []Observation
	Conditions   []Condition
}

//go:embed testdata/*.ndjson
var testdata embed.FS

const (
	nikSystem    = "https://fhir.kemkes.go.id/id/nik"
	originSystem = "urn:rahasia:origin"
	noteURL      = "urn:rahasia:note"
	actCode      = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
)

// load reads every testdata/*.ndjson of fsys: FHIR R4 bundles (JSON), one after
// another, each with one Patient and that patient's Observations and Conditions.
// It is strict: another resource type, a patient without NIK, name or birth
// date, a resource without id, code, date or value, and a subject that is not
// the bundle's patient are errors. An error names file, bundle and entry, counted
// from 0, and never a value. Times come back in UTC; a Condition without a date
// has a zero Onset.
//
// Observations that carry the security label HIV become Patient.Serology, which
// is sealed under that label, and are not among the bundle's Observations.
func load(fsys fs.FS) ([]bundle, error) {
	names, err := fs.Glob(fsys, "testdata/*.ndjson")
	if err != nil {
		return nil, fmt.Errorf("quickstart: list testdata: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("quickstart: testdata holds no .ndjson file")
	}
	var all []bundle
	for _, name := range names {
		f, err := fsys.Open(name)
		if err != nil {
			return nil, fmt.Errorf("quickstart: %w", err)
		}
		bundles, err := decode(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("quickstart: %s: %w", name, err)
		}
		all = append(all, bundles...)
	}
	return all, nil
}

// decode does not wrap errors of encoding/json and time: both quote their input.
func decode(r io.Reader) ([]bundle, error) {
	dec := json.NewDecoder(r)
	var all []bundle
	for i := 0; ; i++ {
		var in fhirBundle
		if err := dec.Decode(&in); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("bundle %d: not the JSON of a FHIR Bundle, after byte %d", i, dec.InputOffset())
		}
		b, err := in.read()
		if err != nil {
			return nil, fmt.Errorf("bundle %d: %w", i, err)
		}
		all = append(all, b)
	}
}

type fhirBundle struct {
	ResourceType string
	Meta         fhirMeta
	Entry        []struct{ Resource json.RawMessage }
}

type fhirMeta struct{ Security, Tag []fhirCoding }

type fhirCoding struct{ System, Code, Display string }

type fhirConcept struct {
	Coding []fhirCoding
	Text   string
}

type fhirQuantity struct {
	Value json.Number
	Unit  string
}

type fhirPatient struct {
	ID         string
	Extension  []struct{ URL, ValueString string }
	Identifier []struct{ System, Value string }
	Name       []struct {
		Text, Family string
		Given        []string
	}
	Telecom   []struct{ System, Value string }
	Gender    string
	BirthDate string
	Address   []struct {
		Line []string
		City string
	}
	ManagingOrganization struct{ Display string }
}

// fhirRecord is an Observation or a Condition.
type fhirRecord struct {
	ID                          string
	Meta                        fhirMeta
	Code                        fhirConcept
	Subject                     struct{ Reference string }
	EffectiveDateTime           string
	OnsetDateTime, RecordedDate string
	ValueQuantity               *fhirQuantity
	ValueCodeableConcept        *fhirConcept
	ValueString                 string
	Component                   []struct {
		Code          fhirConcept
		ValueQuantity *fhirQuantity
	}
}

func (in *fhirBundle) read() (bundle, error) {
	b := bundle{Origin: find(in.Meta.Tag, originSystem)}
	if in.ResourceType != "Bundle" || b.Origin == "" {
		return bundle{}, errors.New("not a Bundle with a tag of its origin")
	}
	for i, e := range in.Entry {
		var head struct{ ResourceType string }
		if json.Unmarshal(e.Resource, &head) != nil {
			return bundle{}, fmt.Errorf("entry %d: no resource", i)
		}
		if (head.ResourceType == "Patient") != (i == 0) {
			return bundle{}, fmt.Errorf("entry %d: the patient must come first, and once", i)
		}
		var err error
		switch head.ResourceType {
		case "Patient":
			err = b.patient(e.Resource)
		case "Observation":
			err = b.observation(e.Resource)
		case "Condition":
			err = b.condition(e.Resource)
		default:
			err = errors.New("a resource type that this reader does not know")
		}
		if err != nil {
			return bundle{}, fmt.Errorf("entry %d: %w", i, err)
		}
	}
	if len(in.Entry) == 0 {
		return bundle{}, errors.New("no patient")
	}
	return b, nil
}

func (b *bundle) patient(text []byte) error {
	var in fhirPatient
	if json.Unmarshal(text, &in) != nil {
		return errors.New("not the JSON of a Patient")
	}
	p := &b.Patient
	p.ID, p.Sex, p.Clinic = in.ID, in.Gender, in.ManagingOrganization.Display
	for _, id := range in.Identifier {
		if id.System == nikSystem {
			p.NIK = id.Value
		}
	}
	for _, t := range in.Telecom {
		if t.System == "phone" && p.Phone == "" {
			p.Phone = t.Value
		}
	}
	for _, x := range in.Extension {
		if x.URL == noteURL {
			p.Notes = x.ValueString
		}
	}
	if len(in.Name) > 0 {
		name := in.Name[0]
		p.Name = cmp.Or(name.Text, strings.TrimSpace(strings.Join(name.Given, " ")+" "+name.Family))
	}
	if len(in.Address) > 0 {
		p.Address, p.City = strings.Join(in.Address[0].Line, ", "), in.Address[0].City
	}
	born, err := time.Parse(time.DateOnly, in.BirthDate)
	if err != nil {
		return errors.New("patient without a whole birth date")
	}
	p.Born = born
	return p.check()
}

// check refuses a patient that could be neither sealed nor found.
func (p *Patient) check() error {
	switch {
	case p.ID == "":
		return errors.New("patient without an id")
	case p.NIK == "":
		return errors.New("patient without a NIK")
	case p.Name == "":
		return errors.New("patient without a name")
	}
	return nil
}

func (b *bundle) observation(text []byte) error {
	in, err := b.record(text)
	if err != nil {
		return err
	}
	o := Observation{ID: in.ID, Patient: b.Patient.ID, Code: in.Code.Coding[0].Code, Text: in.Code.text()}
	var ok bool
	if o.At, ok = when(in.EffectiveDateTime); !ok {
		return errors.New("observation without a date")
	}
	if o.Value, o.Unit = in.value(); o.Value == "" {
		return errors.New("observation without a value")
	}
	if find(in.Meta.Security, actCode) == "HIV" {
		b.Patient.Serology = o.Text + ": " + o.Value
		return nil
	}
	b.Observations = append(b.Observations, o)
	return nil
}

func (b *bundle) condition(text []byte) error {
	in, err := b.record(text)
	if err != nil {
		return err
	}
	c := Condition{ID: in.ID, Patient: b.Patient.ID, Code: in.Code.Coding[0].Code, Text: in.Code.text()}
	if date := cmp.Or(in.OnsetDateTime, in.RecordedDate); date != "" {
		var ok bool
		if c.Onset, ok = when(date); !ok {
			return errors.New("condition with a date that is none")
		}
	}
	if !slices.Contains(b.Patient.Diagnosis, c.Text) {
		b.Patient.Diagnosis = append(b.Patient.Diagnosis, c.Text)
	}
	b.Conditions = append(b.Conditions, c)
	return nil
}

// record reads what observations and conditions have in common.
func (b *bundle) record(text []byte) (*fhirRecord, error) {
	in := new(fhirRecord)
	switch {
	case json.Unmarshal(text, in) != nil:
		return nil, errors.New("not the JSON of an Observation or a Condition")
	case in.ID == "":
		return nil, errors.New("resource without an id")
	case in.Subject.Reference != "Patient/"+b.Patient.ID:
		return nil, errors.New("the subject is not the bundle's patient")
	case len(in.Code.Coding) == 0 || in.Code.Coding[0].Code == "" || in.Code.text() == "":
		return nil, errors.New("resource without a code and its text")
	}
	return in, nil
}

// value joins the components of a panel, such as a blood pressure, in one value.
func (in *fhirRecord) value() (value, unit string) {
	switch {
	case in.ValueQuantity != nil:
		return in.ValueQuantity.Value.String(), in.ValueQuantity.Unit
	case in.ValueCodeableConcept != nil:
		return in.ValueCodeableConcept.text(), ""
	case in.ValueString != "":
		return in.ValueString, ""
	}
	var parts []string
	for _, c := range in.Component {
		if c.ValueQuantity != nil {
			parts = append(parts, c.Code.text()+" "+c.ValueQuantity.Value.String())
			unit = c.ValueQuantity.Unit
		}
	}
	return strings.Join(parts, "; "), unit
}

func (c *fhirConcept) text() string {
	if c.Text == "" && len(c.Coding) > 0 {
		return c.Coding[0].Display
	}
	return c.Text
}

// find gives the first code of a system.
func find(codings []fhirCoding, system string) string {
	for _, c := range codings {
		if c.System == system {
			return c.Code
		}
	}
	return ""
}

// when reads a FHIR date or dateTime of at least a year.
func when(s string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339, time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
