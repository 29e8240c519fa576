package risk

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patients makes a table of n made-up rows that is never in memory: birth
// year, sex, regency (of 514), blood group, diagnosis (of 400, skewed), and
// the patient, who has four rows on average.
func patients(n int) (Table, Plan) {
	text := func(format string, of int) []any {
		all := make([]any, of)
		for i := range all {
			all[i] = fmt.Sprintf(format, i)
		}
		return all
	}
	years, regions, diagnoses := text("19%02d", 100), text("%04d", 514), text("D%03d", 400)
	sexes, groups := text("%d", 2), text("%d", 8)
	who := text("pseudonym-of-35-characters-%08d", n/4+1)
	t := Table{Columns: []string{"who", "born", "sex", "region", "blood", "diagnosis"}, Rows: func(yield func([]any, error) bool) {
		r := rand.New(rand.NewPCG(1, 2))
		row := make([]any, 6)
		for range n {
			w := r.IntN(len(who))
			h := int(uint32(w) * 2654435761 >> 3) // a patient's own data do not change from row to row
			row[0], row[1], row[2], row[3] = who[w], years[h%100], sexes[h/100%2], regions[h/200%514*(h/200%7)/7]
			row[4], row[5] = groups[h/90000%8], diagnoses[int(400*r.Float64()*r.Float64())]
			if !yield(row, nil) {
				return
			}
		}
	}}
	return t, Plan{
		Subject: "who",
		Quasi: []Quasi{
			{Column: "born", Levels: []Level{Bands(5), Bands(10), Bands(20)}}, {Column: "sex"},
			{Column: "region", Levels: []Level{Prefix(3), Prefix(2), Prefix(1)}}, {Column: "blood"},
		},
		Sensitive: []Sensitive{{Column: "diagnosis"}},
	}
}

// BenchmarkRisk/1e6rows is a gate and the reading of its release: a million
// rows, 250,000 patients, 80 combinations of levels. MB-live is what is held
// while the release is read, MB-peak the most that the heap had.
//
//	go test -run '^$' -bench Risk -benchtime 1x ./pseudo/risk
func BenchmarkRisk(b *testing.B) {
	for _, size := range []struct {
		name string
		rows int
	}{{"1e4rows", 1e4}, {"1e5rows", 1e5}, {"1e6rows", 1e6}} {
		b.Run(size.name, func(b *testing.B) {
			t, p := patients(size.rows)
			before := live()
			stop := peak()
			b.ReportAllocs()
			var r *Release
			for b.Loop() {
				var err error
				r, err = Gate(ctx, t, p, Rule{K: 5, L: 3, Suppress: 0.02})
				require.NoError(b, err)
				for _, err := range r.Rows() {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(stop()-before)/1e6, "MB-peak")
			b.ReportMetric(float64(live()-before)/1e6, "MB-live")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size.rows), "ns/row")
			runtime.KeepAlive(r)
		})
	}
}

func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// peak watches the heap until it is stopped.
func peak() (stop func() uint64) {
	done, most := make(chan struct{}), make(chan uint64)
	go func() {
		top := uint64(0)
		for {
			select {
			case <-done:
				most <- top
				return
			case <-time.After(2 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				top = max(top, m.HeapAlloc)
			}
		}
	}()
	return func() uint64 { close(done); return <-most }
}

// TestRiskMemory: what is held grows with what differs, not with the rows.
func TestRiskMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 600,000 rows")
	}
	held := func(times int) (bytes, entries int) {
		tb, p := patients(20_000)
		p.Subject, p.Keep = "", []string{"who"}
		once := tb.Rows
		tb.Rows = func(yield func([]any, error) bool) {
			for range times {
				for row, err := range once {
					if !yield(row, err) {
						return
					}
				}
			}
		}
		before := live()
		in, err := load(ctx, tb, p)
		require.NoError(t, err)
		bytes = int(live() - before)
		require.Equal(t, 20_000*times, in.total)
		runtime.KeepAlive(in)
		return bytes, in.entries
	}
	held(1) // what the package and the heap set up once is no table's
	small, entries := held(1)
	large, same := held(29)
	require.Equal(t, entries, same)
	require.Less(t, large, small+small/10, "29 times the rows, the same values")
	require.Less(t, small, 128*entries, "bytes an entry")
}
