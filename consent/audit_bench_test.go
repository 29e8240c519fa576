package consent

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
)

// auditEntry is as large as that of an opening of 12 fields.
func auditEntry(subject []byte) *logBody {
	return &logBody{
		Time: time.Now().UnixNano(), Actor: "dr-ayu", Role: "doctor", Purpose: Treatment, Action: "open", Type: "patient",
		Fields: []string{"NIK", "Name", "Phone", "Born", "Sex", "Diagnosis", "Family", "Notes"}, Withheld: []string{"Serology"},
		Outcome: "done", Reason: Permitted, Decision: "0198c0de-0000-7000-8000-000000000000", Ledger: 42, Subject: subject,
	}
}

// BenchmarkAuditAppend writes entries durably, to SQLite with synchronous=FULL and
// to files (dir) in the temporary folder, which must be on a real disk for the figure to mean
// anything: batch, of 100 by each of 4 goroutines; single, one entry at a time by
// each of 8. Their places in the tree are part of the time. sync is one write of
// 4 KiB and fdatasync, the share of the disk.
func BenchmarkAuditAppend(b *testing.B) {
	b.Run("single", func(b *testing.B) { benchmarkAppend(b, sqliteLog, 1, 8) })
	b.Run("batch", func(b *testing.B) { benchmarkAppend(b, sqliteLog, 100, 4) })
	b.Run("dir/single", func(b *testing.B) { benchmarkAppend(b, dirLog, 1, 8) })
	b.Run("dir/batch", func(b *testing.B) { benchmarkAppend(b, dirLog, 100, 4) })
	b.Run("sync", func(b *testing.B) {
		f, err := os.Create(filepath.Join(b.TempDir(), "f"))
		require.NoError(b, err)
		defer f.Close()
		page := make([]byte, 4096)
		for b.Loop() {
			if _, err := f.Write(page); err != nil || f.Sync() != nil {
				b.Fatal(err)
			}
		}
	})
}

func sqliteLog(b *testing.B, ring *keyring.Ring) (*Log, error) {
	db, err := sqlite.Open(filepath.Join(b.TempDir(), "consent.db"))
	require.NoError(b, err)
	b.Cleanup(func() { _ = sqlite.Close(db) })
	return OpenLog(context.Background(), ring, db)
}

func dirLog(b *testing.B, ring *keyring.Ring) (*Log, error) {
	return OpenLogDir(context.Background(), ring, filepath.Join(b.TempDir(), "log"))
}

func benchmarkAppend(b *testing.B, open func(*testing.B, *keyring.Ring) (*Log, error), batch, goroutines int) {
	ctx := context.Background()
	cfg := memoryConfig(b)
	var err error
	cfg.Log, err = open(b, cfg.Ring)
	require.NoError(b, err)
	subject := make([]byte, 80)
	_, _ = rand.Read(subject)
	var left atomic.Int64
	left.Store(int64(b.N))
	var mu sync.Mutex
	var waits []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			var own []time.Duration
			for left.Add(-1) >= 0 {
				bodies := make([]*logBody, batch)
				for i := range bodies {
					bodies[i] = auditEntry(subject)
				}
				began := time.Now()
				if err := cfg.Log.append(ctx, bodies...); err != nil {
					b.Error(err)
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			waits = append(waits, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	_, err = cfg.Log.Checkpoint(ctx) // every entry has its place
	require.NoError(b, err)
	b.StopTimer()
	slices.Sort(waits)
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "p99-ms")
	n, err := cfg.Log.Verify(ctx)
	require.NoError(b, err)
	require.EqualValues(b, b.N*batch, n, fmt.Sprint(b.N))
}
