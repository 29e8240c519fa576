package keyring_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
)

// verb is one thing that a caller does.
type verb struct {
	name    string
	prepare func(testing.TB, *clinic)                // what came before
	warm    func(testing.TB, *clinic, *keyring.Ring) // what the ring did before
	// do does it; with a nil ring where opens is set. It can be done again.
	do    func(context.Context, *clinic, *keyring.Ring, keyring.Config) error
	opens bool

	again    error                                    // what it says when it was done before, if that is an error
	may      error                                    // what a living subject may be refused by, until done
	unopened []error                                  // why the ring may not open before it is done
	done     func(testing.TB, *clinic, *keyring.Ring) // checks that it was done
	lockFree bool                                     // it needs no lock
	asksBoth bool                                     // a KEK that does not open a keyset is asked to wrap it
	calls    map[string]int                           // by part, how many there are at least
}

// some is the least number of calls of store, KEK and journal.
func some(store, kek, journal int) map[string]int {
	return map[string]int{"store": store, "kek": kek, "journal": journal}
}

func behind(ids ...string) func(testing.TB, *clinic) {
	return func(t testing.TB, c *clinic) {
		backup := keyring.Backup(c.Store)
		r := c.open(t)
		defer r.Close()
		for _, id := range ids {
			_, err := r.Shred(t.Context(), id)
			require.NoError(t, err)
			delete(c.living, id)
		}
		keyring.PutBack(c.Store, backup)
	}
}

func gone(ids ...string) func(testing.TB, *clinic, *keyring.Ring) {
	return func(t testing.TB, c *clinic, r *keyring.Ring) {
		for _, id := range ids {
			c.requireGone(t, r, id)
		}
	}
}

func hasPrimary(name string, least uint32) func(testing.TB, *clinic, *keyring.Ring) {
	return func(t testing.TB, c *clinic, r *keyring.Ring) {
		ks, err := r.Keyset(t.Context(), name)
		require.NoError(t, err)
		require.GreaterOrEqual(t, ks.Primary(), least)
	}
}

func hasState(name string, want keyring.State) func(testing.TB, *clinic, *keyring.Ring) {
	return func(t testing.TB, c *clinic, r *keyring.Ring) {
		ks, err := r.Keyset(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, want, ks.States()[1])
		if want == keyring.Suspended {
			require.NoError(t, r.SetState(t.Context(), name, 1, keyring.Deactivated))
		}
	}
}

func verbs() []verb { return append(ringVerbs(), append(subjectVerbs(), keysetVerbs()...)...) }

// ringVerbs open rings and bring store and journal together.
func ringVerbs() []verb {
	return []verb{
		{
			name: "Create", opens: true, again: keyring.ErrExists, unopened: []error{keyring.ErrNoRing}, calls: some(4, 2, 2),
			prepare: func(t testing.TB, c *clinic) {
				keyring.PutBack(c.Store, keyring.NewMemoryStore())
				c.rewrite(t, "rahasia/journal/v1 1 20") // torn, of one that died
			},
			do: func(ctx context.Context, c *clinic, _ *keyring.Ring, cfg keyring.Config) error {
				return second(keyring.Create(ctx, "clinic", cfg))
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) { // a world for verify
				clear(c.living)
				require.NoError(t, r.CreateKeyset(t.Context(), "clinical"))
				require.NoError(t, r.CreateKeyset(t.Context(), "identity"))
				require.NoError(t, r.CreateKeyset(t.Context(), "research/ui"))
				require.NoError(t, r.Anchor(t.Context(), "research/ui", 0, 3, [32]byte{3}))
				_, err := r.CreateSubject(t.Context(), "carol", wards...)
				require.NoError(t, err)
				_, err = r.Shred(t.Context(), "carol")
				require.NoError(t, err)
			},
		},
		{
			name: "Open", opens: true, calls: some(4, 1, 2),
			do: func(ctx context.Context, _ *clinic, _ *keyring.Ring, cfg keyring.Config) error {
				return second(keyring.Open(ctx, cfg))
			},
		},
		{
			name: "Open completes", opens: true, prepare: behind(budi), done: gone(budi), calls: some(4, 1, 4),
			do: func(ctx context.Context, _ *clinic, _ *keyring.Ring, cfg keyring.Config) error {
				return second(keyring.Open(ctx, cfg))
			},
		},
		{
			name: "Replay", opens: true, prepare: behind(budi, "dewi"), done: gone(budi, "dewi"), unopened: []error{keyring.ErrRolledBack}, calls: some(7, 1, 4),
			do: func(ctx context.Context, _ *clinic, _ *keyring.Ring, cfg keyring.Config) error {
				return keyring.Replay(ctx, cfg)
			},
		},
		{
			name: "Replay buries", opens: true, calls: some(6, 1, 2),
			prepare: func(t testing.TB, c *clinic) { // one row of carol's from before
				row := keyring.Rows(c.Store)[c.ring.TagOf("clinical", "carol")]
				row.State, row.Wrapped = keyring.Active, make([]byte, 60)
				keyring.Rows(c.Store)[row.Tag] = row
			},
			do: func(ctx context.Context, _ *clinic, _ *keyring.Ring, cfg keyring.Config) error {
				return keyring.Replay(ctx, cfg)
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				require.Equal(t, keyring.Destroyed, keyring.Rows(c.Store)[c.ring.TagOf("clinical", "carol")].State)
			},
		},
		{
			name: "Reseed", opens: true, again: keyring.ErrExists, unopened: []error{keyring.ErrJournalLost, keyring.ErrRolledBack}, calls: some(6, 1, 3),
			prepare: func(t testing.TB, c *clinic) { c.rewrite(t, "rahasia/journal/v1 1 20") },
			do: func(ctx context.Context, _ *clinic, _ *keyring.Ring, cfg keyring.Config) error {
				err := keyring.Reseed(ctx, cfg)
				if errors.Is(err, keyring.ErrRolledBack) { // it was journalled before
					return keyring.Replay(ctx, cfg)
				}
				return err
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) { // what the lost journal alone knew
				if place, _, err := r.Anchored(t.Context(), "research/ui"); err == nil && place == 0 {
					require.NoError(t, r.Anchor(t.Context(), "research/ui", 0, 3, [32]byte{3}))
				}
			},
		},
	}
}

