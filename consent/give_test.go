package consent

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWithdrawnByAFastClock: the withdrawal was written by a process whose
// clock is an hour ahead, and bites at once all the same.
func TestWithdrawnByAFastClock(t *testing.T) {
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu)
	id, err := r.cfg.Give(context.Background(), Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	require.NoError(t, r.cfg.Ledger.withdraw(context.Background(), ayu.ID, id, noon.Add(time.Hour)))
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
}

func TestWithdrawAndRefuse(t *testing.T) {
	r := people(t, memoryConfig(t))
	ctx := context.Background()
	row := sealed(t, r, ayu)
	id, err := r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err)

	require.ErrorIs(t, r.cfg.Withdraw(ctx, ayu.ID, "another", "clerk"), ErrNoConsent)
	require.ErrorIs(t, r.cfg.Withdraw(ctx, "another", id, "clerk"), ErrNoConsent)
	require.NoError(t, r.cfg.Withdraw(ctx, ayu.ID, id, "clerk"))
	require.NoError(t, r.cfg.Withdraw(ctx, ayu.ID, id, "clerk"), "twice is no error")
	_, err = open(r, ayu.ID, row.Sealed, care)
	var denied *DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, Ended, denied.Reason)

	_, err = r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err, "given again")
	_, err = r.cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true})
	require.NoError(t, err)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorAs(t, err, &denied)
	require.Equal(t, Refused, denied.Reason)
}

func TestGiveRefusesWhatNoDecisionCouldUse(t *testing.T) {
	cfg := memoryConfig(t)
	ctx := context.Background()
	good := Consent{ID: "c", Subject: "p", Purposes: []Purpose{Treatment}}
	for name, tt := range map[string]struct {
		change func(*Consent)
		want   error
	}{
		"no subject":        {func(c *Consent) { c.Subject = "" }, ErrSubject},
		"no purpose":        {func(c *Consent) { c.Purposes = nil }, ErrCode},
		"unknown purpose":   {func(c *Consent) { c.Purposes = []Purpose{"X"} }, ErrCode},
		"unknown label":     {func(c *Consent) { c.Sensitivity = []Label{"X"} }, ErrCode},
		"unknown level":     {func(c *Consent) { c.Confidentiality = "X" }, ErrCode},
		"ends before begin": {func(c *Consent) { c.From, c.Until = noon, noon }, ErrPeriod},
		"withdrawn":         {func(c *Consent) { c.Withdrawn = noon }, ErrPeriod},
		"too long":          {func(c *Consent) { c.ID = string(make([]byte, maxText+1)) }, ErrLimit},
	} {
		c := good
		tt.change(&c)
		_, err := cfg.Give(ctx, c)
		require.ErrorIs(t, err, tt.want, name)
	}
	require.Empty(t, entries(t, cfg.Log))
	_, err := cfg.Give(ctx, good)
	require.NoError(t, err)
	_, err = cfg.Give(ctx, good)
	require.ErrorIs(t, err, ErrExists)
	require.Len(t, entries(t, cfg.Log), 1)
}
