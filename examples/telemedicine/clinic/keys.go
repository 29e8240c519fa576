package clinic

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo"
)

// Keyset is a named key of the ring, in its versions.
type Keyset struct {
	Name     string
	Of       string // what it is for: one of the constants below
	Versions []KeyVersion
	Stale    int // of a compartment: patients' keys that are wrapped by an older version
}

// KeyVersion is a version of a keyset.
type KeyVersion struct {
	Number uint32
	State  keyring.State
}

// What keysets are for.
const (
	OfCompartment = "compartment" // wraps the patients' keys; rotated, and moved under
	OfBook        = "book"        // seals consents and audit log; rotated
	OfLookup      = "lookup"      // makes the tokens of a column
	OfRecipient   = "recipient"   // makes a recipient's pseudonyms
	OfInbox       = "inbox"       // opens what branches send
)

// Rotates reports whether the officer's page rotates such a keyset. A lookup
// domain is rotated with a backfill of its columns (docs/SPEC.md, "Rotation of
// tokens"), which needs every patient's NIK opened: an act of its own, with a
// legal basis. A recipient's would give its patients new pseudonyms in the middle
// of a study. The inbox's would shut out branches that were not enrolled again.
func (k Keyset) Rotates() bool { return k.Of == OfCompartment || k.Of == OfBook }

// Keys returns the keysets that the clinic uses. A ring does not list its own: a
// service knows by its code which it holds.
func (c *Clinic) Keys(ctx context.Context, u User) ([]Keyset, error) {
	if err := u.must(Officer); err != nil {
		return nil, err
	}
	names, err := c.keysets(ctx)
	if err != nil {
		return nil, err
	}
	var all []Keyset
	for _, k := range names {
		set, err := c.cfg.Ring.Keyset(ctx, k.Name)
		if errors.Is(err, keyring.ErrNoKeyset) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for number, state := range set.States() {
			k.Versions = append(k.Versions, KeyVersion{number, state})
		}
		slices.SortFunc(k.Versions, func(a, b KeyVersion) int { return cmp.Compare(b.Number, a.Number) })
		if k.Of == OfCompartment {
			if k.Stale, err = c.stale(ctx, k.Name); err != nil {
				return nil, err
			}
		}
		all = append(all, k)
	}
	return all, nil
}

func (c *Clinic) keysets(ctx context.Context) ([]Keyset, error) {
	all := []Keyset{
		{Name: "consent/ledger", Of: OfBook}, {Name: "consent/log", Of: OfBook},
		{Name: pseudo.LookupDomain("patient", "NIK"), Of: OfLookup}, {Name: pseudo.LookupDomain("patient", "Phone"), Of: OfLookup},
		{Name: "inbox/branches", Of: OfInbox},
	}
	for i, name := range compartments() {
		all = slices.Insert(all, i, Keyset{Name: name, Of: OfCompartment})
	}
	recipients, err := c.givenTo(ctx)
	for _, r := range recipients {
		all = append(all, Keyset{Name: "recipient/" + r, Of: OfRecipient})
	}
	return all, err
}

// compartments are the keysets that wrap patients' keys: those of the records,
// and that by which the audit log names them.
func compartments() []string { return []string{"identity", "clinical", "sensitive", "audit"} }

// stale is how many patients' keys of a compartment an older version wraps.
func (c *Clinic) stale(ctx context.Context, compartment string) (int, error) {
	report, err := c.cfg.Ring.Rewrap(ctx, keyring.Rewrapping{Keysets: []string{compartment}, DryRun: true})
	return report.Left + report.Failed, err
}

// Rotate gives a keyset a new version. What was sealed opens as before; patients'
// keys stay under the older one until they are moved.
func (c *Clinic) Rotate(ctx context.Context, u User, name string) error {
	k, err := c.keyset(ctx, u, name)
	if err != nil {
		return err
	}
	if !k.Rotates() {
		return ErrInput
	}
	_, err = c.cfg.Ring.Rotate(ctx, name)
	return err
}

// SetState suspends an older version of a compartment's keyset, puts it back or
// destroys it. A version that still wraps a patient's key is not suspended:
// their records would be closed until somebody put it back.
func (c *Clinic) SetState(ctx context.Context, u User, name string, version uint32, to keyring.State) error {
	k, err := c.keyset(ctx, u, name)
	if err != nil {
		return err
	}
	if k.Of != OfCompartment || (to == keyring.Suspended && k.Stale > 0) {
		return keyring.ErrInUse
	}
	return c.cfg.Ring.SetState(ctx, name, version, to)
}

func (c *Clinic) keyset(ctx context.Context, u User, name string) (Keyset, error) {
	all, err := c.Keys(ctx, u)
	if err != nil {
		return Keyset{}, err
	}
	i := slices.IndexFunc(all, func(k Keyset) bool { return k.Name == name })
	if i < 0 {
		return Keyset{}, ErrNotFound
	}
	return all[i], nil
}

// Move is how far patients' keys have been moved under the newest versions.
type Move struct {
	Running bool
	Began   time.Time
	Ended   time.Time
	Report  keyring.Report
	Failed  bool // it was interrupted; whoever starts again goes on with what is left
}

// moving is the one move that is under way, or the last.
type moving struct {
	mu sync.Mutex
	at Move
}

func (m *moving) get() Move {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

// set changes it and reports whether it was running before.
func (m *moving) set(change func(*Move)) (was bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was = m.at.Running
	change(&m.at)
	return was
}

// MoveKeys begins to move the patients' keys, in the background and beside
// readers and writers. It changes no key, so whatever was sealed opens as before.
func (c *Clinic) MoveKeys(u User) error {
	if err := u.must(Officer); err != nil {
		return err
	}
	begun := Move{Running: true, Began: c.now()}
	if c.moving.set(func(m *Move) {
		if !m.Running {
			*m = begun
		}
	}) {
		return nil // it is under way
	}
	c.done.Go(func() {
		report, err := c.cfg.Ring.Rewrap(c.life, keyring.Rewrapping{
			Keysets:  compartments(),
			Progress: func(r keyring.Report) { c.moving.set(func(m *Move) { m.Report = r }) },
		})
		if err != nil && c.life.Err() == nil {
			c.log.Error("keys: move", "err", err)
		}
		c.moving.set(func(m *Move) { m.Running, m.Ended, m.Report, m.Failed = false, c.now(), report, err != nil })
	})
	return nil
}

// Moved returns how far the move is.
func (c *Clinic) Moved(u User) (Move, error) {
	if err := u.must(Officer); err != nil {
		return Move{}, err
	}
	return c.moving.get(), nil
}
