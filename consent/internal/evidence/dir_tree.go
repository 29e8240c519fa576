package evidence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rahasia/rahasia/consent/internal/tape"
	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/keyring"
)

// OpenTreeDir is [OpenTree] over files in the folder at dir, which is made if it
// is not there; its parent must be.
func OpenTreeDir(ctx context.Context, ring *keyring.Ring, dir string) (*Tree, error) {
	s, err := newDirTree(ctx, dir)
	if err != nil {
		return nil, err
	}
	s.sign = func(ctx context.Context, b *block) error {
		ks, err := ring.Keyset(ctx, TreeKeyset)
		if err != nil {
			return err
		}
		return b.sign(ks, ring.ID())
	}
	return treeOver(ctx, ring, s, false)
}

// dirTree keeps the log in files. Blocks are on a tape, by ascending id, and get
// their places in the order in which they lie there; so all that have places come
// before all that have none. A file holds the hashes, in the order of
// tlog.StoredHashIndex, and one the places, a row a block. The head says how much
// of them counts, and is replaced in one step when they are on disk: what lies
// behind was written by a sequencer that died, and is written again.
type dirTree struct {
	tape  *tape.Tape
	heads *folder.Shared                      // a turn of its own, so that who writes blocks does not wait for who gives places
	sign  func(context.Context, *block) error // anew, where another was first with a higher id
	fault func(step string) error

	sure   atomic.Pointer[string] // a head's text that is known to be on disk
	newest atomic.Pointer[placed] // the end of the tape, and the id of the last block there
}

// The files of a tree in a folder, beside the tape's.
const (
	treeTape   = "log"
	treeHead   = "log.head"
	treeHashes = "log.hashes"
	treePlaces = "log.places"
	fresh      = ".new"
)

func newDirTree(ctx context.Context, dir string) (*dirTree, error) {
	shared, err := folder.Make(dir)
	if err != nil {
		return nil, err
	}
	s := &dirTree{fault: func(string) error { return nil }}
	if s.heads, err = folder.Make(dir); err != nil {
		return nil, err
	}
	s.tape, err = tape.Open(ctx, shared, treeTape, func(root *os.Root) (int64, error) {
		h, err := readHead(root)
		return h.End, err
	})
	if err != nil {
		return nil, tampered(err)
	}
	return s, nil
}

// A block on the tape: id (8), version (4), MAC (32), leaves.
const blockHead = 8 + 4 + 32

func (b *block) encode() []byte {
	out := binary.BigEndian.AppendUint64(make([]byte, 0, blockHead+len(b.leaves)), uint64(b.id))
	out = binary.BigEndian.AppendUint32(out, b.version)
	return append(append(out, b.mac[:]...), b.leaves...)
}

func decodeBlock(b []byte) (out block, err error) {
	if len(b) < blockHead || int64(binary.BigEndian.Uint64(b)) <= 0 {
		return out, ErrTampered
	}
	out = block{id: int64(binary.BigEndian.Uint64(b)), version: binary.BigEndian.Uint32(b[8:]), first: unplaced}
	out.leaves = b[12+copy(out.mac[:], b[12:]):]
	return out, nil
}

func (s *dirTree) queue(ctx context.Context, blocks []block, size int64) error {
	return tampered(s.tape.Alone(ctx, func(w *tape.Writer) error {
		h, err := s.headIn(w.Root())
		if err != nil {
			return err
		}
		if h.Size < size {
			return errShorter
		}
		newest, err := s.last(w.Reader, h)
		if err != nil {
			return err
		}
		records := make([][]byte, len(blocks))
		for i := range blocks {
			b := &blocks[i]
			if newest == math.MaxInt64 {
				return ErrTampered // nobody waits for so long
			}
			if b.id <= newest {
				b.id = newest + 1
				if err := s.sign(ctx, b); err != nil {
					return err
				}
			}
			records[i], newest = b.encode(), b.id
		}
		if err := w.Append(records...); err != nil {
			return err
		}
		s.newest.Store(&placed{end: w.End(), id: newest})
		return nil
	}))
}

// last returns the id of the last block on the tape.
func (s *dirTree) last(r *tape.Reader, h headText) (id int64, err error) {
	at, id := h.End, h.Last
	if n := s.newest.Load(); n != nil && n.end > at {
		at, id = n.end, n.id
	}
	if at > r.End() {
		return 0, ErrTampered
	}
	for at < r.End() {
		if id, at, err = peekID(r, at); err != nil {
			return 0, err
		}
	}
	return id, nil
}

