// Package dirstore keeps a ring in a directory of small files, for what is too
// little for a database: a device, a command, an emergency copy.
//
// A keyset is a file, a subject key in one compartment is a file in one of 256
// folders by the first byte of its tag, the head is a file. They hold what the
// other stores' tables hold: no subject id and no key. Files have mode 0600,
// folders 0700.
//
// A change of several files is one transaction: what they are to become is
// first written to one file, "intent", whose appearance commits it; whoever
// finds an intent left by a process that died carries it out. Files are
// replaced in one step, and they and their folders are synced
// before a method returns. Each call has the store to itself by a lock on the
// file "lock", so the directory must not lie on a network file system without
// locks.
//
// Files that are replaced or removed, the head's aside, are overwritten with
// zeros first: what held an erased key, a keyset that has lost a version since,
// and an intent that is done. Journalling and copy-on-write file systems and flash may
// keep the old blocks all the same.
//
// A creation syncs about two files a key. For more than some ten thousand
// patients a database serves better.
package dirstore

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/internal/folder"
	"github.com/rahasia/rahasia/keyring"
)

// Store is a [keyring.Store] in a directory. It holds nothing open, and is
// safe for concurrent use, by several processes too.
type Store struct {
	shared *folder.Shared
	root   *os.Root          // opened anew at each turn: no link planted in it leads outside
	fault  func(step string) // what kill tests set; called between any two steps
}

var _ keyring.Store = (*Store)(nil)

// Open returns the store in the directory at dir, which it makes if it is not
// there; its parent must be. A transaction that a process left behind is
// completed when the store is first used.
func Open(dir string) (*Store, error) {
	if dir == "" {
		return nil, fmt.Errorf("dirstore: directory: %w", keyring.ErrEmpty)
	}
	shared, err := folder.Make(dir)
	if err != nil {
		return nil, fmt.Errorf("dirstore: %w", err)
	}
	return &Store{shared: shared, fault: func(string) {}}, nil
}

// The files of a store, relative to its directory.
const (
	lockFile   = "lock"
	headFile   = "head"
	intentFile = "intent"
	doneFile   = "done" // an intent that was carried out, about to be wiped
	activeDir  = "active"
	stagedDir  = "staged"
	keysDir    = "keys"
)

// names of keysets have letters of both cases and slashes, file names need not
// tell cases apart.
var names = base32.HexEncoding.WithPadding(base32.NoPadding)

func keysetFile(dir, name string) string {
	return filepath.Join(dir, strings.ToLower(names.EncodeToString([]byte(name))))
}

func keyFile(tag keyring.Tag) string {
	text := hex.EncodeToString(tag[:])
	return filepath.Join(keysDir, text[:2], text)
}

// Head returns the head.
func (s *Store) Head(ctx context.Context) (h keyring.Head, err error) {
	err = s.reading(ctx, func() error {
		h, err = s.head()
		return err
	})
	return h, err
}

func (s *Store) head() (keyring.Head, error) {
	h, err := load(s, headFile, maxRecord, decodeHead)
	if errors.Is(err, fs.ErrNotExist) {
		return keyring.Head{}, nil
	}
	return h, err
}

