package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// Log is the lines of one journal, wherever they are. It is safe for
// concurrent use.
type Log struct {
	turn chan struct{} // one writer in this process
	Medium
}

// Medium is where the lines are.
type Medium interface {
	// Size returns the number of bytes there are.
	Size() (int64, error)
	// Read returns a reader from offset on.
	Read(offset int64) (io.ReadCloser, error)
	// Append adds b durably, or not at all.
	Append(b []byte) error
	// Truncate cuts the medium to n bytes, durably.
	Truncate(n int64) error
	// Sync makes durable what a dead writer may have left unsynced.
	Sync() error

	// exclude keeps other processes from writing until release.
	exclude(ctx context.Context) (release func(), err error)
}

// New returns a log on m.
func New(m Medium) *Log { return &Log{make(chan struct{}, 1), m} }

// Lock waits for the right to write, which one caller in all processes has.
func (l *Log) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("journal: lock: %w", ctx.Err())
	}
	release, err := l.exclude(ctx)
	if err != nil {
		<-l.turn
		return nil, fmt.Errorf("journal: lock: %w", err)
	}
	return func() { release(); <-l.turn }, nil
}

// Unused reports whether nothing was ever committed under this journal: it is
// empty, or its only entry is the creation of a ring, or that was torn.
func (l *Log) Unused() (bool, error) {
	r, err := l.Read(0)
	if err != nil {
		return false, fmt.Errorf("journal: read: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxLine))
	if err = errors.Join(err, r.Close()); err != nil {
		return false, fmt.Errorf("journal: read: %w", err)
	}
	line, rest, whole := bytes.Cut(text, []byte("\n"))
	if !whole {
		return len(text) < maxLine, nil
	}
	e, _, err := parse(line)
	return err == nil && e.Kind == Create && len(rest) == 0, nil
}
