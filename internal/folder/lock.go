package folder

import (
	"context"
	"errors"
	"os"
	"time"
)

// Lock waits until it alone has the lock on the file at path, which it makes
// with mode 0600 if it is not there. The lock holds between goroutines as
// between processes, and ends with the process.
func Lock(ctx context.Context, path string) (unlock func(), err error) {
	return LockFile(ctx, func(flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o600) })
}

// LockFile is [Lock] on the file that open opens with those flags.
func LockFile(ctx context.Context, open func(flag int) (*os.File, error)) (unlock func(), err error) {
	f, err := Regular(open(os.O_RDWR | os.O_CREATE | Nonblock))
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		held, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if held {
			return func() { _ = f.Close() }, nil // closing releases the lock
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		}
	}
}
