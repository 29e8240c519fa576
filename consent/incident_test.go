package consent

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// incidents is a clinic at which ten patients were seen by two doctors, and six
// given to two recipients.
func incidents(t *testing.T) (*Records[chart], *watch, []stored, map[string][]pseudo.Token) {
	t.Helper()
	ctx := context.Background()
	r, w, all := guarded(t, 10, false)
	for i, s := range all {
		w.now = w.now.Add(time.Minute)
		require.NoError(t, openChart(r, s, Request{Purpose: Treatment, Actor: []string{"dr-ayu", "dr-stolen"}[i/5]}))
	}
	reasonIs(t, openChart(r, all[0], Request{Purpose: Marketing, Actor: "dr-stolen"}), NoConsent)
	_, err := r.Lookup(ctx, "NIK", nik(3), Request{Purpose: Treatment, Actor: "dr-stolen"})
	require.NoError(t, err)
	given := map[string][]pseudo.Token{}
	for i, recipient := range []string{"ui-2026", "ugm-2026"} {
		w.now = w.now.Add(time.Hour)
		require.NoError(t, r.cfg.AddRecipient(ctx, recipient))
		table, err := r.Export(ctx, pages(all[2*i:2*i+4]), Request{Purpose: Operations, Actor: "irb-12", Recipient: recipient, Gate: study.Gate})
		require.NoError(t, err)
		for row, err := range table.Rows() {
			require.NoError(t, err)
			token, err := pseudo.ParseToken(row[0].(string))
			require.NoError(t, err)
			given[recipient] = append(given[recipient], token)
		}
	}
	return r, w, all, given
}

func ids(all []stored) []string {
	out := make([]string, len(all))
	for i := range all {
		out[i] = all[i].id
	}
	return out
}

func subjects(r *Report) (out []string) {
	for _, p := range r.Patients {
		out = append(out, p.Subject)
	}
	return out
}

func investigate(t *testing.T, cfg *Config, what Incident, patients []string) *Report {
	t.Helper()
	r, err := cfg.Investigate(context.Background(), what, slices.Values(patients))
	require.NoError(t, err)
	return r
}

func TestIncidentOfAnActor(t *testing.T) {
	r, w, all, _ := incidents(t)
	found := w.now.Add(-time.Hour)
	got := investigate(t, r.cfg, Incident{Actor: "dr-stolen", Found: found}, ids(all))
	require.Equal(t, ids(all[5:]), subjects(got))
	require.Equal(t, []int{6, 1, 1, 0}, []int{got.Entries, got.Refused, got.Lookups, got.Unnamed})
	require.True(t, found.Add(72*time.Hour).Equal(got.NotifyBy))
	require.Equal(t, Affected{Subject: "p-5", Entries: 1, Actions: []string{"open"}, Fields: []string{"chart.NIK", "chart.Note"}, First: got.Patients[0].First, Last: noon.Add(6 * time.Minute).Local()}, got.Patients[0])
	require.Equal(t, []string{"dr-stolen"}, got.Actors)
	require.Contains(t, got.Checkpoint, "rahasia/ring-test")

	whole := investigate(t, r.cfg, Incident{Actor: "dr-stolen", From: noon.Add(8 * time.Minute), Until: noon.Add(10 * time.Minute)}, ids(all))
	require.Equal(t, []string{"p-7", "p-8"}, subjects(whole))
	require.Equal(t, w.now, whole.Found)
	require.Empty(t, investigate(t, r.cfg, Incident{Actor: "nobody"}, ids(all)).Patients)
}

func TestIncidentOfARecipient(t *testing.T) {
	r, _, all, _ := incidents(t)
	got := investigate(t, r.cfg, Incident{Recipient: "ugm-2026"}, ids(all))
	require.Equal(t, []string{"p-2", "p-3", "p-4", "p-5"}, subjects(got))
	require.Equal(t, []string{"ugm-2026"}, got.Patients[0].Recipients)
	require.Equal(t, []string{"chart.Note"}, got.Patients[0].Fields)
	require.Equal(t, []string{"irb-12"}, got.Actors)
}

