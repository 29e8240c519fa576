package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// writeGolden writes the folder of a new version: a clinic in which everything
// that has a format was done once.
func writeGolden(t *testing.T, ctx context.Context, dir string) {
	h := openGoldenHouse(t, ctx, dir, true)
	f := &frozen{Patients: goldenPatients(), Rows: map[string]envelope.Sealed{}, Tokens: map[string]map[string]pseudo.Token{}, NIKs: map[string]pseudo.Token{}, Consents: map[string][]consent.Consent{}}
	require.NoError(t, h.cfg.AddRecipient(ctx, "ui-2026"))
	h.freezeConsents(t, ctx, f)
	h.freezeRows(t, ctx, f)
	h.freezeLoose(t, ctx, dir, f)
	h.freezeActs(t, ctx, f)
	h.freezeLog(t, ctx, f)
	freezeFiles(t, ctx, dir)
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, "export.key"))
	require.NoError(t, err)
	export, err := h.cfg.Ring.Export(ctx, kek)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ring.export"), export, 0o644))
	require.NoError(t, h.cfg.Close())
	text, err := json.MarshalIndent(f, "", "\t")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "frozen.json"), text, 0o644))
}

func (h *goldenHouse) freezeConsents(t *testing.T, ctx context.Context, f *frozen) {
	give := func(c consent.Consent) {
		_, err := h.cfg.Give(ctx, c)
		require.NoError(t, err)
	}
	labels := []consent.Label{"HIV", "PSY"}
	for _, p := range f.Patients {
		give(consent.Consent{ID: "care", Subject: p.ID, Purposes: []consent.Purpose{consent.Treatment}, Sensitivity: labels, Recorder: "clerk"})
		give(consent.Consent{Subject: p.ID, Purposes: []consent.Purpose{consent.Research}})
	}
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	give(consent.Consent{ // every attribute that the ledger keeps
		ID: "all", Subject: "p-1", Purposes: []consent.Purpose{consent.Payment, consent.Operations}, Actors: []string{"bpjs"}, Roles: []string{"payer"},
		Actions: []consent.Action{consent.Access, consent.Disclose}, Confidentiality: consent.Restricted, Sensitivity: labels, Obligations: []consent.Obligation{consent.Deidentify},
		Data: consent.Selection{Types: []string{"visit"}, Records: []string{"v-1"}, Authors: []string{"dr-ayu"}, Related: []string{"enc-1"}, From: day, Until: day.AddDate(1, 0, 0)},
		From: day, Until: day.AddDate(2, 0, 0), Except: []consent.Rule{{Refused: true, Actors: []string{"claims-2"}, From: day}},
		GivenBy: &consent.Representative{ID: "mother-1", Relation: "MTH", Until: day.AddDate(5, 0, 0)}, Recorder: "clerk",
	})
	give(consent.Consent{ID: "none", Subject: "p-2", Purposes: []consent.Purpose{consent.Marketing}, Refused: true})
	give(consent.Consent{ID: "halt", Subject: "p-2", Purposes: []consent.Purpose{consent.Operations}, Refused: true, Hold: true})
	give(consent.Consent{ID: "care-2", Subject: "p-2", Purposes: []consent.Purpose{consent.Treatment}, Sensitivity: labels, Supersedes: "care"})
	require.NoError(t, h.cfg.Withdraw(ctx, "p-2", "none", "clerk"))
	require.NoError(t, h.cfg.EndRepresentation(ctx, "p-1", "mother-1", "clerk"))
}

func (h *goldenHouse) freezeRows(t *testing.T, ctx context.Context, f *frozen) {
	for i := range f.Patients {
		row, err := h.patients.Seal(ctx, &f.Patients[i], goldenTag)
		require.NoError(t, err)
		f.Rows[f.Patients[i].ID], f.Tokens[f.Patients[i].ID] = row.Sealed, row.Tokens
		if a := row.Unique["NIK"][0]; a.Valid {
			f.NIKs[f.Patients[i].ID] = a.V
		}
	}
	f.Older = f.Rows["p-1"]
	for _, name := range []string{"identity", "clinical"} { // a keyset with two versions
		_, err := h.cfg.Ring.Rotate(ctx, name)
		require.NoError(t, err)
	}
	_, err := h.cfg.Ring.Rewrap(ctx, keyring.Rewrapping{})
	require.NoError(t, err)
	f.Patients[0].Story = "Wheezing at night, and on stairs."
	row, err := h.patients.Update(ctx, f.Older, &f.Patients[0], goldenDoctor, "Story")
	require.NoError(t, err)
	f.Rows["p-1"] = row.Sealed
}

