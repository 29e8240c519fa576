package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/keyring/dirstore"
)

// The functions below are the steps of docs/RESTORE.md, whose every Go snippet
// is in one of them, line by line.

var compartments = []string{"clinical", "identity"}

func sentinels(ctx context.Context, ring *keyring.Ring) error {
	for _, subject := range []string{"drill-living", "drill-erased"} {
		if _, err := ring.CreateSubject(ctx, subject, compartments...); err != nil {
			return err
		}
	}
	_, err := ring.Shred(ctx, "drill-erased")
	return err
}

func export(ctx context.Context, ring *keyring.Ring, second keyring.KEK, path string) error {
	export, err := ring.Export(ctx, second)
	if err != nil {
		return err
	}
	return os.WriteFile(path, export, 0o600)
}

func check(ctx context.Context, cfg keyring.Config) error {
	ring, err := keyring.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer ring.Close()
	if _, err := ring.Subject(ctx, "drill-living", compartments...); err != nil {
		return fmt.Errorf("the living do not open: %w", err)
	}
	if _, err := ring.Subject(ctx, "drill-erased", compartments...); !errors.Is(err, keyring.ErrShredded) {
		return fmt.Errorf("the erased are back: %w", err)
	}
	return nil
}

func storeLost(ctx context.Context, cfg keyring.Config) error {
	err := keyring.Replay(ctx, cfg) // cfg.Store is the restored copy
	if errors.Is(err, keyring.ErrRolledBack) {
		return fmt.Errorf("find a newer backup of the store: %w", err) // it names the keysets
	}
	return err
}

func journalLost(ctx context.Context, cfg keyring.Config) error {
	_, err := keyring.Open(ctx, cfg)
	if !errors.Is(err, keyring.ErrJournalLost) {
		return err
	}
	return keyring.Reseed(ctx, cfg) // believes the store: whom only the journal knew erased comes back
}

func eraseAgain(ctx context.Context, ring *keyring.Ring, erased []string) error {
	for _, subject := range erased { // from the register that the receipts are filed in
		if _, err := ring.Shred(ctx, subject); err != nil && !errors.Is(err, keyring.ErrNoSubjectKey) {
			return err
		}
	}
	return nil
}

func kekLost(ctx context.Context, cfg keyring.Config, second keyring.KEK, path string) error {
	export, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return keyring.Restore(ctx, cfg, export, second) // cfg.KEK and cfg.KEKs are the new ones
}

// site is a ring on a disk, with the parts apart.
type site struct {
	keyring.Config
	dir    string
	second keyring.KEK
	ring   *keyring.Ring
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func newSite(t *testing.T) *site {
	s := &site{dir: t.TempDir()}
	var err error
	s.KEK, err = keyring.CreateKeyFile(s.path("kek"))
	require.NoError(t, err)
	s.second, err = keyring.CreateKeyFile(s.path("second"))
	require.NoError(t, err)
	s.use(t)
	s.ring, err = keyring.Create(t.Context(), "clinic", s.Config)
	require.NoError(t, err)
	for _, name := range compartments {
		require.NoError(t, s.ring.CreateKeyset(t.Context(), name))
	}
	require.NoError(t, sentinels(t.Context(), s.ring))
	require.NoError(t, export(t.Context(), s.ring, s.second, s.path("export")))
	return s
}

// use opens store and journal as they are on the disk.
func (s *site) use(t *testing.T) {
	require.NoError(t, os.MkdirAll(s.path("store"), 0o700))
	store, err := dirstore.Open(s.path("store"))
	require.NoError(t, err)
	s.Store = store
	s.Journal, err = keyring.OpenJournal(s.path("journal"))
	require.NoError(t, err)
}

func (s *site) backUpStore(t *testing.T) {
	require.NoError(t, os.RemoveAll(s.path("store.backup")))
	require.NoError(t, os.CopyFS(s.path("store.backup"), os.DirFS(s.path("store"))))
}

func (s *site) restoreStore(t *testing.T) {
	require.NoError(t, os.RemoveAll(s.path("store")))
	require.NoError(t, os.CopyFS(s.path("store"), os.DirFS(s.path("store.backup"))))
	s.use(t)
}

func (s *site) copyFile(t *testing.T, from, to string) {
	b, err := os.ReadFile(s.path(from))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.path(to), b, 0o600))
}

// erase makes a subject, backs the store up, and erases the subject.
func (s *site) erase(t *testing.T, subject string) {
	_, err := s.ring.CreateSubject(t.Context(), subject, compartments...)
	require.NoError(t, err)
	s.backUpStore(t)
	_, err = s.ring.Shred(t.Context(), subject)
	require.NoError(t, err)
}

func requireErased(t *testing.T, cfg keyring.Config, subject string) {
	r, err := keyring.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer r.Close()
	_, err = r.Subject(t.Context(), subject, "clinical")
	requireError(t, err, keyring.ErrShredded)
}

