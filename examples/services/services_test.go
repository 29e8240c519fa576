package services

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

func TestServices(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t)
	clinic, clinicDB := h.start(t, "clinic")
	privacy, privacyDB := h.start(t, "privacy")

	// The patient consents at the privacy office; the branch registers, and can read nothing.
	for _, id := range []string{"p-1", "p-2"} {
		_, err := privacy.Give(ctx, consent.Consent{Subject: id, Purposes: []consent.Purpose{consent.Treatment, consent.Research}, Recorder: "clerk-1"})
		require.NoError(t, err)
	}
	inbox, err := envelope.NewInbox("branches", clinic.Ring)
	require.NoError(t, err)
	require.NoError(t, inbox.Enrol(ctx, "branch-2", h.path("branch-2.credential")))
	branchDB := h.pool(t, "intake", "app")
	require.NoError(t, register(ctx, branchDB, h.path("branch-2.credential"), &Patient{"p-1", "9271060312000001", "Ardianto Putra", "male", []string{"J45 Asthma"}}))
	require.NoError(t, register(ctx, branchDB, h.path("branch-2.credential"), &Patient{"p-2", "9204014804000002", "Claudia Sintia", "female", nil}))

	exec(t, h.pool(t, "test", "app"), `INSERT INTO arrivals SELECT item FROM arrivals`) // the queue delivers twice

	patients, err := consent.NewRecords[Patient]("patient", clinic)
	require.NoError(t, err)
	require.NoError(t, receive(ctx, clinicDB, patients, inbox))
	var n int
	require.NoError(t, clinicDB.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM patients) + 100 * (SELECT count(*) FROM arrivals)`).Scan(&n))
	require.Equal(t, 2, n)
	out := Patient{ID: "p-1"}
	require.NoError(t, patients.Open(ctx, &out, row(t, clinicDB, "p-1"), consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}))
	require.Equal(t, "Ardianto Putra", out.Name)
	_, err = clinic.Log.Checkpoint(ctx)
	require.NoError(t, err)

	t.Run("laboratory", func(t *testing.T) {
		laboratory, db := h.start(t, "laboratory")
		partly, err := consent.NewRecords[Patient]("patient", laboratory)
		require.NoError(t, err)
		out := Patient{ID: "p-1"}
		err = partly.Open(ctx, &out, row(t, db, "p-1"), consent.Request{Purpose: consent.Treatment, Actor: "lab-3"})
		var withheld *consent.WithheldError
		require.ErrorAs(t, err, &withheld)
		require.Equal(t, Patient{ID: "p-1", Diagnosis: []string{"J45 Asthma"}}, out)
		_, err = laboratory.Log.Checkpoint(ctx) // its entries have their places, which it may give
		require.NoError(t, err)

		require.NoError(t, send(ctx, db, laboratory.Ring, "p-1", []byte(`{"test":"FEV1","value":2.9}`)))
		subject, payload, err := next(ctx, clinicDB, clinic.Ring)
		require.NoError(t, err)
		require.Equal(t, "p-1", subject)
		require.JSONEq(t, `{"test":"FEV1","value":2.9}`, string(payload))
		_, err = laboratory.Give(ctx, consent.Consent{Subject: "p-1", Purposes: []consent.Purpose{consent.Marketing}, Recorder: "lab-3"})
		require.ErrorContains(t, err, "permission denied", "a laboratory writes no consents")
		_, err = laboratory.Erase(ctx, "p-1", "lab-3")
		require.ErrorIs(t, err, keyring.ErrNotGranted)
	})
	t.Run("research", func(t *testing.T) {
		research, db := h.start(t, "research")
		studied, err := consent.NewRecords[Patient]("patient", research)
		require.NoError(t, err)
		table, err := studied.Export(ctx, rows(t, db), consent.Request{
			Purpose: consent.Research, Actor: "analyst-1", Recipient: "ui-2026", Gate: consent.Gate{Ungated: "two patients of a test"},
		})
		require.NoError(t, err)
		require.Equal(t, []string{"pseudonym", "Sex", "Diagnosis"}, table.Columns)
		n := 0
		for cells, err := range table.Rows() {
			require.NoError(t, err)
			require.Equal(t, consent.Withheld{Field: "Sex", Reason: consent.KeyNotGranted}, cells[1], "it has no key of identity")
			n++
		}
		require.Equal(t, 2, n)
		_, err = research.Log.Checkpoint(ctx)
		require.NoError(t, err)
		_, _, err = next(ctx, clinicDB, research.Ring)
		require.ErrorIs(t, err, sql.ErrNoRows)
		_, err = research.Ring.Keyset(ctx, "topic/results")
		require.ErrorIs(t, err, keyring.ErrNotGranted)
	})
	t.Run("privacy", func(t *testing.T) {
		_, err := privacy.Ring.Keyset(ctx, "clinical")
		require.ErrorIs(t, err, keyring.ErrKEK, "the office that erases reads nothing")
		require.NoError(t, privacy.WithdrawAll(ctx, "p-1", "clerk-1"))
		err = patients.Open(ctx, &Patient{ID: "p-1"}, row(t, clinicDB, "p-1"), consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"})
		require.ErrorIs(t, err, consent.ErrDenied)
		history, err := privacy.Log.History(ctx, "p-1")
		require.NoError(t, err)
		require.NotEmpty(t, history)

		_, err = privacy.Erase(ctx, "p-1", "clerk-1")
		require.NoError(t, err)
		exec(t, privacyDB, `UPDATE patients SET nik_token = NULL WHERE id = $1`, "p-1")
		_, err = privacy.Log.Verify(ctx)
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			_, err := clinic.Ring.Subject(ctx, "p-1", "clinical")
			return err != nil
		}, 10*time.Second, 50*time.Millisecond)
		_, err = clinic.Ring.Subject(ctx, "p-1", "clinical")
		require.ErrorIs(t, err, keyring.ErrShredded)
	})
}

// TestGrants: what the grants leave out the database refuses, and they let do
// what no day of a test is sure to come to, such as an anchor.
func TestGrants(t *testing.T) {
	h := newHouse(t)
	t.Run("refused", func(t *testing.T) { refused(t, h) })
	t.Run("needed", func(t *testing.T) { needed(t, h) })
}

func refused(t *testing.T, h *house) {
	everybody := []string{
		`DELETE FROM keys.rahasia_keys`, `DELETE FROM keys.rahasia_head`, `UPDATE keys.rahasia_keysets SET wrapped = ''`, `DELETE FROM keys.rahasia_keysets`,
		`INSERT INTO keys.rahasia_keysets VALUES ('clinical', 1, 9, '', '')`, `UPDATE keys.rahasia_head SET one = 1`, `UPDATE keys.rahasia_schema SET version = 2`,
		`DELETE FROM consent.consent_ledger`, `UPDATE consent.consent_ledger SET body = ''`, `DELETE FROM consent.consent_log`,
		`UPDATE consent.consent_log SET leaves = ''`, `UPDATE consent.consent_log SET mac = ''`, `DELETE FROM consent.consent_log_hash`,
		`DELETE FROM consent.consent_log_head`, `TRUNCATE consent.consent_guard`, `CREATE TABLE consent.other ()`, `CREATE TABLE keys.other ()`,
	}
	own := map[string][]string{
		"intake": {
			`SELECT 1 FROM app.arrivals`, `SELECT 1 FROM app.patients`, `INSERT INTO app.patients VALUES ('p', '')`, `SELECT 1 FROM keys.rahasia_keys`,
			`SELECT 1 FROM consent.consent_log`, `SELECT 1 FROM consent.consent_ledger`,
		},
		"clinic": {
			`INSERT INTO consent.consent_ledger VALUES (1, 1, '', '', '', '')`, `UPDATE keys.rahasia_keys SET sealed = ''`,
			`DELETE FROM app.patients`, `DELETE FROM app.rahasia_accepted`, `INSERT INTO app.results VALUES ('')`,
		},
		"laboratory": {
			`INSERT INTO consent.consent_ledger VALUES (1, 1, '', '', '', '')`, `INSERT INTO keys.rahasia_keys (tag) VALUES (NULL)`,
			`SELECT nik_token FROM app.patients`, `UPDATE app.patients SET sealed = ''`, `SELECT 1 FROM app.arrivals`, `SELECT message FROM app.results`,
		},
		"research": {
			`INSERT INTO consent.consent_ledger VALUES (1, 1, '', '', '', '')`, `INSERT INTO keys.rahasia_keys (tag) VALUES (NULL)`,
			`SELECT nik_token FROM app.patients`, `UPDATE app.patients SET sealed = ''`, `SELECT message FROM app.results`,
		},
		"privacy": {`SELECT 1 FROM consent.consent_guard`, `SELECT sealed FROM app.patients`, `UPDATE app.patients SET sealed = ''`, `SELECT item FROM app.arrivals`, `SELECT message FROM app.results`},
	}
	for role, statements := range own {
		db := h.pool(t, role, "app")
		for _, statement := range append(statements, everybody...) {
			_, err := db.ExecContext(t.Context(), statement)
			require.ErrorContains(t, err, "permission denied", "%s: %s", role, statement)
		}
	}
}

func needed(t *testing.T, h *house) {
	for _, role := range []string{"clinic", "laboratory", "research", "privacy"} {
		for _, statement := range []string{
			`UPDATE keys.rahasia_head SET ring = ring, seq = seq, hash = hash WHERE ring = ''`,
			`UPDATE consent.consent_log SET seq = 1 WHERE id = 0 AND seq IS NULL`,
			`UPDATE consent.consent_log_head SET size = size, epoch = epoch, note = note, until = 0 WHERE size = -1`,
			`INSERT INTO consent.consent_log_hash (id, hashes) SELECT id, hashes FROM consent.consent_log_hash WHERE id = -1 ON CONFLICT (id) DO UPDATE SET hashes = excluded.hashes`,
		} {
			exec(t, h.pool(t, role, "public"), statement)
		}
		if role == "privacy" {
			continue
		}
		for _, statement := range []string{
			`DELETE FROM consent.consent_guard WHERE (who, what) IN (SELECT who, what FROM consent.consent_guard WHERE step < 0 FOR UPDATE SKIP LOCKED)`,
			`DELETE FROM consent.consent_guard_count WHERE (who, step) IN (SELECT who, step FROM consent.consent_guard_count WHERE step < 0 FOR UPDATE SKIP LOCKED)`,
			`UPDATE consent.consent_guard SET step = 0 WHERE step = -1`, `UPDATE consent.consent_guard_count SET n = 0 WHERE step = -1`,
		} {
			exec(t, h.pool(t, role, "public"), statement)
		}
	}
}

// TestLimit: what no grant can keep from whoever can unwrap the control keyset
// and write the journal. The database refuses to overwrite the keys, and until a
// role that may has done it refuses the service the rest.
func TestLimit(t *testing.T) {
	ctx := t.Context()
	h := newHouse(t)
	privacy, _ := h.start(t, "privacy")
	_, err := privacy.Give(ctx, consent.Consent{Subject: "p-1", Purposes: []consent.Purpose{consent.Treatment}})
	require.NoError(t, err)
	thief, err := keyring.Open(ctx, h.config(t, "laboratory", shared)) // no Only
	require.NoError(t, err)
	defer thief.Close()
	_, err = thief.Shred(ctx, "p-1")
	require.ErrorContains(t, err, "permission denied")
	_, err = keyring.Open(ctx, h.config(t, "laboratory", shared))
	require.ErrorContains(t, err, "permission denied", "half-done, and it may not finish it")
	again, err := keyring.Open(ctx, h.config(t, "privacy", shared))
	require.NoError(t, err)
	defer again.Close()
	_, err = again.Subject(ctx, "p-1", "audit")
	require.ErrorIs(t, err, keyring.ErrShredded, "what the journal says counts")
	after, err := keyring.Open(ctx, h.config(t, "laboratory", shared))
	require.NoError(t, err)
	require.NoError(t, after.Close())
}

// register runs in the branch, which has a credential and no ring.
func register(ctx context.Context, db *sql.DB, credential string, p *Patient) error {
	to, err := envelope.OpenIntake(credential)
	if err != nil {
		return err
	}
	intake, err := consent.NewIntake[Patient]("patient", to)
	if err != nil {
		return err
	}
	item, err := intake.Seal(p, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO arrivals VALUES ($1)`, []byte(item))
	return err
}

