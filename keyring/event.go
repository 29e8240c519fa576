package keyring

import (
	"sync"
	"time"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Event tells [Config].Events of a change that is in the journal, or of an
// export, which is not. It names no subject and holds no key.
type Event struct {
	// Action is what happened: "create" of the ring; "create-keyset",
	// "rotate", "rewrap", "restore", "state", "import", "export" of a keyset, or
	// with no Keyset the export of the ring; "shred", "retain", "end-retention",
	// "rekey", "end-rekey" of a subject; "reseed" of the journal; "complete", when this process finished what another, or itself before a
	// failure, had journalled.
	Action string
	Ring   string    // the ring's id
	Keyset string    // which, or empty
	Entry  uint64    // of the journal, 0 for an export
	Hash   Hash      // of that entry
	Time   time.Time // of the entry, UTC
}

// note keeps an event until the lock is released: whoever is told may use the
// ring. The lock is held. Anchors are no events: telling of them would make
// a log that anchors itself go round for ever.
func (c *core) note(action string, s journal.Step) {
	if c.tell == nil || s.Entry.Kind == journal.Anchor {
		return
	}
	c.noted = append(c.noted, Event{
		Action: action, Ring: c.ring, Keyset: s.Entry.Keyset.Name,
		Entry: s.Entry.Seq, Hash: s.Head.Hash, Time: s.Entry.At,
	})
}

// notices are events on their way, in the journal's order.
type notices struct {
	mu      sync.Mutex
	queue   []Event
	telling bool
}

func (n *notices) add(events ...Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.queue = append(n.queue, events...)
}

// next returns the oldest event and takes the turn to tell, unless there is none
// or another has the turn. Who had the turn before gives it back.
func (n *notices) next(mine bool) (e Event, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.telling && !mine {
		return e, false
	}
	if n.telling = len(n.queue) > 0; !n.telling {
		return e, false
	}
	e, n.queue = n.queue[0], n.queue[1:]
	return e, true
}

// tellAll tells of what was noted. The journal's lock is released, and so is
// all else that a hook which uses the ring could wait for. If another is
// telling, a hook that came back here among them, that one goes on.
func (c *core) tellAll() {
	for e, ok := c.notices.next(false); ok; e, ok = c.notices.next(true) {
		c.tellOne(e)
	}
}

func (c *core) tellOne(e Event) {
	told := false
	defer func() {
		if !told { // the hook panics: who comes next may tell
			c.notices.mu.Lock()
			c.notices.telling = false
			c.notices.mu.Unlock()
		}
	}()
	c.tell(e)
	told = true
}

// tellExport tells of an export, of a keyset or, with no name, of the ring.
func (c *core) tellExport(keyset string) {
	if c.tell != nil {
		c.notices.add(Event{Action: "export", Ring: c.ring, Keyset: keyset, Time: time.Now().UTC().Round(0)})
		c.tellAll()
	}
}
