package tape

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/folder"
)

func at(t testing.TB, dir string) *folder.Shared {
	t.Helper()
	shared, err := folder.Make(dir)
	require.NoError(t, err)
	return shared
}

func openIn(t testing.TB, dir string) *Tape {
	t.Helper()
	tp, err := Open(t.Context(), at(t, dir), "tape", nil)
	require.NoError(t, err)
	return tp
}

func put(t testing.TB, tp *Tape, records ...string) error {
	t.Helper()
	return tp.Alone(t.Context(), func(w *Writer) error {
		all := make([][]byte, len(records))
		for i, r := range records {
			all[i] = []byte(r)
		}
		return w.Append(all...)
	})
}

func get(t testing.TB, tp *Tape) (records []string, err error) {
	t.Helper()
	err = tp.View(t.Context(), func(r *Reader) error {
		for next := int64(0); ; {
			b, after, err := r.Read(next)
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			first, peeked, err := r.Peek(next, min(2, len(b)))
			require.NoError(t, err)
			require.Equal(t, b[:min(2, len(b))], first)
			require.Equal(t, after, peeked)
			records, next = append(records, string(b)), after
		}
	})
	return records, err
}

// TestTape: what is appended is read, in order, over segments, by whoever opens it.
func TestTape(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	tp := openIn(t, dir)
	tp.Segment = 100
	none, err := get(t, tp)
	require.NoError(t, err)
	require.Empty(t, none)
	var want []string
	for i := range 40 {
		batch := []string{fmt.Sprint(i), "", fmt.Sprintf("%040d", i)}
		require.NoError(t, put(t, tp, batch...))
		want = append(want, batch...)
	}
	for _, tp := range []*Tape{tp, openIn(t, dir)} {
		got, err := get(t, tp)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "tape-*"))
	require.NoError(t, err)
	require.Len(t, segments, 20)
	for _, path := range segments {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode())
	}
	require.NoError(t, tp.View(t.Context(), func(r *Reader) error {
		for _, bad := range []int64{-1, 1, r.End() - 1, r.End() + 1, 1 << 62} {
			_, _, err := r.Read(bad)
			require.ErrorIs(t, err, ErrCorrupt, bad)
		}
		_, _, err := r.Peek(0, 9)
		require.ErrorIs(t, err, ErrCorrupt, "more than the record has")
		_, _, err = r.Peek(r.End(), 1)
		require.ErrorIs(t, err, io.EOF)
		return nil
	}))
	require.ErrorContains(t, put(t, tp, string(make([]byte, MaxRecord+1))), "too long")
	require.NoError(t, put(t, tp, string(make([]byte, MaxRecord))))
	got, err := get(t, tp)
	require.NoError(t, err)
	require.Len(t, got[len(got)-1], MaxRecord)
	stop := errors.New("stop")
	require.ErrorIs(t, tp.View(t.Context(), func(*Reader) error { return stop }), stop)
	require.ErrorIs(t, tp.Alone(t.Context(), func(*Writer) error { return stop }), stop)
}

// TestTamper: files that are gone, that are none, or that were damaged where a
// record was acknowledged.
func TestTamper(t *testing.T) {
	for name, attack := range map[string]func(dir string) error{
		"a segment gone":     func(dir string) error { return os.Remove(filepath.Join(dir, "tape-0000000000000064")) },
		"the first gone":     func(dir string) error { return os.Remove(filepath.Join(dir, "tape-0000000000000000")) },
		"the last gone":      func(dir string) error { return os.Remove(filepath.Join(dir, "tape-00000000000000c8")) },
		"a segment cut":      func(dir string) error { return os.Truncate(filepath.Join(dir, "tape-0000000000000064"), 99) },
		"the last cut":       func(dir string) error { return os.Truncate(filepath.Join(dir, "tape-00000000000000c8"), 99) },
		"a segment too much": func(dir string) error { return os.WriteFile(filepath.Join(dir, "tape-00000000000000c9"), nil, 0o600) },
		"a name that is none": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tape-C8"), nil, 0o600)
		},
		"a short name": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tape-12c"), nil, 0o600)
		},
		"a name in capitals": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "tape-000000000000012C"), nil, 0o600)
		},
		"a folder": func(dir string) error { return os.Mkdir(filepath.Join(dir, "tape-0000000000000999"), 0o700) },
		"the mark beyond": func(dir string) error {
			b := encodeMark(301)
			return os.WriteFile(filepath.Join(dir, "tape.mark"), b[:], 0o600)
		},
		"the mark below all": func(dir string) error {
			b := encodeMark(-1)
			return os.WriteFile(filepath.Join(dir, "tape.mark"), b[:], 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			tp := openIn(t, dir)
			tp.Segment = 100
			for range 3 {
				require.NoError(t, put(t, tp, string(make([]byte, 100-header))))
			}
			require.NoError(t, attack(dir))
			_, err := get(t, tp)
			require.ErrorIs(t, err, ErrCorrupt)
			if strings.HasPrefix(name, "the last") || name == "the mark beyond" { // who reads nothing notices too
				require.ErrorIs(t, tp.View(t.Context(), func(*Reader) error { return nil }), ErrCorrupt)
			}
			other, err := Open(t.Context(), at(t, dir), "tape", nil)
			if err == nil {
				_, err = get(t, other)
			}
			require.ErrorIs(t, err, ErrCorrupt)
		})
	}
}

