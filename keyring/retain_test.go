package keyring_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

const basis = "Permenkes 24/2022 art. 39"

// kept is a retention for n hours.
func kept(n int) keyring.Retention {
	return keyring.Retention{Until: time.Now().Add(time.Duration(n) * time.Hour), Basis: basis}
}

// custodied is an inhabited world with a custodian, and what alice's keys seal.
type custodied struct {
	*world
	key  *keyring.CustodianKey
	were []string
}

func withCustodian(t testing.TB) *custodied {
	w := &custodied{world: inhabited(t)}
	var err error
	w.key, err = keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "custodian"))
	require.NoError(t, err)
	w.Config.Custodian = w.key.Custodian()
	w.ring = w.open(t)
	w.were = w.keysOf(t, w.ring)
	return w
}

func (w *custodied) keysOf(t testing.TB, r *keyring.Ring) []string {
	t.Helper()
	keys, err := r.Subject(t.Context(), alice, "clinical", "identity")
	require.NoError(t, err)
	return tokens(t, keys)
}

// retainAlice retains alice for n hours.
func (w *custodied) retainAlice(t testing.TB, n int) keyring.Receipt {
	t.Helper()
	receipt, err := w.ring.Retain(t.Context(), alice, kept(n))
	require.NoError(t, err)
	return receipt
}

// requireRetained checks that nobody gets a key of alice, and everybody of budi.
func (w *custodied) requireRetained(t testing.TB, rings ...*keyring.Ring) {
	t.Helper()
	ctx := t.Context()
	for _, r := range append(rings, w.open(t)) {
		for _, names := range [][]string{{"identity"}, {"clinical"}, {"clinical", "identity"}} {
			_, err := r.Subject(ctx, alice, names...)
			requireError(t, err, keyring.ErrRetained)
			var why *keyring.RetainedError
			require.ErrorAs(t, err, &why)
			require.Equal(t, basis, why.Basis)
			_, err = r.CreateSubject(ctx, alice, names...)
			requireError(t, err, keyring.ErrRetained)
			page, err := r.CreateSubjects(ctx, []string{budi, alice}, names...)
			require.NoError(t, err)
			require.NoError(t, page[0].Err)
			requireError(t, page[1].Err, keyring.ErrRetained)
		}
	}
}

// requireBack ends the retention and checks that alice has the keys she had.
func (w *custodied) requireBack(t testing.TB) {
	t.Helper()
	require.NoError(t, w.open(t).EndRetention(t.Context(), alice, w.key))
	require.Equal(t, w.were, w.keysOf(t, w.open(t)))
	row := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	require.Len(t, row.Wrapped, 48, "the package is gone")
}

// row returns alice's row in a compartment.
func (w *custodied) row(compartment string) keyring.KeyRecord {
	return keyring.Rows(w.Store)[w.ring.TagOf(compartment, alice)]
}

func (w *custodied) putRow(rec keyring.KeyRecord) { keyring.Rows(w.Store)[rec.Tag] = rec }

func TestRetain(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit")) // alice has no key in it
	until := time.Now().Add(25 * 365 * 24 * time.Hour)
	receipt, err := w.ring.Retain(ctx, alice, keyring.Retention{Until: until, Basis: basis})
	require.NoError(t, err)
	w.requireRetained(t, w.ring)
	_, err = w.ring.CreateSubject(ctx, alice, "audit")
	requireError(t, err, keyring.ErrRetained)
	require.EqualError(t, err, fmt.Sprintf("keyring: subject retained until %s: %s", until.UTC().Format(time.RFC3339), basis))
	require.NoError(t, w.ring.CreateKeyset(ctx, "sensitive"))
	_, err = w.open(t).CreateSubject(ctx, alice, "sensitive")
	requireError(t, err, keyring.ErrRetained)

	require.Equal(t, "retained", receipt.Action)
	require.Equal(t, basis, receipt.Basis)
	require.Equal(t, time.Unix(until.Unix(), 0).UTC(), receipt.Until)
	require.Equal(t, []string{"clinical", "identity"}, receipt.Compartments)
	require.EqualValues(t, 5, receipt.Entry)
	text := receipt.String()
	for _, part := range []string{"retained in ring clinic", "entry 5", "until: " + until.UTC().Format(time.RFC3339), "basis: " + basis, "keys with the custodian: clinical, identity", "Lookup tokens", "Backups", "5 seconds", "custodian's private key"} {
		require.Contains(t, text, part)
	}
	require.NotContains(t, text, "destroyed:")
	for name, public := range map[string]string{"receipt": text, "journal": w.text(t)} {
		require.NotContains(t, public, alice, name)
	}
	require.Len(t, keyring.Rows(w.Store), 5, "two stubs, a package, budi's keys, and no row in audit")
	for _, c := range []string{"clinical", "identity"} {
		row := w.row(c)
		require.Equal(t, keyring.Retained, row.State)
		require.Len(t, row.Wrapped, 48+8+len(basis))
		require.EqualValues(t, until.Unix(), binary.BigEndian.Uint64(row.Wrapped[48:]))
		require.Zero(t, row.Commitment)
		require.Zero(t, row.Generation)
	}
	w.requireBack(t)
	w.ring = w.open(t)
	_, err = w.ring.CreateSubject(ctx, alice, "audit")
	require.NoError(t, err)
	w.retainAlice(t, 1)
	w.requireRetained(t, w.ring)
	w.requireBack(t)
	_, err = w.open(t).Subject(ctx, alice, "audit")
	require.NoError(t, err)
	requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrState)
}

// Another process serves nobody retained after 5 seconds.
func TestRetainBetweenProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := withCustodian(t)
		other := w.open(t)
		require.Equal(t, w.were, w.keysOf(t, other))
		w.retainAlice(t, 1)
		time.Sleep(5*time.Second + time.Millisecond)
		w.requireRetained(t, other)
		require.NoError(t, w.ring.EndRetention(t.Context(), alice, w.key))
		time.Sleep(5*time.Second + time.Millisecond)
		require.Equal(t, w.were, w.keysOf(t, other))
		_ = other.Close()
		_ = w.ring.Close()
	})
}

