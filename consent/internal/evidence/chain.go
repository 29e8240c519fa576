package evidence

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring"
)

// ChainKeyset is the keyset from which a chain's keys are derived by label.
const ChainKeyset = "consent/ledger"

const (
	labelChainSeal    = "rahasia/ledger-event/v1"
	labelChainLink    = "rahasia/ledger-chain/v1"
	labelChainSubject = "rahasia/ledger-subject/v1"
)

// Chain is an append-only list of events, each about one subject: sealed,
// naming its subject by a keyed reference only, and chained by MAC. Whoever
// holds the database but not the keys reads nothing, forges nothing, and cannot
// drop an event that this process has seen. That the end was cut off while no
// process was running shows against what [Chain.Anchor] told the ring's journal.
type Chain struct {
	ring  *keyring.Ring
	store chainStore

	anchored bool // not in memory, where a chain begins anew with every process

	mu       sync.Mutex
	place    uint64                 // newest anchor that the chain was found to hold
	macs     [][sha256.Size]byte    // of the verified events
	subjects map[reference]standing // what the verified chain holds
	versions map[uint32]bool        // of the keyset, of its events
}

// reference stands for a subject under one key version.
type reference [16]byte

// standing is enough to notice that an event of a subject is missing.
type standing struct {
	events int
	seq    uint64 // of the last
	last   [sha256.Size]byte
}

func (s standing) with(e *event) standing { return standing{s.events + 1, e.seq, e.mac} }

// event is one stored link.
type event struct {
	seq     uint64
	version uint32 // of the keyset
	subject reference
	body    []byte // sealed
	prev    [sha256.Size]byte
	mac     [sha256.Size]byte
}

// chainStore keeps the links. append must be durable, and must fail with
// errMoved unless the event's seq is the one after the last.
type chainStore interface {
	after(ctx context.Context, seq uint64) ([]event, error)                     // in order, a page
	of(ctx context.Context, subjects []reference, upTo uint64) ([]event, error) // in order
	append(ctx context.Context, e event) error
}

var errMoved = errors.New("the chain has grown")

// OpenChain opens the chain of ring in db and verifies every link, and that it
// reaches as far as [Chain.Anchor] last told the ring's journal.
func OpenChain(ctx context.Context, ring *keyring.Ring, db *sql.DB) (*Chain, error) {
	if db == nil {
		return chainOver(ctx, ring, &memoryChain{}, false)
	}
	s, err := newSQLChain(ctx, db)
	if err != nil {
		return nil, err
	}
	return chainOver(ctx, ring, s, true)
}

func chainOver(ctx context.Context, ring *keyring.Ring, store chainStore, anchored bool) (*Chain, error) {
	c := &Chain{ring: ring, store: store, anchored: anchored, subjects: map[reference]standing{}, versions: map[uint32]bool{}}
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Anchor tells the ring's journal how far the chain has grown, so that another
// one in its place is noticed: when it is opened, and by whoever has it open. A
// chain in memory has no copies.
func (c *Chain) Anchor(ctx context.Context) error {
	if !c.anchored {
		return nil
	}
	for {
		if err := c.Refresh(ctx); err != nil {
			return err
		}
		c.mu.Lock()
		prev := c.place
		seq, head := c.newest()
		c.mu.Unlock()
		if err := c.ring.Anchor(ctx, ChainKeyset, prev, seq, head); !errors.Is(err, keyring.ErrConflict) {
			return err
		}
		// Another process anchored since: only a chain that holds its anchor may go on.
	}
}

func (c *Chain) newest() (seq uint64, head [sha256.Size]byte) {
	if len(c.macs) > 0 {
		head = c.macs[len(c.macs)-1]
	}
	return uint64(len(c.macs)), head
}

// Append adds an event about subject, durably, if check agrees to the
// subject's events so far. It asks check again where another process was first.
func (c *Chain) Append(ctx context.Context, subject string, body []byte, check func(bodies [][]byte) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for tried := ^uint64(0); ; {
		bodies, err := c.of(ctx, subject)
		if err != nil {
			return err
		}
		if uint64(len(c.macs)) == tried {
			return ErrTampered // refused as too late, and yet nothing new: the end was cut off
		}
		tried = uint64(len(c.macs))
		if err := check(bodies); err != nil {
			return err
		}
		e, err := c.seal(ctx, subject, body)
		if err != nil {
			return err
		}
		if err := c.store.append(ctx, e); err == nil {
			c.accept(&e)
			return nil
		} else if !errors.Is(err, errMoved) {
			return err
		}
	}
}

// Of returns the bodies of the subject's events in order, those that other
// processes have written too.
func (c *Chain) Of(ctx context.Context, subject string) ([][]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of(ctx, subject)
}

// Len returns the number of verified events that this process knows of.
func (c *Chain) Len() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint64(len(c.macs))
}

// Refresh takes in what other processes have appended.
func (c *Chain) Refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.catchUp(ctx)
}

func (c *Chain) of(ctx context.Context, subject string) ([][]byte, error) {
	ks, refs, err := c.refs(ctx, subject)
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	events, err := c.events(ctx, ks, refs)
	if err != nil {
		return nil, err
	}
	return c.openAll(ks, events)
}

// refs catches up and returns the subject's references.
func (c *Chain) refs(ctx context.Context, subject string) (*keyring.Keyset, []reference, error) {
	if err := c.catchUp(ctx); err != nil {
		return nil, nil, err
	}
	ks, err := c.ring.Keyset(ctx, ChainKeyset)
	if err != nil {
		return nil, nil, err
	}
	refs, err := c.references(ks, subject)
	return ks, refs, err
}

