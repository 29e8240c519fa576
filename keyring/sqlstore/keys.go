package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/rahasia/rahasia/keyring"
)

// Keys returns the records of those tags that exist.
func (s *Store) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	recs, err := s.pick(ctx, s.db, tags)
	return recs, failed(ctx, err)
}

// CreateKeys inserts what is not there and returns what is.
func (s *Store) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) (stored []keyring.KeyRecord, err error) {
	tags := make([]keyring.Tag, len(recs))
	for i := range recs {
		tags[i] = recs[i].Tag
	}
	err = s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := s.putKeys(ctx, tx, recs, `DO NOTHING`); err != nil {
			return err
		}
		stored, err = s.pick(ctx, tx, tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// SwapKeys replaces rows that are as they were read.
func (s *Store) SwapKeys(ctx context.Context, swaps []keyring.Swap) (swapped int, err error) {
	tags := make([]keyring.Tag, len(swaps))
	for i := range swaps {
		tags[i] = swaps[i].Old.Tag
	}
	err = s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		// The head's row is the lock that all who replace rows queue for: none
		// may be replaced between the read and the write.
		if _, err := tx.ExecContext(ctx, `UPDATE rahasia_head SET seq = seq`); err != nil {
			return err
		}
		recs, err := s.pick(ctx, tx, tags)
		if err != nil {
			return err
		}
		now := make(map[keyring.Tag]*keyring.KeyRecord, len(recs))
		for i := range recs {
			now[recs[i].Tag] = &recs[i]
		}
		next := make([]keyring.KeyRecord, 0, len(recs))
		for i := range swaps {
			if rec := now[swaps[i].Old.Tag]; rec != nil && rec.Equal(&swaps[i].Old) {
				next = append(next, swaps[i].New)
			}
		}
		swapped = len(next)
		return s.putKeys(ctx, tx, next, `DO UPDATE SET `+s.dialect.keyReplace)
	})
	if err != nil {
		return 0, err
	}
	return swapped, nil
}

// StaleKeys returns live keys that another version wraps, by ascending tag. It
// walks the primary key: all pages together cost one scan, and creating a key
// no second index.
func (s *Store) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.page(ctx, after, limit, s.dialect.stale, compartment, int64(version))
}

// Inactive returns records that are not Active, by ascending tag.
func (s *Store) Inactive(ctx context.Context, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return s.page(ctx, after, limit, s.dialect.inactive)
}

// page returns the first records after a tag, of those where a condition holds.
func (s *Store) page(ctx context.Context, after *keyring.Tag, limit int, where string, args ...any) ([]keyring.KeyRecord, error) {
	if after != nil {
		where += ` AND rahasia_keys.tag > ` + s.dialect.tag
		args = append(args, after[:])
	}
	args = append(args, max(limit, 0))
	recs, err := list(ctx, s.db, scanKeys(), max(limit, 0), s.dialect.selectKeys(times(1, where+` ORDER BY rahasia_keys.tag LIMIT $`)), args...)
	return recs, failed(ctx, err)
}

// putKeys inserts records in batches, by ascending tag: two transactions that
// lock the same rows in different orders would wait for each other.
func (s *Store) putKeys(ctx context.Context, tx *sql.Tx, recs []keyring.KeyRecord, conflict string) (err error) {
	recs = slices.Clone(recs)
	slices.SortFunc(recs, func(a, b keyring.KeyRecord) int { return bytes.Compare(a.Tag[:], b.Tag[:]) })
	full := s.dialect.written
	var put *sql.Stmt // for full batches, where there are several: parsing one costs as much as running it
	for part := range slices.Chunk(recs, full) {
		insert, args := s.dialect.put(part)
		insert += ` ON CONFLICT (tag) ` + conflict
		if len(recs) >= 2*full && put == nil {
			// Not closed here but with the transaction: when that is ended by its
			// context, its connection may be closed already, and a statement closed
			// after its connection crashes SQLite.
			if put, err = tx.PrepareContext(ctx, insert); err != nil {
				return err
			}
		}
		if put != nil && len(part) == full {
			_, err = put.ExecContext(ctx, args...)
		} else {
			_, err = tx.ExecContext(ctx, insert, args...)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pick returns the records of tags, batch by batch.
func (s *Store) pick(ctx context.Context, q querier, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	var out []keyring.KeyRecord
	for part := range slices.Chunk(tags, s.dialect.read) {
		where, args := s.dialect.pick(part)
		recs, err := list(ctx, q, scanKeys(), len(part), s.dialect.selectKeys(fmt.Sprintf(`%s LIMIT %d`, where, len(part)+1)), args...)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
	}
	return out, nil
}