// TestRestoreDrill does what docs/RESTORE.md tells to do.
func TestRestoreDrill(t *testing.T) {
	ctx := t.Context()
	t.Run("store lost", func(t *testing.T) {
		s := newSite(t)
		s.erase(t, alice)
		s.erase(t, budi)
		_, err := s.ring.Rotate(ctx, "clinical")
		require.NoError(t, err)
		s.backUpStore(t)
		for _, id := range []string{"fifth", "sixth"} {
			_, err = s.ring.CreateSubject(ctx, id, "clinical")
			require.NoError(t, err)
			_, err = s.ring.Shred(ctx, id)
			require.NoError(t, err)
		}
		s.restoreStore(t)
		_, err = keyring.Open(ctx, s.Config)
		requireError(t, err, keyring.ErrRolledBack)
		require.NoError(t, storeLost(ctx, s.Config))
		require.NoError(t, check(ctx, s.Config))
		for _, id := range []string{alice, budi, "fifth", "sixth"} {
			requireErased(t, s.Config, id)
		}

		s.ring, err = keyring.Open(ctx, s.Config)
		require.NoError(t, err)
		_, err = s.ring.Rotate(ctx, "identity") // of which the backup knows nothing
		require.NoError(t, err)
		s.restoreStore(t)
		err = storeLost(ctx, s.Config)
		require.ErrorIs(t, err, keyring.ErrRolledBack)
		require.ErrorContains(t, err, "identity")
	})
	t.Run("journal lost", func(t *testing.T) {
		s := newSite(t)
		s.erase(t, alice)
		require.NoError(t, os.Remove(s.path("journal")))
		s.use(t)
		require.NoError(t, journalLost(ctx, s.Config))
		require.NoError(t, check(ctx, s.Config))
		requireErased(t, s.Config, alice)

		// With an older store the danger is real, and the receipts mend it.
		s.restoreStore(t)
		require.NoError(t, os.Remove(s.path("journal")))
		s.use(t)
		require.NoError(t, journalLost(ctx, s.Config))
		r, err := keyring.Open(ctx, s.Config)
		require.NoError(t, err)
		_, err = r.Subject(ctx, alice, "clinical")
		require.NoError(t, err, "she is back")
		require.NoError(t, eraseAgain(ctx, r, []string{alice, "drill-erased", "never there"}))
		requireErased(t, s.Config, alice)
	})
	t.Run("KEK lost", func(t *testing.T) {
		s := newSite(t)
		s.erase(t, alice)
		require.NoError(t, os.Remove(s.path("kek")))
		var err error
		s.KEK, err = keyring.CreateKeyFile(s.path("kek"))
		require.NoError(t, err)
		require.ErrorIs(t, check(ctx, s.Config), keyring.ErrKEK)
		s.restoreStore(t) // and from the backup at that
		s.second, err = keyring.OpenKeyFile(s.path("second"))
		require.NoError(t, err)
		require.NoError(t, kekLost(ctx, s.Config, s.second, s.path("export")))
		require.NoError(t, check(ctx, s.Config))
		requireErased(t, s.Config, alice)
		r, err := keyring.Open(ctx, s.Config)
		require.NoError(t, err)
		require.NoError(t, export(ctx, r, s.second, s.path("export")))
	})
	t.Run("store and journal restored together", func(t *testing.T) {
		s := newSite(t)
		_, err := s.ring.CreateSubject(ctx, alice, "clinical")
		require.NoError(t, err)
		s.backUpStore(t)
		s.copyFile(t, "journal", "journal.backup")
		receipt, err := s.ring.Shred(ctx, alice)
		require.NoError(t, err)
		s.restoreStore(t)
		s.copyFile(t, "journal.backup", "journal")
		s.use(t)
		require.NoError(t, check(ctx, s.Config), "nothing is noticed")
		text, err := os.ReadFile(s.path("journal"))
		require.NoError(t, err)
		require.Less(t, strings.Count(string(text), "\n"), int(receipt.Entry), "but the receipt's entry is missing")
		r, err := keyring.Open(ctx, s.Config)
		require.NoError(t, err)
		require.NoError(t, eraseAgain(ctx, r, []string{alice}))
		requireErased(t, s.Config, alice)
	})
}

// TestRestoreDrillIsThePage keeps the page's snippets what the drill does.
func TestRestoreDrillIsThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/RESTORE.md")
	require.NoError(t, err)
	code, err := os.ReadFile("drill_test.go")
	require.NoError(t, err)
	indent := regexp.MustCompile(`(?m)^\t+`)
	flat := indent.ReplaceAllString(string(code), "")
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	require.GreaterOrEqual(t, len(snippets), 6)
	for _, s := range snippets {
		require.Contains(t, flat, indent.ReplaceAllString(s[1], ""))
	}
	require.LessOrEqual(t, strings.Count(string(page), "\n"), 120)
}