// receive takes in what branches sent, each item in a transaction of its own.
func receive(ctx context.Context, db *sql.DB, patients *consent.Records[Patient], inbox *envelope.Inbox) error {
	for {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		err = receiveOne(ctx, tx, patients, inbox)
		if err == nil {
			err = tx.Commit()
		} else {
			_ = tx.Rollback()
		}
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return nil
		case errors.Is(err, envelope.ErrReplayed): // it came before: acknowledge
			_, err = db.ExecContext(ctx, `DELETE FROM arrivals WHERE ctid = (SELECT min(ctid) FROM arrivals)`)
		}
		if err != nil {
			return err
		}
	}
}

func receiveOne(ctx context.Context, tx *sql.Tx, patients *consent.Records[Patient], inbox *envelope.Inbox) error {
	var item []byte
	if err := tx.QueryRowContext(ctx, `DELETE FROM arrivals WHERE ctid = (SELECT min(ctid) FROM arrivals) RETURNING item`).Scan(&item); err != nil {
		return err
	}
	got, err := patients.Accept(ctx, tx, inbox, item)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO patients VALUES ($1, $2, $3)`, got.Record.ID, got.Sealed, got.Tokens["NIK"].Bytes())
	return err
}

// send puts a result into the queue that laboratory and clinic share. Whoever
// runs the broker reads neither whose it is nor what it says.
func send(ctx context.Context, db *sql.DB, ring *keyring.Ring, subject string, payload []byte) error {
	topic, err := envelope.NewTopic("results", ring)
	if err != nil {
		return err
	}
	message, err := topic.Seal(ctx, subject, payload)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO results VALUES ($1)`, []byte(message))
	return err
}

