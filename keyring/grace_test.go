package keyring_test

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

	"github.com/rahasia/rahasia/keyring"
)

var errDown = errors.New("connection refused by the key service")

// gateKEK lets calls of Unwrap through, or holds them.
type gateKEK struct {
	keyring.KEK
	gate          atomic.Pointer[chan struct{}] // closed to let go; nil: open
	deaf          bool                          // it ignores its context
	calls         atomic.Int32
	inside, worst atomic.Int32
}

func (k *gateKEK) Unwrap(ctx context.Context, wrapped, ad []byte) ([]byte, error) {
	k.calls.Add(1)
	k.worst.Store(max(k.worst.Load(), k.inside.Add(1)))
	defer k.inside.Add(-1)
	if gate := k.gate.Load(); gate != nil {
		ended := ctx.Done()
		if k.deaf {
			ended = nil
		}
		select {
		case <-*gate:
		case <-ended:
			return nil, ctx.Err()
		}
	}
	return k.KEK.Unwrap(ctx, wrapped, ad)
}

func (k *gateKEK) shut() (open func()) {
	gate := make(chan struct{})
	k.gate.Store(&gate)
	return sync.OnceFunc(func() { k.gate.Store(nil); close(gate) })
}

// within runs a test in a bubble, on a ring of another process whose cache
// outlives the grace.
func within(t *testing.T, change func(*keyring.Config), f func(t *testing.T, w *world, r *keyring.Ring)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "clinical", "identity")
		defer w.ring.Close()
		for _, id := range []string{alice, budi} {
			_, err := w.ring.CreateSubject(t.Context(), id, "clinical")
			require.NoError(t, err)
		}
		w.CacheAge = time.Hour
		if change != nil {
			change(&w.Config)
		}
		r := w.open(t)
		defer r.Close()
		f(t, w, r)
	})
}

// atOnce runs do and checks that it waited for nothing.
func atOnce(t testing.TB, do func() error) error {
	t.Helper()
	began := time.Now()
	err := do()
	require.Zero(t, time.Since(began), "it waited")
	return err
}

func useKeyset(t testing.TB, r *keyring.Ring, name string) error {
	_, err := r.Keyset(t.Context(), name)
	return err
}

func useSubject(t testing.TB, r *keyring.Ring, id string) error {
	_, err := r.Subject(t.Context(), id, "clinical")
	return err
}

// The grace runs from when the KEK was last asked and answered; then it is over
// for keyset, subject keys and those in memory.
func TestFaultKEKInTheGraceAndAfter(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour, 30 * time.Second, 1} {
		t.Run(fmt.Sprint(grace), func(t *testing.T) {
			within(t, func(c *keyring.Config) { c.Grace = grace }, func(t *testing.T, w *world, r *keyring.Ring) {
				real := max(grace, time.Second)
				if grace == 0 {
					real = 15 * time.Minute
				}
				require.NoError(t, useSubject(t, r, alice))
				w.kek.opens.Store(0)
				w.kek.fail.Store(&errDown)
				step := real / 100
				for range 99 {
					time.Sleep(step)
					synctest.Wait()
					require.NoError(t, atOnce(t, func() error { return useSubject(t, r, alice) }))
					require.NoError(t, atOnce(t, func() error { return useKeyset(t, r, "clinical") }))
				}
				due := min(5*time.Minute, real/3)
				require.LessOrEqual(t, int(w.kek.opens.Load()), 1+int((real-due)/max(due/20, time.Second)), "asked without a pause")
				require.True(t, w.kek.opens.Load() > 0 || real == time.Second, "not asked")

				time.Sleep(step)
				synctest.Wait()
				for what, err := range map[string]error{
					"in memory": useSubject(t, r, alice), "in the store": useSubject(t, r, budi), "keyset": useKeyset(t, r, "clinical"),
					"new": second(r.CreateSubject(t.Context(), "third", "clinical")), "page": second(r.Subjects(t.Context(), []string{alice}, "clinical")),
				} {
					requireError(t, err, keyring.ErrKEK)
					require.ErrorContains(t, err, "unreachable for longer than the grace time of "+real.String(), what)
					require.ErrorContains(t, err, errDown.Error(), what)
				}
				_, err := r.Shred(t.Context(), budi)
				require.NoError(t, err, "erasing needs no KEK")
				requireError(t, useSubject(t, r, budi), keyring.ErrShredded)

				w.kek.fail.Store(nil)
				time.Sleep(time.Second)
				require.NoError(t, useSubject(t, r, alice), "and works when it is back")
				require.NoError(t, useKeyset(t, r, "clinical"))
			})
		})
	}
}

