package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// The ways in which a call goes wrong.
const (
	refuses = "refuses"    // an error and no effect, once
	down    = "is down"    // so from then on
	after   = "lies after" // the whole effect and an error all the same: the answer was lost
	torn    = "tears"      // half of what is written, or read, and an error: of the journal alone
	hangs   = "hangs"      // until its context ends, and from then on
	late    = "is late"    // the whole effect, and then as hangs, once
)

var errFault = errors.New("disk on fire, to order")

// trap makes the at-th call of one part of a ring go wrong.
type trap struct {
	mu        sync.Mutex
	part, how string
	at, calls int
	limit     time.Time // when the caller's own context ends
	wrapped   []byte    // what a KEK was last asked to bind
	beyond    bool      // it hung in a call whose context goes on longer
}

func (t *trap) arm(part, how string, at int, limit time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.part, t.how, t.at, t.calls, t.limit, t.beyond = part, how, at, 0, limit, false
}

func (t *trap) disarm() (calls int, beyond bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = 0
	return t.calls, t.beyond
}

// hit counts a call and returns how it goes wrong; "" if it does not.
func (t *trap) hit(part string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == 0 || part != t.part {
		return ""
	}
	t.calls++
	lasting := t.how == down || t.how == hangs
	if t.calls == t.at || t.calls > t.at && lasting {
		return t.how
	}
	return ""
}

