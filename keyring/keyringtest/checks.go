package keyringtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rahasia/rahasia/keyring"
)

func head(seq uint64) keyring.Head {
	return keyring.Head{Ring: "test", Seq: seq, Hash: [32]byte{byte(seq), 1}}
}

func keyset(name string, revision uint64, fill byte) keyring.KeysetRecord {
	return keyring.KeysetRecord{Name: name, Revision: revision, Digest: [32]byte{fill, byte(revision)}, Wrapped: bytes.Repeat([]byte{fill}, 99)}
}

func key(n int, fill byte) keyring.KeyRecord {
	return keyring.KeyRecord{
		Tag: keyring.Tag{byte(n >> 8), byte(n), 7}, Compartment: "clinical", Generation: 1, Version: 3, State: keyring.Active,
		Wrapped: bytes.Repeat([]byte{fill}, 60), Commitment: [32]byte{fill, 2},
	}
}

func tombstone(n int) keyring.KeyRecord {
	return keyring.KeyRecord{Tag: key(n, 0).Tag, Compartment: "clinical", State: keyring.Destroyed, Wrapped: bytes.Repeat([]byte{0xdd}, 48)}
}

func tags(recs ...keyring.KeyRecord) []keyring.Tag {
	out := make([]keyring.Tag, len(recs))
	for i := range recs {
		out[i] = recs[i].Tag
	}
	return out
}

// same compares records in any order.
func same(got, want []keyring.KeyRecord) error {
	got, want = slices.Clone(got), slices.Clone(want)
	byTag := func(a, b keyring.KeyRecord) int { return bytes.Compare(a.Tag[:], b.Tag[:]) }
	slices.SortFunc(got, byTag)
	slices.SortFunc(want, byTag)
	if len(got) != len(want) {
		return fmt.Errorf("%d records, want %d", len(got), len(want))
	}
	for i := range got {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Errorf("record %d differs from what was given", i)
		}
	}
	return nil
}

// expect reads keys and compares them.
func expect(ctx context.Context, s keyring.Store, want ...keyring.KeyRecord) error {
	got, err := s.Keys(ctx, tags(want...))
	if err != nil {
		return err
	}
	return same(got, want)
}

func expectHead(ctx context.Context, s keyring.Store, want keyring.Head) error {
	got, err := s.Head(ctx)
	if err == nil && got != want {
		err = fmt.Errorf("head is at %d, want %d", got.Seq, want.Seq)
	}
	return err
}

func expectKeysets(ctx context.Context, s keyring.Store, want ...keyring.KeysetRecord) error {
	got, err := s.Keysets(ctx)
	if err != nil {
		return err
	}
	if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
		return fmt.Errorf("the %d active keysets are not the %d expected", len(got), len(want))
	}
	for _, w := range want {
		if one, err := s.Keyset(ctx, w.Name); err != nil || !reflect.DeepEqual(one, w) {
			return fmt.Errorf("keyset %q alone is not what all together say: %v", w.Name, err)
		}
	}
	return nil
}

func expectError(err, want error, what string) error {
	if !errors.Is(err, want) {
		return fmt.Errorf("%s: got error %v, want %v", what, err, want)
	}
	return nil
}

// start commits a first head.
func start(ctx context.Context, s keyring.Store) error {
	return s.Commit(ctx, keyring.Change{Head: head(1)})
}

func empty(ctx context.Context, s keyring.Store) error {
	_, err := s.Keyset(ctx, "clinical")
	tombstones, err2 := s.Inactive(ctx, nil, 10)
	stale, err4 := s.StaleKeys(ctx, "clinical", 0, nil, 10)
	swapped, err5 := s.SwapKeys(ctx, []keyring.Swap{{Old: key(1, 0), New: key(1, 1)}})
	created, err3 := s.CreateKeys(ctx, nil)
	if len(tombstones)+len(created)+len(stale)+swapped > 0 {
		err3 = errors.New("records in an empty store")
	}
	return errors.Join(expectHead(ctx, s, keyring.Head{}), expectKeysets(ctx, s), expect(ctx, s), missing(ctx, s, key(1, 1)),
		expectError(err, keyring.ErrNoKeyset, "Keyset"), err2, err3, err4, err5)
}

func missing(ctx context.Context, s keyring.Store, rec keyring.KeyRecord) error {
	got, err := s.Keys(ctx, tags(rec))
	if err == nil && len(got) > 0 {
		err = errors.New("a key that was never made")
	}
	return err
}

