package keyringtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/rahasia/rahasia/keyring"
)

// retained returns what is left of a key that a custodian keeps: his package,
// which is larger than a key, in its place.
func retained(n, size int, fill byte) keyring.KeyRecord {
	rec := key(n, fill)
	rec.State, rec.Wrapped = keyring.Retained, bytes.Repeat([]byte{fill}, size)
	rec.Wrapped[size-1]++ // so that the end tells
	return rec
}

// inState returns a record in a state that has no meaning for a store.
func inState(n int, state keyring.State) keyring.KeyRecord {
	rec := key(n, 's')
	rec.State = state
	return rec
}

// expectInactive reads what is out of service page by page.
func expectInactive(ctx context.Context, s keyring.Store, want ...keyring.KeyRecord) error {
	return expectPages("records out of service", want, func(after *keyring.Tag) ([]keyring.KeyRecord, error) {
		return s.Inactive(ctx, after, 2)
	})
}

// inactiveInOrder: whatever the state is that is not Active, the record is listed.
func inactiveInOrder(ctx context.Context, s keyring.Store) error {
	out := []keyring.KeyRecord{
		tombstone(4), retained(1, 1200, 'r'), tombstone(300), inState(2, keyring.Suspended), retained(7, 90, 'q'),
		inState(3, keyring.Deactivated), inState(8, 0), inState(6, math.MaxUint8), tombstone(0),
	}
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{key(9, 'a'), key(5, 'b'), key(299, 'c'), out[3]})
	err = errors.Join(err, start(ctx, s), s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: out}))
	if err != nil {
		return err
	}
	none, err := s.Inactive(ctx, nil, 0)
	if len(none) > 0 {
		err = errors.Join(err, errors.New("records for a limit of 0"))
	}
	return errors.Join(err, expectInactive(ctx, s, out...))
}

// retain: a key is taken out of service, is not made anew meanwhile, comes back
// or is erased; what is Retained is neither a key to rewrap nor a tombstone.
func retain(ctx context.Context, s keyring.Store) error {
	kept := []keyring.KeyRecord{retained(1, 1200, 'r'), retained(2, 1200, 'r'), retained(3, 60, 'r')}
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{key(1, 'a'), key(2, 'b'), key(4, 'd')})
	err = errors.Join(err, start(ctx, s),
		s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: kept}),
		expect(ctx, s, append(kept, key(4, 'd'))...), expectInactive(ctx, s, kept...),
		expectStale(ctx, s, 0, []keyring.KeyRecord{key(4, 'd')}))
	if err != nil {
		return err
	}
	got, err := s.CreateKeys(ctx, []keyring.KeyRecord{key(1, 'x'), key(5, 'e')})
	back := key(2, 'f')
	back.Generation++
	return errors.Join(err, same(got, []keyring.KeyRecord{kept[0], key(5, 'e')}),
		s.Commit(ctx, keyring.Change{Prev: head(2), Head: head(3), Keys: []keyring.KeyRecord{tombstone(1), back}}),
		expect(ctx, s, tombstone(1), back, kept[2]), expectInactive(ctx, s, tombstone(1), kept[2]),
		expectStale(ctx, s, 0, []keyring.KeyRecord{back, key(4, 'd'), key(5, 'e')}))
}

// swapAnyState: into retention and out of it again, and never from a state that
// was not read.
func swapAnyState(ctx context.Context, s keyring.Store) error {
	live, other := []keyring.KeyRecord{key(1, 'a'), key(2, 'b')}, key(1, 'c')
	kept := []keyring.KeyRecord{retained(1, 1200, 'r'), retained(2, 20<<10, 'q')}
	_, err := s.CreateKeys(ctx, live)
	if err := errors.Join(err, start(ctx, s)); err != nil {
		return err
	}
	asLive := kept[0] // as read but for its state
	asLive.State = keyring.Active
	for _, step := range []struct {
		what  string
		swaps []keyring.Swap
		want  int
		now   []keyring.KeyRecord
	}{
		{"into retention", []keyring.Swap{{Old: live[0], New: kept[0]}, {Old: live[1], New: kept[1]}}, 2, kept},
		{"what is no longer there", []keyring.Swap{{Old: live[0], New: other}}, 0, kept},
		{"another state", []keyring.Swap{{Old: asLive, New: other}}, 0, kept},
		{"within retention", []keyring.Swap{{Old: kept[1], New: retained(2, 1300, 'p')}}, 1, []keyring.KeyRecord{kept[0], retained(2, 1300, 'p')}},
		{"out of retention", []keyring.Swap{{Old: kept[0], New: other}}, 1, []keyring.KeyRecord{other, retained(2, 1300, 'p')}},
		{"into a tombstone", []keyring.Swap{{Old: retained(2, 1300, 'p'), New: tombstone(2)}}, 1, []keyring.KeyRecord{other, tombstone(2)}},
		{"out of a tombstone", []keyring.Swap{{Old: tombstone(2), New: live[1]}}, 1, []keyring.KeyRecord{other, live[1]}},
	} {
		n, err := s.SwapKeys(ctx, step.swaps)
		if n != step.want {
			err = errors.Join(err, fmt.Errorf("%d rows swapped, not %d", n, step.want))
		}
		var out []keyring.KeyRecord
		for _, rec := range step.now {
			if rec.State != keyring.Active {
				out = append(out, rec)
			}
		}
		if err := errors.Join(err, expect(ctx, s, step.now...), expectInactive(ctx, s, out...)); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// largeWrapped: up to 64 KiB each, whichever way a record comes in and out.
func largeWrapped(ctx context.Context, s keyring.Store) error {
	var made, put []keyring.KeyRecord
	for i, size := range []int{1 << 8, 1200, 8000, 20 << 10, 32<<10 + 1, 64 << 10} {
		made, put = append(made, retained(i, size, 'm')), append(put, retained(100+i, size, 'p'))
	}
	slices.SortFunc(put, func(a, b keyring.KeyRecord) int { return cmp.Compare(b.Tag[1], a.Tag[1]) })
	created, err := s.CreateKeys(ctx, made)
	err = errors.Join(err, same(created, made), start(ctx, s),
		s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: put}),
		expect(ctx, s, append(made, put...)...), expectInactive(ctx, s, append(made, put...)...))
	if err != nil {
		return err
	}
	largest := made[len(made)-1]
	almost := largest
	almost.Wrapped = bytes.Clone(largest.Wrapped)
	almost.Wrapped[len(almost.Wrapped)-1]++
	live := largest // a key, and not only a package, may be as large
	live.State = keyring.Active
	n, err := s.SwapKeys(ctx, []keyring.Swap{{Old: almost, New: live}})
	m, err2 := s.SwapKeys(ctx, []keyring.Swap{{Old: largest, New: live}})
	if n != 0 || m != 1 {
		err = errors.Join(err, fmt.Errorf("%d rows swapped whose last byte was another, %d that were as read", n, m))
	}
	return errors.Join(err, err2, expect(ctx, s, live), expectStale(ctx, s, 0, []keyring.KeyRecord{live}))
}
