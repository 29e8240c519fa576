package clinic

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
)

// A table of a clinic with more patients than a person may reach is made, as a job
// of its own with a limit of its own; and whoever else names the job is refused.
func TestStudyJob(t *testing.T) {
	ctx := t.Context()
	c, err := Open(ctx, Options{Dir: t.TempDir(), People: consent.Limit{Hour: 2, Day: 2}, Tables: consent.Limit{Day: 3}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	fill(t, c)
	citra := User{Name: "ui-citra", Role: Researcher, Recipient: "ui-2026"}
	eko := User{Name: "itb-eko", Role: Researcher, Recipient: "itb-2026"}
	for _, u := range []User{citra, eko} {
		require.NoError(t, c.AddAccount(ctx, u, "rahasia-demo"))
	}
	for _, u := range []User{citra, eko} { // each institution has a limit of its own
		s, err := c.Study(ctx, u, Question{Of: Patients, Purpose: consent.Research, K: MinK})
		require.NoError(t, err)
		require.NotContains(t, reasonsOf(s), consent.TooMany, u.Name)
	}
	c.tables.Day = 1
	s, err := c.Study(ctx, User{Name: "ugm-fani", Role: Researcher, Recipient: "ui-2026"}, Question{Of: Patients, Purpose: consent.Research, K: MinK})
	require.NoError(t, err)
	require.NotContains(t, reasonsOf(s), consent.NoJob) // an account that came after the clinic was opened
	req := citra.request(consent.Research)
	req.Job = tableJob(citra)
	_, err = c.patients.Lookup(ctx, "NIK", "9901010101900001", req)
	require.ErrorIs(t, err, consent.ErrDenied) // the job is registered for tables alone
}

func reasonsOf(s *Study) (all []consent.Reason) {
	for _, l := range s.LeftOut {
		all = append(all, l.Reason)
	}
	return all
}
