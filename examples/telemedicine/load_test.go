package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

var loadFor = flag.Duration("load", 2*time.Second, "how long TestLoad works on each database")

// doctors is how many work at once. Each opens the charts of the same 60 patients,
// who are fewer than the guard lets one person reach.
const doctors = 8

// TestLoad: doctors open charts, as pages and as JSON in turn; before each answer
// the decision is in the audit log and on the disk. No answer is an error, and what
// the process holds does not grow.
//
//	go test ./examples/telemedicine -run Load -v -load 10m
func TestLoad(t *testing.T) {
	// One after the other: what is measured shares the machine with nothing.
	t.Run("sqlite", func(t *testing.T) { load(t, open(t, "", people)) })
	t.Run("postgres", func(t *testing.T) { load(t, open(t, database(t), people)) })
}

func load(t *testing.T, h *house) {
	t.Helper()
	dewi := user(t, h, "dpo-dewi")
	patients, err := h.clinic.ToShow(t.Context(), dewi, people)
	require.NoError(t, err)
	before, err := h.clinic.Overview(t.Context(), dewi)
	require.NoError(t, err)
	var work []*worker
	for i := range doctors {
		name := fmt.Sprintf("dr-load-%d", i)
		require.NoError(t, h.clinic.AddAccount(t.Context(), clinic.User{Name: name, Role: clinic.Doctor, Title: name}, seed.Password))
		work = append(work, &worker{caller: call(t, h, name), at: i * len(patients) / doctors})
	}
	var held []holding
	began := time.Now()
	for range 3 { // thirds, between which nobody works
		var wg sync.WaitGroup
		until := time.Now().Add(*loadFor / 3)
		for _, w := range work {
			wg.Go(func() {
				for time.Now().Before(until) {
					w.one(patients)
				}
			})
		}
		wg.Wait()
		held = append(held, hold())
		t.Logf("%v: %v", time.Since(began).Round(time.Second), held[len(held)-1])
	}
	took := time.Since(began)

	var all latencies
	opened, refused, failed := 0, 0, []string(nil)
	for _, w := range work {
		all.add(&w.latencies)
		opened, refused, failed = opened+w.opened, refused+w.refused, append(failed, w.failed...)
	}
	n := opened + refused
	t.Logf("%s: %d doctors, %d charts opened and %d refused by consent in %v: %.0f a second, p50 %v, p99 %v; after each third %v",
		t.Name(), doctors, opened, refused, took.Round(time.Second), float64(n)/took.Seconds(), all.quantile(0.5), all.quantile(0.99), held)
	require.Empty(t, failed)
	require.Positive(t, opened)
	require.LessOrEqual(t, held[2].heap, held[0].heap*5/4+8<<20, "the heap grows")
	// Connections come and go; what each chart left behind would be hundreds.
	require.LessOrEqual(t, held[2].goroutines, held[0].goroutines+100, "goroutines are left behind")
	after, err := h.clinic.Overview(t.Context(), dewi)
	require.NoError(t, err)
	require.GreaterOrEqual(t, int64(after.Entries-before.Entries), int64(n), "each answer has its entry")
	_, err = h.clinic.VerifyLog(t.Context(), dewi)
	require.NoError(t, err)
}

// worker is one doctor.
type worker struct {
	*caller
	at int

	opened, refused int
	failed          []string
	latencies       latencies
}

func (w *worker) one(patients []clinic.Shown) {
	path := "/doctor/patients/" + patients[w.at/2%len(patients)].ID
	if w.at%2 == 1 {
		path = "/api" + path
	}
	w.at++
	began := time.Now()
	answer, err := w.http.Get(w.base + path)
	if err == nil {
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	w.latencies.note(time.Since(began))
	switch {
	case err != nil:
		w.failed = append(w.failed, err.Error())
	case answer.StatusCode == http.StatusOK:
		w.opened++
	case answer.StatusCode == http.StatusForbidden:
		w.refused++
	default:
		w.failed = append(w.failed, answer.Status)
	}
}

// latencies counts by steps of a twentieth of a doubling, in the same room however
// many there are.
type latencies [40 * perDoubling]int64

const perDoubling = 20

func (l *latencies) note(d time.Duration) {
	step := 0
	for top := time.Microsecond; top < d && step < len(l)-1; step++ {
		top = topOf(step + 1)
	}
	l[step]++
}

func topOf(step int) time.Duration {
	doubled := time.Microsecond << (step / perDoubling)
	return doubled + doubled*time.Duration(step%perDoubling)/perDoubling
}

func (l *latencies) add(other *latencies) {
	for i := range l {
		l[i] += other[i]
	}
}

func (l *latencies) quantile(q float64) time.Duration {
	var all, seen int64
	for i := range l {
		all += l[i]
	}
	for i := range l {
		if seen += l[i]; float64(seen) >= q*float64(all) {
			return topOf(i).Round(100 * time.Microsecond)
		}
	}
	return 0
}

// holding is what the process has while nobody works.
type holding struct {
	heap       uint64
	goroutines int
}

func hold() holding {
	runtime.GC()
	runtime.GC() // what the first has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holding{m.HeapAlloc, runtime.NumGoroutine()}
}

// String is for the log.
func (h holding) String() string {
	return fmt.Sprintf("%.1f MiB and %d goroutines", float64(h.heap)/(1<<20), h.goroutines)
}
