package keyring_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/internal/sqlite"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/internal/journal"
	"github.com/rahasia/rahasia/keyring/sqlstore"
)

// inhabited is a world with two compartments and both patients in it.
func inhabited(t testing.TB) *world {
	w := newWorld(t, "identity", "clinical")
	for _, id := range []string{alice, budi} {
		_, err := w.ring.CreateSubject(t.Context(), id, "identity", "clinical")
		require.NoError(t, err)
	}
	return w
}

// requireErased checks that nobody gets a key of alice, and everybody of budi.
func (w *world) requireErased(t testing.TB, rings ...*keyring.Ring) {
	t.Helper()
	ctx := t.Context()
	for _, r := range append(rings, w.open(t)) {
		for _, names := range [][]string{{"identity"}, {"clinical"}, {"identity", "clinical"}} {
			_, err := r.Subject(ctx, alice, names...)
			requireError(t, err, keyring.ErrShredded)
			_, err = r.CreateSubject(ctx, alice, names...)
			requireError(t, err, keyring.ErrShredded)
		}
		_, err := r.Subject(ctx, budi, "identity", "clinical")
		require.NoError(t, err)
	}
}

func TestShred(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	require.NoError(t, w.ring.CreateKeyset(ctx, "research/ui"))
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit")) // alice has no key in it
	kekCalls := w.kek.opens.Load()
	receipt, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	require.Equal(t, kekCalls, w.kek.opens.Load(), "erasing needs no KEK")
	w.requireErased(t, w.ring)

	require.Equal(t, "clinic", receipt.Ring)
	require.EqualValues(t, 6, receipt.Entry)
	require.Equal(t, []string{"clinical", "identity"}, receipt.Compartments)
	require.NotEmpty(t, receipt.Remains)
	require.NotZero(t, receipt.Time)
	head, err := w.Store.Head(ctx)
	require.NoError(t, err)
	require.Equal(t, keyring.Head{Ring: "clinic", Seq: 6, Hash: receipt.Hash}, head)
	text := receipt.String()
	for _, part := range []string{"clinic", "entry 6", ", SHA-256 " + hex.EncodeToString(receipt.Hash[:]) + "\n", "clinical, identity", receipt.Remains[0]} {
		require.Contains(t, text, part)
	}
	for name, secret := range map[string]string{"receipt": text, "journal": w.text(t)} {
		require.NotContains(t, secret, alice, name)
	}

	for name, r := range map[string]*keyring.Ring{"same": w.ring, "another process": w.open(t)} {
		again, err := r.Shred(ctx, alice)
		require.NoError(t, err)
		require.Equal(t, receipt, again, name)
	}
	require.Len(t, keyring.Rows(w.Store), 5, "tombstones in all three compartments, and budi's keys")
	for tag, row := range keyring.Rows(w.Store) {
		if row.State == keyring.Destroyed {
			require.Zero(t, row.Commitment)
			require.Len(t, row.Wrapped, 48)
		}
		require.Equal(t, tag, row.Tag)
	}

	// A compartment that the ring gains later is closed to her too.
	require.NoError(t, w.ring.CreateKeyset(ctx, "sensitive"))
	_, err = w.ring.CreateSubject(ctx, alice, "sensitive")
	requireError(t, err, keyring.ErrShredded)
	_, err = w.open(t).CreateSubject(ctx, alice, "sensitive")
	requireError(t, err, keyring.ErrShredded)
}

func TestShredRefuses(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	before := w.text(t)
	_, err := w.ring.Shred(ctx, "")
	requireError(t, err, keyring.ErrEmpty)
	_, err = w.ring.Shred(ctx, strings.Repeat("a", 256))
	requireError(t, err, keyring.ErrName)
	_, err = w.ring.Shred(ctx, "patient-alise")
	requireError(t, err, keyring.ErrNoSubjectKey)
	_, err = w.ring.Only("identity").Shred(ctx, alice)
	requireError(t, err, keyring.ErrNotGranted)
	require.Equal(t, before, w.text(t))
	_, err = w.ring.Only("identity", "clinical").Shred(ctx, alice)
	require.NoError(t, err, "a view of every compartment may")
}

