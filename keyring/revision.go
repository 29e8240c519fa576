package keyring

import (
	"context"
	"errors"
	"fmt"
	"time"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"google.golang.org/protobuf/proto"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// edit changes a keyset for its next revision.
type edit func(*tinkpb.Keyset) error

// newRevision makes the next revision of a keyset: old, or an empty one,
// edited and wrapped. It is proved to unwrap, not yet persisted.
func newRevision(ctx context.Context, kek KEK, ring, name string, old *revision, change edit) (KeysetRecord, *Keyset, error) {
	set, number := &tinkpb.Keyset{}, uint64(1)
	if old != nil {
		set, number = old.set, old.number+1
	}
	if err := change(set); err != nil {
		return KeysetRecord{}, nil, fmt.Errorf("keyring: keyset %q: %w", name, err)
	}
	return wrapRevision(ctx, kek, ring, name, revision{number, set})
}

// wrapRevision makes the record of a revision.
func wrapRevision(ctx context.Context, kek KEK, ring, name string, rev revision) (KeysetRecord, *Keyset, error) {
	asked := time.Now()
	wrapped, serialized, err := wrapSet(ctx, kek, name, rev.set, keysetAD(ring, name))
	if err != nil {
		return KeysetRecord{}, nil, err
	}
	defer clear(serialized)
	rec := KeysetRecord{Name: name, Revision: rev.number, Wrapped: wrapped}
	rec.Digest = keysetDigest(ring, name, rec.Revision, rec.Wrapped)
	ks, _, err := parseKeyset(name, rec.Digest, serialized)
	if err != nil {
		return KeysetRecord{}, nil, err
	}
	ks.unwrapped = asked
	return rec, ks, nil
}

// wrapSet serializes set and wraps it, proved to unwrap. The caller clears
// what was serialized.
func wrapSet(ctx context.Context, kek KEK, name string, set *tinkpb.Keyset, ad []byte) (wrapped, serialized []byte, err error) {
	serialized, err = proto.Marshal(set)
	if err != nil {
		return nil, nil, fmt.Errorf("keyring: keyset %q: cannot be serialized", name)
	}
	keys := keyMaterial(set)
	defer func() {
		for _, k := range keys {
			clear(k)
		}
	}()
	wrapped, err = wrapProved(ctx, kek, name, serialized, keys, ad)
	if err != nil {
		clear(serialized)
		return nil, nil, err
	}
	return wrapped, serialized, nil
}

// revision is an opened keyset record, to make the next one from.
type revision struct {
	number uint64
	set    *tinkpb.Keyset
}

// openRevision unwraps and parses a record. Its digest is checked before the
// KEK is called, against the journal by the caller.
func openRevision(ctx context.Context, kek KEK, ring, name string, rec KeysetRecord) (*Keyset, *revision, error) {
	if rec.Name != name || rec.Digest != keysetDigest(ring, name, rec.Revision, rec.Wrapped) {
		return nil, nil, fmt.Errorf("keyring: keyset %q revision %d: record differs from its digest: %w", name, rec.Revision, ErrCorrupt)
	}
	asked := time.Now() // before the call: nothing is proved of later
	serialized, err := unwrap(ctx, kek, name, rec.Wrapped, keysetAD(ring, name))
	if err != nil {
		return nil, nil, err
	}
	defer clear(serialized)
	ks, set, err := parseKeyset(name, rec.Digest, serialized)
	if err != nil {
		return nil, nil, err
	}
	ks.unwrapped = asked
	return ks, &revision{rec.Revision, set}, nil
}

// record returns the active record of a keyset that the journal knows, in the
// journal's revision. Where the two differ a writer may be between the two:
// settling waits for it.
func (c *core) record(ctx context.Context, name string) (KeysetRecord, error) {
	for range 3 { // more than once only if another process rotates just then
		rec, err := c.store.Keyset(ctx, name)
		if err != nil && !errors.Is(err, ErrNoKeyset) {
			return KeysetRecord{}, fmt.Errorf("keyring: load keyset %q: %w", name, err)
		}
		if want, _ := c.mark(name); err == nil && want == markOf(rec) {
			return rec, nil
		}
		if err := c.settle(ctx); err != nil {
			return KeysetRecord{}, err
		}
	}
	return KeysetRecord{}, fmt.Errorf("keyring: keyset %q is not the journal's revision: %w", name, ErrRolledBack)
}

// mark returns what the journal says of a keyset.
func (c *core) mark(name string) (journal.Mark, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	m, ok := c.chain.Keysets[name]
	return m, ok
}

// compareKeysets checks that the store has the journal's revision of every keyset.
func (c *core) compareKeysets(ctx context.Context) error {
	lost, err := c.lostKeysets(ctx)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		return fmt.Errorf("keyring: keysets %q are not the journal's revisions: %w", lost, ErrRolledBack)
	}
	return nil
}

// readBack checks that a revision just written is what the store now has.
func (c *core) readBack(ctx context.Context, want journal.Mark) error {
	rec, err := c.store.Keyset(ctx, want.Name)
	if err != nil {
		return fmt.Errorf("keyring: read keyset %q back: %w", want.Name, err)
	}
	if want != markOf(rec) || rec.Digest != keysetDigest(c.ring, rec.Name, rec.Revision, rec.Wrapped) {
		return fmt.Errorf("keyring: read keyset %q back: not what was written: %w", want.Name, ErrCorrupt)
	}
	return nil
}

// markOf is what the journal records of rec.
func markOf(rec KeysetRecord) journal.Mark {
	return journal.Mark{Name: rec.Name, Revision: rec.Revision, Digest: rec.Digest}
}

// settledKeyset returns a keyset as it was loaded before the lock was taken, in
// the journal's revision, or a movedError: under the lock no KEK is called.
func (c *core) settledKeyset(_ context.Context, name string) (*Keyset, error) {
	want, known := c.mark(name)
	if !known {
		return nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrNoKeyset)
	}
	if at := c.slots.get(name); at != nil {
		if l := at.loaded.Load(); l != nil && l.keyset.digest == want.Digest {
			return l.keyset, nil
		}
	}
	return nil, movedError(name)
}

// storedKeyset returns the store's revision of a keyset, for rows that a backup
// holds under it. It calls the KEK under the lock: only for a backup, and nobody
// has the ring open while that is brought up to its journal. Where the KEK is
// gone a restoration has the keyset in its export; a row that it does not open
// stays. What a writer left that died has its package, and asks for no keyset.
func (c *core) storedKeyset(ctx context.Context, name string) (*Keyset, error) {
	rec, err := c.store.Keyset(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("keyring: load keyset %q: %w", name, err)
	}
	kek, err := c.keks.of(name)
	if err != nil {
		return nil, err
	}
	ks, _, err := openRevision(ctx, kek, c.ring, name, rec)
	if errors.Is(err, ErrKEK) && c.spare != nil {
		return c.spare(ctx, name)
	}
	return ks, err
}
