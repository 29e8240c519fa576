package clinic

import (
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
