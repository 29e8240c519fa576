package consent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/consent/internal/evidence"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// OpenDir opens the embedded default in the folder dir, and makes it where it
// is missing: the key store (keys.db), ledger and audit log (consent.db), both
// SQLite, and the erasure journal. The key that wraps all others lies beside
// the folder and not in it, in the file dir + ".key" (mode 0600): whoever
// copies the folder has ciphertext. Keep the key file and the folder apart in
// backups too, and the journal apart from the key store.
//
// The application's own rows belong in a database of its own, not in these. A
// folder without its key file, a key file without its folder and a folder that
// lacks one of its files are [ErrHalf], and nothing is made: somebody has lost
// a part, and a fresh one in its place would hide that.
func OpenDir(ctx context.Context, dir string) (*Config, error) {
	cfg, err := openOrMake(ctx, filepath.Clean(dir))
	if err != nil {
		return nil, fmt.Errorf("consent: open folder: %w", err)
	}
	return cfg, nil
}

// ReplayDir brings the key store of a folder that OpenDir refused as
// keyring.ErrRolledBack, because it was restored from a backup, up to the
// folder's erasure journal, so that who was erased since stays erased. See
// keyring.Replay for what cannot be brought back.
func ReplayDir(ctx context.Context, dir string) error {
	dir = filepath.Clean(dir)
	c := &Config{}
	kek, err := keyring.KeyFile(dir + keySuffix)
	if err == nil && !whole(dir) {
		err = ErrHalf
	}
	if err == nil {
		err = c.openKeys(ctx, dir, kek, func(kc keyring.Config) (*keyring.Ring, error) {
			if err := keyring.Replay(ctx, kc); err != nil {
				return nil, err
			}
			return keyring.Open(ctx, kc)
		})
	}
	if err = errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("consent: replay folder: %w", err)
	}
	return nil
}

const keySuffix = ".key"

// openOrMake makes a folder under another name and moves it into place when it
// is complete, the key first, so that a crash leaves either nothing, or a
// key with a complete folder to move behind it.
func openOrMake(ctx context.Context, dir string) (*Config, error) {
	made := dir + ".new"
	hasKey := exists(dir + keySuffix)
	switch {
	case hasKey && whole(dir):
		return openFolder(ctx, dir)
	case hasKey && whole(made) && empty(dir): // a crash between the two moves
	case hasKey, !empty(dir):
		return nil, ErrHalf
	default:
		if err := makeFolder(ctx, made); err != nil {
			return nil, err
		}
		if err := os.Rename(made+keySuffix, dir+keySuffix); err != nil {
			return nil, err
		}
	}
	if err := os.Rename(made, dir); err != nil {
		return nil, err
	}
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return nil, err
	}
	return openFolder(ctx, dir)
}

// makeFolder makes a ring with the keysets that every configuration needs.
// What an earlier attempt left under the name was never used.
func makeFolder(ctx context.Context, dir string) error {
	if err := errors.Join(os.RemoveAll(dir), os.RemoveAll(dir+keySuffix)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	kek, err := keyring.CreateKeyFile(dir + keySuffix)
	if err != nil {
		return err
	}
	c := &Config{}
	err = c.openKeys(ctx, dir, kek, func(kc keyring.Config) (*keyring.Ring, error) {
		return keyring.Create(ctx, envelope.NewID(), kc)
	})
	if err == nil {
		err = c.createKeysets(ctx, evidence.ChainKeyset, evidence.TreeKeyset, auditCompartment)
	}
	if err == nil {
		err = c.openRecords(ctx, dir)
	}
	return errors.Join(err, c.Close(), syncFolder(dir))
}

func openFolder(ctx context.Context, dir string) (*Config, error) {
	kek, err := keyring.KeyFile(dir + keySuffix)
	if err != nil {
		return nil, err
	}
	c := &Config{Provision: true}
	err = c.openKeys(ctx, dir, kek, func(kc keyring.Config) (*keyring.Ring, error) { return keyring.Open(ctx, kc) })
	if err == nil {
		err = c.openRecords(ctx, dir)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Config) openKeys(ctx context.Context, dir string, kek keyring.KEK, open func(keyring.Config) (*keyring.Ring, error)) error {
	db, err := sqlite.Open(filepath.Join(dir, keysFile))
	if err != nil {
		return err
	}
	c.closers = append(c.closers, db.Close)
	store, err := sqlstore.New(ctx, db)
	if err != nil {
		return err
	}
	journal, err := keyring.OpenJournal(filepath.Join(dir, journalFile))
	if err != nil {
		return err
	}
	if c.Ring, err = open(keyring.Config{Store: store, Journal: journal, KEK: kek}); err != nil {
		return err
	}
	c.closers = append(c.closers, c.Ring.Close)
	return nil
}

func (c *Config) openRecords(ctx context.Context, dir string) error {
	db, err := sqlite.Open(filepath.Join(dir, recordsFile))
	if err != nil {
		return err
	}
	c.closers = append(c.closers, db.Close)
	if c.Ledger, err = OpenLedger(ctx, c.Ring, db); err != nil {
		return err
	}
	if c.Log, err = OpenLog(ctx, c.Ring, db); err != nil {
		return err
	}
	return c.check(ctx)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// The files of a folder.
const (
	keysFile    = "keys.db"
	recordsFile = "consent.db"
	journalFile = "erasure.journal"
)

// whole reports whether every file of a folder is there. Opening would make a
// missing one anew, and an empty ledger or log in place of a lost one.
func whole(dir string) bool {
	return exists(filepath.Join(dir, keysFile)) && exists(filepath.Join(dir, recordsFile)) && exists(filepath.Join(dir, journalFile))
}

// empty reports whether dir is missing or has nothing in it.
func empty(dir string) bool {
	f, err := os.ReadDir(dir)
	return errors.Is(err, os.ErrNotExist) || err == nil && len(f) == 0
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
