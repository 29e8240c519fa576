package envelope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// counting counts the questions for subject keys.
type counting struct {
	keyring.Store
	keys, creates atomic.Int64
	down          atomic.Bool
}

var errDown = errors.New("the store is down")

func (s *counting) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	s.keys.Add(1)
	if s.down.Load() {
		return nil, errDown
	}
	return s.Store.Keys(ctx, tags)
}

func (s *counting) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	s.creates.Add(1)
	return s.Store.CreateKeys(ctx, recs)
}

// batchOf returns n records of as many subjects.
func batchOf(n int) []*person {
	out := make([]*person, n)
	for i := range out {
		p := newPerson()
		p.ID, p.Notes = fmt.Sprint("p", i), fmt.Sprint("catatan ", i)
		if i%2 == 0 {
			p.Name = ptr(fmt.Sprint("Contoh ", i))
		}
		out[i] = p
	}
	return out
}

// zip pairs records to open with their rows.
func zip(dst []*person, rows []Sealed) iter.Seq2[*person, Sealed] {
	return func(yield func(*person, Sealed) bool) {
		for i := range dst {
			if !yield(dst[i], rows[i]) {
				return
			}
		}
	}
}

func asked(n int) []*person {
	out := make([]*person, n)
	for i := range out {
		out[i] = &person{ID: fmt.Sprint("p", i)}
	}
	return out
}

func sealAll(t testing.TB, c *Codec[person], records []*person) (rows []Sealed) {
	for row, err := range c.SealAll(context.Background(), slices.Values(records), nil) {
		require.NoError(t, err)
		rows = append(rows, row)
	}
	require.Len(t, rows, len(records))
	return rows
}

func TestBatch(t *testing.T) {
	ctx := context.Background()
	store := &counting{Store: keyring.NewMemoryStore()}
	ring, again := ringOn(t, store, everywhere...)
	const n = 2*page + 7
	records := batchOf(n)
	rows := sealAll(t, newCodec[person](t, "patient", ring), records)
	require.EqualValues(t, 3, store.keys.Load(), "one question for each page")
	require.EqualValues(t, 3, store.creates.Load())

	for name, fields := range map[string][]string{"all": nil, "some": {"Name", "Notes"}} {
		store.keys.Store(0)
		c := newCodec[person](t, "patient", again())
		dst, i := asked(n), 0
		for p, err := range c.OpenAll(ctx, zip(dst, rows), fields...) {
			require.NoError(t, err)
			require.Same(t, dst[i], p, "in order")
			require.Equal(t, records[i].Notes, p.Notes)
			require.Equal(t, records[i].Name, p.Name)
			i++
		}
		require.Equal(t, n, i)
		require.EqualValues(t, 3, store.keys.Load(), name)
	}

	// What one at a time does, and what a batch does, is one thing.
	c := newCodec[person](t, "patient", ring)
	one := person{ID: "p1"}
	require.NoError(t, c.Open(ctx, &one, rows[1]))
	require.Equal(t, records[1].Notes, one.Notes)
}

