package keyringtest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/keyringtest"
)

func TestMemoryStore(t *testing.T) {
	keyringtest.TestStore(t, func(*testing.T) keyring.Store { return keyring.NewMemoryStore() })
}

func Example() {
	TestStore := func(t *testing.T) {
		keyringtest.TestStore(t, func(*testing.T) keyring.Store {
			return keyring.NewMemoryStore() // yours instead
		})
	}
	_ = TestStore // go test runs it
}

// Each saboteur is a memory store with one fault that a hasty implementation,
// or a malicious one, might have. The suite must catch every one of them.
type (
	neverCommits     struct{ keyring.Store }
	losesTombstones  struct{ keyring.Store }
	ignoresHead      struct{ keyring.Store }
	ignoresDigest    struct{ keyring.Store }
	halfCommits      struct{ keyring.Store }
	lastCreateWins   struct{ keyring.Store }
	returnsWhatCame  struct{ keyring.Store }
	createsOverDead  struct{ keyring.Store }
	keepsCallerSlice struct {
		keyring.Store
		kept map[keyring.Tag][]byte
	}
	readsStaged struct {
		keyring.Store
		staged map[string]keyring.KeysetRecord
	}
	storesAnotherForm struct{ keyring.Store }
	deafToContext     struct{ keyring.Store }
	anyRevision       struct{ keyring.Store }
	forgetsVersion    struct{ keyring.Store }
	unordered         struct{ keyring.Store }
	swapsBlindly      struct{ keyring.Store }
	staleTombstones   struct{ keyring.Store }

	losesRetained      struct{ keyring.Store }
	keepsTwoStates     struct{ keyring.Store }
	listsTombstones    struct{ keyring.Store }
	createsOverKept    struct{ keyring.Store }
	staleRetained      struct{ keyring.Store }
	swapsTheLiving     struct{ keyring.Store }
	swapsIntoLife      struct{ keyring.Store }
	comparesBeginnings struct{ keyring.Store }
	cutsCreated        struct{ keyring.Store }
	cutsCommitted      struct{ keyring.Store }
)

// cut returns records of which no more is kept than a column that was made for
// keys can hold.
func cut(recs []keyring.KeyRecord) []keyring.KeyRecord {
	recs = slices.Clone(recs)
	for i := range recs {
		recs[i].Wrapped = recs[i].Wrapped[:min(len(recs[i].Wrapped), 1<<15)]
	}
	return recs
}

func (s losesRetained) Commit(ctx context.Context, c keyring.Change) error {
	c.Keys = slices.DeleteFunc(slices.Clone(c.Keys), func(r keyring.KeyRecord) bool { return r.State == keyring.Retained })
	return s.Store.Commit(ctx, c)
}

func (s keepsTwoStates) Commit(ctx context.Context, c keyring.Change) error {
	c.Keys = slices.Clone(c.Keys)
	for i := range c.Keys {
		if c.Keys[i].State != keyring.Active {
			c.Keys[i].State = keyring.Destroyed
		}
	}
	return s.Store.Commit(ctx, c)
}

func (s listsTombstones) Inactive(ctx context.Context, after *keyring.Tag, limit int) (out []keyring.KeyRecord, err error) {
	recs, err := s.Store.Inactive(ctx, after, 1<<20)
	for _, rec := range recs {
		if rec.State == keyring.Destroyed && len(out) < limit {
			out = append(out, rec)
		}
	}
	return out, err
}

func (s createsOverKept) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	stored, err := s.Store.CreateKeys(ctx, recs)
	for i, rec := range stored {
		if rec.State == keyring.Retained {
			j := slices.IndexFunc(recs, func(r keyring.KeyRecord) bool { return r.Tag == rec.Tag })
			_, err = s.SwapKeys(ctx, []keyring.Swap{{Old: rec, New: recs[j]}})
			stored[i] = recs[j]
		}
	}
	return stored, err
}

func (s staleRetained) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	recs, err := s.Store.StaleKeys(ctx, compartment, version, after, limit)
	kept, err2 := s.Inactive(ctx, after, limit)
	for _, rec := range kept {
		if rec.State == keyring.Retained && len(recs) < limit {
			recs = append(recs, rec)
		}
	}
	return recs, errors.Join(err, err2)
}

func (s swapsTheLiving) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	return s.Store.SwapKeys(ctx, slices.DeleteFunc(slices.Clone(swaps), func(p keyring.Swap) bool { return p.Old.State != keyring.Active }))
}

