package dirstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/rahasia/rahasia/keyring"
)

// tombstones walks the keys' folders in order: names sort as tags do.
func (s *Store) tombstones(ctx context.Context, after *keyring.Tag, limit int) (recs []keyring.KeyRecord, err error) {
	for shard := range 256 {
		if after != nil && shard < int(after[0]) {
			continue
		}
		files, err := os.ReadDir(s.path(keysDir, fmt.Sprintf("%02x", shard)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for _, f := range files {
			if len(recs) >= limit {
				return recs, nil
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			rec, err := s.tombstone(f.Name(), after)
			if err != nil {
				return nil, err
			}
			if rec != nil {
				recs = append(recs, *rec)
			}
		}
	}
	return recs, nil
}

// tombstone returns the record in a key's file if it is a tombstone after that tag.
func (s *Store) tombstone(name string, after *keyring.Tag) (*keyring.KeyRecord, error) {
	if strings.HasSuffix(name, fresh) { // left by a process that died
		return nil, nil
	}
	var tag keyring.Tag
	if b, err := hex.DecodeString(name); err != nil || !fill(tag[:], b) {
		return nil, fmt.Errorf("a file among the keys that is none: %w", keyring.ErrCorrupt)
	}
	if after != nil && bytes.Compare(tag[:], after[:]) <= 0 {
		return nil, nil
	}
	rec, err := s.key(tag)
	if err != nil || rec.State != keyring.Destroyed {
		return nil, err
	}
	return &rec, nil
}