// call does a call of a part, unless it is the one that goes wrong.
func (t *trap) call(part string) func(context.Context, func() error) error {
	return func(ctx context.Context, do func() error) error {
		switch t.hit(part) {
		case "":
			return do()
		case refuses, down, torn:
			return errFault
		case after:
			_ = do()
			return errFault
		case late:
			_ = do()
		}
		end, _ := ctx.Deadline()
		t.mu.Lock()
		t.beyond = t.beyond || end.IsZero() || end.After(t.limit)
		t.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
}

// wanted reports whether a KEK that fails now does what it should: it is asked
// whether it binds the associated data.
func (t *trap) wanted(ad []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.how != hangs && t.how != late && t.wrapped != nil && len(ad) == len(t.wrapped) &&
		!bytes.Equal(ad, t.wrapped) && bytes.Equal(ad[:len(ad)-1], t.wrapped[:len(ad)-1])
}

// trappedKEK is a KEK whose calls can go wrong.
type trappedKEK struct {
	keyring.KEK
	trap *trap
}

func (k trappedKEK) Wrap(ctx context.Context, plaintext, ad []byte) (out []byte, err error) {
	k.trap.mu.Lock()
	k.trap.wrapped = bytes.Clone(ad)
	k.trap.mu.Unlock()
	err = k.trap.call("kek")(ctx, func() error { out, err = k.KEK.Wrap(ctx, plaintext, ad); return err })
	return out, err
}

func (k trappedKEK) Unwrap(ctx context.Context, wrapped, ad []byte) (out []byte, err error) {
	if k.trap.wanted(ad) {
		return k.KEK.Unwrap(ctx, wrapped, ad)
	}
	err = k.trap.call("kek")(ctx, func() error { out, err = k.KEK.Unwrap(ctx, wrapped, ad); return err })
	return out, err
}

// trappedMedium is a journal whose calls can go wrong. The embedded medium
// has the lock and nothing else.
type trappedMedium struct {
	journal.Medium
	to   *journal.Memory
	trap *trap
}

func (m *trappedMedium) call(do func() error) error {
	return m.trap.call("journal")(context.Background(), do)
}

func (m *trappedMedium) Size() (n int64, err error) {
	err = m.call(func() error { n, err = m.to.Size(); return err })
	return n, err
}

func (m *trappedMedium) Read(offset int64) (io.ReadCloser, error) {
	r, err := m.to.Read(offset)
	if err != nil {
		return nil, err
	}
	switch m.trap.hit("journal") {
	case "":
		return r, nil
	case torn, after:
		n, err := m.to.Size()
		return io.NopCloser(io.MultiReader(io.LimitReader(r, (n-offset)/2), iotest.ErrReader(errFault))), err
	}
	return nil, errFault
}

func (m *trappedMedium) Append(b []byte) error {
	switch m.trap.hit("journal") {
	case "":
		return m.to.Append(b)
	case torn:
		_ = m.to.Append(b[:len(b)/2])
	case after:
		_ = m.to.Append(b)
	}
	return errFault
}

func (m *trappedMedium) Truncate(n int64) error {
	return m.call(func() error { return m.to.Truncate(n) })
}

func (m *trappedMedium) Sync() error { return m.call(m.to.Sync) }

// clinic is a world with a history, whose parts can go wrong.
type clinic struct {
	*world
	trap    *trap
	medium  *trappedMedium
	trapped keyring.Config // the same world with the trap in it
	next    keyring.KEK    // to move to
	given   []byte         // a keyset to import
	opens   keyring.KEK    // what opens it
	living  map[string][]string
}

var wards = []string{"clinical", "identity"}

// newClinic has alice and budi under version 1 and dewi under version 2, and
// carol erased; "audit" is a compartment with a suspended version that can be
// destroyed, and with it the key of the one who has one there.
func newClinic(t testing.TB) *clinic {
	c := &clinic{world: newWorld(t, "audit", "clinical", "identity", "research/ui"), trap: &trap{}, living: map[string][]string{}}
	ctx, r := t.Context(), c.ring
	join := func(ids ...string) {
		for _, id := range ids {
			keys, err := r.CreateSubject(ctx, id, wards...)
			require.NoError(t, err)
			c.living[id] = tokens(t, keys)
		}
	}
	join(alice, budi, "carol")
	_, err := r.CreateSubject(ctx, "with audit", "audit")
	require.NoError(t, err)
	for _, name := range []string{"clinical", "audit"} {
		_, err = r.Rotate(ctx, name)
		require.NoError(t, err)
	}
	join("dewi")
	require.NoError(t, r.SetState(ctx, "audit", 1, keyring.Suspended))
	require.NoError(t, r.Anchor(ctx, "research/ui", 0, 3, [32]byte{3}))
	_, err = r.Shred(ctx, "carol")
	require.NoError(t, err)
	delete(c.living, "carol")
	require.NoError(t, r.Close())
	time.Sleep(2 * time.Minute) // versions can be destroyed

	next := newKEK()
	c.medium = &trappedMedium{Medium: c.world.medium, to: c.world.medium, trap: c.trap}
	c.next = trappedKEK{next, c.trap}
	c.KEK = keyring.AnyKEK(c.kek, next)
	c.given, c.opens = tinkFile(t, "rotated.json"), keyring.TinkAEAD(tinkMaster(t))
	c.trapped = c.Config
	c.trapped.Store = &faultyStore{Store: c.Store, trap: c.trap.call("store")}
	c.trapped.Journal = keyring.NewJournal(c.medium)
	c.trapped.KEK = trappedKEK{c.kek, c.trap}
	return c
}

// verify looks at all that the verb is not about. A living subject may be
// refused by that error if it is not nil.
func (c *clinic) verify(t testing.TB, may error, r *keyring.Ring) {
	t.Helper()
	ctx := t.Context()
	for id, had := range c.living {
		keys, err := r.Subject(ctx, id, wards...)
		if may != nil && errors.Is(err, may) {
			continue
		}
		require.NoError(t, err)
		require.Equal(t, had, tokens(t, keys), "another key")
	}
	c.requireGone(t, r, "carol")
	place, digest, err := r.Anchored(ctx, "research/ui")
	require.NoError(t, err)
	require.Equal(t, byte(place), digest[0])
	require.GreaterOrEqual(t, place, uint64(3))
}

func (c *clinic) requireGone(t testing.TB, r *keyring.Ring, id string) {
	t.Helper()
	for _, names := range [][]string{wards, wards[:1], wards[1:]} {
		_, err := r.Subject(t.Context(), id, names...)
		requireError(t, err, keyring.ErrShredded)
		_, err = r.CreateSubject(t.Context(), id, names...)
		requireError(t, err, keyring.ErrShredded)
	}
}

// begin makes what a verb is done in: a clinic, and, unless the verb opens one,
// its ring, which the caller closes.
func (v *verb) begin(t testing.TB) (c *clinic, r *keyring.Ring) {
	c = newClinic(t)
	if v.prepare != nil {
		v.prepare(t, c)
	}
	if !v.opens {
		var err error
		r, err = keyring.Open(t.Context(), c.trapped)
		require.NoError(t, err)
	}
	if v.warm != nil {
		v.warm(t, c, r)
	}
	return c, r
}

// patience is the caller's, in these tests.
const patience = 2 * time.Second

// attempt runs one verb with one call going wrong, in a bubble: no real time
// passes, and a goroutine left behind fails the test. It reports whether there
// was such a call.
func attempt(t *testing.T, v verb, part, how string, at int, fresh bool) (hit bool) {
	synctest.Test(t, func(t *testing.T) {
		c, r := v.begin(t)
		if r != nil {
			defer r.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		before, began := c.text(t), time.Now()
		c.trap.arm(part, how, at, began.Add(patience))
		err := v.do(ctx, c, r, c.trapped)
		took := time.Since(began)
		calls, beyond := c.trap.disarm()
		if hit = calls >= at; !hit {
			require.NoError(t, err)
		} else {
			c.judge(t, v, err, part, how, took, beyond, before)
		}
		c.recovers(t, v, r, fresh)
	})
	return hit
}

// judge checks what a verb answered to a call that went wrong.
func (c *clinic) judge(t testing.TB, v verb, err error, part, how string, took time.Duration, beyond bool, before string) {
	t.Helper()
	switch {
	case err == nil:
		// One failed read of the journal is tried again, from its start.
		retried := part == "journal" && how != down
		require.True(t, retried || part == "kek" && v.asksBoth, "the fault was hidden")
	case how == hangs || how == late:
		requireError(t, err, context.DeadlineExceeded)
		if beyond && part != "kek" { // only to finish what is journalled
			require.NotEqual(t, before, c.text(t))
			require.LessOrEqual(t, took, patience+time.Minute)
		} else {
			require.LessOrEqual(t, took, patience)
		}
	case part == "kek":
		requireError(t, err, keyring.ErrKEK)
	default:
		requireError(t, err, errFault)
	}
	if how != hangs && how != late {
		require.LessOrEqual(t, took, patience)
	}
}

// recovers checks that nothing was lost or half done, and that the verb can be
// done again: by the same ring, or by a process that comes fresh.
func (c *clinic) recovers(t testing.TB, v verb, r *keyring.Ring, fresh bool) {
	t.Helper()
	if r != nil && !fresh {
		time.Sleep(2 * time.Minute) // until it reads everything again
		c.verify(t, v.may, r)
	}
	if v.unopened == nil {
		c.verify(t, v.may, c.open(t))
	} else if other, err := keyring.Open(t.Context(), c.Config); err == nil {
		require.NoError(t, other.Close())
	} else {
		require.True(t, slices.ContainsFunc(v.unopened, func(want error) bool { return errors.Is(err, want) }), err)
	}
	cfg := c.trapped
	if fresh {
		cfg = c.Config
		if !v.opens {
			r = c.open(t)
			defer r.Close()
		}
	}
	if err := v.do(t.Context(), c, r, cfg); v.again == nil || !errors.Is(err, v.again) {
		require.NoError(t, err)
	}
	other := c.open(t)
	defer other.Close()
	if v.done != nil {
		v.done(t, c, other)
	}
	c.verify(t, nil, c.open(t))
}

// Every call of the store, of a KEK and of the journal goes wrong in turn, in
// every way, under every verb of a ring.
func TestFault(t *testing.T) {
	for _, v := range verbs() {
		t.Run(v.name, func(t *testing.T) {
			for part, ways := range map[string][]string{
				"store":   {refuses, down, after, hangs, late},
				"kek":     {refuses, down, hangs, late},
				"journal": {refuses, down, after, torn},
			} {
				if testing.Short() {
					ways = []string{ways[0], ways[len(ways)-1]}
				}
				most := 0
				for _, how := range ways {
					at := 1
					for ; ; at++ {
						hit, fresh := false, at%2 == len(how)%2 // both come, for each call
						if !t.Run(fmt.Sprintf("%s %s at %d,fresh=%v", part, how, at, fresh), func(t *testing.T) {
							hit = attempt(t, v, part, how, at, fresh)
						}) {
							return
						}
						if !hit {
							break
						}
					}
					most = max(most, at-1)
				}
				require.GreaterOrEqual(t, most, v.calls[part], "calls of the %s that went wrong", part)
			}
		})
	}
}

// The journal's lock cannot be had: because its file cannot be made, or because
// another process has it and hangs.
func TestFaultLock(t *testing.T) {
	dir := t.TempDir()
	held := filepath.Join(dir, "journal")
	unlock, err := journal.New(&journal.File{Path: held}).Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	for path, want := range map[string]error{filepath.Join(dir, "no", "journal"): errAny, held: context.DeadlineExceeded} {
		for _, v := range verbs() {
			t.Run(fmt.Sprint(v.name, " ", want), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, r := v.begin(t)
					if r != nil {
						defer r.Close()
					}
					c.medium.Medium = &journal.File{Path: path}
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					began, before := time.Now(), c.text(t)
					err := v.do(ctx, c, r, c.trapped)
					require.LessOrEqual(t, time.Since(began), patience)
					require.Equal(t, before, c.text(t))
					c.medium.Medium = c.medium.to
					switch {
					case v.lockFree:
						require.NoError(t, err)
					case want == errAny:
						require.ErrorContains(t, err, "keyring: ")
						require.ErrorContains(t, err, "lock")
					default:
						requireError(t, err, want)
					}
					c.recovers(t, v, r, false)
				})
			})
		}
	}
}