// Keys being loaded while the subject is erased must not outlive it in a cache.
func TestShredDuringLoads(t *testing.T) {
	ctx := t.Context()
	for range 20 {
		w := newWorld(t, "clinical")
		_, err := w.ring.CreateSubject(ctx, alice, "clinical")
		require.NoError(t, err)
		cfg := w.Config
		cfg.CacheEntries = 1
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = r.CreateSubject(ctx, alice, "clinical")
						_, _ = r.CreateSubject(ctx, budi, "clinical") // pushes alice out
					}
				}
			})
		}
		_, err = r.Shred(ctx, alice)
		require.NoError(t, err)
		for range 100 {
			_, err := r.Subject(ctx, alice, "clinical")
			requireError(t, err, keyring.ErrShredded)
		}
		close(stop)
		wg.Wait()
		_, err = r.Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrShredded)
	}
}

func TestManyShredsAtOnce(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical")
	rings := []*keyring.Ring{w.ring, w.open(t), w.open(t)}
	var ids []string
	for i := range 30 {
		ids = append(ids, fmt.Sprint("p", i))
		_, err := w.ring.CreateSubject(ctx, ids[i], "clinical")
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() {
			if _, err := rings[i%3].Shred(ctx, id); err != nil {
				t.Error(err)
			}
			if i%10 == 0 {
				if _, err := rings[(i+1)%3].Rotate(ctx, "clinical"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r := w.open(t)
	for _, id := range ids {
		_, err := r.Subject(ctx, id, "clinical")
		requireError(t, err, keyring.ErrShredded)
	}
	k, err := r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 4, k.Primary())
}

// An old key row put back, alone.
func TestAttackOldRowRestored(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	backup := keyring.Backup(w.Store)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	for tag, row := range keyring.Rows(backup) {
		keyring.Rows(w.Store)[tag] = row
	}
	w.requireErased(t, w.ring)
	require.NoError(t, keyring.Replay(ctx, w.Config), "Replay buries single rows too")
	for _, c := range []string{"identity", "clinical"} {
		require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.TagOf(c, alice)].State)
	}
	w.requireErased(t)
}

// The tombstone deleted, so that a new key might be made.
func TestAttackTombstoneDeleted(t *testing.T) {
	w := inhabited(t)
	_, err := w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	clear(keyring.Rows(w.Store))
	r := w.open(t)
	_, err = r.CreateSubject(t.Context(), alice, "clinical")
	requireError(t, err, keyring.ErrShredded)
}

func TestAttackForgedTombstone(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	tag := w.ring.TagOf("clinical", alice)
	good := w.ring.Bury("clinical", alice, alice)
	for name, c := range map[string]struct {
		row  func() keyring.KeyRecord
		want error
	}{
		"made up":   {func() keyring.KeyRecord { r := good; r.Wrapped = make([]byte, 48); return r }, keyring.ErrCorrupt},
		"empty":     {func() keyring.KeyRecord { r := good; r.Wrapped = nil; return r }, keyring.ErrCorrupt},
		"bit":       {func() keyring.KeyRecord { r := good; r.Wrapped = bytes.Clone(r.Wrapped); r.Wrapped[20] ^= 1; return r }, keyring.ErrCorrupt},
		"columns":   {func() keyring.KeyRecord { r := good; r.Version = 7; return r }, keyring.ErrCorrupt},
		"another's": {func() keyring.KeyRecord { r := w.ring.Bury("clinical", budi, budi); r.Tag = tag; return r }, keyring.ErrCorrupt},
		"of budi":   {func() keyring.KeyRecord { return w.ring.Bury("clinical", alice, budi) }, keyring.ErrCorrupt},
		// Only a lost journal explains a true tombstone that it does not know.
		"true": {func() keyring.KeyRecord { return good }, keyring.ErrJournalLost},
	} {
		t.Run(name, func(t *testing.T) {
			keyring.Rows(w.Store)[tag] = c.row()
			_, err := w.open(t).Subject(ctx, alice, "clinical")
			requireError(t, err, c.want)
			_, err = w.open(t).CreateSubject(ctx, alice, "clinical")
			requireError(t, err, c.want)
		})
	}
}

// Every column of a live row is bound: none can be changed, moved or swapped.
func TestAttackRowChanged(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	_, err := w.ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	tag := w.ring.TagOf("clinical", alice)
	good := keyring.Rows(w.Store)[tag]
	other := keyring.Rows(w.Store)[w.ring.TagOf("clinical", budi)]
	elsewhere := keyring.Rows(w.Store)[w.ring.TagOf("identity", alice)]
	for name, c := range map[string]struct {
		change func(*keyring.KeyRecord)
		want   error
	}{
		"version":           {func(r *keyring.KeyRecord) { r.Version = 2 }, keyring.ErrCorrupt},
		"unknown version":   {func(r *keyring.KeyRecord) { r.Version = 99 }, keyring.ErrUnknownVersion},
		"generation":        {func(r *keyring.KeyRecord) { r.Generation++ }, keyring.ErrCorrupt},
		"state":             {func(r *keyring.KeyRecord) { r.State = 3 }, keyring.ErrCorrupt},
		"no state":          {func(r *keyring.KeyRecord) { r.State = 0 }, keyring.ErrCorrupt},
		"buried":            {func(r *keyring.KeyRecord) { r.State = keyring.Destroyed }, keyring.ErrCorrupt},
		"compartment":       {func(r *keyring.KeyRecord) { r.Compartment = "identity" }, keyring.ErrCorrupt},
		"tag":               {func(r *keyring.KeyRecord) { r.Tag[0]++ }, keyring.ErrCorrupt},
		"commitment":        {func(r *keyring.KeyRecord) { r.Commitment[31] ^= 1 }, keyring.ErrCorrupt},
		"cut":               {func(r *keyring.KeyRecord) { r.Wrapped = r.Wrapped[:len(r.Wrapped)-1] }, keyring.ErrCorrupt},
		"empty":             {func(r *keyring.KeyRecord) { r.Wrapped = nil }, keyring.ErrCorrupt},
		"another's key":     {func(r *keyring.KeyRecord) { r.Wrapped, r.Commitment = other.Wrapped, other.Commitment }, keyring.ErrCorrupt},
		"another's row":     {func(r *keyring.KeyRecord) { tag := r.Tag; *r = other; r.Tag = tag }, keyring.ErrCorrupt},
		"own key elsewhere": {func(r *keyring.KeyRecord) { r.Wrapped, r.Commitment = elsewhere.Wrapped, elsewhere.Commitment }, keyring.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			row := good
			row.Wrapped = bytes.Clone(good.Wrapped)
			c.change(&row)
			keyring.Rows(w.Store)[tag] = row
			_, err := w.open(t).Subject(ctx, alice, "clinical")
			requireError(t, err, c.want)
			_, err = w.open(t).CreateSubject(ctx, alice, "clinical")
			requireError(t, err, c.want)
		})
	}
	for i := range good.Wrapped {
		row := good
		row.Wrapped = bytes.Clone(good.Wrapped)
		row.Wrapped[i] ^= 1 << (i % 8)
		keyring.Rows(w.Store)[tag] = row
		_, err := w.open(t).Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrCorrupt)
	}
	keyring.Rows(w.Store)[tag] = good
	_, err = w.open(t).Subject(ctx, alice, "clinical")
	require.NoError(t, err)
}

