package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/keyring"
)

// Each test here breaks a clinic in one way, and demands that the chapter which
// should notice fails, by the name of its check.

// sealedStory is a story of six of the patients, hero and leaver among them,
// after its first chapter.
func sealedStory(t *testing.T) *story {
	t.Helper()
	dir := t.TempDir()
	c, err := openClinic(context.Background(), filepath.Join(dir, "clinic"))
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := c.close(); !errors.Is(err, consent.ErrTampered) { // closing tells too, where the log was cut
			require.NoError(t, err)
		}
	})
	s := &story{screen: newScreen(io.Discard), dir: dir, clinic: c}
	s.bundles = slices.Clone(mustLoad(t)[45:51])
	s.list, s.short = secrets(s.bundles)
	s.thief = newThief(s.list)
	require.NoError(t, s.seal(context.Background()))
	return s
}

// exec changes a database behind everybody's back.
func exec(t *testing.T, file, statement string, args ...any) {
	t.Helper()
	db, err := openSQLite(file)
	require.NoError(t, err)
	done, err := db.Exec(statement, args...)
	require.NoError(t, err)
	n, err := done.RowsAffected()
	require.NoError(t, err)
	require.NotZero(t, n, "the sabotage changed nothing")
	require.NoError(t, db.Close())
}

func TestSaboteurStoreKeepsPlaintext(t *testing.T) {
	ctx := context.Background()
	plain := func(s *story) []byte {
		text, err := json.Marshal(s.patient(hero))
		require.NoError(t, err)
		return text
	}
	for name, sabotage := range map[string]func(*story){
		"beside the row": func(s *story) {
			_, err := s.clinic.db.Exec(`ALTER TABLE patients ADD COLUMN note BLOB`)
			require.NoError(t, err)
			exec(t, s.clinic.file("app.db"), `UPDATE patients SET note = ? WHERE id = ?`, plain(s), hero)
		},
		"in hex, in place of the row": func(s *story) {
			exec(t, s.clinic.file("app.db"), `UPDATE conditions SET sealed = ? WHERE patient = ?`, hex.EncodeToString(plain(s)), hero)
		},
		"in a log file": func(s *story) {
			require.NoError(t, os.WriteFile(s.clinic.file("debug.log"), append([]byte("POST "), plain(s)...), 0o600))
		},
		"in a deleted row": func(s *story) {
			exec(t, s.clinic.file("app.db"), `INSERT INTO conditions VALUES ('x', 'x', ?)`, plain(s))
			exec(t, s.clinic.file("app.db"), `DELETE FROM conditions WHERE id = 'x'`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := sealedStory(t)
			sabotage(s)
			require.ErrorContains(t, s.steal(ctx), "the check that nothing of the input is in the stolen files failed")
		})
	}
}

func TestSaboteurUnkeyedTokens(t *testing.T) {
	sum := sha256.Sum256([]byte(mustLoad(t)[47].Patient.NIK))
	for name, token := range map[string]any{
		"raw":       sum[:],
		"cut":       sum[:16],
		"like ours": append([]byte{1, 0, 0, 0, 1}, sum[:16]...),
		"hex":       hex.EncodeToString(sum[:]),
		"hex, cut":  hex.EncodeToString(sum[20:]),
	} {
		t.Run(name, func(t *testing.T) {
			s := sealedStory(t)
			exec(t, s.clinic.file("app.db"), `UPDATE patients SET nik_token = ? WHERE id = ?`, token, hero)
			require.ErrorContains(t, s.guessTokens(context.Background()), "the check that no lookup token can be made without a key failed")
		})
	}
}

