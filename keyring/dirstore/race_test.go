package dirstore_test

import (
	"path/filepath"
	"testing"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/racetest"
)

func TestRaceDirectory(t *testing.T) {
	racetest.Run(t, func(t testing.TB) string { return filepath.Join(t.TempDir(), "keys") },
		func(t testing.TB, place string) keyring.Store { return open(t, place) })
}