// TestIncidentOfAKey: before a rotation, and after.
func TestIncidentOfAKey(t *testing.T) {
	ctx := context.Background()
	r, _, all, _ := incidents(t)
	ks, err := r.cfg.Ring.Keyset(ctx, "clinical")
	require.NoError(t, err)
	old := ks.Primary()
	version, err := r.cfg.Ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	_, err = r.Seal(ctx, &chart{ID: "p-new", Note: "x"}, careTag)
	require.NoError(t, err)
	patients := append(ids(all), "p-new")
	require.Equal(t, []string{"p-new"}, subjects(investigate(t, r.cfg, Incident{Compartment: "clinical", Version: version}, patients)))
	require.Equal(t, ids(all), subjects(investigate(t, r.cfg, Incident{Compartment: "clinical", Version: old}, patients)))
	require.Len(t, investigate(t, r.cfg, Incident{Compartment: "clinical"}, patients).Patients, 11)
	require.Empty(t, investigate(t, r.cfg, Incident{Compartment: "sensitive"}, patients).Patients)
}

// TestIncidentOfLeakedTokens: three pseudonyms are published; the report says
// whose table they are of, and who else was in it.
func TestIncidentOfLeakedTokens(t *testing.T) {
	r, _, all, given := incidents(t)
	what := Incident{Leaked: given["ugm-2026"][:3], Suspects: []string{"ui-2026", "ugm-2026"}}
	got := investigate(t, r.cfg, what, ids(all))
	require.Equal(t, "ugm-2026", got.Domains[0].Recipient)
	require.Equal(t, []int{3, 3}, []int{got.Domains[0].Explained, got.Domains[0].Leaked})
	require.Less(t, got.Domains[0].Chance, 1e-20)
	require.Zero(t, got.Domains[1].Explained)
	require.Equal(t, []string{"p-2", "p-3", "p-4", "p-5"}, subjects(got))
	for i, p := range got.Patients {
		require.Equal(t, i < 3, p.Leaked, p.Subject)
	}
	for _, in := range []Language{English, Indonesian} {
		require.Contains(t, got.Text(in), "ugm-2026")
	}

	what.Suspects = []string{"ui-2026"}
	got = investigate(t, r.cfg, what, ids(all))
	require.Empty(t, got.Patients, "nothing says who it was")
	_, err := r.cfg.Investigate(context.Background(), Incident{Leaked: what.Leaked, Suspects: []string{"no-such"}}, nil)
	require.ErrorIs(t, err, keyring.ErrNoKeyset)
}

// TestIncidentErased: whoever was erased, or is not asked about, is a number.
func TestIncidentErased(t *testing.T) {
	ctx := context.Background()
	r, _, all, _ := incidents(t)
	_, err := r.cfg.Erase(ctx, "p-6", "clerk")
	require.NoError(t, err)
	got := investigate(t, r.cfg, Incident{Actor: "dr-stolen"}, append(ids(all[6:]), "p-unknown"))
	require.Equal(t, []string{"p-7", "p-8", "p-9"}, subjects(got))
	require.Equal(t, 2, got.Unnamed)
	got, err = r.cfg.Investigate(ctx, Incident{Actor: "dr-stolen"}, nil)
	require.NoError(t, err)
	require.Equal(t, 5, got.Unnamed)
}

// TestIncidentUndone: an opening that was announced and failed touched nobody.
func TestIncidentUndone(t *testing.T) {
	ctx := context.Background()
	r, w, all := guarded(t, 2, false)
	w.now = w.now.Add(time.Minute)
	require.NoError(t, openChart(r, all[0], care))
	x, err := r.release(ctx, &chart{ID: all[1].id}, all[1].row, asked{action: "open", req: care})
	require.NoError(t, err)
	require.Equal(t, []string{"p-0", "p-1"}, subjects(investigate(t, r.cfg, Incident{Actor: care.Actor}, ids(all))))
	r.failed(ctx, x)
	got := investigate(t, r.cfg, Incident{Actor: care.Actor}, ids(all))
	require.Equal(t, []string{"p-0"}, subjects(got))
	require.Equal(t, []int{1, 0}, []int{got.Entries, got.Unnamed})
	require.EqualValues(t, 5, got.Log)
}