func TestSaboteurLedgerAlwaysPermits(t *testing.T) {
	ctx := context.Background()
	permit := func(s *story, purposes ...consent.Purpose) {
		_, err := s.clinic.cfg.Give(ctx, consent.Consent{Subject: hero, Purposes: purposes, Sensitivity: []consent.Label{"HIV"}})
		require.NoError(t, err)
	}
	s := sealedStory(t)
	permit(s, consent.Marketing)
	require.ErrorContains(t, s.open(ctx), "the check that marketing is refused failed")

	s = sealedStory(t)
	permit(s, consent.Research, consent.Treatment) // survives the withdrawal of what is for treatment first
	require.ErrorContains(t, s.withdraw(ctx), "the check that the record does not open after the withdrawal failed")

	s = sealedStory(t)
	s.clinic.cfg.Roles["laboratory"] = []string{"clinical", "identity"}
	require.ErrorContains(t, s.open(ctx), "the check that the laboratory gets the clinical fields and no identity failed")

	s = sealedStory(t)
	s.bundles[0].Patient.Serology = "as if tested"
	_, err := s.clinic.cfg.Give(ctx, consent.Consent{Subject: s.bundles[0].Patient.ID, Purposes: []consent.Purpose{consent.Treatment}, Sensitivity: []consent.Label{"HIV"}})
	require.NoError(t, err)
	require.ErrorContains(t, s.openSensitive(ctx), "the check that an HIV result is seen if the consent names it, and only then failed")
}

func TestSaboteurLogDropsEntries(t *testing.T) {
	ctx := context.Background()
	const whole = "the check that the audit log is whole and has an entry for everything that was done failed"
	for name, where := range map[string]string{
		"first":   `seq = 0`,
		"between": `seq = (SELECT seq FROM consent_log WHERE seq > 0 ORDER BY seq LIMIT 1 OFFSET 5)`,
		"last":    `seq = (SELECT max(seq) FROM consent_log)`,
	} {
		t.Run(name, func(t *testing.T) {
			s := sealedStory(t)
			exec(t, s.clinic.file("consent.db"), `DELETE FROM consent_log WHERE `+where)
			require.Error(t, s.audit(ctx))
			_, err := checkLog(ctx, s.clinic.cfg.Log, s.clinic.acts.Load(), nil)
			require.ErrorIs(t, err, consent.ErrTampered)
		})
	}
	t.Run("an older log in its place", func(t *testing.T) {
		s := sealedStory(t)
		older := filepath.Join(s.dir, "older.db")
		require.NoError(t, copyDatabase(ctx, s.clinic.file("consent.db"), older))
		require.NoError(t, s.find(ctx))
		kept, err := s.clinic.cfg.Log.Checkpoint(ctx)
		require.NoError(t, err)
		require.NoError(t, s.clinic.stop())
		require.NoError(t, replaceDatabase(s.clinic.file("consent.db"), older))
		if err := s.clinic.start(ctx); err != nil {
			require.ErrorIs(t, err, consent.ErrTampered) // the library may notice first
			return
		}
		require.ErrorContains(t, s.audit(ctx), whole)
		_, err = checkLog(ctx, s.clinic.cfg.Log, s.clinic.acts.Load(), kept)
		require.ErrorContains(t, err, "not the one that is kept outside")
	})
	t.Run("an act without an entry", func(t *testing.T) {
		s := sealedStory(t)
		s.clinic.acts.Add(1)
		require.ErrorContains(t, s.audit(ctx), whole)
	})
}

func TestSaboteurSwapsRowsAndTokens(t *testing.T) {
	ctx := context.Background()
	s := sealedStory(t)
	app, other := s.clinic.file("app.db"), s.bundles[0].Patient.ID
	exec(t, app, `UPDATE patients SET nik_token = (SELECT nik_token FROM patients WHERE id = ?) WHERE id = ?`, hero, other)
	require.ErrorContains(t, s.find(ctx), "the check that the NIK finds its patient and nobody else failed")

	s = sealedStory(t)
	exec(t, s.clinic.file("app.db"), `UPDATE patients SET phone_token = NULL WHERE id = ?`, hero)
	require.ErrorContains(t, s.find(ctx), "the check that a phone number finds its patient in every spelling failed")

	s = sealedStory(t)
	exec(t, s.clinic.file("app.db"), `UPDATE observations SET sealed = (SELECT sealed FROM observations LIMIT 1)`)
	require.ErrorContains(t, s.rotate(ctx), "the check that every record still opens as it was sealed failed")

	s = sealedStory(t)
	exec(t, s.clinic.file("app.db"), `DELETE FROM conditions`)
	require.ErrorContains(t, checkStored(ctx, s.clinic.db, sorted(s.bundles)), "conditions: 0 rows")
}

