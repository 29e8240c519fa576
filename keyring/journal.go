package keyring

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Journal is the erasure journal of one ring: an append-only record of every
// keyset revision and every erasure, chained and authenticated under a key of
// the ring. It holds no key and no subject id. It must be kept and backed up
// apart from the store: each shows when the other was rolled back, and nothing
// shows when both were rolled back together.
//
// Rings of one process may share a Journal; processes share the file.
type Journal struct{ log *journal.Log }

// Hash is the SHA-256 of a journal's entry. It prints, and is written as JSON or
// text, in lower-case hex, as it stands in the line that follows the entry.
type Hash [32]byte

// String returns 64 hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns 64 hex digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// NewMemoryJournal returns an empty journal in memory, for tests.
func NewMemoryJournal() *Journal { return &Journal{journal.New(&journal.Memory{})} }

// OpenJournal returns the journal in the file at path. The file need not be
// there: [Create] makes it, with mode 0600, and [Open] calls its absence
// [ErrJournalLost]. Its folder must be there. Writers are kept apart by a lock
// on a second file, path with ".lock" appended, so the journal must not lie on
// a network file system without locks.
func OpenJournal(path string) (*Journal, error) {
	if path == "" {
		return nil, fmt.Errorf("keyring: journal path: %w", ErrEmpty)
	}
	path, err := filepath.Abs(path) // a later change of directory must not move it
	if err != nil {
		return nil, fmt.Errorf("keyring: journal: %w", err)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("keyring: journal folder: %w", err)
	} else if !dir.IsDir() {
		return nil, fmt.Errorf("keyring: journal folder: %w", fs.ErrInvalid)
	}
	return &Journal{journal.New(&journal.File{Path: path})}, nil
}
