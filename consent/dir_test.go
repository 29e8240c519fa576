package consent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/keyring"
)

// inDir opens ledger and log of cfg in a folder, as another process would.
func inDir(t testing.TB, cfg *Config, dir string) *Config {
	t.Helper()
	other := *cfg
	var err error
	other.Ledger, err = OpenLedgerDir(context.Background(), cfg.Ring, dir)
	require.NoError(t, err)
	other.Log, err = OpenLogDir(context.Background(), cfg.Ring, dir)
	require.NoError(t, err)
	return &other
}

// TestDirectory: two processes on one folder. What one writes the other knows at
// once: consents, their end, entries and the guard's counts.
func TestDirectory(t *testing.T) {
	ctx, dir := context.Background(), filepath.Join(t.TempDir(), "evidence")
	cfg := memoryConfig(t)
	cfg.Guard = Guard{People: Limit{Hour: 3}, Alert: func(Alert) {}}
	first := inDir(t, cfg, dir)
	second := inDir(t, cfg, dir)
	r, s := people(t, first), people(t, second)
	row := sealed(t, r, ayu, Treatment)
	_, err := open(s, ayu.ID, row.Sealed, care)
	var withheld *WithheldError
	require.ErrorAs(t, err, &withheld)
	require.Equal(t, "open", lastOf(t, first, ayu.ID).Action)
	var rows []Row
	for i := range 4 {
		other := ayu
		other.ID = fmt.Sprint("p-", i)
		rows = append(rows, sealed(t, r, other, Treatment))
	}
	for i := range rows { // ayu is one, so that two more are the limit
		_, err := open([]*Records[person]{r, s}[i%2], fmt.Sprint("p-", i), rows[i].Sealed, care)
		if i < 2 {
			require.ErrorAs(t, err, &withheld)
		} else {
			require.ErrorIs(t, err, ErrDenied)
			require.Equal(t, TooMany, last(t, first.Log).Reason)
		}
	}
	given, err := second.Ledger.Of(ctx, ayu.ID)
	require.NoError(t, err)
	require.Len(t, given, 1)
	require.NoError(t, second.Withdraw(ctx, ayu.ID, given[0].ID, "clerk"))
	_, err = open(r, ayu.ID, row.Sealed, care)
	require.ErrorIs(t, err, ErrDenied)
	n, err := first.Log.Verify(ctx)
	require.NoError(t, err)
	m, err := inDir(t, cfg, dir).Log.Verify(ctx)
	require.NoError(t, err)
	require.Equal(t, n, m)
	require.NoError(t, first.Ledger.chain().Anchor(ctx))
	require.NoError(t, first.Log.tree().Anchor(ctx))
	require.NoError(t, inDir(t, cfg, dir).check(ctx))
}

// TestBypassDirectory: a folder that cannot be written, or is held by another,
// releases nothing; and when it is well again, so does everything.
func TestBypassDirectory(t *testing.T) {
	for _, name := range []string{"log.lock", "log-0000000000000000", "guard", "held"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "evidence")
			cfg := inDir(t, memoryConfig(t), dir)
			cfg.Guard.Alert = func(Alert) {}
			r := people(t, cfg)
			row := sealed(t, r, ayu, Treatment)
			placed(t, cfg.Log)
			var mend func()
			path := filepath.Join(dir, name)
			switch name {
			case "held":
				unlock, err := folder.Lock(context.Background(), filepath.Join(dir, "log.lock"))
				require.NoError(t, err)
				mend = unlock
			case "guard":
				path = filepath.Join(dir, fmt.Sprintf("guard.%d.lock", noon.Unix()/86400))
				require.NoError(t, os.Mkdir(path, 0o700))
				mend = func() { require.NoError(t, os.Remove(path)) }
			default:
				aside := filepath.Join(t.TempDir(), "aside")
				require.NoError(t, os.Rename(path, aside))
				require.NoError(t, os.Mkdir(path, 0o700))
				mend = func() {
					require.NoError(t, os.Remove(path))
					require.NoError(t, os.Rename(aside, path))
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			got := person{ID: ayu.ID}
			require.ErrorIs(t, r.Open(ctx, &got, row.Sealed, care), ErrAudit)
			require.Equal(t, person{ID: ayu.ID}, got)
			mend()
			require.Eventually(t, func() bool {
				_, err := open(r, ayu.ID, row.Sealed, care)
				_, withheld := err.(*WithheldError)
				return withheld
			}, 10*time.Second, 10*time.Millisecond)
			_, err := cfg.Log.Verify(context.Background())
			require.NoError(t, err)
		})
	}
}

// TestDirectoryRefused: what cannot be opened is an error, and nothing is made in
// its place.
func TestDirectoryRefused(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	cfg := memoryConfig(t)
	_, err := OpenLedgerDir(ctx, nil, dir)
	require.ErrorIs(t, err, ErrConfig)
	_, err = OpenLogDir(ctx, nil, dir)
	require.ErrorIs(t, err, ErrConfig)
	_, err = OpenLedgerDir(ctx, cfg.Ring.Only(), dir)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	_, err = OpenLogDir(ctx, cfg.Ring.Only(), dir)
	require.ErrorIs(t, err, keyring.ErrNotGranted)
	for _, none := range []string{"", filepath.Join(dir, "no", "parent")} {
		_, err = OpenLedgerDir(ctx, cfg.Ring, none)
		require.Error(t, err)
		_, err = OpenLogDir(ctx, cfg.Ring, none)
		require.Error(t, err)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
	other := inDir(t, cfg, dir)
	_, err = other.Give(ctx, Consent{Subject: "p", Purposes: []Purpose{Treatment}})
	require.NoError(t, err)
	for _, f := range []string{"ledger-0000000000000000", "log-0000000000000000"} {
		require.NoError(t, os.Remove(filepath.Join(dir, f)))
	}
	_, err = OpenLedgerDir(ctx, cfg.Ring, dir)
	require.ErrorIs(t, err, ErrTampered)
	_, err = OpenLogDir(ctx, cfg.Ring, dir)
	require.ErrorIs(t, err, ErrTampered)
}
