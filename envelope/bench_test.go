package envelope

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// twelve is the record of the benchmarks: 288 bytes in twelve fields with names of
// eight letters, in one compartment.
type twelve struct {
	ID       string `phi:"subject"`
	Glucose1 []byte
	Glucose2 []byte
	Glucose3 []byte
	Glucose4 []byte
	Pressure []byte
	Pulse001 []byte
	Pulse002 []byte
	Pulse003 []byte
	Weight01 []byte
	Weight02 []byte
	Remarks1 []byte
	Remarks2 []byte
}

func (r *twelve) values() []*[]byte {
	return []*[]byte{
		&r.Glucose1, &r.Glucose2, &r.Glucose3, &r.Glucose4, &r.Pressure, &r.Pulse001,
		&r.Pulse002, &r.Pulse003, &r.Weight01, &r.Weight02, &r.Remarks1, &r.Remarks2,
	}
}

func newTwelve() *twelve {
	r := &twelve{ID: "0b51c8f2-7e0f-7d5c-9a55-2d3c0f6e8a11"}
	for i, v := range r.values() {
		*v = bytes.Repeat([]byte{byte('a' + i)}, 24)
	}
	return r
}

// limit is the standard library's AES-256-GCM with a prepared key.
func limit(b *testing.B) cipher.AEAD {
	block, err := aes.NewCipher(make([]byte, 32))
	require.NoError(b, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(b, err)
	return gcm
}

func tinkAEAD(b *testing.B) interface {
	Encrypt(plaintext, associatedData []byte) ([]byte, error)
	Decrypt(ciphertext, associatedData []byte) ([]byte, error)
} {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	require.NoError(b, err)
	a, err := aead.New(handle)
	require.NoError(b, err)
	return a
}

// TestStoredBytes holds the bar on the size of a row.
func TestStoredBytes(t *testing.T) {
	c := newCodec[twelve](t, "vitals", newRing(t, "bench", "clinical"))
	row, err := c.Seal(context.Background(), newTwelve(), map[string][]byte{"clinical": make([]byte, 64)})
	require.NoError(t, err)
	require.LessOrEqual(t, len(row), 832)
}

// TestAllocations holds the bar on allocations: a row is one, and the values of
// an opened record are one.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops pooled values at random")
	}
	ctx, src := t.Context(), newTwelve()
	c := newCodec[twelve](t, "vitals", newRing(t, "bench", "clinical"))
	row := seal(t, c, src)
	buf, dst := make([]byte, 0, len(row)), twelve{ID: src.ID}
	for name, at := range map[string]struct {
		most float64
		call func() error
	}{
		"Seal":       {1, func() (err error) { _, err = c.Seal(ctx, src, nil); return err }},
		"AppendSeal": {0, func() (err error) { _, err = c.AppendSeal(ctx, buf, src, nil); return err }},
		"Open":       {1, func() error { return c.Open(ctx, &dst, row) }},
		"OpenField":  {1, func() error { return c.Open(ctx, &dst, row, "Pulse002") }},
	} {
		n := testing.AllocsPerRun(1000, func() {
			if err := at.call(); err != nil {
				t.Fatal(err)
			}
		})
		require.LessOrEqual(t, n, at.most, name)
	}
}

func BenchmarkSealRecord(b *testing.B) {
	ctx, src := context.Background(), newTwelve()
	b.Run("rahasia", func(b *testing.B) {
		c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
		tags := map[string][]byte{"clinical": make([]byte, 64)}
		var row Sealed
		var err error
		b.ReportAllocs()
		for b.Loop() {
			if row, err = c.Seal(ctx, src, tags); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(row)), "stored-B/op")
	})
	b.Run("append", func(b *testing.B) {
		c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
		tags := map[string][]byte{"clinical": make([]byte, 64)}
		var row []byte
		var err error
		b.ReportAllocs()
		for b.Loop() {
			if row, err = c.AppendSeal(ctx, row[:0], src, tags); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(row)), "stored-B/op")
	})
	b.Run("limit", func(b *testing.B) {
		gcm, values := limit(b), src.values()
		nonce, out := make([]byte, 12), make([]byte, 0, 64)
		b.ReportAllocs()
		for b.Loop() {
			for _, v := range values {
				out = gcm.Seal(out[:0], nonce, *v, nil)
			}
		}
	})
	b.Run("calls", func(b *testing.B) { // the GCM calls that the format asks for, and nothing else
		gcm, x, lengths := formatCalls(b, src)
		out := make([]byte, 0, 1024)
		var n nonce
		n.set(make([]byte, 12))
		b.ReportAllocs()
		for b.Loop() {
			sealed := gcm.Seal(out, n.at(leadAt), x[:4], x[:131])
			sealed = gcm.Seal(sealed, n.at(manifestAt), x[:lengths[0]], nil)
			for i, length := range lengths[1:] {
				sealed = gcm.Seal(sealed, n.at(fieldsAt+uint32(i)), x[:length], nil)
			}
		}
	})
	b.Run("tink", func(b *testing.B) {
		a, values := tinkAEAD(b), src.values()
		ad, stored := []byte(src.ID), 0
		b.ReportAllocs()
		for b.Loop() {
			stored = 0
			for _, v := range values {
				sealed, err := a.Encrypt(*v, ad)
				if err != nil {
					b.Fatal(err)
				}
				stored += len(sealed)
			}
		}
		b.ReportMetric(float64(stored), "stored-B/op")
	})
}

