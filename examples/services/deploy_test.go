package services

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// The functions below are the steps of docs/DEPLOY.md, whose every Go snippet is
// in one of this package's tests, line by line.

func alerting(cfg *consent.Config, page func(what string)) {
	cfg.Guard.Alert = func(a consent.Alert) {
		if a.Err != nil {
			page("the counts cannot be kept, nothing opens: " + a.Err.Error())
			return
		}
		page(fmt.Sprintf("%s%s: %d patients in an hour, %d in a day, decision %s", a.Actor, a.Job, a.Hour, a.Day, a.Decision))
	}
}

func overdue(ctx context.Context, cfg *consent.Config, now time.Time) (late []consent.Entry, err error) {
	waiting, err := cfg.AwaitingReview(ctx, nil)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(waiting, func(e consent.Entry) bool { return now.Sub(e.Time) < 24*time.Hour }), nil
}

func erase(ctx context.Context, cfg *consent.Config, db *sql.DB, subject, by string) (keyring.Receipt, error) {
	receipt, err := cfg.Erase(ctx, subject, by)
	if err != nil {
		return receipt, err // keyring.ErrNoSubjectKey: a mistyped id must not look like an erasure
	}
	_, err = db.ExecContext(ctx, `UPDATE patients SET nik_token = NULL WHERE id = $1`, subject)
	return receipt, err // file it, with whose it is, apart from all of this
}

func retain(ctx context.Context, cfg *consent.Config, subject, by string, until time.Time) (keyring.Receipt, error) {
	return cfg.Retain(ctx, subject, by, keyring.Retention{Until: until, Basis: "Permenkes 24/2022 art. 39"})
}

func deposit(ctx context.Context, cfg *consent.Config, kept []byte, send func(head []byte, proof *consent.Consistency) error) error {
	head, err := cfg.Log.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if kept == nil { // the first
		return send(head, nil)
	}
	proof, err := cfg.Log.ProveConsistency(ctx, kept, head)
	if err != nil {
		return err
	}
	return send(head, proof)
}

// witness runs in another house. It keeps the newest head that it accepted.
func witness(kept, head []byte, proof *consent.Consistency, verifierKeys ...string) error {
	c := consent.Consistency{Older: kept, Newer: head, Hashes: proof.Hashes} // its own, not the sender's
	return c.Check(verifierKeys...)
}

func investigate(ctx context.Context, cfg *consent.Config, patients iter.Seq[string], found time.Time) (string, error) {
	report, err := cfg.Investigate(ctx, consent.Incident{Actor: "dr-stolen", Found: found}, patients)
	if err != nil {
		return "", err
	}
	return report.Text(consent.Indonesian), nil // report.NotifyBy, report.Patients; or as JSON
}

func attribute(ctx context.Context, cfg *consent.Config, patients iter.Seq[string], leaked []pseudo.Token) (*consent.Report, error) {
	return cfg.Investigate(ctx, consent.Incident{Leaked: leaked, Suspects: []string{"ui-2026", "itb-2026"}}, patients)
}

// A sending is one sender's credential under one version of the inbox's keyset.
type sending struct {
	sender  string
	version uint32
}

var errCutOff = errors.New("the sender is cut off")

func acceptUnless(ctx context.Context, tx *sql.Tx, patients *consent.Records[Patient], inbox *envelope.Inbox, item envelope.Item, cutOff map[sending]bool) (*consent.Accepted[Patient], error) {
	got, err := patients.Accept(ctx, tx, inbox, item)
	if err != nil {
		return nil, err
	}
	if cutOff[sending{got.Sender, got.Version}] {
		return nil, errCutOff // roll tx back, and keep the item as evidence
	}
	return got, nil
}

func cutOffForGood(ctx context.Context, ring *keyring.Ring, inbox *envelope.Inbox, others map[string]string) error {
	if _, err := ring.Rotate(ctx, "inbox/branches"); err != nil {
		return err
	}
	for sender, path := range others { // all but the one that is cut off
		if err := inbox.Enrol(ctx, sender, path); err != nil {
			return err
		}
	}
	return nil
}

func suspend(ctx context.Context, ring *keyring.Ring, keyset string, version uint32) error {
	ks, err := ring.Keyset(ctx, keyset)
	if err != nil {
		return err
	}
	if ks.Primary() == version { // what is in use cannot be suspended
		if _, err := ring.Rotate(ctx, keyset); err != nil {
			return err
		}
	}
	return ring.SetState(ctx, keyset, version, keyring.Suspended)
}

