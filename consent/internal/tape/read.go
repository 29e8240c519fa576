package tape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rahasia/rahasia/internal/folder"
)

// A record is stored as its length (4 bytes, big-endian), 1 if the batch that it
// was appended in goes on and else 0, a CRC-32C (4) of its place on the tape (8)
// and of all else, and its bytes.
const header = 9

// MaxRecord is the length of the longest record.
const MaxRecord = 16<<20 + 1<<10

// Reader reads one state of a tape.
type Reader struct {
	root     *os.Root
	name     string
	segments []int64 // their first bytes' places
	files    map[int64]*os.File
	end      int64
}

// End is the place behind the last record.
func (r *Reader) End() int64 { return r.end }

// Root is the tape's folder.
func (r *Reader) Root() *os.Root { return r.root }

// Read returns the record at a place, and the place of the next. At the end there
// is none: io.EOF.
func (r *Reader) Read(at int64) (record []byte, next int64, err error) {
	if at == r.end {
		return nil, at, io.EOF
	}
	record, next, _, err = r.record(at)
	if errors.Is(err, errTorn) {
		err = fmt.Errorf("%s: a record: %w", r.name, ErrCorrupt)
	}
	return record, next, err
}

// Peek returns the first bytes of the record at a place, and the place of the
// next, unchecked.
func (r *Reader) Peek(at int64, n int) (first []byte, next int64, err error) {
	if at == r.end {
		return nil, at, io.EOF
	}
	b := make([]byte, header+n)
	next, err = r.head(at, b)
	if err == nil && next-at < int64(len(b)) {
		err = errTorn
	}
	if errors.Is(err, errTorn) {
		err = fmt.Errorf("%s: a record: %w", r.name, ErrCorrupt)
	}
	return b[header:], next, err
}

var errTorn = errors.New("torn")

// head fills b from a place on, and returns where the record there ends.
func (r *Reader) head(at int64, b []byte) (next int64, err error) {
	if at < 0 || at > r.end-int64(len(b)) {
		return 0, errTorn
	}
	if err := r.readAt(at, b); err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(b))
	if n > MaxRecord || b[4] > 1 || n > r.end-at-header {
		return 0, errTorn
	}
	return at + header + n, nil
}

func (r *Reader) record(at int64) (record []byte, next int64, more bool, err error) {
	var h [header]byte
	if next, err = r.head(at, h[:]); err != nil {
		return nil, 0, false, err
	}
	record = make([]byte, next-at-header)
	if err := r.readAt(at+header, record); err != nil {
		return nil, 0, false, err
	}
	if sum(at, h[:5], record) != binary.BigEndian.Uint32(h[5:]) {
		return nil, 0, false, errTorn
	}
	return record, next, h[4] == 1, nil
}

// appendRecord encodes a record for a place on the tape.
func appendRecord(dst []byte, at int64, record []byte, more bool) []byte {
	h := len(dst)
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(record))), 0)
	if more {
		dst[h+4] = 1
	}
	dst = binary.BigEndian.AppendUint32(dst, sum(at, dst[h:h+5], record))
	return append(dst, record...)
}

// sum is there against writes that were torn, and tells nothing of who wrote.
func sum(at int64, head, record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	s := crc32.Update(0, table, binary.BigEndian.AppendUint64(nil, uint64(at)))
	return crc32.Update(crc32.Update(s, table, head), table, record)
}

// readAt fills b from one segment; errTorn where that does not go as far.
func (r *Reader) readAt(at int64, b []byte) error {
	i, found := slices.BinarySearch(r.segments, at)
	if !found {
		i--
	}
	if i < 0 || i+1 < len(r.segments) && at+int64(len(b)) > r.segments[i+1] {
		return errTorn
	}
	f, err := r.file(r.segments[i], os.O_RDONLY)
	if err != nil {
		return err
	}
	if _, err = f.ReadAt(b, at-r.segments[i]); errors.Is(err, io.EOF) {
		return errTorn
	}
	return err
}

func (r *Reader) file(segment int64, flag int) (*os.File, error) {
	if f := r.files[segment]; f != nil {
		return f, nil
	}
	f, err := folder.Open(r.root, segmentName(r.name, segment), flag)
	if err == nil {
		r.files[segment] = f
	}
	return f, err
}

func (r *Reader) close() {
	for _, f := range r.files {
		_ = f.Close()
	}
}

func segmentName(tape string, first int64) string { return fmt.Sprintf("%s-%016x", tape, first) }

// maxNames bounds how many names are read: the folder is not trusted.
const maxNames = 1 << 17

// open reads which segments there are, and where the last ends.
func (t *Tape) open(root *os.Root) (*Reader, error) {
	r := &Reader{root: root, name: t.name, files: map[int64]*os.File{}}
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxNames)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) == maxNames {
		return nil, fmt.Errorf("more than %d files: %w", maxNames, ErrCorrupt)
	}
	for _, name := range names {
		digits, is := strings.CutPrefix(name, t.name+"-")
		if !is {
			continue
		}
		first, err := strconv.ParseInt(digits, 16, 64)
		if err != nil || first < 0 || segmentName(t.name, first) != name {
			return nil, fmt.Errorf("%s: a file among the segments that is none: %w", t.name, ErrCorrupt)
		}
		r.segments = append(r.segments, first)
	}
	if len(r.segments) == 0 {
		return r, nil
	}
	slices.Sort(r.segments)
	last := r.segments[len(r.segments)-1]
	info, err := root.Lstat(segmentName(t.name, last))
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeType != 0 {
		return nil, fmt.Errorf("%s: a segment that is no file: %w", t.name, ErrCorrupt)
	}
	r.end = last + info.Size()
	return r, nil
}
