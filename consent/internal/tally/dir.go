package tally

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/rahasia/rahasia/consent/internal/tape"
	"github.com/rahasia/rahasia/internal/folder"
)

// OpenDir returns the tally in the folder at dir, which is made if it is not
// there; its parent must be. Processes that open it share the counts. Files that
// are not as they were written are [tape.ErrCorrupt], when they are read.
func OpenDir(dir string) (*Tally, error) {
	shared, err := folder.Make(dir)
	if err != nil {
		return nil, err
	}
	return &Tally{store: &dirStore{shared: shared, mem: newMemory(), days: map[int64]*day{}}, fresh: map[[2]ID]int64{}}, nil
}

// dirStore keeps counts on a tape a day, and in memory what it has read of those
// that matter. A record is who (16 bytes), the step (8, big-endian) and what (16
// each) was counted in it.
type dirStore struct {
	shared *folder.Shared

	mu   sync.Mutex
	mem  *memory
	days map[int64]*day // yesterday and today
}

type day struct {
	tape *tape.Tape
	read int64 // how far
}

const recordHead = 16 + 8

func dayOf(step int64) int64 { return step / daySteps }

func (s *dirStore) count(ctx context.Context, who ID, now int64, choose func(standing) chosen, whats []ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	yesterday, err := s.day(ctx, dayOf(now)-1)
	if err != nil {
		return err
	}
	if err := yesterday.tape.View(ctx, func(r *tape.Reader) error { return s.catchUp(yesterday, r) }); err != nil {
		return err
	}
	today, err := s.day(ctx, dayOf(now))
	if err != nil {
		return err
	}
	return today.tape.Alone(ctx, func(w *tape.Writer) error {
		if err := s.catchUp(today, w.Reader); err != nil {
			return err
		}
		s.mem.sweep(now)
		did := choose(s.mem.of(who).standing(now, whats))
		if len(did.admit) == 0 {
			return nil
		}
		b := binary.BigEndian.AppendUint64(who[:len(who):len(who)], uint64(now))
		for i := range did.admit {
			b = append(b, did.admit[i][:]...)
		}
		if err := w.Append(b); err != nil {
			return err
		}
		return s.catchUp(today, w.Reader)
	})
}

// catchUp takes in what was counted since it last ran.
func (s *dirStore) catchUp(d *day, r *tape.Reader) error {
	for {
		b, next, err := r.Read(d.read)
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(b) < recordHead || len(b)%16 != recordHead%16 {
			return fmt.Errorf("counts: %w", tape.ErrCorrupt)
		}
		who, step := ID(b[:16]), int64(binary.BigEndian.Uint64(b[16:]))
		for b = b[recordHead:]; len(b) > 0; b = b[16:] {
			s.mem.of(who).add(ID(b[:16]), step)
		}
		d.read = next
	}
}

// day opens a day's tape. With the first of a day it removes those that nobody
// asks for any more.
func (s *dirStore) day(ctx context.Context, n int64) (*day, error) {
	if d := s.days[n]; d != nil {
		return d, nil
	}
	t, err := tape.Open(ctx, s.shared, tapeName(n), nil)
	if err != nil {
		return nil, err
	}
	s.days[n] = &day{tape: t}
	for old := range s.days {
		if old < n-1 {
			delete(s.days, old)
		}
	}
	return s.days[n], s.remove(n - 1)
}

func tapeName(day int64) string { return "guard." + strconv.FormatInt(day, 10) }

// remove removes the files of days before one.
func (s *dirStore) remove(before int64) error {
	root, err := s.shared.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	names, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	for _, f := range names {
		rest, is := strings.CutPrefix(f.Name(), "guard.")
		if !is {
			continue
		}
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		if n, err := strconv.ParseInt(digits, 10, 64); err != nil || n >= before {
			continue
		}
		if err := root.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