func TestRetainRefuses(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before, rows := w.text(t), keyring.Backup(w.Store)
	hour := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		subject string
		why     keyring.Retention
		want    error
	}{
		"no subject":      {"", kept(1), keyring.ErrEmpty},
		"mistyped":        {"patient-alise", kept(1), keyring.ErrNoSubjectKey},
		"no basis":        {alice, keyring.Retention{Until: hour}, keyring.ErrName},
		"underscore":      {alice, keyring.Retention{Until: hour, Basis: "a_b"}, keyring.ErrName},
		"not ASCII":       {alice, keyring.Retention{Until: hour, Basis: "pasal 39 ½"}, keyring.ErrName},
		"a sign":          {alice, keyring.Retention{Until: hour, Basis: "-"}, keyring.ErrName},
		"long basis":      {alice, keyring.Retention{Until: hour, Basis: strings.Repeat("a", 129)}, keyring.ErrName},
		"no date":         {alice, keyring.Retention{Basis: basis}, keyring.ErrName},
		"now":             {alice, keyring.Retention{Until: time.Now(), Basis: basis}, keyring.ErrName},
		"beyond 9999":     {alice, keyring.Retention{Until: time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600)), Basis: basis}, keyring.ErrName},
		"beyond anything": {alice, keyring.Retention{Until: time.Unix(1<<60, 0), Basis: basis}, keyring.ErrName},
	} {
		receipt, err := w.ring.Retain(ctx, c.subject, c.why)
		requireError(t, err, c.want)
		require.Zero(t, receipt, name)
	}
	_, err := w.ring.Only("identity").Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrNotGranted)
	requireError(t, w.ring.Only("identity").EndRetention(ctx, alice, w.key), keyring.ErrNotGranted)
	requireError(t, w.ring.EndRetention(ctx, alice, nil), keyring.ErrEmpty)
	requireError(t, w.ring.EndRetention(ctx, alice, &keyring.CustodianKey{}), keyring.ErrEmpty)
	requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrState)
	requireError(t, w.ring.EndRetention(ctx, "", w.key), keyring.ErrEmpty)
	_, err = w.ring.ShredRetained(ctx, alice, "a_b")
	requireError(t, err, keyring.ErrName)
	_, err = w.ring.ShredRetained(ctx, alice, "")
	requireError(t, err, keyring.ErrName)
	cfg := w.Config
	cfg.Custodian = keyring.Custodian{}
	nobody, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = nobody.Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrEmpty)
	require.Equal(t, before, w.text(t))
	require.Equal(t, keyring.Rows(rows), keyring.Rows(w.Store))

	_, err = w.ring.Shred(ctx, alice)
	require.NoError(t, err)
	_, err = w.ring.Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrShredded)
	requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrShredded)
	require.NoError(t, w.ring.Close())
	_, err = w.ring.Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrClosed)
	requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrClosed)
}

// Retained again, only a later date counts, and the package stays.
func TestRetainAgain(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	first := w.retainAlice(t, 10)
	held := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	for _, until := range []time.Time{first.Until, first.Until.Add(-time.Second), first.Until.Add(time.Second - 1)} {
		_, err := w.ring.Retain(ctx, alice, keyring.Retention{Until: until, Basis: "another"})
		var why *keyring.RetainedError
		require.ErrorAs(t, err, &why)
		require.Equal(t, keyring.RetainedError{Until: first.Until, Basis: basis}, *why)
	}
	calls := w.kek.opens.Load()
	second, err := w.open(t).Retain(ctx, alice, keyring.Retention{Until: first.Until.Add(time.Second), Basis: "another"})
	require.NoError(t, err)
	require.LessOrEqual(t, w.kek.opens.Load(), calls+1, "the ring's keyset alone")
	require.Equal(t, first.Compartments, second.Compartments)
	require.Equal(t, held, keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)])
	require.EqualValues(t, second.Until.Unix(), binary.BigEndian.Uint64(w.row("clinical").Wrapped[48:]))
	w.requireRetainedAlone(t, w.ring)
	w.requireBack(t)
}

func TestShredOfTheRetained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := withCustodian(t)
		_, err := w.ring.Retain(ctx, budi, kept(2))
		require.NoError(t, err)
		first := w.retainAlice(t, 1)
		_, err = w.ring.Shred(ctx, alice)
		var why *keyring.RetainedError
		require.ErrorAs(t, err, &why)
		require.Equal(t, keyring.RetainedError{Until: first.Until, Basis: basis}, *why)

		time.Sleep(time.Until(first.Until) - time.Nanosecond)
		_, err = w.ring.Shred(ctx, alice)
		requireError(t, err, keyring.ErrRetained)
		time.Sleep(time.Nanosecond)
		receipt, err := w.ring.Shred(ctx, alice)
		require.NoError(t, err)
		require.Equal(t, "erased", receipt.Action)
		require.Empty(t, receipt.Basis)
		require.Zero(t, receipt.Until)
		require.Equal(t, []string{"clinical", "identity"}, receipt.Compartments)
		require.Contains(t, receipt.String(), "Backups of the key store made during a retention")
		require.NotContains(t, receipt.String(), "basis:")
		require.NotContains(t, receipt.String(), "until:")

		byOrder, err := w.ring.ShredRetained(ctx, budi, "PN Jakarta 12/2026")
		require.NoError(t, err)
		require.Equal(t, "PN Jakarta 12/2026", byOrder.Basis)
		require.Contains(t, byOrder.String(), "erased in ring clinic")
		require.Contains(t, byOrder.String(), "basis: PN Jakarta 12/2026")
		require.Contains(t, w.text(t), " PN_Jakarta_12/2026 +clinical:")
		again, err := w.ring.ShredRetained(ctx, budi, "another")
		require.NoError(t, err)
		require.Equal(t, byOrder, again, "the first time counts")
		for _, row := range keyring.Rows(w.Store) {
			require.Equal(t, keyring.Destroyed, row.State)
			require.Len(t, row.Wrapped, 48, "the packages too")
		}
		for _, id := range []string{alice, budi} {
			requireError(t, w.ring.EndRetention(ctx, id, w.key), keyring.ErrShredded)
			_, err = w.open(t).CreateSubject(ctx, id, "clinical")
			requireError(t, err, keyring.ErrShredded)
		}
		_ = w.ring.Close()
	})
}

// One who is not retained is erased by an authority all the same.
func TestShredRetainedOfOneWhoIsNot(t *testing.T) {
	w := withCustodian(t)
	receipt, err := w.ring.ShredRetained(t.Context(), alice, "a court")
	require.NoError(t, err)
	require.Equal(t, "a court", receipt.Basis)
	require.NotContains(t, receipt.String(), "custodian")
	w.requireErased(t)
}

