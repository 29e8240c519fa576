package keyring_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/lp"
	"github.com/rahasia/rahasia/keyring"
)

// The head's number is not authenticated. A thief without a key raises it, and
// Reseed, which the operator is told to call, must not make a journal of it that
// cannot be read or cannot grow.
func TestAttackReseedFromAHeadAtTheEndOfNumbers(t *testing.T) {
	for _, seq := range []uint64{math.MaxUint64, math.MaxInt64, math.MaxInt64 - 4} {
		t.Run(fmt.Sprint(seq), func(t *testing.T) {
			ctx := t.Context()
			w := inhabited(t)
			before := w.text(t)
			keyring.SetHead(w.Store, keyring.Head{Ring: "clinic", Seq: seq, Hash: [32]byte{1}})
			_, err := keyring.Open(ctx, w.Config)
			requireError(t, err, keyring.ErrJournalLost)
			if err := keyring.Reseed(ctx, w.Config); err != nil {
				requireError(t, err, keyring.ErrCorrupt)
				require.Equal(t, before, w.text(t))
				return
			}
			for _, id := range []string{alice, budi} {
				_, err := w.open(t).Shred(ctx, id)
				require.NoError(t, err)
			}
			w.requireErasedAll(t)
		})
	}
}

func (w *world) requireErasedAll(t testing.TB) {
	t.Helper()
	for _, id := range []string{alice, budi} {
		_, err := w.open(t).Subject(t.Context(), id, "clinical")
		requireError(t, err, keyring.ErrShredded)
	}
}

// forge is a keyset record with a right digest, which needs no key.
func forge(name string, revision uint64, wrapped []byte) keyring.KeysetRecord {
	h := sha256.New()
	h.Write(lp.Append(nil, "rahasia/keyset-digest/v1", "clinic", name, string(binary.BigEndian.AppendUint64(nil, revision))))
	h.Write(wrapped)
	return keyring.KeysetRecord{Name: name, Revision: revision, Wrapped: wrapped, Digest: [32]byte(h.Sum(nil))}
}

// A revision's number is not authenticated either, once the journal is gone.
func TestAttackReseedFromARevisionAtTheEndOfNumbers(t *testing.T) {
	for _, revision := range []uint64{math.MaxUint64, 1 << 63, math.MaxInt64} {
		t.Run(fmt.Sprint(revision), func(t *testing.T) {
			ctx := t.Context()
			w := inhabited(t)
			genuine := keyring.ActiveKeysets(w.Store)["clinical"]
			keyring.ActiveKeysets(w.Store)["clinical"] = forge("clinical", revision, genuine.Wrapped)
			w.rewrite(t, "")
			if err := keyring.Reseed(ctx, w.Config); err != nil {
				requireError(t, err, keyring.ErrCorrupt)
				require.Empty(t, w.text(t))
				return
			}
			r := w.open(t)
			if _, err := r.Rotate(ctx, "clinical"); err != nil {
				t.Log(err)
			}
			_, err := w.open(t).Shred(ctx, alice)
			require.NoError(t, err)
			w.requireErased(t)
		})
	}
}

// More compartments than a line of the journal can name: nobody could be erased.
func TestAttackReseedOfManyCompartments(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	for i := range 1200 {
		name := fmt.Sprintf("planted-%023d", i)
		keyring.ActiveKeysets(w.Store)[name] = forge(name, 1, []byte("x"))
	}
	w.rewrite(t, "")
	if err := keyring.Reseed(ctx, w.Config); err != nil {
		requireError(t, err, keyring.ErrCorrupt)
		require.Empty(t, w.text(t))
		return
	}
	_, err := w.open(t).Shred(ctx, alice)
	require.NoError(t, err)
}