// lyingStore answers for one row with another.
type lyingStore struct {
	keyring.Store
	answer keyring.KeyRecord
}

func (s *lyingStore) Keys(context.Context, []keyring.Tag) ([]keyring.KeyRecord, error) {
	return []keyring.KeyRecord{s.answer}, nil
}

// A store that answers with another subject's whole row, which is a true one,
// must not make one patient's key pass for another's.
func TestAttackStoreAnswersWithAnothersRow(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	for _, row := range [][2]string{{"clinical", budi}, {"identity", alice}, {"identity", budi}} {
		cfg := w.Config
		cfg.Store = &lyingStore{w.Store, keyring.Rows(w.Store)[w.ring.TagOf(row[0], row[1])]}
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		_, err = r.Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrCorrupt)
		_, err = r.CreateSubject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrCorrupt)
	}
}

// pausingStore holds up one read of keys after it was done.
type pausingStore struct {
	keyring.Store
	read, goOn chan struct{}
}

func (s *pausingStore) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	recs, err := s.Store.Keys(ctx, tags)
	if s.read != nil {
		read := s.read
		s.read = nil
		close(read)
		<-s.goOn
	}
	return recs, err
}

// A row that was read before an erasure, and comes after it, gives no key and
// leaves none in the cache.
func TestAttackSlowReadOutlivesErasure(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	store := &pausingStore{Store: w.Store, read: make(chan struct{}), goOn: make(chan struct{})}
	read := store.read
	cfg := w.Config
	cfg.Store = store
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	errs := make(chan error)
	go func() { _, err := r.Subject(ctx, alice, "clinical"); errs <- err }()
	<-read
	_, err = r.Shred(ctx, alice)
	require.NoError(t, err)
	close(store.goOn)
	requireError(t, <-errs, keyring.ErrShredded)
	_, err = r.Subject(ctx, alice, "clinical")
	requireError(t, err, keyring.ErrShredded)
}