// subjectVerbs are about subjects' keys.
func subjectVerbs() []verb {
	load := func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
		return second(r.Subject(ctx, alice, wards...))
	}
	return []verb{
		{name: "Subject", lockFree: true, calls: some(3, 2, 0), do: load},
		{
			name: "Subject compares", lockFree: true, calls: some(1, 0, 1), do: load,
			warm: func(t testing.TB, c *clinic, r *keyring.Ring) {
				require.NoError(t, load(t.Context(), c, r, c.trapped))
				time.Sleep(6 * time.Second)
			},
		},
		{
			name: "Subject settles", calls: some(3, 0, 3), do: load, done: gone(budi),
			warm: func(t testing.TB, c *clinic, r *keyring.Ring) { // a writer died meanwhile
				require.NoError(t, load(t.Context(), c, r, c.trapped))
				behind(budi)(t, c)
				time.Sleep(6 * time.Second)
			},
		},
		{
			name: "CreateSubject", lockFree: true, calls: some(4, 2, 0),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return second(r.CreateSubject(ctx, "eka", wards...))
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				_, err := r.Subject(t.Context(), "eka", wards...)
				require.NoError(t, err)
			},
		},
		{
			name: "Subjects", lockFree: true, calls: some(3, 2, 0),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return pageOf(r.Subjects(ctx, []string{alice, "dewi", budi, alice}, wards...))
			},
		},
		{
			name: "CreateSubjects", lockFree: true, calls: some(4, 2, 0),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return pageOf(r.CreateSubjects(ctx, []string{alice, "eka", budi, "fajar"}, wards...))
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				require.NoError(t, pageOf(r.Subjects(t.Context(), []string{"eka", "fajar"}, wards...)))
			},
		},
		{
			name: "Shred", may: keyring.ErrShredded, calls: some(3, 0, 2),
			do: func(ctx context.Context, c *clinic, r *keyring.Ring, _ keyring.Config) error {
				_, err := r.Shred(ctx, budi)
				return err
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				gone(budi)(t, c, r)
				delete(c.living, budi)
			},
		},
		{
			name: "Rewrap subjects", calls: some(6, 1, 0), lockFree: true,
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return whole(r.Rewrap(ctx, keyring.Rewrapping{Keysets: []string{"clinical"}}))
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				require.NoError(t, r.SetState(t.Context(), "clinical", 1, keyring.Suspended), "nothing needs it any more")
			},
		},
	}
}

// pageOf returns the first error of a page.
func pageOf(page []keyring.SubjectKeys, err error) error {
	for _, s := range page {
		if err == nil {
			err = s.Err
		}
	}
	return err
}

