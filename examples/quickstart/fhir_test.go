package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

// The tests only read what is loaded, so once is enough.
var loaded = sync.OnceValues(func() ([]bundle, error) { return load(testdata) })

func mustLoad(t testing.TB) []bundle {
	bundles, err := loaded()
	require.NoError(t, err)
	return bundles
}

func TestLoadCounts(t *testing.T) {
	type counts struct{ patients, observations, conditions, serologies, notes int }
	got := map[string]counts{}
	for _, b := range mustLoad(t) {
		c := got[b.Origin]
		c.patients++
		c.observations += len(b.Observations)
		c.conditions += len(b.Conditions)
		if b.Patient.Serology != "" {
			c.serologies++
		}
		if b.Patient.Notes != "" {
			c.notes++
		}
		got[b.Origin] = c
	}
	require.Equal(t, map[string]counts{
		"synthea-fhir":      {36, 2292, 174, 0, 0},
		"synthea-csv":       {27, 990, 438, 0, 0},
		"satusehat-sandbox": {10, 432, 20, 1, 10},
		"satusehat-payload": {2, 2, 3, 0, 0},
		"generated":         {45, 1658, 84, 6, 45},
	}, got)
}

// Exact values of one patient of each source, so that a reader that mixes up two
// fields fails.
func TestLoadReadsTheFields(t *testing.T) {
	byID := map[string]bundle{}
	for _, b := range mustLoad(t) {
		byID[b.Patient.ID] = b
	}
	ardianto := byID["P02478375538"].Patient
	require.Equal(t, Patient{
		ID: "P02478375538", NIK: "9271060312000001", Name: "Ardianto Putra", Phone: "+62 810 0000 0301",
		Born: time.Date(1992, 1, 9, 0, 0, 0, 0, time.UTC), Sex: "male",
		Address: "Jalan Rekaan Flamboyan Nomor 49, RT 003/RW 002", City: "Kota Kupang",
		Diagnosis: ardianto.Diagnosis, Serology: "HIV 1+2 Ab+HIV1 p24 Ag [Presence] in Serum or Plasma by Immunoassay: Non-Reactive",
		Notes: "Kunjungan lewat video; sambungan putus dua kali.", Clinic: "Klinik Harapan Dua",
	}, ardianto)
	require.NotEmpty(t, ardianto.Diagnosis)

	riojas := byID["829bb06a-42b9-433d-a8f6-560727c63da9"]
	require.Equal(t, "Alejandro Riojas", riojas.Patient.Name)
	require.Equal(t, "+1 555-413-6221", riojas.Patient.Phone)
	require.Contains(t, riojas.Observations, Observation{
		ID: "83b05955-4586-4e4d-b4b7-e5c8c6058779", Patient: riojas.Patient.ID, Code: "8302-2", Text: "Body Height",
		Value: "189.34136216482673", Unit: "cm", At: time.Date(2000, 12, 24, 3, 11, 33, 0, time.UTC),
	})
	require.Contains(t, riojas.Conditions, Condition{
		ID: "a8a41638-178d-42bf-92bb-d7d88f0a5220", Patient: riojas.Patient.ID, Code: "70704007", Text: "Sprain of wrist",
		Onset: time.Date(2002, 6, 20, 3, 11, 33, 0, time.UTC),
	})
	var panels, answers int
	for _, o := range riojas.Observations {
		if o.Code == "55284-4" {
			require.Regexp(t, `^Diastolic Blood Pressure [\d.]+; Systolic Blood Pressure [\d.]+$`, o.Value)
			panels++
		}
		if o.Value == "Never smoker" || o.Value == "Former smoker" {
			answers++
		}
	}
	require.NotZero(t, panels)
	require.NotZero(t, answers)
}