func TestSaboteurKeyLiesInTheFolder(t *testing.T) {
	ctx := context.Background()
	s := sealedStory(t)
	key, err := os.ReadFile(s.clinic.folder + ".key")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "stolen.key"), key, 0o600))
	require.ErrorContains(t, s.steal(ctx), "the check that the folder does not open under another key failed: without a key file: it opened")
}

func TestSaboteurErasureThatIsNone(t *testing.T) {
	ctx := context.Background()
	s := sealedStory(t)
	_, err := s.openLeaver(ctx)
	require.ErrorContains(t, err, "the check that an erased patient's record does not open failed")
	require.Error(t, s.bringBackRows(ctx, filepath.Join(s.dir, "none.db"), 3), "an attack that did nothing proves nothing")
	backup := filepath.Join(s.dir, "backup.db")
	receipt, err := s.eraseLeaver(ctx)
	require.NoError(t, err)
	require.NoError(t, copyDatabase(ctx, s.clinic.file("keys.db"), backup)) // too late: it knows of the erasure
	err = s.bringBackFile(ctx, backup, len(receipt.Compartments))
	require.ErrorContains(t, err, "the check that the attack put an older key store back failed")
	require.NoError(t, s.clinic.start(ctx))
}

// TestSaboteurExport gives tables that a careless export would.
func TestSaboteurExport(t *testing.T) {
	ctx := context.Background()
	s := sealedStory(t)
	require.NoError(t, s.clinic.cfg.AddRecipient(ctx, "university-2026"))
	good := func() *exported {
		e, err := s.exportTo(ctx, "university-2026")
		require.NoError(t, err)
		return e
	}
	direct := directIdentifiers(s.list)
	a, b := good(), good()
	require.NoError(t, checkLeftOut(a, len(s.bundles)))
	require.NoError(t, checkYears(a, s.patient))
	_, err := checkNoIdentifiers(a, direct)
	require.NoError(t, err)
	shared, err := checkUnlinked(a, b)
	require.ErrorContains(t, err, "in both tables", "one recipient's pseudonyms are the same each time")
	require.Equal(t, len(a.rows), shared)

	p := s.patient(hero)
	for _, value := range []string{p.Name, p.NIK, p.Phone, p.Address, p.Born.Format("2006-01-02"), p.ID} {
		c := *a
		c.csv = []byte(string(a.csv) + "x," + value + "\n")
		found, err := checkNoIdentifiers(&c, direct)
		require.Error(t, err)
		require.Positive(t, found)
		require.NotContains(t, err.Error(), value)
	}
	born := slices.Index(a.head, "Born")
	for _, value := range []string{p.Born.Format("2006-01-02"), "", "0000", "1066 or earlier", p.Born.AddDate(1, 0, 0).Format("2006")} {
		c := good()
		c.rows[slices.Index(c.subjects, p.ID)][born] = value
		require.Error(t, checkYears(c, s.patient), value)
	}
	require.Error(t, checkYears(&exported{}, s.patient))
	c := good()
	c.rows = c.rows[1:]
	require.Error(t, checkLeftOut(c, len(s.bundles)))
	require.Error(t, checkLeftOut(a, len(s.bundles)+1))
}

func TestSaboteurTablesThatCanBeJoined(t *testing.T) {
	table := func(subjects string, pseudonyms string) *exported {
		e := &exported{head: []string{"pseudonym"}, subjects: strings.Split(subjects, "")}
		for p := range strings.SplitSeq(pseudonyms, "") {
			e.rows = append(e.rows, []string{p})
		}
		return e
	}
	a := table("abcdefghij", "0123456789")
	_, err := checkUnlinked(a, table("jihgfedcba", "klmnopqrst"))
	require.NoError(t, err)
	for name, b := range map[string]*exported{
		"one pseudonym in both":       table("jihgfedcba", "klmnopqrs0"),
		"two patients, one pseudonym": table("jihgfedcba", "kkmnopqrst"),
		"the same order":              table("abcdefghij", "klmnopqrst"),
		"no rows":                     {head: []string{"pseudonym"}},
	} {
		_, err := checkUnlinked(a, b)
		require.Error(t, err, name)
	}
}

