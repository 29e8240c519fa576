package keyring_test

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// Somebody deletes the lock's file, a cleaner of old files say, while a writer
// has the lock: the next must not take another file for it.
func TestAttackLockFileDeleted(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "journal")
	j, err := keyring.OpenJournal(path)
	require.NoError(t, err)
	cfg := keyring.Config{Store: keyring.NewMemoryStore(), Journal: j, KEK: newKEK()}
	r, err := keyring.Create(ctx, "clinic", cfg)
	require.NoError(t, err)
	require.NoError(t, r.CreateKeyset(ctx, "clinical"))
	for _, id := range []string{alice, budi} {
		_, err = r.CreateSubject(ctx, id, "clinical")
		require.NoError(t, err)
	}
	slow := &slowKeys{Store: cfg.Store, entered: make(chan struct{}), release: make(chan struct{})}
	other := cfg
	other.Store = slow
	other.Journal, err = keyring.OpenJournal(path)
	require.NoError(t, err)
	b, err := keyring.Open(ctx, other)
	require.NoError(t, err)
	slow.armed = true
	var wg sync.WaitGroup
	var first error
	wg.Go(func() {
		_, first = b.Shred(ctx, alice)
	})
	<-slow.entered // level, and not yet journalled
	require.NoError(t, os.Remove(path+".lock"))
	late, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, err = r.Shred(late, budi)
	close(slow.release)
	wg.Wait()
	for id, err := range map[string]error{alice: first, budi: err} {
		if err != nil { // the entry counts, or nothing was written: it can be called again
			_, err = r.Shred(ctx, id)
		}
		require.NoError(t, err)
	}
	again, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	for _, id := range []string{alice, budi} {
		_, err = again.Subject(ctx, id, "clinical")
		requireError(t, err, keyring.ErrShredded)
	}
}

// slowKeys holds up the first who reads rows, once it is armed.
type slowKeys struct {
	keyring.Store
	armed            bool
	entered, release chan struct{}
}

func (s *slowKeys) Keys(ctx context.Context, tags []keyring.Tag) ([]keyring.KeyRecord, error) {
	if s.armed {
		s.armed = false
		close(s.entered)
		<-s.release
	}
	return s.Store.Keys(ctx, tags)
}

// A process that has not heard of an erasure is asked for the subject's key in a
// compartment made since: it hears of both, and must leave no key behind.
func TestAttackNewCompartmentBeforeTheErasureIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := inhabited(t)
		other := w.open(t)
		_, err := other.Subject(ctx, budi, "clinical")
		require.NoError(t, err)
		_, err = w.ring.Shred(ctx, alice)
		require.NoError(t, err)
		require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
		_, err = other.CreateSubject(ctx, alice, "audit")
		requireError(t, err, keyring.ErrShredded)
		row, there := keyring.Rows(w.Store)[w.ring.TagOf("audit", alice)]
		require.False(t, there && row.State == keyring.Active, "an erased subject has a key")
		_, _ = other.Close(), w.ring.Close()
	})
}

// The same of a retained subject: the key would be in no package.
func TestAttackNewCompartmentBeforeTheRetentionIsSeen(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	other := w.open(t)
	_, err := other.Subject(ctx, budi, "clinical")
	require.NoError(t, err)
	w.retainAlice(t, 1)
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
	_, err = other.CreateSubject(ctx, alice, "audit")
	requireError(t, err, keyring.ErrRetained)
	row, there := keyring.Rows(w.Store)[w.ring.TagOf("audit", alice)]
	require.False(t, there && row.State == keyring.Active, "a retained subject has a key that is in no package")
}

// Rows that name versions which are not there make the ring look for them: not
// once for each row.
func TestAttackManyUnknownVersions(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, "clinical")
	var ids []string
	for i := range 200 {
		ids = append(ids, "patient-"+hex.EncodeToString([]byte{byte(i)}))
	}
	_, err := w.ring.CreateSubjects(ctx, ids, "clinical")
	require.NoError(t, err)
	for i, id := range ids {
		tag := w.ring.TagOf("clinical", id)
		rec := keyring.Rows(w.Store)[tag]
		rec.Version = uint32(1000 + i)
		keyring.Rows(w.Store)[tag] = rec
	}
	store := &faultyStore{Store: w.Store}
	w.Store = store
	r := w.open(t)
	_, err = r.Keyset(ctx, "clinical")
	require.NoError(t, err)
	store.calls.Store(0)
	page, err := r.Subjects(ctx, ids, "clinical")
	require.NoError(t, err)
	for _, p := range page {
		requireError(t, p.Err, keyring.ErrUnknownVersion)
	}
	require.LessOrEqual(t, store.calls.Load(), int32(4))
}

// A thief who has the custodian's private key and can write the store, and has no
// KEK, makes no package: what EndRetention brings back is what was retained.
func TestAttackPackageMadeByTheCustodian(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	w.retainAlice(t, 1)
	held := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	_, err := w.ring.Retain(ctx, budi, kept(1))
	require.NoError(t, err)
	of := keyring.Rows(w.Store)[w.ring.CustodyTagOf(budi)]
	for _, wrapped := range [][]byte{
		append(append([]byte{}, held.Wrapped[:48]...), of.Wrapped[48:]...), // budi's, under alice's MAC
		append(append([]byte{}, of.Wrapped[:48]...), held.Wrapped[48:]...),
		of.Wrapped,
	} {
		forged := held
		forged.Wrapped = wrapped
		w.putRow(forged)
		requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrCorrupt)
		w.requireRetained0(t)
	}
	w.putRow(held)
	require.NoError(t, w.open(t).EndRetention(ctx, alice, w.key))
}

func (w *custodied) requireRetained0(t testing.TB) {
	t.Helper()
	_, err := w.open(t).Subject(t.Context(), alice, "clinical")
	requireError(t, err, keyring.ErrRetained)
}

// A journal of which every line but the last is another history's.
func TestAttackJournalOfAnotherHistory(t *testing.T) {
	ctx := t.Context()
	w := inhabited(t)
	store, text := keyring.Backup(w.Store), w.text(t)
	_, err := w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	erased := w.text(t)
	keyring.PutBack(w.Store, store)
	w.rewrite(t, text)
	fork := w.open(t)
	_, err = fork.Shred(ctx, budi)
	require.NoError(t, err)
	forked := w.text(t)
	lines := strings.SplitAfter(erased, "\n")
	for _, journal := range []string{erased, erased + forked[len(text):], forked + lines[len(lines)-2]} {
		w.rewrite(t, journal)
		_, err := keyring.Open(ctx, w.Config)
		require.Error(t, err)
		require.Error(t, keyring.Replay(ctx, w.Config))
	}
}