func TestLoadNothingTwice(t *testing.T) {
	seen := map[string]bool{}
	once := func(what, value string) {
		require.False(t, seen[what+value], "%s is there twice", what)
		seen[what+value] = true
	}
	for _, b := range mustLoad(t) {
		once("id", b.Patient.ID)
		once("NIK", b.Patient.NIK)
		if b.Patient.Phone != "" {
			once("phone", b.Patient.Phone)
		}
		if b.Origin == "generated" {
			once("name", b.Patient.Name)
		}
		for _, o := range b.Observations {
			once("record id", o.ID)
		}
		for _, c := range b.Conditions {
			once("record id", c.ID)
		}
	}
}

func TestLoadKeepsLabelledResultsApart(t *testing.T) {
	for _, b := range mustLoad(t) {
		for _, o := range b.Observations {
			require.NotContains(t, o.Text, "HIV")
		}
		require.NotContains(t, strings.Join(b.Patient.Diagnosis, "\n"), "HIV")
	}
}

// The numbers are either the ministry's ten dummies or nobody's, and what is
// invented says so.
func TestNumbersAreNobodys(t *testing.T) {
	dummy := regexp.MustCompile(`^92(71060312000001|04014804000002|01076001000007|01394901000008|01076407000009|10060207000010)$|^91(04224509000003|04223107000004|04224606000005|04025209000006)$`)
	dummies := 0
	forEachPatient(t, func(b bundle, raw rawPatient) {
		p := b.Patient
		for _, id := range raw.Identifier {
			if id.System != nikSystem {
				continue
			}
			if dummy.MatchString(id.Value) {
				require.Equal(t, "satusehat-sandbox", b.Origin)
				dummies++
				continue
			}
			day := p.Born.Day()
			if p.Sex == "female" {
				day += 40
			}
			require.Regexp(t, fmt.Sprintf(`^99\d{4}%02d%s\d{4}$`, day, p.Born.Format("0106")), id.Value)
			require.True(t, id.generated(), "an invented NIK must be marked")
		}
		for _, c := range raw.Telecom {
			if b.Origin == "synthea-fhir" {
				require.Regexp(t, `^\+1 555-\d{3}-\d{4}$`, c.Value)
				continue
			}
			require.Regexp(t, `^\+62 810 0000 0[1-9]\d\d$`, c.Value)
			require.True(t, c.generated(), "an invented number must be marked")
		}
	})
	require.Equal(t, 10, dummies)
}

type rawMarked struct {
	Extension []struct {
		URL          string
		ValueBoolean bool
	}
	System, Value string
}

func (m rawMarked) generated() bool {
	return len(m.Extension) == 1 && m.Extension[0].URL == "urn:rahasia:generated" && m.Extension[0].ValueBoolean
}

type rawPatient struct {
	Meta                fhirMeta
	Identifier, Telecom []rawMarked
}

// forEachPatient also gives the patient as it stands in the file.
func forEachPatient(t *testing.T, f func(bundle, rawPatient)) {
	bundles := mustLoad(t)
	names, err := fs.Glob(testdata, "testdata/*.ndjson")
	require.NoError(t, err)
	i := 0
	for _, name := range names {
		text, err := fs.ReadFile(testdata, name)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			var in struct {
				Entry []struct{ Resource rawPatient }
			}
			require.NoError(t, json.Unmarshal([]byte(line), &in))
			require.Equal(t, bundles[i].Origin, strings.TrimSuffix(path.Base(name), ".ndjson"))
			require.Equal(t, bundles[i].Origin, find(in.Entry[0].Resource.Meta.Tag, originSystem))
			f(bundles[i], in.Entry[0].Resource)
			i++
		}
	}
	require.Len(t, bundles, i)
}

