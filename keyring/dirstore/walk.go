package dirstore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/rahasia/rahasia/keyring"
)

// walk reads the keys' folders in order, for records that are wanted: names
// sort as tags do.
func (s *Store) walk(ctx context.Context, after *keyring.Tag, limit int, wanted func(*keyring.KeyRecord) bool) (recs []keyring.KeyRecord, err error) {
	for shard := range 256 {
		if after != nil && shard < int(after[0]) {
			continue
		}
		files, err := s.list(filepath.Join(keysDir, fmt.Sprintf("%02x", shard)))
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
			rec, err := s.record(f.Name(), after)
			if err != nil {
				return nil, err
			}
			if rec != nil && wanted(rec) {
				recs = append(recs, *rec)
			}
		}
	}
	return recs, nil
}

// record returns the record in a key's file if it is after that tag.
func (s *Store) record(name string, after *keyring.Tag) (*keyring.KeyRecord, error) {
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
	if err != nil {
		return nil, err
	}
	return &rec, nil
}
