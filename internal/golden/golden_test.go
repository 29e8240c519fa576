package golden

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/dirstore"
	"github.com/rahasia/rahasia/keyring/sqlstore"
	"github.com/rahasia/rahasia/pseudo"
)

// The folder of each tagged version was written by that version and is never
// written again: go test ./internal/golden -run Golden -freeze v0.2.0 makes a new one.
var freeze = flag.String("freeze", "", "write the golden files of this new version")

// TestGolden: whatever a tagged version wrote, this one opens, and finds in it
// what that version put there.
func TestGolden(t *testing.T) {
	ctx := t.Context()
	if *freeze != "" {
		dir := filepath.Join("testdata", *freeze)
		require.NoError(t, os.Mkdir(dir, 0o755), "a frozen version is not written again")
		writeGolden(t, ctx, dir)
	}
	versions, err := filepath.Glob("testdata/*/frozen.json")
	require.NoError(t, err)
	require.NotEmpty(t, versions)
	for _, path := range versions {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) { openGolden(t, ctx, filepath.Dir(path)) })
	}
}

// goldenPatient has a field of each kind and of each way in which a value is
// written.
type goldenPatient struct {
	ID          string                        `phi:"subject" json:"id"`
	NIK         string                        `phi:"nik,lookup,unique" json:"nik"`
	BPJS        *string                       `phi:"bpjs,lookup" json:"bpjs"`
	Mother      string                        `phi:"nik-ibu" json:"mother"`
	Family      string                        `phi:"kk" json:"family"`
	MRN         string                        `phi:"mrn,lookup" json:"mrn"`
	Passport    string                        `phi:"passport" json:"passport"`
	Name        string                        `phi:"name" json:"name"`
	Phone       sql.NullString                `phi:"phone,lookup" json:"phone"`
	Contact     string                        `phi:"contact-phone" json:"contact"`
	Email       string                        `phi:"email,lookup" json:"email"`
	Born        time.Time                     `phi:"birthdate" json:"born"`
	Sex         string                        `phi:"sex" json:"sex"`
	Address     struct{ Street, City string } `phi:"address" json:"address"`
	Region      string                        `phi:"region" json:"region"`
	Diagnosis   []string                      `phi:"clinical" json:"diagnosis"`
	Onset       string                        `phi:"date" json:"onset"`
	Serology    string                        `phi:"clinical,label=HIV" json:"serology"`
	Counselling string                        `phi:"sensitive,label=PSY" json:"counselling"`
	Story       string                        `phi:"text" json:"story"`
	Weight      float64                       `json:"weight"`
	Visits      int64                         `json:"visits"`
	Smokes      *bool                         `json:"smokes"`
	Raw         []byte                        `json:"raw"`
	Readings    map[string]uint16             `json:"readings"`
	Genome      string                        `phi:"clinical,in=genetics,name=genes" json:"genome"`
	Clinic      string                        `phi:"clear" json:"clinic"`
}

// goldenVisit has a record id of its own, and a reference to an object.
type goldenVisit struct {
	ID      string          `phi:"record" json:"id"`
	Patient string          `phi:"subject" json:"patient"`
	At      time.Time       `phi:"date" json:"at"`
	Notes   string          `json:"notes"`
	ECG     envelope.Object `phi:"clinical" json:"ecg"`
}

// frozen is what a version put into its folder, in clear, beside what it wrote.
type frozen struct {
	Patients   []goldenPatient
	Visits     []goldenVisit
	Rows       map[string]envelope.Sealed // by id
	Older      envelope.Sealed            // of the first patient, before the keyset was rotated
	Tokens     map[string]map[string]pseudo.Token
	NIKs       map[string]pseudo.Token // of the column a
	Reversible map[string]pseudo.ReversibleToken
	Digits     map[string]string
	Message    envelope.Message
	Item       envelope.Item // from a branch, not taken in yet
	Consents   map[string][]consent.Consent
	Entries    []consent.Entry
	History    []consent.Entry
	Checkpoint []byte
	Older1     []byte // an earlier checkpoint
	Proof      consent.Proof
	Between    consent.Consistency
	Verifier   string
	Extract    []byte
	Receipt    []byte
	ReceiptKey []string
	Erased     string
	Retained   string
	Object     []byte // the object's bytes, in clear
	Pseudonyms []any  // of the research table
}