// Store and journal set back together while a process runs: it remembers.
func TestAttackBothRestoredUnderARunningProcess(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	store, text := keyring.Backup(w.Store), w.text(t)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	keyring.PutBack(w.Store, store)
	w.rewrite(t, text)
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit")) // makes it read the journal again
	_, err = w.ring.Subject(ctx, alice, "clinical")
	requireError(t, err, keyring.ErrShredded)
	_, err = w.ring.Subject(ctx, budi, "clinical")
	require.NoError(t, err)
}

// The caller gives up between journal and store: the erasure is finished all the same.
func TestShredIsFinishedThoughItsCallerGaveUp(t *testing.T) {
	w := inhabited(t)
	ctx, cancel := context.WithCancel(t.Context())
	cfg := w.Config
	cfg.Journal = keyring.NewJournal(&cancellingMedium{w.medium, cancel})
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	_, err = r.Shred(ctx, alice)
	require.NoError(t, err)
	require.Error(t, ctx.Err())
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.TagOf("clinical", alice)].State)
}

// cancellingMedium calls cancel once an entry is written.
type cancellingMedium struct {
	*journal.Memory
	cancel func()
}

func (m *cancellingMedium) Append(b []byte) error {
	defer m.cancel()
	return m.Memory.Append(b)
}

// A store from before a reseed, restored after it.
func TestReplayAcrossAReseed(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	for _, id := range []string{"third", "fourth"} {
		_, err := w.ring.CreateSubject(ctx, id, "clinical")
		require.NoError(t, err)
	}
	old := keyring.Backup(w.Store)
	_, err := w.ring.Shred(ctx, "third")
	require.NoError(t, err)
	_, err = w.ring.Shred(ctx, "fourth")
	require.NoError(t, err)
	w.cutLines(t, 1)
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	require.Equal(t, 2, strings.Count(w.text(t), " shred "), "what the journal still knows is not told again")
	_, err = w.open(t).Shred(ctx, alice)
	require.NoError(t, err)
	keyring.PutBack(w.Store, old)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	w.requireErased(t)
	for _, id := range []string{"third", "fourth"} {
		_, err = w.open(t).Subject(ctx, id, "clinical")
		requireError(t, err, keyring.ErrShredded)
	}
}

// A ring's store under another ring's id or journal does not open.
func TestAttackPartsOfTwoRings(t *testing.T) {
	ctx := t.Context()
	w, v := inhabited(t), newWorld(t, "identity", "clinical")
	mixed := w.Config
	mixed.Journal = v.Journal
	_, err := keyring.Open(ctx, mixed)
	requireError(t, err, keyring.ErrCorrupt)
	mixed = w.Config
	mixed.KEK = v.kek
	_, err = keyring.Open(ctx, mixed)
	requireError(t, err, keyring.ErrKEK)

	head, err := w.Store.Head(ctx)
	require.NoError(t, err)
	renamed := head
	renamed.Ring = "another"
	keyring.SetHead(w.Store, renamed)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrCorrupt)
	renamed.Ring = "not a name"
	keyring.SetHead(w.Store, renamed)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrCorrupt)
	keyring.SetHead(w.Store, head)

	identity := keyring.ActiveKeysets(w.Store)["identity"]
	moved := identity
	moved.Name = "clinical"
	keyring.ActiveKeysets(w.Store)["clinical"] = moved
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
}