func (s swapsIntoLife) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	swaps = slices.Clone(swaps)
	for i := range swaps {
		swaps[i].New.State = keyring.Active
	}
	return s.Store.SwapKeys(ctx, swaps)
}

func (s comparesBeginnings) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	swaps = slices.Clone(swaps)
	for i := range swaps {
		now, err := s.Keys(ctx, []keyring.Tag{swaps[i].Old.Tag})
		if err != nil {
			return 0, err
		}
		if old := swaps[i].Old.Wrapped; len(now) == 1 && len(old) > 1<<10 && bytes.HasPrefix(now[0].Wrapped, old[:1<<10]) {
			swaps[i].Old.Wrapped = now[0].Wrapped
		}
	}
	return s.Store.SwapKeys(ctx, swaps)
}

func (s cutsCreated) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	return s.Store.CreateKeys(ctx, cut(recs))
}

func (s cutsCommitted) Commit(ctx context.Context, c keyring.Change) error {
	c.Keys = cut(c.Keys)
	return s.Store.Commit(ctx, c)
}

func (neverCommits) Commit(context.Context, keyring.Change) error { return nil }

func (s losesTombstones) Commit(ctx context.Context, c keyring.Change) error {
	c.Keys = nil
	return s.Store.Commit(ctx, c)
}

func (s ignoresHead) Commit(ctx context.Context, c keyring.Change) error {
	c.Prev, _ = s.Head(ctx)
	return s.Store.Commit(ctx, c)
}

func (s ignoresDigest) Commit(ctx context.Context, c keyring.Change) error {
	err := s.Store.Commit(ctx, c)
	if err != nil && c.Activate.Name != "" {
		c.Activate = keyring.KeysetRecord{}
		return s.Store.Commit(ctx, c)
	}
	return err
}

func (s halfCommits) Commit(ctx context.Context, c keyring.Change) error {
	now, err := s.Head(ctx)
	if err != nil {
		return err
	}
	// Tombstones first, then the head: two transactions where one is promised.
	if err := s.Store.Commit(ctx, keyring.Change{Prev: now, Head: now, Keys: c.Keys}); err != nil {
		return err
	}
	return s.Store.Commit(ctx, c)
}

func (s lastCreateWins) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	now, err := s.Head(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Commit(ctx, keyring.Change{Prev: now, Head: now, Keys: recs}); err != nil {
		return nil, err
	}
	return s.Keys(ctx, tagsOf(recs))
}

func (s returnsWhatCame) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	_, err := s.Store.CreateKeys(ctx, recs)
	return recs, err
}

func (s createsOverDead) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	stored, err := s.Store.CreateKeys(ctx, recs)
	for i, rec := range stored {
		if rec.State == keyring.Destroyed {
			now, _ := s.Head(ctx)
			for _, r := range recs {
				if r.Tag == rec.Tag {
					err = s.Commit(ctx, keyring.Change{Prev: now, Head: now, Keys: []keyring.KeyRecord{r}})
					stored[i] = r
				}
			}
		}
	}
	return stored, err
}

func (s keepsCallerSlice) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	stored, err := s.Store.CreateKeys(ctx, recs)
	if len(recs) == 1 && len(stored) == 1 {
		stored[0].Wrapped = recs[0].Wrapped
		s.kept[recs[0].Tag] = recs[0].Wrapped
	}
	return stored, err
}

func (s keepsCallerSlice) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	recs, err := s.Store.Keys(ctx, tags)
	for i := range recs {
		if b, ok := s.kept[recs[i].Tag]; ok {
			recs[i].Wrapped = b
		}
	}
	return recs, err
}

func (s readsStaged) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	s.staged[rec.Name] = rec
	return s.Store.StageKeyset(ctx, rec)
}

func (s readsStaged) Keyset(ctx context.Context, name string) (keyring.KeysetRecord, error) {
	if rec, ok := s.staged[name]; ok {
		return rec, nil
	}
	return s.Store.Keyset(ctx, name)
}

// storesAnotherForm stands for a store that unwraps, or re-encodes, what it is given.
func (s storesAnotherForm) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	rec.Wrapped = append([]byte("plaintext of "), rec.Wrapped...)
	return s.Store.StageKeyset(ctx, rec)
}

func (s deafToContext) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	return s.Store.CreateKeys(context.WithoutCancel(ctx), recs)
}

func (s anyRevision) StageKeyset(ctx context.Context, rec keyring.KeysetRecord) error {
	_ = s.Store.StageKeyset(ctx, rec)
	return nil
}

