package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// What needs nothing from upstream comes out byte for byte as committed.
func TestCommittedFilesAreReproduced(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, run("", dir, io.Discard))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, f := range files {
		got, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		want, err := os.ReadFile(filepath.Join("..", "testdata", f.Name()))
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), "%s differs from what the generator writes", f.Name())
	}
}

// A small upstream of each form, with what must be dropped.
var upstream = fstest.MapFS{
	"patients/synthea-fhir-r4/a.json": {Data: []byte(`{"resourceType":"Bundle","entry":[
		{"resource":{"resourceType":"Patient","id":"p1","extension":[{"url":"race"}],"identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"999-00-0000"}],
		 "name":[{"use":"official","family":"Razo","given":["María","Luisa"],"prefix":["Ms."]},{"use":"maiden","family":"Dropped"}],
		 "telecom":[{"system":"phone","value":"555-000-1111","use":"home"}],"gender":"female","birthDate":"1990-03-07",
		 "address":[{"extension":[{"url":"geolocation"}],"line":["1 Nowhere Lane"],"city":"Springfield","country":"US"}]}},
		{"resource":{"resourceType":"Claim","id":"dropped"}},
		{"resource":{"resourceType":"Observation","id":"o1","status":"final","meta":{"tag":[{"code":"dropped"}]},"code":{"coding":[{"system":"http://loinc.org","code":"8302-2","display":"Body Height"}],"text":"dropped"},
		 "subject":{"reference":"urn:uuid:p1"},"encounter":{"reference":"dropped"},"effectiveDateTime":"2000-12-24T03:11:33+00:00","valueQuantity":{"value":189.34136216482673,"unit":"cm","code":"dropped"}}},
		{"resource":{"resourceType":"Condition","id":"c1","code":{"coding":[{"code":"38341003","display":"Hypertension"}]},"subject":{"reference":"urn:uuid:p1"},"onsetDateTime":"2001-01-01","recordedDate":"2001-02-02"}}]}`)},
	"patients/synthea-csv-ohdsi/patients.csv":     {Data: []byte("Id,BIRTHDATE,SSN,FIRST,LAST,GENDER,ADDRESS,CITY,STATE\np2,2014-10-06,999-17-0000,Maynard46,Mosciski958,M,2 Nowhere Lane,Somerville,Massachusetts\n")},
	"patients/synthea-csv-ohdsi/observations.csv": {Data: []byte("DATE,PATIENT,CODE,DESCRIPTION,VALUE,UNITS,TYPE\n2023-10-10T04:17:47Z,p2,8302-2,Body Height,127.9,cm,numeric\n2023-10-10T04:17:47Z,p2,QALY,QALY,6.0,a,numeric\n2023-10-10T04:17:47Z,p2,72166-2,Smoking,Never smoker,,text\n")},
	"patients/synthea-csv-ohdsi/conditions.csv":   {Data: []byte("START,PATIENT,CODE,DESCRIPTION\n2023-01-27,p2,195662009,Acute viral pharyngitis (disorder)\n")},
}

func TestSyntheaFHIRIsReduced(t *testing.T) {
	bundles, err := syntheaFHIR(upstream)
	require.NoError(t, err)
	text, err := encode(bundles)
	require.NoError(t, err)
	require.NotRegexp(t, `(?i)dropped|999-00|race|geolocation|Ms\.|urn:uuid|2001-02-02`, string(text))
	require.Contains(t, string(text), `"value":189.34136216482673,"unit":"cm"`)
	require.Contains(t, string(text), `"subject":{"reference":"Patient/p1"}`)
	require.Contains(t, string(text), `"+1 555-000-1111"`)
	require.Regexp(t, `"value":"99\d{4}470390\d{4}"`, string(text), "a woman's day is counted from 41")
	require.Len(t, bundles[0].Entry, 3)
}

func TestSyntheaCSVIsConverted(t *testing.T) {
	bundles, err := syntheaCSV(upstream)
	require.NoError(t, err)
	text, err := encode(bundles)
	require.NoError(t, err)
	require.NotContains(t, string(text), "999-17")
	require.Contains(t, string(text), `"name":[{"family":"Mosciski","given":["Maynard"]}]`)
	require.Regexp(t, `"value":"99\d{4}061014\d{4}"`, string(text))
	require.Contains(t, string(text), `"code":{"coding":[{"code":"QALY","display":"QALY"}]}`, "not a LOINC code")
	require.Contains(t, string(text), `"valueString":"Never smoker"`)
	require.Contains(t, string(text), `"onsetDateTime":"2023-01-27"`)
	require.Len(t, bundles[0].Entry, 5)
	require.NoError(t, unique(bundles))
}