// freezeLoose freezes what is bytes of its own: an object, a message, what a
// branch sent, reversible tokens and digits.
func (h *goldenHouse) freezeLoose(t *testing.T, ctx context.Context, dir string, f *frozen) {
	f.Object = bytes.Repeat([]byte("ECG "), 5000) // two chunks
	var sealed bytes.Buffer
	w, err := h.objects.Create(ctx, "p-1", &sealed, envelope.ObjectOptions{})
	require.NoError(t, err)
	_, err = w.Write(f.Object)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	object, err := w.Object()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "object.sealed"), sealed.Bytes(), 0o644))
	f.Visits = []goldenVisit{{ID: "v-1", Patient: "p-1", At: goldenVisitAt, Notes: "Peak flow 310.", ECG: object}}
	row, err := h.visits.Seal(ctx, &f.Visits[0], goldenTag)
	require.NoError(t, err)
	f.Rows["v-1"] = row.Sealed

	f.Message, err = h.topic.Seal(ctx, "p-1", []byte("a result"))
	require.NoError(t, err)
	require.NoError(t, h.inbox.Enrol(ctx, "branch-2", filepath.Join(dir, "branch.credential")))
	to, err := envelope.OpenIntake(filepath.Join(dir, "branch.credential"))
	require.NoError(t, err)
	intake, err := consent.NewIntake[goldenVisit]("visit", to)
	require.NoError(t, err)
	f.Item, err = intake.Seal(&goldenVisit{ID: "v-2", Patient: "p-2", At: goldenVisitAt, Notes: "From the branch."}, goldenTag)
	require.NoError(t, err)

	f.Reversible, f.Digits = map[string]pseudo.ReversibleToken{}, map[string]string{}
	for _, p := range f.Patients[:3] {
		f.Reversible[p.NIK], err = h.numbers.Token(ctx, pseudo.NIK, p.NIK)
		require.NoError(t, err)
		f.Digits[p.NIK], err = h.numbers.Digits(ctx, pseudo.NIK, p.NIK)
		require.NoError(t, err)
	}
}

// freezeActs does what leaves entries in the log.
func (h *goldenHouse) freezeActs(t *testing.T, ctx context.Context, f *frozen) {
	for i := range f.Patients {
		require.NoError(t, h.patients.Open(ctx, &goldenPatient{ID: f.Patients[i].ID}, f.Rows[f.Patients[i].ID], goldenDoctor))
	}
	require.Error(t, h.patients.Open(ctx, &goldenPatient{ID: "p-2"}, f.Rows["p-2"], consent.Request{Purpose: consent.Marketing, Actor: "ads", Role: "study"}))
	_, err := h.patients.Lookup(ctx, "NIK", f.Patients[0].NIK, goldenDoctor)
	require.NoError(t, err)
	emergency := consent.Request{Purpose: consent.EmergencyTreatment, Actor: "dr-bima", Role: "doctor", Justification: "unconscious in the corridor", Fulfils: []consent.Obligation{"NOPERSISTP"}}
	require.NoError(t, h.visits.Open(ctx, &goldenVisit{ID: "v-1", Patient: "p-1"}, f.Rows["v-1"], emergency))
	for cells := range h.study(t, ctx, f) {
		f.Pseudonyms = append(f.Pseudonyms, cells[0])
	}
	f.Older1, err = h.cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	_, err = h.cfg.Erase(ctx, "p-3", "dpo")
	require.NoError(t, err)
	_, err = h.cfg.Retain(ctx, "p-4", "dpo", keyring.Retention{Until: time.Date(2051, 11, 1, 0, 0, 0, 0, time.UTC), Basis: "Permenkes 24/2022 art. 39"})
	require.NoError(t, err)
	f.Erased, f.Retained, f.Patients = "p-3", "p-4", f.Patients[:2]
}

