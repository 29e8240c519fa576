//go:build unix

package killtest

import (
	"context"

	"github.com/rahasia/rahasia/keyring"
)

// store has a fault point before and after each call.
type store struct {
	keyring.Store
	point func()
}

func around[T any](s *store, do func() (T, error)) (T, error) {
	s.point()
	defer s.point()
	return do()
}

func (s *store) Head(ctx context.Context) (keyring.Head, error) {
	return around(s, func() (keyring.Head, error) { return s.Store.Head(ctx) })
}

func (s *store) Keysets(ctx context.Context) ([]keyring.KeysetRecord, error) {
	return around(s, func() ([]keyring.KeysetRecord, error) { return s.Store.Keysets(ctx) })
}

func (s *store) Keyset(ctx context.Context, name string) (keyring.KeysetRecord, error) {
	return around(s, func() (keyring.KeysetRecord, error) { return s.Store.Keyset(ctx, name) })
}

func (s *store) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	_, err := around(s, func() (any, error) { return nil, s.Store.StageKeyset(ctx, rec) })
	return err
}

func (s *store) Commit(ctx context.Context, c keyring.Change) error {
	_, err := around(s, func() (any, error) { return nil, s.Store.Commit(ctx, c) })
	return err
}

func (s *store) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	return around(s, func() ([]keyring.KeyRecord, error) { return s.Store.Keys(ctx, tags) })
}

func (s *store) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	return around(s, func() ([]keyring.KeyRecord, error) { return s.Store.CreateKeys(ctx, recs) })
}

func (s *store) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return around(s, func() ([]keyring.KeyRecord, error) {
		return s.Store.StaleKeys(ctx, compartment, version, after, limit)
	})
}

func (s *store) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	return around(s, func() (int, error) { return s.Store.SwapKeys(ctx, swaps) })
}

func (s *store) Inactive(ctx context.Context, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	return around(s, func() ([]keyring.KeyRecord, error) { return s.Store.Inactive(ctx, after, limit) })
}
