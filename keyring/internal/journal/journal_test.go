package journal

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/secret"
)

const ring = "clinic"

func testKey(t testing.TB) secret.MAC {
	key, err := secret.NewKey(bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	mac, err := secret.NewMAC(key)
	require.NoError(t, err)
	return mac
}

// sample returns one entry of each kind and shape, not yet in their places.
func sample() []*Entry {
	return []*Entry{
		{Kind: Create, Ring: ring, Keyset: Mark{"ring", 1, [32]byte{1}}},
		{Kind: Keyset, Keyset: Mark{"clinical", 1, [32]byte{2}}},
		{Kind: Keyset, Keyset: Mark{"research/ui-2026", 3, [32]byte{3}}},
		{Kind: Anchor, Anchor: Mark{"consent/ledger", 7, [32]byte{3}}},
		{Kind: Shred, Erasure: Tag{4}},
		{Kind: Shred, Erasure: Tag{5}, Wipes: []Wipe{{"audit", Tag{6}, false}, {"clinical", Tag{7}, true}}},
		{Kind: Reseed, Ring: ring, Base: Head{ring, 9, [32]byte{8}}, Count: 2},
		{Kind: Keyset, Keyset: Mark{"ring", 2, [32]byte{9}}},
		{Kind: Shred, Erasure: Tag{4}},
		{Kind: Retain, Erasure: Tag{10}, Retention: retention(1), Wipes: []Wipe{{"audit", Tag{6}, false}, {"clinical", Tag{7}, true}}},
		{Kind: Retain, Erasure: Tag{11}, Retention: retention(2)},
		{Kind: Retain, Erasure: Tag{12}, Retention: retention(3), Wipes: []Wipe{{"clinical", Tag{8}, true}}},
		{Kind: Retain, Erasure: Tag{10}, Retention: retention(4), Wipes: []Wipe{{"clinical", Tag{7}, true}}},
		{Kind: Resume, Erasure: Tag{11}},
		{Kind: Shred, Erasure: Tag{12}, Authority: "A court,  order 1/2026 ", Wipes: []Wipe{{"clinical", Tag{8}, false}, {"ring", Tag{13}, true}}},
		{Kind: Rekey, Erasure: Tag{14}, Spans: []Respan{{"audit", Tag{15}, Span{2, 1}}, {"clinical", Tag{16}, Span{1<<32 - 1, 1<<32 - 2}}}},
		{Kind: Rekey, Erasure: Tag{14}, Spans: []Respan{{"audit", Tag{15}, Span{2, 2}}}},
	}
}

func retention(n byte) Retention {
	return Retention{time.Date(2050+int(n), 1, 2, 3, 4, 5, 0, time.UTC), "Permenkes 24/2022 art. " + strings.Repeat("3", int(n)), [32]byte{n}}
}

// write puts entries through a chain into a medium and returns both.
func write(t testing.TB, m Medium, entries ...*Entry) *Chain {
	c := NewChain(testKey(t), ring)
	for _, e := range entries {
		require.NoError(t, c.Write(m.Append, e))
	}
	return c
}

func reread(t testing.TB, m Medium) (*Chain, []Step, bool, error) {
	c := NewChain(testKey(t), ring)
	r, err := m.Read(0)
	require.NoError(t, err)
	defer r.Close()
	var steps []Step
	torn, err := c.Read(r, func(s Step) { steps = append(steps, s) })
	return c, steps, torn, err
}

func media(t *testing.T) map[string]Medium {
	return map[string]Medium{"memory": &Memory{}, "file": &File{Path: filepath.Join(t.TempDir(), "journal")}}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for name, m := range media(t) {
		t.Run(name, func(t *testing.T) {
			want := sample()
			wrote := write(t, m, want...)
			read, steps, torn, err := reread(t, m)
			require.NoError(t, err)
			require.False(t, torn)
			require.Len(t, steps, len(want))
			for i, s := range steps {
				require.Equal(t, want[i], s.Entry)
			}
			require.Equal(t, wrote.Head, read.Head)
			require.Equal(t, wrote.Offset, read.Offset)
			require.Equal(t, wrote.Erased, read.Erased)
			require.Equal(t, wrote.Keysets, read.Keysets)
			require.Equal(t, wrote.Anchors, read.Anchors)
			require.Equal(t, map[string]Mark{"consent/ledger": want[3].Anchor}, read.Anchors)
			require.True(t, read.Whole())

			require.Equal(t, Head{}, steps[0].Prev)
			require.Equal(t, steps[0].Head, steps[1].Prev)
			require.Equal(t, want[6].Base, steps[6].Prev, "a reseed goes on from the store's head")
			require.EqualValues(t, 10, steps[6].Head.Seq)
			require.Equal(t, map[Tag]uint64{{4}: 5, {5}: 6, {12}: 18}, read.Erased, "the first entry of an erasure counts")
			require.Equal(t, map[Tag]Retention{{10}: retention(4)}, read.Retained, "the newest, until it is over")
			require.Equal(t, map[Tag]Span{{15}: {2, 2}, {16}: {1<<32 - 1, 1<<32 - 2}}, read.Spans)
			require.Equal(t, map[Tag]time.Time{{14}: want[15].At}, read.Rekeyed, "when it began, not when it ended")
			require.Equal(t, [3]any{wrote.Retained, wrote.Spans, wrote.Rekeyed}, [3]any{read.Retained, read.Spans, read.Rekeyed})
			require.Equal(t, map[string]Mark{"ring": want[7].Keyset}, read.Keysets, "a reseed tells them anew")
			erased, keysets := read.News()
			require.Equal(t, []Tag{{4}, {5}, {4}, {10}, {11}, {12}, {10}, {11}, {12}, {14}, {14}}, erased)
			require.Equal(t, []string{"ring", "clinical", "research/ui-2026", "ring"}, keysets)
			erased, keysets = read.News()
			require.Empty(t, erased)
			require.Empty(t, keysets)
			size, err := m.Size()
			require.NoError(t, err)
			require.Equal(t, size, read.Offset)
		})
	}
}

func TestManyInOneWrite(t *testing.T) {
	m := &Memory{}
	c := NewChain(testKey(t), ring)
	require.NoError(t, c.Write(m.Append, sample()...))
	read, _, _, err := reread(t, m)
	require.NoError(t, err)
	require.Equal(t, c.Head, read.Head)
}

func TestAFailedWriteLeavesTheChain(t *testing.T) {
	m := &Memory{}
	c := write(t, m, sample()[:3]...)
	before := c.Head
	require.Error(t, c.Write(func([]byte) error { return os.ErrClosed }, &Entry{Kind: Shred, Erasure: Tag{1}}))
	require.Equal(t, before, c.Head)
	require.Empty(t, c.Erased)
	require.NoError(t, c.Write(m.Append, &Entry{Kind: Shred, Erasure: Tag{2}}))
	_, _, _, err := reread(t, m)
	require.NoError(t, err)
}

func TestAnUnfinishedReseedIsNotWhole(t *testing.T) {
	m := &Memory{}
	write(t, m, sample()[:7]...)
	c, _, _, err := reread(t, m)
	require.NoError(t, err)
	require.False(t, c.Whole(), "one entry is owed")
	require.False(t, NewChain(testKey(t), ring).Whole(), "nothing was read")
}

func TestATornLineIsNotTakenIn(t *testing.T) {
	m := &Memory{}
	write(t, m, sample()...)
	whole, steps, _, err := reread(t, m)
	require.NoError(t, err)
	last := steps[len(steps)-1]
	from := whole.Offset - int64(len(last.Entry.Line(testKey(t)))) - 1
	for n := from; n < whole.Offset; n++ {
		cut := &Memory{text: bytes.Clone(m.text[:n])}
		c, _, torn, err := reread(t, cut)
		require.NoError(t, err)
		require.Equal(t, n > from, torn)
		require.Equal(t, last.Prev, c.Head)
		require.Equal(t, from, c.Offset)
	}
}

// Every bit of every whole line is authenticated: a changed journal is refused
// and no line of it is quoted.
func TestAttackEveryBit(t *testing.T) {
	m := &Memory{}
	write(t, m, sample()...)
	first := bytes.IndexByte(m.text, '\n')
	for i := range m.text {
		for bit := range 8 {
			if i > first && bit != i%8 {
				continue // all bits of one line, one of each byte of the others
			}
			changed := &Memory{text: bytes.Clone(m.text)}
			changed.text[i] ^= 1 << bit
			_, _, torn, err := reread(t, changed)
			if err == nil && torn && i == len(m.text)-1 {
				continue // the last newline: now the last line is torn
			}
			require.ErrorIs(t, err, ErrCorrupt, "byte %d bit %d", i, bit)
			requireNoWindow(t, err, m.text)
		}
	}
}

func requireNoWindow(t *testing.T, err error, secret []byte) {
	t.Helper()
	for _, word := range bytes.Fields(secret) {
		if len(word) >= 8 && strings.Contains(err.Error(), string(word)) {
			t.Fatalf("the error %q quotes its input", err)
		}
	}
}

func TestAttackLines(t *testing.T) {
	m := &Memory{}
	write(t, m, sample()...)
	lines := bytes.SplitAfter(m.text, []byte("\n"))
	lines = lines[:len(lines)-1]
	swap := func(i, j int) [][]byte {
		out := append([][]byte{}, lines...)
		out[i], out[j] = out[j], out[i]
		return out
	}
	for name, attack := range map[string][][]byte{
		"dropped first":  lines[1:],
		"dropped inside": append(append([][]byte{}, lines[:3]...), lines[4:]...),
		"repeated":       append(append([][]byte{}, lines[:4]...), lines[3:]...),
		"swapped":        swap(3, 4),
		"empty line":     append(append([][]byte{}, lines[:4]...), append([][]byte{[]byte("\n")}, lines[4:]...)...),
		"carriage":       {bytes.Replace(lines[0], []byte("\n"), []byte("\r\n"), 1)},
		"too long":       {bytes.Repeat([]byte{'a'}, 2*maxLine)},
		"too long line":  {append(bytes.Repeat([]byte{'a'}, 2*maxLine), '\n')},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := reread(t, &Memory{text: bytes.Join(attack, nil)})
			require.ErrorIs(t, err, ErrCorrupt)
		})
	}
}