func staged(ctx context.Context, s keyring.Store) error {
	if err := s.StageKeyset(ctx, keyset("clinical", 1, 'a')); err != nil {
		return err
	}
	_, err := s.Keyset(ctx, "clinical")
	return errors.Join(expectError(err, keyring.ErrNoKeyset, "a staged keyset is read"), expectKeysets(ctx, s), expectHead(ctx, s, keyring.Head{}))
}

func stagedRevision(ctx context.Context, s keyring.Store) error {
	err := errors.Join(
		expectError(s.StageKeyset(ctx, keyset("clinical", 0, 'a')), keyring.ErrConflict, "revision 0"),
		expectError(s.StageKeyset(ctx, keyset("clinical", 2, 'a')), keyring.ErrConflict, "revision 2 first"),
		s.StageKeyset(ctx, keyset("clinical", 1, 'a')),
		s.Commit(ctx, keyring.Change{Head: head(1), Activate: keyset("clinical", 1, 'a')}),
		expectError(s.StageKeyset(ctx, keyset("clinical", 1, 'b')), keyring.ErrConflict, "revision 1 again"),
		expectError(s.StageKeyset(ctx, keyset("clinical", 3, 'b')), keyring.ErrConflict, "revision 3 after 1"),
		s.StageKeyset(ctx, keyset("clinical", 2, 'b')))
	return errors.Join(err, expectKeysets(ctx, s, keyset("clinical", 1, 'a')))
}

func activate(ctx context.Context, s keyring.Store) error {
	ref := keyset("clinical", 1, 'b')
	ref.Wrapped = nil // not looked at
	return errors.Join(
		s.StageKeyset(ctx, keyset("clinical", 1, 'a')),
		s.StageKeyset(ctx, keyset("clinical", 1, 'b')), // replaces
		s.StageKeyset(ctx, keyset("audit", 1, 'c')),
		s.Commit(ctx, keyring.Change{Head: head(1), Activate: ref}),
		expectKeysets(ctx, s, keyset("clinical", 1, 'b')),
		s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Activate: keyset("audit", 1, 'c')}),
		expectKeysets(ctx, s, keyset("audit", 1, 'c'), keyset("clinical", 1, 'b')),
		s.StageKeyset(ctx, keyset("clinical", 2, 'd')),
		s.Commit(ctx, keyring.Change{Prev: head(2), Head: head(3), Activate: keyset("clinical", 2, 'd')}),
		expectKeysets(ctx, s, keyset("audit", 1, 'c'), keyset("clinical", 2, 'd')),
		expectError(s.Commit(ctx, keyring.Change{Prev: head(3), Head: head(4), Activate: keyset("clinical", 2, 'd')}),
			keyring.ErrConflict, "activate what is no longer staged"))
}

func conflictChangesNothing(ctx context.Context, s keyring.Store) error {
	live := key(1, 'k')
	if _, err := s.CreateKeys(ctx, []keyring.KeyRecord{live}); err != nil {
		return err
	}
	err := errors.Join(start(ctx, s), s.StageKeyset(ctx, keyset("clinical", 1, 'a')))
	dead := []keyring.KeyRecord{tombstone(1), tombstone(2)}
	other := head(1)
	other.Ring = "other"
	forked := head(1)
	forked.Hash[5]++
	for what, c := range map[string]keyring.Change{
		"no head":       {Head: head(2), Activate: keyset("clinical", 1, 'a'), Keys: dead},
		"older head":    {Prev: head(9), Head: head(2), Activate: keyset("clinical", 1, 'a'), Keys: dead},
		"other ring":    {Prev: other, Head: head(2), Keys: dead},
		"other hash":    {Prev: forked, Head: head(2), Keys: dead},
		"digest":        {Prev: head(1), Head: head(2), Activate: keyset("clinical", 1, 'b'), Keys: dead},
		"revision":      {Prev: head(1), Head: head(2), Activate: keyset("clinical", 2, 'a'), Keys: dead},
		"nothing there": {Prev: head(1), Head: head(2), Activate: keyset("audit", 1, 'a'), Keys: dead},
	} {
		err = errors.Join(err, expectError(s.Commit(ctx, c), keyring.ErrConflict, what),
			expectHead(ctx, s, head(1)), expectKeysets(ctx, s), expect(ctx, s, live), missing(ctx, s, tombstone(2)))
	}
	return err
}

