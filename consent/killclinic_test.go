//go:build unix

package consent

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// killWorld is what was before any process was killed. Ayu and budi are under
// treatment, citra as well and nobody touches her, dewi is retained, and
// p-double will turn out to be ayu.
type killWorld struct {
	Rows       map[string][]byte // by patient
	Acts       []string          // the log's entries, by decision
	Checkpoint []byte
	Emergency  string // decision of one that awaits review
	Item       []byte // from the branch, about eka
	Keep       keyring.Retention
}

const (
	killBudi, killCitra, killDewi, killEka = "p-budi", "p-citra", "p-dewi", "p-eka"
	killDouble, killNew                    = "p-double", "p-new"
)

func killPerson(id string) *person {
	p := ayu
	p.ID = id
	return &p
}

func (p killPlace) path(name string) string { return filepath.Join(p.dir, name) }

// killRules are the rules of the clinic, which no file holds.
func killRules(cfg *Config) {
	cfg.Roles = map[string][]string{"doctor": {"identity", "clinical", "sensitive"}}
	cfg.Policy = Policy{
		Emergency: Emergency{Roles: []string{"doctor"}, Compartments: []string{"clinical"}},
		Bases: []LegalBasis{{Basis: LegalObligation, Article: "Permenkes 24/2022", Rule: Rule{
			Purposes: []Purpose{Operations}, Actions: []Action{Correct}, Sensitivity: []Label{AnyLabel},
		}}},
	}
}

// config opens keys, ledger and log as OpenDir does, with fault points and a custodian.
func (p killPlace) config(t testing.TB, point func(), open func(keyring.Config) (*keyring.Ring, error)) *Config {
	ctx := t.Context()
	cfg := &Config{Provision: true}
	keys, records := p.database(t, filepath.Join("clinic", keysFile), point), p.database(t, filepath.Join("clinic", recordsFile), point)
	cfg.closers = append(cfg.closers, func() error { return sqlite.Close(records) }, func() error { return sqlite.Close(keys) })
	store, err := sqlstore.New(ctx, keys)
	require.NoError(t, err)
	journal, err := keyring.OpenJournal(p.path(filepath.Join("clinic", journalFile)))
	require.NoError(t, err)
	kek, err := keyring.OpenKeyFile(p.path("clinic" + keySuffix))
	require.NoError(t, err)
	custodian, err := keyring.OpenCustodianKey(p.path("custodian"))
	require.NoError(t, err)
	cfg.Ring, err = open(keyring.Config{Store: store, Journal: journal, KEK: kek, Custodian: custodian.Custodian()})
	require.NoError(t, err)
	cfg.closers = append(cfg.closers, cfg.Ring.Close)
	if _, err := cfg.Ring.Keyset(ctx, auditCompartment); errors.Is(err, keyring.ErrNoKeyset) { // a new one
		require.NoError(t, cfg.createKeysets(ctx, evidence.ChainKeyset, evidence.TreeKeyset, auditCompartment))
	}
	cfg.Ledger, err = OpenLedger(ctx, cfg.Ring, records)
	require.NoError(t, err)
	cfg.Log, err = OpenLog(ctx, cfg.Ring, records)
	require.NoError(t, err)
	killRules(cfg)
	require.NoError(t, cfg.check(ctx))
	require.NoError(t, cfg.anchor(ctx))
	return cfg
}

func openKill(t testing.TB, p killPlace, actor string, point func()) *killScene {
	cfg := p.config(t, point, func(c keyring.Config) (*keyring.Ring, error) { return keyring.Open(t.Context(), c) })
	return killSceneOf(t, p, cfg, actor, point)
}

// openDirKill opens what died as an application does.
func openDirKill(t testing.TB, p killPlace) *killScene {
	cfg, err := OpenDir(t.Context(), p.path("clinic"))
	require.NoError(t, err)
	killRules(cfg)
	return killSceneOf(t, p, cfg, "later", func() {})
}

func killSceneOf(t testing.TB, p killPlace, cfg *Config, actor string, point func()) *killScene {
	s := &killScene{t: t, place: p, actor: actor, point: point, cfg: cfg, r: people(t, cfg), app: p.database(t, "app.db", point)}
	b, err := os.ReadFile(p.path("world"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &s.world))
	return s
}

func (s *killScene) close() {
	s.t.Helper()
	require.NoError(s.t, s.cfg.Close())
	require.NoError(s.t, sqlite.Close(s.app))
}