var errAny = errors.New("any error")

// While one caller's call hangs, for each of its calls, others of the same ring
// go on or give up when their own contexts end.
func TestFaultOthersGoOn(t *testing.T) {
	for _, v := range verbs() {
		if v.opens {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			for _, part := range []string{"store", "kek"} {
				for at, hit := 1, true; hit; at++ {
					synctest.Test(t, func(t *testing.T) {
						c := newClinic(t)
						if v.prepare != nil {
							v.prepare(t, c)
						}
						r, err := keyring.Open(t.Context(), c.trapped)
						require.NoError(t, err)
						defer r.Close()
						if v.warm != nil {
							v.warm(t, c, r)
						}
						ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
						first := make(chan error)
						c.trap.arm(part, hangs, at, time.Now().Add(time.Hour))
						go func() { first <- v.do(ctx, c, r, c.trapped) }()
						synctest.Wait()
						c.trap.mu.Lock()
						hit = c.trap.calls >= at
						c.trap.at = -1 // the one hangs, the others do not
						c.trap.mu.Unlock()
						c.others(t, r)
						cancel()
						<-first
						c.trap.disarm()
						c.recovers(t, v, r, false)
					})
				}
			}
		})
	}
}

// others ask a ring for this and that, each with little time.
func (c *clinic) others(t testing.TB, r *keyring.Ring) {
	t.Helper()
	jobs := map[string]func(context.Context) error{
		"subject":  func(ctx context.Context) error { return second(r.Subject(ctx, alice, wards...)) },
		"subjects": func(ctx context.Context) error { return second(r.Subjects(ctx, []string{"dewi"}, "clinical")) },
		"create":   func(ctx context.Context) error { return second(r.CreateSubject(ctx, "one more", wards...)) },
		"keyset":   func(ctx context.Context) error { return second(r.Keyset(ctx, "identity")) },
		"anchored": func(ctx context.Context) error { _, _, err := r.Anchored(ctx, "research/ui"); return err },
		"rotate":   func(ctx context.Context) error { return second(r.Rotate(ctx, "identity")) },
		"shred":    func(ctx context.Context) error { return second(r.Shred(ctx, "carol")) },
		"rewrap":   func(ctx context.Context) error { return second(r.Rewrap(ctx, keyring.Rewrapping{DryRun: true})) },
	}
	errs := make(chan error)
	began := time.Now()
	for what, do := range jobs {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := do(ctx)
			if took := time.Since(began); took > patience {
				err = fmt.Errorf("%s took %v", what, took)
			} else if errors.Is(err, context.DeadlineExceeded) && strings.HasPrefix(err.Error(), "keyring: ") {
				err = nil
			}
			errs <- err
		}()
	}
	for range jobs {
		require.NoError(t, <-errs)
	}
}