// The entry is journalled and its writer dead: a process without a single
// compartment's KEK, and without a custodian, completes it.
func TestRetentionIsCompletedWithoutAKey(t *testing.T) {
	for _, verb := range []string{"retain", "shred", "resume"} {
		t.Run(verb, func(t *testing.T) {
			ctx := t.Context()
			w := withCustodian(t)
			if verb != "retain" {
				w.retainAlice(t, 1)
			}
			before := keyring.Backup(w.Store)
			store := &failingCommit{Store: w.Store}
			cfg := w.Config
			cfg.Store = store
			r, err := keyring.Open(ctx, cfg)
			require.NoError(t, err)
			store.fail = true
			switch verb {
			case "retain":
				_, err = r.Retain(ctx, alice, kept(1))
			case "shred":
				_, err = r.ShredRetained(ctx, alice, "a court")
			case "resume":
				err = r.EndRetention(ctx, alice, w.key)
			}
			requireError(t, err, errStore)
			if verb != "resume" {
				require.Equal(t, keyring.Rows(before)[w.ring.TagOf("clinical", alice)], w.row("clinical"), "not committed")
			}
			keyless := keyring.Config{Store: w.Store, Journal: w.Journal, KEKs: map[string]keyring.KEK{"ring": w.kek}}
			other, err := keyring.Open(ctx, keyless)
			require.NoError(t, err)
			_, err = other.Subject(ctx, alice, "clinical")
			switch verb {
			case "retain":
				requireError(t, err, keyring.ErrRetained)
				require.Equal(t, keyring.Retained, w.row("clinical").State)
				w.requireRetained(t)
				w.requireBack(t)
			case "shred":
				requireError(t, err, keyring.ErrShredded)
				w.requireErased(t)
			case "resume":
				requireError(t, err, keyring.ErrKEK) // served, by whoever has the key
				require.Equal(t, w.were, w.keysOf(t, w.open(t)))
				w.requireBack(t)
			}
		})
	}
}

// failingCommit fails a commit before its effect.
type failingCommit struct {
	keyring.Store
	fail bool
}

func (s *failingCommit) Commit(ctx context.Context, ch keyring.Change) error {
	if s.fail {
		return errStore
	}
	return s.Store.Commit(ctx, ch)
}

// A store from before the retention: Replay seals its keys to the custodian, or,
// without one, writes nothing.
func TestRestoreFromBeforeARetention(t *testing.T) {
	ctx := t.Context()
	for _, behind := range []int{1, 3} {
		w := withCustodian(t)
		before := keyring.Backup(w.Store)
		w.retainAlice(t, 1)
		if behind > 1 {
			_, err := w.ring.Shred(ctx, budi)
			require.NoError(t, err)
			require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
			require.NoError(t, w.ring.Close())
			keyring.StagedKeysets(before)["audit"] = keyring.ActiveKeysets(w.Store)["audit"]
		}
		keyring.PutBack(w.Store, before)
		nobody := w.Config
		nobody.Custodian = keyring.Custodian{}
		requireError(t, keyring.Replay(ctx, nobody), keyring.ErrEmpty)
		require.Equal(t, keyring.Rows(before), keyring.Rows(w.Store), "nothing is written")
		noKEK := w.Config
		noKEK.KEK, noKEK.KEKs = nil, map[string]keyring.KEK{"ring": w.kek}
		requireError(t, keyring.Replay(ctx, noKEK), keyring.ErrKEK)
		require.Equal(t, keyring.Rows(before), keyring.Rows(w.Store), "nothing is written")
		require.NoError(t, keyring.Replay(ctx, w.Config))
		_, err := w.open(t).Subject(ctx, alice, "clinical")
		requireError(t, err, keyring.ErrRetained)
		require.Equal(t, keyring.Retained, w.row("clinical").State)
		require.NoError(t, keyring.Replay(ctx, nobody), "level: no custodian is needed")
		w.requireBack(t)
	}
}

// Retained and back, or retained and erased: an older store retains nobody, and
// needs no custodian.
func TestRestoreFromBeforeARetentionThatIsOver(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
	_, err := w.ring.Retain(ctx, budi, kept(1))
	require.NoError(t, err)
	_, err = w.ring.ShredRetained(ctx, budi, "a court")
	require.NoError(t, err)
	keyring.PutBack(w.Store, before)
	nobody := w.Config
	nobody.Custodian = keyring.Custodian{}
	require.NoError(t, keyring.Replay(ctx, nobody))
	require.Equal(t, w.were, w.keysOf(t, w.open(t)))
	_, err = w.open(t).Subject(ctx, budi, "clinical")
	requireError(t, err, keyring.ErrShredded)
}

// A store from during a retention, whose end the journal has: EndRetention
// brings the keys back once more, and nothing else may take their place.
func TestRestoreFromDuringARetentionThatIsOver(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	w.retainAlice(t, 1)
	during := keyring.Backup(w.Store)
	require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
	keyring.StagedKeysets(during)["audit"] = keyring.ActiveKeysets(w.Store)["audit"]
	keyring.PutBack(w.Store, during)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	r := w.open(t)
	_, err := r.Subject(ctx, alice, "clinical")
	requireError(t, err, keyring.ErrRolledBack)
	_, err = r.CreateSubject(ctx, alice, "clinical")
	requireError(t, err, keyring.ErrRolledBack)
	requireError(t, r.Rekey(ctx, alice), keyring.ErrRolledBack)
	requireError(t, r.EndRekey(ctx, alice), keyring.ErrRolledBack)

	_, err = r.CreateSubject(ctx, alice, "audit") // her only key that is served
	require.NoError(t, err)
	_, err = r.Retain(ctx, alice, kept(1)) // must not put its package in the place of the old one
	requireError(t, err, keyring.ErrRolledBack)
	w.requireBack(t)
	w.ring = w.open(t)
	w.retainAlice(t, 1)
	w.requireBack(t)
}

// A package is replaced by nothing that holds less: one row comes back from a
// backup, beside a package that Replay made of an older store.
func TestRestoreOfARowBesideAnotherPackage(t *testing.T) {
	ctx := t.Context()
	for _, next := range []string{"replay", "prolong", "complete"} {
		t.Run(next, func(t *testing.T) {
			w := withCustodian(t)
			before := keyring.Backup(w.Store)
			w.retainAlice(t, 1)
			keyring.PutBack(w.Store, before)
			require.NoError(t, keyring.Replay(ctx, w.Config))
			w.putRow(keyring.Rows(before)[w.ring.TagOf("identity", alice)])
			switch next {
			case "replay":
				require.NoError(t, keyring.Replay(ctx, w.Config))
			case "prolong":
				w.ring = w.open(t)
				w.retainAlice(t, 2)
				require.NoError(t, keyring.Replay(ctx, w.Config))
			case "complete":
				store := &failingCommit{Store: w.Store}
				cfg := w.Config
				cfg.Store = store
				r, err := keyring.Open(ctx, cfg)
				require.NoError(t, err)
				store.fail = true
				_, err = r.Retain(ctx, alice, kept(2))
				requireError(t, err, errStore)
			}
			w.requireRetained(t)
			w.requireBack(t)
		})
	}
}