func TestAttackKeysets(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		change func(sets map[string]keyring.KeysetRecord, old keyring.KeysetRecord)
		want   error
	}{
		"older revision": {func(s map[string]keyring.KeysetRecord, old keyring.KeysetRecord) { s["clinical"] = old }, keyring.ErrRolledBack},
		"deleted":        {func(s map[string]keyring.KeysetRecord, _ keyring.KeysetRecord) { delete(s, "clinical") }, keyring.ErrRolledBack},
		"relabelled": {func(s map[string]keyring.KeysetRecord, old keyring.KeysetRecord) {
			old.Revision, old.Digest = s["clinical"].Revision, s["clinical"].Digest
			s["clinical"] = old
		}, keyring.ErrCorrupt},
		"invented": {func(s map[string]keyring.KeysetRecord, old keyring.KeysetRecord) {
			old.Name = "audit"
			s["audit"] = old
		}, keyring.ErrCorrupt},
		"control gone": {func(s map[string]keyring.KeysetRecord, _ keyring.KeysetRecord) { delete(s, "ring") }, keyring.ErrCorrupt},
		"control changed": {func(s map[string]keyring.KeysetRecord, _ keyring.KeysetRecord) {
			r := s["ring"]
			r.Wrapped = append([]byte{1}, r.Wrapped...)
			s["ring"] = r
		}, keyring.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			w := inhabited(t)
			old := keyring.ActiveKeysets(w.Store)["clinical"]
			_, err := w.ring.Rotate(ctx, "clinical")
			require.NoError(t, err)
			c.change(keyring.ActiveKeysets(w.Store), old)
			r, err := keyring.Open(ctx, w.Config)
			if err == nil { // a record is read when it is first used
				_, err = r.Keyset(ctx, "clinical")
			}
			requireError(t, err, c.want)
			_, err = w.ring.Rotate(ctx, "clinical")
			if name != "invented" && !strings.HasPrefix(name, "control") {
				require.Error(t, err, "nothing is built on it")
			}
		})
	}
}

// The whole key file of a time before the erasure is put back.
func TestAttackOldStoreRestored(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	backup := keyring.Backup(w.Store)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)

	keyring.PutBack(w.Store, backup) // one entry behind: completed
	w.requireErased(t, w.ring)
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.TagOf("clinical", alice)].State)

	_, err = w.ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	keyring.PutBack(w.Store, backup) // two behind
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	_, err = w.ring.CreateSubject(ctx, "someone new", "clinical") // its keyset is not the journal's
	require.NoError(t, err, "what is loaded goes on for five seconds")
	err = keyring.Replay(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	require.ErrorContains(t, err, `"clinical"`)
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.TagOf("clinical", alice)].State, "the erasure is replayed all the same")
}

func TestReplay(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	_, err := w.ring.CreateSubject(ctx, "third", "clinical")
	require.NoError(t, err)
	backup := keyring.Backup(w.Store)
	for _, id := range []string{alice, "third"} {
		_, err := w.ring.Shred(ctx, id)
		require.NoError(t, err)
	}
	keyring.PutBack(w.Store, backup)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	requireError(t, keyring.Reseed(ctx, w.Config), keyring.ErrRolledBack) // it is no way round
	require.NoError(t, keyring.Replay(ctx, w.Config))
	w.requireErased(t)
	_, err = w.open(t).Subject(ctx, "third", "clinical")
	requireError(t, err, keyring.ErrShredded)
	require.NoError(t, keyring.Replay(ctx, w.Config), "again, with nothing to do")
	_, err = w.open(t).Shred(ctx, budi)
	require.NoError(t, err, "and life goes on")
}

// A backup from between staging and activating holds the newer revision.
func TestReplayActivatesWhatIsStaged(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	store := &faultyStore{Store: w.Store}
	cfg := w.Config
	cfg.Store = store
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	store.calls.Store(0)
	store.at, store.once = 5, true // Head, Keyset, Head, StageKeyset, Commit
	_, err = r.Rotate(ctx, "clinical")
	requireError(t, err, errStore)
	backup := keyring.Backup(w.Store)
	require.Len(t, keyring.StagedKeysets(backup), 1)
	_, err = r.Shred(ctx, alice) // completes the rotation first
	require.NoError(t, err)
	k, err := r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 2, k.Primary())
	keyring.PutBack(w.Store, backup)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	w.requireErased(t)
	k, err = w.open(t).Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 2, k.Primary())
}

