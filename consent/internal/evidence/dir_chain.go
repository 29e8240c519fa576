package evidence

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/rahasia/rahasia/consent/internal/tape"
	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/keyring"
)

// OpenChainDir is [OpenChain] over files in the folder at dir, which is made if it
// is not there; its parent must be.
func OpenChainDir(ctx context.Context, ring *keyring.Ring, dir string) (*Chain, error) {
	s, err := newDirChain(ctx, dir)
	if err != nil {
		return nil, err
	}
	return chainOver(ctx, ring, s, true)
}

// dirChain keeps the chain on a tape, a record an event, and in memory where each
// event is, as the chain itself remembers each event's MAC.
type dirChain struct {
	tape *tape.Tape

	mu  sync.Mutex
	at  []int64 // places of the events known so far
	end int64   // place of the next
	by  map[reference][]int
}

func newDirChain(ctx context.Context, dir string) (*dirChain, error) {
	shared, err := folder.Make(dir)
	if err != nil {
		return nil, err
	}
	t, err := tape.Open(ctx, shared, "ledger", nil)
	if err != nil {
		return nil, tampered(err)
	}
	return &dirChain{tape: t, by: map[reference][]int{}}, nil
}

// tampered says so of a tape that is not as it was written.
func tampered(err error) error {
	if errors.Is(err, tape.ErrCorrupt) && !errors.Is(err, ErrTampered) {
		return fmt.Errorf("%w: %w", err, ErrTampered)
	}
	return err
}

// eventHead is the length of an event without its body.
const eventHead = 8 + 4 + 16 + 32 + 32

func (e *event) encode() []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, eventHead+len(e.body)), e.seq)
	b = binary.BigEndian.AppendUint32(b, e.version)
	b = append(append(append(b, e.subject[:]...), e.prev[:]...), e.mac[:]...)
	return append(b, e.body...)
}

func decodeEvent(b []byte) (e event, err error) {
	if len(b) < eventHead {
		return e, ErrTampered
	}
	e.seq, e.version = binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
	b = b[12:]
	b = b[copy(e.subject[:], b):]
	b = b[copy(e.prev[:], b):]
	e.body = b[copy(e.mac[:], b):]
	return e, nil
}

// eventPage is how many events are read at a time.
const eventPage = 1000

func (s *dirChain) after(ctx context.Context, seq uint64) (out []event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.tape.View(ctx, func(r *tape.Reader) error {
		if seq > uint64(len(s.at)) || r.End() < s.end {
			return ErrTampered
		}
		if seq < uint64(len(s.at)) { // what was read before did not pass
			s.forget(int(seq))
		}
		for len(out) < eventPage {
			b, next, err := r.Read(s.end)
			if errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			e, err := decodeEvent(b)
			if err != nil {
				return err
			}
			s.note(&e, next)
			out = append(out, e)
		}
		return nil
	})
	return out, tampered(err)
}

// note remembers where the event at the end is, and where that ends.
func (s *dirChain) note(e *event, end int64) {
	s.by[e.subject] = append(s.by[e.subject], len(s.at))
	s.at, s.end = append(s.at, s.end), end
}

// forget forgets the events from the n-th on.
func (s *dirChain) forget(n int) {
	for ref, all := range s.by {
		i, _ := slices.BinarySearch(all, n)
		s.by[ref] = all[:i]
	}
	s.at, s.end = s.at[:n], s.at[n]
}

func (s *dirChain) of(ctx context.Context, refs []reference, upTo uint64) (out []event, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var which []int
	for _, ref := range refs {
		which = append(which, s.by[ref]...)
	}
	slices.Sort(which)
	err = s.tape.View(ctx, func(r *tape.Reader) error {
		for _, n := range which {
			if uint64(n) >= upTo {
				return nil
			}
			b, _, err := r.Read(s.at[n])
			if errors.Is(err, io.EOF) {
				err = ErrTampered
			}
			if err != nil {
				return err
			}
			e, err := decodeEvent(b)
			if err != nil {
				return err
			}
			out = append(out, e)
		}
		return nil
	})
	return out, tampered(err)
}

// append relies on the lock: the end of the tape is where this process knows it to
// be, or another was first.
func (s *dirChain) append(ctx context.Context, e event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return tampered(s.tape.Alone(ctx, func(w *tape.Writer) error {
		if w.End() != s.end || e.seq != uint64(len(s.at))+1 {
			return errMoved
		}
		if err := w.Append(e.encode()); err != nil {
			return err
		}
		s.note(&e, w.End())
		return nil
	}))
}