func oneOfManyCommits(ctx context.Context, s keyring.Store) error {
	if err := start(ctx, s); err != nil {
		return err
	}
	var won, lost atomic.Int32
	err := together(8, func(i int) error {
		h := head(2)
		h.Hash[9] = byte(i)
		err := s.Commit(ctx, keyring.Change{Prev: head(1), Head: h, Keys: []keyring.KeyRecord{tombstone(i)}})
		switch {
		case err == nil:
			won.Add(1)
		case errors.Is(err, keyring.ErrConflict):
			lost.Add(1)
		default:
			return err
		}
		return nil
	})
	if err == nil && (won.Load() != 1 || lost.Load() != 7) {
		err = fmt.Errorf("%d of 8 commits from one head won", won.Load())
	}
	dead, err2 := s.Inactive(ctx, nil, 10)
	if err2 == nil && len(dead) != 1 {
		err2 = fmt.Errorf("%d tombstones of one commit", len(dead))
	}
	return errors.Join(err, err2)
}

// together runs do n times at once.
func together(n int, do func(int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func headMayStay(ctx context.Context, s keyring.Store) error {
	return errors.Join(start(ctx, s),
		s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(1), Keys: []keyring.KeyRecord{tombstone(1)}}),
		expectHead(ctx, s, head(1)), expect(ctx, s, tombstone(1)))
}

func byteForByte(ctx context.Context, s keyring.Store) error {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	rec := keyring.KeysetRecord{
		Name: "a/" + strings.Repeat("Z", 122) + "/.-_", Revision: 1, Digest: [32]byte(all[224:]),
		Wrapped: bytes.Repeat(all, 256),
	}
	far := keyring.Head{Ring: strings.Repeat("r", 64), Seq: math.MaxInt64, Hash: [32]byte(all[:32])}
	most := keyring.KeyRecord{
		Tag: keyring.Tag(bytes.Repeat([]byte{0xff}, 16)), Compartment: strings.Repeat("c", 32), Generation: math.MaxUint32,
		Version: math.MaxUint32, State: math.MaxUint8, Wrapped: all, Commitment: [32]byte(all[224:]),
	}
	least := keyring.KeyRecord{Compartment: "c", State: keyring.Active, Wrapped: []byte{0}}
	created, err := s.CreateKeys(ctx, []keyring.KeyRecord{most, least})
	return errors.Join(err, same(created, []keyring.KeyRecord{most, least}),
		s.StageKeyset(ctx, rec), s.Commit(ctx, keyring.Change{Head: far, Activate: rec}),
		expectHead(ctx, s, far), expectKeysets(ctx, s, rec), expect(ctx, s, most, least))
}

func createKeepsTheFirst(ctx context.Context, s keyring.Store) error {
	one, two, three := key(1, 'a'), key(2, 'b'), key(3, 'c')
	first, err := s.CreateKeys(ctx, []keyring.KeyRecord{one, two})
	late := key(2, 'X')
	late.Generation, late.Version, late.Compartment = 9, 9, "other"
	second, err2 := s.CreateKeys(ctx, []keyring.KeyRecord{late, three})
	return errors.Join(err, err2, same(first, []keyring.KeyRecord{one, two}), same(second, []keyring.KeyRecord{two, three}),
		expect(ctx, s, one, two, three))
}

func createRace(ctx context.Context, s keyring.Store) error {
	const n = 16
	got := make([][]keyring.KeyRecord, n)
	err := together(n, func(i int) (err error) {
		got[i], err = s.CreateKeys(ctx, []keyring.KeyRecord{key(1, byte(i)), key(2, byte(i))})
		return err
	})
	if err != nil {
		return err
	}
	for i := range got {
		if err := same(got[i], got[0]); err != nil {
			return fmt.Errorf("two creators of one key got different ones: %w", err)
		}
	}
	return expect(ctx, s, got[0]...)
}

func tombstoneReplaces(ctx context.Context, s keyring.Store) error {
	live := key(1, 'a')
	_, err := s.CreateKeys(ctx, []keyring.KeyRecord{live, key(2, 'b')})
	dead := []keyring.KeyRecord{tombstone(1), tombstone(3)}
	return errors.Join(err, start(ctx, s),
		s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: dead}),
		expectHead(ctx, s, head(2)), expect(ctx, s, tombstone(1), key(2, 'b'), tombstone(3)))
}

func tombstoneWins(ctx context.Context, s keyring.Store) error {
	err := errors.Join(start(ctx, s), s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: []keyring.KeyRecord{tombstone(1)}}))
	got, err2 := s.CreateKeys(ctx, []keyring.KeyRecord{key(1, 'a'), key(2, 'b')})
	return errors.Join(err, err2, same(got, []keyring.KeyRecord{tombstone(1), key(2, 'b')}), expect(ctx, s, tombstone(1), key(2, 'b')))
}