// A row that comes back beside the entry's own package gets its stub again.
func TestRestoreOfARowDuringARetention(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	row := w.row("identity")
	w.retainAlice(t, 1)
	w.putRow(row)
	w.requireRetained(t, w.ring)
	held := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	nobody := w.Config
	nobody.Custodian = keyring.Custodian{}
	require.NoError(t, keyring.Replay(ctx, nobody), "its key is in the package")
	require.Equal(t, keyring.Retained, w.row("identity").State)
	w.putRow(row)
	w.retainAlice(t, 2)
	require.Equal(t, keyring.Retained, w.row("identity").State)
	require.Equal(t, held, keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)])
	w.putRow(row)
	w.requireBack(t)
}

// The package is lost and the keys come back from a backup: retained for longer,
// they are sealed again, and the entry knows that package.
func TestRestoreOfRowsWithoutAPackage(t *testing.T) {
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	for _, c := range []string{"clinical", "identity"} {
		w.putRow(keyring.Rows(before)[w.ring.TagOf(c, alice)])
	}
	delete(keyring.Rows(w.Store), w.ring.CustodyTagOf(alice))
	w.retainAlice(t, 2)
	require.Equal(t, keyring.Retained, w.row("identity").State)
	w.putRow(keyring.Rows(before)[w.ring.TagOf("identity", alice)])
	require.NoError(t, keyring.Replay(t.Context(), w.Config))
	require.Equal(t, keyring.Retained, w.row("identity").State)
	w.requireBack(t)
}

// A key that another process makes while it has not seen the retention is in no
// package: no later entry writes over it.
func TestRetainAgainSparesAKeyMadeMeanwhile(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
	other := w.open(t)
	w.retainAlice(t, 1)
	keys, err := other.CreateSubject(ctx, alice, "audit")
	require.NoError(t, err, "five seconds are not over")
	made := token(t, keys[0])
	w.retainAlice(t, 2)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	w.requireRetained(t)
	w.requireBack(t)
	keys, err = w.open(t).Subject(ctx, alice, "audit")
	require.NoError(t, err)
	require.Equal(t, made, token(t, keys[0]))
}

// What Replay cannot seal keeps nobody else from being erased, and is not lost: a
// key of an older generation, a row that does not open, a row that the backup had
// not.
func TestRestoreOfRowsThatCannotBeSealed(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	require.NoError(t, w.ring.Rekey(ctx, alice))
	w.retainAlice(t, 1)
	_, err := w.ring.Shred(ctx, budi)
	require.NoError(t, err)
	newest := keyring.Backup(w.Store)
	identity := w.ring.TagOf("identity", alice)
	for name, change := range map[string]func(){
		"an older generation": func() {},
		"a damaged row":       func() { r := keyring.Rows(w.Store)[identity]; r.Wrapped = r.Wrapped[1:]; w.putRow(r) },
		"an unknown version":  func() { r := keyring.Rows(w.Store)[identity]; r.Version = 9; w.putRow(r) },
		"a row less":          func() { delete(keyring.Rows(w.Store), identity) },
		"no row": func() {
			delete(keyring.Rows(w.Store), identity)
			delete(keyring.Rows(w.Store), w.ring.TagOf("clinical", alice))
		},
	} {
		t.Run(name, func(t *testing.T) {
			keyring.PutBack(w.Store, before)
			change()
			was, there := keyring.Rows(w.Store)[identity]
			require.NoError(t, keyring.Replay(ctx, w.Config))
			r := w.open(t)
			for id, want := range map[string]error{alice: keyring.ErrRetained, budi: keyring.ErrShredded} {
				_, err := r.Subject(ctx, id, "identity")
				requireError(t, err, want)
			}
			now, is := keyring.Rows(w.Store)[identity]
			require.Equal(t, there, is)
			if strings.HasPrefix(name, "a damaged") || strings.HasPrefix(name, "an unknown") {
				require.Equal(t, was, now, "no key: left as it is")
			}
			err := r.EndRetention(ctx, alice, w.key)
			if name == "no row" {
				requireError(t, err, keyring.ErrCorrupt)
			} else {
				requireError(t, err, keyring.ErrRolledBack) // the generation that counts is in a newer backup
			}
			_, err = r.ShredRetained(ctx, alice, "a court")
			require.NoError(t, err)
			keyring.PutBack(w.Store, newest)
			w.rewrite(t, w.text(t)[:strings.LastIndex(strings.TrimSuffix(w.text(t), "\n"), "\n")+1])
		})
	}
	w.requireBackAfterRekey(t)
}

// requireBackAfterRekey ends the retention of alice, whose older key is what it was.
func (w *custodied) requireBackAfterRekey(t testing.TB) {
	t.Helper()
	r := w.open(t)
	require.NoError(t, r.EndRetention(t.Context(), alice, w.key))
	keys, err := r.Subject(t.Context(), alice, "clinical", "identity")
	require.NoError(t, err)
	for i, k := range keys {
		older, err := k.Record(1)
		require.NoError(t, err)
		require.Equal(t, w.were[i], sealed(older))
	}
}

// A row that the backup had not gets no stub: nothing would ever replace it.
func TestRestoreLeavesNoStubWithoutAPackage(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	delete(keyring.Rows(before), w.ring.TagOf("identity", alice))
	w.retainAlice(t, 1)
	keyring.PutBack(w.Store, before)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	r := w.open(t)
	require.NoError(t, r.EndRetention(ctx, alice, w.key))
	_, err := r.CreateSubject(ctx, alice, "clinical", "identity")
	require.NoError(t, err)
}

