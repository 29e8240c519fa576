package evidence

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/consent/internal/tape"
	"github.com/rahasia/rahasia/internal/folder"
)

// dirView is one state: what the head counts does not change any more.
type dirView struct {
	head   headText
	now    state
	tape   *tape.Reader
	root   *os.Root
	files  map[string]*os.File
	hashes map[int64][]byte // that were read, hashRow of them together
}

func (s *dirTree) view(ctx context.Context, f func(treeView) error) error {
	// The tape after the head, so that all that the head counts is there.
	root, err := s.heads.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	h, err := s.headIn(root)
	if err != nil {
		return err
	}
	v := &dirView{head: h, now: s.stateOf(h), root: root, files: map[string]*os.File{}, hashes: map[int64][]byte{}}
	defer v.close()
	return tampered(s.tape.View(ctx, func(r *tape.Reader) error {
		v.tape = r
		return f(v)
	}))
}

func (v *dirView) close() {
	for _, f := range v.files {
		_ = f.Close()
	}
}

// state checks that the last row of the places is what the head says.
func (v *dirView) state() (state, error) {
	if v.head.Blocks == 0 {
		return v.now, nil
	}
	last, err := v.place(v.head.Blocks - 1)
	if err != nil {
		return state{}, err
	}
	id, end, err := peekID(v.tape, last.at)
	if err != nil {
		return state{}, err
	}
	if (placed{v.head.Blocks, end, id}) != v.now.placed || last.id != id {
		return state{}, fmt.Errorf("head: %w", ErrTampered)
	}
	return v.now, nil
}

// readAt fills b from a file that must go as far.
func (v *dirView) readAt(name string, b []byte, at int64) error {
	f := v.files[name]
	if f == nil {
		var err error
		if f, err = folder.Open(v.root, name, os.O_RDONLY); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", name, ErrTampered)
		} else if err != nil {
			return err
		}
		v.files[name] = f
	}
	_, err := f.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", name, ErrTampered)
	}
	return err
}

func (v *dirView) place(n int64) (placeRow, error) {
	var b [placeSize]byte
	err := v.readAt(treePlaces, b[:], n*placeSize)
	return decodePlace(b[:]), err
}

func (v *dirView) placed(from, to int64, each func(*block) error) error {
	var err error
	after := sort.Search(int(v.head.Blocks), func(n int) bool { // the first row behind from
		p, failed := v.place(int64(n))
		err = errors.Join(err, failed)
		return p.first > from
	})
	for n := max(int64(after)-1, 0); n < v.head.Blocks && err == nil; n++ {
		var p placeRow
		if p, err = v.place(n); err != nil || p.first >= to {
			break
		}
		var b block
		if b, _, err = v.block(p.at); err == nil && b.id != p.id {
			err = fmt.Errorf("places: %w", ErrTampered)
		}
		if err == nil {
			b.first = p.first
			err = each(&b)
		}
	}
	return err
}

func (v *dirView) block(at int64) (out block, next int64, err error) {
	b, next, err := v.tape.Read(at)
	if errors.Is(err, io.EOF) {
		err = ErrTampered
	}
	if err == nil {
		out, err = decodeBlock(b)
	}
	return out, next, err
}

func (v *dirView) unplaced(most int) (out []block, err error) {
	last := v.head.Last
	for at := v.head.End; at != v.tape.End() && len(out) < most; {
		b, next, err := v.block(at)
		if err != nil {
			return nil, err
		}
		if b.id <= last { // one that was there already
			return nil, fmt.Errorf("block: %w", ErrTampered)
		}
		out, at, last = append(out, b), next, b.id
	}
	return out, nil
}

func (v *dirView) newestUnplaced() (id int64, err error) {
	for at := v.head.End; at != v.tape.End(); {
		if id, at, err = peekID(v.tape, at); err != nil {
			return 0, err
		}
	}
	return id, nil
}

// rowPage is how many rows of places are read at a time.
const rowPage = 512

// byID looks among the blocks without a place, and then at the rows from the last
// on: it is asked for blocks of late.
func (v *dirView) byID(ids []int64) (out []block, err error) {
	for at := v.head.End; at != v.tape.End() && len(out) < len(ids); {
		id, next, err := peekID(v.tape, at)
		if err != nil {
			return nil, err
		}
		if slices.Contains(ids, id) {
			b, _, err := v.block(at)
			if err != nil {
				return nil, err
			}
			out = append(out, b)
		}
		at = next
	}
	for to := v.head.Blocks; to > 0 && len(out) < len(ids); to -= min(to, rowPage) {
		rows := make([]byte, min(to, rowPage)*placeSize)
		if err := v.readAt(treePlaces, rows, to*placeSize-int64(len(rows))); err != nil {
			return nil, err
		}
		for row := range slices.Chunk(rows, placeSize) {
			p := decodePlace(row)
			if !slices.Contains(ids, p.id) {
				continue
			}
			b, _, err := v.block(p.at)
			if err != nil {
				return nil, err
			}
			b.first = p.first
			out = append(out, b)
		}
	}
	return out, nil
}

// ReadHashes is tlog.HashReader's.
func (v *dirView) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if len(v.hashes) > maxRows {
		clear(v.hashes)
	}
	stored := tlog.StoredHashCount(v.head.Size)
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if x < 0 || x >= stored {
			return nil, fmt.Errorf("hashes: %w", ErrTampered)
		}
		row := x / hashRow
		if v.hashes[row] == nil {
			b := make([]byte, min(hashRow, stored-row*hashRow)*tlog.HashSize)
			if err := v.readAt(treeHashes, b, row*hashRow*tlog.HashSize); err != nil {
				return nil, err
			}
			v.hashes[row] = b
		}
		out[i] = tlog.Hash(v.hashes[row][x%hashRow*tlog.HashSize:][:tlog.HashSize])
	}
	return out, nil
}