// stuckKEK hangs in Wrap, whatever its context says, until it is let go.
type stuckKEK struct {
	keyring.KEK
	entered, release chan struct{}
}

func (k stuckKEK) Wrap(ctx context.Context, plaintext, ad []byte) ([]byte, error) {
	close(k.entered)
	<-k.release
	return k.KEK.Wrap(ctx, plaintext, ad)
}

// No KEK is called under the lock: an erasure goes on beside a rotation whose
// KEK hangs, and the rotation begins again after what changed meanwhile.
func TestFaultKEKHoldsUpNoErasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "clinical")
		_, err := w.ring.CreateSubject(t.Context(), alice, "clinical")
		require.NoError(t, err)
		kek := stuckKEK{w.kek, make(chan struct{}), make(chan struct{})}
		cfg := w.Config
		cfg.KEK = kek
		r, err := keyring.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer r.Close()
		done := make(chan error, 1)
		go func() {
			_, err := r.Rotate(t.Context(), "clinical")
			done <- err
		}()
		<-kek.entered
		for _, ring := range []*keyring.Ring{w.ring, r} {
			_, err = ring.Shred(t.Context(), alice)
			require.NoError(t, err)
		}
		close(kek.release)
		require.NoError(t, <-done)
		ks, err := w.open(t).Keyset(t.Context(), "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 2, ks.Primary())
	})
}