func peekID(r *tape.Reader, at int64) (id, next int64, err error) {
	b, next, err := r.Peek(at, 8)
	if errors.Is(err, io.EOF) {
		err = ErrTampered
	}
	if err != nil {
		return 0, 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), next, nil
}

func (s *dirTree) grow(ctx context.Context, g *growth) error {
	root, done, err := s.heads.Alone(ctx, treeHead+".lock")
	if err != nil {
		return err
	}
	defer done()
	h, err := s.headIn(root)
	if err != nil {
		return err
	}
	if now := s.stateOf(h); now.size != g.old.size || now.epoch != g.old.epoch || now.placed != g.old.placed || now.held && !g.mine {
		return errMoved
	}
	next, places, err := s.next(ctx, h, g)
	if err != nil {
		return err
	}
	var hashes []byte
	for i := range g.hashes {
		hashes = append(hashes, g.hashes[i][:]...)
	}
	if err := s.extend(root, treeHashes, g.at*tlog.HashSize, hashes); err != nil {
		return err
	}
	if err := s.extend(root, treePlaces, h.Blocks*placeSize, places); err != nil {
		return err
	}
	if err := s.replaceHead(root, next); err != nil {
		return err
	}
	g.placed = next.placed()
	return nil
}

// next returns the head after a step, and the rows that it adds: its blocks must
// be the ones that follow on the tape.
func (s *dirTree) next(ctx context.Context, h headText, g *growth) (next headText, places []byte, err error) {
	next = h
	err = s.tape.View(ctx, func(r *tape.Reader) error {
		for i := range g.blocks {
			at := next.End
			id, end, err := peekID(r, at)
			if err == nil && id != g.blocks[i].id || errors.Is(tampered(err), ErrTampered) {
				return errMoved // no such block
			} else if err != nil {
				return err
			}
			places = appendPlace(places, placeRow{g.blocks[i].first, at, id})
			next.End, next.Last = end, id
		}
		return nil
	})
	next.Size, next.Note, next.Until = g.size, string(g.note), 0
	next.Blocks += int64(len(g.blocks))
	if !g.mine {
		next.Epoch++
	}
	if g.keep {
		next.Until = time.Now().Add(lease).UnixMilli()
	}
	return next, places, tampered(err)
}

// extend writes a file on from a place that it must reach.
func (s *dirTree) extend(root *os.Root, name string, at int64, b []byte) error {
	if err := s.fault("write " + name); err != nil {
		return err
	}
	f, err := folder.Open(root, name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < at {
		err = fmt.Errorf("%s: %w", name, ErrTampered)
	}
	if err == nil {
		_, err = f.WriteAt(b, at)
	}
	if err == nil {
		err = s.fault("sync " + name)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil || at > 0 {
		return err
	}
	if err := s.fault("sync names"); err != nil {
		return err
	}
	return folder.SyncNames(root, ".") // before a head speaks of it
}

func (s *dirTree) replaceHead(root *os.Root, h headText) error {
	text := h.encode()
	if err := s.fault("write " + treeHead); err != nil {
		return err
	}
	if err := folder.Write(root, treeHead+fresh, []byte(text)); err != nil {
		return err
	}
	if err := s.fault("rename"); err != nil {
		return err
	}
	if err := root.Rename(treeHead+fresh, treeHead); err != nil {
		return err
	}
	return s.beSure(root, text)
}

// beSure waits until a head is on disk, of which others may speak from now on,
// such as the ring's journal.
func (s *dirTree) beSure(root *os.Root, text string) error {
	if was := s.sure.Load(); was != nil && *was == text {
		return nil
	}
	if err := s.fault("sync names"); err != nil {
		return err
	}
	if err := folder.SyncNames(root, "."); err != nil {
		return err
	}
	s.sure.Store(&text)
	return nil
}

// headIn reads the head, which whoever wrote it may not live to see on disk.
func (s *dirTree) headIn(root *os.Root) (headText, error) {
	h, err := readHead(root)
	if err == nil && h != (headText{}) {
		err = s.beSure(root, h.encode())
	}
	return h, err
}

func readHead(root *os.Root) (h headText, err error) {
	f, err := folder.Open(root, treeHead, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return headText{}, nil // of an empty tree
	} else if err != nil {
		return headText{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxHead+1))
	if err != nil {
		return headText{}, err
	}
	return decodeHead(b)
}