// prepareKill makes the clinic.
func prepareKill(t testing.TB, p killPlace) {
	ctx := t.Context()
	_, err := keyring.CreateCustodianKey(p.path("custodian"))
	require.NoError(t, err)
	create := func(c keyring.Config) (*keyring.Ring, error) { return keyring.Open(ctx, c) }
	if p.dsn == "" {
		made, err := OpenDir(ctx, p.path("clinic"))
		require.NoError(t, err)
		require.NoError(t, made.Close())
	} else {
		require.NoError(t, os.Mkdir(p.path("clinic"), 0o700))
		_, err := keyring.CreateKeyFile(p.path("clinic" + keySuffix))
		require.NoError(t, err)
		create = func(c keyring.Config) (*keyring.Ring, error) { return keyring.Create(ctx, "clinic", c) }
	}
	cfg := p.config(t, func() {}, create)
	w := killWorld{Rows: map[string][]byte{}, Keep: untilNextYear()}
	r := people(t, cfg)
	give := func(c Consent) {
		c.Sensitivity = []Label{AnyLabel}
		_, err := cfg.Give(ctx, c)
		require.NoError(t, err)
	}
	for _, id := range []string{ayu.ID, killBudi, killCitra, killDewi, killDouble} {
		row, err := r.Seal(ctx, killPerson(id), careTag)
		require.NoError(t, err)
		w.Rows[id] = row.Sealed
		give(Consent{Subject: id, ID: "care", Purposes: []Purpose{Treatment}})
	}
	give(Consent{Subject: ayu.ID, ID: "study", Purposes: []Purpose{Research}})
	give(Consent{Subject: killBudi, ID: "study", Purposes: []Purpose{Research}, GivenBy: &Representative{ID: "ibu-budi", Relation: "MTH"}})
	give(Consent{Subject: killCitra, ID: "no-study", Purposes: []Purpose{Research}, Refused: true})
	give(Consent{Subject: killDouble, ID: "no-pay", Purposes: []Purpose{Payment}, Refused: true})
	require.NoError(t, cfg.AddRecipient(ctx, study.Recipient))
	_, err = cfg.Retain(ctx, killDewi, "privacy-officer", w.Keep)
	require.NoError(t, err)
	_, err = open(r, killBudi, w.Rows[killBudi], emergency)
	require.IsType(t, &WithheldError{}, err)
	w.Emergency = last(t, cfg.Log).Decision

	require.NoError(t, cfg.Ring.CreateKeyset(ctx, "inbox/branches"))
	inbox, err := envelope.NewInbox("branches", cfg.Ring)
	require.NoError(t, err)
	require.NoError(t, inbox.Enrol(ctx, "branch-2", p.path("branch")))
	to, err := envelope.OpenIntake(p.path("branch"))
	require.NoError(t, err)
	w.Item, err = intakeOf[person](t, "person", to).Seal(killPerson(killEka), careTag)
	require.NoError(t, err)
	app := p.database(t, "app.db", func() {})
	for _, s := range []string{
		`CREATE TABLE rahasia_accepted (inbox TEXT NOT NULL, version BIGINT NOT NULL, id BYTEA PRIMARY KEY)`,
		`CREATE TABLE results (id TEXT NOT NULL, sealed BYTEA NOT NULL)`,
	} {
		_, err = app.ExecContext(ctx, s)
		require.NoError(t, err)
	}
	require.NoError(t, sqlite.Close(app))

	w.Checkpoint, err = cfg.Log.Checkpoint(ctx)
	require.NoError(t, err)
	for _, e := range entries(t, cfg.Log) {
		w.Acts = append(w.Acts, e.Action+" "+e.Decision)
	}
	require.NoError(t, cfg.Close())
	b, err := json.Marshal(w)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.path("world"), b, 0o600))
}

// common is what holds whatever was being done.
func (s *killScene) common() {
	s.t.Helper()
	placed(s.t, s.cfg.Log)
	_, err := s.cfg.Log.Verify(s.ctx())
	require.NoError(s.t, err)
	require.NoError(s.t, s.cfg.Log.Extends(s.ctx(), s.world.Checkpoint))
	s.log = entries(s.t, s.cfg.Log)
	var acts []string
	for _, e := range s.log[:len(s.world.Acts)] {
		acts = append(acts, e.Action+" "+e.Decision)
	}
	require.Equal(s.t, s.world.Acts, acts, "an entry is lost")
	s.shown, s.histories = s.heard(), map[string][]Entry{}
	for _, x := range s.shown {
		if !x.Done {
			s.audited(x)
		}
	}
	got, err := open(s.r, killCitra, s.world.Rows[killCitra], s.care("look"))
	require.NoError(s.t, err)
	require.Equal(s.t, clearless(killCitra), got)
	_, err = open(s.r, killCitra, s.world.Rows[killCitra], Request{Purpose: Research, Actor: "look", Role: "doctor"})
	require.ErrorIs(s.t, err, ErrDenied, "a refusal is lost")
	s.noPlaintext()
}