// An entry of another history of the same ring, in the place of one.
func TestAttackSplicedHistories(t *testing.T) {
	histories := [2][]byte{}
	for i := range histories {
		m := &Memory{}
		c := NewChain(testKey(t), ring)
		require.NoError(t, c.Write(m.Append, sample()[:2]...))
		require.NoError(t, c.Write(m.Append, &Entry{Kind: Shred, Erasure: Tag{byte(i)}}))
		require.NoError(t, c.Write(m.Append, &Entry{Kind: Shred, Erasure: Tag{9}}))
		histories[i] = m.text
	}
	// The second goes on where the first leaves off: numbers and MACs are right.
	a, b := bytes.SplitAfter(histories[0], []byte("\n")), bytes.SplitAfter(histories[1], []byte("\n"))
	for at := 1; at < 4; at++ {
		spliced := append(append([]byte{}, bytes.Join(a[:at], nil)...), bytes.Join(b[at:], nil)...)
		_, _, _, err := reread(t, &Memory{text: spliced})
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestAttackAnotherRingsJournal(t *testing.T) {
	m := &Memory{}
	write(t, m, sample()...)
	r, err := m.Read(0)
	require.NoError(t, err)
	_, err = NewChain(testKey(t), "another").Read(r, nil) // even under the same key
	require.ErrorIs(t, err, ErrCorrupt)
}

// Entries that carry a right MAC and are out of place, as a bug would write them.
func TestOutOfPlace(t *testing.T) {
	key := testKey(t)
	at := time.Unix(1, 0).UTC()
	for name, entries := range map[string][]*Entry{
		"does not start":        {{Kind: Shred, Seq: 1, At: at}},
		"created later":         {{Kind: Create, Seq: 2, At: at, Ring: ring, Keyset: Mark{Name: "ring", Revision: 1}}},
		"created twice":         {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Create, Seq: 2, At: at, Ring: ring}},
		"number skipped":        {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Shred, Seq: 3, At: at}},
		"reseed of the past":    {{Kind: Reseed, Seq: 3, At: at, Ring: ring, Base: Head{Seq: 3}}},
		"reseed to the past":    {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Reseed, Seq: 1, At: at, Ring: ring}},
		"reseed another ring":   {{Kind: Reseed, Seq: 3, At: at, Ring: "other"}},
		"unknown kind":          {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: "retained", Seq: 2, At: at}},
		"retained at the start": {{Kind: Retain, Seq: 1, At: at, Retention: retention(1)}},
		"no basis":              {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Retain, Seq: 2, At: at, Retention: Retention{Until: at}}},
		"basis without a word":  {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Retain, Seq: 2, At: at, Retention: Retention{Until: at, Basis: "-"}}},
		"basis with a newline":  {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Retain, Seq: 2, At: at, Retention: Retention{Until: at, Basis: "a\tb"}}},
		"until year 10000":      {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Retain, Seq: 2, At: at, Retention: Retention{Until: at.AddDate(9000, 0, 0), Basis: "a"}}},
		"authority is a wipe":   {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Shred, Seq: 2, At: at, Authority: "+clinical:07000000000000000000000000000000"}},
		"rekey of nothing":      {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at}},
		"generation 0":          {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at, Spans: []Respan{{"a", Tag{}, Span{1, 0}}}}},
		"floor above newest":    {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at, Spans: []Respan{{"a", Tag{}, Span{1, 2}}}}},
		"span of a domain":      {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at, Spans: []Respan{{"a/b", Tag{}, Span{2, 1}}}}},
		"span of the control":   {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at, Spans: []Respan{{"ring", Tag{}, Span{2, 1}}}}},
		"spans out of order":    {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at, Spans: []Respan{{"b", Tag{}, Span{2, 1}}, {"a", Tag{}, Span{2, 1}}}}},
		"span twice":            {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Rekey, Seq: 2, At: at, Spans: []Respan{{"a", Tag{}, Span{2, 1}}, {"a", Tag{}, Span{2, 1}}}}},
		"bad ring":              {{Kind: Create, Seq: 1, At: at, Ring: ".."}},
		"bad keyset":            {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Keyset, Seq: 2, At: at, Keyset: Mark{Name: "A"}}},
		"bad anchor":            {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Anchor, Seq: 2, At: at, Anchor: Mark{Name: "ring"}}},
		"wipes out of order":    {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Shred, Seq: 2, At: at, Wipes: []Wipe{{Compartment: "b"}, {Compartment: "a"}}}},
		"wipe twice":            {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Shred, Seq: 2, At: at, Wipes: []Wipe{{Compartment: "a"}, {Compartment: "a"}}}},
		"wipe of a domain":      {{Kind: Create, Seq: 1, At: at, Ring: ring}, {Kind: Shred, Seq: 2, At: at, Wipes: []Wipe{{Compartment: "a/b"}}}},
		"number zero":           {{Kind: Create, Seq: 0, At: at, Ring: ring}},
		"number beyond 63 bits": {{Kind: Reseed, Seq: 1 << 63, At: at, Ring: ring}},
	} {
		t.Run(name, func(t *testing.T) {
			var text []byte
			var prev [32]byte
			for i, e := range entries {
				e.Prev = prev
				line := e.Line(key)
				text = append(append(text, line...), '\n')
				c := NewChain(key, ring)
				c.take(e, line)
				prev = c.Head.Hash
				_, _, _, err := reread(t, &Memory{text: text})
				if i == len(entries)-1 {
					require.ErrorIs(t, err, ErrCorrupt)
				} else {
					require.NoError(t, err)
				}
			}
		})
	}
}

