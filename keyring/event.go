package keyring

import (
	"time"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Event tells [Config].Events of a change that is in the journal, or of an
// export, which is not. It names no subject and holds no key.
type Event struct {
	// Action is what happened: "create" of the ring; "create-keyset",
	// "rotate", "rewrap", "restore", "state", "import", "export" of a keyset, or
	// with no Keyset the export of the ring; "shred",
	// "retain", "resume", "rekey", "end-rekey" of a subject; "complete", when
	// this process finished what another had journalled before it died.
	Action string
	Ring   string    // the ring's id
	Keyset string    // which, or empty
	Entry  uint64    // of the journal, 0 for an export
	Hash   [32]byte  // SHA-256 of that entry
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

// tellAll tells of what was noted. The lock is released.
func (c *core) tellAll(events []Event) {
	for _, e := range events {
		c.tell(e)
	}
}

// exported tells of an export.
func (c *core) exported(keyset string) {
	if c.tell != nil {
		c.tell(Event{Action: "export", Ring: c.ring, Keyset: keyset, Time: time.Now().UTC().Round(0)})
	}
}
