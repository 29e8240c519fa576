// Package journal is the erasure journal: its lines, the chain that they make,
// and the media that hold them.
package journal

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/rahasia/rahasia/internal/secret"
	"github.com/rahasia/rahasia/keyring/internal/name"
)

var (
	errTooLong    = errors.New("entry too long")
	errUnreadable = errors.New("entry that could not be read again")
)

// Chain is what the verified journal says. It grows as lines are read. It is
// not safe for concurrent use.
type Chain struct {
	Last    *Entry               // the newest entry; nil if there is none
	Head    Head                 // of the newest entry
	Prev    Head                 // what a store's head must be to take in the newest entry
	Offset  int64                // bytes read
	Erased  map[Tag]uint64       // erasure tag to the entry that first erased it
	Keysets map[string]Mark      // newest revisions
	Changed map[string]time.Time // when the newest revisions were journalled
	Anchors map[string]Mark      // newest places of records kept elsewhere

	Retained map[Tag]Retention // by erasure tag, while it lasts
	Spans    map[Tag]Span      // by the row's tag, of subjects that were rekeyed
	Rekeyed  map[Tag]time.Time // by erasure tag: when that last began
	Reseeded uint64            // the newest reseed; 0 if there is none

	key   secret.MAC
	ring  string
	ended map[Tag]bool // by erasure tag: a retention of it is over
	owed  uint64       // entries that an unfinished reseed still owes

	newTouched []Tag    // since News was last called
	newKeysets []string // since News was last called
}

// NewChain returns the chain of a ring before its first entry.
func NewChain(key secret.MAC, ring string) *Chain {
	c := &Chain{key: key, ring: ring}
	c.forget()
	return c
}

// forget makes new maps.
func (c *Chain) forget() {
	c.Erased, c.Keysets, c.Changed, c.Anchors = map[Tag]uint64{}, map[string]Mark{}, map[string]time.Time{}, map[string]Mark{}
	c.Retained, c.Spans, c.Rekeyed, c.ended = map[Tag]Retention{}, map[Tag]Span{}, map[Tag]time.Time{}, map[Tag]bool{}
	c.newTouched, c.newKeysets = nil, nil
}

// Step is one entry and the heads of a store before and after it.
type Step struct {
	Entry      *Entry
	Prev, Head Head
}

// Read takes in the lines of r, which starts at c.Offset, and calls each, if
// it is not nil, with every one. It reports whether r ends with a torn line,
// which is not taken in.
func (c *Chain) Read(r io.Reader, each func(Step)) (torn bool, err error) {
	lines := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return len(line) > 0, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return false, c.refuse(fmt.Errorf("too long: %w", ErrCorrupt))
		case err != nil:
			return false, fmt.Errorf("journal: read: %w", err)
		}
		line = line[:len(line)-1]
		e, err := c.verify(line)
		if err != nil {
			return false, c.refuse(err)
		}
		c.take(e, line)
		if each != nil {
			each(Step{e, c.Prev, c.Head})
		}
	}
}

func (c *Chain) refuse(err error) error {
	return fmt.Errorf("journal: the entry after %d: %w", c.Head.Seq, err)
}

// verify parses line and checks its MAC and its place in the chain.
func (c *Chain) verify(line []byte) (*Entry, error) {
	e, mac, err := parse(line)
	if err != nil {
		return nil, err
	}
	if !secret.Verify(c.key, line[:len(line)-1-macHex], mac) {
		return nil, fmt.Errorf("MAC of another ring, or a change: %w", ErrCorrupt)
	}
	if e.Prev != c.Head.Hash || !c.inPlace(e) {
		return nil, fmt.Errorf("out of place: %w", ErrCorrupt)
	}
	return e, nil
}

// inPlace reports whether e may follow: a creation only at the start, a reseed
// anywhere and with a number of its own, and others in sequence.
func (c *Chain) inPlace(e *Entry) bool {
	switch e.Kind {
	case Reseed:
		return e.Ring == c.ring && e.Seq > max(c.Head.Seq, e.Base.Seq)
	case Create:
		return e.Ring == c.ring && c.Last == nil && e.Seq == 1
	}
	return c.Last != nil && e.Seq == c.Head.Seq+1
}