// TestBatchErrors: what is wrong with one record is its own error.
func TestBatchErrors(t *testing.T) {
	ctx := context.Background()
	ring := newRing(t, "r", everywhere...)
	c := newCodec[person](t, "patient", ring)
	records := batchOf(40)
	records[3], records[5].ID, records[7].Notes = nil, "", "\xff"
	records[9].ID = strings.Repeat("x", maxID+1)
	records[11].ID = "erased"
	seal(t, c, records[11])
	_, err := ring.Shred(ctx, "erased")
	require.NoError(t, err)
	want := map[int]error{3: ErrEmpty, 5: ErrEmpty, 7: ErrValue, 9: ErrLimit, 11: keyring.ErrShredded}
	var rows []Sealed
	i := 0
	for row, err := range c.SealAll(ctx, slices.Values(records), nil) {
		if want[i] != nil {
			require.ErrorIs(t, err, want[i], "%d", i)
			require.Nil(t, row)
		} else {
			require.NoError(t, err, "%d", i)
		}
		rows = append(rows, row)
		i++
	}
	require.Equal(t, 40, i)
	all(t, 3, ErrCompartment, c.SealAll(ctx, slices.Values(batchOf(3)), map[string][]byte{"lab": nil}))

	for _, i := range []int{3, 5, 7, 9, 11} {
		rows[i] = rows[0] // of another
	}
	rows[20] = bytes.Clone(rows[20])
	rows[20][len(rows[20])-1] ^= 1
	rows[21] = nil
	dst := asked(40)
	dst[3], dst[5].ID = nil, ""
	want = map[int]error{3: ErrEmpty, 5: ErrEmpty, 7: ErrOpen, 9: ErrOpen, 11: ErrOpen, 20: ErrOpen, 21: ErrFormat}
	i = 0
	for p, err := range c.OpenAll(ctx, zip(dst, rows)) {
		require.Same(t, dst[i], p)
		if want[i] != nil {
			require.ErrorIs(t, err, want[i], "%d", i)
			if p != nil {
				require.Empty(t, p.Notes)
			}
		} else {
			require.NoError(t, err, "%d", i)
			require.Equal(t, records[i].Notes, p.Notes)
		}
		i++
	}
	require.Equal(t, 40, i)
	all(t, 2, ErrField, c.OpenAll(ctx, zip(asked(2), rows), "Nope"))

	// A row that has not all of T's compartments opens as it does alone.
	type lab struct {
		ID     string `phi:"subject"`
		Notes  string
		Result string `phi:"clinical,in=lab"`
	}
	require.NoError(t, ring.CreateKeyset(ctx, "lab"))
	l := &lab{ID: "p0"}
	all(t, 1, nil, newCodec[lab](t, "patient", ring).OpenAll(ctx, maps.All(map[*lab]Sealed{l: rows[0]})))
	require.Equal(t, records[0].Notes, l.Notes)
	// One of another compartment of T's than the row has, as many as those.
	type result struct {
		ID     string `phi:"subject"`
		Result string `phi:"clinical,in=lab"`
	}
	type note struct {
		ID    string `phi:"subject"`
		Notes string
	}
	seal(t, newCodec[result](t, "patient", ring), &result{ID: "p0", Result: "negatif"}) // so that there is a key
	row := seal(t, newCodec[note](t, "patient", ring), &note{ID: "p0", Notes: "x"})
	for r, err := range newCodec[result](t, "patient", ring).OpenAll(ctx, maps.All(map[*result]Sealed{{ID: "p0", Result: "x"}: row})) {
		require.NoError(t, err)
		require.Empty(t, r.Result)
	}
	// And a view that is granted some compartments opens those.
	p := &person{ID: "p0"}
	part := newCodec[person](t, "patient", ring.Only("identity"))
	all(t, 1, nil, part.OpenAll(ctx, zip([]*person{p}, rows), "NIK"))
	require.Equal(t, records[0].NIK, p.NIK)
	all(t, 1, keyring.ErrNotGranted, part.OpenAll(ctx, zip(asked(1), rows)))
}

// all requires n results that have one error, or none.
func all[V any](t *testing.T, n int, want error, results iter.Seq2[V, error]) {
	t.Helper()
	i := 0
	for _, err := range results {
		require.ErrorIs(t, err, want)
		i++
	}
	require.Equal(t, n, i)
}

// TestBatchStops: with its context, with its caller, with a store that is down,
// and with a panic where it can be caught.
func TestBatchStops(t *testing.T) {
	store := &counting{Store: keyring.NewMemoryStore()}
	ring, again := ringOn(t, store, everywhere...)
	c := newCodec[person](t, "patient", ring)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	records, results := batchOf(3*page), 0
	for row, err := range c.SealAll(ctx, slices.Values(records), nil) {
		results++
		if results == page {
			cancel()
		}
		if results <= page {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Nil(t, row)
	}
	require.Equal(t, page+1, results)

	taken := 0
	endless := func(yield func(*person) bool) {
		for taken = 0; yield(records[taken%page]); taken++ {
		}
	}
	for range c.SealAll(context.Background(), endless, nil) {
		break
	}
	require.Less(t, taken, page+1, "no more is taken than a page")

	rows := sealAll(t, c, records[:100])
	store.down.Store(true)
	store.keys.Store(0)
	fresh := newCodec[person](t, "patient", again())
	all(t, 100, errDown, fresh.OpenAll(context.Background(), zip(asked(100), rows)))
	require.EqualValues(t, 1, store.keys.Load())

	type T struct {
		ID string `phi:"subject"`
		V  bomb
	}
	bombs := newCodec[T](t, "t", newRing(t, "r", "clinical"))
	require.PanicsWithValue(t, "bomb", func() {
		list := make([]*T, 100)
		for i := range list {
			list[i] = &T{ID: "p1", V: bomb{i == 99}}
		}
		for range bombs.SealAll(context.Background(), slices.Values(list), nil) {
		}
	})
}

type bomb struct{ armed bool }

func (b bomb) MarshalBinary() ([]byte, error) {
	if b.armed {
		panic("bomb")
	}
	return nil, nil
}

func (b *bomb) UnmarshalBinary([]byte) error { return nil }
