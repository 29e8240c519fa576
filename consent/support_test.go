package consent

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
)

// person is a record of three compartments with everything a tag can say.
type person struct {
	ID        string    `phi:"subject"`
	NIK       string    `phi:"nik,lookup"`
	Name      string    `phi:"name"`
	Phone     *string   `phi:"phone,lookup"`
	Born      time.Time `phi:"birthdate"`
	Sex       string    `phi:"sex"`
	Diagnosis []string  `phi:"clinical"`
	Serology  string    `phi:"clinical,label=HIV"`
	Family    string    `phi:"sensitive"`
	Notes     string
	Clinic    string `phi:"clear"`
}

var ayu = person{
	ID: "p-ayu", NIK: "9204014804000002", Name: "Claudia Sintia", Phone: new("0810-0000-0001"), Born: time.Date(1989, 11, 3, 0, 0, 0, 0, time.UTC), Sex: "female",
	Diagnosis: []string{"J45 Asthma"}, Serology: "non-reactive", Family: "kept apart", Notes: "speaks softly", Clinic: "clinic-7",
}

var (
	careTag = Tag{Purpose: Treatment, Basis: Consented}
	care    = Request{Purpose: Treatment, Actor: "dr-ayu"}
)

// memoryConfig is a configuration that dies with the test.
func memoryConfig(t testing.TB) *Config {
	t.Helper()
	cfg, _ := memoryHouse(t)
	return cfg
}

// memoryHouse is memoryConfig and what opens its ring once more, as another
// process would.
func memoryHouse(t testing.TB) (*Config, keyring.Config) {
	t.Helper()
	ctx := context.Background()
	kek, err := keyring.CreateKeyFile(filepath.Join(t.TempDir(), "kek"))
	require.NoError(t, err)
	keys := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: kek}
	ring, err := keyring.Create(ctx, "ring-test", keys)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ring.Close() })
	cfg := &Config{Ring: ring, Provision: true, Now: func() time.Time { return noon }}
	require.NoError(t, cfg.createKeysets(ctx, evidence.ChainKeyset, evidence.TreeKeyset, auditCompartment))
	cfg.Ledger, err = OpenLedger(ctx, ring, nil)
	require.NoError(t, err)
	cfg.Log, err = OpenLog(ctx, ring, nil)
	require.NoError(t, err)
	return cfg, keys
}

func people(t testing.TB, cfg *Config) *Records[person] {
	t.Helper()
	r, err := NewRecords[person]("person", cfg)
	require.NoError(t, err)
	return r
}

// sealed seals p and gives its consent to the purposes.
func sealed(t testing.TB, r *Records[person], p person, purposes ...Purpose) Row {
	t.Helper()
	row, err := r.Seal(context.Background(), &p, careTag)
	require.NoError(t, err)
	if len(purposes) > 0 {
		_, err = r.cfg.Give(context.Background(), Consent{Subject: p.ID, Purposes: purposes})
		require.NoError(t, err)
	}
	return row
}

// placed waits until everything that was appended has its place in the tree.
func placed(t testing.TB, l *Log) {
	t.Helper()
	_, err := l.Checkpoint(context.Background())
	require.NoError(t, err)
}

// entries are all entries of the log, opened.
func entries(t testing.TB, l *Log) []Entry {
	t.Helper()
	var out []Entry
	err := l.tree().Leaves(context.Background(), 0, func(i int64, leaf []byte) error {
		b, err := l.open(context.Background(), leaf)
		if err == nil {
			out = append(out, b.entry(i))
		}
		return err
	})
	require.NoError(t, err)
	return out
}

func last(t testing.TB, l *Log) Entry {
	t.Helper()
	all := entries(t, l)
	require.NotEmpty(t, all)
	return all[len(all)-1]
}

func open(r *Records[person], id string, row envelope.Sealed, req Request) (person, error) {
	out := person{ID: id}
	err := r.Open(context.Background(), &out, row, req)
	return out, err
}

// lastOf is the newest entry that names the patient.
func lastOf(t testing.TB, cfg *Config, subject string) Entry {
	t.Helper()
	h, err := cfg.Log.History(context.Background(), subject)
	require.NoError(t, err)
	require.NotEmpty(t, h)
	return h[len(h)-1]
}