// Keysets returns the active keysets.
func (s *Store) Keysets(ctx context.Context) (recs []keyring.KeysetRecord, err error) {
	err = s.reading(ctx, func() error {
		files, err := s.list(activeDir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		for _, f := range files {
			if strings.HasSuffix(f.Name(), fresh) {
				continue
			}
			if len(recs) == maxKeysets {
				return fmt.Errorf("more than %d keysets: %w", maxKeysets, keyring.ErrCorrupt)
			}
			rec, err := load(s, filepath.Join(activeDir, f.Name()), maxRecord, decodeKeyset)
			if err != nil {
				return err
			}
			if filepath.Join(activeDir, f.Name()) != keysetFile(activeDir, rec.Name) {
				return fmt.Errorf("a keyset in another's file: %w", keyring.ErrCorrupt)
			}
			recs = append(recs, rec)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(recs, func(a, b keyring.KeysetRecord) int { return strings.Compare(a.Name, b.Name) })
	return recs, nil
}

// Keyset returns one active keyset.
func (s *Store) Keyset(ctx context.Context, name string) (rec keyring.KeysetRecord, err error) {
	err = s.reading(ctx, func() error {
		rec, err = s.keyset(activeDir, name)
		return err
	})
	return rec, err
}

// keyset returns the keyset of that name in dir, or ErrNoKeyset.
func (s *Store) keyset(dir, name string) (keyring.KeysetRecord, error) {
	rec, err := load(s, keysetFile(dir, name), maxRecord, decodeKeyset)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return keyring.KeysetRecord{}, keyring.ErrNoKeyset
	case err == nil && rec.Name != name:
		return keyring.KeysetRecord{}, fmt.Errorf("a keyset in another's file: %w", keyring.ErrCorrupt)
	}
	return rec, err
}

// StageKeyset keeps a keyset to be activated.
func (s *Store) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	return s.writing(ctx, func() ([]write, error) {
		active, err := s.keyset(activeDir, rec.Name)
		if err != nil && !errors.Is(err, keyring.ErrNoKeyset) {
			return nil, err
		}
		if rec.Revision != active.Revision+1 {
			return nil, fmt.Errorf("stage revision %d of keyset %q: %w", rec.Revision, rec.Name, keyring.ErrConflict)
		}
		return []write{{keysetFile(stagedDir, rec.Name), encodeKeyset(rec)}}, nil
	})
}

// Commit does a change in one transaction.
func (s *Store) Commit(ctx context.Context, c keyring.Change) error {
	return s.writing(ctx, func() ([]write, error) {
		head, err := s.head()
		if err != nil {
			return nil, err
		}
		if head != c.Prev {
			return nil, fmt.Errorf("commit entry %d: %w", c.Head.Seq, keyring.ErrConflict)
		}
		writes := []write{{headFile, encodeHead(c.Head)}}
		if name := c.Activate.Name; name != "" {
			staged, err := s.keyset(stagedDir, name)
			if err != nil && !errors.Is(err, keyring.ErrNoKeyset) {
				return nil, err
			}
			if err != nil || staged.Revision != c.Activate.Revision || staged.Digest != c.Activate.Digest {
				return nil, fmt.Errorf("activate revision %d of keyset %q: %w", c.Activate.Revision, name, keyring.ErrConflict)
			}
			writes = append(writes, write{keysetFile(activeDir, name), encodeKeyset(staged)}, write{keysetFile(stagedDir, name), nil})
		}
		for _, rec := range c.Keys {
			writes = append(writes, write{keyFile(rec.Tag), encodeKey(rec)})
		}
		return writes, nil
	})
}

// Keys returns the records of those tags that exist.
func (s *Store) Keys(ctx context.Context, tags []keyring.Tag) (recs []keyring.KeyRecord, err error) {
	err = s.reading(ctx, func() error {
		recs, err = s.pick(ctx, tags)
		return err
	})
	return recs, err
}

func (s *Store) pick(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	out := make([]keyring.KeyRecord, 0, len(tags))
	for _, tag := range tags {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rec, err := s.key(tag)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		out = append(out, rec)
	}
	return out, nil
}

func (s *Store) key(tag keyring.Tag) (keyring.KeyRecord, error) {
	rec, err := load(s, keyFile(tag), maxRecord, decodeKey)
	if err == nil && rec.Tag != tag {
		return keyring.KeyRecord{}, fmt.Errorf("a subject key in another's file: %w", keyring.ErrCorrupt)
	}
	return rec, err
}

// CreateKeys inserts what is not there and returns what is.
func (s *Store) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) (stored []keyring.KeyRecord, err error) {
	err = s.writing(ctx, func() (writes []write, err error) {
		tags := make([]keyring.Tag, len(recs))
		for i := range recs {
			tags[i] = recs[i].Tag
		}
		if stored, err = s.pick(ctx, tags); err != nil {
			return nil, err
		}
		there := make(map[keyring.Tag]bool, len(stored))
		for _, rec := range stored {
			there[rec.Tag] = true
		}
		for _, rec := range recs {
			if !there[rec.Tag] {
				rec.Wrapped = slices.Clone(rec.Wrapped)
				stored = append(stored, rec)
				writes = append(writes, write{keyFile(rec.Tag), encodeKey(rec)})
			}
		}
		return writes, nil
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// SwapKeys replaces records that are as they were read.
func (s *Store) SwapKeys(ctx context.Context, swaps []keyring.Swap) (swapped int, err error) {
	err = s.writing(ctx, func() ([]write, error) {
		var writes []write
		for i := range swaps {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rec, err := s.key(swaps[i].Old.Tag)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, err
			}
			if rec.Equal(&swaps[i].Old) {
				writes = append(writes, write{keyFile(rec.Tag), encodeKey(swaps[i].New)})
			}
		}
		swapped = len(writes)
		return writes, nil
	})
	if err != nil {
		return 0, err
	}
	return swapped, nil
}

// StaleKeys returns live keys that another version wraps, by ascending tag. It
// reads every key's file from there on until it has limit.
func (s *Store) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.page(ctx, after, limit, func(r *keyring.KeyRecord) bool {
		return r.State == keyring.Active && r.Compartment == compartment && r.Version != version
	})
}

// Inactive returns records that are not Active, by ascending tag. It reads every key's file
// from there on until it has limit.
func (s *Store) Inactive(ctx context.Context, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.page(ctx, after, limit, func(r *keyring.KeyRecord) bool { return r.State != keyring.Active })
}

// page returns the first records after a tag, of those that are wanted.
func (s *Store) page(ctx context.Context, after *keyring.Tag, limit int, wanted func(*keyring.KeyRecord) bool) (recs []keyring.KeyRecord, err error) {
	err = s.reading(ctx, func() error {
		recs, err = s.walk(ctx, after, limit, wanted)
		return err
	})
	if err != nil {
		return nil, err
	}
	return recs, nil
}
