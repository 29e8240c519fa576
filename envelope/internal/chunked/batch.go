package chunked

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Work says how chunks are worked on.
type Work struct {
	// Workers is how many chunks are sealed or opened at once; 0 is GOMAXPROCS.
	Workers int
	// Progress, if not nil, is called after each batch of chunks with how many
	// bytes of the message are done, by the goroutine that reads or writes.
	Progress func(done int64)
	// Check, if not nil, is called before each batch; its error ends the work.
	Check func() error
	// Buffers keeps memory for the next message, or the next range.
	Buffers *Buffers
}

// Buffers keeps buffers of a few chunks. They hold no plaintext.
type Buffers struct{ pool sync.Pool }

type buffer [HeadSize + lone*stride]byte

func (b *Buffers) get() *buffer {
	if b != nil {
		if x, _ := b.pool.Get().(*buffer); x != nil {
			return x
		}
	}
	return new(buffer)
}

// put takes back what get gave, with no plaintext in it.
func (b *Buffers) put(x *buffer) {
	if b != nil && x != nil {
		b.pool.Put(x)
	}
}

// maxWorkers bounds the memory. A lone worker has batches of lone chunks, which
// stay in its core's cache and in a kept buffer; several have perWorker chunks
// each, enough to make starting them cheap.
const (
	maxWorkers = 32
	lone       = 4
	perWorker  = 8
)

func (w *Work) workers() int {
	n := w.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return min(n, maxWorkers)
}

// batch is how many chunks are worked on before their results are passed on.
func (w *Work) batch() int64 {
	if n := w.workers(); n > 1 {
		return int64(n) * perWorker
	}
	return lone
}

func (w *Work) progress(done int64) {
	if w.Progress != nil {
		w.Progress(done)
	}
}

func (w *Work) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.Check != nil {
		return w.Check()
	}
	return nil
}

// job works on the i-th chunk of a batch.
type job interface{ do(n *nonce, i int) error }

// each does chunks 0 to n-1 of j, several at once, and returns an error if one
// failed or ctx ended before all were done.
func (w *Work) each(ctx context.Context, n int, j job) error {
	if err := w.check(ctx); err != nil {
		return err
	}
	if workers := min(w.workers(), n); workers > 1 {
		return parallel(ctx, workers, n, j)
	}
	var scratch nonce
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := j.do(&scratch, i); err != nil {
			return err
		}
	}
	return nil
}

func parallel(ctx context.Context, workers, n int, j job) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	run := func() {
		var scratch nonce
		for failed.Load() == nil {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			err := ctx.Err()
			if err == nil {
				err = j.do(&scratch, i)
			}
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(run)
	}
	run()
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