// EndRetention meets rows with a key: what a killed call wrote, a newer or an
// older one, a damaged one, a tombstone.
func TestEndRetentionMeetsRows(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	older, budis := w.row("identity"), keyring.Rows(w.Store)[w.ring.TagOf("identity", budi)]
	require.NoError(t, w.ring.Rekey(ctx, alice))
	same := w.row("identity")
	w.retainAlice(t, 1)
	w.were = nil
	store, text := keyring.Backup(w.Store), w.text(t)
	stub := w.row("identity")
	damaged := same
	damaged.Wrapped = bytes.Clone(same.Wrapped)
	damaged.Wrapped[20] ^= 1
	damagedStub := stub
	damagedStub.Wrapped = bytes.Clone(stub.Wrapped)
	damagedStub.Wrapped[50] ^= 1
	foreign := budis
	foreign.Tag = stub.Tag
	for name, c := range map[string]struct {
		row  keyring.KeyRecord
		want error
	}{
		"the same":       {same, nil},
		"an older one":   {older, nil},
		"damaged":        {damaged, nil},
		"another's":      {foreign, nil},
		"a stub":         {stub, nil},
		"a damaged stub": {damagedStub, keyring.ErrCorrupt},
		"a tombstone":    {w.ring.Bury("identity", alice, alice), keyring.ErrJournalLost},
		"a false one":    {w.ring.Bury("identity", alice, budi), keyring.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			keyring.PutBack(w.Store, store)
			w.rewrite(t, text)
			w.putRow(c.row)
			r := w.open(t)
			err := r.EndRetention(ctx, alice, w.key)
			if c.want != nil {
				requireError(t, err, c.want)
				require.Equal(t, text, w.text(t))
				require.Equal(t, keyring.Rows(store)[w.ring.CustodyTagOf(alice)], keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)])
				_, err = w.open(t).Subject(ctx, alice, "clinical")
				requireError(t, err, keyring.ErrRetained)
				return
			}
			require.NoError(t, err)
			keys, err := r.Subject(ctx, alice, "clinical", "identity")
			require.NoError(t, err)
			if w.were == nil {
				w.were = tokens(t, keys)
			}
			require.Equal(t, w.were, tokens(t, keys))
			_, err = keys[1].Record(1)
			require.NoError(t, err)
		})
	}
}

// A package from an earlier retention that lacks a key: what it has comes back,
// it stays, and the right one is taken when it is there again.
func TestAttackOlderPackageLacksAKey(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
	custody := w.ring.CustodyTagOf(alice)
	w.retainAlice(t, 1)
	first := keyring.Rows(w.Store)[custody]
	require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
	keys, err := w.ring.CreateSubject(ctx, alice, "audit")
	require.NoError(t, err)
	w.retainAlice(t, 1)
	second := keyring.Rows(w.Store)[custody]
	w.putRow(first)
	err = w.ring.EndRetention(ctx, alice, w.key)
	requireError(t, err, keyring.ErrCorrupt)
	require.ErrorContains(t, err, `"audit"`)
	require.Equal(t, w.were, w.keysOf(t, w.ring))
	_, err = w.ring.Subject(ctx, alice, "audit")
	requireError(t, err, keyring.ErrRolledBack)
	require.Equal(t, first, keyring.Rows(w.Store)[custody])
	w.putRow(second)
	w.requireBack(t)
	again, err := w.open(t).Subject(ctx, alice, "audit")
	require.NoError(t, err)
	require.Equal(t, token(t, keys[0]), token(t, again[0]))
}

// A package of before a rekeying brings no old key back.
func TestAttackPackageFromBeforeARekey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := withCustodian(t)
		custody := w.ring.CustodyTagOf(alice)
		w.retainAlice(t, 1)
		old := keyring.Rows(w.Store)[custody]
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
		require.NoError(t, w.ring.Rekey(ctx, alice))
		time.Sleep(61 * time.Second)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		w.were = w.keysOf(t, w.ring)
		w.retainAlice(t, 1)
		right := keyring.Rows(w.Store)[custody]
		w.putRow(old)
		requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrRolledBack)
		w.requireRetained(t, w.ring)
		w.putRow(right)
		w.requireBack(t)
		_ = w.ring.Close()
	})
}

// An attacker who writes to the store, and has a custodian's key of his own.
func TestAttackPackage(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	mine, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "mine"))
	require.NoError(t, err)
	w.retainAlice(t, 1)
	_, err = w.ring.Retain(ctx, budi, kept(1))
	require.NoError(t, err)
	tag := w.ring.CustodyTagOf(alice)
	good, budis := keyring.Rows(w.Store)[tag], keyring.Rows(w.Store)[w.ring.CustodyTagOf(budi)]
	foreign := withCustodian(t)
	foreign.Config.Custodian = mine.Custodian()
	foreign.ring = foreign.open(t)
	foreign.retainAlice(t, 1)
	theirs := keyring.Rows(foreign.Store)[foreign.ring.CustodyTagOf(alice)]

	requireError(t, w.ring.EndRetention(ctx, alice, mine), keyring.ErrKEK)
	for name, change := range map[string]func(*keyring.KeyRecord){
		"gone":              nil,
		"empty":             func(r *keyring.KeyRecord) { r.Wrapped = nil },
		"only the marker":   func(r *keyring.KeyRecord) { r.Wrapped = r.Wrapped[:48] },
		"cut":               func(r *keyring.KeyRecord) { r.Wrapped = r.Wrapped[:len(r.Wrapped)-1] },
		"whose":             func(r *keyring.KeyRecord) { r.Wrapped[0] ^= 1 },
		"proof":             func(r *keyring.KeyRecord) { r.Wrapped[20] ^= 1 },
		"package":           func(r *keyring.KeyRecord) { r.Wrapped[48] ^= 1 },
		"tag of package":    func(r *keyring.KeyRecord) { r.Wrapped[len(r.Wrapped)-1] ^= 1 },
		"version":           func(r *keyring.KeyRecord) { r.Version = 1 },
		"generation":        func(r *keyring.KeyRecord) { r.Generation = 1 },
		"commitment":        func(r *keyring.KeyRecord) { r.Commitment[0] = 1 },
		"a key":             func(r *keyring.KeyRecord) { r.State = keyring.Active },
		"buried":            func(r *keyring.KeyRecord) { r.State = keyring.Destroyed },
		"budi's":            func(r *keyring.KeyRecord) { r.Wrapped = budis.Wrapped },
		"budi's package":    func(r *keyring.KeyRecord) { r.Wrapped = append(r.Wrapped[:48:48], budis.Wrapped[48:]...) },
		"his own":           func(r *keyring.KeyRecord) { r.Wrapped = theirs.Wrapped },
		"his own, our mark": func(r *keyring.KeyRecord) { r.Wrapped = append(r.Wrapped[:48:48], theirs.Wrapped[48:]...) },
	} {
		t.Run(name, func(t *testing.T) {
			row := good
			row.Wrapped = bytes.Clone(good.Wrapped)
			if change == nil {
				delete(keyring.Rows(w.Store), tag)
			} else {
				change(&row)
				w.putRow(row)
			}
			before := w.text(t)
			r := w.open(t)
			for _, k := range []*keyring.CustodianKey{mine, w.key} {
				requireError(t, r.EndRetention(ctx, alice, k), keyring.ErrCorrupt)
			}
			require.Equal(t, before, w.text(t))
			w.requireRetainedAlone(t, r)
		})
	}
	w.putRow(good)
	w.requireBack(t)
}

