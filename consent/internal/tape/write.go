package tape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"

	"github.com/rahasia/rahasia/internal/folder"
)

// Writer is a [Reader] of all there is while nobody else writes.
type Writer struct {
	*Reader
	tape *Tape
	root *os.Root
}

// Append returns when the records are on disk, all of them; they follow each
// other from [Reader.End] on. Where it returns an error none is there, unless the
// disk failed to take them away again as well, or only the mark is missing: then
// whoever comes next finds all of them or none.
func (w *Writer) Append(records ...[]byte) error {
	at, batch := w.end, []byte(nil)
	for i, record := range records {
		if len(record) > MaxRecord {
			return errors.New("record too long")
		}
		batch = appendRecord(batch, at+int64(len(batch)), record, i < len(records)-1)
	}
	f, first, err := w.last()
	if err != nil {
		return err
	}
	if err := w.write(f, first, at, batch); err != nil {
		return errors.Join(err, w.cut(f, first, at))
	}
	w.end = at + int64(len(batch))
	return w.mark()
}

// last opens the segment that is appended to, and begins a new one where the
// last has its size: no batch lies in two.
func (w *Writer) last() (f *os.File, first int64, err error) {
	if n := len(w.segments); n > 0 {
		first = w.segments[n-1]
	}
	if len(w.segments) == 0 || w.end-first >= w.tape.Segment {
		if err := w.tape.step("segment"); err != nil {
			return nil, 0, err
		}
		first = w.end
		w.segments = append(w.segments, first)
	}
	if open := w.files[first]; open != nil { // for reading, perhaps
		_ = open.Close()
		delete(w.files, first)
	}
	f, err = w.file(first, os.O_RDWR|os.O_CREATE)
	return f, first, err
}

func (w *Writer) write(f *os.File, first, at int64, batch []byte) error {
	if err := w.tape.step("write"); err != nil {
		return err
	}
	if _, err := f.WriteAt(batch, at-first); err != nil {
		return err
	}
	return w.sync(f, first == at)
}

// sync waits until a segment is on disk, and where it is new its name too.
func (w *Writer) sync(f *os.File, named bool) error {
	if err := w.tape.step("sync"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || !named {
		return err
	}
	if err := w.tape.step("names"); err != nil {
		return err
	}
	return folder.SyncNames(w.root, ".")
}

func (w *Writer) cut(f *os.File, first, at int64) error {
	if err := w.tape.step("cut"); err != nil {
		return err
	}
	if err := f.Truncate(at - first); err != nil {
		return err
	}
	return w.sync(f, false)
}

// recover makes sure of what lies beyond the mark: whole batches are kept, for
// they may have been acknowledged before a power cut took the mark back, and what
// comes behind them was torn before it was on disk, and so by nobody relied on.
func (w *Writer) recover() error {
	mark, err := w.tape.readMark(w.root)
	switch {
	case err == nil && mark == w.end && mark >= w.tape.known.Load():
		w.tape.saw(mark)
		return nil
	case errors.Is(err, errNoMark):
		if mark = 0; len(w.segments) > 0 {
			mark = w.segments[len(w.segments)-1] // begun when all before was on disk
		}
	case err != nil:
		return err
	}
	floor, err := w.tape.floor(w.root)
	if err != nil {
		return err
	}
	if floor = max(floor, mark, w.tape.known.Load()); w.end < floor {
		return fmt.Errorf("%s: shorter than it was: %w", w.name, ErrCorrupt)
	}
	whole, err := w.rewrite(mark)
	if err != nil {
		return err
	}
	if whole < floor || len(w.segments) > 0 && whole < w.segments[len(w.segments)-1] {
		return fmt.Errorf("%s: a record: %w", w.name, ErrCorrupt)
	}
	if len(w.segments) > 0 {
		f, first, err := w.last()
		if err != nil {
			return err
		}
		if whole < w.end {
			if err := w.cut(f, first, whole); err != nil {
				return err
			}
		}
		if err := w.sync(f, true); err != nil {
			return err
		}
	}
	w.end = whole
	return w.mark()
}

// rewrite writes what is whole from a place on once more, and returns where that
// ends: after a sync that failed the pages may be in memory only, and nothing
// would write them again.
func (w *Writer) rewrite(from int64) (whole int64, err error) {
	whole = from
	for at := from; at < w.end; {
		record, next, more, err := w.record(at)
		if errors.Is(err, errTorn) {
			return whole, nil
		} else if err != nil {
			return 0, err
		}
		if err := w.overwrite(at, appendRecord(nil, at, record, more)); err != nil {
			return 0, err
		}
		if at = next; !more {
			whole = next
		}
	}
	return whole, nil
}

func (w *Writer) overwrite(at int64, b []byte) error {
	first := w.segments[0]
	for _, s := range w.segments {
		if s <= at {
			first = s
		}
	}
	f, err := folder.Open(w.root, segmentName(w.name, first), os.O_WRONLY)
	if err != nil {
		return err
	}
	if err = w.tape.step("rewrite"); err == nil {
		_, err = f.WriteAt(b, at-first)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

var errNoMark = errors.New("no mark")

// The mark is a place (8 bytes, big-endian) and its CRC-32C (4).
const markSize = 12

func (t *Tape) readMark(root *os.Root) (int64, error) {
	f, err := folder.Open(root, t.name+".mark", os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errNoMark
	} else if err != nil {
		return 0, err
	}
	defer f.Close()
	var b [markSize]byte
	if _, err := f.ReadAt(b[:], 0); errors.Is(err, io.EOF) {
		return 0, errNoMark
	} else if err != nil {
		return 0, err
	}
	if encodeMark(int64(binary.BigEndian.Uint64(b[:]))) != b {
		return 0, errNoMark
	}
	return int64(binary.BigEndian.Uint64(b[:])), nil
}

func encodeMark(at int64) (b [markSize]byte) {
	binary.BigEndian.PutUint64(b[:], uint64(at))
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// mark tells readers that all is on disk. The mark itself need not be: without it
// what is there is looked at again.
func (w *Writer) mark() error {
	if err := w.tape.step("mark"); err != nil {
		return err
	}
	f, err := folder.Open(w.root, w.name+".mark", os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	b := encodeMark(w.end)
	if _, err = f.WriteAt(b[:], 0); err == nil {
		w.tape.saw(w.end)
	}
	return errors.Join(err, f.Close())
}
