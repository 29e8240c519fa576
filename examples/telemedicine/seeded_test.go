package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/examples/telemedicine/clinic"
	"github.com/rahasia/rahasia/examples/telemedicine/seed"
)

// templates are clinics that were seeded once and closed. A test gets a copy: of
// the folder with keys and journal, and of the database.
type templates struct {
	mu  sync.Mutex
	dir string
	all map[string]template
}

type template struct{ dir, postgres string }

var seeded = templates{all: map[string]template{}}

// copy puts a clinic with n patients into an empty folder, and into the database.
func (s *templates) copy(t *testing.T, dir, postgres string, n int) {
	t.Helper()
	from := s.of(t, postgres != "", n)
	if postgres != "" {
		create(t, postgres, from.postgres)
	}
	require.NoError(t, copyFolder(dir, from.dir))
}

func (s *templates) of(t *testing.T, postgres bool, n int) template {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(postgres, n)
	if made, ok := s.all[key]; ok {
		return made
	}
	if s.dir == "" {
		var err error
		s.dir, err = os.MkdirTemp("", "telemedicine")
		require.NoError(t, err)
	}
	made := template{dir: filepath.Join(s.dir, key)}
	if postgres {
		made.postgres = database(t)
		create(t, made.postgres, "")
	}
	c, err := clinic.Open(t.Context(), clinic.Options{Dir: made.dir, Postgres: made.postgres})
	require.NoError(t, err)
	err = seed.Run(t.Context(), c, n, func(string, int, int) {})
	require.NoError(t, errors.Join(err, c.Close()))
	s.all[key] = made
	return made
}

func (s *templates) remove() error { return os.RemoveAll(s.dir) }

// copyFolder copies a folder with the modes of what is in it: a key that others
// may read is refused.
func copyFolder(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		below, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.Mkdir(filepath.Join(to, below), info.Mode().Perm())
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, below), b, info.Mode().Perm())
	})
}
