package keyring

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/rahasia/rahasia/internal/lp"
)

// Subject returns the subject's keys, one for each compartment, in that order.
// It creates none. The subject id is 1 to 255 bytes, taken as they are. A key
// that was used lately comes from memory, in some hundred nanoseconds;
// otherwise all come by one call of the store.
//
// A subject that never had a key in one of the compartments is
// [ErrNoSubjectKey]; one that was erased [ErrShredded], whatever the store
// says; one that is retained a [RetainedError]; a compartment that this view
// does not hold [ErrNotGranted]; a record that was changed [ErrCorrupt]; one under
// a keyset version that is not there [ErrUnknownVersion]; one from before a
// rekeying or the end of a retention [ErrRolledBack]. Errors about a compartment's
// keyset are those of [Ring.Keyset]. An erasure by another process is seen within 5
// seconds; if store and journal cannot be compared for that, the call fails.
func (r *Ring) Subject(ctx context.Context, subject string, compartments ...string) ([]*SubjectKey, error) {
	// The slice is made where it is inlined, so that it may lie on the caller's stack.
	return r.subject(ctx, make([]*SubjectKey, len(compartments)), false, subject, compartments)
}

// CreateSubject returns the subject's keys like [Ring.Subject] and creates
// those that are missing, all in one transaction of the store. Of several that
// create the same key at once all get the same one. A subject that was erased
// is [ErrShredded], one that is retained a [RetainedError], in compartments
// created since then too. It makes no keyset: [Ring.CreateKeyset] comes first.
func (r *Ring) CreateSubject(ctx context.Context, subject string, compartments ...string) ([]*SubjectKey, error) {
	return r.subject(ctx, make([]*SubjectKey, len(compartments)), true, subject, compartments)
}

// Serving returns nil if the subject is neither erased nor retained, by the
// journal: for what is sealed under no key of the subject, such as a message, and
// must end with it all the same. It needs no grant, asks neither for a key nor
// whether there is one, and takes some hundred nanoseconds.
//
// An erased subject is [ErrShredded], a retained one a [RetainedError]. What
// another process did is seen within 5 seconds; if store and journal cannot be
// compared for that, the call fails.
func (r *Ring) Serving(ctx context.Context, subject string) error {
	c, err := r.allow()
	if err != nil {
		return err
	}
	if err := checkSubject(subject); err != nil {
		return err
	}
	if _, err := c.fresh(ctx); err != nil {
		return err
	}
	return c.barred(c.erasureTag(subject))
}

// subject returns keys, filled, or others.
func (r *Ring) subject(ctx context.Context, keys []*SubjectKey, create bool, subject string, compartments []string) ([]*SubjectKey, error) {
	c, err := r.allow(compartments...)
	if err != nil {
		return nil, err
	}
	if err := checkSubject(subject); err != nil {
		return nil, err
	}
	now, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkOnce(compartments); err != nil {
		return nil, err
	}
	if c.hit(now, subject, compartments, keys) {
		return keys, nil
	}
	return c.missed(ctx, create, subject, slices.Clone(compartments)) // cloned so that a hit allocates less
}

// missed loads keys that the cache had not.
func (c *core) missed(ctx context.Context, create bool, subject string, compartments []string) ([]*SubjectKey, error) {
	if err := checkCompartments(compartments); err != nil {
		return nil, err
	}
	// With the epoch: who asks after a rekeying must not join a load from before.
	keys, err := c.flights.Do(ctx, flightID(create, c.cache.Epoch(), subject, compartments), func() ([]*SubjectKey, error) {
		return c.loadSubject(ctx, create, subject, compartments)
	})
	if err != nil && err == ctx.Err() { // of waiting for another's load
		return nil, fmt.Errorf("keyring: load subject keys: %w", err)
	} else if err != nil {
		return nil, err
	}
	if err := c.barred(keys[0].erasure); err != nil { // while they were loaded, or while this caller joined the load
		return nil, err
	}
	return keys, nil
}

