package keyring

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"

	"github.com/rahasia/rahasia/keyring/internal/state"
)

// State is the state of a keyset's version or of a [KeyRecord], after NIST SP
// 800-57 part 1, section 7. It prints as its name.
type State uint8

// The states. A subject key is Active, Retained or Destroyed. A version is made Active by
// [Ring.CreateKeyset] or [Ring.Rotate] and is Deactivated by the next Rotate;
// [Ring.SetState] makes the other changes:
//
//	from         to
//	Deactivated  Suspended
//	Suspended    Deactivated, Destroyed
//
// and no others are legal. There is no pre-activation: a version is used as
// soon as it is there. One that is compromised is Suspended, and Destroyed when
// nothing needs it.
const (
	Active      = State(state.Active)      // the primary version; of a record: Wrapped is the wrapped key
	Destroyed   = State(state.Destroyed)   // the key is gone; of a record: Wrapped is the evidence of the erasure, and no key
	Deactivated = State(state.Deactivated) // reads what was made under it and makes nothing new
	Suspended   = State(state.Suspended)   // reads nothing, and can be Deactivated again
	Retained    = State(state.Retained)    // only of a record: the key is with the custodian; see [Ring.Retain]
)

// String returns the state's name.
func (s State) String() string { return state.State(s).String() }

// States returns the state of every version, those that are no longer
// readable among them.
func (k *Keyset) States() map[uint32]State { return maps.Clone(k.states) }

// destroyAfter is how long a keyset must have been as it is before a version is
// destroyed: a process that still has it loaded as the primary may be making
// keys under it, and reads it again within rereadEvery.
const destroyAfter = rereadEvery

// wrapPatience is how long after it looked at the keyset a process may write a
// wrap under its primary: well before that version can be destroyed.
const wrapPatience = destroyAfter / 2

// suspendAfter is how long a lookup domain's keyset must have been as it is before
// a version is suspended: rereadEvery, and as much again as a process may need that
// read the keyset just before, for its KEK to answer and its transaction to end,
// and as two hosts' clocks may differ.
const suspendAfter = rereadEvery + 30*time.Second

// lookupDomains is what the name of a lookup domain begins with; package pseudo
// makes such names.
const lookupDomains = "lookup/"

// SetState brings a version of a keyset into another state: Suspended,
// Deactivated or Destroyed, as the table at [State] has it. It is journalled
// and committed like a rotation, and takes effect at once in this process and
// within 5 seconds in others that load subject keys, 60 in the rest. What is
// under a Suspended or Destroyed version is [ErrUnknownVersion].
//
// There is no way back from Destroyed. A version is destroyed only when the
// keyset has been as it is for 60 seconds, so that every process knows that the
// version is suspended, otherwise [ErrState]; and only when it wraps no
// subject key any more, otherwise [ErrInUse], with the count: [Ring.Rewrap]
// first, while it is Deactivated. What was made under a version of a domain, such
// as pseudonyms, is not counted, for nobody here knows of it. Backups of the
// store keep the version for whoever may use their KEK.
//
// A version of a lookup domain, whose name begins with "lookup/", is also suspended
// only when the keyset has been as it is for 90 seconds, otherwise [ErrState]:
// while a process may still write what was before the last rotation, two columns
// that are UNIQUE would let a value in twice; docs/SPEC.md, "Rotation of tokens".
// Nothing is gained by haste: to suspend hides what was made, it revokes nothing.
//
// A version that is not there is [ErrUnknownVersion], any other change
// [ErrState]. Other errors are those of [Ring.Rotate].
func (r *Ring) SetState(ctx context.Context, name string, version uint32, to State) error {
	_, err := r.setState(ctx, name, version, to, false)
	return err
}

// DestroyWithKeys destroys a Suspended version like [Ring.SetState], although
// subject keys are still under it, and returns how many. They are lost, and with
// them whatever was sealed under them, without a tombstone or a receipt: those
// subjects cannot have a key in that compartment again.
func (r *Ring) DestroyWithKeys(ctx context.Context, name string, version uint32) (lost int, err error) {
	return r.setState(ctx, name, version, Destroyed, true)
}

func (r *Ring) setState(ctx context.Context, name string, version uint32, to State, evenUsed bool) (used int, err error) {
	if err := checkKeyset(name); err != nil {
		return 0, err
	}
	c, err := r.allow(name)
	if err != nil {
		return 0, err
	}
	_, err = c.revise(ctx, "state", name, nil, func(set *tinkpb.Keyset) error {
		primary := set.GetPrimaryKeyId()
		if err := state.Set(set, version, state.State(to)); err != nil {
			return err
		}
		if age, wait := c.age(name), patience(name, to); age < wait {
			return fmt.Errorf("version %d to %v: the keyset changed %v ago, less than %v: %w", version, to, age.Round(time.Second), wait, ErrState)
		}
		if to != Destroyed {
			return nil
		}
		if used, err = c.countUnder(ctx, name, primary, version); err != nil {
			return err
		}
		if used > 0 && !evenUsed {
			return fmt.Errorf("version %d wraps %d subject keys: %w", version, used, ErrInUse)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return used, nil
}

// patience is how long a keyset must have been as it is before a version changes
// its state to that.
func patience(name string, to State) time.Duration {
	switch {
	case to == Destroyed:
		return destroyAfter
	case to == Suspended && strings.HasPrefix(name, lookupDomains):
		return suspendAfter
	}
	return 0
}

// age returns how long ago the journal's newest revision of a keyset is.
func (c *core) age(name string) time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return time.Since(c.chain.Changed[name])
}

// countUnder returns how many live subject keys a version wraps that is not
// the primary. The lock is held, so it asks the store alone.
func (c *core) countUnder(ctx context.Context, name string, primary, version uint32) (n int, err error) {
	if !isCompartment(name) {
		return 0, nil
	}
	var after *Tag
	for {
		recs, err := c.stalePage(ctx, name, primary, after)
		if err != nil || len(recs) == 0 {
			return n, err
		}
		for i := range recs {
			if recs[i].Version == version {
				n++
			}
		}
		after = &recs[len(recs)-1].Tag
	}
}
