package consent

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReplays: what the ledger keeps of a patient is given only as long as there is
// nothing newer, and is nobody's to change.
func TestReplays(t *testing.T) {
	ctx := context.Background()
	for name, config := range map[string]func(t testing.TB) *Config{
		"memory": memoryConfig, "sqlite": func(t testing.TB) *Config { cfg, _ := sqlConfig(t); return cfg },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			id, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
			first, err := cfg.Ledger.of(ctx, "p")
			require.NoError(t, err)
			again, err := cfg.Ledger.of(ctx, "p")
			require.NoError(t, err)
			require.Same(t, &first[0], &again[0], "is kept")

			own, err := cfg.Ledger.Of(ctx, "p")
			require.NoError(t, err)
			own[0].Purposes[0], own[0].ID = Marketing, "mine"
			again, err = cfg.Ledger.of(ctx, "p")
			require.NoError(t, err)
			require.Equal(t, Treatment, again[0].Purposes[0])
			require.Equal(t, id, again[0].ID)

			_, err = cfg.Give(ctx, Consent{Subject: "q", Purposes: []Purpose{Payment}})
			require.NoError(t, err)
			again, err = cfg.Ledger.of(ctx, "p")
			require.NoError(t, err)
			require.Same(t, &first[0], &again[0], "another patient's event changes nothing")

			_, err = cfg.Ring.Rotate(ctx, "consent/ledger")
			require.NoError(t, err)
			require.NoError(t, cfg.Withdraw(ctx, "p", id, "clerk"))
			again, err = cfg.Ledger.of(ctx, "p")
			require.NoError(t, err)
			require.False(t, again[0].Withdrawn.IsZero(), "under a newer version of the keyset too")
			require.True(t, first[0].Withdrawn.IsZero())
			none, err := cfg.Ledger.of(ctx, "r")
			require.NoError(t, err)
			require.Empty(t, none)
			_, err = cfg.Ledger.of(ctx, "")
			require.ErrorIs(t, err, ErrSubject)
		})
	}
}

// TestTamperReplays: that a patient's consents are kept does not hide that their
// events were changed or are gone.
func TestTamperReplays(t *testing.T) {
	ctx := context.Background()
	for _, change := range []string{
		`UPDATE consent_ledger SET body = CAST(x'00' || body AS BLOB) WHERE seq = 1`, `DELETE FROM consent_ledger WHERE seq = 2`,
		`UPDATE consent_ledger SET mac = (SELECT mac FROM consent_ledger WHERE seq = 2) WHERE seq = 1`,
	} {
		cfg, db := sqlConfig(t)
		for range 2 {
			_, err := cfg.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
			require.NoError(t, err)
		}
		_, err := cfg.Ledger.of(ctx, "p")
		require.NoError(t, err)
		_, err = db.Exec(change)
		require.NoError(t, err)
		_, err = cfg.Ledger.of(ctx, "p")
		require.ErrorIs(t, err, ErrTampered, change)
	}
}

// TestReplaysAreBounded: many patients do not fill the memory.
func TestReplaysAreBounded(t *testing.T) {
	var r replays
	for i := range 3 * maxReplays {
		r.put(fmt.Sprint(i), []Consent{{ID: fmt.Sprint(i)}}, [32]byte{1})
		all, _ := r.get(fmt.Sprint(i))
		require.Equal(t, fmt.Sprint(i), all[0].ID)
	}
	require.Len(t, r.of, maxReplays)
	all, mark := r.get("nobody")
	require.Nil(t, all)
	require.Zero(t, mark)
}