func (s *killScene) care(actor string) Request {
	return Request{Purpose: Treatment, Actor: actor, Role: "doctor"}
}

// clearless is the person as it opens: a clear field is not in the row.
func clearless(id string) person {
	p := *killPerson(id)
	p.Clinic = ""
	return p
}

// audited requires an entry for each time that this came out, and that it was the
// right thing.
func (s *killScene) audited(x account) {
	s.t.Helper()
	of, read := s.histories[x.Subject]
	if !read {
		if of = s.log; x.Subject != "" {
			if h, err := s.cfg.Log.History(s.ctx(), x.Subject); err == nil {
				of = h // else nobody can be named, or not any more
			}
		}
		s.histories[x.Subject] = of
	}
	times, logged := 0, 0
	for _, y := range s.shown {
		if y.Actor == x.Actor && y.Action == x.Action && y.Subject == x.Subject {
			times++
		}
	}
	for _, e := range of {
		lacks := slices.ContainsFunc(x.Fields, func(f string) bool { return !slices.Contains(e.Fields, f) })
		if (e.Actor == x.Actor || e.Actor == "branch-2") && e.Action == x.Action && e.Outcome == "done" && !lacks {
			logged++
		}
	}
	require.GreaterOrEqual(s.t, logged, max(times, 1), "%s of %s came out and has no entry", x.Action, x.Subject)
	if x.Values != nil {
		require.Equal(s.t, clearless(x.Subject), *x.Values)
	}
	if x.Row != nil {
		out := person{ID: x.Subject}
		err := s.r.codec.Open(s.ctx(), &out, x.Row)
		require.NoError(s.t, err, "what was stored does not open")
		if x.Action == "update" {
			require.Equal(s.t, killRenamed, out.Name)
			out.Name = ayu.Name
		}
		require.Equal(s.t, clearless(x.Subject), out)
	}
}

// noPlaintext reads every file but the note of what came out.
func (s *killScene) noPlaintext() {
	s.t.Helper()
	require.NoError(s.t, filepath.WalkDir(s.place.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == s.toldFile() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, v := range []string{ayu.NIK, ayu.Name, *ayu.Phone, ayu.Diagnosis[0], ayu.Family, ayu.Notes, killRenamed} {
			require.False(s.t, bytes.Contains(b, []byte(v)), "a plaintext is in %s", d.Name())
		}
		return err
	}))
}

// logged counts the entries of an act that these processes did.
func (s *killScene) logged(action string, outcomes ...string) (n int) {
	for _, e := range s.log[len(s.world.Acts):] {
		if e.Action == action && slices.Contains(outcomes, e.Outcome) && e.Actor != "look" {
			n++
		}
	}
	return n
}

// alive reports whether a patient's keys are in service, in all compartments or
// in none, and why not.
func (s *killScene) alive(subject string) (bool, error) {
	s.t.Helper()
	_, first := s.cfg.Ring.Subject(s.ctx(), subject, auditCompartment)
	for _, c := range s.r.plan.Compartments {
		_, err := s.cfg.Ring.Subject(s.ctx(), subject, c)
		require.Equal(s.t, first == nil, err == nil, "half of %s's keys: %v", subject, err)
	}
	return first == nil, first
}

// given is one of a patient's consents, or nil.
func (s *killScene) given(subject, id string) *Consent {
	s.t.Helper()
	all, err := s.cfg.Ledger.of(s.ctx(), subject)
	require.NoError(s.t, err)
	if i := indexOf(all, id); i >= 0 {
		return &all[i]
	}
	return nil
}

// live reports whether a consent is in force.
func (s *killScene) live(subject, id string) bool {
	c := s.given(subject, id)
	return c != nil && c.Withdrawn.IsZero()
}

// opens reports whether a patient's record opens for treatment.
func (s *killScene) opens(subject string) bool {
	s.t.Helper()
	_, err := open(s.r, subject, s.world.Rows[subject], s.care("look"))
	if err != nil {
		require.True(s.t, errors.Is(err, ErrDenied) || gone(err), err)
	}
	return err == nil
}
