package pseudo

import (
	"runtime"
	"sync"
)

// A Result is the token of one value of several, or why it has none. T is
// [Token], [ReversibleToken] or, of digits, string.
type Result[T any] struct {
	Token T
	Err   error
}

// forEach makes the token of each of values. A value that is refused says so
// itself; the others have failed, where that is not nil.
func forEach[T any](kind Kind, values []string, failed error, token func(place int, normal string) (T, error)) []Result[T] {
	results := make([]Result[T], len(values))
	inParts(len(values), func(from, to int) {
		for i := from; i < to; i++ {
			normal, place, err := kind.normalize(values[i])
			if err == nil {
				err = failed
			}
			if err == nil {
				results[i].Token, err = token(place, normal)
			}
			results[i].Err = err
		}
	})
	return results
}

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