// patients, as the golden folder's clinic has them. The numbers are the
// government sandbox's.
func goldenPatients() []goldenPatient {
	bpjs, smokes := "0001234567890", false
	full := goldenPatient{
		ID: "p-1", NIK: "9271060312000001", BPJS: &bpjs, Mother: "9204014804000002", Family: "9271060312000009", MRN: "RS-7|000123", Passport: "ID|X1234567",
		Name: "Ardianto Putra", Phone: sql.NullString{String: "+6281000000001", Valid: true}, Contact: "+6281000000002", Email: "ardianto@example.org",
		Born: time.Date(1992, 1, 9, 0, 0, 0, 0, time.UTC), Sex: "male", Region: "9271", Diagnosis: []string{"J45 Asthma", "I10 Hypertension"}, Onset: "2019-07",
		Serology: "non-reactive", Counselling: "sleeps badly", Story: "Wheezing at night.", Weight: 71.25, Visits: -3, Smokes: &smokes, Raw: []byte{0, 1, 0xff},
		Readings: map[string]uint16{"systolic": 128, "diastolic": 84}, Genome: "rs334 A/A", Clinic: "Papua Barat",
	}
	full.Address.Street, full.Address.City = "Jalan Rekaan 1", "Sorong"
	return []goldenPatient{full, {ID: "p-2", NIK: "9204014804000002", Name: "Claudia Sintia", Raw: []byte{}, Diagnosis: []string{}}, {ID: "p-3", NIK: "9104224509000003", Name: "Elizabeth Dior"}, {ID: "p-4", Name: "Fitri Anggraini"}}
}

var (
	goldenDoctor  = consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu", Role: "doctor"}
	goldenStudy   = consent.Request{Purpose: consent.Research, Actor: "irb-12", Role: "study", Recipient: "ui-2026", Gate: consent.Gate{Ungated: "a golden file"}}
	goldenTag     = consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented, Actor: "clerk", Consent: "form-7", Policy: "2026-11", Author: "dr-ayu", Related: []string{"enc-1"}, Time: time.Date(2026, 11, 1, 9, 30, 0, 0, time.UTC), Retain: time.Date(2051, 11, 1, 0, 0, 0, 0, time.UTC)}
	goldenVisitAt = time.Date(2026, 11, 1, 9, 30, 0, 0, time.FixedZone("WIB", 7*3600))
)

// goldenHouse is a configuration over a golden folder.
type goldenHouse struct {
	cfg      *consent.Config
	patients *consent.Records[goldenPatient]
	visits   *consent.Records[goldenVisit]
	objects  *envelope.Objects
	topic    *envelope.Topic
	inbox    *envelope.Inbox
	numbers  *pseudo.Reversible
}

func openGoldenHouse(t *testing.T, ctx context.Context, dir string, first bool) *goldenHouse {
	if first {
		custodian, err := keyring.CreateCustodianKey(filepath.Join(dir, "custodian.key"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "clinic.custodian"), []byte(custodian.Custodian().String()), 0o600))
	}
	cfg, err := consent.OpenDir(ctx, filepath.Join(dir, "clinic"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = cfg.Close() })
	h := &goldenHouse{cfg: cfg}
	if first {
		for _, name := range []string{"topic/results", "inbox/branches", "numbers/partner"} {
			require.NoError(t, cfg.Ring.CreateKeyset(ctx, name))
		}
	}
	cfg.Roles = map[string][]string{"doctor": {"identity", "clinical", "sensitive", "genetics"}, "study": {"identity", "clinical"}}
	cfg.Policy.Emergency = consent.Emergency{Roles: []string{"doctor"}, For: time.Hour, Compartments: []string{"identity", "clinical"}}
	h.patients, err = consent.NewRecords[goldenPatient]("patient", cfg)
	require.NoError(t, err)
	h.visits, err = consent.NewRecords[goldenVisit]("visit", cfg)
	require.NoError(t, err)
	h.objects, err = envelope.NewObjects("ecg", "clinical", cfg.Ring)
	require.NoError(t, err)
	h.topic, err = envelope.NewTopic("results", cfg.Ring)
	require.NoError(t, err)
	h.inbox, err = envelope.NewInbox("branches", cfg.Ring)
	require.NoError(t, err)
	h.numbers, err = pseudo.OpenReversible(ctx, cfg.Ring, "numbers/partner", goldenAuthority{})
	require.NoError(t, err)
	return h
}

