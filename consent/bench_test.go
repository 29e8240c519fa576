package consent

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/pgtest"
)

// chartOf12 is a record of three compartments: twelve sealed fields, two of them
// looked up.
type chartOf12 struct {
	ID        string   `phi:"subject"`
	NIK       string   `phi:"nik,lookup"`
	Phone     string   `phi:"phone,lookup"`
	Name      string   `phi:"name"`
	Email     string   `phi:"email"`
	Address   string   `phi:"address"`
	Sex       string   `phi:"sex"`
	Diagnosis []string `phi:"clinical"`
	Allergies []string `phi:"clinical"`
	Serology  string   `phi:"clinical,label=HIV"`
	Notes     string
	Family    string `phi:"sensitive"`
	Worries   string `phi:"sensitive"`
}

func benchmarkRecords(b testing.TB, cfg *Config) (*Records[chartOf12], chartOf12, Tag) {
	b.Helper()
	r, err := NewRecords[chartOf12]("chart", cfg)
	require.NoError(b, err)
	c := chartOf12{
		ID: ayu.ID, NIK: ayu.NIK, Phone: *ayu.Phone, Name: ayu.Name, Email: "claudia@example.com", Address: "Jl. Contoh 7, Jakarta", Sex: ayu.Sex,
		Diagnosis: ayu.Diagnosis, Allergies: []string{"penicillin"}, Serology: ayu.Serology, Notes: ayu.Notes, Family: ayu.Family, Worries: "sleeps little",
	}
	return r, c, Tag{
		Purpose: Treatment, Basis: Consented, Actor: "dr-ayu", Consent: "c-2026-0001", Policy: "2026-01", Confidentiality: Normal, Sensitivity: []Label{"PSY"},
		Retain: noon.AddDate(25, 0, 0), Author: "dr-ayu", Related: []string{"enc-1"}, Time: noon,
	}
}

// BenchmarkRecordsSeal seals a record of twelve fields in three compartments with
// two lookup tokens and a full consent tag, over stores in memory. limit is twelve
// AES-256-GCM seals of 24 bytes under a prepared key: the share of the primitive.
// Of what is above it row is the envelope's, tokens the lookup tokens', and entry
// that of an entry of the log with its place in the tree.
func BenchmarkRecordsSeal(b *testing.B) {
	ctx := context.Background()
	r, c, tag := benchmarkRecords(b, memoryConfig(b))
	_, err := r.Seal(ctx, &c, tag) // the patient's keys are made once
	require.NoError(b, err)
	b.Run("rahasia", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Seal(ctx, &c, tag); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("row", func(b *testing.B) {
		tags, err := tag.sections(r.plan)
		require.NoError(b, err)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.codec.Seal(ctx, &c, tags); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tokens", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.index.Tokens(ctx, &c); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("entry", func(b *testing.B) {
		e := last(b, r.cfg.Log)
		body := logBody{
			Time: e.Time.UnixNano(), Actor: e.Actor, Purpose: e.Purpose, Action: e.Action, Type: e.Type, Outcome: e.Outcome, Decision: e.Decision,
			Subject: make([]byte, sha256.Size+12+saltSize+2*(2+len(c.ID))+16), Patient: make([]byte, 16), under: keyVersions{{"clinical", 1}, {"identity", 1}, {"sensitive", 1}},
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := r.cfg.Log.append(ctx, &body); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("limit", func(b *testing.B) {
		block, _ := aes.NewCipher(make([]byte, 32))
		g, _ := cipher.NewGCM(block)
		nonce, value, out := make([]byte, 12), make([]byte, 24), make([]byte, 0, 64)
		b.ReportAllocs()
		for b.Loop() {
			for range 12 {
				out = g.Seal(out[:0], nonce, value, nil)
			}
		}
	})
}

// BenchmarkRecordsOpen opens all twelve fields of such a record, one call at a
// time, with ledger and log in memory or in a database, where an opening waits for
// its entry to be on the disk of the temporary folder. The keys are in memory.
func BenchmarkRecordsOpen(b *testing.B) {
	ctx := context.Background()
	for _, kind := range []string{"memory", "sqlite", "postgres"} {
		b.Run(kind, func(b *testing.B) {
			cfg := memoryConfig(b)
			switch kind {
			case "sqlite":
				cfg, _ = sqlConfig(b)
			case "postgres":
				reopen(b, cfg, pgtest.Open(b, pgtest.Start(b).Database(b)))
			}
			r, c, tag := benchmarkRecords(b, cfg)
			row, err := r.Seal(ctx, &c, tag)
			require.NoError(b, err)
			_, err = cfg.Give(ctx, Consent{Subject: c.ID, Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV", "PSY"}})
			require.NoError(b, err)
			out := chartOf12{ID: c.ID}
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Open(ctx, &out, row.Sealed, care); err != nil {
					b.Fatal(err)
				}
			}
			require.Equal(b, c, out)
		})
	}
}

// manyConsents are n live consents with the usual bounds, the last of which permits treatment.
func manyConsents(n int) []Consent {
	var cs []Consent
	for i := range n - 1 {
		cs = append(cs, Consent{ID: fmt.Sprintf("c%03d", i), Purposes: []Purpose{Payment, Operations}, Roles: []string{"clerk"}, Until: noon.AddDate(1, 0, 0)})
	}
	return append(cs, Consent{ID: "z", Purposes: []Purpose{Treatment}, Sensitivity: []Label{"HIV"}, Until: noon.AddDate(1, 0, 0)})
}

// TestDecideAllocates: nothing on the way to a permit without obligations. How
// fast it is, beside Cedar, is measured in consent/internal/cedar.
func TestDecideAllocates(t *testing.T) {
	cs, data := manyConsents(10), Data{Sensitivity: []Label{"HIV"}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !new(Policy).Decide(cs, care, data, noon).Permit {
			t.Fail()
		}
	}))
}
