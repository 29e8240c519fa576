package pseudo

import (
	"runtime"
	"sync"
)

// batchLeast is the least part of a batch that is worth a goroutine: some
// hundred microseconds of work beside one or two that it takes to start.
const batchLeast = 256

// inParts calls f for parts of 0 to n-1 that together are all of them, at once
// on as many cores as the program may use.
func inParts(n int, f func(from, to int)) {
	parts := min(runtime.GOMAXPROCS(0), n/batchLeast)
	if parts < 2 {
		f(0, n)
		return
	}
	var wg sync.WaitGroup
	for i := 1; i < parts; i++ {
		wg.Go(func() { f(i*n/parts, (i+1)*n/parts) })
	}
	f(0, n/parts)
	wg.Wait()
}