// goldenAuthority allows what the test asks for.
type goldenAuthority struct{}

func (goldenAuthority) Authorize(context.Context, pseudo.Reversal) error { return nil }

// openGolden opens a copy of a version's folder, and everything in it.
func openGolden(t *testing.T, ctx context.Context, from string) {
	var want frozen
	text, err := os.ReadFile(filepath.Join(from, "frozen.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &want))
	dir := copied(t, from)
	h := openGoldenHouse(t, ctx, dir, false)
	t.Run("log", func(t *testing.T) { h.readLog(t, ctx, &want) })
	t.Run("ledger", func(t *testing.T) { h.readLedger(t, ctx, &want) })
	t.Run("rows", func(t *testing.T) { h.readRows(t, ctx, &want) })
	t.Run("tokens", func(t *testing.T) { h.readTokens(t, ctx, &want) })
	t.Run("object", func(t *testing.T) { h.readObject(t, ctx, dir, &want) })
	t.Run("message", func(t *testing.T) {
		subject, payload, err := h.topic.Open(ctx, want.Message)
		require.NoError(t, err)
		require.Equal(t, []string{"p-1", "a result"}, []string{subject, string(payload)})
	})
	t.Run("item", func(t *testing.T) { h.readItem(t, ctx, dir, &want) })
	t.Run("export", func(t *testing.T) { readExport(t, ctx, from) })
	t.Run("files", func(t *testing.T) { readFiles(t, ctx, dir) })
	t.Run("retained", func(t *testing.T) {
		custodian, err := keyring.OpenCustodianKey(filepath.Join(dir, "custodian.key"))
		require.NoError(t, err)
		require.NoError(t, h.cfg.EndRetention(ctx, want.Retained, "dpo", custodian))
		_, err = h.cfg.Give(ctx, consent.Consent{Subject: want.Retained, Purposes: []consent.Purpose{consent.Treatment}, Sensitivity: []consent.Label{"HIV", "PSY"}})
		require.NoError(t, err)
		back := goldenPatient{ID: want.Retained}
		require.NoError(t, h.patients.Open(ctx, &back, want.Rows[want.Retained], goldenDoctor))
		require.Equal(t, "Fitri Anggraini", back.Name)
	})
	t.Run("goes on", func(t *testing.T) {
		before, err := h.cfg.Log.Verify(ctx)
		require.NoError(t, err)
		row, err := h.patients.Seal(ctx, &goldenPatient{ID: "p-9", NIK: "9271060312000001"}, goldenTag)
		require.NoError(t, err)
		require.NotEmpty(t, row.Sealed)
		after, err := h.cfg.Log.Verify(ctx)
		require.NoError(t, err)
		require.Greater(t, after, before)
		require.NoError(t, h.cfg.Log.Extends(ctx, want.Checkpoint))
	})
}

// copied copies a frozen folder, which the test may then write, and closes its
// secret files to others: git keeps no such modes.
func copied(t *testing.T, from string) string {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chmod(path, 0o600)
	}))
	return dir
}

func sameJSON(t *testing.T, want, got any) {
	t.Helper()
	a, err := json.Marshal(want)
	require.NoError(t, err)
	b, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(a), string(b))
}

func (h *goldenHouse) readLog(t *testing.T, ctx context.Context, want *frozen) {
	require.NoError(t, h.cfg.Log.Extends(ctx, want.Older1))
	require.NoError(t, h.cfg.Log.Extends(ctx, want.Checkpoint))
	got := entries(t, h.cfg.Log.Entries(ctx, consent.Filter{}))
	require.GreaterOrEqual(t, len(got), len(want.Entries))
	sameJSON(t, want.Entries, got[:len(want.Entries)])
	history, err := h.cfg.Log.History(ctx, "p-1")
	require.NoError(t, err)
	sameJSON(t, want.History, history)
	require.NoError(t, want.Proof.Check(want.Verifier))
	require.NoError(t, want.Between.Check(want.Verifier))
	again, err := h.cfg.Log.Prove(ctx, want.Proof.Index)
	require.NoError(t, err)
	require.Equal(t, want.Proof.Leaf, again.Leaf)
	proved, err := consent.CheckExtract(want.Extract, want.Verifier)
	require.NoError(t, err)
	sameJSON(t, want.History, proved[:len(want.History)])
	receipt, err := consent.CheckReceipt(want.Receipt, want.ReceiptKey...)
	require.NoError(t, err)
	require.NotNil(t, receipt)
	keys, err := h.cfg.ReceiptKeys(ctx)
	require.NoError(t, err)
	require.Equal(t, want.ReceiptKey, keys)
	verifier, err := h.cfg.Log.VerifierKey(ctx)
	require.NoError(t, err)
	require.Equal(t, want.Verifier, verifier)
}