// Together with TestNumbersAreNobodys this keeps out the NIK of the upstream
// payloads that may be a real person's, without spelling it here.
func TestNoOtherNumbersAreLeft(t *testing.T) {
	known := map[string]bool{}
	for _, b := range mustLoad(t) {
		known[b.Patient.NIK] = true
	}
	names, err := fs.Glob(testdata, "testdata/*.ndjson")
	require.NoError(t, err)
	runs := 0
	for _, name := range names {
		text, err := fs.ReadFile(testdata, name)
		require.NoError(t, err)
		for _, other := range []string{"@", "us-ssn", "id/kk", "id/paspor", "nik-ibu", "maiden"} {
			require.NotContains(t, string(text), other)
		}
		notNumber := func(r rune) bool { return (r < '0' || r > '9') && r != '.' }
		for n := range strings.FieldsFuncSeq(string(text), notNumber) {
			n = strings.Trim(n, ".")
			if len(n) != 16 || strings.Contains(n, ".") {
				continue // no NIK: another length (SNOMED CT has codes of 17 digits) or a measured value
			}
			runs++
			require.True(t, known[n], "%s: 16 digits that are no patient's NIK", name)
		}
	}
	require.Equal(t, len(known), runs)
}

const goodBundle = `{"resourceType":"Bundle","meta":{"tag":[{"system":"urn:rahasia:origin","code":"generated"}]},"entry":[
{"resource":{"resourceType":"Patient","id":"p-1","identifier":[{"system":"https://fhir.kemkes.go.id/id/nik","value":"9271060312000001"}],"name":[{"text":"Ardianto Putra"}],"birthDate":"1992-01-09"}},
{"resource":{"resourceType":"Observation","id":"o-1","code":{"coding":[{"code":"8302-2","display":"Body Height"}]},"subject":{"reference":"Patient/p-1"},"effectiveDateTime":"2020-02","valueQuantity":{"value":170.50,"unit":"cm"}}},
{"resource":{"resourceType":"Condition","id":"c-1","code":{"coding":[{"code":"38341003"}],"text":"Hypertension"},"subject":{"reference":"Patient/p-1"}}}]}`

func loadText(text string) ([]bundle, error) {
	return load(fstest.MapFS{"testdata/x.ndjson": {Data: []byte(text)}})
}

func TestLoadSmallBundle(t *testing.T) {
	bundles, err := loadText(goodBundle + "\n" + goodBundle)
	require.NoError(t, err)
	require.Len(t, bundles, 2)
	require.Equal(t, "170.50", bundles[0].Observations[0].Value, "the digits stay as written")
	require.True(t, bundles[0].Conditions[0].Onset.IsZero())
}

func TestLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"not JSON":            {`{"resourceType":"Bundle"`, `{9271060312000001`, "bundle 0: not the JSON of a FHIR Bundle, after byte 0"},
		"cut short":           {`"Hypertension"},`, "", "bundle 0: not the JSON of a FHIR Bundle, after byte 0"},
		"not a bundle":        {`"Bundle"`, `"List"`, "bundle 0: not a Bundle with a tag of its origin"},
		"no origin":           {`"urn:rahasia:origin"`, `"x"`, "bundle 0: not a Bundle with a tag of its origin"},
		"unknown type":        {`"Condition"`, `"Claim"`, "bundle 0: entry 2: a resource type that this reader does not know"},
		"no type":             {`"resourceType":"Condition",`, "", "bundle 0: entry 2: a resource type that this reader does not know"},
		"two patients":        {`"Condition"`, `"Patient"`, "bundle 0: entry 2: the patient must come first, and once"},
		"no patient first":    {`"Patient","id"`, `"Condition","id"`, "bundle 0: entry 0: the patient must come first, and once"},
		"not a resource":      {`{"resourceType":"Condition"`, `{"resourceType":9271060312`, "bundle 0: entry 2: no resource"},
		"patient wrong type":  {`"birthDate":"1992-01-09"`, `"birthDate":19920109`, "bundle 0: entry 0: not the JSON of a Patient"},
		"no id":               {`"id":"p-1",`, "", "bundle 0: entry 0: patient without an id"},
		"no NIK":              {`id/nik`, `id/kk`, "bundle 0: entry 0: patient without a NIK"},
		"no name":             {`"Ardianto Putra"`, `""`, "bundle 0: entry 0: patient without a name"},
		"no birth date":       {`"birthDate":"1992-01-09"`, `"x":""`, "bundle 0: entry 0: patient without a whole birth date"},
		"half a birth date":   {`1992-01-09`, `1992-01`, "bundle 0: entry 0: patient without a whole birth date"},
		"no such day":         {`1992-01-09`, `1992-02-30`, "bundle 0: entry 0: patient without a whole birth date"},
		"record wrong type":   {`"valueQuantity":{"value":170.50`, `"valueQuantity":{"value":[170]`, "bundle 0: entry 1: not the JSON of an Observation or a Condition"},
		"record without id":   {`"id":"o-1",`, "", "bundle 0: entry 1: resource without an id"},
		"record without code": {`{"code":"38341003"}`, "", "bundle 0: entry 2: resource without a code and its text"},
		"record without text": {`,"display":"Body Height"`, "", "bundle 0: entry 1: resource without a code and its text"},
		"another's record":    {`"Patient/p-1"}}}]`, `"Patient/p-2"}}}]`, "bundle 0: entry 2: the subject is not the bundle's patient"},
		"observation undated": {`"2020-02"`, `"soon"`, "bundle 0: entry 1: observation without a date"},
		"observation unread":  {`"valueQuantity"`, `"valueRatio"`, "bundle 0: entry 1: observation without a value"},
		"condition misdated":  {`"text":"Hypertension"}`, `"text":"Hypertension"},"recordedDate":"30/01/2020"`, "bundle 0: entry 2: condition with a date that is none"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(goodBundle, c.old, c.new, 1)
			require.NotEqual(t, goodBundle, text)
			bundles, err := loadText(text)
			require.EqualError(t, err, "quickstart: testdata/x.ndjson: "+c.want)
			require.Nil(t, bundles)
		})
	}
}