// A keyset that no KEK opens, planted before a Reseed, would stay for ever, and no
// export would ever succeed again.
func TestAttackReseedOfAKeysetThatNobodyOpens(t *testing.T) {
	t.Skip("Reseed unwraps no keyset; whether it should is open: one of a domain whose KEK was destroyed does not open either")
	ctx := t.Context()
	w := inhabited(t)
	keyring.ActiveKeysets(w.Store)["planted"] = forge("planted", 1, []byte("not wrapped by anybody"))
	w.rewrite(t, "")
	if err := keyring.Reseed(ctx, w.Config); err != nil {
		requireError(t, err, keyring.ErrKEK)
		require.Empty(t, w.text(t))
		return
	}
	_, err := w.open(t).Export(ctx, newKEK())
	require.NoError(t, err)
}

// stuckPages is a store that answers with the same page again and again, and
// hears of no context.
type stuckPages struct {
	keyring.Store
	n int
	t testing.TB
}

func (s *stuckPages) Inactive(ctx context.Context, _ *keyring.Tag, limit int) ([]keyring.KeyRecord, error) {
	if s.n++; s.n > 50 {
		s.t.Fatal("for ever")
	}
	page, err := s.Store.Inactive(ctx, nil, limit)
	for len(page) > 0 && len(page) < limit {
		page = append(page, page[0])
	}
	return page, err
}

func TestAttackReseedEndlessPages(t *testing.T) {
	w := inhabited(t)
	_, err := w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	w.rewrite(t, "")
	w.Store = &stuckPages{Store: w.Store, t: t}
	requireError(t, keyring.Reseed(t.Context(), w.Config), keyring.ErrCorrupt)
	require.Empty(t, w.text(t))
}

// Only the head is set back: nothing is lost, and Replay must come through, or
// nothing else would: Reseed refuses, and so does Restore.
func TestAttackHeadAloneSetBack(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	heads := []keyring.Head{}
	head := func() {
		h, err := w.Store.Head(ctx)
		require.NoError(t, err)
		heads = append(heads, h)
	}
	head()
	for range 3 {
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		head()
	}
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	for _, h := range heads {
		keyring.SetHead(w.Store, h)
		require.NoError(t, keyring.Replay(ctx, w.Config))
		w.requireErased(t)
		k, err := w.open(t).Keyset(ctx, "clinical")
		require.NoError(t, err)
		require.EqualValues(t, 4, k.Primary())
	}
}

// A retained subject's package from a Replay, beside rows of an older generation
// that came back from an older backup: the package is the only copy of the newer.
func TestAttackOlderGenerationBesideAnotherPackage(t *testing.T) {
	for _, next := range []string{"replay", "prolong"} {
		t.Run(next, func(t *testing.T) {
			ctx := t.Context()
			w := withCustodian(t)
			old := []keyring.KeyRecord{w.row("clinical"), w.row("identity")}
			require.NoError(t, w.ring.Rekey(ctx, alice))
			newest := w.keysOf(t, w.ring)
			rekeyed := keyring.Backup(w.Store)
			w.retainAlice(t, 1)
			keyring.PutBack(w.Store, rekeyed)
			require.NoError(t, keyring.Replay(ctx, w.Config)) // makes a package of its own
			w.putRow(old[0])
			w.putRow(old[1])
			if next == "prolong" {
				w.ring = w.open(t)
				w.retainAlice(t, 2)
			}
			require.NoError(t, keyring.Replay(ctx, w.Config))
			w.requireRetained(t)
			require.NoError(t, w.open(t).EndRetention(ctx, alice, w.key))
			require.Equal(t, newest, w.keysOf(t, w.open(t)))
		})
	}
}

// The KEKs are gone, and what is left of the store is older than a retention:
// its keys are sealed to the custodian with the export's keysets, for there are
// no others.
func TestAttackRestoreOfAStoreFromBeforeARetention(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	second := newKEK()
	export, err := w.ring.Export(ctx, second)
	require.NoError(t, err)
	keyring.PutBack(w.Store, before)
	w.kek.fail.Store(&errDown)
	w.Config.KEK = newKEK()
	require.NoError(t, keyring.Restore(ctx, w.Config, export, second))
	w.requireRetained(t)
	w.requireBack(t)
}