// formatCalls returns the lengths of the manifest and of the fields of a row
// of src, with a tag of 64 bytes, and as many bytes.
func formatCalls(b *testing.B, src *twelve) (cipher.AEAD, []byte, []int) {
	ctx := context.Background()
	c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
	row, err := c.Seal(ctx, src, map[string][]byte{"clinical": make([]byte, 64)})
	require.NoError(b, err)
	r, err := c.Begin(ctx, src, row)
	require.NoError(b, err)
	o := &r.read().sections[0]
	lengths := []int{len(o.manifest)}
	for _, e := range o.entries {
		lengths = append(lengths, int(e.length))
	}
	return limit(b), make([]byte, 1024), lengths
}

func BenchmarkOpenRecord(b *testing.B) {
	src := newTwelve()
	b.Run("rahasia", openBench())
	b.Run("limit", func(b *testing.B) {
		gcm, nonce, out := limit(b), make([]byte, 12), make([]byte, 0, 64)
		var sealed [][]byte
		for _, v := range src.values() {
			sealed = append(sealed, gcm.Seal(nil, nonce, *v, nil))
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, s := range sealed {
				if _, err := gcm.Open(out, nonce, s, nil); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("calls", func(b *testing.B) { // the GCM calls that the format asks for, and nothing else
		gcm, x, lengths := formatCalls(b, src)
		var n nonce
		n.set(make([]byte, 12))
		ad := x[:131]
		sealed := [][]byte{gcm.Seal(nil, n.at(leadAt), x[:4], ad)}
		for _, length := range lengths {
			sealed = append(sealed, gcm.Seal(nil, n.at(leadAt), x[:length], nil))
		}
		out := make([]byte, 0, 1024)
		b.ReportAllocs()
		for b.Loop() {
			opened, err := gcm.Open(out, n.at(leadAt), sealed[0], ad)
			for _, s := range sealed[1:] {
				if err == nil {
					opened, err = gcm.Open(opened, n.at(leadAt), s, nil)
				}
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tink", func(b *testing.B) {
		a, ad := tinkAEAD(b), []byte(src.ID)
		var sealed [][]byte
		for _, v := range src.values() {
			s, err := a.Encrypt(*v, ad)
			require.NoError(b, err)
			sealed = append(sealed, s)
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, s := range sealed {
				if _, err := a.Decrypt(s, ad); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// openBench opens the named fields of a record, or all.
func openBench(fields ...string) func(b *testing.B) {
	return func(b *testing.B) {
		ctx, src := context.Background(), newTwelve()
		c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
		row, err := c.Seal(ctx, src, map[string][]byte{"clinical": make([]byte, 64)})
		require.NoError(b, err)
		dst := twelve{ID: src.ID}
		b.ReportAllocs()
		for b.Loop() {
			if err := c.Open(ctx, &dst, row, fields...); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkOpenField(b *testing.B) {
	b.Run("rahasia", openBench("Pulse002"))
	b.Run("limit", func(b *testing.B) {
		gcm, nonce, out := limit(b), make([]byte, 12), make([]byte, 0, 64)
		sealed := gcm.Seal(nil, nonce, newTwelve().Pulse002, nil)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := gcm.Open(out, nonce, sealed, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBegin(b *testing.B) {
	ctx, src := context.Background(), newTwelve()
	c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
	row := seal(b, c, src)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Begin(ctx, src, row); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSealBatch seals a page of records of as many patients, whose keys are
// in memory: ns/record is the time of one.
func BenchmarkSealBatch(b *testing.B) {
	ctx := context.Background()
	c := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical"))
	records := make([]*twelve, page)
	for i := range records {
		records[i] = newTwelve()
		records[i].ID = strconv.Itoa(i)
	}
	tags := map[string][]byte{"clinical": make([]byte, 64)}
	for _, err := range c.SealAll(ctx, slices.Values(records), tags) { // makes the keys
		require.NoError(b, err)
	}
	for cores := 1; cores <= 2; cores++ {
		b.Run(strconv.Itoa(cores)+"cores", func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range c.SealAll(ctx, slices.Values(records), tags) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/page, "ns/record")
		})
	}
}

// BenchmarkScale seals and opens a stream of records of a thousand patients.
// Cost per record and the most memory in use must not grow with the number.
func BenchmarkScale(b *testing.B) {
	for _, n := range []int{1e4, 1e5, 1e6} {
		b.Run(fmt.Sprintf("1e%d", len(strconv.Itoa(n))-1), func(b *testing.B) {
			if testing.Short() && n > 1e4 {
				b.Skip("many records")
			}
			c, peak := newCodec[twelve](b, "vitals", newRing(b, "bench", "clinical")), uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				peak = max(peak, stream(b, c, n))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/record")
			b.ReportMetric(float64(peak), "peak-B")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// stream seals n records and opens each row, and returns the most heap that was
// in use meanwhile.
func stream(b *testing.B, c *Codec[twelve], n int) (peak uint64) {
	ctx := context.Background()
	runtime.GC()
	in := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	src := newTwelve()
	records := func(yield func(*twelve) bool) {
		for i := range n {
			r := *src
			r.ID = strconv.Itoa(i % 1000)
			if !yield(&r) {
				return
			}
		}
	}
	rows := func(yield func(*twelve, Sealed) bool) {
		i := 0
		for row, err := range c.SealAll(ctx, records, nil) {
			if err != nil {
				b.Fatal(err)
			}
			if !yield(&twelve{ID: strconv.Itoa(i % 1000)}, row) {
				return
			}
			i++
		}
	}
	i := 0
	for r, err := range c.OpenAll(ctx, rows) {
		if err != nil || len(r.Remarks2) != 24 {
			b.Fatal(err)
		}
		if i++; i%page == 0 {
			metrics.Read(in)
			peak = max(peak, in[0].Value.Uint64())
		}
	}
	if i != n {
		b.Fatal("records were lost")
	}
	return peak
}