// Each kind with all compartments that a ring can have is a line that is read
// again; one more is refused, and a line that were too long is not written.
func TestAllCompartmentsFitALine(t *testing.T) {
	const last = 1<<63 - 2
	long := Retention{Until: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), Basis: strings.Repeat("b", 128)}
	for _, e := range []*Entry{
		{Kind: Shred, Authority: strings.Repeat("a", 128)},
		{Kind: Retain, Retention: long},
		{Kind: Rekey},
	} {
		for i := range MaxCompartments {
			name := fmt.Sprintf("%s%03d", strings.Repeat("c", 29), i)
			if e.Kind == Rekey {
				e.Spans = append(e.Spans, Respan{Compartment: name, Span: Span{1<<32 - 1, 1<<32 - 2}})
			} else {
				e.AddWipe(Wipe{Compartment: name})
			}
		}
		if e.Kind == Shred {
			e.AddWipe(Wipe{Compartment: "ring"})
		}
		m := &Memory{}
		c := write(t, m, sample()[0], &Entry{Kind: Reseed, Ring: ring, Base: Head{ring, last - 2, [32]byte{}}})
		require.NoError(t, c.Write(m.Append, e), e.Kind)
		require.EqualValues(t, last, e.Seq)
		again, steps, _, err := reread(t, m)
		require.NoError(t, err)
		require.Equal(t, e, steps[2].Entry)
		require.Equal(t, c.Head, again.Head)

		e.Wipes = append(e.Wipes, Wipe{Compartment: "x"}, Wipe{Compartment: "y"})
		e.Spans = append(e.Spans, Respan{Compartment: "x", Span: Span{2, 1}})
		_, _, err = parse(e.Line(testKey(t)))
		require.ErrorIs(t, err, ErrCorrupt)
	}
	m := &Memory{}
	c := write(t, m, sample()[0])
	before := c.Head
	e := &Entry{Kind: Shred, Wipes: make([]Wipe, 2000)}
	require.ErrorIs(t, c.Write(m.Append, &Entry{Kind: Shred}, e), errTooLong)
	require.Equal(t, before, c.Head)
	require.EqualValues(t, c.Offset, len(m.text), "nothing was written")
}

