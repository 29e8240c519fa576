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

// pages is a list that grows without being copied, as a slice is time and again.
type pages[T any] struct{ full [][]T }

const pageLen = 1024

func (p *pages[T]) len() int {
	if len(p.full) == 0 {
		return 0
	}
	last := len(p.full) - 1
	return last*pageLen + len(p.full[last])
}

func (p *pages[T]) at(i int) *T { return &p.full[i/pageLen][i%pageLen] }

func (p *pages[T]) append(more []T) {
	for len(more) > 0 {
		last := len(p.full) - 1
		if last < 0 || len(p.full[last]) == pageLen {
			p.full = append(p.full, make([]T, 0, pageLen))
			last++
		}
		n := min(len(more), pageLen-len(p.full[last]))
		p.full[last], more = append(p.full[last], more[:n]...), more[n:]
	}
}
