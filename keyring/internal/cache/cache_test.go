package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBounds(t *testing.T) {
	for _, entries := range []int{1, 7, 1000, 5000} {
		c := New[int](entries, time.Hour)
		for i := range 3 * entries {
			c.Put(0, fmt.Sprint(i), []string{"a"}, []int{i})
		}
		n := 0
		for i := range 3 * entries {
			out := make([]int, 1)
			if c.Get(c.Now(), fmt.Sprint(i), []string{"a"}, out) {
				require.Equal(t, i, out[0])
				n++
			}
		}
		require.LessOrEqual(t, n, entries)
		require.GreaterOrEqual(t, n, entries/2)
	}
}

func TestTheLeastRecentlyUsedGoes(t *testing.T) {
	c := New[int](2, time.Hour)
	out := make([]int, 1)
	get := func(s string) bool { return c.Get(c.Now(), s, []string{"a"}, out) }
	c.Put(0, "x", []string{"a"}, []int{1})
	c.Put(0, "y", []string{"a"}, []int{2})
	require.True(t, get("x"))
	c.Put(0, "z", []string{"a"}, []int{3})
	require.True(t, get("x"))
	require.False(t, get("y"))
	require.True(t, get("z"))
}

func TestAScopeIsWhole(t *testing.T) {
	c := New[int](10, time.Hour)
	c.Put(0, "subject", []string{"a", "b"}, []int{1, 2})
	out := make([]int, 2)
	require.True(t, c.Get(0, "subject", []string{"b", "a"}, out))
	require.Equal(t, []int{2, 1}, out)
	require.False(t, c.Get(0, "subject", []string{"a", "c"}, out), "one is missing")
	require.False(t, c.Get(0, "subjec", []string{"ta"}, out))
	require.False(t, c.Get(0, "a", []string{"subject"}, out))
}

// The bound is on values, however many of them one subject has.
func TestBoundsCountValues(t *testing.T) {
	c := New[int](5, time.Hour)
	out := make([]int, 2)
	both := []string{"a", "b"}
	c.Put(0, "x", both, []int{1, 2})
	c.Put(0, "y", both, []int{3, 4})
	c.Put(0, "y", both, []int{5, 6}) // in the place of the others
	require.True(t, c.Get(0, "y", both, out))
	require.Equal(t, []int{5, 6}, out)
	require.True(t, c.Get(0, "x", both, out))
	c.Put(0, "z", both, []int{7, 8})
	require.False(t, c.Get(0, "y", []string{"a"}, out[:1]))
	require.True(t, c.Get(0, "x", both, out))
	require.True(t, c.Get(0, "z", both, out))
	c.Put(0, "w", []string{"a", "b", "c", "d", "e", "f"}, make([]int, 6))
	require.False(t, c.Get(0, "w", []string{"a"}, out[:1]), "more than there is room for")
	c.Put(0, "v", both, []int{9, 10})
	require.True(t, c.Get(0, "v", both, out))
	require.Equal(t, []int{9, 10}, out)
	require.Equal(t, 2, c.shard[0].values)
	require.Len(t, c.shard[0].subjects, 1)
}

// What one subject has in two compartments came and goes each by itself.
func TestValuesOfOneSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[int](10, time.Minute)
		out := make([]int, 1)
		get := func(name string) bool { return c.Get(c.Now(), "x", []string{name}, out) }
		c.Put(0, "x", []string{"a"}, []int{1})
		time.Sleep(time.Second)
		c.Put(0, "x", []string{"b", "c"}, []int{2, 3})
		c.Drop(func(v int) bool { return v == 2 })
		require.True(t, get("a"))
		require.False(t, get("b"), "dropped")
		time.Sleep(time.Minute - time.Second)
		require.False(t, get("a"), "too old")
		require.True(t, get("c"))
		require.Equal(t, 3, out[0])
		require.Equal(t, 1, c.shard[0].values)
		time.Sleep(time.Second)
		require.False(t, get("c"))
		require.Zero(t, c.shard[0].values)
		require.Empty(t, c.shard[0].subjects)
		require.Zero(t, c.shard[0].order.Len())
	})
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New[int](10, time.Minute)
		out := make([]int, 1)
		c.Put(0, "x", []string{"a"}, []int{1})
		time.Sleep(time.Minute - 1)
		require.True(t, c.Get(c.Now(), "x", []string{"a"}, out), "use does not prolong it")
		time.Sleep(time.Nanosecond)
		require.False(t, c.Get(c.Now(), "x", []string{"a"}, out))
		require.False(t, c.Get(0, "x", []string{"a"}, out), "what expired is gone")
	})
}