func manyRows(ctx context.Context, s keyring.Store) error {
	var recs, dead []keyring.KeyRecord
	for i := range 1000 {
		recs = append(recs, key(i, byte(i)))
		dead = append(dead, tombstone(i))
	}
	created, err := s.CreateKeys(ctx, recs)
	return errors.Join(err, same(created, recs), expect(ctx, s, recs...), start(ctx, s),
		s.Commit(ctx, keyring.Change{Prev: head(1), Head: head(2), Keys: dead}), expect(ctx, s, dead...))
}

func copies(ctx context.Context, s keyring.Store) error {
	rec, ks := key(1, 'a'), keyset("clinical", 1, 'a')
	created, err := s.CreateKeys(ctx, []keyring.KeyRecord{rec})
	err = errors.Join(err, s.StageKeyset(ctx, ks), s.Commit(ctx, keyring.Change{Head: head(1), Activate: ks}))
	read, err2 := s.Keys(ctx, tags(rec))
	kept, err3 := s.Keyset(ctx, "clinical")
	if err := errors.Join(err, err2, err3); err != nil {
		return err
	}
	if len(created) != 1 || len(read) != 1 {
		return errors.New("one key was created, and not one returned")
	}
	for _, b := range [][]byte{rec.Wrapped, ks.Wrapped, created[0].Wrapped, read[0].Wrapped, kept.Wrapped} {
		clear(b) // none of these is the store's
	}
	if err := errors.Join(expect(ctx, s, key(1, 'a')), expectKeysets(ctx, s, keyset("clinical", 1, 'a'))); err != nil {
		return fmt.Errorf("the store shares a slice with its caller: %w", err)
	}
	return nil
}

func cancelled(ctx context.Context, s keyring.Store) error {
	if err := errors.Join(start(ctx, s), s.StageKeyset(ctx, keyset("clinical", 1, 'a'))); err != nil {
		return err
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	var errs []error
	note := func(what string, err error) { errs = append(errs, expectError(err, context.Canceled, what)) }
	_, err := s.Head(gone)
	note("Head", err)
	_, err = s.Keysets(gone)
	note("Keysets", err)
	_, err = s.Keyset(gone, "clinical")
	note("Keyset", err)
	_, err = s.Keys(gone, tags(key(1, 0)))
	note("Keys", err)
	_, err = s.CreateKeys(gone, []keyring.KeyRecord{key(1, 0)})
	note("CreateKeys", err)
	_, err = s.Inactive(gone, nil, 1)
	note("Inactive", err)
	_, err = s.StaleKeys(gone, "clinical", 1, nil, 1)
	note("StaleKeys", err)
	_, err = s.SwapKeys(gone, []keyring.Swap{{Old: key(1, 0), New: key(1, 1)}})
	note("SwapKeys", err)
	note("StageKeyset", s.StageKeyset(gone, keyset("audit", 1, 'b')))
	note("Commit", s.Commit(gone, keyring.Change{Prev: head(1), Head: head(2), Activate: keyset("clinical", 1, 'a'), Keys: []keyring.KeyRecord{tombstone(2)}}))
	return errors.Join(append(errs, expectHead(ctx, s, head(1)), expectKeysets(ctx, s), missing(ctx, s, key(1, 0)), missing(ctx, s, key(2, 0)))...)
}

// ring lives a ring's life on the store: what each step wrote must be there
// for a ring opened anew.
func ring(ctx context.Context, s keyring.Store) error {
	kek, err := newKEK()
	if err != nil {
		return err
	}
	cfg := keyring.Config{Store: s, Journal: keyring.NewMemoryJournal(), KEK: kek}
	r, err := keyring.Create(ctx, "test", cfg)
	if err != nil {
		return err
	}
	if err := errors.Join(r.CreateKeyset(ctx, "clinical"), r.CreateKeyset(ctx, "identity")); err != nil {
		return err
	}
	for _, id := range []string{"one", "two"} {
		if _, err := r.CreateSubject(ctx, id, "clinical", "identity"); err != nil {
			return err
		}
	}
	_, err = r.Rotate(ctx, "clinical")
	_, err2 := r.Shred(ctx, "one")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	again, err := keyring.Open(ctx, cfg)
	if err != nil {
		return err
	}
	_, err = again.Subject(ctx, "two", "clinical", "identity")
	_, err2 = again.Subject(ctx, "one", "clinical")
	return errors.Join(err, expectError(err2, keyring.ErrShredded, "an erased subject"))
}
