package consent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

func TestLedgerSurvivesReopening(t *testing.T) {
	cfg, db := sqlConfig(t)
	ctx := context.Background()
	c := Consent{
		ID: "c1", Subject: "p", Purposes: []Purpose{Treatment, Research}, Actors: []string{"a"}, Roles: []string{"r"}, Confidentiality: Restricted,
		Sensitivity: []Label{"HIV"}, Obligations: []Obligation{Deidentify}, From: noon, Until: noon.AddDate(1, 0, 0),
	}
	_, err := cfg.Give(ctx, c)
	require.NoError(t, err)
	id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Marketing}, Refused: true})
	require.NoError(t, err)
	require.NoError(t, cfg.Withdraw(ctx, "p", id, "clerk"))
	reopen(t, cfg, db)
	all, err := cfg.Ledger.Of(ctx, "p")
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.True(t, all[0].From.Equal(c.From) && all[0].Until.Equal(c.Until))
	all[0].From, all[0].Until = c.From, c.Until
	require.Equal(t, c, all[0])
	require.True(t, all[1].Refused)
	require.True(t, all[1].Withdrawn.Equal(noon))
	none, err := cfg.Ledger.Of(ctx, "q")
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = cfg.Ledger.Of(ctx, "")
	require.ErrorIs(t, err, ErrSubject)
}

// TestAttackLedger changes the stored ledger, to bring a withdrawn consent back.
func TestAttackLedger(t *testing.T) {
	ctx := context.Background()
	for name, attack := range map[string]string{
		"a changed version":              `UPDATE consent_ledger SET version = 7 WHERE seq = 2`,
		"a changed predecessor":          flip("consent_ledger", "prev", 3),
		"a changed MAC":                  flip("consent_ledger", "mac", 3),
		"the withdrawal dropped":         `DELETE FROM consent_ledger WHERE seq = 2`,
		"the withdrawal made another's":  `UPDATE consent_ledger SET subject = (SELECT subject FROM consent_ledger WHERE seq = 3) WHERE seq = 2`,
		"the permit in its place":        `UPDATE consent_ledger SET body = (SELECT body FROM consent_ledger WHERE seq = 1), mac = (SELECT mac FROM consent_ledger WHERE seq = 1) WHERE seq = 2`,
		"a changed body":                 flip("consent_ledger", "body", 20),
		"another's permit made this one": `UPDATE consent_ledger SET subject = (SELECT subject FROM consent_ledger WHERE seq = 1) WHERE seq = 3`,
	} {
		t.Run(name, func(t *testing.T) {
			cfg, db := sqlConfig(t)
			id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
			require.NoError(t, cfg.Withdraw(ctx, "p", id, "clerk"))
			_, err = cfg.Give(ctx, Consent{Subject: "q", Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
			res, err := db.Exec(attack)
			require.NoError(t, err)
			n, err := res.RowsAffected()
			require.NoError(t, err)
			require.EqualValues(t, 1, n, "the attack did nothing")
			_, errP := cfg.Ledger.Of(ctx, "p")
			_, errQ := cfg.Ledger.Of(ctx, "q")
			requireRefused(t, cmp.Or(errP, errQ), "the running process")
			_, err = OpenLedger(ctx, cfg.Ring, db)
			requireRefused(t, err, "a new process")
		})
	}
}

// requireRefused wants the two errors that a changed chain may end in: one that
// names a key version nobody has is as good as tampered with, but it may also be
// a version that this process has not heard of yet.
func requireRefused(t *testing.T, err error, who string) {
	t.Helper()
	require.Error(t, err, who)
	require.True(t, errors.Is(err, ErrTampered) || errors.Is(err, keyring.ErrUnknownVersion), "%s: %v", who, err)
}

// TestAttackLedgerCutOff: the last event is cut off. Every one is anchored in
// the ring's journal.
func TestAttackLedgerCutOff(t *testing.T) {
	ctx := context.Background()
	for name, add := range map[string]func(*Config, string) error{
		"withdrawal": func(c *Config, id string) error { return c.Withdraw(ctx, "p", id, "clerk") },
		"permit": func(c *Config, _ string) error {
			_, err := c.Give(ctx, Consent{Subject: "r", Purposes: []Purpose{Treatment}})
			return err
		},
		"refusal": func(c *Config, _ string) error {
			_, err := c.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}, Refused: true})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, db := sqlConfig(t)
			id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
			require.NoError(t, add(cfg, id))
			_, err = db.Exec(`DELETE FROM consent_ledger WHERE seq = 2`)
			require.NoError(t, err)
			_, err = cfg.Give(ctx, Consent{Subject: "q", Purposes: []Purpose{Treatment}})
			require.ErrorIs(t, err, ErrTampered, "the running process does not write over the gap")
			_, err = OpenLedger(ctx, cfg.Ring, db)
			require.ErrorIs(t, err, ErrTampered)
		})
	}
}

