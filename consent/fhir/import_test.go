package fhir

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

const (
	head   = `{"resourceType":"Consent","id":"c1","status":"active","scope":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/consentscope","code":"patient-privacy"}]},"patient":{"reference":"Patient/ayu"}`
	treat  = `"purpose":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActReason","code":"TREAT"}]`
	optIn  = `"policyRule":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"OPTIN"}]}`
	optOut = `"policyRule":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"OPTOUT"}]}`
)

// root is a consent whose root provision has these members.
func root(members ...string) string {
	return head + `,"provision":{` + strings.Join(members, ",") + `}}`
}

func nested(provisions ...string) string {
	return `"provision":[{` + strings.Join(provisions, `},{`) + `}]`
}

func purpose(code string) string { return strings.ReplaceAll(treat, "TREAT", code) }

func labels(codes ...string) string {
	var out []string
	for _, c := range codes {
		system := systemActCode
		if len(c) == 1 {
			system = systemConfidentiality
		}
		out = append(out, `{"system":"`+system+`","code":"`+c+`"}`)
	}
	return `"securityLabel":[` + strings.Join(out, ",") + `]`
}

func actor(role, id string) string {
	return `{"role":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ParticipationType","code":"` + role + `"}]},"reference":{"reference":"Practitioner/` + id + `"}}`
}

func data(meaning, id string) string {
	return `{"meaning":"` + meaning + `","reference":{"reference":"Observation/` + id + `"}}`
}

const (
	permit = `"type":"permit"`
	deny   = `"type":"deny"`
)

func TestImportRules(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		dialect Dialect
		for_    []consent.Purpose
		want    []string
		widened []string
	}{
		"a permit": {text: root(permit, treat), want: []string{"permit TREAT level V label *"}},
		"levels of a permit: the highest; of a refusal: the lowest": {
			text: root(permit, treat, labels("R", "N"), nested(deny+","+labels("R", "N"))),
			want: []string{"permit TREAT level R", "refuse level N"},
		},
		"level and label: a permit where both hold, a refusal where either does": {
			text: root(permit, treat, labels("R", "HIV"), nested(deny+","+labels("V", "PSY"))),
			want: []string{"permit TREAT level R label HIV", "refuse level V", "refuse label PSY"},
		},
		"a nested permit takes over the labels of the permit around it": {
			text: root(permit, treat, labels("N"), nested(permit+","+purpose("HRESCH"))),
			want: []string{"permit TREAT level N", "permit HRESCH level N"},
		},
		"what a refusal says of data in several ways is each refused": {
			text: root(permit, treat, nested(deny+`,"data":[`+data("instance", "a")+","+data("related", "b")+","+data("authoredby", "c")+`]`)),
			want: []string{"permit TREAT level V label *", "refuse record a b", "refuse related b", "refuse author c"},
		},
		"what depends on an encounter": {text: root(permit, treat, `"data":[`+data("dependents", "e")+`]`), want: []string{"permit TREAT level V label * related e"}},
		"a refusal without a purpose, and what is excepted from it": {
			text: root(deny, nested(permit+","+treat)),
			want: []string{"refuse everything", "permit TREAT level V label *"},
		},
		"several rules of a root refusal": {
			text: root(deny, labels("R", "PSY"), `"actor":[`+actor("IRCP", "x")+`]`),
			want: []string{"refuse everything by x level R", "refuse everything by x label PSY"},
		},
		"a permit without a purpose, of a form that is known": {
			text: root(permit), for_: []consent.Purpose{consent.Treatment, consent.Payment},
			want: []string{"permit TREAT HPAYMT level V label *"},
		},
		"period and data period in the consent's zone": {
			text: root(permit, treat, `"period":{"start":"2024-02","end":"2024"}`, `"dataPeriod":{"start":"2023-01-01","end":"2023-02"}`),
			want: []string{"permit TREAT level V label * data 2023-01-01..2023-03-01 in 2024-02-01..2025-01-01"},
		},
		"refusals apply in full": {
			text: root(permit, treat, nested(
				deny+`,"class":[{"code":"x"}],"actor":[`+actor("IRCP", "y")+`]`, deny+`,`+labels("N", "NOSUCH"),
				deny+`,"actor":[`+actor("CST", "z")+`],`+purpose("HRESCH"), deny+`,`+purpose("NOSUCH"), deny+`,"data":[`+data("new", "a")+`]`,
				deny+`,"action":[{"text":"look"}]`, deny+`,"extension":[{"url":"u"}],"period":{"start":"2024","_end":{"id":"x"}}`,
			)),
			want: []string{
				"permit TREAT level V label *", "refuse by y", "refuse", "refuse HRESCH", "refuse everything", "refuse", "refuse", "refuse",
			},
			widened: []string{
				"Consent.provision.provision[0].class", "Consent.provision.provision[1].securityLabel[1]", "Consent.provision.provision[2].actor[0]",
				"Consent.provision.provision[3].purpose[0]", "Consent.provision.provision[4].data[0]", "Consent.provision.provision[5].action[0]",
				"Consent.provision.provision[6].period", "Consent.provision.provision[6]",
			},
		},
		"R5's way": {
			text: root(permit, treat, nested(labels("HIV"), deny+","+labels("PSY"))), dialect: Alternating,
			want: []string{"permit TREAT level V label *", "refuse label HIV", "refuse label PSY"},
		},
		"R5's way, a refusal": {
			text: root(deny, nested(treat)), dialect: Alternating,
			want: []string{"refuse everything", "permit TREAT level V label *"},
		},
		"opted out, without an exception": {text: head + "," + optOut + "}", dialect: BaseR4, want: []string{"refuse everything"}},
		"opted out but for treatment, except what is labelled": {
			text: strings.TrimSuffix(root(treat, nested(deny+","+labels("PSY"))), "}") + "," + optOut + "}", dialect: BaseR4,
			want: []string{"refuse everything", "permit TREAT level V label *", "refuse label PSY"},
		},
		"opted in, but for what is labelled, except for x": {
			text: strings.TrimSuffix(root(labels("PSY"), nested(permit+`,"actor":[`+actor("IRCP", "x")+`]`)), "}") + "," + optIn + "}", dialect: BaseR4,
			for_: []consent.Purpose{consent.Treatment},
			want: []string{"permit TREAT level V label *", "refuse everything label PSY", "permit by x level V label *"},
		},
		"policyRule agrees": {text: strings.TrimSuffix(root(permit, treat), "}") + "," + optIn + "}", want: []string{"permit TREAT level V label *"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(max(tt.dialect, TypedRoot))
			if tt.dialect != 0 {
				o.Dialect = tt.dialect
			}
			o.Purposes = tt.for_
			got, err := Import([]byte(tt.text), o)
			require.NoError(t, err)
			require.Equal(t, tt.want, said(got.Consent))
			require.Equal(t, tt.widened, got.Widened)
			require.Equal(t, "c1", got.Consent.ID)
			require.Equal(t, "ayu", got.Consent.Subject)
		})
	}
}