func (h *goldenHouse) readLedger(t *testing.T, ctx context.Context, want *frozen) {
	for id, consents := range want.Consents {
		got, err := h.cfg.Ledger.Of(ctx, id)
		require.NoError(t, err)
		sameJSON(t, consents, got)
	}
	_, err := h.cfg.Ledger.Of(ctx, want.Erased)
	require.ErrorIs(t, err, keyring.ErrShredded)
}

func (h *goldenHouse) readRows(t *testing.T, ctx context.Context, want *frozen) {
	for _, p := range want.Patients {
		got := goldenPatient{ID: p.ID, Clinic: p.Clinic}
		require.NoError(t, h.patients.Open(ctx, &got, want.Rows[p.ID], goldenDoctor))
		sameJSON(t, p, got)
	}
	older := goldenPatient{ID: "p-1"}
	require.NoError(t, h.patients.Open(ctx, &older, want.Older, goldenDoctor))
	require.Equal(t, "Wheezing at night.", older.Story)
	for _, v := range want.Visits {
		got := goldenVisit{ID: v.ID, Patient: v.Patient}
		require.NoError(t, h.visits.Open(ctx, &got, want.Rows[v.ID], goldenDoctor))
		sameJSON(t, v, got)
	}
	require.ErrorIs(t, h.patients.Open(ctx, &goldenPatient{ID: want.Erased}, want.Rows[want.Erased], goldenDoctor), keyring.ErrShredded)
	require.ErrorIs(t, h.patients.Open(ctx, &goldenPatient{ID: want.Retained}, want.Rows[want.Retained], goldenDoctor), keyring.ErrRetained)
	var pseudonyms []any
	for cells := range h.study(t, ctx, want) {
		pseudonyms = append(pseudonyms, cells[0])
	}
	sameJSON(t, want.Pseudonyms, pseudonyms)
}

func (h *goldenHouse) readTokens(t *testing.T, ctx context.Context, want *frozen) {
	for _, p := range want.Patients {
		tokens, err := h.patients.Lookup(ctx, "NIK", p.NIK, goldenDoctor)
		require.NoError(t, err)
		require.Equal(t, []pseudo.Token{want.NIKs[p.ID]}, tokens)
		token, err := h.numbers.Token(ctx, pseudo.NIK, p.NIK)
		require.NoError(t, err)
		require.Equal(t, want.Reversible[p.NIK], token)
		back, err := h.numbers.Reverse(ctx, pseudo.NIK, []pseudo.ReversibleToken{want.Reversible[p.NIK]})
		require.NoError(t, err)
		require.Equal(t, p.NIK, back[0].Value)
		back, err = h.numbers.ReverseDigits(ctx, pseudo.NIK, []string{want.Digits[p.NIK]})
		require.NoError(t, err)
		require.Equal(t, p.NIK, back[0].Value)
	}
	full := want.Patients[0]
	for field, value := range map[string]string{"BPJS": *full.BPJS, "MRN": full.MRN, "Phone": full.Phone.String, "Email": full.Email} {
		tokens, err := h.patients.Lookup(ctx, field, value, goldenDoctor)
		require.NoError(t, err)
		require.Equal(t, []pseudo.Token{want.Tokens["p-1"][field]}, tokens, field)
	}
}

func (h *goldenHouse) readObject(t *testing.T, ctx context.Context, dir string, want *frozen) {
	sealed, err := os.ReadFile(filepath.Join(dir, "object.sealed"))
	require.NoError(t, err)
	r, err := h.objects.Open(ctx, "p-1", want.Visits[0].ECG, bytes.NewReader(sealed), envelope.ObjectOptions{})
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, want.Object, got)
}

