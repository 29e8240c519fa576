package keyring

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/rahasia/rahasia/keyring/internal/custody"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Retention says why a subject's keys are kept out of service, and until when.
type Retention struct {
	// Until is when [Ring.Shred] may erase without further authority; seconds
	// count, and it lies in the future.
	Until time.Time
	// Basis is what obliges to keep them, such as "Permenkes 24/2022 art. 39":
	// 1 to 128 printable ASCII characters without underscores. It stands in the
	// journal in clear and names no person.
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
	return fmt.Sprintf("keyring: subject key: %v until %s: %s", ErrRetained, e.Until.Format(time.RFC3339), e.Basis)
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
	err := r.alone(ctx, subject, func(c *core, erasure Tag) error {
		if c.custodian.public.IsZero() {
			return fmt.Errorf("keyring: retain: Config.Custodian: %w", ErrEmpty)
		}
		e := &journal.Entry{Kind: journal.Retain, Erasure: erasure, Retention: journal.Retention{Until: until, Basis: why.Basis}}
		if err := c.prepareRetention(ctx, subject, e); err != nil {
			return err
		}
		s, err := c.write(ctx, "retain", e)
		if err != nil {
			return err
		}
		receipt = c.receipt(s)
		return nil
	})
	if err != nil {
		return Receipt{}, err
	}
	return receipt, nil
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

// prepareRetention completes e, and makes sure that the package is in the store.
func (c *core) prepareRetention(ctx context.Context, subject string, e *journal.Entry) error {
	if c.isErased(e.Erasure) {
		return c.barred(e.Erasure)
	}
	now, again := c.retention(e.Erasure)
	if again && !e.Retention.Until.After(now.Until) {
		return c.barred(e.Erasure)
	}
	rows, err := c.rows(ctx, subject, e.Erasure)
	if err != nil {
		return err
	}
	// Only rows with a key: one that another process is making just now, which
	// has not seen the entry yet, must not be overwritten.
	e.Wipes = held(rows.wipes())
	if again {
		e.Retention.Digest = now.Digest
		return nil
	}
	if len(rows.active()) == 0 {
		return fmt.Errorf("keyring: retain: %w", ErrNoSubjectKey)
	}
	e.Retention.Digest, err = c.keepPackage(ctx, e.Erasure, rows, c.settledKeyset)
	return err
}

// keepPackage seals the keys in rows to the custodian and stores the package.
// It returns the digest of its row.
func (c *core) keepPackage(ctx context.Context, erasure Tag, rows *rows, keysetOf func(context.Context, string) (*Keyset, error)) (digest [32]byte, err error) {
	var all []custody.Keys
	for _, rec := range rows.active() {
		ks, err := keysetOf(ctx, rec.Compartment)
		if err != nil {
			return digest, err
		}
		if span := c.span(rec.Tag); rec.Generation < span.Newest {
			return digest, fmt.Errorf("keyring: retain: subject key in compartment %q is older than the journal's: %w", rec.Compartment, ErrRolledBack)
		}
		keys, err := openCommitted(c.ring, ks, rec)
		if err != nil {
			return digest, err
		}
		all = append(all, keys.inCustody(rec))
	}
	sealed, err := custody.Seal(c.custodian.public, c.ring, erasure, all)
	if err != nil {
		return digest, err
	}
	row := c.custodyRow(erasure, sealed)
	if err := c.putRow(ctx, rows.custody, row); err != nil {
		return digest, err
	}
	return sha256.Sum256(row.Wrapped), nil
}

func (c *core) retention(erasure Tag) (journal.Retention, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	r, ok := c.chain.Retained[erasure]
	return r, ok
}

// span returns which generations of a row are in service; zero for all.
func (c *core) span(tag Tag) journal.Span {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.chain.Spans[tag]
}

// inCustody returns the keys of rec as a package holds them.
func (keys rowKeys) inCustody(rec *KeyRecord) custody.Keys {
	k := custody.Keys{Compartment: rec.Compartment, Generation: rec.Generation}
	k.Keys = append(k.Keys, keys.newest)
	if !keys.older.IsZero() {
		k.Keys = append(k.Keys, keys.older)
	}
	return k
}

// leave returns what e leaves in the store, after it has made sure that writing
// it loses nothing: a store restored from before a retention has the keys, and
// no package of them. A retention that is over, or a subject that was erased
// since, needs neither.
func (c *core) leave(ctx context.Context, e *journal.Entry) ([]KeyRecord, error) {
	if e.Kind != journal.Retain {
		return c.markers(e), nil
	}
	if now, ok := c.retention(e.Erasure); !ok || now != e.Retention {
		return nil, nil
	}
	rows := newRows(e.Wipes, c.custodyTag(e.Erasure))
	if err := rows.load(ctx, c); err != nil {
		return nil, err
	}
	if len(rows.active()) > 0 && !c.holdsPackage(rows.custody, e) {
		if c.custodian.public.IsZero() {
			return nil, fmt.Errorf("keyring: replay entry %d, a retention: Config.Custodian: %w", e.Seq, ErrEmpty)
		}
		if _, err := c.keepPackage(ctx, e.Erasure, rows, c.storedKeyset); err != nil {
			return nil, fmt.Errorf("keyring: replay entry %d, a retention: %w", e.Seq, err)
		}
	}
	return c.markers(e), nil
}

// holdsPackage reports whether row is the package that e tells of.
func (c *core) holdsPackage(row *KeyRecord, e *journal.Entry) bool {
	if row == nil || sha256.Sum256(row.Wrapped) != e.Retention.Digest {
		return false
	}
	was, err := c.marked(row)
	return err == nil && was == e.Erasure
}
