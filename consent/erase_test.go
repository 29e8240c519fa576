package consent

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/keyring"
)

// custodianConfig is a configuration whose ring has a custodian, whose key is
// elsewhere.
func custodianConfig(t testing.TB) (*Config, *keyring.CustodianKey) {
	t.Helper()
	ctx := context.Background()
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	ring, err := keyring.Create(ctx, "ring-test", keyring.Config{
		Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek, Custodian: key.Custodian(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	cfg := &Config{Ring: ring, Provision: true, Now: func() time.Time { return noon }}
	require.NoError(t, cfg.createKeysets(ctx, evidence.ChainKeyset, evidence.TreeKeyset, auditCompartment))
	cfg.Ledger, err = OpenLedger(ctx, ring, nil)
	require.NoError(t, err)
	cfg.Log, err = OpenLog(ctx, ring, nil)
	require.NoError(t, err)
	return cfg, key
}

func untilNextYear() keyring.Retention {
	return keyring.Retention{Until: time.Now().AddDate(1, 0, 0), Basis: "Permenkes 24/2022 art. 39"}
}

// TestRetain: a patient asks for erasure, and a law obliges to keep. Nothing
// opens, on no basis; and when the keys are back, no old consent is.
func TestRetain(t *testing.T) {
	ctx := context.Background()
	cfg, key := custodianConfig(t)
	cfg.Policy = Policy{Bases: []LegalBasis{{Basis: LegalObligation, Article: "KUHAP art. 43", Rule: Rule{Purposes: []Purpose{"HLEGAL"}, Sensitivity: []Label{AnyLabel}}}}}
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment, Research)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	court := Request{Purpose: "HLEGAL", Actor: "clerk-of-court"}
	_, err := open(r, ayu.ID, row.Sealed, court)
	require.NoError(t, err, "else the refusals below say nothing")

	receipt, err := cfg.Retain(ctx, ayu.ID, "privacy-officer", untilNextYear())
	require.NoError(t, err)
	require.Equal(t, "Permenkes 24/2022 art. 39", receipt.Basis)
	acts := entries(t, cfg.Log)
	e := acts[len(acts)-1]
	require.Equal(t, "retain", e.Action)
	require.Equal(t, "privacy-officer", e.Actor)
	require.Equal(t, receipt.Basis, e.Article)
	require.Equal(t, "withdraw", acts[len(acts)-3].Action, "what was permitted ends with it")

	for _, req := range []Request{care, court} {
		got, err := open(r, ayu.ID, row.Sealed, req)
		retained := (*keyring.RetainedError)(nil)
		require.ErrorAs(t, err, &retained)
		require.Equal(t, person{ID: ayu.ID}, got)
		e = last(t, cfg.Log)
		require.Equal(t, "refused", e.Outcome, "and the attempt is logged")
		require.Equal(t, Retained, e.Reason)
	}
	table, err := r.Export(ctx, each([]stored{{ayu.ID, row.Sealed}}), study)
	require.NoError(t, err)
	require.Empty(t, readAll(t, table))
	require.Equal(t, 1, table.Suppressed())
	_, err = r.Seal(ctx, &ayu, careTag)
	require.ErrorIs(t, err, keyring.ErrRetained)
	_, err = cfg.Give(ctx, Consent{Subject: ayu.ID, Purposes: []Purpose{Treatment}})
	require.ErrorIs(t, err, keyring.ErrRetained)
	_, err = cfg.Log.History(ctx, ayu.ID)
	require.ErrorIs(t, err, keyring.ErrRetained)
	_, err = cfg.Erase(ctx, ayu.ID, "clerk")
	require.ErrorIs(t, err, keyring.ErrRetained, "not before the time")
	require.NoError(t, cfg.WithdrawAll(ctx, ayu.ID, "clerk"), "there is nothing left to withdraw")

	require.NoError(t, cfg.EndRetention(ctx, ayu.ID, "custodian", key))
	h, err := cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Equal(t, "return", h[len(h)-1].Action)
	require.Equal(t, "custodian", h[len(h)-1].Actor)
	_, err = open(r, ayu.ID, row.Sealed, care)
	var denied *DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, Ended, denied.Reason, "who asked to be erased has not consented again")
	got, err := open(r, ayu.ID, row.Sealed, court)
	require.NoError(t, err)
	require.Equal(t, ayu.Name, got.Name)
}

func TestEraseRetained(t *testing.T) {
	ctx := context.Background()
	cfg, key := custodianConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	_, err := cfg.Retain(ctx, ayu.ID, "privacy-officer", untilNextYear())
	require.NoError(t, err)
	_, err = cfg.EraseRetained(ctx, ayu.ID, "privacy-officer", "")
	require.ErrorIs(t, err, keyring.ErrName)
	receipt, err := cfg.EraseRetained(ctx, ayu.ID, "privacy-officer", "PN Jakarta Selatan 12/2026")
	require.NoError(t, err)
	require.NotEmpty(t, receipt.Compartments)
	e := last(t, cfg.Log)
	require.Equal(t, "erase", e.Action)
	require.Equal(t, "privacy-officer", e.Actor)
	require.Equal(t, "PN Jakarta Selatan 12/2026", e.Article)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, keyring.ErrShredded)
	require.ErrorIs(t, cfg.EndRetention(ctx, ayu.ID, "custodian", key), keyring.ErrShredded)
}