// TestLostMark: a mark that a power cut took back or away costs nothing, however
// many segments ago it was.
func TestLostMark(t *testing.T) {
	for _, mark := range []int64{-2, 0, 100, 250, 300} {
		dir := filepath.Join(t.TempDir(), "d")
		tp := openIn(t, dir)
		tp.Segment = 100
		for _, n := range []int{100, 150, 50} {
			require.NoError(t, put(t, tp, string(make([]byte, n-header))))
		}
		b := encodeMark(mark)
		if mark == -2 {
			b[8] ^= 1
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tape.mark"), b[:], 0o600))
		got, err := get(t, openIn(t, dir))
		require.NoError(t, err)
		require.Len(t, got, 3)
		if mark >= 0 { // the process that has seen more does not believe it
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tape.mark"), b[:], 0o600))
			if _, err = get(t, tp); mark < 300 {
				require.ErrorIs(t, err, ErrCorrupt)
			}
			require.NoError(t, put(t, tp, "more"))
			_, err = get(t, tp)
			require.NoError(t, err)
		}
	}
}

// TestMarkGone: who reads without a mark, or while one is written, has it written
// anew; one that cannot be read is an error, and nothing is appended.
func TestMarkGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	mark := filepath.Join(dir, "tape.mark")
	tp := openIn(t, dir)
	require.NoError(t, put(t, tp, "a", "b"))
	for _, b := range [][]byte{nil, {1, 2, 3}, make([]byte, markSize), encodeMarkBytes(5)[:markSize-1]} {
		require.NoError(t, os.Remove(mark))
		if b != nil {
			require.NoError(t, os.WriteFile(mark, b, 0o600))
		}
		got, err := get(t, tp)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b"}, got)
		b, err := os.ReadFile(mark)
		require.NoError(t, err)
		require.Equal(t, encodeMarkBytes(20), b[:markSize])
	}
	require.NoError(t, os.Remove(mark))
	tp.Fault = func(string) error { return errors.New("no disk") }
	_, err := get(t, tp)
	require.ErrorContains(t, err, "no disk")
	tp.Fault = nil
	require.NoError(t, os.MkdirAll(filepath.Join(mark, "full"), 0o700))
	_, err = get(t, tp)
	require.Error(t, err)
	require.NotErrorIs(t, err, errNoMark)
	require.Error(t, put(t, tp, "c"))
	_, err = Open(t.Context(), at(t, dir), "tape", nil)
	require.Error(t, err)
	require.NoError(t, os.RemoveAll(mark))
	got, err := get(t, tp)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, got)
}

// TestSeen: who comes late does not make less known than was.
func TestSeen(t *testing.T) {
	tp := openIn(t, filepath.Join(t.TempDir(), "d"))
	for _, end := range []int64{10, 5, 10} {
		tp.saw(end)
		require.EqualValues(t, 10, tp.known.Load())
	}
}

// TestDamagedSegment: what was damaged in a segment that others follow was whole
// once, however old the mark is.
func TestDamagedSegment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	tp := openIn(t, dir)
	tp.Segment = 100
	for range 3 {
		require.NoError(t, put(t, tp, string(make([]byte, 100-header))))
	}
	path := filepath.Join(dir, "tape-0000000000000064")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[50] ^= 1
	require.NoError(t, os.WriteFile(path, b, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tape.mark"), encodeMarkBytes(0), 0o600))
	_, err = Open(t.Context(), at(t, dir), "tape", nil)
	require.ErrorIs(t, err, ErrCorrupt)
}

// TestFloor: behind the place of which something else on disk tells nothing is cut
// off, with whichever mark.
func TestFloor(t *testing.T) {
	for _, floor := range []int64{100, 101, 200} {
		dir := filepath.Join(t.TempDir(), "d")
		tp := openIn(t, dir)
		for range 2 {
			require.NoError(t, put(t, tp, string(make([]byte, 100-header))))
		}
		b := encodeMark(100)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tape.mark"), b[:], 0o600))
		require.NoError(t, os.Truncate(filepath.Join(dir, "tape-0000000000000000"), 199))
		_, err := Open(t.Context(), at(t, dir), "tape", func(*os.Root) (int64, error) { return floor, nil })
		if floor == 100 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrCorrupt)
		info, err := os.Stat(filepath.Join(dir, "tape-0000000000000000"))
		require.NoError(t, err)
		require.EqualValues(t, 199, info.Size(), "evidence is not cut")
	}
	no := errors.New("no")
	dir := filepath.Join(t.TempDir(), "d")
	_, err := Open(t.Context(), at(t, dir), "tape", func(*os.Root) (int64, error) { return 0, no })
	require.ErrorIs(t, err, no)
}

