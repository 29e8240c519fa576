package keyring_test

import (
	"bytes"
	"context"
	"expvar"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

func TestSubjects(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical", "identity")
	want := people(t, w.ring, 4, "clinical", "identity")
	_, err := w.ring.CreateSubject(ctx, "half", "clinical")
	require.NoError(t, err)
	_, err = w.ring.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	_, err = w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	torn := w.ring.TagOf("identity", "patient-3")
	rec := keyring.Rows(w.Store)[torn]
	rec.Commitment[0]++
	keyring.Rows(w.Store)[torn] = rec
	ids := []string{"patient-2", "nobody", alice, "patient-0", "half", "patient-2", "patient-3", "patient-1"}
	wrong := map[string]error{"nobody": keyring.ErrNoSubjectKey, alice: keyring.ErrShredded, "half": keyring.ErrNoSubjectKey, "patient-3": keyring.ErrCorrupt}

	check := func(r *keyring.Ring, got []keyring.SubjectKeys, wrong map[string]error) {
		t.Helper()
		require.Len(t, got, len(ids))
		for i, id := range ids {
			if wrong[id] != nil {
				requireError(t, got[i].Err, wrong[id])
				require.Nil(t, got[i].Keys)
				continue
			}
			require.NoError(t, got[i].Err)
			one, err := r.Subject(ctx, id, "clinical", "identity")
			require.NoError(t, err)
			require.Equal(t, tokens(t, one), tokens(t, got[i].Keys))
			if want[id] != nil {
				require.Equal(t, want[id], tokens(t, got[i].Keys))
			}
		}
	}
	r := w.open(t)
	before := keyring.Backup(w.Store)
	for range 2 { // the second time from memory
		got, err := r.Subjects(ctx, ids, "clinical", "identity")
		require.NoError(t, err)
		check(r, got, wrong)
	}
	require.Equal(t, keyring.Rows(before), keyring.Rows(w.Store), "it created a key")
	got, err := r.CreateSubjects(ctx, ids, "clinical", "identity")
	require.NoError(t, err)
	check(r, got, map[string]error{alice: keyring.ErrShredded, "patient-3": keyring.ErrCorrupt})
	got, err = w.open(t).Subjects(ctx, ids, "clinical", "identity")
	require.NoError(t, err)
	check(r, got, map[string]error{alice: keyring.ErrShredded, "patient-3": keyring.ErrCorrupt})

	none, err := r.Subjects(ctx, nil, "clinical")
	require.NoError(t, err)
	require.Empty(t, none)
	for _, c := range []struct {
		ids, names []string
		want       error
	}{
		{[]string{alice, ""}, []string{"clinical"}, keyring.ErrEmpty},
		{[]string{alice, string(make([]byte, 256))}, []string{"clinical"}, keyring.ErrName},
		{[]string{alice}, nil, keyring.ErrEmpty},
		{[]string{alice}, []string{"clinical", "clinical"}, keyring.ErrName},
		{[]string{alice}, []string{"lookup/patient/NIK"}, keyring.ErrName},
		{[]string{budi}, []string{"audit"}, keyring.ErrNoKeyset},
	} {
		_, err := r.CreateSubjects(ctx, c.ids, c.names...)
		requireError(t, err, c.want)
	}
	_, err = r.Only("clinical").Subjects(ctx, ids, "identity")
	requireError(t, err, keyring.ErrNotGranted)
	w.Store = &faultyStore{Store: w.Store}
	failing := w.open(t)
	w.Store.(*faultyStore).at = 1
	_, err = failing.Subjects(ctx, ids, "clinical")
	requireError(t, err, errStore)
	require.NoError(t, r.Close())
	_, err = r.Subjects(ctx, ids, "clinical")
	requireError(t, err, keyring.ErrClosed)
}

// Pages that overlap, created by many at once: one key for each subject.
func TestSubjectsRace(t *testing.T) {
	w := newWorld(t, "clinical", "identity")
	var mu sync.Mutex
	seen := map[string]string{}
	var wait sync.WaitGroup
	for g := range 8 {
		r := w.open(t)
		wait.Go(func() {
			var ids []string
			for i := range 40 {
				ids = append(ids, fmt.Sprint("patient-", (i+5*g)%60))
			}
			got, err := r.CreateSubjects(t.Context(), ids, "identity", "clinical")
			if err != nil {
				t.Error(err)
				return
			}
			for i, id := range ids {
				if got[i].Err != nil {
					t.Error(got[i].Err)
					continue
				}
				text := fmt.Sprint(tokens(t, got[i].Keys))
				mu.Lock()
				if was := seen[id]; was != "" && was != text {
					t.Error("two keys for one subject")
				}
				seen[id] = text
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	require.Len(t, seen, 60)
}

// count is Metrics that a test reads.
type count struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *count) Add(name string, delta int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int64{}
	}
	c.n[name] += delta
}

// 100,000 records of 10,000 patients, in pages of 100, sealed by one process
// and opened by another: at most one call of the KEK for each keyset and two of
// the store for each page, by the metrics and by the KEK's own count.
func TestEconomy(t *testing.T) {
	const page = 100
	patients, records := 10_000, 100_000
	if testing.Short() {
		patients, records = 1_000, 10_000
	}
	ctx := t.Context()
	compartments := []string{"clinical", "identity"}
	w := newWorld(t, compartments...)
	patient := func(record int) string { return fmt.Sprint("patient-", record*7919%patients) }
	sealed := make([][]byte, records)
	for _, write := range []bool{true, false} {
		seen := &count{}
		w.Metrics = seen
		w.kek.opens.Store(0)
		r := w.open(t)
		atOpen := seen.n["store.calls"]
		for from := 0; from < records; from += page {
			var ids []string
			for record := from; record < from+page; record++ {
				ids = append(ids, patient(record))
			}
			get := r.Subjects
			if write {
				get = r.CreateSubjects
			}
			calls := seen.n["store.calls"]
			_, err := get(ctx, ids, compartments...)
			require.NoError(t, err)
			for i, id := range ids { // as each record asks for its own
				keys, err := r.Subject(ctx, id, compartments...)
				if err != nil { // 200,000 times: require would take most of the time
					t.Fatal(err)
				}
				record, err := keys[0].Record(1)
				if err != nil {
					t.Fatal(err)
				}
				if write {
					sealed[from+i] = secret.SealRandom(record, nil, []byte(id), nil)
				} else if text, err := secret.OpenRandom(record, nil, sealed[from+i], nil); err != nil || string(text) != id {
					t.Fatal("a record does not open as it was sealed")
				}
			}
			if from > 0 { // the first page loads the keysets
				require.LessOrEqual(t, seen.n["store.calls"]-calls, int64(3), "with a comparison of store and journal, every 5 s")
			}
		}
		require.LessOrEqual(t, seen.n["store.calls"]-atOpen, int64(2*records/page))
		require.Equal(t, int64(len(compartments)+1), seen.n["kek.calls"], "one for each keyset, the control keyset among them")
		require.Equal(t, int32(seen.n["kek.calls"]), w.kek.opens.Load())
		require.GreaterOrEqual(t, seen.n["cache.hits"], int64(records))
		require.GreaterOrEqual(t, seen.n["cache.misses"], int64(patients))
		require.Equal(t, int64(2*records), seen.n["cache.hits"]+seen.n["cache.misses"])
	}
	require.Len(t, keyring.Rows(w.Store), patients*len(compartments))
}

func TestMetrics(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	vars := new(expvar.Map)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEKs: map[string]keyring.KEK{"ring": w.kek, "clinical": w.kek}, Metrics: vars}
	before := w.kek.opens.Load() + w.kek.wraps.Load()
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	next := newKEK()
	_, err = r.Rewrap(ctx, keyring.Rewrapping{KEK: next})
	require.NoError(t, err)
	_, err = r.Rotate(ctx, "clinical")
	require.NoError(t, err)
	called := w.kek.opens.Load() + w.kek.wraps.Load() - before + next.opens.Load() + next.wraps.Load()
	require.Equal(t, fmt.Sprint(called), vars.Get("kek.calls").String())

	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.Metrics = keyring.LogMetrics(log)
	r = w.open(t)
	_, err = r.Subject(ctx, alice, "clinical")
	requireError(t, err, keyring.ErrNoKeyset)
	for _, name := range []string{"store.calls", "kek.calls", "cache.misses"} {
		require.Contains(t, text.String(), "level=DEBUG msg=keyring name="+name+" delta=1\n")
	}
	require.NotContains(t, text.String(), alice)
}

// Every method of a store is counted, and does what it did.
func TestMetricsCountEveryCall(t *testing.T) {
	w := newWorld(t, "clinical")
	store := &faultyStore{Store: w.Store}
	seen := &count{}
	w.Store, w.Metrics = store, seen
	r := w.open(t)
	people(t, r, 2, "clinical")
	_, err := r.Rotate(context.Background(), "clinical")
	require.NoError(t, err)
	_, err = r.Rewrap(t.Context(), keyring.Rewrapping{})
	require.NoError(t, err)
	_, err = r.Shred(t.Context(), "patient-0")
	require.NoError(t, err)
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(t.Context(), w.Config))
	require.Equal(t, int64(store.calls.Load()), seen.n["store.calls"])
}