func TestImportRefuses(t *testing.T) {
	base := func(d Dialect, policy, text string) string { return strings.TrimSuffix(text, "}") + "," + policy + "}" }
	for name, tt := range map[string]struct {
		text    string
		dialect Dialect
		path    string
		err     error
	}{
		"no JSON":                       {text: `{`, path: "Consent", err: ErrMalformed},
		"two values":                    {text: root(permit, treat) + `{}`, path: "Consent", err: ErrMalformed},
		"an array":                      {text: `[1]`, path: "Consent", err: ErrMalformed},
		"null":                          {text: strings.Replace(root(permit, treat), `"c1"`, "null", 1), path: "Consent", err: ErrMalformed},
		"an empty text":                 {text: strings.Replace(root(permit, treat), `"c1"`, `""`, 1), path: "Consent", err: ErrMalformed},
		"an empty object":               {text: head + `,"provision":{}}`, path: "Consent", err: ErrMalformed},
		"an empty array":                {text: root(permit, treat, `"actor":[]`), path: "Consent", err: ErrMalformed},
		"a key twice":                   {text: root(permit, treat, deny), path: "Consent", err: ErrMalformed},
		"a key twice, escaped":          {text: root(permit, treat, `"typ\u0065":"deny"`), path: "Consent", err: ErrMalformed},
		"half a surrogate":              {text: strings.Replace(root(permit, treat), "Patient/ayu", `Patient/\ud800`, 1), path: "Consent.patient.reference", err: ErrMalformed},
		"not UTF-8":                     {text: strings.Replace(root(permit, treat), "c1", "\xff", 1), path: "Consent", err: ErrMalformed},
		"deep":                          {text: strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), path: "Consent", err: ErrMalformed},
		"long":                          {text: root(permit, treat) + strings.Repeat(" ", maxBytes), path: "Consent", err: ErrMalformed},
		"another resource":              {text: strings.Replace(root(permit, treat), `"Consent"`, `"Patient"`, 1), path: "Consent.resourceType", err: ErrMalformed},
		"not active":                    {text: strings.Replace(root(permit, treat), `"active"`, `"proposed"`, 1), path: "Consent.status", err: ErrNotInForce},
		"another scope":                 {text: strings.Replace(root(permit, treat), `patient-privacy`, `adr`, 1), path: "Consent.scope", err: ErrNotInForce},
		"no patient":                    {text: strings.Replace(root(permit, treat), `"patient"`, `"_patient"`, 1), path: "Consent.patient", err: ErrMalformed},
		"a patient who is not known":    {text: strings.Replace(root(permit, treat), `Patient/ayu`, `ayu`, 1), path: "Consent.patient", err: ErrNotEvaluated},
		"a contained patient":           {text: strings.Replace(root(permit, treat), `Patient/ayu`, `#a/b`, 1), path: "Consent.patient", err: ErrNotEvaluated},
		"two who speak for the patient": {text: strings.TrimSuffix(root(permit, treat), "}") + `,"performer":[{"reference":"RelatedPerson/a"},{"reference":"RelatedPerson/b"}]}`, path: "Consent.performer[1]", err: ErrAmbiguous},
		"could not be verified":         {text: strings.TrimSuffix(root(permit, treat), "}") + `,"verification":[{"verified":true},{"verified":false}]}`, path: "Consent.verification[1].verified", err: ErrNotInForce},
		"a modifier":                    {text: strings.TrimSuffix(root(permit, treat), "}") + `,"modifierExtension":[{"url":"u"}]}`, path: "Consent.modifierExtension", err: ErrNotEvaluated},
		"a modifier of a refusal":       {text: root(deny, `"modifierExtension":[{"url":"u"}]`), path: "Consent.provision.modifierExtension", err: ErrNotEvaluated},
		"implicit rules":                {text: strings.TrimSuffix(root(permit, treat), "}") + `,"implicitRules":"u"}`, path: "Consent", err: ErrNotEvaluated},
		"an element of another release": {text: strings.TrimSuffix(root(permit, treat), "}") + `,"decision":"deny"}`, path: "Consent", err: ErrNotEvaluated},

		"no provision":                      {text: head + `}`, path: "Consent.provision", err: ErrAmbiguous},
		"a root without a type":             {text: root(treat), path: "Consent.provision.type", err: ErrAmbiguous},
		"no such type":                      {text: root(`"type":"allow"`, treat), path: "Consent.provision.type", err: ErrMalformed},
		"nested without a type":             {text: root(permit, treat, nested(labels("R"))), path: "Consent.provision.provision[0].type", err: ErrAmbiguous},
		"nested in a nested one":            {text: root(permit, treat, nested(deny+","+nested(permit))), path: "Consent.provision.provision[0].provision", err: ErrNotEvaluated},
		"against policyRule":                {text: base(0, optOut, root(permit, treat)), path: "Consent.policyRule", err: ErrAmbiguous},
		"a refusal against policyRule":      {text: base(0, optIn, root(deny, treat)), path: "Consent.policyRule", err: ErrAmbiguous},
		"another policyRule":                {text: base(0, strings.Replace(optIn, "OPTIN", "NOCONSENT", 1), root(permit, treat)), path: "Consent.policyRule", err: ErrAmbiguous},
		"a permit for nothing":              {text: root(permit), path: "Consent.provision.purpose", err: ErrAmbiguous},
		"a nested permit for nothing":       {text: root(deny, nested(permit)), path: "Consent.provision.provision[0].purpose", err: ErrAmbiguous},
		"one purpose of two":                {text: root(permit, `"purpose":[{"system":"`+systemPurpose+`","code":"TREAT"},{"system":"http://example.org","code":"TREAT"}]`), path: "Consent.provision.purpose[1]", err: ErrNotEvaluated},
		"a level of another system":         {text: strings.Replace(root(permit, treat, labels("N")), "v3-Confidentiality", "v3-ActCode", 1), path: "Consent.provision.securityLabel[0]", err: ErrNotEvaluated},
		"a label of another system":         {text: strings.Replace(root(permit, treat, labels("PSY")), "v3-ActCode", "x", 1), path: "Consent.provision.securityLabel[0]", err: ErrNotEvaluated},
		"an extension of a code":            {text: root(permit, strings.Replace(treat, `"TREAT"`, `"TREAT","extension":[{"url":"u"}]`, 1)), path: "Consent.provision.purpose[0]", err: ErrNotEvaluated},
		"a retired label":                   {text: root(permit, treat, labels("SICKLE")), path: "Consent.provision.securityLabel[0]", err: ErrNotEvaluated},
		"a class":                           {text: root(permit, treat, `"class":[{"code":"x"}]`), path: "Consent.provision.class", err: ErrNotEvaluated},
		"a code":                            {text: root(permit, treat, `"code":[{"text":"x"}]`), path: "Consent.provision.code", err: ErrNotEvaluated},
		"an extension":                      {text: root(permit, treat, `"extension":[{"url":"u"}]`), path: "Consent.provision", err: ErrNotEvaluated},
		"an extension of a date":            {text: root(permit, treat, `"period":{"start":"2024","_end":{"id":"x"}}`), path: "Consent.provision.period", err: ErrNotEvaluated},
		"a custodian":                       {text: root(permit, treat, `"actor":[`+actor("IRCP", "x")+","+actor("CST", "x")+`]`), path: "Consent.provision.actor[1]", err: ErrNotEvaluated},
		"an actor who is not known":         {text: root(permit, treat, `"actor":[`+strings.Replace(actor("IRCP", "x"), "/x", "x", 1)+`]`), path: "Consent.provision.actor[0]", err: ErrNotEvaluated},
		"an action in two words":            {text: root(permit, treat, `"action":[{"coding":[{"system":"`+systemAction+`","code":"access"},{"system":"`+systemAction+`","code":"use"}]}]`), path: "Consent.provision.action[0]", err: ErrNotEvaluated},
		"data in two ways":                  {text: root(permit, treat, `"data":[`+data("instance", "a")+","+data("authoredby", "b")+`]`), path: "Consent.provision.data", err: ErrAmbiguous},
		"an exception from a wider refusal": {text: root(deny, `"class":[{"code":"x"}]`, nested(permit+","+treat)), path: "Consent.provision", err: ErrNotEvaluated},
		"a period that ends first":          {text: root(permit, treat, `"period":{"start":"2024","end":"2023-12-31"}`), path: "Consent.provision.period", err: ErrMalformed},
		"no date":                           {text: root(permit, treat, `"period":{"end":"2024-02-30"}`), path: "Consent.provision.period.end", err: ErrMalformed},

		"R5's way, a permit in a permit": {text: root(permit, treat, nested(permit)), dialect: Alternating, path: "Consent.provision.provision[0].type", err: ErrAmbiguous},
		"R5's way, a root without type":  {text: root(treat), dialect: Alternating, path: "Consent.provision.type", err: ErrAmbiguous},

		"R4, no policy":                              {text: root(treat), dialect: BaseR4, path: "Consent.policyRule", err: ErrAmbiguous},
		"R4, opted in to nothing":                    {text: base(0, optIn, head+"}"), dialect: BaseR4, path: "Consent.policyRule", err: ErrAmbiguous},
		"R4, opted in and out":                       {text: base(0, strings.Replace(optIn, `"OPTIN"}`, `"OPTIN"},{"system":"`+systemActCode+`","code":"OPTOUT"}`, 1), head+"}"), dialect: BaseR4, path: "Consent.policyRule", err: ErrAmbiguous},
		"R4, a root of the policy's type":            {text: base(0, optOut, root(deny, treat)), dialect: BaseR4, path: "Consent.provision.type", err: ErrAmbiguous},
		"R4, nested of the exception's type":         {text: base(0, optOut, root(treat, nested(permit+","+treat))), dialect: BaseR4, path: "Consent.provision.provision[0].type", err: ErrAmbiguous},
		"R4, a period":                               {text: base(0, optOut, root(treat, `"period":{"start":"2024"}`)), dialect: BaseR4, path: "Consent.provision.period", err: ErrAmbiguous},
		"R4, opted out but for nothing that is said": {text: base(0, optOut, root(labels("N"))), dialect: BaseR4, path: "Consent.provision.purpose", err: ErrAmbiguous},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(TypedRoot)
			if tt.dialect != 0 {
				o.Dialect = tt.dialect
			}
			got, err := Import([]byte(tt.text), o)
			require.Equal(t, &ElementError{tt.path, tt.err}, err)
			require.Zero(t, got)
		})
	}
	// Beyond the refusal, OPTIN permits for the purposes of the form, and no others.
	o := options(BaseR4)
	o.Purposes = []consent.Purpose{consent.Treatment}
	_, err := Import([]byte(base(0, optIn, root(labels("PSY"), nested(permit+","+purpose("HRESCH"))))), o)
	require.Equal(t, &ElementError{"Consent.provision.provision[0].purpose", ErrAmbiguous}, err)
}