func TestReplayRefuses(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	requireError(t, keyring.Replay(ctx, keyring.Config{}), keyring.ErrEmpty)
	empty := w.Config
	empty.Store = keyring.NewMemoryStore()
	requireError(t, keyring.Replay(ctx, empty), keyring.ErrRolledBack)
	w.rewrite(t, "")
	requireError(t, keyring.Replay(ctx, w.Config), keyring.ErrJournalLost)
}

func TestAttackJournalLost(t *testing.T) {
	ctx := t.Context()
	var old keyring.Store
	for name, attack := range map[string]func(t *testing.T, w *world, before string){
		"missing":      func(t *testing.T, w *world, _ string) { w.rewrite(t, "") },
		"shorter":      func(t *testing.T, w *world, _ string) { w.cutLines(t, 1) },
		"much shorter": func(t *testing.T, w *world, _ string) { w.cutLines(t, 3) },
		"older":        func(t *testing.T, w *world, before string) { w.rewrite(t, before) },
		"last newline": func(t *testing.T, w *world, _ string) { w.rewrite(t, strings.TrimSuffix(w.text(t), "\n")) },
		"forked": func(t *testing.T, w *world, before string) {
			// Copies of both, from before, went another way elsewhere.
			store, text := keyring.Backup(w.Store), w.text(t)
			keyring.PutBack(w.Store, old)
			w.rewrite(t, before)
			require.NoError(t, w.open(t).CreateKeyset(ctx, "audit"))
			require.Equal(t, strings.Count(text, "\n"), strings.Count(w.text(t), "\n"))
			keyring.PutBack(w.Store, store)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := inhabited(t)
			before := w.text(t)
			old = keyring.Backup(w.Store)
			_, err := w.ring.Shred(ctx, alice)
			require.NoError(t, err)
			attack(t, w, before)
			_, err = keyring.Open(ctx, w.Config)
			requireError(t, err, keyring.ErrJournalLost)
			_, err = w.ring.Shred(ctx, budi)
			requireError(t, err, keyring.ErrJournalLost)
			_, err = w.ring.Subject(ctx, budi, "clinical")
			requireError(t, err, keyring.ErrJournalLost) // nothing is read on what cannot be checked

			require.NoError(t, keyring.Reseed(ctx, w.Config))
			w.requireErased(t)
			require.Contains(t, w.text(t), " reseed clinic ")
			requireError(t, keyring.Reseed(ctx, w.Config), keyring.ErrExists)
			receipt, err := w.open(t).Shred(ctx, budi)
			require.NoError(t, err)
			require.Equal(t, []string{"clinical", "identity"}, receipt.Compartments)
			again, err := w.open(t).Shred(ctx, alice)
			require.NoError(t, err)
			require.Less(t, again.Entry, receipt.Entry)
		})
	}
}

// A journal that diverged knows an erasure that the store does not: Reseed keeps both sides'.
func TestReseedKeepsWhatEitherSideErased(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	_, err := w.ring.CreateSubject(ctx, "third", "clinical")
	require.NoError(t, err)
	store, text := keyring.Backup(w.Store), w.text(t)
	_, err = w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	diverged := w.text(t) // knows alice's
	keyring.PutBack(w.Store, store)
	w.rewrite(t, text)
	_, err = w.open(t).Shred(ctx, "third") // this store knows the third's
	require.NoError(t, err)
	w.rewrite(t, diverged)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrJournalLost)
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	require.Equal(t, 2, strings.Count(w.text(t), " shred "), "each erasure once")
	w.requireErased(t)
	_, err = w.open(t).Subject(ctx, "third", "clinical")
	requireError(t, err, keyring.ErrShredded)
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.TagOf("clinical", alice)].State)
}