// take makes e, verified, the newest entry.
func (c *Chain) take(e *Entry, line []byte) {
	c.Prev = c.Head
	if c.owed > 0 {
		c.owed--
	}
	switch e.Kind {
	case Create, Keyset:
		c.Keysets[e.Keyset.Name] = e.Keyset
		c.Changed[e.Keyset.Name] = e.At
		c.newKeysets = append(c.newKeysets, e.Keyset.Name)
	case Shred:
		if _, again := c.Erased[e.Erasure]; !again {
			c.Erased[e.Erasure] = e.Seq
		}
		delete(c.Retained, e.Erasure)
		c.newTouched = append(c.newTouched, e.Erasure)
	case Retain:
		c.Retained[e.Erasure] = e.Retention
		c.newTouched = append(c.newTouched, e.Erasure)
	case Resume:
		delete(c.Retained, e.Erasure)
		c.ended[e.Erasure] = true
		c.newTouched = append(c.newTouched, e.Erasure)
	case Rekey:
		for _, s := range e.Spans {
			c.Spans[s.Tag] = s.Span
			if s.Floor < s.Newest {
				c.Rekeyed[e.Erasure] = e.At
			}
		}
		c.newTouched = append(c.newTouched, e.Erasure)
	case Anchor:
		c.Anchors[e.Anchor.Name] = e.Anchor
	case Reseed:
		c.Prev, c.owed, c.Reseeded = e.Base, e.Count, e.Seq
		clear(c.Keysets) // the entries that follow say which there are
	}
	c.Last = e
	c.Head = Head{Ring: c.ring, Seq: e.Seq, Hash: sha256.Sum256(line)}
	c.Offset += int64(len(line)) + 1
}

// News returns whose keys, by erasure tag, and which keysets changed since the
// last call.
func (c *Chain) News() (touched []Tag, keysets []string) {
	touched, keysets = c.newTouched, c.newKeysets
	c.newTouched, c.newKeysets = nil, nil
	return touched, keysets
}

// Keep takes over what an older reading of the journal had shut and c has not:
// erasures, retentions and floors; and newer revisions and places, for a version
// that was suspended must not come back with the journal that did not say so.
func (c *Chain) Keep(older *Chain) {
	for tag, seq := range older.Erased {
		if _, ok := c.Erased[tag]; !ok {
			c.Erased[tag] = seq
		}
	}
	for tag, r := range older.Retained {
		if _, ok := c.Retained[tag]; !ok && !c.ended[tag] {
			c.Retained[tag] = r
		}
	}
	for tag, s := range older.Spans {
		if now := c.Spans[tag]; now.Newest < s.Newest || now.Floor < s.Floor {
			c.Spans[tag] = Span{max(now.Newest, s.Newest), max(now.Floor, s.Floor)}
		}
	}
	for name, m := range older.Keysets {
		if c.Keysets[name].Revision < m.Revision {
			c.Keysets[name], c.Changed[name] = m, older.Changed[name]
		}
	}
	for name, m := range older.Anchors {
		if c.Anchors[name].Revision < m.Revision {
			c.Anchors[name] = m
		}
	}
	for tag, at := range older.Rekeyed {
		if c.Rekeyed[tag].Before(at) {
			c.Rekeyed[tag] = at
		}
	}
}

// Write gives the entries their places, sequence numbers and time, and calls
// add with their lines in one piece. If that succeeds they are the newest.
func (c *Chain) Write(add func([]byte) error, entries ...*Entry) error {
	next := *c
	next.forget() // c's own must not change before the lines are written
	var text []byte
	for _, e := range entries {
		e.Seq, e.Prev = max(next.Head.Seq, e.Base.Seq)+1, next.Head.Hash
		e.At = time.Now().UTC().Round(0)
		line := e.Line(c.key)
		if len(line) >= maxLine { // a line that cannot be read again would end the ring
			return fmt.Errorf("journal: entry of %d bytes, more than %d: %w", len(line)+1, maxLine, errTooLong)
		}
		if _, _, err := parse(line); err != nil { // nor one whose numbers are out of bounds
			return fmt.Errorf("journal: %w", errUnreadable)
		}
		next.take(e, line)
		text = append(append(text, line...), '\n')
	}
	if err := add(text); err != nil {
		return err
	}
	for _, e := range entries {
		c.take(e, e.Line(c.key))
	}
	return nil
}

// Compartments returns the names of the ring's compartments, ascending.
func (c *Chain) Compartments() []string {
	names := slices.Sorted(maps.Keys(c.Keysets))
	return slices.DeleteFunc(names, func(n string) bool { return !name.Compartment(n) })
}

// Whole reports whether the chain has a newest entry and owes none.
func (c *Chain) Whole() bool { return c.Last != nil && c.owed == 0 }
