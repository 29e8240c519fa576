package consent

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
)

// chart is a small record: a test of the guard needs many patients.
type chart struct {
	ID   string `phi:"subject"`
	NIK  string `phi:"nik,lookup"`
	Note string `phi:"clinical"`
}

// watch is a configuration's clock and database, and what its guard alerted.
type watch struct {
	now    time.Time
	db     *sql.DB
	alerts []Alert
}

// nik is a number of nobody's.
func nik(i int) string { return fmt.Sprintf("920401480400%04d", i+1) }

// guarded is a configuration with n patients, all of whom permit treatment and
// emergencies; database says whether ledger, log and counts lie in a database.
func guarded(t testing.TB, n int, database bool) (*Records[chart], *watch, []stored) {
	t.Helper()
	ctx := context.Background()
	w := &watch{now: noon}
	cfg := memoryConfig(t)
	cfg.Now = func() time.Time { return w.now }
	cfg.Guard.Alert = func(a Alert) { w.alerts = append(w.alerts, a) }
	cfg.Policy.Bases = []LegalBasis{{Basis: LegalObligation, Article: "synthetic", Rule: Rule{Purposes: []Purpose{Treatment, Operations}}}}
	cfg.Policy.Emergency.Roles = []string{"er"}
	if database {
		db, err := sqlite.Open(filepath.Join(t.TempDir(), "consent.db"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = sqlite.Close(db) })
		reopen(t, cfg, db)
		w.db = db
	}
	r, err := NewRecords[chart]("chart", cfg)
	require.NoError(t, err)
	var all []*chart
	for i := range n {
		all = append(all, &chart{ID: fmt.Sprintf("p-%d", i), Note: "J45"})
	}
	rows, err := r.SealAll(ctx, all, careTag)
	require.NoError(t, err)
	out := make([]stored, n)
	for i := range rows {
		out[i] = stored{all[i].ID, rows[i].Sealed}
	}
	return r, w, out
}

func openChart(r *Records[chart], s stored, req Request) error {
	return r.Open(context.Background(), &chart{ID: s.id}, s.row, req)
}

func pages(all []stored) func(func(*chart, envelope.Sealed) bool) {
	return func(yield func(*chart, envelope.Sealed) bool) {
		for _, s := range all {
			if !yield(&chart{ID: s.id}, s.row) {
				return
			}
		}
	}
}

func reasonIs(t testing.TB, err error, want Reason) {
	t.Helper()
	var denied *DeniedError
	require.ErrorAs(t, err, &denied)
	require.Equal(t, want, denied.Reason)
}

// TestGuardTheft: one login walks through 10,000 patients in a night: half of
// them at once, the others slowly.
func TestGuardTheft(t *testing.T) {
	const patients = 10000
	thief := Request{Purpose: Treatment, Actor: "dr-stolen"}
	r, w, all := guarded(t, patients, false)
	stolen := 0
	for out, err := range r.OpenAll(context.Background(), pages(all[:patients/2]), thief) {
		if err == nil {
			require.Equal(t, "J45", out.Note)
			stolen++
			continue
		}
		reasonIs(t, err, TooMany)
		require.Empty(t, out.Note)
	}
	require.Equal(t, 200, stolen)
	reasonIs(t, openChart(r, all[patients/2], thief), TooMany)
	e := last(t, r.cfg.Log)
	require.Equal(t, []any{"refused", TooMany, "dr-stolen"}, []any{e.Outcome, e.Reason, e.Actor})
	require.Empty(t, e.Fields)
	for some := range slices.Chunk(all[patients/2:], 50) {
		w.now = w.now.Add(5 * time.Minute)
		for _, err := range r.OpenAll(context.Background(), pages(some), thief) {
			if err == nil {
				stolen++
				continue
			}
			reasonIs(t, err, TooMany)
		}
	}
	require.Equal(t, 1000, stolen, "no more than a day's")
	require.NotEmpty(t, w.alerts)
	require.LessOrEqual(t, len(w.alerts), 10, "an alert an hour, not one a patient")
	a := w.alerts[0]
	require.Equal(t, Alert{Time: noon, Actor: "dr-stolen", Purpose: Treatment, Action: "open", Type: "chart", Hour: 200, Day: 200, Limit: Limit{200, 1000}, Decision: a.Decision}, a)
	require.NotEmpty(t, a.Decision)
}

