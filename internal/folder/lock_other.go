//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package folder

import (
	"errors"
	"os"
)

// Nonblock is nothing here.
const Nonblock = 0

// tryLock refuses: without a lock two processes could write at once.
func tryLock(*os.File) (bool, error) {
	return false, errors.New("files shared by processes need file locks, which this system has not")
}