func TestPhrase(t *testing.T) {
	for _, good := range []string{"a", "Z", "7", "Permenkes 24/2022 art. 39", "a  b ", "x~!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}", strings.Repeat("a", 128)} {
		require.True(t, Phrase(good), good)
		require.Equal(t, good, phrase(word(good)))
	}
	for _, bad := range []string{"", "-", "+a", "-a", " a", "/", "a_b", "a\n", "a\x7f", "\u00e9", "a\u00e9", "~", "[", "`", "{", "@", strings.Repeat("a", 129)} {
		require.False(t, Phrase(bad), "%q", bad)
	}
}

// What an older reading of the journal had shut stays so.
func TestKeep(t *testing.T) {
	older := write(t, &Memory{}, sample()...)
	c := write(t, &Memory{}, sample()[0], &Entry{Kind: Rekey, Erasure: Tag{14}, Spans: []Respan{{"audit", Tag{15}, Span{3, 1}}}},
		&Entry{Kind: Retain, Erasure: Tag{10}, Retention: retention(9)})
	c.Keep(older)
	require.Equal(t, older.Erased, c.Erased)
	require.Equal(t, map[Tag]Retention{{10}: retention(9)}, c.Retained, "its own counts")
	require.Equal(t, map[Tag]Span{{15}: {3, 2}, {16}: older.Spans[Tag{16}]}, c.Spans, "the greatest of both")
	c = write(t, &Memory{}, sample()[0])
	c.Keep(older)
	require.Equal(t, older.Retained, c.Retained)
	require.Equal(t, older.Spans, c.Spans)
}

