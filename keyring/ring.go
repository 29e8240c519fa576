package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rahasia/rahasia/keyring/internal/cache"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Config is what a ring is made of.
type Config struct {
	// Store keeps the wrapped keys. The ring does not close it.
	Store Store
	// Journal is the ring's erasure journal, kept apart from the store.
	Journal *Journal
	// KEK wraps every keyset that KEKs does not name. It may be nil if KEKs
	// names "ring", the control keyset, and every keyset that is used.
	KEK KEK
	// KEKs gives keysets KEKs of their own, by name, so that a service can be
	// let at some compartments and not at others.
	KEKs map[string]KEK
	// CacheEntries is how many subject keys are kept in memory, at about
	// 1.5 KiB each; a subject has one for each compartment. 0 means 16,384.
	CacheEntries int
	// CacheAge is how long a subject key is kept in memory. 0 means 5 minutes.
	// An erasure takes it out within 5 seconds whatever the age.
	CacheAge time.Duration
	// Custodian is whom [Ring.Retain] seals keys to. The zero Custodian refuses.
	Custodian Custodian
	// Grace is how long this process goes on with a keyset after its KEK was
	// last asked and unwrapped it; 0 means 15 minutes, less than a second a
	// second. While the ring is in use each KEK is asked again 5 minutes after
	// it unwrapped a keyset, or after a third of Grace if that is sooner, in the
	// background. Once the grace is over, whatever needs the keyset or a subject
	// key under it, kept in memory or not, is [ErrKEK], until the KEK unwraps it
	// again; it is then asked at most once a second.
	//
	// Who disables a KEK, or takes it from a service, may rely on this: within
	// Grace and 30 seconds, which calls under way may take, no process does
	// anything with the keysets under it. Not so the control keyset, for erasing
	// must go on; nor a passphrase or a key file, which a process keeps once it
	// has them. Time for which a machine is suspended does not count. No erasure
	// waits for a KEK, and none is seen later because of the grace; and a
	// keyset that another process rotates or moves needs its KEK at once.
	Grace time.Duration
	// Metrics counts calls and hits, if it is not nil.
	Metrics Metrics
	// Events is told, if it is not nil, of every change that this process made
	// to the ring, once it is in the journal, one after the other in the journal's
	// order. It is called without a lock, so that it may use the ring, and before
	// the method that made the change returns, unless another goroutine is telling
	// or the change was one to complete. A process that dies in between tells
	// nobody: the journal is the record, this a notice.
	Events func(Event)
}

func (cfg *Config) check() error {
	switch {
	case cfg.Store == nil:
		return fmt.Errorf("keyring: config: Store: %w", ErrEmpty)
	case cfg.Journal == nil || cfg.Journal.log == nil:
		return fmt.Errorf("keyring: config: Journal: %w", ErrEmpty)
	case cfg.CacheEntries < 0 || cfg.CacheAge < 0:
		return errors.New("keyring: config: negative cache bound")
	case cfg.Grace < 0:
		return errors.New("keyring: config: negative grace time")
	}
	return nil
}

func (cfg *Config) kekOf(name string) (KEK, error) {
	return (&keks{common: cfg.KEK, own: cfg.KEKs}).of(name)
}

// Ring is a set of named keysets and the subject keys under them, made by
// [Create] or [Open]. It is safe for concurrent use, and a pool of one database
// connection does not deadlock it. It prints as its id. The zero Ring is not valid.
type Ring struct {
	// A closure, so that what prints the ring does not walk into its cache.
	core    func() *core
	granted map[string]bool // nil: all
}

// The bounds of the cache where Config leaves them zero.
const (
	defaultEntries = 16384
	defaultAge     = 5 * time.Minute
)

// core is what all views of a ring share.
type core struct {
	control
	store Store
	log   *journal.Log
	keks  keks

	cache   *cache.Cache[*SubjectKey]
	flights cache.Flights[*SubjectKey]
	slots   slots
	metrics Metrics

	custodian Custodian
	spare     keysetSource // of a restoration: what to open rows with, where their KEK is gone
	tell      func(Event)
	noted     []Event // guarded by the journal's lock
	notices   notices

	mu    sync.RWMutex // guards chain
	chain *journal.Chain

	checking chan struct{} // one caller at a time compares store and journal
	checked  atomic.Int64  // when that last succeeded, in the cache's time
	closed   atomic.Bool
}