// A reseed that a crash cut in two is no journal; repeated, it is. One whose
// commit was lost is replayed.
func TestReseedInterrupted(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	before := keyring.Backup(w.Store)
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	whole := w.text(t)
	lines := strings.SplitAfter(whole, "\n")
	require.Len(t, lines, 6, "reseed, three keysets, one erasure, and nothing after the last newline")
	for n := range len(lines) - 1 {
		keyring.PutBack(w.Store, before)
		w.rewrite(t, strings.Join(lines[:n], "")+lines[n][:len(lines[n])/2])
		_, err = keyring.Open(ctx, w.Config)
		requireError(t, err, keyring.ErrJournalLost)
		require.NoError(t, keyring.Reseed(ctx, w.Config))
		w.requireErased(t)
	}
	keyring.PutBack(w.Store, before)
	w.rewrite(t, whole)
	_, err = keyring.Open(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	w.requireErased(t)
}

// An unfinished reseed, with a store that an attacker made to agree with it,
// must not pass: the erasures that are owed would be forgotten.
func TestAttackReseedCut(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	lines := strings.SplitAfter(strings.TrimSuffix(w.text(t), "\n"), "\n")
	head, err := w.Store.Head(ctx)
	require.NoError(t, err)
	for n := len(lines) - 1; n > 0; n-- {
		w.rewrite(t, strings.Join(lines[:n], ""))
		head.Seq--
		head.Hash = sha256.Sum256([]byte(strings.TrimSuffix(lines[n-1], "\n")))
		keyring.SetHead(w.Store, head)
		_, err = keyring.Open(ctx, w.Config)
		requireError(t, err, keyring.ErrJournalLost)
	}
}

// Erasures that came after a lost rotation are replayed too.
func TestReplayPastALostKeyset(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	backup := keyring.Backup(w.Store)
	_, err := w.ring.Rotate(ctx, "clinical")
	require.NoError(t, err)
	_, err = w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	keyring.PutBack(w.Store, backup)
	err = keyring.Replay(ctx, w.Config)
	requireError(t, err, keyring.ErrRolledBack)
	require.ErrorContains(t, err, `"clinical"`)
	require.NotContains(t, err.Error(), `"identity"`)
	for _, c := range []string{"identity", "clinical"} {
		require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.TagOf(c, alice)].State)
	}
	// The way on, where there is no newer backup: without the journal.
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	w.requireErased(t)
	k, err := w.open(t).Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 1, k.Primary())
}

func TestReseedRefuses(t *testing.T) {
	ctx := t.Context()
	w, v := inhabited(t), newWorld(t)
	requireError(t, keyring.Reseed(ctx, keyring.Config{}), keyring.ErrEmpty)
	requireError(t, keyring.Reseed(ctx, w.Config), keyring.ErrExists)
	before := v.text(t)
	other := w.Config
	other.Journal = v.Journal
	requireError(t, keyring.Reseed(ctx, other), keyring.ErrCorrupt)
	require.Equal(t, before, v.text(t), "another ring's journal is left alone")
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	tag := w.ring.TagOf("clinical", alice)
	forged := keyring.Rows(w.Store)[tag]
	forged.Wrapped = make([]byte, 48)
	keyring.Rows(w.Store)[tag] = forged
	w.rewrite(t, "")
	requireError(t, keyring.Reseed(ctx, w.Config), keyring.ErrCorrupt)
	require.Empty(t, w.text(t))
	delete(keyring.Rows(w.Store), tag)
	changed := keyring.ActiveKeysets(w.Store)["clinical"]
	changed.Wrapped = []byte("x")
	keyring.ActiveKeysets(w.Store)["clinical"] = changed
	requireError(t, keyring.Reseed(ctx, w.Config), keyring.ErrCorrupt)
}

// A torn last line was never acknowledged: it is cut off, and the ring goes on.
func TestTornJournalLine(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	whole := w.text(t)
	w.rewrite(t, whole+"rahasia/journal/v1 5 2026-11-21T")
	r := w.open(t)
	require.Equal(t, whole, w.text(t))
	_, err := r.Shred(ctx, alice)
	require.NoError(t, err)
	w.requireErased(t)
}

