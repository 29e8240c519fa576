package keyring

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// NewMemoryStore returns an empty [Store] in memory, for tests and for
// processes that keep nothing. What it holds is gone with it.
func NewMemoryStore() Store {
	return &memoryStore{
		active: map[string]KeysetRecord{},
		staged: map[string]KeysetRecord{},
		keys:   map[Tag]KeyRecord{},
	}
}

type memoryStore struct {
	mu     sync.RWMutex
	head   Head
	active map[string]KeysetRecord
	staged map[string]KeysetRecord
	keys   map[Tag]KeyRecord
}

func (s *memoryStore) Head(ctx context.Context) (Head, error) {
	if err := ctx.Err(); err != nil {
		return Head{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.head, nil
}

func (s *memoryStore) Keysets(ctx context.Context) ([]KeysetRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []KeysetRecord
	for _, name := range slices.Sorted(maps.Keys(s.active)) {
		out = append(out, cloneKeyset(s.active[name]))
	}
	return out, nil
}

func (s *memoryStore) Keyset(ctx context.Context, name string) (KeysetRecord, error) {
	if err := ctx.Err(); err != nil {
		return KeysetRecord{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rec, ok := s.active[name]
	if !ok {
		return KeysetRecord{}, ErrNoKeyset
	}
	return cloneKeyset(rec), nil
}

func (s *memoryStore) StageKeyset(ctx context.Context, rec KeysetRecord) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if rec.Revision != s.active[rec.Name].Revision+1 {
		return fmt.Errorf("keyring: stage revision %d of keyset %q: %w", rec.Revision, rec.Name, ErrConflict)
	}
	s.staged[rec.Name] = cloneKeyset(rec)
	return nil
}

func (s *memoryStore) Commit(ctx context.Context, c Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.head != c.Prev {
		return fmt.Errorf("keyring: commit entry %d: %w", c.Head.Seq, ErrConflict)
	}
	if name := c.Activate.Name; name != "" {
		staged, ok := s.staged[name]
		if !ok || staged.Revision != c.Activate.Revision || staged.Digest != c.Activate.Digest {
			return fmt.Errorf("keyring: activate revision %d of keyset %q: %w", c.Activate.Revision, name, ErrConflict)
		}
		s.active[name] = staged
		delete(s.staged, name)
	}
	for _, rec := range c.Keys {
		s.keys[rec.Tag] = cloneKey(rec)
	}
	s.head = c.Head
	return nil
}

func (s *memoryStore) Keys(ctx context.Context, tags []Tag) ([]KeyRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.pick(tags), nil
}

func (s *memoryStore) pick(tags []Tag) []KeyRecord {
	out := make([]KeyRecord, 0, len(tags))
	for _, tag := range tags {
		if rec, ok := s.keys[tag]; ok {
			out = append(out, cloneKey(rec))
		}
	}
	return out
}

func (s *memoryStore) CreateKeys(ctx context.Context, recs []KeyRecord) ([]KeyRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	tags := make([]Tag, len(recs))
	for i, rec := range recs {
		tags[i] = rec.Tag
		if _, ok := s.keys[rec.Tag]; !ok {
			s.keys[rec.Tag] = cloneKey(rec)
		}
	}
	return s.pick(tags), nil
}

func (s *memoryStore) SwapKeys(ctx context.Context, swaps []Swap) (swapped int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range swaps {
		if rec, ok := s.keys[swaps[i].Old.Tag]; ok && rec.Equal(&swaps[i].Old) {
			s.keys[rec.Tag] = cloneKey(swaps[i].New)
			swapped++
		}
	}
	return swapped, nil
}

func (s *memoryStore) StaleKeys(ctx context.Context, compartment string, version uint32, after *Tag, limit int) ([]KeyRecord, error) {
	return s.page(ctx, after, limit, func(r *KeyRecord) bool {
		return r.State == Active && r.Compartment == compartment && r.Version != version
	})
}

func (s *memoryStore) Inactive(ctx context.Context, after *Tag, limit int) ([]KeyRecord, error) {
	return s.page(ctx, after, limit, func(r *KeyRecord) bool { return r.State != Active })
}

// page returns the first records after a tag, of those that are wanted.
func (s *memoryStore) page(ctx context.Context, after *Tag, limit int, wanted func(*KeyRecord) bool) ([]KeyRecord, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []KeyRecord
	for _, rec := range s.keys {
		if wanted(&rec) && (after == nil || bytes.Compare(rec.Tag[:], after[:]) > 0) {
			out = append(out, cloneKey(rec))
		}
	}
	slices.SortFunc(out, func(a, b KeyRecord) int { return bytes.Compare(a.Tag[:], b.Tag[:]) })
	return out[:min(len(out), max(limit, 0))], nil
}

func cloneKeyset(r KeysetRecord) KeysetRecord { r.Wrapped = bytes.Clone(r.Wrapped); return r }
func cloneKey(r KeyRecord) KeyRecord          { r.Wrapped = bytes.Clone(r.Wrapped); return r }
