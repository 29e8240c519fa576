package keyring

import (
	"context"
	"errors"
	"fmt"
)

// SubjectKeys is what [Ring.Subjects] returns of one subject: its keys, one for
// each compartment, or why there are none.
type SubjectKeys struct {
	Keys []*SubjectKey
	Err  error
}

// Subjects returns the keys of many subjects, in their order; an id may come
// more than once. It is [Ring.Subject] for a page of a list: what memory has
// not comes by one call of the store, and stays in memory like any other, so
// that the page's records then open without one. A subject that has no keys,
// was erased or whose record was changed has that error in its place, and the
// others their keys; the error that Subjects returns itself is one of all of
// them, and an id that is empty or too long.
func (r *Ring) Subjects(ctx context.Context, subjects []string, compartments ...string) ([]SubjectKeys, error) {
	return r.subjects(ctx, false, subjects, compartments)
}

// CreateSubjects returns the keys of many subjects like [Ring.Subjects] and
// creates those that are missing, all in one transaction of the store: two
// calls of it in all. Of several that create the same key at once all get the
// same one. A subject that was erased is [ErrShredded], one that is retained a
// [RetainedError], in its place.
func (r *Ring) CreateSubjects(ctx context.Context, subjects []string, compartments ...string) ([]SubjectKeys, error) {
	return r.subjects(ctx, true, subjects, compartments)
}

func (r *Ring) subjects(ctx context.Context, create bool, subjects, compartments []string) ([]SubjectKeys, error) {
	c, err := r.allow(compartments...)
	if err != nil {
		return nil, err
	}
	for i, subject := range subjects {
		if err := checkSubject(subject); err != nil {
			return nil, fmt.Errorf("keyring: subject %d of %d: %w", i+1, len(subjects), err)
		}
	}
	now, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkOnce(compartments); err != nil {
		return nil, err
	}
	if err := checkCompartments(compartments); err != nil {
		return nil, err
	}
	out, at := make([]SubjectKeys, len(subjects)), make(map[string]int, len(subjects))
	var loads []lookup
	for i, subject := range subjects {
		if _, again := at[subject]; again {
			continue
		}
		at[subject] = i
		keys := make([]*SubjectKey, len(compartments))
		if c.hit(now, subject, compartments, keys) {
			out[i].Keys = keys
		} else {
			loads = append(loads, lookup{subject: subject})
		}
	}
	if err := c.loadAll(ctx, create, loads, compartments); err != nil {
		return nil, err
	}
	for _, l := range loads {
		if l.err == nil {
			l.err = c.barred(l.erasure) // while they were loaded
		}
		if l.err != nil {
			l.keys = nil
		}
		out[at[l.subject]] = SubjectKeys{l.keys, l.err}
	}
	for i, subject := range subjects {
		out[i] = out[at[subject]]
	}
	return out, nil
}

// hit asks the cache.
func (c *core) hit(now int64, subject string, compartments []string, keys []*SubjectKey) bool {
	hit := c.cache.Get(now, subject, compartments, keys)
	if c.metrics != nil {
		name := cacheMisses
		if hit {
			name = cacheHits
		}
		c.metrics.Add(name, 1)
	}
	return hit
}

// lookup is one subject whose keys are being loaded.
type lookup struct {
	subject string
	erasure Tag
	wants   []want
	recs    []KeyRecord // as the store returned them
	keys    []*SubjectKey
	err     error // of this subject alone
}

// want is one key being loaded.
type want struct {
	keyset *Keyset
	tag    Tag
	key    *SubjectKey
}

// loadAll loads, and where create is set creates, the keys of subjects that
// differ from each other. Its error is one of all of them.
func (c *core) loadAll(ctx context.Context, create bool, loads []lookup, compartments []string) error {
	if len(loads) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wrapPatience)
	defer cancel()
	epoch := c.cache.Epoch() // before anything that an erasure could change
	tags, byTag, err := c.prepare(ctx, loads, compartments)
	if err != nil {
		return err
	}
	if len(tags) > 0 {
		recs, err := c.store.Keys(ctx, tags)
		if err != nil {
			return fmt.Errorf("keyring: load subject keys: %w", err)
		}
		if err := c.openAll(ctx, recs, byTag); err != nil {
			return err
		}
	}
	if err := c.createMissing(ctx, create, loads, byTag); err != nil {
		return err
	}
	for i := range loads {
		l := &loads[i]
		if l.err != nil {
			continue
		}
		l.keys = make([]*SubjectKey, len(l.wants))
		for i := range l.wants {
			l.keys[i] = l.wants[i].key
		}
		c.cache.Put(epoch, l.subject, compartments, l.keys)
	}
	return nil
}

