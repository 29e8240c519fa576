package evidence

import (
	"context"
	"crypto/sha256"
)

// Mark stands for all of a subject's events up to one: it is that one's MAC, which
// covers those before it. The zero Mark is no event.
type Mark [sha256.Size]byte

// Since is [Chain.Of] for who has the bodies up to a mark: if there are no others
// it returns none. The stored events are read and verified all the same.
func (c *Chain) Since(ctx context.Context, subject string, seen Mark) (bodies [][]byte, now Mark, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ks, refs, err := c.refs(ctx, subject)
	if err != nil || len(refs) == 0 {
		return nil, Mark{}, err
	}
	if now = c.mark(refs); now == seen {
		if _, inside := c.store.(*memoryChain); inside {
			return nil, now, nil // nobody can have changed them who cannot change what the caller has
		}
	}
	events, err := c.events(ctx, ks, refs)
	if err != nil || now == seen {
		return nil, now, err
	}
	bodies, err = c.openAll(ks, events)
	return bodies, now, err
}

// mark is that of the newest event of a subject with these references.
func (c *Chain) mark(refs []reference) Mark {
	var newest standing
	for _, ref := range refs {
		if at := c.subjects[ref]; at.seq > newest.seq {
			newest = at
		}
	}
	return newest.last
}
