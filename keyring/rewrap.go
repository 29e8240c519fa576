package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// rewrapPage is how many subject keys are moved in one transaction, which
// keeps a writer beside it waiting for some 30 ms.
const rewrapPage = 1000

// maxFailures is how many failures a report keeps one by one.
const maxFailures = 100

// Rewrapping says what [Ring.Rewrap] shall move.
type Rewrapping struct {
	// KEK is the one to move keysets under. If it is nil, what moves is the
	// subject keys, under the primary version of their compartment's keyset.
	KEK KEK
	// Keysets are the names of the keysets, or of the compartments whose
	// subject keys, move; if empty all that the view holds. Under a KEK that is
	// also "ring", the control keyset, in a view of the whole ring.
	Keysets []string
	// DryRun does everything, the KEK's calls and the comparison included, and
	// writes nothing.
	DryRun bool
	// Progress is called, if it is not nil, by the caller's goroutine after every
	// keyset, or after every 1,000 subject keys and at the end. Done, Left and
	// Failed together are all that is to be done, from the first call on.
	Progress func(Report)
}

// Report counts keysets or subject keys, whichever a [Rewrapping] moves. What
// was where it belongs before is not counted; a keyset under the same passphrase
// at a lower cost does not belong there.
type Report struct {
	Done     int       // moved; in a dry run none
	Left     int       // not moved, nor failed: in a dry run all that can be moved
	Failed   int       // cannot be moved; they are as they were
	Failures []Failure // the first 100 of them
}

// Failure is one keyset or subject key that could not be moved.
type Failure struct {
	Keyset string // or compartment
	Tag    Tag    // the subject key's row; zero for a keyset
	Err    error  // wraps [ErrKEK], [ErrCorrupt] or [ErrUnknownVersion]
}

// Rewrap moves keysets under another KEK, or subject keys under the primary
// version of their keyset, and changes no key: whatever was sealed opens as
// before, and what could be read with the old wrap and a copy of the store made
// before still can. It runs beside readers and writers of any process. Each key
// is wrapped anew, unwrapped again and compared before the old wrap is
// replaced, and a row is replaced only if it is still the one that was read: an
// erasure meanwhile stays one. Killed or cancelled it has moved some and not
// others; the next call goes on with what is left.
//
// A process that has only the old KEK cannot load a moved keyset: see [AnyKEK].
// A moved keyset is a new revision, as a rotated one is: back the store up
// afterwards, for an older copy is refused as [ErrRolledBack].
// This ring uses the new one for each keyset that it has moved or found there.
//
// The error is that of a store, a journal or a context that ended the work; the
// report tells how far it came. One key that cannot be moved does not end it.
// Names: [ErrName], [ErrNotGranted], [ErrNoKeyset].
func (r *Ring) Rewrap(ctx context.Context, what Rewrapping) (Report, error) {
	c, err := r.allow(what.Keysets...)
	if err != nil {
		return Report{}, err
	}
	if _, err := c.fresh(ctx); err != nil {
		return Report{}, err
	}
	names, err := r.rewrapped(c, what)
	if err != nil {
		return Report{}, err
	}
	what.KEK = meterKEK(what.KEK, c.metrics)
	w := rewrap{core: c, Rewrapping: what}
	if what.KEK != nil {
		err = w.keysets(ctx, names)
	} else {
		err = w.subjects(ctx, names)
	}
	return w.report, err
}

// rewrapped returns the names that a rewrapping is about.
func (r *Ring) rewrapped(c *core, what Rewrapping) ([]string, error) {
	if len(what.Keysets) == 0 {
		c.mu.RLock()
		names := slices.Sorted(maps.Keys(c.chain.Keysets))
		c.mu.RUnlock()
		return slices.DeleteFunc(names, func(name string) bool {
			whole := name != controlKeyset || r.granted == nil
			return !r.Granted(name) || !whole || what.KEK == nil && !isCompartment(name)
		}), nil
	}
	names := slices.Clone(what.Keysets)
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		switch control := name == controlKeyset; {
		case control && r.granted != nil:
			return nil, fmt.Errorf("keyring: rewrap keyset %q in a part of the ring: %w", name, ErrNotGranted)
		case what.KEK == nil && !isCompartment(name):
			return nil, fmt.Errorf("keyring: rewrap subject keys: not a compartment's name: %w", ErrName)
		case !control:
			if err := checkKeyset(name); err != nil {
				return nil, err
			}
		}
		if _, known := c.mark(name); !known {
			return nil, fmt.Errorf("keyring: rewrap keyset %q: %w", name, ErrNoKeyset)
		}
	}
	return names, nil
}

// rewrap is a rewrapping under way.
type rewrap struct {
	*core
	Rewrapping
	report Report
}

// show calls Progress with what was done so far.
func (w *rewrap) show() {
	if w.Progress != nil {
		shown := w.report
		shown.Failures = slices.Clone(shown.Failures)
		w.Progress(shown)
	}
}

func (w *rewrap) fail(keyset string, tag Tag, err error) {
	w.report.Failed++
	w.report.Left--
	if len(w.report.Failures) < maxFailures {
		w.report.Failures = append(w.report.Failures, Failure{keyset, tag, err})
	}
}

// isKeyFault reports whether err is about one keyset and not about all of them.
func isKeyFault(err error) bool {
	return errors.Is(err, ErrKEK) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnknownVersion)
}

