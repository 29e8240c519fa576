package consent

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSealAllocates holds the bar on allocations of a sealing over stores in memory.
func TestSealAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops pooled values at random")
	}
	ctx := context.Background()
	r, c, tag := benchmarkRecords(t, memoryConfig(t))
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() {
		if _, err := r.Seal(ctx, &c, tag); err != nil {
			t.Fatal(err)
		}
	}), 16.0)
}

// TestSealBuffers: what is sealed at the same time, in memory that is used again,
// says nothing of another.
func TestSealBuffers(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	r := people(t, cfg)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			p := ayu
			p.ID = fmt.Sprint("p-", i)
			for n := range 20 {
				tag := Tag{Purpose: Treatment, Basis: Consented, Actor: fmt.Sprint("desk-", i), Consent: fmt.Sprint(i, "/", n), Related: []string{p.ID}}
				if n%3 == 0 {
					tag.Sensitivity, tag.Policy = []Label{"PSY"}, string(bytes.Repeat([]byte("x"), 20*i))
				}
				row, err := r.Seal(ctx, &p, tag)
				if err != nil {
					t.Error(err)
					return
				}
				reading, err := r.codec.Begin(ctx, &person{ID: p.ID}, row.Sealed)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range r.plan.Compartments {
					got, err := parseTag(reading.Tag(c))
					if err != nil || got.Consent != tag.Consent || got.Policy != tag.Policy || c == "clinical" && (got.Related[0] != p.ID || len(got.Sensitivity) != len(tag.Sensitivity)) {
						t.Error(c, got, err)
					}
				}
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		history, err := cfg.Log.History(ctx, fmt.Sprint("p-", i))
		require.NoError(t, err)
		require.Len(t, history, 20)
		for _, e := range history {
			require.Equal(t, fmt.Sprint("desk-", i), e.Actor)
			require.Len(t, e.Keys, 3)
		}
	}
}

// TestSealBuffersAreWiped: nothing of a record or of who it is about waits in
// memory for the next one.
func TestSealBuffersAreWiped(t *testing.T) {
	ctx := context.Background()
	r := people(t, memoryConfig(t))
	m := &sealBuffers{tags: map[string][]byte{}}
	tag := careTag
	tag.Consent, tag.Actor = "c-2026", "desk-1"
	_, err := r.seal(ctx, m, &ayu, tag)
	require.NoError(t, err)
	whole := func() []byte { return bytes.Join([][]byte{m.text[:cap(m.text)], m.body.text[:cap(m.body.text)]}, nil) }
	require.Contains(t, string(m.text), "c-2026")
	m.wipe()
	require.Equal(t, make([]byte, len(whole())), whole())
	require.Empty(t, m.tags)
	require.Empty(t, m.text, "it does not grow")
	subject, under := m.body.Subject, m.body.under
	require.Empty(t, subject)
	require.Empty(t, under)
	m.body.Subject, m.body.under, m.body.text = nil, nil, nil
	require.Equal(t, logBody{}, m.body)

	b := new(logBuffers)
	require.NoError(t, r.cfg.Log.seal(ctx, b, []*logBody{{Actor: "desk-1", Action: "a", Outcome: "done"}}))
	require.Equal(t, make([]byte, cap(b.plain)), b.plain[:cap(b.plain)])
}