// TestSaboteurAnswers gives the checks of answers every wrong answer.
func TestSaboteurAnswers(t *testing.T) {
	other := errors.New("something else")
	denied := &consent.DeniedError{Reason: consent.NoConsent}
	for _, err := range []error{nil, other, denied} {
		require.Error(t, checkMismatch(err))
		require.Error(t, checkErased(err))
		require.Error(t, checkTampered(err, 3))
		require.Error(t, checkRefused(err, consent.Ended))
	}
	require.NoError(t, checkMismatch(consent.ErrTokenMismatch))
	require.NoError(t, checkErased(keyring.ErrShredded))
	require.NoError(t, checkRefused(denied, consent.NoConsent))
	require.Error(t, checkRefused(consent.ErrDenied, consent.NoConsent))
	require.ErrorContains(t, checkTampered(consent.ErrTampered, 3), "another entry")
	require.Error(t, checkNewer(1, 1))
	require.Error(t, checkNewer(2, 0))
	require.NoError(t, checkNewer(2, 1))
	require.Error(t, checkCompleted(0, 0))
	require.Error(t, checkCompleted(2, 3))
	require.Error(t, checkFound(nil, "a"))
	require.Error(t, checkFound([]patientRow{{ID: "b"}}, "a"))
	require.Error(t, checkFound([]patientRow{{ID: "a"}, {ID: "a"}}, "a"))
	require.Error(t, checkNothingFound(loot{}), "an empty folder proves nothing")
	_, _, err := checkTokensKeyed(nil, []string{"1"})
	require.Error(t, err)

	p := mustLoad(t)[47].Patient
	changed := p
	changed.Notes = "Something else"
	err = checkSame(changed, p)
	require.EqualError(t, err, "field Notes is not what was sealed")
	require.NoError(t, checkSame(p, p))

	hiv := &consent.WithheldError{Fields: []consent.Withheld{{Field: "Serology", Reason: consent.NoConsent}}}
	require.Error(t, checkSerology(p, p, hiv, false), "withheld, and yet there")
	require.Error(t, checkSerology(p, p, nil, false), "not withheld")
	require.Error(t, checkSerology(p, p, hiv, true), "withheld against the consent")
	require.Error(t, checkLaboratory(p, p, nil))
	require.Error(t, checkLaboratory(p, p, hiv))
}

// TestSaboteurSearchIsBlind gives the search a list that lacks what is secret.
func TestSaboteurSearchIsBlind(t *testing.T) {
	list, _ := secrets(mustLoad(t))
	found, err := checkSearchFinds(newThief(list), list, t.TempDir())
	require.NoError(t, err)
	require.Equal(t, len(list), found)
	for _, blind := range []*thief{newThief(nil), newThief(list[1:])} {
		found, err := checkSearchFinds(blind, list, t.TempDir())
		require.ErrorContains(t, err, "is not found")
		require.Less(t, found, len(list))
	}
}

// TestSaboteurHistory gives the check proofs that prove something else.
func TestSaboteurHistory(t *testing.T) {
	ctx := context.Background()
	s := sealedStory(t)
	log := s.clinic.cfg.Log
	history, err := log.History(ctx, hero)
	require.NoError(t, err)
	verifier, err := log.VerifierKey(ctx)
	require.NoError(t, err)
	kept, err := log.Checkpoint(ctx)
	require.NoError(t, err)
	require.NoError(t, checkHistory(ctx, log, history, hero, verifier, kept))
	require.Error(t, checkHistory(ctx, log, nil, hero, verifier, kept))
	require.Error(t, checkHistory(ctx, log, history, leaver, verifier, kept))

	other := sealedStory(t)
	foreign, err := other.clinic.cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	require.ErrorIs(t, checkHistory(ctx, log, history, hero, foreign, kept), consent.ErrTampered)

	require.NoError(t, s.withdraw(ctx))
	require.ErrorContains(t, checkHistory(ctx, log, history, hero, verifier, kept), "another checkpoint")
}