// events reads a subject's events: all that the verified chain has, each verified.
func (c *Chain) events(ctx context.Context, ks *keyring.Keyset, refs []reference) ([]event, error) {
	events, err := c.store.of(ctx, refs, uint64(len(c.macs))) // what came since is for the next read, which verifies it first
	if err != nil {
		return nil, err
	}
	found := map[reference]standing{}
	for i := range events {
		e := &events[i]
		if i > 0 && e.seq <= events[i-1].seq || !slices.Contains(refs, e.subject) {
			return nil, ErrTampered
		}
		if err := c.verify(ks, e); err != nil {
			return nil, err
		}
		found[e.subject] = found[e.subject].with(e)
	}
	for _, ref := range refs {
		if found[ref] != c.subjects[ref] {
			return nil, ErrTampered // an event of this subject is missing
		}
	}
	return events, nil
}

func (c *Chain) openAll(ks *keyring.Keyset, events []event) (bodies [][]byte, err error) {
	bodies = make([][]byte, len(events))
	for i := range events {
		if bodies[i], err = c.open(ks, &events[i]); err != nil {
			return nil, err
		}
	}
	return bodies, nil
}

// references are those of the subject, one a key version, that have events. Where a
// version of any event is out of service nobody can tell whether the subject has one
// under it, such as a refusal.
func (c *Chain) references(ks *keyring.Keyset, subject string) ([]reference, error) {
	var refs []reference
	readable := ks.Versions()
	for v := range c.versions {
		if !slices.Contains(readable, v) {
			return nil, fmt.Errorf("events under version %d: %w", v, keyring.ErrUnknownVersion)
		}
	}
	for _, v := range readable {
		ref, err := refer(ks, v, subject)
		if err != nil {
			return nil, err
		}
		if _, ok := c.subjects[ref]; ok {
			refs = append(refs, ref)
		}
	}
	return refs, nil
}

// catchUp verifies and takes in what has been appended since it last ran, a
// page at a time, and compares the chain with the newest anchor.
func (c *Chain) catchUp(ctx context.Context) error {
	var place uint64
	var digest [sha256.Size]byte
	if c.anchored {
		var err error
		if place, digest, err = c.ring.Anchored(ctx, ChainKeyset); err != nil { // before: what it covers is stored by now
			return err
		}
	}
	for {
		events, err := c.store.after(ctx, uint64(len(c.macs)))
		if err != nil {
			return err
		}
		if len(events) == 0 {
			break
		}
		if err := c.takeIn(ctx, events); err != nil {
			return err
		}
	}
	if place > uint64(len(c.macs)) || place > 0 && c.macs[place-1] != digest {
		return fmt.Errorf("event %d: %w: an older copy, or another", place, ErrTampered)
	}
	c.place = place
	return nil
}

func (c *Chain) takeIn(ctx context.Context, events []event) error {
	ks, err := c.ring.Keyset(ctx, ChainKeyset)
	if err != nil {
		return err
	}
	for i := range events {
		e := &events[i]
		seq, head := c.newest()
		if e.seq != seq+1 || e.prev != head {
			return fmt.Errorf("event %d: %w", seq+1, ErrTampered)
		}
		if err := c.verify(ks, e); err != nil {
			return fmt.Errorf("event %d: %w", e.seq, err)
		}
		c.accept(e)
	}
	return nil
}

func (c *Chain) accept(e *event) {
	c.macs = append(c.macs, e.mac)
	c.subjects[e.subject] = c.subjects[e.subject].with(e)
	c.versions[e.version] = true
}

func (c *Chain) seal(ctx context.Context, subject string, body []byte) (event, error) {
	ks, err := c.ring.Keyset(ctx, ChainKeyset)
	if err != nil {
		return event{}, err
	}
	seq, head := c.newest()
	e := event{seq: seq + 1, version: ks.Primary(), prev: head}
	if e.subject, err = refer(ks, e.version, subject); err != nil {
		return event{}, err
	}
	aead, err := ks.Sealer(e.version, labelChainSeal)
	if err != nil {
		return event{}, err
	}
	e.body = secret.SealRandom(aead, nil, Pad(bytes.Clone(body)), e.bound(c.ring.ID()))
	m, err := ks.MAC(e.version, labelChainLink)
	if err != nil {
		return event{}, err
	}
	e.mac = secret.Sum(m, e.message(c.ring.ID()))
	return e, nil
}

func (c *Chain) open(ks *keyring.Keyset, e *event) ([]byte, error) {
	aead, err := ks.Sealer(e.version, labelChainSeal)
	if err != nil {
		return nil, err
	}
	body, err := secret.OpenRandom(aead, nil, e.body, e.bound(c.ring.ID()))
	if err != nil {
		return nil, ErrTampered
	}
	return Unpad(body)
}

func (c *Chain) verify(ks *keyring.Keyset, e *event) error {
	m, err := ks.MAC(e.version, labelChainLink)
	if err != nil {
		return err
	}
	if !secret.Verify(m, e.message(c.ring.ID()), e.mac[:]) {
		return ErrTampered
	}
	return nil
}

// bound is the associated data of the sealed body.
func (e *event) bound(ring string) []byte {
	b := lp.Append(nil, labelChainSeal, ring)
	b = lp.Append(b, e.subject[:])
	return binary.BigEndian.AppendUint64(b, e.seq)
}

// message is what the MAC covers: the event, its place and the one before it.
func (e *event) message(ring string) []byte {
	b := e.bound(ring)
	b = binary.BigEndian.AppendUint32(b, e.version)
	b = append(b, e.prev[:]...)
	return append(b, e.body...)
}

func refer(ks *keyring.Keyset, v uint32, subject string) (reference, error) {
	m, err := ks.MAC(v, labelChainSubject)
	if err != nil {
		return reference{}, err
	}
	sum := secret.Sum(m, []byte(subject))
	return reference(sum[:16]), nil
}