func TestLoadEmpty(t *testing.T) {
	_, err := load(fstest.MapFS{})
	require.EqualError(t, err, "quickstart: testdata holds no .ndjson file")
	_, err = loadText(`{"resourceType":"Bundle","meta":{"tag":[{"system":"urn:rahasia:origin","code":"generated"}]}}`)
	require.EqualError(t, err, "quickstart: testdata/x.ndjson: bundle 0: no patient")
	_, err = load(fstest.MapFS{"testdata/d.ndjson": {Mode: fs.ModeDir}})
	require.Error(t, err)
	_, err = load(failing{})
	require.ErrorIs(t, err, errFailing)
}

var errFailing = errors.New("disk on fire")

// failing lists a file that cannot be opened.
type failing struct{}

func (failing) Open(name string) (fs.File, error) {
	if name == "." || name == "testdata" {
		return fstest.MapFS{"testdata/a.ndjson": {}}.Open(name)
	}
	return nil, errFailing
}

// Whatever the input, an error is one of a few fixed sentences with numbers.
func FuzzDecode(f *testing.F) {
	f.Add(goodBundle)
	f.Add(goodBundle + goodBundle)
	f.Add(strings.Replace(goodBundle, `"Condition"`, `"Claim"`, 1))
	f.Add(strings.Replace(goodBundle, "1992-01-09", "1992", 1))
	f.Add(`{"resourceType":"Bundle"}`)
	f.Add(`null {} [] 9271060312000001`)
	fixed := regexp.MustCompile(`^bundle \d+: (entry \d+: )?(not the JSON of (a FHIR Bundle, after byte \d+|a Patient|an Observation or a Condition)|not a Bundle with a tag of its origin|no patient|no resource|the patient must come first, and once|a resource type that this reader does not know|(patient|resource|observation) without (an id|a NIK|a name|a whole birth date|a code and its text|a date|a value)|the subject is not the bundle's patient|condition with a date that is none)$`)
	f.Fuzz(func(t *testing.T, text string) {
		bundles, err := decode(strings.NewReader(text))
		if err != nil {
			require.Nil(t, bundles)
			require.Regexp(t, fixed, err.Error())
			return
		}
		for _, b := range bundles {
			require.NotEmpty(t, b.Patient.NIK)
			require.NotEmpty(t, b.Patient.Name)
			for _, o := range b.Observations {
				require.Equal(t, b.Patient.ID, o.Patient)
				require.NotEmpty(t, o.Value)
			}
		}
	})
}
