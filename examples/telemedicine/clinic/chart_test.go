package clinic_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
)

func visit(patient string) *clinic.Visit {
	return &clinic.Visit{Patient: patient, Complaint: "Cough", Diagnosis: "J45.9 Asthma", Notes: "Peak flow 310", Serology: "HIV-1/2 reactive", Counselling: "Sleeps badly"}
}

func denied(t *testing.T, err error, reason consent.Reason) {
	t.Helper()
	var d *consent.DeniedError
	require.ErrorAs(t, err, &d)
	require.Equal(t, reason, d.Reason)
}

func withheldFields(w []consent.Withheld) []string {
	var out []string
	for _, f := range w {
		out = append(out, f.Field)
	}
	return out
}

// What a patient allows opens, and what they do not is withheld by name.
func TestChartByConsent(t *testing.T) {
	c := open(t)
	id, _ := register(t, c, siti(), "treatment")
	v := visit(id)
	require.NoError(t, c.AddVisit(t.Context(), ayu, v, clinic.Why{}))
	chart, err := c.Chart(t.Context(), bima, id, clinic.Why{})
	require.NoError(t, err)
	require.Empty(t, chart.Withheld)
	require.False(t, chart.Emergency)
	require.Len(t, chart.Visits, 1)
	got := chart.Visits[0]
	require.Equal(t, "Peak flow 310", got.Notes)
	require.ElementsMatch(t, []string{"Serology", "Counselling"}, withheldFields(got.Withheld))
	require.Empty(t, got.Serology+got.Counselling)
}

func TestChartRoles(t *testing.T) {
	c := open(t)
	id, _ := register(t, c, siti(), "treatment")
	for _, u := range []clinic.User{budi, {Name: "x", Role: clinic.Self, Patient: id}, {Name: "x", Role: clinic.Officer}, {}} {
		_, err := c.Chart(t.Context(), u, id, clinic.Why{})
		require.ErrorIs(t, err, clinic.ErrForbidden)
		_, err = c.Find(t.Context(), u, "NIK", siti().NIK, clinic.Why{})
		require.ErrorIs(t, err, clinic.ErrForbidden)
		require.ErrorIs(t, c.AddVisit(t.Context(), u, visit(id), clinic.Why{}), clinic.ErrForbidden)
		require.ErrorIs(t, c.UpdatePatient(t.Context(), u, &clinic.Patient{ID: id}, "", clinic.Why{}), clinic.ErrForbidden)
		_, err = c.OpenFile(t.Context(), u, id, "x", clinic.Why{})
		require.ErrorIs(t, err, clinic.ErrForbidden)
	}
	_, err := c.Chart(t.Context(), ayu, "nobody", clinic.Why{})
	require.ErrorIs(t, err, clinic.ErrNotFound)
	_, err = c.Find(t.Context(), ayu, "Name", "Siti", clinic.Why{})
	require.ErrorIs(t, err, clinic.ErrInput)
}