// A KEK that works is asked again every five minutes while there is use, whether
// of keysets or of keys in memory, and not otherwise.
func TestFaultKEKIsAskedAgain(t *testing.T) {
	for what, use := range map[string]func(testing.TB, *keyring.Ring) error{
		"keyset":      func(t testing.TB, r *keyring.Ring) error { return useKeyset(t, r, "clinical") },
		"subject key": func(t testing.TB, r *keyring.Ring) error { return useSubject(t, r, alice) },
	} {
		t.Run(what, func(t *testing.T) {
			within(t, nil, func(t *testing.T, w *world, r *keyring.Ring) {
				require.NoError(t, useSubject(t, r, alice))
				w.kek.opens.Store(0)
				for range 60 * 60 / 10 { // the cached key lives for an hour
					require.NoError(t, atOnce(t, func() error { return use(t, r) }))
					time.Sleep(10 * time.Second)
					synctest.Wait()
				}
				require.InDelta(t, 11, w.kek.opens.Load(), 1)
				w.kek.opens.Store(0)
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				require.Zero(t, w.kek.opens.Load(), "nobody used it")
				w.kek.fail.Store(&errDown)
				requireError(t, use(t, r), keyring.ErrKEK)
				w.kek.fail.Store(nil)
				time.Sleep(time.Second)
				require.NoError(t, use(t, r))
			})
		})
	}
}

// A proof is no reading of the store: another process's rotation is seen in its
// time.
func TestFaultKEKProofLeavesTheReading(t *testing.T) {
	within(t, nil, func(t *testing.T, w *world, r *keyring.Ring) {
		use := func(after time.Duration) *keyring.Keyset {
			time.Sleep(after)
			synctest.Wait()
			k, err := r.Keyset(t.Context(), "clinical")
			require.NoError(t, err)
			return k
		}
		use(0)
		use(250 * time.Second)
		time.Sleep(55 * time.Second)
		calls := w.kek.opens.Load()
		require.NoError(t, useSubject(t, r, alice))
		synctest.Wait()
		require.Equal(t, calls+1, w.kek.opens.Load(), "proved")
		_, err := w.ring.Rotate(t.Context(), "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 2, use(5*time.Second).Primary(), "60 seconds after the last reading")
	})
}

// A KEK that is slower than a short grace is an error, not a loop.
func TestFaultKEKSlowerThanTheGrace(t *testing.T) {
	within(t, func(c *keyring.Config) {
		c.Grace = 2 * time.Second
		c.KEKs = map[string]keyring.KEK{"clinical": kekFunc{c.KEK, func() error { time.Sleep(5 * time.Second); return nil }}}
	}, func(t *testing.T, w *world, r *keyring.Ring) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := r.Keyset(ctx, "clinical")
		requireError(t, err, keyring.ErrKEK)
	})
}

