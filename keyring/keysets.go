package keyring

import (
	"context"
	"fmt"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Keyset returns the keyset of that name as it is now. A rotation by this
// process is seen at once, one by another process within 60 seconds. Once
// loaded the call takes some ten nanoseconds; the KEK is called once per
// revision and process, and then aside, as [Config.Grace] says.
//
// A keyset that was never created is [ErrNoKeyset]; one that this view does
// not hold [ErrNotGranted]; one whose KEK does not unwrap it, or has not answered for 10
// seconds, or for longer than the grace, [ErrKEK]; one
// whose stored record is not the journal's newest [ErrRolledBack]. The control
// keyset "ring" is nobody's: [ErrName].
func (r *Ring) Keyset(ctx context.Context, name string) (*Keyset, error) {
	c := r.core()
	if c.closed.Load() || !r.Granted(name) {
		_, err := r.allow(name)
		return nil, err
	}
	return c.keyset(ctx, name)
}

// KeysetAt returns the keyset like [Ring.Keyset], with a version that something
// sealed names. If that is not there the store is read once more, for it may be
// one that another process has just made. One that is not there then, or not
// enabled, is [ErrUnknownVersion]; it is not looked for again within a second.
func (r *Ring) KeysetAt(ctx context.Context, name string, version uint32) (*Keyset, error) {
	ks, err := r.Keyset(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, ok := ks.keys[version]; ok {
		return ks, nil
	}
	if ks, err = r.core().loadKeyset(ctx, name, version); err != nil {
		return nil, err
	}
	if _, ok := ks.keys[version]; !ok {
		return nil, fmt.Errorf("keyring: keyset %q version %d: %w", name, version, ErrUnknownVersion)
	}
	return ks, nil
}

// CreateKeyset makes a new keyset with one version. The name is that of a
// compartment, [a-z][a-z0-9-]{0,31}, or of a domain, two or more segments of
// [A-Za-z0-9._-]+ joined by slashes, at most 128 bytes; another is [ErrName].
// It needs a KEK for it. A name that is taken is [ErrExists]: what a keyset
// was created for never changes. A ring has at most 512 compartments.
//
// An error of the store after the journal was written leaves the creation to
// be completed by the next call that reads the store.
func (r *Ring) CreateKeyset(ctx context.Context, name string) error {
	if err := checkKeyset(name); err != nil {
		return err
	}
	c, err := r.allow(name)
	if err != nil {
		return err
	}
	_, err = c.revise(ctx, createKeyset, name, nil, addVersion)
	return err
}

// Rotate adds a version to a keyset, makes it the primary, and returns it. Old
// versions keep opening what they sealed. Other processes see it within 60
// seconds; subject keys wrapped before keep their version.
//
// Errors are those of [Ring.Keyset]. An error of the store after the journal
// was written leaves the rotation to be completed by the next call that reads
// the store.
func (r *Ring) Rotate(ctx context.Context, name string) (version uint32, err error) {
	if err := checkKeyset(name); err != nil {
		return 0, err
	}
	c, err := r.allow(name)
	if err != nil {
		return 0, err
	}
	ks, err := c.revise(ctx, "rotate", name, nil, addVersion)
	if err != nil {
		return 0, err
	}
	return ks.Primary(), nil
}

// createKeyset is the action that makes a keyset; others revise one.
const createKeyset = "create-keyset"

// revise writes the first or the next revision of a keyset: staged, journalled,
// committed, read back, and only then used. It is wrapped by to, or by the
// keyset's own KEK if that is nil.
func (c *core) revise(ctx context.Context, action, name string, to KEK, change edit) (ks *Keyset, err error) {
	kek, err := c.keks.of(name)
	if err != nil {
		return nil, err
	}
	moves := to != nil
	if !moves {
		to = kek
	}
	err = c.exclusive(ctx, func() error {
		old, err := c.revisable(ctx, kek, name, action == createKeyset)
		if err != nil {
			return err
		}
		rec, next, err := newRevision(ctx, to, c.ring, name, old, change)
		if err != nil {
			return err
		}
		staged := func() {}
		if moves { // once journalled, whoever comes next may commit it
			staged = func() { c.keks.set(name, AnyKEK(to, kek)) }
		}
		if err := c.persist(ctx, action, rec, next, staged); err != nil {
			return err
		}
		if moves {
			c.keks.set(name, to)
		}
		ks = next
		return nil
	})
	return ks, err
}

// persist makes rec the active revision of its keyset, and ks what the ring
// uses, and calls staged before it is journalled. The lock is held, and store and
// journal are level.
func (c *core) persist(ctx context.Context, action string, rec KeysetRecord, ks *Keyset, staged func()) error {
	name := rec.Name
	if err := c.store.StageKeyset(ctx, rec); err != nil {
		return fmt.Errorf("keyring: stage keyset %q: %w", name, err)
	}
	staged()
	m := markOf(rec)
	if _, err := c.write(ctx, action, &journal.Entry{Kind: journal.Keyset, Keyset: m}); err != nil {
		return err
	}
	if err := c.readBack(ctx, m); err != nil {
		return err
	}
	if name != controlKeyset { // whose keys are derived already, and never change
		at := c.slots.add(name)
		c.slots.fill(at, &loaded{ks, rec, at.want.Load(), ks.unwrapped})
	}
	return nil
}

// revisable returns the revision to make the next one from; none for a new keyset.
func (c *core) revisable(ctx context.Context, kek KEK, name string, create bool) (*revision, error) {
	want, known := c.mark(name)
	if !create && !known {
		return nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrNoKeyset)
	} else if create && known {
		return nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrExists)
	} else if create {
		if isCompartment(name) && len(c.compartments()) >= journal.MaxCompartments {
			return nil, fmt.Errorf("keyring: keyset %q: the ring has %d compartments: %w", name, journal.MaxCompartments, ErrName)
		}
		return nil, nil
	}
	rec, err := c.store.Keyset(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("keyring: load keyset %q: %w", name, err)
	}
	if want != markOf(rec) {
		return nil, fmt.Errorf("keyring: keyset %q is not the journal's revision: %w", name, ErrRolledBack)
	}
	_, old, err := openRevision(ctx, kek, c.ring, name, rec)
	return old, err
}

func (c *core) compartments() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Compartments()
}