func TestPayloadsLoseTheirNumbers(t *testing.T) {
	person := `{"resourceType":"Patient","identifier":[{"system":"x","value":"3600000000000000"}],"name":[{"text":"John Smith"}],
		"telecom":[{"system":"phone","value":"08000"},{"system":"email","value":"a@b"}],"gender":"female","birthDate":"1945-11-17","contact":[{"name":{"text":"Jane"}}]}`
	record := `{"resourceType":"X","code":{"coding":[{"code":"K35.8","display":"y"}]},"subject":{"reference":"Patient/100000030009","display":"Budi"}}`
	src := fstest.MapFS{}
	for _, name := range []string{"patient-01-patient-create-by-nik", "patient-02-patient-create-by-mother-s-nik-newborn"} {
		src["indonesia/satusehat-payloads/"+name+".json"] = &fstest.MapFile{Data: []byte(person)}
	}
	for _, name := range []string{
		"observation-ttv-01-observation-create", "observation-ttv-02-observation-update",
		"condition-01-condition-diagnosis", "condition-02-condition-meninggalkan-faskes", "condition-03-condition-update",
	} {
		src["indonesia/satusehat-payloads/"+name+".json"] = &fstest.MapFile{Data: []byte(record)}
	}
	bundles, err := payloads(src)
	require.NoError(t, err)
	text, err := encode(bundles)
	require.NoError(t, err)
	require.NotRegexp(t, `36000|08000|a@b|Jane|Budi`, string(text))
	require.NoError(t, unique(bundles))

	for name := range src {
		broken := fstest.MapFS{}
		for n, f := range src {
			if n != name {
				broken[n] = f
			}
		}
		_, err := payloads(broken)
		require.Error(t, err, name)
	}
}

func TestBrokenUpstream(t *testing.T) {
	for name, text := range map[string]string{"not JSON": "{", "no patient": `{"entry":[]}`, "no object": `{"entry":[{"resource":1}]}`} {
		_, err := syntheaFHIR(fstest.MapFS{"patients/synthea-fhir-r4/a.json": {Data: []byte(text)}})
		require.Error(t, err, name)
	}
	for _, name := range []string{"patients", "observations", "conditions"} {
		broken := fstest.MapFS{}
		for n, f := range upstream {
			broken[n] = f
		}
		broken["patients/synthea-csv-ohdsi/"+name+".csv"] = &fstest.MapFile{}
		_, err := syntheaCSV(broken)
		require.EqualError(t, err, name+".csv is empty")
	}
	out := t.TempDir()
	require.EqualError(t, run(t.TempDir(), out, io.Discard), "synthea-fhir: no file under patients/synthea-fhir-r4")
	files, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Empty(t, files, "nothing is written when something is missing")
	require.Error(t, run("", filepath.Join(out, "missing"), io.Discard))
}

func TestUniqueRefusesASecondNIK(t *testing.T) {
	one := func(id, nik string) *bundle {
		return newBundle("generated", &patient{ID: id, Identifier: []identifier{{System: nikSystem, Value: nik}}})
	}
	require.NoError(t, unique([]*bundle{one("a", "1"), one("b", "2")}))
	require.EqualError(t, unique([]*bundle{one("a", "9271060312000001"), one("b", "9271060312000001")}), "generated, entry 0: an id or a NIK is there twice")
	require.Error(t, unique([]*bundle{one("a", "1"), one("a", "2")}))
}

func TestDerivedIDIsAUUID(t *testing.T) {
	require.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, derivedID("x"))
	require.NotEqual(t, derivedID("x"), derivedID("y"))
}

// Each disease fits the patient it was drawn for.
func TestGeneratedDiseasesFit(t *testing.T) {
	bundles, err := generated(nil)
	require.NoError(t, err)
	for _, b := range bundles {
		p := b.Entry[0].Resource.(*patient)
		year := 0
		require.NoError(t, json.Unmarshal([]byte(p.BirthDate[:4]), &year))
		for _, e := range b.Entry[1:] {
			c, ok := e.Resource.(*condition)
			if !ok {
				continue
			}
			for _, k := range diseases {
				if k.Code == c.Code.Coding[0].Code {
					require.LessOrEqual(t, k.from, 2023-year)
					require.True(t, k.gender == "" || k.gender == p.Gender)
				}
			}
		}
		require.True(t, strings.HasPrefix(p.Address[0].Line[0], "Jalan Rekaan "))
	}
}