// whole returns why something was not moved.
func whole(report keyring.Report, err error) error {
	if err == nil && report.Failed > 0 {
		return report.Failures[0].Err
	}
	return err
}

// keysetVerbs are about keysets.
func keysetVerbs() []verb {
	return []verb{
		{
			name: "Keyset", lockFree: true, calls: some(1, 1, 0), done: hasPrimary("clinical", 2),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return second(r.Keyset(ctx, "clinical"))
			},
		},
		{
			name: "Keyset of another", calls: some(1, 1, 1), lockFree: true, done: hasPrimary("elsewhere", 1),
			warm: func(t testing.TB, c *clinic, _ *keyring.Ring) {
				other := c.open(t)
				defer other.Close()
				require.NoError(t, other.CreateKeyset(t.Context(), "elsewhere"))
			},
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return second(r.Keyset(ctx, "elsewhere"))
			},
		},
		{
			name: "CreateKeyset", again: keyring.ErrExists, calls: some(4, 2, 2), done: hasPrimary("billing", 1),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return r.CreateKeyset(ctx, "billing")
			},
		},
		{
			name: "Rotate", calls: some(5, 3, 2), done: hasPrimary("clinical", 3),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return second(r.Rotate(ctx, "clinical"))
			},
		},
		{
			name: "SetState suspends", may: keyring.ErrUnknownVersion, again: keyring.ErrState, calls: some(5, 3, 2), done: hasState("clinical", keyring.Suspended),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return r.SetState(ctx, "clinical", 1, keyring.Suspended)
			},
		},
		{
			name: "SetState destroys", again: keyring.ErrState, calls: some(6, 3, 2), done: hasState("audit", keyring.Destroyed),
			prepare: func(t testing.TB, c *clinic) {
				delete(keyring.Rows(c.Store), c.ring.TagOf("audit", "with audit"))
			},
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return r.SetState(ctx, "audit", 1, keyring.Destroyed)
			},
		},
		{
			name: "DestroyWithKeys", again: keyring.ErrState, calls: some(6, 3, 2), done: hasState("audit", keyring.Destroyed),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return second(r.DestroyWithKeys(ctx, "audit", 1))
			},
		},
		{
			name: "Rewrap keysets", asksBoth: true, calls: some(10, 5, 2),
			do: func(ctx context.Context, c *clinic, r *keyring.Ring, _ keyring.Config) error {
				return whole(r.Rewrap(ctx, keyring.Rewrapping{KEK: c.next, Keysets: []string{"ring", "clinical"}}))
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				report, err := r.Rewrap(t.Context(), keyring.Rewrapping{KEK: c.next, DryRun: true})
				require.NoError(t, err)
				require.Equal(t, keyring.Report{Left: 3}, report, "those that were not named")
			},
		},
		{
			name: "ImportKeyset", again: keyring.ErrExists, calls: some(4, 3, 2),
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				ks, err := r.Keyset(t.Context(), "imported")
				require.NoError(t, err)
				v := readValues(t, "values.json")
				requireValues(t, v.Inputs, v.Keysets["rotated"], ks)
			},
			do: func(ctx context.Context, c *clinic, r *keyring.Ring, _ keyring.Config) error {
				return r.ImportKeyset(ctx, "imported", c.given, trappedKEK{c.opens, c.trap})
			},
		},
		{
			name: "ExportKeyset", lockFree: true, calls: some(2, 4, 0),
			do: func(ctx context.Context, c *clinic, r *keyring.Ring, _ keyring.Config) error {
				return second(r.ExportKeyset(ctx, "clinical", c.next))
			},
		},
		{
			name: "Anchor", again: keyring.ErrConflict, calls: some(2, 0, 2),
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				return r.Anchor(ctx, "research/ui", 3, 5, [32]byte{5})
			},
			done: func(t testing.TB, c *clinic, r *keyring.Ring) {
				place, _, err := r.Anchored(t.Context(), "research/ui")
				require.NoError(t, err)
				require.EqualValues(t, 5, place)
			},
		},
		{
			name: "Anchored", lockFree: true, calls: some(1, 0, 1),
			warm: func(testing.TB, *clinic, *keyring.Ring) { time.Sleep(6 * time.Second) },
			do: func(ctx context.Context, _ *clinic, r *keyring.Ring, _ keyring.Config) error {
				_, _, err := r.Anchored(ctx, "research/ui")
				return err
			},
		},
	}
}