// flightID is equal for callers that may share a load.
func flightID(create bool, epoch uint64, subject string, compartments []string) string {
	mode := "load"
	if create {
		mode = "create"
	}
	b := lp.Append(binary.BigEndian.AppendUint64(make([]byte, 0, 128), epoch), mode, subject)
	return string(lp.Append(b, compartments...))
}

// loadSubject loads, and where create is set creates, what the cache had not.
func (c *core) loadSubject(ctx context.Context, create bool, subject string, compartments []string) ([]*SubjectKey, error) {
	loads := []lookup{{subject: subject}}
	if err := c.loadAll(ctx, create, loads, compartments); err != nil {
		return nil, err
	}
	return loads[0].keys, loads[0].err
}

// checkOnce refuses an empty list and one that names a compartment twice. It is
// called before the cache is asked, so that the answer never depends on it.
func checkOnce(names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("keyring: compartments: %w", ErrEmpty)
	}
	for i, name := range names {
		for _, other := range names[:i] {
			if name == other {
				return fmt.Errorf("keyring: compartment %d of %d is asked for twice: %w", i+1, len(names), ErrName)
			}
		}
	}
	return nil
}

func checkCompartments(names []string) error {
	for i, name := range names {
		if !isCompartment(name) {
			return fmt.Errorf("keyring: compartment %d of %d: not a compartment's name: %w", i+1, len(names), ErrName)
		}
	}
	return nil
}

func (c *core) isErased(erasure Tag) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, ok := c.chain.Erased[erasure]
	return ok
}

// barred returns why a subject's keys are not in service, by the journal.
func (c *core) barred(erasure Tag) error {
	if c.isErased(erasure) {
		return fmt.Errorf("keyring: subject key: %w", ErrShredded)
	}
	if r, ok := c.retention(erasure); ok {
		return &RetainedError{Until: r.Until, Basis: r.Basis}
	}
	return nil
}

// open unwraps the records of those wants that have one.
func (c *core) open(ctx context.Context, wants []want, recs []KeyRecord, erasure Tag) error {
	for i := range recs {
		rec := &recs[i]
		w := wanted(wants, rec)
		if w == nil {
			return fmt.Errorf("keyring: the store returned a key that was not asked for: %w", ErrCorrupt)
		}
		switch rec.State {
		case Destroyed, Retained:
			return c.checkMarker(rec, erasure)
		case Active:
		default:
			return fmt.Errorf("keyring: subject key in compartment %q: state %d: %w", rec.Compartment, rec.State, ErrCorrupt)
		}
		if _, ok := w.keyset.keys[rec.Version]; !ok {
			ks, err := c.loadKeyset(ctx, w.keyset.name, rec.Version)
			if err != nil {
				return err
			}
			w.keyset = ks
		}
		key, err := unwrapSubject(c.ring, w.keyset, rec, erasure, c.span(rec.Tag))
		if err != nil {
			return err
		}
		w.key = key
	}
	return nil
}

func wanted(wants []want, rec *KeyRecord) *want {
	for i := range wants {
		if wants[i].tag == rec.Tag && wants[i].keyset.name == rec.Compartment {
			return &wants[i]
		}
	}
	return nil
}

// checkMarker returns why a subject with a tombstone or a stub is barred, if the
// journal tells of it, and another error if it does not: then one of the two was
// changed or is old.
func (c *core) checkMarker(rec *KeyRecord, erasure Tag) error {
	was, err := c.marked(rec)
	if err != nil {
		return err
	}
	if was != erasure {
		return fmt.Errorf("keyring: a row out of service in compartment %q is another subject's: %w", rec.Compartment, ErrCorrupt)
	}
	if err := c.barred(erasure); err != nil {
		return err
	}
	if _, err := c.catchUp(); err != nil { // another process may have written just now
		return err
	}
	if err := c.barred(erasure); err != nil {
		return err
	}
	if rec.State == Retained { // of a backup older than the end of the retention; EndRetention brings it back
		return fmt.Errorf("keyring: subject key in compartment %q is with the custodian, by a retention that is over: %w", rec.Compartment, ErrRolledBack)
	}
	return fmt.Errorf("keyring: the store knows an erasure that the journal does not: %w", ErrJournalLost)
}