// keysets moves keysets one by one.
func (w *rewrap) keysets(ctx context.Context, names []string) error {
	w.report.Left = len(names)
	for _, name := range names {
		moved, err := w.keyset(ctx, name)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("keyring: rewrap keyset %q: %w", name, ctx.Err())
		case isKeyFault(err):
			w.fail(name, Tag{}, err)
		case err != nil:
			return err
		case moved:
			w.report.Done++
			w.report.Left--
		}
		w.show()
	}
	return nil
}

// keyset moves one keyset, unless it is under the new KEK already, in the form
// in which that would wrap it now.
func (w *rewrap) keyset(ctx context.Context, name string) (moved bool, err error) {
	rec, err := w.core.record(ctx, name)
	if err != nil {
		return false, err
	}
	if _, _, err := openRevision(ctx, writer(w.KEK), w.ring, name, rec); err == nil && !outdated(w.KEK, rec.Wrapped) {
		w.report.Left--
		if !w.DryRun {
			w.keks.set(name, w.KEK)
		}
		return false, nil
	}
	same := func(*tinkpb.Keyset) error { return nil }
	if !w.DryRun {
		_, err = w.revise(ctx, "rewrap", name, w.KEK, same)
		return err == nil, err
	}
	from, err := w.keks.of(name)
	if err != nil {
		return false, err
	}
	_, old, err := openRevision(ctx, from, w.ring, name, rec)
	if err != nil {
		return false, err
	}
	_, _, err = newRevision(ctx, w.KEK, w.ring, name, old, same)
	return false, err
}

// subjects moves the subject keys of compartments.
func (w *rewrap) subjects(ctx context.Context, names []string) error {
	for _, name := range names {
		n, err := w.countStale(ctx, name)
		if err != nil {
			return err
		}
		w.report.Left += n
	}
	for _, name := range names {
		if err := w.stale(ctx, name, w.page); err != nil {
			return err
		}
	}
	if w.DryRun {
		return nil
	}
	// What came, or was erased or moved by others, since it was counted.
	left := -w.report.Failed
	for _, name := range names {
		n, err := w.countStale(ctx, name)
		if err != nil {
			return err
		}
		left += n
	}
	w.report.Left = max(left, 0)
	w.show()
	return nil
}

// page moves a page of one compartment's subject keys.
func (w *rewrap) page(ctx context.Context, ks *Keyset, recs []KeyRecord) error {
	swaps := make([]Swap, 0, len(recs))
	for i := range recs {
		if _, known := ks.keys[recs[i].Version]; !known { // rotated by another process, perhaps
			newer, err := w.loadKeyset(ctx, ks.name, recs[i].Version)
			if err != nil {
				return err
			}
			ks = newer
		}
		if recs[i].Version == ks.Primary() {
			w.report.Left--
			continue
		}
		rec, err := rewrapRow(w.ring, ks, &recs[i])
		if err != nil {
			w.fail(ks.name, recs[i].Tag, err)
			continue
		}
		swaps = append(swaps, Swap{recs[i], rec})
	}
	if !w.DryRun && len(swaps) > 0 {
		n, err := w.store.SwapKeys(ctx, swaps)
		if err != nil {
			return fmt.Errorf("keyring: rewrap subject keys in compartment %q: %w", ks.name, err)
		}
		w.report.Done += n
		w.report.Left -= n
	}
	w.show()
	return nil
}

// countStale returns how many live subject keys are not under the primary.
func (c *core) countStale(ctx context.Context, name string) (n int, err error) {
	err = c.stale(ctx, name, func(_ context.Context, _ *Keyset, recs []KeyRecord) error { n += len(recs); return nil })
	return n, err
}

// stale calls each with every page of a compartment's live subject keys that
// are not under the primary version, and with the keyset as it then is.
func (c *core) stale(ctx context.Context, name string, each func(context.Context, *Keyset, []KeyRecord) error) error {
	var after *Tag
	for {
		last, err := c.staleStep(ctx, name, after, each)
		if err != nil || last == nil {
			return err
		}
		after = last
	}
}

// staleStep does one page and returns its last tag.
func (c *core) staleStep(ctx context.Context, name string, after *Tag, each func(context.Context, *Keyset, []KeyRecord) error) (last *Tag, err error) {
	if c.closed.Load() {
		return nil, fmt.Errorf("keyring: %w", ErrClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, wrapPatience)
	defer cancel()
	if _, err := c.fresh(ctx); err != nil {
		return nil, err
	}
	ks, err := c.keyset(ctx, name)
	if err != nil {
		return nil, err
	}
	recs, err := c.stalePage(ctx, name, ks.Primary(), after)
	if err != nil || len(recs) == 0 {
		return nil, err
	}
	return &recs[len(recs)-1].Tag, each(ctx, ks, recs)
}

// stalePage returns the next page of live subject keys of a compartment that
// are not under the primary version.
func (c *core) stalePage(ctx context.Context, name string, primary uint32, after *Tag) ([]KeyRecord, error) {
	if err := ctx.Err(); err != nil { // a store that always has another page may not hear of it
		return nil, fmt.Errorf("keyring: list subject keys in compartment %q: %w", name, err)
	}
	recs, err := c.store.StaleKeys(ctx, name, primary, after, rewrapPage)
	if err != nil {
		return nil, fmt.Errorf("keyring: list subject keys in compartment %q: %w", name, err)
	}
	for i := range recs {
		// A store that goes back would keep its caller going for ever.
		if rec := &recs[i]; rec.Compartment != name || rec.State != Active || after != nil && bytes.Compare(rec.Tag[:], after[:]) <= 0 {
			return nil, fmt.Errorf("keyring: list subject keys in compartment %q: the store returned one that was not asked for: %w", name, ErrCorrupt)
		}
		after = &recs[i].Tag
	}
	return recs, nil
}