// TestActsAgain: what a process that died had done is said to be so in the log
// when it is done again, and is an error that says so.
func TestActsAgain(t *testing.T) {
	ctx := context.Background()
	cfg, key := custodianConfig(t)
	r := people(t, cfg)
	sealed(t, r, ayu, Treatment)
	keep := untilNextYear()
	ended := func() []string {
		all := entries(t, cfg.Log)
		return []string{all[len(all)-2].Outcome, all[len(all)-1].Outcome}
	}
	_, err := cfg.Retain(ctx, ayu.ID, "privacy-officer", keep)
	require.NoError(t, err)
	for basis, outcome := range map[string]string{keep.Basis: "completed", "another law": "failed"} {
		keep.Basis = basis
		_, err = cfg.Retain(ctx, ayu.ID, "privacy-officer", keep)
		require.ErrorIs(t, err, keyring.ErrRetained)
		require.Equal(t, []string{"done", outcome}, ended())
	}
	_, err = cfg.Erase(ctx, ayu.ID, "privacy-officer")
	require.ErrorIs(t, err, keyring.ErrRetained)
	require.Equal(t, []string{"done", "failed"}, ended())
	require.NoError(t, cfg.EndRetention(ctx, ayu.ID, "custodian", key))
	require.ErrorIs(t, cfg.EndRetention(ctx, ayu.ID, "custodian", key), keyring.ErrState)
	require.Equal(t, []string{"done", "completed"}, ended())
	require.Equal(t, "completed", lastOf(t, cfg, ayu.ID).Outcome)
	n := len(entries(t, cfg.Log))
	_, err = cfg.Erase(ctx, "p-mistyped", "privacy-officer")
	require.ErrorIs(t, err, keyring.ErrNoSubjectKey)
	require.Len(t, entries(t, cfg.Log), n)
}

// TestEraseRetainedIsLoggedBefore: nothing is erased by an authority that the log
// cannot name.
func TestEraseRetainedIsLoggedBefore(t *testing.T) {
	ctx := context.Background()
	cfg, key := custodianConfig(t)
	sealed(t, people(t, cfg), ayu)
	_, log := sqlConfig(t)
	var err error
	cfg.Log, err = OpenLog(ctx, cfg.Ring, log)
	require.NoError(t, err)
	_, err = cfg.Retain(ctx, ayu.ID, "privacy-officer", untilNextYear())
	require.NoError(t, err)
	_, err = log.Exec(`CREATE TRIGGER stuck BEFORE INSERT ON consent_log BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
	require.NoError(t, err)
	_, err = cfg.EraseRetained(ctx, ayu.ID, "privacy-officer", "PN 12/2026")
	require.ErrorIs(t, err, ErrAudit)
	_, err = log.Exec(`DROP TRIGGER stuck`)
	require.NoError(t, err)
	require.NoError(t, cfg.EndRetention(ctx, ayu.ID, "custodian", key))
}

func TestEraseSaysWho(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	sealed(t, r, ayu)
	_, err := cfg.Erase(ctx, ayu.ID, "\xff")
	require.ErrorIs(t, err, ErrLimit)
	_, err = cfg.Erase(ctx, ayu.ID, "clerk-4")
	require.NoError(t, err)
	require.Equal(t, "clerk-4", last(t, cfg.Log).Actor)
}

// TestRetainThatFails: without a custodian nothing is retained, the log says
// so, and what the patient permitted has ended all the same.
func TestRetainThatFails(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	_, err := cfg.Retain(ctx, ayu.ID, "privacy-officer", untilNextYear())
	require.ErrorIs(t, err, keyring.ErrEmpty)
	e := last(t, cfg.Log)
	require.Equal(t, "retain", e.Action)
	require.Equal(t, "failed", e.Outcome)
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
	_, err = cfg.Retain(ctx, "", "x", untilNextYear())
	require.ErrorIs(t, err, ErrSubject)
	_, err = (&Config{}).Retain(ctx, ayu.ID, "x", untilNextYear())
	require.ErrorIs(t, err, ErrConfig)
	_, err = (&Config{}).Erase(ctx, ayu.ID, "x")
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorIs(t, (&Config{}).EndRetention(ctx, ayu.ID, "x", nil), ErrConfig)
}