func TestImportOptions(t *testing.T) {
	twins := options(TypedRoot)
	twins.Local = func(string) []string { return []string{"a", "b"} }
	_, err := Import([]byte(root(permit, treat)), twins)
	require.Equal(t, &ElementError{"Consent.patient", ErrNotEvaluated}, err)
	text := []byte(root(permit, treat))
	for _, spoil := range []func(*Options){
		func(o *Options) { o.Dialect = 0 }, func(o *Options) { o.Dialect = 4 }, func(o *Options) { o.Zone = nil }, func(o *Options) { o.Local = nil },
	} {
		o := options(TypedRoot)
		spoil(&o)
		_, err := Import(text, o)
		require.ErrorIs(t, err, ErrOptions)
	}
}

// TestPeriodEnds: an end includes all that it names, in the zone of the consent.
func TestPeriodEnds(t *testing.T) {
	for text, want := range map[string]string{
		"2022":                            "2022-12-31T17:00:00Z",
		"2022-12":                         "2022-12-31T17:00:00Z",
		"2022-12-31":                      "2022-12-31T17:00:00Z",
		"2024-02-28":                      "2024-02-28T17:00:00Z",
		"2022-12-31T10:00:00+09:00":       "2022-12-31T01:00:01Z",
		"2022-12-31T10:00:00.5Z":          "2022-12-31T10:00:00.6Z",
		"2022-12-31T10:00:00.123456789Z":  "2022-12-31T10:00:00.12345679Z",
		"9999-12-31":                      "9999-12-31T17:00:00Z",
		"2022-12-31T10:00:00.1234567891Z": "",
		"2022-12-31T10:00:00":             "",
		"2022-12-31T10:00Z":               "",
		"2022-12-31T24:00:00Z":            "",
		"2022-12-31T10:00:00,5Z":          "",
		"2022-12-31T1:00:00Z":             "",
		"2022-13":                         "",
		"2022-2-3":                        "",
		"0000":                            "",
		"22":                              "",
		"2022-12-31 ":                     "",
	} {
		got, ok := bound(text, jakarta, true)
		require.Equal(t, want != "", ok, text)
		if ok {
			require.Equal(t, want, got.UTC().Format(time.RFC3339Nano), text)
		}
	}
	got, ok := bound("2022-12-31", jakarta, false)
	require.True(t, ok)
	require.Equal(t, "2022-12-30T17:00:00Z", got.UTC().Format(time.RFC3339))
}

