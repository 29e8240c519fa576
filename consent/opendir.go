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
// backups too, and back the journal up apart from the rest: it is what notices
// an older copy of the others, and whoever may write the whole folder can put a
// whole older day back. Use an absolute path: in another working directory a
// relative one names another folder, which is made.
//
// Whoever will use [Config.Retain] writes the custodian's public key, the text of
// keyring.Custodian, into the file dir + ".custodian" before the folder is opened;
// the private one is made and kept elsewhere (keyring.CreateCustodianKey). Without
// the file Retain refuses. It must be a file that nobody else may write, and the
// first key in it stays: the journal has its SHA-256 as the anchor of "audit", and
// another key is [ErrTampered], for it may be a thief's. Whoever wants another
// custodian opens the folder without the file, anchors the SHA-256 of the new text
// one place higher (keyring.Ring.Anchored and Anchor) and then writes the file.
//
// The application's own rows belong in a database of its own, not in these. A
// folder without its key file, a key file without its folder and a folder that
// lacks one of its files are [ErrHalf], and nothing is made: somebody has lost
// a part, and a fresh one in its place would hide that.
func OpenDir(ctx context.Context, dir string) (*Config, error) {
	var cfg *Config
	dir, err := filepath.Abs(dir)
	if err == nil {
		cfg, err = openOrMake(ctx, dir)
	}
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
	c := &Config{}
	dir, err := filepath.Abs(dir)
	var kek keyring.KEK
	if err == nil {
		kek, err = keyring.OpenKeyFile(dir + keySuffix)
	}
	if err == nil && !whole(dir) {
		err = ErrHalf
	}
	if err == nil {
		err = c.openKeys(ctx, dir, kek, func(kc keyring.Config) (*keyring.Ring, error) {
			without := kc
			without.Custodian = keyring.Custodian{} // who is not known to be the ring's gets nothing that need not be sealed anew
			err := keyring.Replay(ctx, without)
			if errors.Is(err, keyring.ErrEmpty) {
				err = keyring.Replay(ctx, kc)
			}
			if err != nil {
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

// innerKey is the key file of a folder that is being made.
const innerKey = "folder.key"

// openOrMake makes a folder under a name of its own, with the key inside, moves
// the whole into place, and only then the key beside it. Neither move ever
// replaces anything, so of several that make the same folder one is first and
// the others open it; and whoever finds a whole folder with its key still
// inside, after a crash, makes the second move.
func openOrMake(ctx context.Context, dir string) (*Config, error) {
	if empty(dir) && !exists(dir+keySuffix) {
		if err := makeFolder(ctx, dir); err != nil {
			return nil, err
		}
	}
	if !whole(dir) {
		return nil, ErrHalf
	}
	if err := moveKey(dir); err != nil {
		return nil, err
	}
	if !exists(dir + keySuffix) {
		return nil, ErrHalf
	}
	return openFolder(ctx, dir)
}

// makeFolder makes a ring with the keysets that every configuration needs, an
// empty ledger, and a log with a first entry, so that an empty one in its place
// is noticed.
func makeFolder(ctx context.Context, dir string) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	made, err := os.MkdirTemp(parent, filepath.Base(dir)+".new-")
	if err != nil {
		return err
	}
	if err := fillFolder(ctx, made); err != nil {
		return errors.Join(err, os.RemoveAll(made))
	}
	if err := os.Rename(made, dir); err != nil {
		err = errors.Join(err, os.RemoveAll(made))
		if whole(dir) {
			return nil // another process was first
		}
		return err
	}
	return syncFolder(parent)
}

func fillFolder(ctx context.Context, dir string) error {
	kek, err := keyring.CreateKeyFile(filepath.Join(dir, innerKey))
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
	if err == nil {
		err = c.Log.append(ctx, &logBody{Time: c.now().UnixNano(), Action: "start", Outcome: "done"})
	}
	return errors.Join(err, c.Close(), syncFolder(dir)) // Close anchors that entry
}

// moveKey moves the key of a folder that has just been made out of it. A link
// is refused where a file is, so a key is never replaced.
func moveKey(dir string) error {
	inner := filepath.Join(dir, innerKey)
	err := os.Link(inner, dir+keySuffix)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // moved already
	case errors.Is(err, os.ErrExist):
		if !sameFile(inner, dir+keySuffix) {
			return ErrHalf
		}
	case err != nil:
		return err
	}
	if err := syncFolder(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Remove(inner); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return syncFolder(dir)
}

// sameFile reports whether both are one file, or the first is gone by now.
func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errors.Is(errA, os.ErrNotExist) || errA == nil && errB == nil && os.SameFile(x, y)
}

func openFolder(ctx context.Context, dir string) (*Config, error) {
	kek, err := keyring.OpenKeyFile(dir + keySuffix)
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
	c.closers = append(c.closers, func() error { return sqlite.Close(db) })
	store, err := sqlstore.New(ctx, db)
	if err != nil {
		return err
	}
	journal, err := keyring.OpenJournal(filepath.Join(dir, journalFile))
	if err != nil {
		return err
	}
	custodian, err := custodianOf(dir)
	if err != nil {
		return err
	}
	if c.Ring, err = open(keyring.Config{Store: store, Journal: journal, KEK: kek, Custodian: custodian}); err != nil {
		return err
	}
	c.closers = append(c.closers, c.Ring.Close)
	return c.pinned(ctx, custodian)
}

func (c *Config) openRecords(ctx context.Context, dir string) error {
	db, err := sqlite.Open(filepath.Join(dir, recordsFile))
	if err != nil {
		return err
	}
	c.closers = append(c.closers, func() error { return sqlite.Close(db) })
	if c.Ledger, err = OpenLedger(ctx, c.Ring, db); err != nil {
		return err
	}
	if c.Log, err = OpenLog(ctx, c.Ring, db); err != nil {
		return err
	}
	return errors.Join(c.check(ctx), c.anchor(ctx)) // what a crash left unanchored
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
