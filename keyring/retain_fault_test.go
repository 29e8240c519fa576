package keyring_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// change is a change of alice that may die at any call.
type change struct {
	prepare func(t *testing.T, w *custodied) // before it
	run     func(t *testing.T, w *custodied, r *keyring.Ring) error
	done    func(t *testing.T, w *custodied) // what must be true once it was repeated
}

func changes() map[string]change {
	retain := func(hours int) func(t *testing.T, w *custodied, r *keyring.Ring) error {
		return func(t *testing.T, w *custodied, r *keyring.Ring) error {
			_, err := r.Retain(t.Context(), alice, kept(hours))
			return err
		}
	}
	retained := func(t *testing.T, w *custodied) { w.retainAlice(t, 1) }
	back := func(t *testing.T, w *custodied) { w.requireRetained(t); w.requireBack(t) }
	rekey := func(t *testing.T, w *custodied, r *keyring.Ring) error { return r.Rekey(t.Context(), alice) }
	rekeyedBefore := func(t *testing.T, w *custodied) {
		require.NoError(t, rekey(t, w, w.ring))
		time.Sleep(rekeyed)
	}
	return map[string]change{
		"retain": {func(*testing.T, *custodied) {}, retain(1), back},
		"again":  {retained, retain(2), back},
		"end": {retained, func(t *testing.T, w *custodied, r *keyring.Ring) error {
			return r.EndRetention(t.Context(), alice, w.key)
		}, func(t *testing.T, w *custodied) {
			require.Equal(t, w.were, w.keysOf(t, w.open(t)))
			require.Len(t, keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)].Wrapped, 48)
		}},
		"shred": {retained, func(t *testing.T, w *custodied, r *keyring.Ring) error {
			_, err := r.ShredRetained(t.Context(), alice, "a court")
			return err
		}, func(t *testing.T, w *custodied) {
			w.requireErased(t)
			require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)].State)
		}},
		"rekey": {func(*testing.T, *custodied) {}, rekey, func(t *testing.T, w *custodied) {
			keys, err := w.open(t).Subject(t.Context(), alice, "clinical", "identity")
			require.NoError(t, err)
			for i, k := range keys {
				require.EqualValues(t, 2, k.Generation())
				require.Equal(t, w.were[i], record(t, k, 1))
			}
		}},
		"endrekey": {rekeyedBefore, func(t *testing.T, w *custodied, r *keyring.Ring) error {
			return r.EndRekey(t.Context(), alice)
		}, func(t *testing.T, w *custodied) {
			keys, err := w.open(t).Subject(t.Context(), alice, "clinical", "identity")
			require.NoError(t, err)
			for i, k := range keys {
				requireNoRecord(t, k, 1)
				require.Equal(t, w.were[i], record(t, k, 2))
				require.Len(t, w.row(k.Compartment()).Wrapped, 60)
			}
		}},
	}
}

// repeated reports whether err of the second call says that the first had come
// to its end.
func repeated(t *testing.T, name string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case name == "retain" || name == "again":
		requireError(t, err, keyring.ErrRetained)
	case name == "end" || name == "rekey" || name == "endrekey":
		requireError(t, err, keyring.ErrState)
	default:
		require.NoError(t, err)
	}
}

// Each verb fails at each call of the store and at the journal, before and after
// the effect, for good or once: the error is typed, others are served as before,
// and repeated the verb comes through.
func TestFaultOfEachVerb(t *testing.T) {
	key, err := keyring.CreateCustodianKey(t.TempDir() + "/custodian")
	require.NoError(t, err)
	const most = 16
	for name, v := range changes() {
		for at := -1; at <= most; at++ { // negative: the journal
			for mode := range 4 {
				if testing.Short() && mode%3 > 0 {
					continue // both ways of each, in two of their four pairs
				}
				after, once := mode&1 > 0, mode&2 > 0
				t.Run(fmt.Sprintf("%s,%d,after=%v,once=%v", name, at, after, once), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := &custodied{world: inhabited(t), key: key}
						w.Config.Custodian = key.Custodian()
						w.ring = w.open(t)
						w.were = w.keysOf(t, w.ring)
						v.prepare(t, w)
						if name == "endrekey" {
							keys, err := w.ring.Subject(t.Context(), alice, "clinical", "identity")
							require.NoError(t, err)
							w.were = tokens(t, keys)
						}
						store := &faultyStore{Store: w.Store, after: after, once: once}
						cfg := w.Config
						cfg.Store = store
						if at < 0 {
							cfg.Journal = keyring.NewJournal(&faultyJournal{Memory: w.medium, at: 1, after: after})
						}
						r, err := keyring.Open(t.Context(), cfg)
						require.NoError(t, err)
						store.calls.Store(0)
						store.at = int32(max(at, 0))
						err = v.run(t, w, r)
						if err != nil {
							requireError(t, err, errStore)
						}
						if at == most {
							require.NoError(t, err)
							require.Less(t, store.calls.Load(), int32(most), "there are calls that never failed")
						} else if at < 0 || int(store.calls.Load()) >= at && at > 0 {
							require.Error(t, err, "a failure that nobody noticed")
						}
						_, err = w.open(t).Subject(t.Context(), budi, "clinical", "identity")
						require.NoError(t, err)
						repeated(t, name, v.run(t, w, w.open(t)))
						v.done(t, w)
						_, _ = r.Close(), w.ring.Close()
					})
				})
			}
		}
	}
}