// A thousand callers cost a KEK that is down a call a second, and none waits
// longer than that call.
func TestFaultKEKHerd(t *testing.T) {
	herd := func(t *testing.T, r *keyring.Ring, name string) {
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 10 * time.Millisecond) // over ten seconds
				_, err := r.Keyset(t.Context(), name)
				if !errors.Is(err, keyring.ErrKEK) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	within(t, func(c *keyring.Config) { c.Store = &faultyStore{Store: c.Store} }, func(t *testing.T, w *world, r *keyring.Ring) {
		require.NoError(t, useKeyset(t, r, "clinical"))
		w.kek.fail.Store(&errDown)
		w.kek.opens.Store(0)
		calls := w.Store.(*faultyStore).calls.Load()
		herd(t, r, "identity")
		require.LessOrEqual(t, w.kek.opens.Load(), int32(11), "on first load")
		require.LessOrEqual(t, w.Store.(*faultyStore).calls.Load()-calls, int32(11), "the store does not suffer")
		time.Sleep(15 * time.Minute)
		w.kek.opens.Store(0)
		herd(t, r, "clinical")
		require.LessOrEqual(t, w.kek.opens.Load(), int32(11), "after the grace")
		require.GreaterOrEqual(t, w.kek.opens.Load(), int32(9))
	})
	gate := &gateKEK{}
	within(t, func(c *keyring.Config) { gate.KEK = c.KEK; c.KEKs = map[string]keyring.KEK{"clinical": gate} }, func(t *testing.T, w *world, r *keyring.Ring) {
		for _, want := range []error{nil, keyring.ErrKEK} { // all at once, while it thinks
			r := w.open(t)
			defer r.Close()
			open := gate.shut()
			gate.calls.Store(0)
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					if _, err := r.Keyset(t.Context(), "clinical"); !errors.Is(err, want) {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			if want != nil {
				w.kek.fail.Store(&errDown)
			}
			open()
			wg.Wait()
			require.EqualValues(t, 1, gate.calls.Load())
		}
	})
}

// A KEK that neither answers nor heeds its context costs one goroutine, delays
// nobody in the grace, and serves again when it answers.
func TestFaultKEKHangs(t *testing.T) {
	gate := &gateKEK{deaf: true}
	within(t, func(c *keyring.Config) { gate.KEK = c.KEK; c.KEKs = map[string]keyring.KEK{"clinical": gate} }, func(t *testing.T, w *world, r *keyring.Ring) {
		require.NoError(t, useSubject(t, r, alice))
		open := gate.shut()
		defer open()
		for range 15*6 - 1 {
			time.Sleep(10 * time.Second)
			require.NoError(t, atOnce(t, func() error { return useSubject(t, r, alice) }))
			require.NoError(t, atOnce(t, func() error { return useKeyset(t, r, "clinical") }))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for range 10 {
			err := atOnce(t, func() error { return useSubject(t, r, alice) })
			requireError(t, err, keyring.ErrKEK)
			require.ErrorContains(t, err, "no answer within 10s")
			require.ErrorContains(t, err, "grace time")
			time.Sleep(time.Minute)
		}
		require.EqualValues(t, 1, gate.worst.Load(), "one goroutine")
		open()
		synctest.Wait()
		time.Sleep(time.Second)
		require.NoError(t, useSubject(t, r, alice), "it answers again")

		time.Sleep(15 * time.Minute) // nobody used it; whoever waits for the next answer is told the same
		synctest.Wait()
		defer gate.shut()()
		err := useSubject(t, r, alice)
		requireError(t, err, keyring.ErrKEK)
		require.ErrorContains(t, err, "no answer within 10s")
		require.ErrorContains(t, err, "grace time")
	})
}

func TestFaultKEKHangsOnFirstLoad(t *testing.T) {
	gate := &gateKEK{deaf: true}
	within(t, func(c *keyring.Config) { gate.KEK = c.KEK; c.KEKs = map[string]keyring.KEK{"clinical": gate} }, func(t *testing.T, w *world, r *keyring.Ring) {
		open := gate.shut()
		defer open()
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { // each waits as long as its context allows, and no longer than a call may take
				patience := time.Duration(i+1) * 2 * time.Second
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := r.Keyset(ctx, "clinical")
				want, after := context.DeadlineExceeded, patience
				if patience > 10*time.Second {
					want, after = keyring.ErrKEK, 10*time.Second
				} else if patience == 10*time.Second {
					return
				}
				if !errors.Is(err, want) || time.Since(began) != after {
					t.Error(patience, err, time.Since(began))
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, gate.calls.Load())
		requireError(t, atOnce(t, func() error { return useKeyset(t, r, "clinical") }), keyring.ErrKEK)
		require.NoError(t, useKeyset(t, r, "identity"), "others go on")
		open()
		synctest.Wait()
		require.NoError(t, atOnce(t, func() error { return useKeyset(t, r, "clinical") }), "a late answer counts")
		require.EqualValues(t, 1, gate.calls.Load())
	})
}

// Who gives up takes nobody along: neither those who wait for the same call, nor
// a proof that its request began.
func TestFaultKEKCallerGivesUp(t *testing.T) {
	gate := &gateKEK{}
	within(t, func(c *keyring.Config) { gate.KEK = c.KEK; c.KEKs = map[string]keyring.KEK{"clinical": gate} }, func(t *testing.T, w *world, r *keyring.Ring) {
		open := gate.shut()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := r.Keyset(short, "clinical")
		requireError(t, err, context.DeadlineExceeded)
		done := make(chan error)
		go func() { _, err := r.Keyset(t.Context(), "clinical"); done <- err }()
		synctest.Wait()
		open()
		require.NoError(t, <-done)
		require.EqualValues(t, 1, gate.calls.Load())

		time.Sleep(5 * time.Minute)
		open = gate.shut()
		request, end := context.WithCancel(t.Context())
		_, err = r.Keyset(request, "clinical")
		require.NoError(t, err)
		end()
		synctest.Wait()
		require.EqualValues(t, 1, gate.inside.Load(), "the proof goes on")
		open()
		synctest.Wait()
		time.Sleep(15*time.Minute - time.Second)
		gate.shut()
		require.NoError(t, atOnce(t, func() error { return useKeyset(t, r, "clinical") }), "and counts")
	})
}

// Close ends what waits; the bubble's own end finds a goroutine that is left.
func TestFaultKEKClose(t *testing.T) {
	gate := &gateKEK{}
	within(t, func(c *keyring.Config) { gate.KEK = c.KEK; c.KEKs = map[string]keyring.KEK{"clinical": gate} }, func(t *testing.T, w *world, r *keyring.Ring) {
		require.NoError(t, useSubject(t, r, alice))
		gate.shut()
		time.Sleep(5 * time.Minute)
		require.NoError(t, useSubject(t, r, alice))
		synctest.Wait()
		require.EqualValues(t, 1, gate.inside.Load(), "a proof is under way")
		require.NoError(t, r.Close())
		synctest.Wait()
		require.Zero(t, gate.inside.Load())
		requireError(t, useSubject(t, r, alice), keyring.ErrClosed)

		r = w.open(t)
		errs := make(chan error)
		go func() { _, err := r.Keyset(t.Context(), "clinical"); errs <- err }()
		synctest.Wait()
		require.NoError(t, r.Close())
		requireError(t, <-errs, keyring.ErrClosed)
		requireError(t, useKeyset(t, r, "clinical"), keyring.ErrClosed)
		gate.calls.Store(0)
		time.Sleep(time.Hour)
		require.Zero(t, gate.calls.Load())
	})
}

// A KEK that answers with another keyset, or panics, proves nothing, and changes
// no key that is loaded.
func TestFaultKEKLies(t *testing.T) {
	for what, lie := range map[string]func(*world) func([]byte) []byte{
		"garbage": func(*world) func([]byte) []byte { return func([]byte) []byte { return []byte("no keyset") } },
		"panic":   func(*world) func([]byte) []byte { return func([]byte) []byte { panic("the key is 42") } },
		"another keyset": func(w *world) func([]byte) []byte {
			var other []byte
			spy := &spyKEK{newKEK(), func(p []byte) { other = append([]byte(nil), p...) }}
			_, err := keyring.Create(context.Background(), "clinic", keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewMemoryJournal(), KEK: spy})
			if err != nil {
				panic(err)
			}
			return func([]byte) []byte { return append([]byte(nil), other...) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			within(t, nil, func(t *testing.T, w *world, r *keyring.Ring) {
				keys, err := r.Subject(t.Context(), alice, "clinical")
				require.NoError(t, err)
				had := token(t, keys[0])
				w.kek.unwrap_ = lie(w)
				for range 14 {
					time.Sleep(time.Minute)
					synctest.Wait()
					require.NoError(t, useKeyset(t, r, "clinical"))
					require.NoError(t, useSubject(t, r, budi))
				}
				time.Sleep(time.Minute)
				synctest.Wait()
				err = useSubject(t, r, alice)
				require.Error(t, err)
				if what == "garbage" {
					requireError(t, err, keyring.ErrCorrupt)
				} else if what == "panic" {
					requireError(t, err, keyring.ErrKEK)
					require.NotContains(t, err.Error(), "42")
				}
				w.kek.unwrap_ = nil
				time.Sleep(time.Second)
				if what == "another keyset" { // on a first load nothing tells; that is what authenticates a KEK
					return
				}
				keys, err = r.Subject(t.Context(), alice, "clinical")
				require.NoError(t, err)
				require.Equal(t, had, token(t, keys[0]))
			})
		})
	}
}

// What another process changed needs the KEK at once: a version may have been
// suspended, and the old revision is no answer.
func TestFaultKEKChangedMeanwhile(t *testing.T) {
	within(t, nil, func(t *testing.T, w *world, _ *keyring.Ring) {
		down := newKEK()
		_, err := w.ring.Rewrap(t.Context(), keyring.Rewrapping{KEK: down, Keysets: []string{"clinical"}})
		require.NoError(t, err)
		w.KEKs = map[string]keyring.KEK{"clinical": down}
		r := w.open(t)
		defer r.Close()
		require.NoError(t, useKeyset(t, r, "clinical"))
		_, err = w.ring.Rotate(t.Context(), "clinical")
		require.NoError(t, err)
		down.fail.Store(&errDown)
		time.Sleep(time.Minute)
		synctest.Wait()
		requireError(t, useKeyset(t, r, "clinical"), keyring.ErrKEK)
		down.fail.Store(nil)
		time.Sleep(time.Second)
		require.NoError(t, useKeyset(t, r, "clinical"))
	})
}

func TestFaultKEKGraceConfig(t *testing.T) {
	w := newWorld(t)
	w.Grace = -1
	_, err := keyring.Open(t.Context(), w.Config)
	require.ErrorContains(t, err, "negative grace time")
}