// TestAttackFork: a service that runs on while its ledger or log is set back to
// before what another one did. It may neither go on with that nor cover it up.
func TestAttackFork(t *testing.T) {
	ctx := context.Background()
	t.Run("ledger", func(t *testing.T) {
		a, db := sqlConfig(t)
		r := people(t, a)
		row := sealed(t, r, ayu)
		id, err := a.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
		require.NoError(t, err)
		b := *a
		reopen(t, &b, db)
		other := people(t, &b)
		require.NoError(t, a.Withdraw(ctx, ayu.ID, id, "clerk"))
		_, err = db.Exec(`DELETE FROM consent_ledger WHERE seq = 2`)
		require.NoError(t, err)
		_, err = open(other, ayu.ID, row.Sealed, care)
		require.ErrorIs(t, err, ErrTampered)
		_, err = b.Give(ctx, Consent{Subject: "q", Purposes: []Purpose{Treatment}})
		require.ErrorIs(t, err, ErrTampered)
		require.ErrorIs(t, b.anchor(ctx), ErrTampered)
	})
	t.Run("log", func(t *testing.T) {
		a, db := sqlConfig(t)
		require.NoError(t, a.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: "one"}))
		placed(t, a.Log)
		var note []byte
		require.NoError(t, db.QueryRow(`SELECT note FROM consent_log_head`).Scan(&note))
		b := *a
		reopen(t, &b, db)
		require.NoError(t, a.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: "insider"}))
		require.NoError(t, a.anchor(ctx))
		_, err := db.Exec(`DELETE FROM consent_log WHERE seq = 1; UPDATE consent_log_hash SET hashes = substr(hashes, 1, 32); UPDATE consent_log_head SET size = 1, note = ?`, note)
		require.NoError(t, err)
		require.ErrorIs(t, b.Log.append(ctx, &logBody{Action: "open", Outcome: "done", Actor: "two"}), ErrTampered)
		_, err = b.Log.Verify(ctx)
		require.ErrorIs(t, err, ErrTampered)
	})
}

func TestLedgerConcurrent(t *testing.T) {
	cfg, db := sqlConfig(t)
	ctx := context.Background()
	other := *cfg
	reopen(t, &other, db)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := cfg
			if i%2 == 1 {
				c = &other
			}
			for j := range 5 {
				id, err := c.Give(ctx, Consent{ID: fmt.Sprint(i, "-", j), Subject: "p", Purposes: []Purpose{Treatment}})
				if err == nil {
					err = c.Withdraw(ctx, "p", id, "clerk")
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, c := range []*Config{cfg, &other} {
		all, err := c.Ledger.Of(ctx, "p")
		require.NoError(t, err)
		require.Len(t, all, 40)
		for _, k := range all {
			require.False(t, k.Withdrawn.IsZero())
		}
	}
	_, err := OpenLedger(ctx, cfg.Ring, db)
	require.NoError(t, err)
}
