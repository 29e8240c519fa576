// Package folder opens files, makes their names durable and locks them.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Regular takes what opening a file returned, with [Nonblock] among the flags,
// and refuses whatever is no regular file: a pipe that somebody planted would hold
// its reader for ever, and a device has no end.
func Regular(f *os.File, err error) (*os.File, error) {
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("file has mode %v, and is no regular one: %w", info.Mode(), fs.ErrInvalid)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Sync waits until the folder of path is on disk, and with it the name of a
// file that was made or removed at path.
func Sync(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
