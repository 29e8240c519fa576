package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/keyring/internal/folder"
)

// fresh ends the name of a file that is still being written.
const fresh = ".new"

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// reading runs do alone, with no transaction unfinished. Readers do not share
// the lock: a writer would have to wait for a moment when there is none.
func (s *Store) reading(ctx context.Context, do func() error) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return failed(do())
}

// writing runs prepare alone and then does, as one transaction, what it returns.
func (s *Store) writing(ctx context.Context, prepare func() ([]write, error)) error {
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	writes, err := prepare()
	if err != nil {
		return failed(err)
	}
	if err := ctx.Err(); err != nil { // from here on it happens
		return failed(err)
	}
	if len(writes) == 0 {
		return nil
	}
	s.fault("intent")
	if err := s.replace(intentFile, encodeIntent(writes), false); err != nil {
		return failed(err)
	}
	s.fault("committed")
	return failed(s.finish())
}

// lock waits for its turn among the goroutines, then among the processes, and
// finishes what a process that died left behind.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, failed(err)
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, failed(ctx.Err())
	}
	release, err := folder.Lock(ctx, s.path(lockFile))
	if err != nil {
		<-s.turn
		return nil, failed(err)
	}
	unlock = func() { release(); <-s.turn }
	if err := s.finish(); err != nil {
		unlock()
		return nil, failed(err)
	}
	return unlock, nil
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("dirstore: %w", err)
}

// finish carries out the intent, if there is one. Each of its steps may be
// done again: it says what files become, not how they change.
func (s *Store) finish() error {
	if err := s.wipe(doneFile); err != nil {
		return err
	}
	writes, err := load(s.path(intentFile), decodeIntent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	// Another process may have died between naming the intent and syncing the
	// name: it must not be lost once its effects are there.
	if err := folder.Sync(s.path(intentFile)); err != nil {
		return err
	}
	folders := map[string]bool{}
	for _, w := range writes {
		folders[filepath.Dir(w.Path)] = true
		s.fault("write " + w.Path)
		if w.Data == nil {
			err = s.wipe(w.Path)
		} else {
			err = s.replace(w.Path, w.Data, w.Path != headFile)
		}
		if err != nil {
			return err
		}
	}
	for dir := range folders {
		s.fault("sync " + dir)
		if err := ignoreMissing(folder.Sync(s.path(dir, "file"))); err != nil {
			return err
		}
	}
	s.fault("done")
	if err := os.Rename(s.path(intentFile), s.path(doneFile)); err != nil {
		return err
	}
	s.fault("unsynced")
	if err := folder.Sync(s.path(doneFile)); err != nil {
		return err
	}
	return s.wipe(doneFile) // its removal need not be synced: nothing is read from what is left
}

// replace makes data the content of a file in one step, which is on disk when
// its folder is. Where wipe is set, content that was there is overwritten first.
func (s *Store) replace(name string, data []byte, wipe bool) error {
	path := s.path(name)
	if err := s.makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := zero(path + fresh); err != nil { // what a process that died left
		return err
	}
	f, err := os.OpenFile(path+fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if wipe {
		s.fault("zero " + name)
		if err := zero(path); err != nil {
			return err
		}
	}
	s.fault("rename " + name)
	return os.Rename(path+fresh, path)
}

// makeFolder makes a folder of the store, of which the parent may be missing too.
func (s *Store) makeFolder(path string) error {
	if there, err := exists(path); err != nil || there {
		return err
	}
	if err := s.makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	return folder.Sync(path)
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// wipe overwrites and removes a file, if it is there.
func (s *Store) wipe(name string) error {
	if err := zero(s.path(name)); err != nil {
		return err
	}
	s.fault("remove " + name)
	return ignoreMissing(os.Remove(s.path(name)))
}

// zero overwrites a file in place, if it is there.
func zero(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(make([]byte, info.Size()))
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