func newCore(cfg Config, control control) *core {
	entries, age := cfg.CacheEntries, cfg.CacheAge
	if entries == 0 {
		entries = defaultEntries
	}
	if age == 0 {
		age = defaultAge
	}
	grace := max(cfg.Grace, leastGrace)
	if cfg.Grace == 0 {
		grace = defaultGrace
	}
	c := &core{
		control: control, store: cfg.Store, log: cfg.Journal.log,
		keks:  keks{common: cfg.KEK, own: maps.Clone(cfg.KEKs)},
		cache: cache.New[*SubjectKey](entries, age), checking: make(chan struct{}, 1), metrics: cfg.Metrics,
		custodian: cfg.Custodian, tell: cfg.Events,
		chain: journal.NewChain(control.journal, control.ring),
	}
	c.slots.grace = grace
	c.slots.forget = func(name string) {
		c.cache.Drop(func(k *SubjectKey) bool { return k.compartment == name })
	}
	return c
}

func newRing(c *core) *Ring { return &Ring{core: func() *core { return c }} }

// ID returns the id that the ring was created with.
func (r *Ring) ID() string { return r.core().ring }

// Only returns a view of the ring that holds, of the keysets that r holds,
// those named; asking it for another is [ErrNotGranted], before any call of
// store or KEK. The view shares r's caches and is closed with it. It is a guard
// against one's own mistakes; what keeps a process from a compartment is a KEK
// that it may not use.
func (r *Ring) Only(names ...string) *Ring {
	v := &Ring{core: r.core, granted: make(map[string]bool, len(names))}
	for _, name := range names {
		if r.Granted(name) {
			v.granted[name] = true
		}
	}
	return v
}

// Granted reports whether this view holds the keyset of that name, if there is
// one. The control keyset "ring" is in every view, for the ring's own use.
func (r *Ring) Granted(name string) bool {
	return r.granted == nil || r.granted[name] || name == controlKeyset
}

// Close forgets the keys and closes all views of the ring: their methods
// return [ErrClosed] afterwards, ID and Granted aside. The store stays open.
// It never fails, and calling it again does nothing.
func (r *Ring) Close() error {
	c := r.core()
	c.closed.Store(true)
	c.slots.close()
	c.cache.Close()
	return nil
}

// Format writes the ring's id, whatever the verb.
func (r *Ring) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.text()) }

// LogValue is the ring's id.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.text()) }

func (r *Ring) text() string {
	if r == nil || r.core == nil {
		return "keyring.Ring()"
	}
	return "keyring.Ring(" + r.ID() + ")"
}

// allow is the gate of every method: an open ring, and a grant for each name.
func (r *Ring) allow(names ...string) (*core, error) {
	c := r.core()
	if c.closed.Load() {
		return nil, fmt.Errorf("keyring: %w", ErrClosed)
	}
	if r.granted != nil {
		for _, name := range names {
			if !r.Granted(name) {
				return nil, fmt.Errorf("keyring: keyset %q: %w", name, ErrNotGranted)
			}
		}
	}
	return c, nil
}

// Create makes a ring in an empty store and an empty journal: the only way
// that one comes into being, so that a wrong path never makes a second one.
// The id, 1 to 64 of [A-Za-z0-9._-], is bound into everything the ring wraps
// and can never change.
//
// A store that has a ring, or a journal that has entries, is [ErrExists].
func Create(ctx context.Context, id string, cfg Config) (*Ring, error) {
	if err := errors.Join(cfg.check(), checkRing(id)); err != nil {
		return nil, err
	}
	c, err := create(ctx, id, cfg.metered())
	if c != nil { // also if it failed after it was journalled
		c.notices.add(c.noted...)
		c.noted = nil
		c.tellAll()
	}
	if err != nil {
		return nil, err
	}
	return newRing(c), nil
}

