package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/rahasia/rahasia/internal/folder"
)

// Memory is a medium for tests. The zero value is empty.
type Memory struct {
	mu   sync.Mutex
	text []byte
}

func (m *Memory) exclude(context.Context) (func(), error) { return func() {}, nil }
func (m *Memory) Sync() error                             { return nil }

func (m *Memory) Size() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.text)), nil
}

func (m *Memory) Read(offset int64) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return io.NopCloser(bytes.NewReader(bytes.Clone(m.text[min(offset, int64(len(m.text))):]))), nil
}

func (m *Memory) Append(b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = append(m.text, b...)
	return nil
}

func (m *Memory) Truncate(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = slices.Clip(m.text[:n])
	return nil
}

// File opens the file anew for each use: nothing is held between uses
// that a replaced or restored file would leave pointing at the old one.
type File struct{ Path string }

func (m *File) exclude(ctx context.Context) (func(), error) {
	return folder.Lock(ctx, m.Path+".lock")
}

func (m *File) Size() (int64, error) {
	info, err := os.Stat(m.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (m *File) Read(offset int64) (io.ReadCloser, error) {
	f, err := folder.Regular(os.OpenFile(m.Path, os.O_RDONLY|folder.Nonblock, 0))
	if errors.Is(err, fs.ErrNotExist) {
		return io.NopCloser(bytes.NewReader(nil)), nil
	} else if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (m *File) Append(b []byte) (err error) {
	_, err = os.Stat(m.Path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := folder.Regular(os.OpenFile(m.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|folder.Nonblock, 0o600))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err == nil && fresh {
		err = folder.Sync(m.Path)
	}
	if err != nil {
		// The entry must not be found later: its caller is told that it failed.
		return errors.Join(err, f.Truncate(before), f.Sync())
	}
	return nil
}

func (m *File) Truncate(n int64) error {
	return m.change(func(f *os.File) error { return f.Truncate(n) })
}
func (m *File) Sync() error { return m.change(func(*os.File) error { return nil }) }

func (m *File) change(do func(*os.File) error) error {
	f, err := folder.Regular(os.OpenFile(m.Path, os.O_WRONLY|folder.Nonblock, 0))
	if err != nil {
		return err
	}
	return errors.Join(do(f), f.Sync(), f.Close())
}