func TestIncidentErrors(t *testing.T) {
	ctx := context.Background()
	r, _, _, _ := incidents(t)
	_, err := r.cfg.Investigate(ctx, Incident{Suspects: []string{"ui-2026"}}, nil)
	require.ErrorIs(t, err, ErrRequest)
	_, err = r.cfg.Investigate(ctx, Incident{Actor: "x"}, slices.Values([]string{""}))
	require.ErrorIs(t, err, ErrSubject)
	_, err = (&Config{}).Investigate(ctx, Incident{Actor: "x"}, nil)
	require.ErrorIs(t, err, ErrConfig)

	cfg, db := sqlConfig(t)
	for range 4 {
		sealed(t, people(t, cfg), ayu)
	}
	placed(t, cfg.Log)
	_, err = db.Exec(flip("consent_log", "leaves", 44))
	require.NoError(t, err)
	_, err = cfg.Investigate(ctx, Incident{Actor: "x"}, nil)
	require.ErrorIs(t, err, ErrTampered)
}

// TestIncidentText: both languages say who, what, when and until when; JSON
// comes back as it was; no name that somebody chose writes a line.
func TestIncidentText(t *testing.T) {
	r, w, all, _ := incidents(t)
	forged := "dr-x\nPatients affected: 0"
	require.NoError(t, openChart(r, all[0], Request{Purpose: Treatment, Actor: forged}))
	jakarta := time.FixedZone("WIB", 7*60*60)
	got := investigate(t, r.cfg, Incident{From: noon, Until: w.now.Add(1), Found: time.Date(2026, 3, 3, 8, 0, 0, 0, jakarta)}, ids(all))
	for in, wants := range map[Language][]string{
		English:    {"INCIDENT REPORT", "article 46", "by 2026-03-06 08:00:00 +07:00", "Patients affected: 10; named: 10;", "Patient p-5", "acts: export, open, seal", "chart.Note", "given to: ui-2026"},
		Indonesian: {"LAPORAN INSIDEN", "Pasal 46", "paling lambat 2026-03-06 08:00:00 +07:00", "Pasien terdampak: 10; dikenali: 10;", "Pasien p-5", "tindakan: export, open, seal", "chart.Note", "diberikan kepada: ui-2026"},
	} {
		text := got.Text(in)
		for _, want := range wants {
			require.Contains(t, text, want)
		}
		require.NotContains(t, text, "\nPatients affected: 0")
		require.NotContains(t, text, "%!")
	}
	text, err := json.Marshal(got)
	require.NoError(t, err)
	var back Report
	require.NoError(t, json.Unmarshal(text, &back))
	require.Equal(t, got.Text(English), back.Text(English))
	require.NotContains(t, string(text), "J45", "no value")
}

// TestIncidentMarks: two patients' marks differ, and one patient's are the same.
func TestIncidentMarks(t *testing.T) {
	ctx := context.Background()
	r, _, _, _ := incidents(t)
	marks := map[string]bool{}
	require.NoError(t, r.cfg.Log.tree().Leaves(ctx, 0, func(_ int64, leaf []byte) error {
		b, err := r.cfg.Log.open(ctx, leaf)
		if err == nil && b.Patient != nil {
			require.Len(t, b.Patient, 16)
			marks[string(b.Patient)] = true
		}
		return err
	}))
	require.Len(t, marks, 10)
}

// TestIncidentOldRow: a row that is older than one of its type's compartments
// opens, and its entry names the keys that there are.
func TestIncidentOldRow(t *testing.T) {
	type before struct {
		ID   string `phi:"subject"`
		Note string `phi:"clinical"`
	}
	cfg := memoryConfig(t)
	old, err := NewRecords[before]("chart", cfg)
	require.NoError(t, err)
	row, err := old.Seal(context.Background(), &before{"p-1", "x"}, careTag)
	require.NoError(t, err)
	_, err = cfg.Give(context.Background(), Consent{Subject: "p-1", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	now, err := NewRecords[chart]("chart", cfg)
	require.NoError(t, err)
	require.NoError(t, openChart(now, stored{"p-1", row.Sealed}, care))
	require.Equal(t, map[string]uint32{"clinical": 1}, last(t, cfg.Log).Keys)
}