// An emergency opens identity and clinical record, labels included, and nothing
// of counselling; and only with a justification.
func TestChartInEmergency(t *testing.T) {
	c := open(t)
	id, _ := register(t, c, siti())
	_, err := c.Chart(t.Context(), ayu, id, clinic.Why{})
	denied(t, err, consent.NoConsent)
	denied(t, c.AddVisit(t.Context(), ayu, visit(id), clinic.Why{}), consent.NoConsent)
	found, err := c.Find(t.Context(), ayu, "NIK", siti().NIK, clinic.Why{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Empty(t, found[0].Patient.Name)
	require.Equal(t, consent.NoConsent, found[0].Refused.Reason)

	why := clinic.Why{Justification: "Unconscious, treatment depends on allergies"}
	v := visit(id)
	require.NoError(t, c.AddVisit(t.Context(), ayu, v, why))
	chart, err := c.Chart(t.Context(), ayu, id, why)
	require.NoError(t, err)
	require.True(t, chart.Emergency)
	require.Equal(t, "Siti Rekaan", chart.Patient.Name)
	require.Equal(t, []string{"Penicillin"}, chart.Patient.Allergies)
	require.Len(t, chart.Visits, 1)
	require.Equal(t, "HIV-1/2 reactive", chart.Visits[0].Serology)
	require.Equal(t, []string{"Counselling"}, withheldFields(chart.Visits[0].Withheld))
	require.False(t, clinic.OpensInEmergency("Counselling"))
	require.True(t, clinic.OpensInEmergency("Serology") && clinic.OpensInEmergency("Allergies"))
}

// Two doctors who change the same record do not lose each other's change, and
// what a doctor may not see is carried.
func TestUpdatePatient(t *testing.T) {
	c := open(t)
	id, _ := register(t, c, siti(), "treatment")
	before, err := c.Chart(t.Context(), ayu, id, clinic.Why{})
	require.NoError(t, err)
	change := &clinic.Patient{ID: id, Allergies: []string{"Penicillin", "Latex"}, Conditions: []string{"J45.9 Asthma"}}
	require.NoError(t, c.UpdatePatient(t.Context(), ayu, change, before.Revision, clinic.Why{}))
	err = c.UpdatePatient(t.Context(), bima, &clinic.Patient{ID: id}, before.Revision, clinic.Why{})
	require.ErrorIs(t, err, clinic.ErrConflict)

	after, err := c.Chart(t.Context(), bima, id, clinic.Why{})
	require.NoError(t, err)
	require.NotEqual(t, before.Revision, after.Revision)
	want := before.Patient
	want.Allergies, want.Conditions = change.Allergies, change.Conditions
	require.Equal(t, want, after.Patient)
	_, err = c.Find(t.Context(), ayu, "NIK", siti().NIK, clinic.Why{})
	require.NoError(t, err, "it is still the record that the token names")

	untold, _ := register(t, c, other(), "research")
	err = c.UpdatePatient(t.Context(), ayu, &clinic.Patient{ID: untold}, "", clinic.Why{})
	require.ErrorIs(t, err, clinic.ErrConflict)
	_, err = c.Chart(t.Context(), ayu, untold, clinic.Why{})
	denied(t, err, consent.NoConsent)
}

// Of doctors who save at the same time one is taken and the others are told.
func TestUpdatePatientAtOnce(t *testing.T) {
	c := open(t)
	id, _ := register(t, c, siti(), "treatment")
	chart, err := c.Chart(t.Context(), ayu, id, clinic.Why{})
	require.NoError(t, err)
	ended := make(chan error)
	for range 4 {
		go func() {
			ended <- c.UpdatePatient(t.Context(), ayu, &clinic.Patient{ID: id}, chart.Revision, clinic.Why{})
		}()
	}
	taken := 0
	for range 4 {
		if err := <-ended; err == nil {
			taken++
		} else {
			require.ErrorIs(t, err, clinic.ErrConflict)
		}
	}
	require.Equal(t, 1, taken)
}

func other() *clinic.Patient {
	p := siti()
	p.NIK, p.Phone = "3171014312900002", "081200008888"
	return p
}

// The guard stops whoever reaches more patients than a person may, and not an
// emergency.
func TestGuard(t *testing.T) {
	c, err := clinic.Open(t.Context(), clinic.Options{Dir: t.TempDir(), People: consent.Limit{Hour: 1, Day: 1}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	first, _ := register(t, c, siti(), "treatment")
	second, _ := register(t, c, other(), "treatment")
	_, err = c.Chart(t.Context(), ayu, first, clinic.Why{})
	require.NoError(t, err)
	_, err = c.Chart(t.Context(), ayu, second, clinic.Why{})
	denied(t, err, consent.TooMany)
	_, err = c.Chart(t.Context(), ayu, first, clinic.Why{})
	require.NoError(t, err, "who was seen within the hour stays open")
	_, err = c.Chart(t.Context(), bima, second, clinic.Why{})
	require.NoError(t, err, "another doctor is counted apart")
	_, err = c.Find(t.Context(), ayu, "NIK", siti().NIK, clinic.Why{})
	require.NoError(t, err, "searches are counted apart")
	_, err = c.Find(t.Context(), ayu, "NIK", other().NIK, clinic.Why{})
	denied(t, err, consent.TooMany)
	why := clinic.Why{Justification: "Brought in by ambulance"}
	found, err := c.Find(t.Context(), ayu, "NIK", other().NIK, why)
	require.NoError(t, err)
	require.Equal(t, "Siti Rekaan", found[0].Patient.Name)
	_, err = c.Chart(t.Context(), ayu, second, why)
	require.NoError(t, err)
}
