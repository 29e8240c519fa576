package consent

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// stick makes every write to a table fail, until mend is called.
func stick(t *testing.T, db *sql.DB, table string) (mend func()) {
	t.Helper()
	_, err := db.Exec(`CREATE TRIGGER stuck BEFORE INSERT ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
	require.NoError(t, err)
	return func() {
		_, err := db.Exec(`DROP TRIGGER stuck`)
		require.NoError(t, err)
	}
}

// apart is a configuration with ledger and log in a database each.
func apart(t *testing.T) (cfg *Config, ledger, log *sql.DB) {
	t.Helper()
	cfg, ledger = sqlConfig(t)
	log, err := sqlite.Open(filepath.Join(t.TempDir(), "log.db"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	cfg.Log, err = OpenLog(context.Background(), cfg.Ring, log)
	require.NoError(t, err)
	return cfg, ledger, log
}

// TestOrderOfLedgerAndLog: what closes something is in force though the log
// cannot be written; what opens something is not. Where the ledger cannot be
// written, the log says too much of what opens and nothing of what closes.
func TestOrderOfLedgerAndLog(t *testing.T) {
	ctx := context.Background()
	give := func(refused bool) func(*Config) (string, error) {
		return func(c *Config) (string, error) {
			return c.Give(ctx, Consent{ID: "new", Subject: "p", Purposes: []Purpose{Payment}, Refused: refused})
		}
	}
	withdraw := func(id string) func(*Config) (string, error) {
		return func(c *Config) (string, error) { return "", c.Withdraw(ctx, "p", id, "clerk") }
	}
	events := func(c *Config) uint64 { return c.Ledger.chain().Len() }
	for name, tt := range map[string]struct {
		act    func(*Config) (string, error)
		closes bool
		id     string // that a Give returns beside its error
	}{
		"give a permit":      {act: give(false)},
		"give a refusal":     {act: give(true), closes: true, id: "new"},
		"withdraw a permit":  {act: withdraw("permit"), closes: true},
		"withdraw a refusal": {act: withdraw("refusal")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, broken := range []string{"the log is closed", "the log", "the ledger"} {
				cfg, ledger, log := apart(t)
				_, err := cfg.Give(ctx, Consent{ID: "permit", Subject: "p", Purposes: []Purpose{Treatment}})
				require.NoError(t, err)
				_, err = cfg.Give(ctx, Consent{ID: "refusal", Subject: "p", Purposes: []Purpose{Treatment}, Refused: true})
				require.NoError(t, err)
				before := events(cfg)
				switch broken {
				case "the log is closed":
					require.NoError(t, log.Close())
				case "the log":
					defer stick(t, log, "consent_log")()
				case "the ledger":
					defer stick(t, ledger, "consent_ledger")()
				}
				id, err := tt.act(cfg)
				require.Error(t, err)
				require.Equal(t, tt.id, id, broken)
				logged := 2
				switch {
				case broken == "the ledger":
					require.NotErrorIs(t, err, ErrAudit)
					require.Equal(t, before, events(cfg))
					if !tt.closes {
						logged = 3
					}
				case tt.closes:
					require.ErrorIs(t, err, ErrAudit)
					require.Equal(t, before+1, events(cfg), "%s: in force", broken)
				default:
					require.ErrorIs(t, err, ErrAudit)
					require.Equal(t, before, events(cfg), "%s: not in force", broken)
				}
				if broken != "the log is closed" {
					require.Len(t, entries(t, cfg.Log), logged, broken)
				}
			}
		})
	}
}

// TestRepeatAfterErrAudit: what is in force and not in the log is completed by
// doing it again, and is in force once.
func TestRepeatAfterErrAudit(t *testing.T) {
	ctx := context.Background()
	cfg, _, log := apart(t)
	mend := stick(t, log, "consent_log")
	refusal := Consent{ID: "r", Subject: "p", Purposes: []Purpose{Treatment}, Refused: true, Actors: []string{"a"}, Until: year(9999)}
	id, err := cfg.Give(ctx, refusal)
	require.ErrorIs(t, err, ErrAudit)
	require.Equal(t, "r", id)
	mend()
	another := refusal
	another.Actors = []string{"b"}
	_, err = cfg.Give(ctx, another)
	require.ErrorIs(t, err, ErrExists, "another refusal of that id")
	another = refusal
	another.Refused = false
	_, err = cfg.Give(ctx, another)
	require.ErrorIs(t, err, ErrExists, "a permit of that id")
	require.Empty(t, entries(t, cfg.Log))
	_, err = cfg.Give(ctx, refusal)
	require.NoError(t, err)
	require.Equal(t, []string{"r"}, lastOf(t, cfg, "p").Consents)
	require.EqualValues(t, 1, cfg.Ledger.chain().Len())

	permit := Consent{ID: "c", Subject: "p", Purposes: []Purpose{Treatment}}
	_, err = cfg.Give(ctx, permit)
	require.NoError(t, err)
	mend = stick(t, log, "consent_log")
	require.ErrorIs(t, cfg.Withdraw(ctx, "p", "c", "clerk"), ErrAudit)
	mend()
	require.NoError(t, cfg.Withdraw(ctx, "p", "c", "clerk"))
	require.Equal(t, "withdraw", last(t, cfg.Log).Action)
	require.EqualValues(t, 3, cfg.Ledger.chain().Len(), "a withdrawal twice is one event")
}

// TestRefusalsAreLogged: a refusal whose entry cannot be written is an
// [ErrAudit], not a quiet no.
func TestRefusalsAreLogged(t *testing.T) {
	ctx := context.Background()
	cfg, _, log := apart(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	require.NoError(t, cfg.AddRecipient(ctx, "ui-2026"))
	defer stick(t, log, "consent_log")()
	ads := Request{Purpose: Marketing, Actor: "ads", Recipient: "ui-2026"}
	_, errOpen := open(r, ayu.ID, row.Sealed, ads)
	_, errUpdate := r.Update(ctx, row.Sealed, &ayu, ads, "Name")
	ads.Role = "nobody"
	_, errLookup := r.Lookup(ctx, "NIK", ayu.NIK, ads)
	_, errExport := r.Export(ctx, each(nil), ads)
	for i, err := range []error{errOpen, errUpdate, errLookup, errExport} {
		require.ErrorIs(t, err, ErrAudit, i)
		require.NotErrorIs(t, err, ErrDenied, i)
	}
}

// TestWithdrawnWhileDeciding calls Withdraw from the clock that the decision
// asks, after the ledger was read.
func TestWithdrawnWhileDeciding(t *testing.T) {
	for _, at := range []int{1, 2} {
		cfg := memoryConfig(t)
		r := people(t, cfg)
		row := sealed(t, r, ayu, Treatment)
		all, err := cfg.Ledger.Of(context.Background(), ayu.ID)
		require.NoError(t, err)
		asked := 0
		cfg.Now = func() time.Time {
			if asked++; asked == at {
				require.NoError(t, cfg.Withdraw(context.Background(), ayu.ID, all[0].ID, "clerk"))
			}
			return noon
		}
		got, err := open(r, ayu.ID, row.Sealed, care)
		require.ErrorIs(t, err, ErrDenied)
		require.Equal(t, person{ID: ayu.ID}, got)
		require.Equal(t, "refused", last(t, cfg.Log).Outcome)
	}
}

// TestTooLateToOpen: withdrawal and erasure come after the decision, while its
// entry is being written.
func TestTooLateToOpen(t *testing.T) {
	ctx := context.Background()
	for name, tt := range map[string]struct {
		act  func(*Config, string) error
		want error
		log  []string
	}{
		"withdrawal": {func(c *Config, id string) error { return c.Ledger.withdraw(ctx, ayu.ID, id, noon) }, ErrDenied, []string{"done", "failed", "refused"}},
		"refusal": {func(c *Config, _ string) error {
			return c.Ledger.give(ctx, Consent{ID: "r", Subject: ayu.ID, Purposes: []Purpose{Treatment}, Refused: true}, noon)
		}, ErrDenied, []string{"done", "failed", "refused"}},
		"erasure": {func(c *Config, _ string) error { _, err := c.Ring.Shred(ctx, ayu.ID); return err }, keyring.ErrShredded, []string{"done", "failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, _, log := apart(t)
			r := people(t, cfg)
			row := sealed(t, r, ayu, Treatment)
			all, err := cfg.Ledger.Of(ctx, ayu.ID)
			require.NoError(t, err)
			release := lock(t, log)
			done := make(chan error, 1)
			var got person
			go func() {
				var err error
				got, err = open(r, ayu.ID, row.Sealed, care)
				done <- err
			}()
			waiting := 0 // it has decided, and waits for the log, when nothing moves any more
			require.Eventually(t, func() bool {
				if waiting++; log.Stats().InUse < 2 {
					waiting = 0
				}
				return waiting > 20
			}, 20*time.Second, 5*time.Millisecond)
			require.NoError(t, tt.act(cfg, all[0].ID))
			release()
			require.ErrorIs(t, <-done, tt.want)
			require.Equal(t, person{ID: ayu.ID}, got)
			var outcomes []string
			for _, e := range entries(t, cfg.Log)[2:] {
				outcomes = append(outcomes, e.Outcome)
			}
			require.GreaterOrEqual(t, len(outcomes), len(tt.log))
			require.Equal(t, tt.log, outcomes[:len(tt.log)])
		})
	}
}

// lock takes SQLite's write lock, as another process would.
func lock(t *testing.T, db *sql.DB) (release func()) {
	t.Helper()
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	require.NoError(t, err)
	var once sync.Once
	release = func() {
		once.Do(func() {
			_, err := conn.ExecContext(ctx, "ROLLBACK")
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		})
	}
	t.Cleanup(release)
	return release
}

// TestCancelledWhileLocked: who gives up waiting for another's lock returns at
// once, with nothing.
func TestCancelledWhileLocked(t *testing.T) {
	cfg, db := sqlConfig(t)
	r := people(t, cfg)
	row := sealed(t, r, ayu, Treatment)
	release := lock(t, db)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	start := time.Now()
	out := person{ID: ayu.ID}
	err := r.Open(ctx, &out, row.Sealed, care)
	require.Less(t, time.Since(start), 5*time.Second, "SQLite's own patience is 10 s")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, ErrAudit)
	require.Equal(t, person{ID: ayu.ID}, out)
	release()
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err, "the log goes on")
}

// TestOneConnection: keys, ledger and log share a pool of one connection.
func TestOneConnection(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	db, err := sqlite.Open(filepath.Join(t.TempDir(), "all.db"))
	require.NoError(t, err)
	defer func() { _ = sqlite.Close(db) }()
	db.SetMaxOpenConns(1)
	store, err := sqlstore.New(ctx, db)
	require.NoError(t, err)
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	kc := keyring.Config{Store: store, Journal: keyring.NewMemoryJournal(), KEK: kek}
	cfg := &Config{Provision: true}
	cfg.Ring, err = keyring.Create(ctx, "ring-test", kc)
	require.NoError(t, err)
	require.NoError(t, cfg.createKeysets(ctx, evidence.ChainKeyset, evidence.TreeKeyset, auditCompartment, recipientDomain("ui-2026")))
	for i := range 2 {
		cfg.Ledger, err = OpenLedger(ctx, cfg.Ring, db)
		require.NoError(t, err)
		cfg.Log, err = OpenLog(ctx, cfg.Ring, db)
		require.NoError(t, err)
		r, err := NewRecords[person]("person", cfg)
		require.NoError(t, err)
		p := ayu
		p.ID = []string{"p-1", "p-2"}[i]
		row, err := r.Seal(ctx, &p, careTag)
		require.NoError(t, err)
		id, err := cfg.Give(ctx, Consent{Subject: p.ID, Purposes: []Purpose{Treatment, Research}})
		require.NoError(t, err)
		out := person{ID: p.ID}
		require.IsType(t, &WithheldError{}, r.Open(ctx, &out, row.Sealed, care))
		table, err := r.Export(ctx, each([]stored{{p.ID, row.Sealed}}), study)
		require.NoError(t, err)
		require.Len(t, readAll(t, table), 1)
		_, err = cfg.Log.History(ctx, p.ID)
		require.NoError(t, err)
		require.NoError(t, cfg.Withdraw(ctx, p.ID, id, "clerk"))
		_, err = cfg.Erase(ctx, p.ID, "clerk")
		require.NoError(t, err)
		_, err = cfg.Log.Verify(ctx)
		require.NoError(t, err)
		require.NoError(t, cfg.Ring.Close())
		cfg.Ring, err = keyring.Open(ctx, kc)
		require.NoError(t, err)
	}
	require.NoError(t, cfg.Ring.Close())
}

// TestFailedIsSaid: an entry that announced what then did not happen is
// followed by one that says so.
func TestFailedIsSaid(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	row := sealed(t, r, ayu, Treatment)
	_, err := r.Update(ctx, row.Sealed, &person{ID: ayu.ID, Notes: "\xff"}, care, "Notes")
	require.Error(t, err)
	all := entries(t, r.cfg.Log)
	said, done := all[len(all)-1], all[len(all)-2]
	require.Equal(t, []string{"update", "done", "failed"}, []string{said.Action, done.Outcome, said.Outcome})
	require.Equal(t, done.Decision, said.Decision)
	require.Empty(t, said.Fields)

	whole := r.cfg.Ring
	r.cfg.Ring = whole.Only(auditCompartment)
	_, err = r.cfg.Erase(ctx, ayu.ID, "clerk")
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	r.cfg.Ring = whole
	e := last(t, r.cfg.Log)
	require.Equal(t, []string{"erase", "failed"}, []string{e.Action, e.Outcome})
	got, err := open(r, ayu.ID, row.Sealed, care)
	require.IsType(t, &WithheldError{}, err)
	require.Equal(t, ayu.Name, got.Name)
	h, err := r.cfg.Log.History(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, h, len(entries(t, r.cfg.Log)), "the patient sees the failed ones too")
}