// TestGuardTheftShared: the login is used in three processes at once, and
// tries export and update besides.
func TestGuardTheftShared(t *testing.T) {
	ctx := context.Background()
	r, w, all := guarded(t, 330, true)
	r.cfg.Guard.People = Limit{Hour: 50, Day: 60}
	db := w.db
	thief := Request{Purpose: Treatment, Actor: "dr-stolen", Recipient: "friend", Gate: study.Gate}
	require.NoError(t, r.cfg.AddRecipient(ctx, "friend"))
	stolen := 0
	for p := range 3 {
		other := *r.cfg
		reopen(t, &other, db)
		records, err := NewRecords[chart]("chart", &other)
		require.NoError(t, err)
		mine := all[100*p : 100*(p+1)]
		for _, s := range mine[:10] {
			if openChart(records, s, thief) == nil {
				stolen++
			}
		}
		_, err = records.Update(ctx, mine[10].row, &chart{ID: mine[10].id, Note: "x"}, thief, "Note")
		if err == nil {
			stolen++
		}
		table, err := records.Export(ctx, pages(mine[11:]), thief)
		require.NoError(t, err)
		var end error
		for _, end = range table.Rows() {
			if end == nil {
				stolen++
			}
		}
		reasonIs(t, end, TooMany)
		require.Zero(t, table.Suppressed(), "it ends, and does not go on with gaps")
	}
	require.Equal(t, 50, stolen)
	w.now = w.now.Add(2 * time.Hour)
	for _, s := range all[300:] {
		if openChart(r, s, thief) == nil {
			stolen++
		}
	}
	require.Equal(t, 60, stolen, "the day's limit")
	require.NoError(t, openChart(r, all[0], Request{Purpose: Treatment, Actor: "dr-honest"}))
}

// TestGuardClinicDay: a doctor sees a patient every six minutes for ten hours,
// looks each up, opens them three times and writes a note; the desk registers 60
// an hour. Nothing is refused and nobody is alerted.
func TestGuardClinicDay(t *testing.T) {
	ctx := context.Background()
	r, w, all := guarded(t, 600, false)
	doctor, desk := Request{Purpose: Treatment, Actor: "dr-ayu"}, Request{Purpose: Treatment, Actor: "desk-1"}
	for i, s := range all {
		w.now = w.now.Add(time.Minute)
		_, err := r.Lookup(ctx, "NIK", nik(i), desk)
		require.NoError(t, err)
		require.NoError(t, openChart(r, s, desk))
		if i%6 != 0 {
			continue
		}
		_, err = r.Lookup(ctx, "NIK", nik(i), doctor)
		require.NoError(t, err)
		for range 3 {
			require.NoError(t, openChart(r, s, doctor))
		}
		_, err = r.Update(ctx, s.row, &chart{ID: s.id, Note: "J45.0"}, doctor, "Note")
		require.NoError(t, err)
	}
	require.Empty(t, w.alerts)
}

