package clinic_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/pseudo"
)

func TestRegister(t *testing.T) {
	c := open(t)
	id, portal := register(t, c, siti(), "treatment")

	// What the branch has holds no value, and is all that it has.
	_, item, err := c.Branch().Raw(t.Context(), portal.Arrival)
	require.NoError(t, err)
	for _, value := range []string{"Siti", "Rekaan", "3171014312900001", "081200007777", "Penicillin", id} {
		require.NotContains(t, string(item), value)
	}
	u, err := c.SignIn(t.Context(), portal.Name, portal.Password)
	require.NoError(t, err)
	require.Equal(t, clinic.User{Name: portal.Name, Role: clinic.Self, Patient: id}, u)

	found, err := c.Find(t.Context(), ayu, "NIK", "3171.0143.1290.0001", clinic.Why{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "Siti Rekaan", found[0].Patient.Name)
	require.Equal(t, []string{"Penicillin"}, found[0].Patient.Allergies)
	require.Equal(t, "branch-depok", found[0].Patient.Branch)

	sent, err := c.Branch().Arrivals(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, sent, 1)
	require.Equal(t, portal.Arrival, sent[0].ID)
	require.Positive(t, sent[0].Bytes)
	_, _, err = c.Branch().Raw(t.Context(), "no such id")
	require.ErrorIs(t, err, clinic.ErrNotFound)
}

// A number that another patient has is not stored twice.
func TestRegisterTwice(t *testing.T) {
	c := open(t)
	register(t, c, siti(), "treatment")
	again := siti()
	again.Name = "Somebody Else"
	portal, err := c.Branch().Register(t.Context(), again, nil)
	require.NoError(t, err)
	state(t, c, portal.Arrival, clinic.Known)
	found, err := c.Find(t.Context(), ayu, "NIK", siti().NIK, clinic.Why{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "Siti Rekaan", found[0].Patient.Name)
}

func TestCheckNamesFields(t *testing.T) {
	b := open(t).Branch()
	for field, break_ := range map[string]func(*clinic.Patient){
		"nik":       func(p *clinic.Patient) { p.NIK = "317101" },
		"phone":     func(p *clinic.Patient) { p.Phone = "secret" },
		"name":      func(p *clinic.Patient) { p.Name = " \t" },
		"born":      func(p *clinic.Patient) { p.Born = time.Now().AddDate(0, 0, 2) },
		"sex":       func(p *clinic.Patient) { p.Sex = "F" },
		"address":   func(p *clinic.Patient) { p.Address = "" },
		"allergies": func(p *clinic.Patient) { p.Allergies = []string{strings.Repeat("x", 201)} },
	} {
		p := siti()
		break_(p)
		_, err := b.Check(p, []string{"treatment"})
		var bad *clinic.FieldsError
		require.ErrorAs(t, err, &bad, field)
		require.Equal(t, []string{field}, bad.Fields)
		require.ErrorIs(t, err, clinic.ErrInput)
		require.NotContains(t, err.Error(), "secret")
		_, err = b.Register(t.Context(), p, nil)
		require.ErrorAs(t, err, &bad, "and it cannot be sent past the check")
	}
	_, err := b.Check(siti(), []string{"everything"})
	require.ErrorIs(t, err, clinic.ErrInput)
	_, err = b.Check(&clinic.Patient{}, nil)
	var bad *clinic.FieldsError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, []string{"nik", "phone", "name", "born", "sex", "address"}, bad.Fields)
}

// What is unusual about a NIK is said, and refuses nobody.
func TestCheckDoubts(t *testing.T) {
	b := open(t).Branch()
	doubts, err := b.Check(siti(), nil)
	require.NoError(t, err)
	require.Empty(t, doubts)
	p := siti()
	p.Born = p.Born.AddDate(1, 0, 0)
	doubts, err = b.Check(p, nil)
	require.NoError(t, err)
	require.Equal(t, []pseudo.Warning{pseudo.WarnBorn}, doubts)
}
