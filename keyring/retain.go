package keyring

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/custody"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Retention says why a subject's keys are kept out of service, and until when.
type Retention struct {
	// Until is when [Ring.Shred] may erase without further authority; seconds
	// count, and it lies in the future.
	Until time.Time
	// Basis is what obliges to keep them, such as "Permenkes 24/2022 art. 39":
	// 1 to 128 printable ASCII characters without underscores, the first a letter
	// or a digit. It stands in journal and receipt in clear: it names no person.
	Basis string
}

// RetainedError is the refusal of a retained subject's keys, or of its erasure
// before the time. It is an [ErrRetained].
type RetainedError struct {
	Until time.Time // UTC
	Basis string
}

// Error says until when and why.
func (e *RetainedError) Error() string {
	return fmt.Sprintf("keyring: %v until %s: %s", ErrRetained, e.Until.Format(time.RFC3339), e.Basis)
}

// Unwrap returns ErrRetained.
func (e *RetainedError) Unwrap() error { return ErrRetained }

// Retain takes a subject's keys out of service without destroying them, where
// the subject asks for erasure and a law obliges to keep: in every compartment
// of the ring the key is sealed to [Config].Custodian, the wrapped key is
// overwritten, and none is made for this subject until [Ring.EndRetention].
// Reading gives a [RetainedError] from then on, in this process at once, in
// others within 5 seconds. After the end date [Ring.Shred] erases for good.
//
// The order is package, journal, store, receipt; an error in between is as with
// Shred. A subject that is retained already keeps its package and is retained
// until a later date, or it is a RetainedError.
//
// The view must hold every compartment of the ring, otherwise [ErrNotGranted].
// No custodian is [ErrEmpty]; a bad basis or date [ErrName]; a subject without a
// key [ErrNoSubjectKey]; one that was erased [ErrShredded].
//
// It does not reach backups made before it: they open for whoever may use the
// KEK, until [Replay] has brought them up to the journal.
func (r *Ring) Retain(ctx context.Context, subject string, why Retention) (Receipt, error) {
	until := time.Unix(why.Until.Unix(), 0).UTC() // one spelling, to be compared with what the journal says
	if !journal.Phrase(why.Basis) {
		return Receipt{}, fmt.Errorf("keyring: retain: basis: %w", ErrName)
	} else if !until.After(time.Now()) || until.Year() > 9999 {
		return Receipt{}, fmt.Errorf("keyring: retain: end date is past, or after the year 9999: %w", ErrName)
	}
	var receipt Receipt
	err := r.aloneWithKeysets(ctx, subject, func(c *core, erasure Tag) error {
		if c.custodian.public.IsZero() {
			return fmt.Errorf("keyring: retain: Config.Custodian: %w", ErrEmpty)
		}
		e := &journal.Entry{Kind: journal.Retain, Erasure: erasure, Retention: journal.Retention{Until: until, Basis: why.Basis}}
		over, err := c.prepareRetention(ctx, subject, e)
		if err != nil {
			return err
		}
		s, err := c.writeOver(ctx, "retain", e, over)
		if err != nil {
			return err
		}
		receipt = c.receipt(s)
		return nil
	})
	return receipt, err
}

// alone runs do for a subject in all compartments of the ring, with the lock
// held and store and journal level.
func (r *Ring) alone(ctx context.Context, subject string, do func(c *core, erasure Tag) error) error {
	c, err := r.allow()
	if err != nil {
		return err
	}
	if err := checkSubject(subject); err != nil {
		return err
	}
	return c.exclusive(ctx, func() error {
		if _, err := r.allow(c.compartments()...); err != nil {
			return err
		}
		return do(c, c.erasureTag(subject))
	})
}

