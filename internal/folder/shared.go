package folder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Shared is a folder that goroutines and processes take turns in. It holds
// nothing open between them.
type Shared struct {
	path string
	turn chan struct{} // full while a goroutine has its turn
}

// Make returns the folder at path, which it makes with mode 0700 if it is not
// there; its parent must be.
func Make(path string) (*Shared, error) {
	if path == "" { // would be the working directory
		return nil, fmt.Errorf("folder without a name: %w", fs.ErrInvalid)
	}
	path, err := filepath.Abs(path) // a later change of directory must not move it
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err == nil {
		err = Sync(path)
		if err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: filepath.Base(path), Err: fs.ErrInvalid}
	}
	return &Shared{path: path, turn: make(chan struct{}, 1)}, nil
}

// Root opens the folder: no link planted in it leads outside.
func (s *Shared) Root() (*os.Root, error) { return os.OpenRoot(s.path) }

// Alone waits for a turn among the goroutines that use s, then among the
// processes for the lock on the file of that name.
func (s *Shared) Alone(ctx context.Context, lock string) (root *os.Root, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	root, err = s.Root()
	if err != nil {
		<-s.turn
		return nil, nil, err
	}
	release, err := LockFile(ctx, func(flag int) (*os.File, error) { return root.OpenFile(lock, flag, 0o600) })
	if err != nil {
		err = errors.Join(err, root.Close())
		<-s.turn
		return nil, nil, err
	}
	return root, func() { release(); _ = root.Close(); <-s.turn }, nil
}

// Open opens a regular file in root, with mode 0600 where it is made.
func Open(root *os.Root, name string, flag int) (*os.File, error) {
	return Regular(root.OpenFile(name, flag|Nonblock, 0o600))
}

// SyncNames waits until the names in a folder of root are on disk.
func SyncNames(root *os.Root, name string) error {
	dir, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Write makes data all that is in a file, and waits until it is on disk; the
// file's name need not be.
func Write(root *os.Root, name string, data []byte) error {
	f, err := Open(root, name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