func TestAttackJournalChanged(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	_, err = w.ring.Shred(ctx, budi)
	require.NoError(t, err)
	text := w.text(t)
	lines := strings.SplitAfter(text, "\n")
	for name, changed := range map[string]string{
		"erasure taken out": strings.Join(append(append([]string{}, lines[:3]...), lines[4:]...), ""),
		"garbage":           "garbage\n" + text,
		"appended":          text + "garbage\n",
		"a letter":          strings.Replace(text, "clinical", "clinicaL", 1),
	} {
		t.Run(name, func(t *testing.T) {
			w.rewrite(t, changed)
			_, err := keyring.Open(ctx, w.Config)
			requireError(t, err, keyring.ErrCorrupt)
			requireError(t, keyring.Reseed(ctx, w.Config), keyring.ErrCorrupt)
			requireError(t, keyring.Replay(ctx, w.Config), keyring.ErrCorrupt)
			w.rewrite(t, text)
		})
	}
}

// faultyMedium is a journal whose writes fail.
type faultyMedium struct {
	*journal.Memory
	fail bool
}

func (m *faultyMedium) Append(b []byte) error {
	if m.fail {
		return errStore
	}
	return m.Memory.Append(b)
}

func TestJournalFails(t *testing.T) {
	ctx := t.Context()
	m := &faultyMedium{Memory: &journal.Memory{}}
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: keyring.NewJournal(m), KEK: newKEK()}
	m.fail = true
	_, err := keyring.Create(ctx, "clinic", cfg)
	requireError(t, err, errStore)
	m.fail = false
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	_, err = r.CreateSubject(ctx, alice, "clinical")
	require.NoError(t, err)
	m.fail = true
	_, err = r.Shred(ctx, alice)
	requireError(t, err, errStore)
	_, err = r.Rotate(ctx, "clinical")
	requireError(t, err, errStore)
	m.fail = false
	_, err = r.Subject(ctx, alice, "clinical")
	require.NoError(t, err, "an erasure that was not journalled did not happen")
	k, err := r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	require.EqualValues(t, 1, k.Primary())
	_, err = r.Shred(ctx, alice)
	require.NoError(t, err)
}

// The story of the quickstart, on files: the key file of yesterday is put back.
func TestAttackOldKeyFileRestored(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.db")
	j, err := keyring.OpenJournal(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	cfg := keyring.Config{Journal: j, KEK: newKEK()}
	within := func(do func(keyring.Config)) {
		db, err := sqlite.Open(path)
		require.NoError(t, err)
		defer db.Close()
		cfg.Store, err = sqlstore.New(ctx, db)
		require.NoError(t, err)
		do(cfg)
	}
	within(func(cfg keyring.Config) {
		r, err := keyring.Create(ctx, "clinic", cfg)
		require.NoError(t, err)
		require.NoError(t, r.CreateKeyset(ctx, "clinical"))
		for _, id := range []string{alice, budi, "third"} {
			_, err = r.CreateSubject(ctx, id, "clinical")
			require.NoError(t, err)
		}
	})
	yesterday, err := os.ReadFile(path)
	require.NoError(t, err)
	within(func(cfg keyring.Config) {
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		_, err = r.Shred(ctx, alice)
		require.NoError(t, err)
	})
	require.NoError(t, os.WriteFile(path, yesterday, 0o600))
	within(func(cfg keyring.Config) {
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err, "one behind: completed")
		_, err = r.Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrShredded)
		_, err = r.Shred(ctx, "third")
		require.NoError(t, err)
	})
	require.NoError(t, os.WriteFile(path, yesterday, 0o600))
	within(func(cfg keyring.Config) {
		_, err := keyring.Open(ctx, cfg)
		requireError(t, err, keyring.ErrRolledBack)
		require.NoError(t, keyring.Replay(ctx, cfg))
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		for _, id := range []string{alice, "third"} {
			_, err = r.Subject(ctx, id, "clinical")
			requireError(t, err, keyring.ErrShredded)
		}
		_, err = r.Subject(ctx, budi, "clinical")
		require.NoError(t, err)
	})
}

func TestOpenJournal(t *testing.T) {
	_, err := keyring.OpenJournal("")
	requireError(t, err, keyring.ErrEmpty)
	_, err = keyring.OpenJournal(filepath.Join(t.TempDir(), "no", "journal"))
	requireError(t, err, os.ErrNotExist)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = keyring.OpenJournal(filepath.Join(file, "journal"))
	require.Error(t, err)
}