// prepare finds out which rows are wanted, and whose they are.
func (c *core) prepare(ctx context.Context, loads []lookup, compartments []string) ([]Tag, map[Tag]*lookup, error) {
	keysets := make([]*Keyset, len(compartments))
	tags, byTag := make([]Tag, 0, len(loads)*len(compartments)), make(map[Tag]*lookup, len(loads)*len(compartments))
	for i := range loads {
		l := &loads[i]
		l.erasure = c.erasureTag(l.subject)
		if l.err = c.barred(l.erasure); l.err != nil {
			continue
		}
		l.wants = make([]want, len(compartments))
		for j, name := range compartments {
			if keysets[j] == nil {
				ks, err := c.keyset(ctx, name)
				if err != nil {
					return nil, nil, err
				}
				keysets[j] = ks
			}
			tag := c.subjectTag(name, l.subject)
			l.wants[j] = want{keyset: keysets[j], tag: tag}
			tags, byTag[tag] = append(tags, tag), l
		}
	}
	return tags, byTag, nil
}

// openAll gives each subject its records and opens them.
func (c *core) openAll(ctx context.Context, recs []KeyRecord, byTag map[Tag]*lookup) error {
	touched := make([]*lookup, 0, len(recs))
	for _, rec := range recs {
		l := byTag[rec.Tag]
		if l == nil {
			return fmt.Errorf("keyring: the store returned a key that was not asked for: %w", ErrCorrupt)
		}
		if len(l.recs) == 0 {
			touched = append(touched, l)
		}
		l.recs = append(l.recs, rec)
	}
	for _, l := range touched {
		if l.err == nil {
			l.err = c.open(ctx, l.wants, l.recs, l.erasure)
		}
		if errors.Is(l.err, ErrRolledBack) { // perhaps only read before a rekeying, or the end of a retention
			l.err = c.openAgain(ctx, l)
		}
		l.recs = nil
	}
	return nil
}

// openAgain reads a subject's rows anew and opens them.
func (c *core) openAgain(ctx context.Context, l *lookup) error {
	tags := make([]Tag, len(l.wants))
	for i, w := range l.wants {
		tags[i] = w.tag
	}
	recs, err := c.store.Keys(ctx, tags)
	if err != nil {
		return fmt.Errorf("keyring: load subject keys: %w", err)
	}
	return c.open(ctx, l.wants, recs, l.erasure)
}

// createMissing creates the keys that no record was found for, in one call of
// the store. The store's record counts, whoever wrote it.
func (c *core) createMissing(ctx context.Context, create bool, loads []lookup, byTag map[Tag]*lookup) error {
	var recs []KeyRecord
	var created []*lookup
	for i := range loads {
		l := &loads[i]
		n := len(recs)
		if create && l.err == nil { // what made a new compartment known may tell of an erasure too
			l.err = c.barred(l.erasure)
		}
		for _, w := range l.wants {
			if w.key != nil || l.err != nil {
				continue
			}
			if !create {
				l.err = fmt.Errorf("keyring: compartment %q: %w", w.keyset.name, ErrNoSubjectKey)
				continue
			}
			rec, err := wrapSubject(c.ring, w.keyset, w.tag, c.span(w.tag))
			if err != nil {
				return err
			}
			recs = append(recs, rec)
		}
		if len(recs) > n {
			created = append(created, l)
		}
	}
	if len(recs) == 0 {
		return nil
	}
	stored, err := c.store.CreateKeys(ctx, recs)
	if err != nil {
		return fmt.Errorf("keyring: create subject keys: %w", err)
	}
	if err := c.openAll(ctx, stored, byTag); err != nil {
		return err
	}
	for _, l := range created {
		for _, w := range l.wants {
			if w.key == nil && l.err == nil {
				l.err = fmt.Errorf("keyring: compartment %q: the store did not keep a new key: %w", w.keyset.name, ErrCorrupt)
			}
		}
	}
	return nil
}