func (w *custodied) requireRetainedAlone(t testing.TB, r *keyring.Ring) {
	t.Helper()
	_, err := r.CreateSubject(t.Context(), alice, "clinical")
	requireError(t, err, keyring.ErrRetained)
	require.Equal(t, keyring.Retained, w.row("clinical").State)
}

// Stubs that are put where the journal knows of no retention, or changed.
func TestAttackStub(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	live := w.row("clinical")
	w.retainAlice(t, 1)
	stub, other := w.row("clinical"), w.row("identity")
	require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
	for name, c := range map[string]struct {
		change func(*keyring.KeyRecord)
		want   error
	}{
		"as it was":         {func(*keyring.KeyRecord) {}, keyring.ErrRolledBack},
		"another date":      {func(r *keyring.KeyRecord) { r.Wrapped[55]++ }, keyring.ErrCorrupt},
		"another basis":     {func(r *keyring.KeyRecord) { r.Wrapped[56]++ }, keyring.ErrCorrupt},
		"no basis":          {func(r *keyring.KeyRecord) { r.Wrapped = r.Wrapped[:56] }, keyring.ErrCorrupt},
		"no date":           {func(r *keyring.KeyRecord) { r.Wrapped = r.Wrapped[:50] }, keyring.ErrCorrupt},
		"nothing":           {func(r *keyring.KeyRecord) { r.Wrapped = nil }, keyring.ErrCorrupt},
		"another's":         {func(r *keyring.KeyRecord) { r.Wrapped[0]++ }, keyring.ErrCorrupt},
		"of another row":    {func(r *keyring.KeyRecord) { r.Wrapped = other.Wrapped }, keyring.ErrCorrupt},
		"as a tombstone":    {func(r *keyring.KeyRecord) { r.State = keyring.Destroyed }, keyring.ErrCorrupt},
		"as a key":          {func(r *keyring.KeyRecord) { r.State, r.Generation, r.Version = keyring.Active, 1, 1 }, keyring.ErrCorrupt},
		"a key as a stub":   {func(r *keyring.KeyRecord) { *r = live; r.State = keyring.Retained }, keyring.ErrCorrupt},
		"a commitment left": {func(r *keyring.KeyRecord) { r.Commitment = live.Commitment }, keyring.ErrCorrupt},
		"a suspended key":   {func(r *keyring.KeyRecord) { *r = live; r.State = keyring.Suspended }, keyring.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			row := stub
			row.Wrapped = bytes.Clone(stub.Wrapped)
			c.change(&row)
			w.putRow(row)
			_, err := w.open(t).Subject(ctx, alice, "clinical")
			requireError(t, err, c.want)
			_, err = w.open(t).CreateSubject(ctx, alice, "clinical")
			requireError(t, err, c.want)
			_, err = w.open(t).Retain(ctx, alice, kept(1))
			requireError(t, err, c.want)
			requireError(t, w.open(t).Rekey(ctx, alice), c.want)
		})
	}
}

// All rows of a retained subject deleted, or the rows from before put back:
// she is not served, gets no new key, and can still be erased.
func TestAttackRetainedRowsDeleted(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	for tag, row := range keyring.Rows(before) {
		keyring.Rows(w.Store)[tag] = row
	}
	w.requireRetained(t, w.ring)
	for _, c := range []string{"clinical", "identity"} {
		delete(keyring.Rows(w.Store), w.ring.TagOf(c, alice))
	}
	w.requireRetained(t, w.ring)
	package_ := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	delete(keyring.Rows(w.Store), package_.Tag)
	w.requireRetained(t, w.ring)
	requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrCorrupt)
	w.putRow(package_)
	w.requireBack(t)
	w.ring = w.open(t)
	w.retainAlice(t, 1)
	clear(keyring.Rows(w.Store))
	receipt, err := w.ring.ShredRetained(ctx, alice, "a court")
	require.NoError(t, err, "the journal knows her")
	require.Empty(t, receipt.Compartments)
	for _, c := range []string{"clinical", "identity"} {
		require.Equal(t, keyring.Destroyed, w.row(c).State)
	}
}

// An erased subject's package in a backup is buried with the rest, although the
// entry of the erasure knows of none.
func TestRestoreOfAPackageOfTheErased(t *testing.T) {
	ctx := t.Context()
	for _, behind := range []int{1, 2} {
		w := withCustodian(t)
		before := keyring.Backup(w.Store)
		m := &faultyMedium{Memory: w.medium, fail: true}
		cfg := w.Config
		cfg.Journal = keyring.NewJournal(m)
		r, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		_, err = r.Retain(ctx, alice, kept(1))
		requireError(t, err, errStore)
		leftover := keyring.Backup(w.Store)
		custody := w.ring.CustodyTagOf(alice)
		require.Contains(t, keyring.Rows(leftover), custody, "the package is there before the entry")
		require.Equal(t, w.were, w.keysOf(t, w.open(t)), "which is not: she is served")
		keyring.PutBack(w.Store, before)
		_, err = w.open(t).Shred(ctx, alice)
		require.NoError(t, err)
		require.NotContains(t, w.text(t), " -ring:")
		if behind > 1 {
			_, err = w.open(t).Shred(ctx, budi)
			require.NoError(t, err)
		}
		keyring.PutBack(w.Store, leftover)
		require.NoError(t, keyring.Replay(ctx, w.Config))
		require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[custody].State)
		w.putRow(keyring.Rows(leftover)[custody])
		require.NoError(t, keyring.Replay(ctx, w.Config), "once more, alone")
		require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[custody].State)
		keyring.PutBack(w.Store, leftover)
		if behind == 1 {
			w.requireErased(t) // completed on opening
			require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[custody].State)
		}
	}
}

