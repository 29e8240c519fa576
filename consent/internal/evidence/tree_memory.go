package evidence

import "context"

// hold appends leaves to a log in memory. It is Append without what a database
// needs: no write is shared, for none has to be waited for, and no MAC is made, for
// nobody can change these leaves who cannot change the process.
func (t *Tree) hold(ctx context.Context, m *memoryTree, leaves [][]byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, err := t.ring.Keyset(ctx, TreeKeyset); err != nil { // without it nothing could be signed
		return err
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	if err := t.room(ctx); err != nil {
		return err
	}
	blocks := blocksOf(leaves)
	for i := range blocks {
		t.lastID++
		blocks[i].id, blocks[i].inside = t.lastID, true
	}
	if err := m.queue(ctx, blocks, t.newest().N); err != nil {
		return err
	}
	t.mu.Lock()
	many := t.mine(blocks) >= maxOwn/2
	t.mu.Unlock()
	if !many {
		return nil
	}
	if _, err := t.sequence(context.WithoutCancel(ctx)); err != nil {
		t.tend(nil) // the leaves are kept all the same, and it is tried again
	}
	return nil
}