func (s forgetsVersion) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	recs, err := s.Store.Keys(ctx, tags)
	for i := range recs {
		recs[i].Version = 1
	}
	return recs, err
}

func (s unordered) Inactive(ctx context.Context, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	recs, err := s.Store.Inactive(ctx, after, limit)
	if len(recs) > 1 {
		recs[0], recs[1] = recs[1], recs[0]
	}
	return recs, err
}

func (s swapsBlindly) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	now, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	var recs []keyring.KeyRecord
	for i := range swaps {
		recs = append(recs, swaps[i].New)
	}
	return len(recs), s.Commit(ctx, keyring.Change{Prev: now, Head: now, Keys: recs})
}

func (s staleTombstones) StaleKeys(ctx context.Context, compartment string, version uint32, after *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	recs, err := s.Store.StaleKeys(ctx, compartment, version, after, limit)
	dead, err2 := s.Inactive(ctx, after, limit-len(recs))
	return append(recs, dead...), errors.Join(err, err2)
}

func tagsOf(recs []keyring.KeyRecord) []keyring.Tag {
	tags := make([]keyring.Tag, len(recs))
	for i := range recs {
		tags[i] = recs[i].Tag
	}
	return tags
}

func TestSaboteurStores(t *testing.T) {
	require.Empty(t, keyringtest.Check(t.Context(), keyring.NewMemoryStore), "an honest store is accused")
	for name, sabotage := range map[string]func(keyring.Store) keyring.Store{
		"never commits":             func(s keyring.Store) keyring.Store { return neverCommits{s} },
		"loses tombstones":          func(s keyring.Store) keyring.Store { return losesTombstones{s} },
		"ignores the head":          func(s keyring.Store) keyring.Store { return ignoresHead{s} },
		"ignores the staged digest": func(s keyring.Store) keyring.Store { return ignoresDigest{s} },
		"commits by halves":         func(s keyring.Store) keyring.Store { return halfCommits{s} },
		"last creator wins":         func(s keyring.Store) keyring.Store { return lastCreateWins{s} },
		"returns what came":         func(s keyring.Store) keyring.Store { return returnsWhatCame{s} },
		"creates over tombstones":   func(s keyring.Store) keyring.Store { return createsOverDead{s} },
		"keeps the caller's slice":  func(s keyring.Store) keyring.Store { return keepsCallerSlice{s, map[keyring.Tag][]byte{}} },
		"reads what is staged":      func(s keyring.Store) keyring.Store { return readsStaged{s, map[string]keyring.KeysetRecord{}} },
		"keeps plaintext":           func(s keyring.Store) keyring.Store { return storesAnotherForm{s} },
		"deaf to the context":       func(s keyring.Store) keyring.Store { return deafToContext{s} },
		"stages any revision":       func(s keyring.Store) keyring.Store { return anyRevision{s} },
		"forgets a column":          func(s keyring.Store) keyring.Store { return forgetsVersion{s} },
		"swaps what changed":        func(s keyring.Store) keyring.Store { return swapsBlindly{s} },
		"lists tombstones":          func(s keyring.Store) keyring.Store { return staleTombstones{s} },
		"loses what is retained":    func(s keyring.Store) keyring.Store { return losesRetained{s} },
		"knows two states":          func(s keyring.Store) keyring.Store { return keepsTwoStates{s} },
		"lists tombstones alone":    func(s keyring.Store) keyring.Store { return listsTombstones{s} },
		"creates over retained":     func(s keyring.Store) keyring.Store { return createsOverKept{s} },
		"rewraps what is retained":  func(s keyring.Store) keyring.Store { return staleRetained{s} },
		"swaps the living alone":    func(s keyring.Store) keyring.Store { return swapsTheLiving{s} },
		"swaps into life alone":     func(s keyring.Store) keyring.Store { return swapsIntoLife{s} },
		"compares beginnings":       func(s keyring.Store) keyring.Store { return comparesBeginnings{s} },
		"cuts what is created":      func(s keyring.Store) keyring.Store { return cutsCreated{s} },
		"cuts what is committed":    func(s keyring.Store) keyring.Store { return cutsCommitted{s} },
		"pages out of order":        func(s keyring.Store) keyring.Store { return unordered{s} },
	} {
		t.Run(name, func(t *testing.T) {
			wrong := keyringtest.Check(t.Context(), func() keyring.Store { return sabotage(keyring.NewMemoryStore()) })
			require.NotEmpty(t, wrong, "the suite did not catch it")
		})
	}
}