func TestAddWipe(t *testing.T) {
	e := &Entry{}
	for _, name := range []string{"b", "c", "a", "b"} {
		e.AddWipe(Wipe{Compartment: name, Tag: Tag{name[0], byte(len(e.Wipes))}})
	}
	require.Equal(t, []Wipe{{Compartment: "a", Tag: Tag{'a', 2}}, {Compartment: "b", Tag: Tag{'b', 0}}, {Compartment: "c", Tag: Tag{'c', 1}}}, e.Wipes)
}

func TestCompartments(t *testing.T) {
	c := write(t, &Memory{}, sample()[:3]...)
	require.Equal(t, []string{"clinical"}, c.Compartments())
}

func TestUnused(t *testing.T) {
	for name, m := range media(t) {
		t.Run(name, func(t *testing.T) {
			log := New(m)
			require.True(t, unused(t, log), "empty")
			require.NoError(t, m.Append([]byte("rahasia/journal/v1 1 2026")))
			require.True(t, unused(t, log), "a torn first line")
			require.NoError(t, m.Truncate(0))
			c := write(t, m, sample()[:1]...)
			require.True(t, unused(t, log), "created and nothing more")
			require.NoError(t, c.Write(m.Append, sample()[1]))
			require.False(t, unused(t, log))
			require.NoError(t, m.Truncate(0))
			require.NoError(t, m.Append([]byte("another program's file\n")))
			require.False(t, unused(t, log))
			require.NoError(t, m.Truncate(0))
			require.NoError(t, m.Append(bytes.Repeat([]byte{'a'}, maxLine)))
			require.False(t, unused(t, log))
		})
	}
}