// study reads the research table.
func (h *goldenHouse) study(t *testing.T, ctx context.Context, f *frozen) iter.Seq[[]any] {
	table, err := h.patients.Export(ctx, func(yield func(*goldenPatient, envelope.Sealed) bool) {
		for _, id := range []string{"p-1", "p-2"} {
			if !yield(&goldenPatient{ID: id}, f.Rows[id]) {
				return
			}
		}
	}, goldenStudy)
	require.NoError(t, err)
	return func(yield func([]any) bool) {
		for cells, err := range table.Rows() {
			require.NoError(t, err)
			if !yield(cells) {
				return
			}
		}
	}
}

func (h *goldenHouse) freezeLog(t *testing.T, ctx context.Context, f *frozen) {
	var err error
	for _, p := range f.Patients {
		f.Consents[p.ID], err = h.cfg.Ledger.Of(ctx, p.ID)
		require.NoError(t, err)
	}
	f.Receipt, err = h.cfg.Receipt(ctx, "p-1", "all", "clerk", goldenNotice())
	require.NoError(t, err)
	f.ReceiptKey, err = h.cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	f.Checkpoint, err = h.cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	f.Verifier, err = h.cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	proof, err := h.cfg.Log.Prove(ctx, 5)
	require.NoError(t, err)
	f.Proof = *proof
	between, err := h.cfg.Log.ProveConsistency(ctx, f.Older1, f.Checkpoint)
	require.NoError(t, err)
	f.Between = *between
	f.Entries = entries(t, h.cfg.Log.Entries(ctx, consent.Filter{}))
	f.History, err = h.cfg.Log.History(ctx, "p-1")
	require.NoError(t, err)
	f.Extract, err = h.cfg.Log.Extract(ctx, "p-1")
	require.NoError(t, err)
}

func entries(t *testing.T, all iter.Seq2[consent.Entry, error]) (list []consent.Entry) {
	for e, err := range all {
		require.NoError(t, err)
		list = append(list, e)
	}
	return list
}

// freezeFiles makes a ring, a ledger and a log that lie in files.
func freezeFiles(t *testing.T, ctx context.Context, dir string) {
	_, err := keyring.CreateKeyFile(filepath.Join(dir, "files.key"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "files"), 0o700))
	cfg := openFiles(t, ctx, dir, func(ctx context.Context, c keyring.Config) (*keyring.Ring, error) {
		ring, err := keyring.Create(ctx, "files", c)
		require.NoError(t, err)
		for _, name := range []string{"audit", "consent/ledger", "consent/log"} {
			require.NoError(t, ring.CreateKeyset(ctx, name))
		}
		return ring, nil
	})
	visits, err := consent.NewRecords[goldenVisit]("visit", cfg)
	require.NoError(t, err)
	_, err = cfg.Give(ctx, consent.Consent{Subject: "p-7", Purposes: []consent.Purpose{consent.Treatment}})
	require.NoError(t, err)
	row, err := visits.Seal(ctx, &goldenVisit{ID: "v-7", Patient: "p-7", At: goldenVisitAt, Notes: "In files."}, goldenTag)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "files.row"), row.Sealed, 0o600))
	require.NoError(t, visits.Open(ctx, &goldenVisit{ID: "v-7", Patient: "p-7"}, row.Sealed, consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}))
	_, err = cfg.Log.Checkpoint(ctx) // the entries have their places
	require.NoError(t, err)
	require.NoError(t, cfg.Ring.Close())
}

func goldenNotice() consent.Notice {
	return consent.Notice{
		URI: "https://clinic.example/privacy", Text: "We treat you, and say who looked.", Language: consent.English, Controllers: []consent.Party{{ID: "clinic", Name: "Klinik Rahasia", Address: "Jl. Contoh 1, Jakarta", Contact: "dpo@clinic.example", Type: "clinic"}},
		Information: []string{"diagnoses"}, Storage: []string{"Indonesia"}, Retention: "25 years", Withdrawal: "at the desk", Jurisdiction: "ID",
	}
}
