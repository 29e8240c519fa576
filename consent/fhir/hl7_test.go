package fhir

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

// TestHL7: the twelve Consents of HL7's R4 examples, read as the base
// specification has it, for a form about treatment.
func TestHL7(t *testing.T) {
	const optIn = "permit TREAT level V label *"
	all := examples(t, "hl7-r4", "Consent-consent-example-")
	require.Len(t, all, 12)
	for id, tt := range map[string]struct {
		rules   []string
		widened []string
		path    string
		err     error
	}{
		// OPTIN, and the exception says who may not.
		"notOrg":  {rules: []string{optIn, "refuse everything by f001 to access correct"}},
		"notThem": {rules: []string{optIn, "refuse everything by f204 to access correct"}},
		"notThis": {rules: []string{optIn, "refuse everything record example3", "refuse everything related example3"}},
		// The custodian of the data is not evaluated; the text too withholds all from every provider.
		"notAuthor": {rules: []string{optIn, "refuse everything"}, widened: []string{"Consent.provision.actor[0]"}},

		// OPTOUT, so the exception permits, and the custodian is not evaluated.
		// The texts of Out and Emergency withhold what by the base specification would be permitted.
		"Out":       {path: "Consent.provision.actor[0]", err: ErrNotEvaluated},
		"Emergency": {path: "Consent.provision.actor[0]", err: ErrNotEvaluated},
		"grantor":   {path: "Consent.provision.actor[0]", err: ErrNotEvaluated},

		// A period of the exception. By their texts it is that of the permit (basic),
		// of the data that is withheld (notTime), or of the consent.
		"basic":       {path: "Consent.provision.period", err: ErrAmbiguous},
		"notTime":     {path: "Consent.provision.period", err: ErrAmbiguous},
		"signature":   {path: "Consent.provision.period", err: ErrAmbiguous},
		"smartonfhir": {path: "Consent.provision.period", err: ErrAmbiguous},

		// Nested provisions without a type, which the base specification requires.
		"pkb": {path: "Consent.provision.provision[0].type", err: ErrAmbiguous},
	} {
		t.Run(id, func(t *testing.T) {
			text, ok := all[id]
			require.True(t, ok)
			o := options(BaseR4)
			o.Purposes = []consent.Purpose{consent.Treatment}
			got, err := Import(text, o)
			if tt.err != nil {
				require.Equal(t, &ElementError{tt.path, tt.err}, err)
				require.Zero(t, got)
			} else {
				require.NoError(t, err)
				require.Equal(t, tt.rules, said(got.Consent))
				require.Equal(t, tt.widened, got.Widened)
			}
			for _, other := range []Dialect{TypedRoot, Alternating} {
				got, err := Import(text, options(other))
				require.ErrorIs(t, err, ErrAmbiguous, "no type at the root, or one against policyRule")
				require.Zero(t, got)
			}
		})
	}
}