// aloneWithKeysets is alone for what opens or wraps keys, before it writes
// anything: a keyset that is not loaded is, without the lock, and then it begins again.
func (r *Ring) aloneWithKeysets(ctx context.Context, subject string, do func(c *core, erasure Tag) error) error {
	for tries := 0; ; tries++ {
		err := r.alone(ctx, subject, do)
		var moved movedError
		if !errors.As(err, &moved) {
			return err
		}
		c := r.core()
		if tries > len(c.compartments())+revisions {
			return fmt.Errorf("keyring: %w: %w", err, ErrConflict)
		}
		if _, err := c.keyset(ctx, string(moved)); err != nil {
			return err
		}
	}
}

// prepareRetention completes e, and makes sure that the package is in the store.
// It returns over which rows stubs can be written.
func (c *core) prepareRetention(ctx context.Context, subject string, e *journal.Entry) (over []journal.Wipe, err error) {
	if now, again := c.retention(e.Erasure); again && !c.isErased(e.Erasure) {
		return c.prolong(ctx, e, now)
	}
	rows, err := c.serving(ctx, "retain", subject, e.Erasure)
	if err != nil {
		return nil, err
	}
	var all []custody.Keys
	for _, rec := range rows.in(Active) {
		if span := c.span(rec.Tag); rec.Generation < span.Newest {
			return nil, olderThan(rec, span)
		}
		keys, err := c.keysIn(ctx, rec, c.settledKeyset)
		if err != nil {
			return nil, err
		}
		all = append(all, keys)
	}
	// Only rows with a key: one that another process is making just now, which
	// has not seen the entry yet, must not be overwritten.
	e.Wipes = held(rows.wipes())
	if err := c.keepPackage(ctx, e.Erasure, rows, all); err != nil {
		return nil, err
	}
	e.Retention.Digest = sha256.Sum256(rows.custody.Wrapped)
	return e.Wipes, nil
}

// prolong completes e for a subject that is retained already: over the same
// rows, for a key that another process made since is in no package.
func (c *core) prolong(ctx context.Context, e *journal.Entry, now journal.Retention) (over []journal.Wipe, err error) {
	if !e.Retention.Until.After(now.Until) {
		return nil, c.barred(e.Erasure)
	}
	before, err := c.findStep(true, func(was *journal.Entry) bool { return was.Kind == journal.Retain && was.Erasure == e.Erasure })
	if err != nil {
		return nil, err
	}
	rows := newRows(before.Entry.Wipes, c.custodyTag(e.Erasure))
	if err := rows.load(ctx, c); err != nil {
		return nil, err
	}
	e.Retention.Digest, e.Wipes = now.Digest, before.Entry.Wipes
	was := rows.custody
	if over, err = c.secure(ctx, before.Entry, rows, c.settledKeyset); err != nil {
		return nil, err
	}
	if rows.custody != was { // it was gone, and the keys had come back
		e.Retention.Digest = sha256.Sum256(rows.custody.Wrapped)
	}
	return over, nil
}

// keysetSource returns a keyset that rows are wrapped under.
type keysetSource func(context.Context, string) (*Keyset, error)

// opened returns the keys in a row and the keyset that they are under.
func (c *core) opened(ctx context.Context, rec *KeyRecord, of keysetSource) (*Keyset, rowKeys, error) {
	ks, err := of(ctx, rec.Compartment)
	if err != nil {
		return nil, rowKeys{}, err
	}
	keys, err := openCommitted(c.ring, ks, rec)
	return ks, keys, err
}

// keysIn opens a row for a package.
func (c *core) keysIn(ctx context.Context, rec *KeyRecord, of keysetSource) (k custody.Keys, err error) {
	_, keys, err := c.opened(ctx, rec, of)
	if err != nil {
		return k, err
	}
	k = custody.Keys{Compartment: rec.Compartment, Generation: rec.Generation, Keys: []secret.Key{keys.newest}}
	if !keys.older.IsZero() {
		k.Keys = append(k.Keys, keys.older)
	}
	return k, nil
}