// TestDeployDay does what docs/DEPLOY.md tells to do.
func TestDeployDay(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t)
	cfg, db := h.officer(t, "test")
	privacy, privacyDB := h.start(t, "privacy") // it has no key of a compartment
	patients, err := consent.NewRecords[Patient]("patient", cfg)
	require.NoError(t, err)
	names := []string{"p-1", "p-2", "p-3"}
	for _, id := range names {
		row, err := patients.Seal(ctx, &Patient{ID: id, NIK: "9271060312000001", Sex: "male"}, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
		require.NoError(t, err)
		exec(t, db, `INSERT INTO patients VALUES ($1, $2, $3)`, id, row.Sealed, row.Tokens["NIK"].Bytes())
		_, err = cfg.Give(ctx, consent.Consent{Subject: id, Purposes: []consent.Purpose{consent.Treatment, consent.Research}})
		require.NoError(t, err)
	}

	t.Run("witness", func(t *testing.T) {
		var kept []byte
		key, err := cfg.Log.VerifierKey(ctx)
		require.NoError(t, err)
		send := func(head []byte, proof *consent.Consistency) error {
			if kept != nil {
				require.NoError(t, witness(kept, head, proof, key))
				require.ErrorIs(t, witness(head, kept, proof, key), consent.ErrTampered)
			}
			kept = head
			return nil
		}
		require.NoError(t, deposit(ctx, cfg, nil, send))
		require.NoError(t, patients.Open(ctx, &Patient{ID: "p-1"}, row(t, db, "p-1"), consent.Request{Purpose: consent.Treatment, Actor: "dr-stolen"}))
		older := kept
		require.NoError(t, deposit(ctx, cfg, kept, send))
		require.NotEqual(t, older, kept)
		require.NoError(t, cfg.Log.Extends(ctx, older))
	})
	t.Run("guard", func(t *testing.T) {
		var pages []string
		limited := *cfg
		limited.Guard.People = consent.Limit{Hour: 1}
		alerting(&limited, func(what string) { pages = append(pages, what) })
		few, err := consent.NewRecords[Patient]("patient", &limited)
		require.NoError(t, err)
		require.NoError(t, few.Open(ctx, &Patient{ID: "p-1"}, row(t, db, "p-1"), consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}))
		require.ErrorIs(t, few.Open(ctx, &Patient{ID: "p-2"}, row(t, db, "p-2"), consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}), consent.ErrDenied)
		require.Len(t, pages, 1)
		require.Contains(t, pages[0], "dr-ayu: 1 patients in an hour")
	})
	t.Run("review", func(t *testing.T) {
		urgent := *cfg
		urgent.Policy.Emergency = consent.Emergency{Roles: []string{"doctor"}, For: time.Hour, Compartments: []string{"clinical", "identity"}}
		urgent.Roles = map[string][]string{"doctor": {"clinical", "identity"}}
		wards, err := consent.NewRecords[Patient]("patient", &urgent)
		require.NoError(t, err)
		_, err = cfg.Give(ctx, consent.Consent{Subject: "p-2", ID: "no", Purposes: []consent.Purpose{consent.Treatment}, Refused: true})
		require.NoError(t, err)
		urgent.Policy.Emergency.OverRefusals = true
		require.NoError(t, wards.Open(ctx, &Patient{ID: "p-2"}, row(t, db, "p-2"), consent.Request{
			Purpose: consent.BreakGlass, Actor: "dr-budi", Role: "doctor", Justification: "unconscious",
			Fulfils: []consent.Obligation{"NOPERSISTP"},
		}))
		late, err := overdue(ctx, privacy, time.Now())
		require.NoError(t, err)
		require.Empty(t, late)
		late, err = overdue(ctx, privacy, time.Now().Add(25*time.Hour))
		require.NoError(t, err)
		require.Len(t, late, 1)
		require.NoError(t, privacy.Review(ctx, consent.Review{Decision: late[0].Decision, By: "head-1", Justified: true}))
	})
	t.Run("incident", func(t *testing.T) {
		found := time.Date(2026, 3, 3, 8, 0, 0, 0, time.FixedZone("WIB", 7*60*60))
		text, err := investigate(ctx, privacy, slices.Values(names), found)
		require.NoError(t, err)
		require.Contains(t, text, "p-1")
		require.NotContains(t, text, "p-3")
		require.Contains(t, text, "2026-03-06 08:00:00 +07:00")

		table, err := patients.Export(ctx, rows(t, db), consent.Request{Purpose: consent.Research, Actor: "analyst-1", Recipient: "ui-2026", Gate: consent.Gate{Ungated: "a test"}})
		require.NoError(t, err)
		var leaked []pseudo.Token
		for cells, err := range table.Rows() {
			require.NoError(t, err)
			token, err := pseudo.ParseToken(cells[0].(string))
			require.NoError(t, err)
			leaked = append(leaked, token)
		}
		report, err := attribute(ctx, cfg, slices.Values(names), leaked)
		require.NoError(t, err)
		require.Equal(t, "ui-2026", report.Domains[0].Recipient)
		require.Equal(t, len(leaked), report.Domains[0].Explained)
	})
	t.Run("sender", func(t *testing.T) {
		inbox, err := envelope.NewInbox("branches", cfg.Ring)
		require.NoError(t, err)
		require.NoError(t, inbox.Enrol(ctx, "branch-2", h.path("stolen")))
		require.NoError(t, register(ctx, db, h.path("stolen"), &Patient{ID: "p-9", Sex: "male"}))
		var item envelope.Item
		require.NoError(t, db.QueryRowContext(ctx, `SELECT item FROM arrivals`).Scan((*[]byte)(&item)))
		try := func(cutOff map[sending]bool) error {
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback()) }()
			_, err = acceptUnless(ctx, tx, patients, inbox, item, cutOff)
			return err
		}
		require.NoError(t, try(nil))
		ks, err := cfg.Ring.Keyset(ctx, "inbox/branches")
		require.NoError(t, err)
		require.ErrorIs(t, try(map[sending]bool{{"branch-2", ks.Primary()}: true}), errCutOff)
		require.NoError(t, cutOffForGood(ctx, cfg.Ring, inbox, map[string]string{"branch-3": h.path("new")}))
		require.NoError(t, try(nil), "until the old version is suspended")
		require.NoError(t, suspend(ctx, cfg.Ring, "inbox/branches", ks.Primary()))
		require.ErrorIs(t, try(nil), envelope.ErrOpen)
	})
	t.Run("suspend", func(t *testing.T) {
		ks, err := cfg.Ring.Keyset(ctx, "clinical")
		require.NoError(t, err)
		old := ks.Primary()
		require.NoError(t, suspend(ctx, cfg.Ring, "clinical", old))
		_, err = cfg.Ring.Subject(ctx, "p-3", "clinical")
		require.ErrorIs(t, err, keyring.ErrUnknownVersion)
		require.NoError(t, cfg.Ring.SetState(ctx, "clinical", old, keyring.Deactivated))
		_, err = cfg.Ring.Subject(ctx, "p-3", "clinical")
		require.NoError(t, err)
	})
	t.Run("endings", func(t *testing.T) {
		_, err := retain(ctx, privacy, "p-3", "clerk-1", time.Now().AddDate(25, 0, 0))
		require.ErrorIs(t, err, keyring.ErrKEK, "it takes the keys of every compartment")
		lent, lentDB := h.officer(t, "privacy")
		receipt, err := retain(ctx, lent, "p-3", "clerk-1", time.Now().AddDate(25, 0, 0))
		require.NoError(t, err)
		require.NotEmpty(t, receipt.Remains)
		_, err = erase(ctx, lent, lentDB, "p-3", "clerk-1")
		require.ErrorIs(t, err, keyring.ErrRetained)
		_, err = erase(ctx, privacy, privacyDB, "p-2", "clerk-1")
		require.NoError(t, err)
		_, err = erase(ctx, privacy, privacyDB, "p-22", "clerk-1")
		require.ErrorIs(t, err, keyring.ErrNoSubjectKey)
	})
}