func unused(t *testing.T, l *Log) bool {
	t.Helper()
	ok, err := l.Unused()
	require.NoError(t, err)
	return ok
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for name, logs := range map[string][2]*Log{
		"two callers":   func() [2]*Log { l := New(&Memory{}); return [2]*Log{l, l} }(),
		"two processes": {New(&File{Path: path}), New(&File{Path: path})},
	} {
		t.Run(name, func(t *testing.T) {
			unlock, err := logs[0].Lock(t.Context())
			require.NoError(t, err)
			short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err = logs[1].Lock(short)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			unlock()
			unlock, err = logs[1].Lock(t.Context())
			require.NoError(t, err)
			unlock()
		})
	}
}

func TestFileErrors(t *testing.T) {
	f := &File{Path: filepath.Join(t.TempDir(), "gone", "journal")}
	require.Error(t, f.Append([]byte("x")))
	require.Error(t, f.Truncate(0))
	require.Error(t, f.Sync())
	_, err := New(f).Lock(t.Context())
	require.Error(t, err)

	dir := &File{Path: t.TempDir()} // a folder where the file should be
	require.Error(t, dir.Append([]byte("x")))
	_, err = dir.Read(0)
	require.Error(t, err)
}

func TestFileMode(t *testing.T) {
	f := &File{Path: filepath.Join(t.TempDir(), "journal")}
	require.NoError(t, f.Append([]byte("x")))
	require.NoError(t, f.Sync())
	info, err := os.Stat(f.Path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
}

// What parses has one spelling, and errors contain none of it.
func FuzzParse(f *testing.F) {
	m := &Memory{}
	write(f, m, sample()...)
	for line := range bytes.Lines(m.text) {
		f.Add(bytes.TrimSuffix(line, []byte("\n")))
	}
	f.Add([]byte(""))
	f.Add([]byte("rahasia/journal/v1 2 2026-01-02T03:04:05.000000006Z " + strings.Repeat("0", 64) + " retain " + strings.Repeat("0", 32) + " 2051-01-02T03:04:05Z a__b " + strings.Repeat("0", 64) + " " + strings.Repeat("0", 64)))
	f.Add([]byte("rahasia/journal/v1 1 2026-01-01T00:00:00.000000000Z  create a b c"))
	key := testKey(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		e, mac, err := parse(line)
		if err != nil {
			if e != nil || mac != nil {
				t.Fatal("a result beside an error")
			}
			requireNoWindow(t, err, line)
			return
		}
		if again := fmt.Appendf(e.body(), " %x", mac); !bytes.Equal(again, line) {
			t.Fatalf("%q is written as %q", line, again)
		}
		e2, _, err := parse(e.Line(key))
		if err != nil || string(e2.body()) != string(e.body()) {
			t.Fatal("an entry that was read cannot be written and read again")
		}
	})
}

// A million erasures are read in seconds.
func BenchmarkRead(b *testing.B) {
	m := &Memory{}
	c := write(b, m, sample()[:2]...)
	const entries = 10_000
	for i := range entries {
		e := &Entry{Kind: Shred, Erasure: Tag{byte(i), byte(i >> 8)}, Wipes: []Wipe{{"clinical", Tag{1}, true}, {"identity", Tag{2}, true}}}
		require.NoError(b, c.Write(m.Append, e))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := reread(b, m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/entries, "ns/entry")
}