// keepPackage seals keys to the custodian and stores the package among rows.
func (c *core) keepPackage(ctx context.Context, erasure Tag, rows *rows, all []custody.Keys) error {
	sealed, err := custody.Seal(c.custodian.public, c.ring, erasure, all)
	if err != nil {
		return err
	}
	row := c.custodyRow(erasure, sealed)
	if err := c.putRow(ctx, rows.custody, row); err != nil {
		return err
	}
	rows.custody = &row
	return nil
}

// secure makes sure that stubs, as e leaves them, lose no key, and returns the
// rows that may have one. Those with a key are in e's package, or, in a store
// that was restored from before it, are sealed to the custodian now.
func (c *core) secure(ctx context.Context, e *journal.Entry, rows *rows, of keysetSource) ([]journal.Wipe, error) {
	active, stubs := rows.in(Active), rows.in(Retained)
	other := c.holdsPackage(rows.custody)
	own := other && sha256.Sum256(rows.custody.Wrapped) == e.Retention.Digest
	if len(active) == 0 || own && !c.reseededSince(e.Seq) {
		return rows.wipesOf(append(active, stubs...)), nil
	}
	// A reseed may have lost that the retention was over, and a rekeying since: then
	// the package lacks the row's key, or the row the package's. And another package
	// may be the only copy of what a stub stands for, or of a row that does not open.
	// Nothing is served from the rows that stay.
	if own || other && len(stubs) > 0 {
		return rows.wipesOf(stubs), nil
	}
	if c.custodian.public.IsZero() {
		return nil, fmt.Errorf("keyring: retain again, in a restored store: Config.Custodian: %w", ErrEmpty)
	}
	var all []custody.Keys
	var sealed []*KeyRecord
	for _, rec := range active {
		if other && rec.Generation < c.span(rec.Tag).Newest {
			continue // the package may have the newest
		}
		keys, err := c.keysIn(ctx, rec, of)
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrUnknownVersion) {
			continue // it is left as it is, and keeps nobody from going on
		} else if err != nil {
			return nil, err
		}
		all, sealed = append(all, keys), append(sealed, rec)
	}
	if len(all) == 0 || other && len(all) < len(active) {
		return rows.wipesOf(stubs), nil
	}
	if err := c.keepPackage(ctx, e.Erasure, rows, all); err != nil {
		return nil, err
	}
	return rows.wipesOf(append(sealed, stubs...)), nil
}

// holdsPackage reports whether row holds a package of this subject.
func (c *core) holdsPackage(row *KeyRecord) bool {
	if row == nil || len(row.Wrapped) <= markerSize {
		return false
	}
	_, err := c.marked(row) // with the tag, which is of one subject
	return err == nil
}

func (c *core) retention(erasure Tag) (journal.Retention, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.chain.Retained[erasure]
	return r, ok
}

// reseededSince reports whether the journal was made anew after an entry.
func (c *core) reseededSince(seq uint64) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Reseeded > seq
}

// span returns which generations of a row are in service; zero for all.
func (c *core) span(tag Tag) journal.Span {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Spans[tag]
}

// leave returns what e leaves in the store, after it has made sure that writing
// it loses nothing: a store restored from before a retention has the keys, and
// no package of them. A retention that is over, or a subject that was erased
// since, needs neither.
func (c *core) leave(ctx context.Context, e *journal.Entry) ([]KeyRecord, error) {
	if e.Kind != journal.Retain {
		return c.markers(e, e.Wipes), nil
	}
	if now, ok := c.retention(e.Erasure); !ok || now != e.Retention {
		return nil, nil
	}
	rows := newRows(e.Wipes, c.custodyTag(e.Erasure))
	if err := rows.load(ctx, c); err != nil {
		return nil, err
	}
	over, err := c.secure(ctx, e, rows, c.storedKeyset)
	if err != nil {
		return nil, err
	}
	return c.markers(e, over), nil
}