// TestGuardNightlyJob: the registered job reads everybody; nobody else can name it.
func TestGuardNightlyJob(t *testing.T) {
	r, w, all := guarded(t, 1500, false)
	r.cfg.Guard.Jobs = map[string]Job{"nightly-report": {Actors: []string{"svc-report", "svc-report-2"}, Limit: Limit{Day: 1400}}}
	require.NoError(t, r.cfg.whole())
	req := Request{Purpose: Operations, Actor: "svc-report", Job: "nightly-report"}
	read := func(req Request, some []stored) (n int) {
		for _, err := range r.OpenAll(context.Background(), pages(some), req) {
			if err == nil {
				n++
			}
		}
		return n
	}
	require.Equal(t, 1300, read(req, all[:1300]))
	require.Empty(t, w.alerts)
	require.Equal(t, "nightly-report", last(t, r.cfg.Log).Job)
	req.Actor = "svc-report-2"
	require.Equal(t, 100, read(req, all[1300:]), "the limit is the job's, whoever runs it")
	require.Len(t, w.alerts, 1)
	require.Equal(t, "nightly-report", w.alerts[0].Job)

	for _, req := range []Request{
		{Purpose: Operations, Actor: "dr-stolen", Job: "nightly-report"},
		{Purpose: Operations, Actor: "svc-report", Job: "no-such-job"},
	} {
		reasonIs(t, openChart(r, all[0], req), NoJob)
		require.Equal(t, NoJob, last(t, r.cfg.Log).Reason)
		_, err := r.Lookup(context.Background(), "NIK", nik(1), req)
		reasonIs(t, err, NoJob)
		req.Recipient = "friend"
		require.NoError(t, r.cfg.createKeysets(context.Background(), recipientDomain("friend")))
		_, err = r.Export(context.Background(), pages(all), req)
		reasonIs(t, err, NoJob)
	}
}

// TestGuardLookups: who only searches is stopped too.
func TestGuardLookups(t *testing.T) {
	ctx := context.Background()
	r, w, _ := guarded(t, 1, false)
	req := Request{Purpose: Treatment, Actor: "dr-stolen"}
	for range 2 {
		for i := range 200 {
			_, err := r.Lookup(ctx, "NIK", nik(i), req)
			require.NoError(t, err, "what was looked up costs nothing again")
		}
	}
	_, err := r.Lookup(ctx, "NIK", nik(200), req)
	reasonIs(t, err, TooMany)
	e := last(t, r.cfg.Log)
	require.Equal(t, []any{"lookup", "refused", TooMany}, []any{e.Action, e.Outcome, e.Reason})
	require.Len(t, w.alerts, 1)
	_, err = r.Lookup(ctx, "NIK", nik(200), Request{Purpose: EmergencyTreatment, Actor: "dr-stolen", Justification: "x"})
	reasonIs(t, err, TooMany)
}

// TestGuardEmergency: an emergency is alerted and never refused, whatever
// becomes of the counts; and what it reaches does not use up the usual limit.
func TestGuardEmergency(t *testing.T) {
	r, w, all := guarded(t, 31, true)
	r.cfg.Guard.People = Limit{Hour: 10, Day: 20}
	r.cfg.Roles = map[string][]string{"er": {"identity", "clinical"}}
	btg := Request{Purpose: BreakGlass, Actor: "dr-er", Role: "er", Justification: "mass casualty", Fulfils: []Obligation{"NOPERSISTP"}}
	for i, s := range all[:30] {
		require.NoError(t, openChart(r, s, btg))
		_, err := r.Lookup(context.Background(), "NIK", nik(i), btg)
		require.NoError(t, err)
	}
	require.Len(t, w.alerts, 2)
	require.True(t, w.alerts[0].Emergency)
	require.Equal(t, 11, w.alerts[0].Hour)
	usual := Request{Purpose: Treatment, Actor: "dr-er", Role: "er"}
	require.NoError(t, openChart(r, all[30], usual))

	_, err := w.db.Exec(`DROP TABLE consent_guard`)
	require.NoError(t, err)
	w.now = w.now.Add(3 * time.Hour)
	w.alerts = nil
	require.NoError(t, openChart(r, all[0], btg))
	require.Len(t, w.alerts, 1)
	require.Error(t, w.alerts[0].Err)
	err = openChart(r, all[1], usual)
	require.ErrorIs(t, err, ErrAudit, "fail closed")
	require.Len(t, w.alerts, 2)
	_, err = r.Lookup(context.Background(), "NIK", nik(700), usual)
	require.ErrorIs(t, err, ErrAudit)
	for _, err := range r.OpenAll(context.Background(), pages(all[1:3]), usual) {
		require.ErrorIs(t, err, ErrAudit)
	}
}