// TestEveryPurpose: a refusal of all of them meets every purpose that there is.
func TestEveryPurpose(t *testing.T) {
	n := 0
	for p := range purposesOfTable(t) {
		n++
		c := []consent.Consent{{Purposes: everyPurpose(), Refused: true}}
		require.Equal(t, consent.Refused, new(consent.Policy).Decide(c, consent.Request{Purpose: p}, consent.Data{}, time.Time{}).Reason, p)
	}
	require.Greater(t, n, 50)
}

func FuzzImport(f *testing.F) {
	for _, folder := range []string{"ihe-pcf", "hl7-r4"} {
		for _, text := range examples(&testing.T{}, folder, "") {
			f.Add(text, byte(TypedRoot))
			f.Add(text, byte(BaseR4))
		}
	}
	f.Add([]byte(root(permit, treat, labels("R", "HIV"), nested(deny+","+labels("V", "PSY")))), byte(Alternating))
	f.Fuzz(func(t *testing.T, text []byte, d byte) {
		o := options(Dialect(d%3 + 1))
		o.Purposes = []consent.Purpose{consent.Treatment}
		got, err := Import(text, o)
		if err != nil {
			var e *ElementError
			require.True(t, errors.As(err, &e))
			require.Regexp(t, `^Consent(\.[a-zA-Z]+(\[\d+\])?)*$`, e.Path)
			require.Zero(t, got)
			return
		}
		require.True(t, json.Valid(text))
		require.NotEmpty(t, got.Consent.Purposes)
		require.NotEmpty(t, got.Consent.Subject)
		again, err := Import(text, o)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

// TestLabelLevel: a permit of labels alone leaves restricted data closed unless the importer says how far it reaches.
func TestLabelLevel(t *testing.T) {
	text := []byte(root(permit, treat, labels("PSY")))
	for level, want := range map[consent.Confidentiality]consent.Confidentiality{"": "N", "R": "R", "V": "V"} {
		o := options(TypedRoot)
		o.LabelLevel = level
		got, err := Import(text, o)
		require.NoError(t, err)
		require.Equal(t, want, got.Consent.Confidentiality)
		require.Equal(t, []consent.Label{"PSY"}, got.Consent.Sensitivity)
	}
	o := options(TypedRoot)
	o.LabelLevel = "X"
	_, err := Import(text, o)
	require.ErrorIs(t, err, ErrOptions)
}
