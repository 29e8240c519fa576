package keyringtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rahasia/rahasia/keyring"
)

// under returns a key that another version of the keyset wraps.
func under(n int, version uint32, fill byte) keyring.KeyRecord {
	rec := key(n, fill)
	rec.Version = version
	return rec
}

func staleInOrder(ctx context.Context, s keyring.Store) error {
	stale := []keyring.KeyRecord{under(1, 1, 'a'), under(300, 9, 'b'), under(2, 2, 'c'), under(7, 1, 'd'), under(5, 1, 'e')}
	other, own, gone := under(3, 1, 'f'), under(4, 3, 'g'), under(400, 1, 'h')
	other.Compartment = "identity"
	_, err := s.CreateKeys(ctx, append([]keyring.KeyRecord{other, own, gone}, stale...))
	err = errors.Join(err, start(ctx, s), s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: []keyring.KeyRecord{tombstone(400)}}))
	if err != nil {
		return err
	}
	if err := expectStale(ctx, s, 3, stale); err != nil {
		return err
	}
	return expectStale(ctx, s, 0, append(stale, own))
}

// expectStale reads stale keys page by page.
func expectStale(ctx context.Context, s keyring.Store, version uint32, want []keyring.KeyRecord) error {
	return expectPages(fmt.Sprintf("keys outside version %d", version), want, func(after *keyring.Tag) ([]keyring.KeyRecord, error) {
		return s.StaleKeys(ctx, "clinical", version, after, 2)
	})
}

// expectPages reads pages of two, which are what was asked for in order.
func expectPages(what string, want []keyring.KeyRecord, page func(after *keyring.Tag) ([]keyring.KeyRecord, error)) error {
	want = slices.Clone(want)
	slices.SortFunc(want, func(a, b keyring.KeyRecord) int { return bytes.Compare(a.Tag[:], b.Tag[:]) })
	var got []keyring.KeyRecord
	for after := (*keyring.Tag)(nil); len(got) <= len(want); {
		recs, err := page(after)
		if err != nil {
			return err
		}
		if len(recs) > 2 {
			return fmt.Errorf("%d records for a limit of 2", len(recs))
		}
		if len(recs) == 0 {
			break
		}
		got = append(got, recs...)
		after = &recs[len(recs)-1].Tag
	}
	if !slices.EqualFunc(got, want, func(a, b keyring.KeyRecord) bool { return reflect.DeepEqual(a, b) }) {
		return fmt.Errorf("pages of %s are not all of them in order", what)
	}
	return nil
}

func swapOnlyWhatWasRead(ctx context.Context, s keyring.Store) error {
	read := []keyring.KeyRecord{under(1, 1, 'a'), under(2, 1, 'b'), under(3, 1, 'c')}
	next := []keyring.KeyRecord{under(1, 3, 'd'), under(2, 3, 'e'), under(3, 3, 'f')}
	_, err := s.CreateKeys(ctx, read)
	err = errors.Join(err, start(ctx, s), s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: []keyring.KeyRecord{tombstone(2)}}))
	if err != nil {
		return err
	}
	for what, change := range map[string]func(*keyring.KeyRecord){
		"version": func(r *keyring.KeyRecord) { r.Version++ }, "generation": func(r *keyring.KeyRecord) { r.Generation++ },
		"wrapped": func(r *keyring.KeyRecord) { r.Wrapped = bytes.Repeat([]byte{'z'}, 60) }, "commitment": func(r *keyring.KeyRecord) { r.Commitment[9]++ },
		"compartment": func(r *keyring.KeyRecord) { r.Compartment = "identity" }, "state": func(r *keyring.KeyRecord) { r.State = 9 },
	} {
		old := read[0]
		change(&old)
		n, err := s.SwapKeys(ctx, []keyring.Swap{{Old: old, New: next[0]}})
		if err := errors.Join(err, expect(ctx, s, read[0])); err != nil || n != 0 {
			return fmt.Errorf("%d rows swapped whose %s was another: %w", n, what, err)
		}
	}
	n, err := s.SwapKeys(ctx, []keyring.Swap{{Old: read[0], New: next[0]}, {Old: read[1], New: next[1]}, {Old: read[2], New: next[2]}, {Old: key(9, 0), New: key(9, 1)}})
	if n != 2 {
		err = errors.Join(err, fmt.Errorf("%d rows swapped of 2 that were as read", n))
	}
	return errors.Join(err, expect(ctx, s, next[0], tombstone(2), next[2]), missing(ctx, s, key(9, 0)))
}

func swapRace(ctx context.Context, s keyring.Store) error {
	var recs []keyring.KeyRecord
	for i := range 150 {
		recs = append(recs, under(i, 1, 'a'))
	}
	_, err := s.CreateKeys(ctx, recs)
	if err := errors.Join(err, start(ctx, s)); err != nil {
		return err
	}
	var wait sync.WaitGroup
	var total atomic.Int64
	errs := make([]error, 8)
	for g := range errs {
		swaps := make([]keyring.Swap, len(recs))
		for i, rec := range recs {
			swaps[i] = keyring.Swap{Old: rec, New: under(i, 3, byte('b'+g))}
		}
		wait.Go(func() {
			n, err := s.SwapKeys(ctx, swaps)
			total.Add(int64(n))
			errs[g] = err
		})
	}
	wait.Wait()
	if n := total.Load(); n != int64(len(recs)) {
		errs = append(errs, fmt.Errorf("%d swaps of %d rows succeeded", n, len(recs)))
	}
	return errors.Join(errs...)
}
