// Package tape keeps append-only lists of records in a folder, in segment files,
// for several goroutines and processes. What was appended is on disk; what a
// process that died was appending is there whole or cut off. Nothing here keeps
// anybody from changing a record: who reads it must be able to tell.
//
// The files of a tape are, after its name: "-" and the place of their first byte
// in 16 hexadecimal digits, the segments; ".mark", how far they are known to be on
// disk; and ".lock". Their mode is 0600.
package tape

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/rahasia/rahasia/internal/folder"
)

// ErrCorrupt is returned for a tape that is not as it was written.
var ErrCorrupt = errors.New("not as it was written")

// Tape is an append-only list of records. It holds nothing open.
type Tape struct {
	// Fault is called before each step that changes something on disk, which fails
	// with its error. It is for tests, and nil.
	Fault func(step string) error

	// Segment is the size from which on a segment ends, in bytes. Open sets 64 MiB.
	Segment int64

	shared *folder.Shared
	name   string
	floor  func(*os.Root) (int64, error)
	known  atomic.Int64 // how far it was seen whole
}

// Open opens the tape of that name in a folder, and makes it where it is not
// there. What lies behind the place that floor returns, such as one that a later
// write tells of, was acknowledged: if it is damaged it is never cut off. A nil
// floor is 0.
func Open(ctx context.Context, shared *folder.Shared, name string, floor func(*os.Root) (int64, error)) (*Tape, error) {
	if floor == nil {
		floor = func(*os.Root) (int64, error) { return 0, nil }
	}
	t := &Tape{Segment: 64 << 20, shared: shared, name: name, floor: floor}
	return t, t.Alone(ctx, func(*Writer) error { return nil })
}

// View runs f on what is known to be on disk. It waits for nobody.
func (t *Tape) View(ctx context.Context, f func(*Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	root, err := t.shared.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	r, err := t.reader(root)
	if errors.Is(err, errNoMark) { // or one that is being written
		if err = t.Alone(ctx, func(*Writer) error { return nil }); err == nil {
			r, err = t.reader(root)
		}
	}
	if err != nil {
		return err
	}
	defer r.close()
	return f(r)
}

// reader reads as far as the mark, which a writer moves when all before is on
// disk: nobody must rely on what a power cut may still take away.
func (t *Tape) reader(root *os.Root) (*Reader, error) {
	known := t.known.Load() // before the mark, which another goroutine may move
	mark, err := t.readMark(root)
	if err != nil {
		return nil, err
	}
	r, err := t.open(root)
	if err != nil {
		return nil, err
	}
	if mark < known || mark > r.end {
		r.close()
		return nil, fmt.Errorf("%s: shorter than it was: %w", t.name, ErrCorrupt)
	}
	r.end = mark
	t.saw(mark)
	return r, nil
}

func (t *Tape) saw(end int64) {
	for now := t.known.Load(); end > now && !t.known.CompareAndSwap(now, end); now = t.known.Load() {
	}
}

// Alone runs f while nobody else writes, here or in another process. First it
// brings to an end what a process that died left.
func (t *Tape) Alone(ctx context.Context, f func(*Writer) error) error {
	root, done, err := t.shared.Alone(ctx, t.name+".lock")
	if err != nil {
		return err
	}
	defer done()
	r, err := t.open(root)
	if err != nil {
		return err
	}
	defer r.close()
	w := &Writer{Reader: r, tape: t, root: root}
	if err := w.recover(); err != nil {
		return err
	}
	return f(w)
}

func (t *Tape) step(name string) error {
	if t.Fault == nil {
		return nil
	}
	return t.Fault(t.name + " " + name)
}
