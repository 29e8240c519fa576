//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package journal

import (
	"errors"
	"os"
)

// tryLock refuses: without a lock two processes could fork the journal.
func tryLock(*os.File) (bool, error) {
	return false, errors.New("journal files need file locks, which this system has not")
}
