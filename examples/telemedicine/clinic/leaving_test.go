package clinic

import (
	"database/sql"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// asked is a clinic of which the first patient has asked to be erased.
func asked(t *testing.T) (*Clinic, []string, User) {
	t.Helper()
	c, ids := opened(t)
	self := User{Name: "p-0001", Role: Self, Patient: ids[0]}
	require.NoError(t, c.AskErasure(t.Context(), self))
	return c, ids, self
}

// Who is kept opens for nobody, is found as such, and is erased when the time is
// over and not before.
func TestRetain(t *testing.T) {
	c, ids, self := asked(t)
	ctx := t.Context()
	why := keyring.Retention{Until: time.Now().AddDate(25, 0, 0), Basis: "Permenkes 24/2022 art. 39"}
	_, err := c.Retain(ctx, dewi, ids[1], why)
	require.ErrorIs(t, err, ErrNotFound) // who has not asked
	for _, bad := range []keyring.Retention{{Until: time.Now().Add(-time.Hour), Basis: why.Basis}, {Until: why.Until}, {Until: why.Until, Basis: "Perméndagri"}} {
		_, err = c.Retain(ctx, dewi, ids[0], bad)
		require.ErrorIs(t, err, ErrInput)
	}
	receipt, err := c.Retain(ctx, dewi, ids[0], why)
	require.NoError(t, err)
	require.Equal(t, "retained", receipt.Action)

	for name, call := range map[string]func() error{
		"chart":     func() error { _, err := c.Chart(ctx, ayu, ids[0], Why{}); return err },
		"emergency": func() error { _, err := c.Chart(ctx, ayu, ids[0], Why{Justification: "unconscious"}); return err },
		"own":       func() error { _, err := c.Own(ctx, self); return err },
		"erase":     func() error { _, err := c.Erase(ctx, dewi, ids[0]); return err },
	} {
		require.ErrorIs(t, call(), keyring.ErrRetained, name)
	}
	found, err := c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	require.Equal(t, consent.Retained, found[0].Refused.Reason)

	require.NoError(t, c.UnaskErasure(ctx, self)) // too late
	e, err := c.Erasure(ctx, self)
	require.NoError(t, err)
	require.True(t, e.Kept())
	require.False(t, e.Waits())
	require.Equal(t, why.Basis, e.Basis)
	require.NotContains(t, e.Receipt, ids[0])

	// What goes through all patients passes over who is kept.
	o, err := c.Overview(ctx, dewi)
	require.NoError(t, err)
	require.Zero(t, o.Erasures) // it is decided
	_, err = c.ToShow(ctx, dewi, 10)
	require.NoError(t, err)
	_, err = c.Investigate(ctx, dewi, consent.Incident{Actor: ayu.Name})
	require.NoError(t, err)
	require.NoError(t, c.Rotate(ctx, dewi, "identity"))
	require.NoError(t, c.MoveKeys(dewi))
	require.NoError(t, c.EraseDue(ctx)) // nobody yet
	all, err := c.Erasures(ctx, dewi)
	require.NoError(t, err)
	require.True(t, all[0].Kept())
}

// When the time is over the clinic erases by itself.
func TestRetainEnds(t *testing.T) {
	c, ids, self := asked(t)
	ctx := t.Context()
	_, err := c.Retain(ctx, dewi, ids[0], keyring.Retention{Until: time.Now().Add(2 * time.Second), Basis: "Permenkes 24/2022 art. 39"})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		require.NoError(t, c.EraseDue(ctx))
		e, err := c.Erasure(ctx, self)
		require.NoError(t, err)
		return !e.Done.IsZero()
	}, 20*time.Second, 300*time.Millisecond)
	_, err = c.Own(ctx, self)
	require.ErrorIs(t, err, keyring.ErrShredded)
	found, err := c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	require.Empty(t, found) // the tokens are gone with the keys
	entries, err := c.Entries(ctx, dewi, consent.Filter{Actor: retentionEnd}, 5)
	require.NoError(t, err)
	require.NotEmpty(t, entries)
}

// A process that ended between the library's act and the clinic's own row is
// completed by doing it again.
func TestRetainAgain(t *testing.T) {
	c, ids, self := asked(t)
	ctx := t.Context()
	why := keyring.Retention{Until: time.Now().AddDate(1, 0, 0), Basis: "art. 39"}
	_, err := c.cfg.Retain(ctx, ids[0], dewi.Name, why)
	require.NoError(t, err)
	_, err = c.Retain(ctx, dewi, ids[0], why)
	require.NoError(t, err)
	e, err := c.Erasure(ctx, self)
	require.NoError(t, err)
	require.True(t, e.Kept())
}

// The custodian's public half decides: a folder that has it makes no other pair.
func TestCustodian(t *testing.T) {
	dir := t.TempDir()
	var keys []string
	for range 2 {
		c, err := Open(t.Context(), Options{Dir: dir})
		require.NoError(t, err)
		k, err := c.custodian()
		require.NoError(t, err)
		require.NoError(t, c.Close())
		keys = append(keys, k.String())
	}
	require.Equal(t, keys[0], keys[1])
}

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

// A row that somebody filed under another's token is not opened for whoever found
// it by that, neither in the search nor in the chart after it.
func TestFoundBy(t *testing.T) {
	c, ids := opened(t)
	ctx := t.Context()
	found, err := c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	why := Why{FoundBy: found[0].Token}
	_, err = c.Chart(ctx, ayu, ids[0], why)
	require.NoError(t, err)
	require.NoError(t, c.AddVisit(ctx, ayu, &Visit{Patient: ids[0], Complaint: "Cough", Diagnosis: "J06.9"}, why))

	var a, b sql.Null[[]byte]
	require.NoError(t, c.db.QueryRowContext(ctx, `SELECT nik_a, nik_b FROM patients WHERE id = $1`, ids[0]).Scan(&a, &b))
	for _, change := range []struct {
		query string
		args  []any
	}{
		{`UPDATE patients SET nik_a = NULL, nik_b = NULL WHERE id = $1`, []any{ids[0]}},
		{`UPDATE patients SET nik_a = $1, nik_b = $2 WHERE id = $3`, []any{a, b, ids[1]}},
	} {
		_, err := c.db.ExecContext(ctx, change.query, change.args...)
		require.NoError(t, err)
	}
	found, err = c.Find(ctx, ayu, "NIK", "9901010101900001", Why{})
	require.NoError(t, err)
	require.Equal(t, consent.NotFoundBy, found[0].Refused.Reason)
	why.FoundBy = found[0].Token
	denied := (*consent.DeniedError)(nil)
	_, err = c.Chart(ctx, ayu, ids[1], why)
	require.ErrorAs(t, err, &denied)
	require.Equal(t, consent.NotFoundBy, denied.Reason)
	require.ErrorAs(t, c.AddVisit(ctx, ayu, &Visit{Patient: ids[1], Complaint: "Cough", Diagnosis: "J06.9"}, why), &denied)
}