// officer is whoever has every key, such as the owner on the day of an incident.
func (h *house) officer(t *testing.T, role string) (*consent.Config, *sql.DB) {
	all := slices.Concat(shared, keysets["clinic"], keysets["research"])
	ring, err := keyring.Open(t.Context(), h.config(t, role, all))
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	cfg, err := open(t.Context(), ring, h.pool(t, role, "consent"))
	require.NoError(t, err)
	return cfg, h.pool(t, role, "app")
}

// TestDeployIsThePage keeps the page's snippets what the tests do, and its SQL
// what they ran.
func TestDeployIsThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/DEPLOY.md")
	require.NoError(t, err)
	indent := regexp.MustCompile(`(?m)^\t+`)
	code := map[string]string{"sql": grants}
	for _, name := range []string{"deploy_test.go", "house_test.go", "services_test.go"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		code["go"] += indent.ReplaceAllString(string(text), "")
	}
	found := map[string]int{}
	for _, s := range regexp.MustCompile("(?s)```(go|sql)\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		if !strings.Contains(code[s[1]], indent.ReplaceAllString(s[2], "")) {
			t.Errorf("a snippet that no test runs:\n%s", s[2])
		}
		found[s[1]]++
	}
	require.GreaterOrEqual(t, found["go"], 8)
	for _, statement := range strings.Split(strings.TrimSpace(grants), "\n") {
		if !strings.Contains(string(page), statement) {
			t.Errorf("a statement that the page does not have: %s", statement)
		}
	}
}