// A journal made anew from the store knows who is retained, until when, and that
// a tombstone among stubs is an erasure of all.
func TestReseedOfTheRetained(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	was := w.retainAlice(t, 1)
	shorter, mid := []keyring.KeyRecord{w.row("identity"), w.row("clinical")}, w.text(t)
	longer := w.retainAlice(t, 5)
	_, err := w.ring.Retain(ctx, budi, kept(1))
	require.NoError(t, err)
	require.NoError(t, w.ring.EndRetention(ctx, budi, w.key))
	store := keyring.Backup(w.Store)

	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	require.Equal(t, 1, strings.Count(w.text(t), " retain "))
	_, err = w.open(t).Subject(ctx, alice, "clinical")
	var why *keyring.RetainedError
	require.ErrorAs(t, err, &why)
	require.Equal(t, longer.Until, why.Until)
	require.Equal(t, keyring.Rows(store), keyring.Rows(w.Store))
	_, err = w.open(t).Subject(ctx, budi, "clinical")
	require.NoError(t, err)

	// One stub is an older one, the journal ends before the longer retention.
	for _, older := range shorter {
		keyring.PutBack(w.Store, store)
		w.putRow(older)
		w.rewrite(t, mid)
		require.NoError(t, keyring.Reseed(ctx, w.Config))
		_, err = w.open(t).Subject(ctx, alice, "clinical")
		require.ErrorAs(t, err, &why)
		require.NotEqual(t, was.Until, why.Until)
		require.Equal(t, longer.Until, why.Until)
		require.EqualValues(t, longer.Until.Unix(), binary.BigEndian.Uint64(keyring.Rows(w.Store)[older.Tag].Wrapped[48:]), "and the older stub is replaced")
		w.requireRetainedAlone(t, w.open(t))
	}

	// One of the rows has a tombstone.
	keyring.PutBack(w.Store, store)
	w.putRow(w.ring.Bury("identity", alice, alice))
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	w.requireErased(t)
	require.Contains(t, lastLine(t, w.world), " - +clinical:")
	require.Contains(t, lastLine(t, w.world), " +ring:")
	require.Equal(t, 1, strings.Count(w.text(t), " -identity:"))
	for _, tag := range []keyring.Tag{w.ring.CustodyTagOf(alice), w.ring.TagOf("clinical", alice)} {
		require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[tag].State)
	}

	// And one whose retention was over: no package was left of it.
	keyring.PutBack(w.Store, store)
	w.putRow(w.ring.Bury("identity", budi, budi))
	w.rewrite(t, "")
	require.NoError(t, keyring.Reseed(ctx, w.Config))
	require.Equal(t, 1, strings.Count(w.text(t), " -ring:"))
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[w.ring.CustodyTagOf(budi)].State)
}

// Of two retentions the newest counts alone: a package for the first would lack
// a key that came between.
func TestRestoreFromBeforeTwoRetentions(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	require.NoError(t, w.ring.CreateKeyset(ctx, "audit"))
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
	keys, err := w.ring.CreateSubject(ctx, alice, "audit")
	require.NoError(t, err)
	between := w.row("audit")
	w.retainAlice(t, 1)
	w.retainAlice(t, 2)
	require.Equal(t, 3, strings.Count(lastLine(t, w.world), " +"), "prolonged is the second")
	keyring.PutBack(w.Store, before)
	w.putRow(between)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	for _, c := range []string{"audit", "clinical", "identity"} {
		require.Equal(t, keyring.Retained, w.row(c).State, c)
	}
	w.requireBack(t)
	again, err := w.open(t).Subject(ctx, alice, "audit")
	require.NoError(t, err)
	require.Equal(t, tokens(t, keys), tokens(t, again))
}

// A store that loses what it is given is found out before the journal is.
func TestRetainReadsBack(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	cfg := w.Config
	cfg.Store = &forgetfulStore{Store: w.Store, packages: true}
	r, err := keyring.Open(ctx, cfg)
	require.NoError(t, err)
	before := w.text(t)
	_, err = r.Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrCorrupt)
	require.Equal(t, before, w.text(t))
	require.Equal(t, w.were, w.keysOf(t, w.open(t)))

	cfg.Store = &forgetfulStore{Store: w.Store, rows: true}
	r, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	_, err = r.Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrCorrupt)
	_, err = r.Shred(ctx, budi)
	requireError(t, err, keyring.ErrCorrupt)
	w.requireRetainedByJournal(t)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	require.Equal(t, keyring.Retained, w.row("clinical").State)
	cfg.Store = &forgetfulStore{Store: w.Store, swaps: true}
	r, err = keyring.Open(ctx, cfg)
	require.NoError(t, err)
	before = w.text(t)
	requireError(t, r.EndRetention(ctx, alice, w.key), keyring.ErrCorrupt)
	require.Equal(t, before, w.text(t))
	w.requireBack(t)
}

func (w *custodied) requireRetainedByJournal(t testing.TB) {
	t.Helper()
	_, err := w.open(t).Subject(t.Context(), alice, "clinical")
	requireError(t, err, keyring.ErrRetained)
}

// forgetfulStore says that it wrote, and did not.
type forgetfulStore struct {
	keyring.Store
	packages, rows, swaps bool
}

func (s *forgetfulStore) CreateKeys(ctx context.Context, recs []keyring.KeyRecord) ([]keyring.KeyRecord, error) {
	if s.packages {
		return recs, nil
	}
	return s.Store.CreateKeys(ctx, recs)
}

func (s *forgetfulStore) Commit(ctx context.Context, ch keyring.Change) error {
	if s.rows {
		ch.Keys = nil
	}
	return s.Store.Commit(ctx, ch)
}

func (s *forgetfulStore) SwapKeys(ctx context.Context, swaps []keyring.Swap) (int, error) {
	if s.swaps {
		return len(swaps), nil
	}
	return s.Store.SwapKeys(ctx, swaps)
}

// A custodian whose key is not one: nothing is written.
func TestRetainToNobody(t *testing.T) {
	_, err := keyring.ParseCustodian("rahasia-custodian-v1:")
	requireError(t, err, keyring.ErrKEK)
	key, err := keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "k"))
	require.NoError(t, err)
	parsed, err := keyring.ParseCustodian(key.Custodian().String())
	require.NoError(t, err)
	require.Equal(t, key.Custodian(), parsed)
	require.Zero(t, (*keyring.CustodianKey)(nil).Custodian())
	require.Zero(t, (&keyring.CustodianKey{}).Custodian())
	_, err = keyring.OpenCustodianKey(filepath.Join(t.TempDir(), "none"))
	require.Error(t, err)
	_, err = keyring.CreateCustodianKey(filepath.Join(t.TempDir(), "no", "folder"))
	require.Error(t, err)
}

// A row of a generation that the journal has left is not retained as the newest.
func TestAttackRetainOfARowFromBeforeARekey(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	old := w.row("identity")
	require.NoError(t, w.ring.Rekey(ctx, alice))
	w.putRow(old)
	before := w.text(t)
	_, err := w.ring.Retain(ctx, alice, kept(1))
	requireError(t, err, keyring.ErrRolledBack)
	require.Equal(t, before, w.text(t))
	require.NotContains(t, keyring.Rows(w.Store), w.ring.CustodyTagOf(alice))
}