// readItem takes in what the branch sent to that version, and what its
// credential seals today.
func (h *goldenHouse) readItem(t *testing.T, ctx context.Context, dir string, want *frozen) {
	db, err := sql.Open("sqlite", filepath.Join(dir, "app.db"))
	require.NoError(t, err)
	defer db.Close()
	_, err = db.ExecContext(ctx, `CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version INTEGER NOT NULL, id BLOB PRIMARY KEY)`)
	require.NoError(t, err)
	to, err := envelope.OpenIntake(filepath.Join(dir, "branch.credential"))
	require.NoError(t, err)
	intake, err := consent.NewIntake[goldenVisit]("visit", to)
	require.NoError(t, err)
	today, err := intake.Seal(&goldenVisit{ID: "v-2", Patient: "p-2", At: goldenVisitAt, Notes: "From the branch."}, goldenTag)
	require.NoError(t, err)
	for _, item := range []envelope.Item{want.Item, today} {
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		got, err := h.visits.Accept(ctx, tx, h.inbox, item)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		out := goldenVisit{ID: got.Record.ID, Patient: got.Record.Patient}
		require.NoError(t, h.visits.Open(ctx, &out, got.Sealed, goldenDoctor))
		require.Equal(t, "From the branch.", out.Notes)
	}
}

// files is a ring, a ledger and a log that lie in files.
func openFiles(t *testing.T, ctx context.Context, dir string, open func(context.Context, keyring.Config) (*keyring.Ring, error)) *consent.Config {
	store, err := dirstore.Open(filepath.Join(dir, "files", "keys"))
	require.NoError(t, err)
	journal, err := keyring.OpenJournal(filepath.Join(dir, "files", "erasure.journal"))
	require.NoError(t, err)
	kek, err := keyring.OpenKeyFile(filepath.Join(dir, "files.key"))
	require.NoError(t, err)
	ring, err := open(ctx, keyring.Config{Store: store, Journal: journal, KEK: kek})
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	cfg := &consent.Config{Ring: ring, Provision: true}
	cfg.Ledger, err = consent.OpenLedgerDir(ctx, ring, filepath.Join(dir, "files", "consent"))
	require.NoError(t, err)
	cfg.Log, err = consent.OpenLogDir(ctx, ring, filepath.Join(dir, "files", "consent"))
	require.NoError(t, err)
	return cfg
}

// readFiles opens what lies in files.
func readFiles(t *testing.T, ctx context.Context, dir string) {
	cfg := openFiles(t, ctx, dir, keyring.Open)
	visits, err := consent.NewRecords[goldenVisit]("visit", cfg)
	require.NoError(t, err)
	row, err := os.ReadFile(filepath.Join(dir, "files.row"))
	require.NoError(t, err)
	out := goldenVisit{ID: "v-7", Patient: "p-7"}
	require.NoError(t, visits.Open(ctx, &out, row, consent.Request{Purpose: consent.Treatment, Actor: "dr-ayu"}))
	require.Equal(t, "In files.", out.Notes)
	n, err := cfg.Log.Verify(ctx)
	require.NoError(t, err)
	require.Greater(t, n, int64(3))
}

// readExport puts the ring of another copy under a new KEK, from the export of
// that version.
func readExport(t *testing.T, ctx context.Context, from string) {
	dir := copied(t, from)
	export, err := os.ReadFile(filepath.Join(dir, "ring.export"))
	require.NoError(t, err)
	second, err := keyring.OpenKeyFile(filepath.Join(dir, "export.key"))
	require.NoError(t, err)
	fresh, err := keyring.CreateKeyFile(filepath.Join(dir, "new.key"))
	require.NoError(t, err)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "clinic", "keys.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)")
	require.NoError(t, err)
	defer db.Close()
	store, err := sqlstore.New(ctx, db)
	require.NoError(t, err)
	journal, err := keyring.OpenJournal(filepath.Join(dir, "clinic", "erasure.journal"))
	require.NoError(t, err)
	cfg := keyring.Config{Store: store, Journal: journal, KEK: fresh}
	require.NoError(t, keyring.Restore(ctx, cfg, export, second))
	ring, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	defer ring.Close()
	_, err = ring.Subject(ctx, "p-1", "identity", "clinical", "audit")
	require.NoError(t, err)
	_, err = ring.Subject(ctx, "p-3", "identity")
	require.ErrorIs(t, err, keyring.ErrShredded)
}