// TestGuardCountsAreBlind: the tables name nobody.
func TestGuardCountsAreBlind(t *testing.T) {
	r, w, all := guarded(t, 20, true)
	for _, s := range all {
		for _, who := range []string{"dr-ayu", "dr-budi"} {
			require.NoError(t, openChart(r, s, Request{Purpose: Treatment, Actor: who}))
		}
	}
	rows, err := w.db.Query(`SELECT who, what FROM consent_guard`)
	require.NoError(t, err)
	defer rows.Close()
	seen := map[string]bool{}
	for rows.Next() {
		var who, what []byte
		require.NoError(t, rows.Scan(&who, &what))
		require.False(t, bytes.Contains(who, []byte("dr-")) || bytes.Contains(what, []byte("p-")))
		require.False(t, seen[string(what)], "the same patient looks different for each actor")
		seen[string(what)] = true
	}
	require.NoError(t, rows.Err())
	require.Len(t, seen, 40)
}

func TestGuardRotation(t *testing.T) {
	r, _, all := guarded(t, 3, false)
	r.cfg.Guard.People = Limit{Hour: 1, Day: 1}
	req := Request{Purpose: Treatment, Actor: "dr-ayu"}
	require.NoError(t, openChart(r, all[0], req))
	reasonIs(t, openChart(r, all[1], req), TooMany)
	_, err := r.cfg.Ring.Rotate(context.Background(), "consent/log")
	require.NoError(t, err)
	require.NoError(t, openChart(r, all[1], req), "after a rotation counts begin anew")
	reasonIs(t, openChart(r, all[2], req), TooMany)
}

// TestGuardSilent: without a hook the alert goes to slog, and names no patient.
func TestGuardSilent(t *testing.T) {
	r, _, all := guarded(t, 2, false)
	r.cfg.Guard = Guard{People: Limit{Hour: 1}}
	var b bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&b, nil)))
	defer slog.SetDefault(before)
	req := Request{Purpose: Treatment, Actor: "dr-stolen"}
	require.NoError(t, openChart(r, all[0], req))
	for range 2 {
		reasonIs(t, openChart(r, all[1], req), TooMany)
	}
	require.Equal(t, 1, strings.Count(b.String(), "dr-stolen"))
	require.NotContains(t, b.String(), "p-1")
}

func TestGuardConfig(t *testing.T) {
	for name, g := range map[string]Guard{
		"negative hour":      {People: Limit{Hour: -1}},
		"negative day":       {People: Limit{Day: -1}},
		"a job of nobody":    {Jobs: map[string]Job{"j": {Limit: Limit{Day: 1}}}},
		"a job of no name":   {Jobs: map[string]Job{"": {Actors: []string{"a"}, Limit: Limit{Day: 1}}}},
		"a job of no actor":  {Jobs: map[string]Job{"j": {Actors: []string{""}, Limit: Limit{Day: 1}}}},
		"a job of no limit":  {Jobs: map[string]Job{"j": {Actors: []string{"a"}}}},
		"a job's wrong hour": {Jobs: map[string]Job{"j": {Actors: []string{"a"}, Limit: Limit{Hour: -1, Day: 1}}}},
	} {
		cfg := memoryConfig(t)
		cfg.Guard = g
		_, err := NewRecords[chart]("chart", cfg)
		require.ErrorIs(t, err, ErrLimit, name)
	}
}

// TestGuardRefusedCountNothing: what the patient refuses uses up nothing.
func TestGuardRefusedCountNothing(t *testing.T) {
	r, _, all := guarded(t, 12, false)
	r.cfg.Guard.People = Limit{Hour: 2, Day: 2}
	for _, s := range all[:10] {
		reasonIs(t, openChart(r, s, Request{Purpose: Marketing, Actor: "dr-ayu"}), NoConsent)
	}
	require.NoError(t, openChart(r, all[10], Request{Purpose: Treatment, Actor: "dr-ayu"}))
}

// TestGuardCancelled: a caller who goes away gets nothing and alerts nobody.
func TestGuardCancelled(t *testing.T) {
	r, w, all := guarded(t, 1, false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := r.Open(ctx, &chart{ID: all[0].id}, all[0].row, care)
	require.True(t, errors.Is(err, context.Canceled), err)
	require.Empty(t, w.alerts)
}
