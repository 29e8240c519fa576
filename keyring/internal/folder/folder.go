// Package folder makes names of files durable.
package folder

import (
	"errors"
	"os"
	"path/filepath"
)

// Sync waits until the folder of path is on disk, and with it the name of a
// file that was made or removed at path.
func Sync(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
