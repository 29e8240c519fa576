package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Keyset returns the keyset of that name as it is now. A rotation by this
// process is seen at once, one by another process within 60 seconds. Once
// loaded the call takes some ten nanoseconds; the KEK is called once per
// revision and process, and then aside, as [Config.Grace] says.
//
// A keyset that was never created is [ErrNoKeyset]; one that this view does not
// hold [ErrNotGranted]; one whose KEK does not unwrap it, or has not answered for
// 10 seconds, or for longer than the grace, [ErrKEK]; one whose stored record is
// not the journal's newest [ErrRolledBack]. The control keyset "ring" is nobody's:
// [ErrName].
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
// keyset's own KEK if that is nil. No KEK is called under the lock, so that no
// erasure waits for one; what another writer changed meanwhile makes it begin again.
func (c *core) revise(ctx context.Context, action, name string, to KEK, change edit) (*Keyset, error) {
	for range revisions {
		ks, err := c.reviseOnce(ctx, action, name, to, change)
		if !errors.As(err, new(movedError)) {
			return ks, err
		}
	}
	return nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrConflict)
}

// revisions is how often a change is tried that others are quicker than.
const revisions = 5

// movedError is of a keyset, its name, that is not loaded as the journal has it:
// another writer may have changed it between a look and the lock.
type movedError string

func (e movedError) Error() string { return fmt.Sprintf("keyset %q changed meanwhile", string(e)) }

func (c *core) reviseOnce(ctx context.Context, action, name string, to KEK, change edit) (*Keyset, error) {
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	kek, err := c.keks.of(name)
	if err != nil {
		return nil, err
	}
	var was journal.Mark
	var old *revision
	if action == createKeyset {
		err = c.creatable(name)
	} else {
		was, old, err = c.revisable(ctx, kek, name)
	}
	if err != nil {
		return nil, err
	}
	moves := to != nil
	if !moves {
		to = kek
	}
	rec, ks, err := newRevision(ctx, to, c.ring, name, old, change)
	if err != nil {
		return nil, err
	}
	staged := func() {}
	if moves { // once journalled, whoever comes next may commit it
		staged = func() { c.keks.set(name, AnyKEK(to, kek)) }
	}
	err = c.exclusive(ctx, func() error {
		if now, _ := c.mark(name); now != was {
			return movedError(name)
		}
		if old == nil {
			if err := c.creatable(name); err != nil {
				return err
			}
		}
		return c.persist(ctx, action, rec, ks, staged)
	})
	if err != nil {
		return nil, err
	}
	if moves {
		c.keks.set(name, to)
	}
	return ks, nil
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

// creatable returns why no keyset of that name can be made.
func (c *core) creatable(name string) error {
	if _, known := c.mark(name); known {
		return fmt.Errorf("keyring: keyset %q: %w", name, ErrExists)
	}
	if isCompartment(name) && len(c.compartments()) >= journal.MaxCompartments {
		return fmt.Errorf("keyring: keyset %q: the ring has %d compartments: %w", name, journal.MaxCompartments, ErrName)
	}
	return nil
}

// revisable returns the revision of a keyset to make the next one from.
func (c *core) revisable(ctx context.Context, kek KEK, name string) (journal.Mark, *revision, error) {
	if _, known := c.mark(name); !known {
		return journal.Mark{}, nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrNoKeyset)
	}
	rec, err := c.record(ctx, name)
	if err != nil {
		return journal.Mark{}, nil, err
	}
	_, old, err := openRevision(ctx, kek, c.ring, name, rec)
	return markOf(rec), old, err
}

func (c *core) compartments() []string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Compartments()
}
