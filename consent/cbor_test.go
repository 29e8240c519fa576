package consent

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/phi"
)

// TestWrittenByHand: entries and tags that are written by hand are those that the
// CBOR library writes, whatever stands in them.
func TestWrittenByHand(t *testing.T) {
	long := string(bytes.Repeat([]byte("ä"), 128))
	many := make([]string, maxList)
	for i := range many {
		many[i] = long[:2*i]
	}
	for _, b := range []logBody{
		{},
		{Time: -1, Actor: "a", Action: "open", Outcome: "done", Ledger: math.MaxUint64, K: 11, Subject: []byte{0}, Patient: make([]byte, 16)},
		{
			Time: math.MaxInt64, Actor: long, Role: "r", Purpose: Treatment, Action: "x", Type: "t", Fields: many, Withheld: []string{""}, Outcome: "failed",
			Reason: Permitted, Decision: "d", Recipient: "u", Ledger: 24, Subject: make([]byte, 300), Article: "20(2)", Justification: long, K: 2, Job: "j", Count: 24,
			Patient: []byte{1}, under: keyVersions{{"b", 23}, {"c", math.MaxUint32}, {"aa", 24}},
		},
	} {
		for seq, hash := range map[uint64][]byte{0: nil, 1: make([]byte, 32), 1 << 40: bytes.Repeat([]byte{7}, 32)} {
			whole := b
			whole.Journal, whole.JournalHash = seq, hash
			for _, k := range b.under {
				if whole.Keys == nil {
					whole.Keys = map[string]uint32{}
				}
				whole.Keys[k.compartment] = k.version
			}
			if b.Time == math.MaxInt64 && seq != 0 {
				for i := range reflect.TypeFor[logBody]().NumField() {
					f := reflect.TypeFor[logBody]().Field(i)
					require.False(t, f.IsExported() && reflect.ValueOf(whole).Field(i).IsZero(), "what is not written by hand is lost: %s", f.Name)
				}
			}
			want, err := encode(&whole)
			require.NoError(t, err)
			require.Equal(t, append([]byte{9}, want...), b.appendTo([]byte{9}, seq, hash))
		}
	}
}

func TestTagWrittenByHand(t *testing.T) {
	type chart struct {
		ID string   `phi:"subject"`
		A  string   `phi:"clinical,label=HIV,label=STD"`
		BB string   `phi:"clinical,label=PSY"`
		C  []string `phi:"sensitive"`
		D  string   `phi:"name"`
	}
	plan, err := phi.For(reflect.TypeFor[chart]())
	require.NoError(t, err)
	full := Tag{
		Purpose: Treatment, Basis: Consented, Consent: "c", Policy: "p", Confidentiality: Restricted, Sensitivity: []Label{"STD", "HIV", "STD"},
		Retain: year(9999), Author: "dr", Related: []string{"e2", "e1"}, Time: year(1800),
	}
	for _, tag := range []Tag{full, {Purpose: Treatment, Basis: Contract}} {
		got, err := tag.sections(plan)
		require.NoError(t, err)
		for _, c := range plan.Compartments {
			want := tag.facts()
			if c == "identity" {
				want.Sensitivity, want.Author, want.Related, want.Time = nil, "", nil, nil
			}
			if c == "clinical" {
				want.Fields = map[string][]Label{"A": {"HIV", "STD"}, "BB": {"PSY"}}
			}
			text, err := encode(want)
			require.NoError(t, err)
			require.Equal(t, text, got[c], c)
			_, err = parseTag(got[c])
			require.NoError(t, err)
		}
	}
	require.Equal(t, []Label{"STD", "HIV", "STD"}, full.Sensitivity, "is the caller's")
}

// TestVersionsInOrder: a log reads only maps whose shorter names come first.
func TestVersionsInOrder(t *testing.T) {
	ctx := context.Background()
	cfg := memoryConfig(t)
	require.NoError(t, cfg.createKeysets(ctx, "a-long-name", "zz", "yy"))
	keys, err := cfg.Ring.CreateSubject(ctx, "p", "a-long-name", "zz", "yy")
	require.NoError(t, err)
	require.Equal(t, keyVersions{{"yy", 1}, {"zz", 1}, {"a-long-name", 1}}, versionsOf(nil, keys))
	require.NoError(t, cfg.Log.append(ctx, &logBody{Action: "a", Outcome: "done", under: versionsOf(nil, keys)}))
	require.Equal(t, map[string]uint32{"a-long-name": 1, "yy": 1, "zz": 1}, last(t, cfg.Log).Keys)
}

// TestTagReadByHand: what is left out where it is empty is refused where it is not,
// and so is every order but the one that is written.
func TestTagReadByHand(t *testing.T) {
	for name, tt := range map[string]struct {
		write func(*mapWriter)
		ok    bool
	}{
		"as written":         {func(w *mapWriter) { w.int(7, 1); w.text(9, "a") }, true},
		"no confidentiality": {nil, false},
		"retain 0":           {func(w *mapWriter) { w.int(7, 0) }, false},
		"retain before 1970": {func(w *mapWriter) { w.int(7, -1) }, true},
		"an empty author":    {func(w *mapWriter) { w.must(9, "") }, false},
		"no label":           {func(w *mapWriter) { w.key(6); w.b = append(w.b, 0x80) }, false},
		"no relation":        {func(w *mapWriter) { w.key(10); w.b = append(w.b, 0x80) }, false},
		"a null":             {func(w *mapWriter) { w.key(6); w.b = append(w.b, 0xf6) }, false},
		"no field":           {func(w *mapWriter) { w.key(8); w.b = append(w.b, 0xa0) }, false},
		"fields":             {func(w *mapWriter) { w.key(8); w.b = append(w.b, 0xa2, 0x61, 'b', 0x80, 0x62, 'a', 'a', 0x81, 0x60) }, true},
		"a longer one first": {func(w *mapWriter) { w.key(8); w.b = append(w.b, 0xa2, 0x62, 'a', 'a', 0x80, 0x61, 'b', 0x80) }, false},
		"a field twice":      {func(w *mapWriter) { w.key(8); w.b = append(w.b, 0xa2, 0x61, 'a', 0x80, 0x61, 'a', 0x80) }, false},
		"not UTF-8":          {func(w *mapWriter) { w.must(9, "\xff") }, false},
		"cut off":            {func(w *mapWriter) { w.key(11) }, false},
		"too late a time":    {func(w *mapWriter) { w.key(11); w.b = append(w.b, 0x1b, 0xff, 0, 0, 0, 0, 0, 0, 0) }, false},
		"an unknown key":     {func(w *mapWriter) { w.text(12, "a") }, false},
	} {
		var w mapWriter
		w.begin(nil)
		w.must(1, "TREAT")
		w.must(2, "consent")
		if tt.write != nil {
			w.must(5, "N")
			tt.write(&w)
		}
		s, err := parseTag(w.b)
		if tt.ok {
			require.NoError(t, err, name)
			require.NoError(t, decode(w.b, new(sectionTag)), name)
			continue
		}
		require.ErrorIs(t, err, ErrTag, name)
		require.Zero(t, s, name)
	}
}

// TestEncodeReadable: what could not be read again is not written.
func TestEncodeReadable(t *testing.T) {
	for _, tt := range []struct {
		n  int
		ok bool
	}{{1 << 16, true}, {1<<16 + 1, false}} {
		b, err := encodeReadable(make([]int, tt.n))
		if !tt.ok {
			require.ErrorIs(t, err, ErrLimit)
			require.Nil(t, b)
			continue
		}
		require.NoError(t, err)
	}
}