// next takes the next result out of the queue.
func next(ctx context.Context, db *sql.DB, ring *keyring.Ring) (subject string, payload []byte, err error) {
	topic, err := envelope.NewTopic("results", ring)
	if err != nil {
		return "", nil, err
	}
	var message []byte
	if err := db.QueryRowContext(ctx, `DELETE FROM results WHERE ctid = (SELECT min(ctid) FROM results) RETURNING message`).Scan(&message); err != nil {
		return "", nil, err
	}
	return topic.Open(ctx, message)
}

func row(t *testing.T, db *sql.DB, id string) (sealed envelope.Sealed) {
	require.NoError(t, db.QueryRowContext(t.Context(), `SELECT sealed FROM patients WHERE id = $1`, id).Scan(&sealed))
	return sealed
}

// rows are all patients in an order that says nothing.
func rows(t *testing.T, db *sql.DB) iter.Seq2[*Patient, envelope.Sealed] {
	return func(yield func(*Patient, envelope.Sealed) bool) {
		found, err := db.QueryContext(t.Context(), `SELECT id, sealed FROM patients ORDER BY random()`)
		require.NoError(t, err)
		defer found.Close()
		for found.Next() {
			p, sealed := &Patient{}, envelope.Sealed(nil)
			require.NoError(t, found.Scan(&p.ID, &sealed))
			if !yield(p, sealed) {
				return
			}
		}
		require.NoError(t, found.Err())
	}
}