// TestWaiting: who waits for the lock waits no longer than its context, and readers
// wait for nobody.
func TestWaiting(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	tp, other := openIn(t, dir), openIn(t, dir)
	require.NoError(t, put(t, tp, "a"))
	in, out := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = tp.Alone(context.Background(), func(*Writer) error { close(in); <-out; return nil })
	})
	<-in
	for _, waits := range []*Tape{tp, other} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		require.ErrorIs(t, waits.Alone(ctx, nil), context.DeadlineExceeded)
		cancel()
		require.ErrorIs(t, waits.View(ctx, nil), context.DeadlineExceeded)
		got, err := get(t, waits)
		require.NoError(t, err)
		require.Equal(t, []string{"a"}, got)
	}
	close(out)
	wg.Wait()
}

// TestUnsynced: what another has written and not synced is not read.
func TestUnsynced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	tp, other := openIn(t, dir), openIn(t, dir)
	require.NoError(t, put(t, tp, "a"))
	looked := false
	tp.Fault = func(step string) error {
		if step == "tape sync" {
			looked = true
			got, err := get(t, other)
			require.NoError(t, err)
			require.Equal(t, []string{"a"}, got)
		}
		return nil
	}
	require.NoError(t, put(t, tp, "b"))
	require.True(t, looked)
	got, err := get(t, other)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, got)
}

// FuzzTape: whatever is in the files, what is read is what Append writes, and the
// rest is refused or cut off.
func FuzzTape(f *testing.F) {
	whole := appendRecord(nil, 0, []byte("one"), false)
	f.Add(whole, encodeMarkBytes(12), false)
	f.Add(whole, encodeMarkBytes(0), true)
	f.Add(appendRecord(appendRecord(nil, 0, []byte("a"), true), 10, []byte("b"), false), []byte{}, false)
	f.Add(appendRecord(nil, 0, []byte("half"), true), encodeMarkBytes(0), false)
	f.Add(appendRecord(nil, 7, []byte("elsewhere"), false), encodeMarkBytes(0), false)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0}, encodeMarkBytes(9), false)
	f.Fuzz(func(t *testing.T, segment, mark []byte, second bool) {
		dir := filepath.Join(t.TempDir(), "d")
		shared := at(t, dir)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tape-0000000000000000"), segment, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tape.mark"), mark, 0o600))
		if second {
			require.NoError(t, os.WriteFile(filepath.Join(dir, segmentName("tape", int64(len(segment)))), segment, 0o600))
		}
		tp, err := Open(t.Context(), shared, "tape", nil)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		var again []byte
		err = tp.View(t.Context(), func(r *Reader) error {
			for next := int64(0); next != r.End(); {
				b, after, more, err := r.record(next)
				if err != nil {
					return err
				}
				again, next = appendRecord(again, next, b, more), after
			}
			return nil
		})
		if err != nil {
			require.ErrorIs(t, err, errTorn)
			return
		}
		if second {
			segment = append(bytes.Clone(segment), segment...)
		}
		require.True(t, bytes.HasPrefix(segment, again))
		require.NoError(t, put(t, tp, "goes on"))
	})
}

func encodeMarkBytes(at int64) []byte {
	b := encodeMark(at)
	return b[:]
}

// TestHeader holds the format.
func TestHeader(t *testing.T) {
	b := appendRecord(nil, 5, []byte("text"), true)
	require.Len(t, b, header+4)
	require.EqualValues(t, 4, binary.BigEndian.Uint32(b))
	require.EqualValues(t, 1, b[4])
	require.Equal(t, "text", string(b[header:]))
	require.NotEqual(t, b[5:9], appendRecord(nil, 6, []byte("text"), true)[5:9], "its place counts")
}