// Store and journal set back together under a running process: it has seen a
// newer version, and that one was suspended because it leaked, and does not go back.
func TestAttackOldKeysetUnderARunningProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		store, text := keyring.Backup(w.Store), w.text(t)
		_, err := w.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		_, err = w.ring.Rewrap(ctx, keyring.Rewrapping{})
		require.NoError(t, err)
		require.NoError(t, w.ring.SetState(ctx, "clinical", 1, keyring.Suspended))
		keyring.PutBack(w.Store, store)
		w.rewrite(t, text)
		for range 3 {
			time.Sleep(61 * time.Second)
			_, _ = w.ring.Subject(ctx, budi, "clinical") // makes it look
			k, err := w.ring.Keyset(ctx, "clinical")
			if err != nil {
				requireError(t, err, keyring.ErrRolledBack)
				continue
			}
			require.NotEqualValues(t, 1, k.Primary())
		}
		require.NoError(t, w.ring.Close())
	})
}

// The same of a record kept elsewhere: its anchor only ever rises.
func TestAttackOldAnchorUnderARunningProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		require.NoError(t, w.ring.CreateKeyset(ctx, "consent/ledger"))
		store, text := keyring.Backup(w.Store), w.text(t)
		require.NoError(t, w.ring.Anchor(ctx, "consent/ledger", 0, 7, [32]byte{7}))
		keyring.PutBack(w.Store, store)
		w.rewrite(t, text)
		time.Sleep(10 * time.Second)
		place, _, err := w.ring.Anchored(ctx, "consent/ledger")
		if err == nil {
			require.EqualValues(t, 7, place)
		}
		require.NoError(t, w.ring.Close())
	})
}

// An erased subject's package comes back from a backup. Whoever asks for the
// erasure again, and gets a receipt, must not have it left in the store.
func TestAttackShredAgainBesideAPackage(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	custody := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	lines := strings.SplitAfter(w.text(t), "\n")
	w.rewrite(t, strings.Join(lines[:len(lines)-2], "")) // as if killed before the entry
	keyring.PutBack(w.Store, before)
	_, err := w.open(t).Shred(ctx, alice)
	require.NoError(t, err)
	w.putRow(custody)
	if _, err := w.open(t).Shred(ctx, alice); err == nil {
		require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[custody.Tag].State)
	}
	require.False(t, bytes.Contains(keyring.Rows(w.Store)[custody.Tag].Wrapped, custody.Wrapped[48:]))
}

// endlessPages always has one more row, and hears of no context; at the tenth its
// caller's ends.
type endlessPages struct {
	keyring.Store
	n   uint64
	end func()
}

func (s *endlessPages) StaleKeys(_ context.Context, compartment string, _ uint32, _ *keyring.Tag, _ int) ([]keyring.KeyRecord, error) {
	if s.n++; s.n == 10 {
		s.end()
	} else if s.n > 20 {
		return nil, errStore
	}
	rec := keyring.KeyRecord{Compartment: compartment, Generation: 1, Version: 9, State: keyring.Active}
	binary.BigEndian.PutUint64(rec.Tag[:], s.n)
	return []keyring.KeyRecord{rec}, nil
}

func TestAttackEndlessPagesBeyondTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := inhabited(t)
		_, err := w.ring.Rotate(t.Context(), "clinical")
		require.NoError(t, err)
		require.NoError(t, w.ring.SetState(t.Context(), "clinical", 1, keyring.Suspended))
		time.Sleep(2 * time.Minute)
		for name, do := range map[string]func(context.Context, *keyring.Ring) error{
			"rewrap": func(ctx context.Context, r *keyring.Ring) error {
				_, err := r.Rewrap(ctx, keyring.Rewrapping{DryRun: true})
				return err
			},
			"destroy": func(ctx context.Context, r *keyring.Ring) error {
				return r.SetState(ctx, "clinical", 1, keyring.Destroyed)
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := w.Config
			cfg.Store = &endlessPages{Store: w.Store, end: cancel}
			r, err := keyring.Open(t.Context(), cfg)
			require.NoError(t, err)
			require.ErrorIs(t, do(ctx, r), context.Canceled, name)
			require.NoError(t, r.Close())
		}
		require.NoError(t, w.ring.Close())
	})
}