func TestDrop(t *testing.T) {
	c := New[int](10, time.Hour)
	out := make([]int, 1)
	epoch := c.Epoch()
	c.Put(epoch, "x", []string{"a"}, []int{1})
	c.Put(epoch, "y", []string{"a"}, []int{2})
	c.Drop(func(v int) bool { return v == 1 })
	require.False(t, c.Get(0, "x", []string{"a"}, out))
	require.True(t, c.Get(0, "y", []string{"a"}, out))
	c.Put(epoch, "x", []string{"a"}, []int{1})
	require.False(t, c.Get(0, "x", []string{"a"}, out), "what was being loaded during a drop does not enter")
	c.Put(c.Epoch(), "x", []string{"a"}, []int{1})
	require.True(t, c.Get(0, "x", []string{"a"}, out))
	c.Put(c.Epoch(), "x", []string{"a"}, []int{3})
	require.True(t, c.Get(0, "x", []string{"a"}, out))
	require.Equal(t, 3, out[0])
	c.Close()
	require.False(t, c.Get(0, "y", []string{"a"}, out))
	c.Put(c.Epoch(), "y", []string{"a"}, []int{2})
	require.False(t, c.Get(0, "y", []string{"a"}, out), "a closed cache takes nothing")
}

func TestOneLoadForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flights[int]
		var loads atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				got, err := f.Do(t.Context(), "id", func() ([]int, error) {
					loads.Add(1)
					time.Sleep(time.Second)
					return []int{7}, nil
				})
				if err != nil || got[0] != 7 {
					t.Error(got, err)
				}
				got[0] = 8 // the others have their own
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, loads.Load())
		_, err := f.Do(t.Context(), "id", func() ([]int, error) { return nil, errors.New("another load") })
		require.EqualError(t, err, "another load")
	})
}

// The one that loads for others may give up; they must not fail with it.
func TestWhoGivesUpTakesNobodyAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flights[int]
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		errs := make(chan error, 2)
		go func() {
			_, err := f.Do(short, "id", func() ([]int, error) { <-short.Done(); return nil, short.Err() })
			errs <- err
		}()
		synctest.Wait()
		got, err := f.Do(t.Context(), "id", func() ([]int, error) { return []int{1}, nil })
		require.NoError(t, err)
		require.Equal(t, []int{1}, got)
		require.ErrorIs(t, <-errs, context.DeadlineExceeded)

		// And one that waits may give up alone.
		release := make(chan struct{})
		go func() {
			_, err := f.Do(t.Context(), "id", func() ([]int, error) { <-release; return []int{2}, nil })
			errs <- err
		}()
		synctest.Wait()
		short2, cancel2 := context.WithTimeout(t.Context(), time.Second)
		defer cancel2()
		_, err = f.Do(short2, "id", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
		require.NoError(t, <-errs)
	})
}

func TestAPanicLetsTheOthersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Flights[int]
		release := make(chan struct{})
		done := make(chan any)
		go func() {
			defer func() { done <- recover() }()
			_, _ = f.Do(t.Context(), "id", func() ([]int, error) { <-release; panic("boom") })
		}()
		synctest.Wait()
		errs := make(chan error)
		go func() { _, err := f.Do(t.Context(), "id", nil); errs <- err }()
		synctest.Wait()
		close(release)
		require.Equal(t, "boom", <-done)
		require.Error(t, <-errs)
	})
}

func BenchmarkGet(b *testing.B) {
	c := New[*int](16384, time.Hour)
	names := []string{"identity", "clinical", "sensitive"}
	for i := range 1000 {
		c.Put(0, fmt.Sprint(i), names, make([]*int, 3))
	}
	out := make([]*int, 3)
	b.ReportAllocs()
	for b.Loop() {
		if !c.Get(0, "77", names, out) {
			b.Fatal("missed")
		}
	}
}
