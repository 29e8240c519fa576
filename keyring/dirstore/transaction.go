package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/internal/folder"
)

// fresh ends the name of a file that is still being written.
const fresh = ".new"

// open opens a file of the store, which is a regular one.
func (s *Store) open(name string, flag int) (*os.File, error) {
	return folder.Open(s.root, name, flag)
}

// list returns what is in a folder of the store, by name.
func (s *Store) list(name string) ([]fs.DirEntry, error) {
	return fs.ReadDir(s.root.FS(), filepath.ToSlash(name))
}

// sync makes durable what names there are in a folder of the store.
func (s *Store) sync(name string) error { return folder.SyncNames(s.root, name) }

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
	intent := encodeIntent(writes)
	if len(intent) > maxIntent {
		return failed(fmt.Errorf("a transaction of %d bytes, more than %d", len(intent), maxIntent))
	}
	s.fault("intent")
	if err := s.replace(intentFile, intent, false); err != nil {
		return failed(err)
	}
	s.fault("committed")
	return failed(s.finish())
}

// lock waits for its turn among the goroutines, then among the processes, and
// finishes what a process that died left behind.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	root, unlock, err := s.shared.Alone(ctx, lockFile)
	if err != nil {
		return nil, failed(err)
	}
	s.root = root
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
	writes, err := load(s, intentFile, maxIntent, decodeIntent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	// Another process may have died between naming the intent and syncing the
	// name: it must not be lost once its effects are there.
	if err := s.sync("."); err != nil {
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
		if err := ignoreMissing(s.sync(dir)); err != nil {
			return err
		}
	}
	s.fault("done")
	if err := s.root.Rename(intentFile, doneFile); err != nil {
		return err
	}
	s.fault("unsynced")
	if err := s.sync("."); err != nil {
		return err
	}
	return s.wipe(doneFile) // its removal need not be synced: nothing is read from what is left
}

// replace makes data the content of a file in one step, which is on disk when
// its folder is. Where wipe is set, content that was there is overwritten first.
func (s *Store) replace(name string, data []byte, wipe bool) error {
	if err := s.makeFolder(filepath.Dir(name)); err != nil {
		return err
	}
	if err := s.zero(name + fresh); err != nil { // what a process that died left
		return err
	}
	if err := folder.Write(s.root, name+fresh, data); err != nil {
		return err
	}
	if wipe {
		s.fault("zero " + name)
		if err := s.zero(name); err != nil {
			return err
		}
	}
	s.fault("rename " + name)
	return s.root.Rename(name+fresh, name)
}

// makeFolder makes a folder of the store, of which the parent may be missing too.
func (s *Store) makeFolder(path string) error {
	if _, err := s.root.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := s.root.Mkdir(path, 0o700); err != nil {
		return err
	}
	return s.sync(filepath.Dir(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// wipe overwrites and removes a file, if it is there.
func (s *Store) wipe(name string) error {
	if err := s.zero(name); err != nil {
		return err
	}
	s.fault("remove " + name)
	return ignoreMissing(s.root.Remove(name))
}

// zero overwrites a file in place, if it is there: no more of it than this
// package can have written.
func (s *Store) zero(name string) error {
	f, err := s.open(name, os.O_WRONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	zeros := make([]byte, min(info.Size(), maxRecord))
	for left := min(info.Size(), maxIntent); err == nil && left > 0; left -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(left, int64(len(zeros)))])
	}
	return errors.Join(err, f.Sync(), f.Close())
}