// create returns a core beside an error if the ring was journalled.
func create(ctx context.Context, id string, cfg Config) (*core, error) {
	kek, err := cfg.kekOf(controlKeyset)
	if err != nil {
		return nil, err
	}
	unlock, err := cfg.Journal.log.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: create ring: %w", err)
	}
	defer unlock()
	if err := checkNew(ctx, cfg); err != nil {
		return nil, err
	}
	rec, ks, err := newRevision(ctx, kek, id, controlKeyset, nil, addVersion)
	if err != nil {
		return nil, err
	}
	ctl, err := newControl(id, ks)
	if err != nil {
		return nil, err
	}
	c := newCore(cfg, ctl)
	e := &journal.Entry{Kind: journal.Create, Ring: id, Keyset: markOf(rec)}
	if err := c.store.StageKeyset(ctx, rec); err != nil {
		return nil, fmt.Errorf("keyring: create ring: %w", err)
	}
	if _, err := c.write(ctx, "create", e); err != nil {
		return c, err
	}
	if err := c.readBack(ctx, e.Keyset); err != nil {
		return c, err
	}
	c.checked.Store(c.cache.Now())
	return c, nil
}

// checkNew makes sure that store and journal are empty. A journal whose one
// line is the creation of a ring that was never committed counts as empty:
// nothing can have been sealed under that ring.
func checkNew(ctx context.Context, cfg Config) error {
	head, err := cfg.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("keyring: create ring: %w", err)
	}
	if head != (Head{}) {
		return fmt.Errorf("keyring: create ring: store: %w", ErrExists)
	}
	empty, err := cfg.Journal.log.Unused()
	if err != nil {
		return fmt.Errorf("keyring: create ring: %w", err)
	}
	if !empty {
		return fmt.Errorf("keyring: create ring: journal: %w", ErrExists)
	}
	if n, err := cfg.Journal.log.Size(); err != nil {
		return fmt.Errorf("keyring: create ring: journal: %w", err)
	} else if n > 0 {
		if err := cfg.Journal.log.Truncate(0); err != nil {
			return fmt.Errorf("keyring: create ring: journal: %w", err)
		}
	}
	return nil
}

// Open opens the ring in the store. It loads and unwraps the control keyset,
// verifies the whole journal, and, if the newest entry was journalled and not
// yet committed, commits it. Other keysets are unwrapped when they are first
// asked for.
//
// A store without a ring is [ErrNoRing]; one that is older than its journal
// [ErrRolledBack]; a journal that is missing or older than its store
// [ErrJournalLost]; a record or an entry that was changed [ErrCorrupt]; a KEK
// that does not unwrap the control keyset [ErrKEK].
func Open(ctx context.Context, cfg Config) (*Ring, error) {
	c, err := load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := c.exclusive(ctx, func() error { return c.compareKeysets(ctx) }); err != nil {
		return nil, err
	}
	c.checked.Store(c.cache.Now())
	return newRing(c), nil
}

// load reads what opening needs from the store, and nothing from the journal.
func load(ctx context.Context, cfg Config) (*core, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.metered()
	head, err := cfg.Store.Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: open: %w", err)
	}
	if head == (Head{}) {
		return nil, noRing(cfg.Journal)
	}
	if err := checkRing(head.Ring); err != nil {
		return nil, fmt.Errorf("keyring: open: store's head: %w", ErrCorrupt)
	}
	rec, err := cfg.Store.Keyset(ctx, controlKeyset)
	if errors.Is(err, ErrNoKeyset) {
		return nil, fmt.Errorf("keyring: open: keyset %q is gone: %w", controlKeyset, ErrCorrupt)
	} else if err != nil {
		return nil, fmt.Errorf("keyring: open: %w", err)
	}
	kek, err := cfg.kekOf(controlKeyset)
	if err != nil {
		return nil, err
	}
	ks, _, err := openRevision(ctx, kek, head.Ring, controlKeyset, rec)
	if err != nil {
		return nil, err
	}
	ctl, err := newControl(head.Ring, ks)
	if err != nil {
		return nil, err
	}
	return newCore(cfg, ctl), nil
}

// noRing tells a store that never had a ring from one that lost it.
func noRing(j *Journal) error {
	unused, err := j.log.Unused()
	switch {
	case err != nil:
		return fmt.Errorf("keyring: open: %w", err)
	case !unused:
		return fmt.Errorf("keyring: open: the store has no ring, its journal has: %w", ErrRolledBack)
	}
	return fmt.Errorf("keyring: open: %w", ErrNoRing)
}