// No package is made of rows that do not open, and none is replaced by one of
// the rest.
func TestRestoreOfDamagedRows(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	w.retainAlice(t, 1)
	keyring.PutBack(w.Store, before)
	require.NoError(t, keyring.Replay(ctx, w.Config)) // with a package of its own
	custody := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	damaged := func(c string) keyring.KeyRecord {
		r := keyring.Rows(before)[w.ring.TagOf(c, alice)]
		r.Wrapped = r.Wrapped[1:]
		return r
	}
	for _, rows := range [][]keyring.KeyRecord{
		{damaged("clinical"), damaged("identity")},
		{damaged("clinical"), keyring.Rows(before)[w.ring.TagOf("identity", alice)]},
	} {
		for _, row := range rows {
			w.putRow(row)
		}
		require.NoError(t, keyring.Replay(ctx, w.Config))
		require.Equal(t, custody, keyring.Rows(w.Store)[custody.Tag])
		require.Equal(t, rows[0], w.row("clinical"))
		w.requireRetained(t)
	}
	delete(keyring.Rows(w.Store), custody.Tag)
	w.putRow(damaged("identity"))
	require.NoError(t, keyring.Replay(ctx, w.Config))
	require.NotContains(t, keyring.Rows(w.Store), custody.Tag)
	w.putRow(custody)
	w.requireBack(t)
}

// A row under another compartment's name is nobody's.
func TestAttackRowOfAnotherCompartment(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	w.retainAlice(t, 1)
	custody, stub := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)], w.row("clinical")
	for _, change := range []func(){
		func() { r := custody; r.Compartment = "clinical"; w.putRow(r) },
		func() { r := stub; r.Compartment = "identity"; w.putRow(r) },
		func() { r := stub; r.Compartment = "ring"; w.putRow(r) },
	} {
		change()
		_, err := w.ring.ShredRetained(ctx, alice, "a court")
		requireError(t, err, keyring.ErrCorrupt)
		_, err = w.ring.Retain(ctx, alice, kept(9))
		requireError(t, err, keyring.ErrCorrupt)
		requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrCorrupt)
		w.putRow(custody)
		w.putRow(stub)
	}
	w.requireBack(t)
}

// Rows and packages of several generations: what is below the journal's newest
// ends nothing, and a row that is older than its package gives way.
func TestEndRetentionOfGenerations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := withCustodian(t)
		custody := w.ring.CustodyTagOf(alice)
		one := w.row("identity")
		w.retainAlice(t, 1)
		packageOne := keyring.Rows(w.Store)[custody]
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))

		// A rekeying that did not come to the journal: it is in the package.
		m := &faultyMedium{Memory: w.medium}
		cfg := w.Config
		cfg.Journal = keyring.NewJournal(m)
		dying, err := keyring.Open(ctx, cfg)
		require.NoError(t, err)
		m.fail = true
		requireError(t, dying.Rekey(ctx, alice), errStore)
		k := oneKey(t, w.open(t))
		two := record(t, k, 2)
		w.retainAlice(t, 1)
		w.putRow(one)
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
		keys, err := w.open(t).Subject(ctx, alice, "clinical", "identity")
		require.NoError(t, err)
		require.EqualValues(t, 2, keys[1].Generation())
		require.Equal(t, two, record(t, keys[0], 2))

		// A newer row than the package's stays.
		w.retainAlice(t, 1)
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
		live := []keyring.KeyRecord{w.row("clinical"), w.row("identity")}
		w.retainAlice(t, 1)
		w.putRow(packageOne)
		w.putRow(live[0])
		w.putRow(live[1])
		require.NoError(t, w.ring.EndRetention(ctx, alice, w.key))
		require.Equal(t, live, []keyring.KeyRecord{w.row("clinical"), w.row("identity")})

		// But not if the journal has left it too.
		require.NoError(t, w.ring.Rekey(ctx, alice))
		time.Sleep(rekeyed)
		require.NoError(t, w.ring.EndRekey(ctx, alice))
		require.NoError(t, w.ring.Rekey(ctx, alice))
		w.retainAlice(t, 1)
		w.putRow(packageOne)
		w.putRow(live[0])
		w.putRow(live[1])
		requireError(t, w.ring.EndRetention(ctx, alice, w.key), keyring.ErrRolledBack)
		w.requireRetained(t, w.ring)
		_, _ = dying.Close(), w.ring.Close()
	})
}

// Two histories made a key of one generation: the row of the one beside the
// package of the other ends nothing, until Replay has put the stub back.
func TestRestoreOfAnotherHistorysRow(t *testing.T) {
	ctx := t.Context()
	w := withCustodian(t)
	before := keyring.Backup(w.Store)
	tag := w.ring.TagOf("clinical", "third")
	_, err := w.ring.CreateSubject(ctx, "third", "clinical")
	require.NoError(t, err)
	lost := keyring.Rows(w.Store)[tag]
	keyring.PutBack(w.Store, before)
	r := w.open(t)
	keys, err := r.CreateSubject(ctx, "third", "clinical")
	require.NoError(t, err)
	_, err = r.Retain(ctx, "third", kept(1))
	require.NoError(t, err)
	w.putRow(lost)
	requireError(t, r.EndRetention(ctx, "third", w.key), keyring.ErrCorrupt)
	_, err = r.Subject(ctx, "third", "clinical")
	requireError(t, err, keyring.ErrRetained)
	require.NoError(t, keyring.Replay(ctx, w.Config))
	require.NoError(t, r.EndRetention(ctx, "third", w.key))
	again, err := r.Subject(ctx, "third", "clinical")
	require.NoError(t, err)
	require.Equal(t, tokens(t, keys), tokens(t, again))
}

// Who has nothing left but the row of a package can be erased, and it with her.
func TestShredOfWhoHasOnlyAPackage(t *testing.T) {
	w := withCustodian(t)
	w.retainAlice(t, 1)
	left := keyring.Rows(w.Store)[w.ring.CustodyTagOf(alice)]
	require.NoError(t, w.ring.EndRetention(t.Context(), alice, w.key))
	w.putRow(left)
	for _, c := range []string{"clinical", "identity"} {
		delete(keyring.Rows(w.Store), w.ring.TagOf(c, alice))
	}
	_, err := w.ring.Shred(t.Context(), alice)
	require.NoError(t, err)
	require.Equal(t, keyring.Destroyed, keyring.Rows(w.Store)[left.Tag].State)
	w.requireErased(t)
}
