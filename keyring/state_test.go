package keyring_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// The life of a version, from the primary to destroyed, beside another process.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical")
		want := people(t, w.ring, 5, "clinical")
		r, other := w.ring, w.open(t)
		defer other.Close()
		defer r.Close()
		_, err := other.Subject(ctx, "patient-0", "clinical")
		require.NoError(t, err)
		refused := func(version uint32, to keyring.State, want error) {
			t.Helper()
			before := keyring.ActiveKeysets(w.Store)["clinical"]
			requireError(t, r.SetState(ctx, "clinical", version, to), want)
			require.Equal(t, before, keyring.ActiveKeysets(w.Store)["clinical"], "a refusal wrote")
		}
		states := func(want map[uint32]keyring.State) {
			t.Helper()
			for _, r := range []*keyring.Ring{r, w.open(t)} {
				ks, err := r.Keyset(ctx, "clinical")
				require.NoError(t, err)
				require.Equal(t, want, ks.States())
			}
		}
		for _, to := range []keyring.State{0, keyring.Active, keyring.Deactivated, keyring.Suspended, keyring.Destroyed} {
			refused(1, to, keyring.ErrState)
		}
		refused(2, keyring.Suspended, keyring.ErrUnknownVersion)
		_, err = r.Rotate(ctx, "clinical")
		require.NoError(t, err)
		states(map[uint32]keyring.State{1: keyring.Deactivated, 2: keyring.Active})
		refused(1, keyring.Destroyed, keyring.ErrState)

		// Suspended: reads nothing, cached or not, here at once and elsewhere in 5 s.
		require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Suspended))
		states(map[uint32]keyring.State{1: keyring.Suspended, 2: keyring.Active})
		_, err = r.Subject(ctx, "patient-0", "clinical")
		requireError(t, err, keyring.ErrUnknownVersion)
		time.Sleep(5*time.Second + 1)
		_, err = other.Subject(ctx, "patient-0", "clinical")
		requireError(t, err, keyring.ErrUnknownVersion)
		report, err := r.Rewrap(ctx, keyring.Rewrapping{})
		require.NoError(t, err)
		require.Equal(t, 5, report.Failed, "a suspended version gives nothing to wrap anew")

		refused(1, keyring.Destroyed, keyring.ErrState) // too early
		time.Sleep(time.Minute)
		refused(1, keyring.Destroyed, keyring.ErrInUse)
		require.ErrorContains(t, r.SetState(ctx, "clinical", 1, keyring.Destroyed), " 5 subject keys")

		require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Deactivated))
		requireSame(t, r, want, 1, "clinical")
		_, err = r.Rewrap(ctx, keyring.Rewrapping{})
		require.NoError(t, err)
		require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Suspended))
		requireSame(t, w.open(t), want, 2, "clinical")
		time.Sleep(time.Minute)
		require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Destroyed))
		states(map[uint32]keyring.State{1: keyring.Destroyed, 2: keyring.Active})
		requireSame(t, w.open(t), want, 2, "clinical")
		for _, to := range []keyring.State{keyring.Active, keyring.Deactivated, keyring.Suspended, keyring.Destroyed} {
			refused(1, to, keyring.ErrState)
		}
		version, err := r.Rotate(ctx, "clinical")
		require.NoError(t, err)
		require.Equal(t, uint32(3), version, "the number of a destroyed version is not used again")
	})
}

// A lookup domain's version is not suspended while another process may not know
// of the rotation; another keyset's is.
func TestSuspendLookupDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		const lookup = "lookup/patient/NIK"
		w := newWorld(t, lookup, "topic/lab", "lookup")
		r := w.ring
		defer r.Close()
		time.Sleep(time.Hour)
		for _, name := range []string{lookup, "topic/lab", "lookup"} {
			_, err := r.Rotate(ctx, name)
			require.NoError(t, err)
		}
		require.NoError(t, r.SetState(ctx, "topic/lab", 1, keyring.Suspended), "a sender may have to be cut off at once")
		require.NoError(t, r.SetState(ctx, "lookup", 1, keyring.Suspended), "a compartment")
		before := keyring.ActiveKeysets(w.Store)[lookup]
		requireError(t, r.SetState(ctx, lookup, 1, keyring.Suspended), keyring.ErrState)
		time.Sleep(90*time.Second - 1)
		requireError(t, r.SetState(ctx, lookup, 1, keyring.Suspended), keyring.ErrState)
		require.Equal(t, before, keyring.ActiveKeysets(w.Store)[lookup], "a refusal wrote")
		time.Sleep(time.Nanosecond)
		require.NoError(t, r.SetState(ctx, lookup, 1, keyring.Suspended))
		require.NoError(t, r.SetState(ctx, lookup, 1, keyring.Deactivated), "back is never late")
		requireError(t, r.SetState(ctx, lookup, 1, keyring.Suspended), keyring.ErrState)
		time.Sleep(90 * time.Second)
		require.NoError(t, r.SetState(ctx, lookup, 1, keyring.Suspended))
		time.Sleep(time.Minute)
		require.NoError(t, r.SetState(ctx, lookup, 1, keyring.Destroyed))
	})
}

func TestDestroyWithKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t, "clinical", "identity", "research/ui")
		r := w.ring
		defer r.Close()
		people(t, r, 3, "clinical", "identity")
		_, err := r.Shred(ctx, "patient-2")
		require.NoError(t, err)
		_, err = r.DestroyWithKeys(ctx, "clinical", 1)
		requireError(t, err, keyring.ErrState)
		for _, name := range []string{"clinical", "research/ui"} {
			_, err = r.Rotate(ctx, name)
			require.NoError(t, err)
			require.NoError(t, r.SetState(ctx, name, 1, keyring.Suspended))
		}
		_, err = r.DestroyWithKeys(ctx, "clinical", 1)
		requireError(t, err, keyring.ErrState)
		time.Sleep(time.Minute)
		backup := keyring.Backup(w.Store)
		_, err = r.Only("identity").DestroyWithKeys(ctx, "clinical", 1)
		requireError(t, err, keyring.ErrNotGranted)
		lost, err := r.DestroyWithKeys(ctx, "clinical", 1)
		require.NoError(t, err)
		require.Equal(t, 2, lost)
		_, err = r.CreateSubject(ctx, "patient-0", "clinical")
		requireError(t, err, keyring.ErrUnknownVersion)
		_, err = r.Subject(ctx, "patient-0", "identity")
		require.NoError(t, err)
		require.NoError(t, r.SetState(ctx, "research/ui", 1, keyring.Destroyed), "nothing is counted in a domain")

		// The store from before, put back whole, does not bring the version back.
		keyring.PutBack(w.Store, backup)
		_, err = keyring.Open(ctx, w.Config)
		requireError(t, err, keyring.ErrRolledBack)
	})
}

// What the KEK is given to wrap no longer holds a destroyed version's key.
func TestDestroyedKeyIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := newWorld(t)
		var given [][][]byte
		w.kek.wrap = nil
		cfg := w.Config
		cfg.KEK = &spyKEK{w.kek, func(plaintext []byte) { given = append(given, keyring.KeysetSecrets(plaintext)) }}
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		defer r.Close()
		require.NoError(t, r.CreateKeyset(ctx, "clinical"))
		_, err = r.Rotate(ctx, "clinical")
		require.NoError(t, err)
		require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Suspended))
		time.Sleep(time.Minute)
		require.NoError(t, r.SetState(ctx, "clinical", 1, keyring.Destroyed))
		require.Len(t, given, 4)
		first, last := given[0][0], given[3]
		require.Contains(t, given[2], first)
		require.NotContains(t, last, first)
		require.Len(t, last, 2, "one key, and what is derived from it")
	})
}

func TestStatePrints(t *testing.T) {
	require.Equal(t, "active destroyed deactivated suspended state 9",
		fmt.Sprint(keyring.Active, " ", keyring.Destroyed, " ", keyring.Deactivated, " ", keyring.Suspended, " ", keyring.State(9)))
}

// stalled is a store whose writes hang until their context ends.
type stalled struct{ keyring.Store }

func (s stalled) CreateKeys(ctx context.Context, _ []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s stalled) SwapKeys(ctx context.Context, _ []keyring.Swap) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

// No wrap is written so late that its version may be destroyed by then.
func TestStateAttackLateWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "clinical")
		defer w.ring.Close()
		people(t, w.ring, 1, "clinical")
		_, err := w.ring.Rotate(t.Context(), "clinical")
		require.NoError(t, err)
		w.Store = stalled{w.Store}
		r := w.open(t)
		defer r.Close()
		for _, late := range []func() error{
			func() error { _, err := r.CreateSubject(t.Context(), alice, "clinical"); return err },
			func() error { _, err := r.CreateSubjects(t.Context(), []string{alice}, "clinical"); return err },
			func() error { _, err := r.Rewrap(t.Context(), keyring.Rewrapping{}); return err },
		} {
			began := time.Now()
			requireError(t, late(), context.DeadlineExceeded)
			require.Less(t, time.Since(began), time.Minute/2+time.Second)
		}
	})
}
