package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/rahasia/rahasia/keyring/internal/journal"
)

// Restore puts a ring under new KEKs when those that it was under are gone. cfg
// has the store and the journal as they are, and the new KEKs; export is what
// [Ring.Export] returned, kek the second KEK that it was wrapped by. Restore
// verifies the journal, brings the store level with it as [Replay] does, and gives
// every keyset a new revision with the same keys under its KEK in cfg. Keys
// of subjects and versions stay as they are, what was sealed opens, and the
// erased stay erased: the export has no subject keys. Afterwards make a new export.
//
// Killed or failed it has moved some keysets and not others: call it again,
// with the same export. A keyset that its KEK in cfg unwraps is left alone.
//
// An export of an older revision of a keyset than the journal's, which may lack
// versions, or without it, is [ErrRolledBack], naming the keysets; the store is
// level then, and nothing else changed. Find a newer export. One that is malformed
// or another ring's, or whose control keyset does not verify the journal, is
// [ErrCorrupt]; one that was changed elsewhere, or is under another KEK, [ErrKEK],
// as is a KEK of cfg that is missing or fails: then too nothing else changed.
// Errors about store and journal are those of Replay: a keyset revision that the
// store lacks is lost to it, and a journal that is lost cannot be seeded anew
// before the KEKs are back ([ErrJournalLost]).
//
// It runs beside processes that still have the keysets loaded; they find them
// again under the new KEKs only if they have those: see [AnyKEK].
func Restore(ctx context.Context, cfg Config, export []byte, kek KEK) error {
	if err := cfg.check(); err != nil {
		return err
	}
	if kek == nil {
		return fmt.Errorf("keyring: restore: no KEK to open the export: %w", ErrKEK)
	}
	e, err := parseExport(export)
	if err != nil {
		return err
	}
	cfg = cfg.metered()
	w := restoring{export: e, kek: namedKEK{meterKEK(kek, cfg.Metrics), secondKEK}}
	if w.core, err = w.load(ctx, cfg); err != nil {
		return err
	}
	defer newRing(w.core).Close()
	return w.writing(ctx, func() error { return w.run(ctx) })
}

// restoring is a restoration under way.
type restoring struct {
	*core
	export *exported
	kek    KEK
}

// run restores, alone among all writers.
func (w *restoring) run(ctx context.Context) error {
	if err := w.replayLocked(ctx); err != nil {
		return err
	}
	moves, err := w.plan(ctx)
	if err != nil {
		return err
	}
	for _, m := range moves {
		if err := w.persist(ctx, "restore", m.rec, m.keyset, func() {}); err != nil {
			return err
		}
	}
	return nil
}

// load is [load] with the export's control keyset.
func (w *restoring) load(ctx context.Context, cfg Config) (*core, error) {
	head, err := cfg.Store.Head(ctx)
	switch {
	case err != nil:
		return nil, fmt.Errorf("keyring: restore: %w", err)
	case head == (Head{}):
		return nil, noRing(cfg.Journal)
	case head.Ring != w.export.Ring:
		return nil, fmt.Errorf("keyring: restore: the export is another ring's: %w", ErrCorrupt)
	}
	k, ok := w.export.keyset(controlKeyset)
	if !ok {
		return nil, fmt.Errorf("keyring: restore: the export has no keyset %q: %w", controlKeyset, ErrCorrupt)
	}
	ks, _, err := k.open(ctx, w.kek, w.export.Ring)
	if err != nil {
		return nil, err
	}
	ctl, err := newControl(w.export.Ring, ks)
	if err != nil {
		return nil, err
	}
	c := newCore(cfg, ctl)
	c.spare = w.spare
	return c, nil
}

// spare returns a keyset of the export, of whatever revision: a row that it
// opens proves that it is the right one.
func (w *restoring) spare(ctx context.Context, name string) (*Keyset, error) {
	k, ok := w.export.keyset(name)
	if !ok {
		return nil, fmt.Errorf("keyring: restore: the export has no keyset %q: %w", name, ErrRolledBack)
	}
	ks, _, err := k.open(ctx, w.kek, w.export.Ring)
	return ks, err
}

// move is the next revision of a keyset, under its KEK.
type move struct {
	rec    KeysetRecord
	keyset *Keyset
}

// plan opens and wraps all that shall move, before any does, so that an export
// or a KEK that cannot serve changes nothing.
func (w *restoring) plan(ctx context.Context) ([]move, error) {
	recs, err := w.store.Keysets(ctx)
	if err != nil {
		return nil, fmt.Errorf("keyring: list keysets: %w", err)
	}
	var moves []move
	var lacking []string
	var why error // a keyset that was moved already is lacking too while its KEK is down
	for _, rec := range recs {
		kek, err := w.keks.of(rec.Name)
		if err != nil {
			return nil, err
		}
		kek = namedKEK{kek, ringsOwn}
		_, _, failed := openRevision(ctx, kek, w.ring, rec.Name, rec)
		if failed == nil {
			continue // moved already
		} else if !errors.Is(failed, ErrKEK) {
			return nil, failed
		}
		k, ok := w.export.keyset(rec.Name)
		if !ok || markOf(rec) != (journal.Mark{Name: k.Name, Revision: k.Revision, Digest: [32]byte(k.Digest)}) {
			lacking, why = append(lacking, rec.Name), failed
			continue
		}
		if len(lacking) > 0 {
			continue // only to name them all
		}
		m, err := w.move(ctx, kek, k)
		if err != nil {
			return nil, err
		}
		moves = append(moves, m)
	}
	if len(lacking) > 0 {
		return nil, fmt.Errorf("keyring: restore: the export lacks the revision that the store has of keysets %q: %w (%v)", lacking, ErrRolledBack, why)
	}
	return moves, nil
}

// move makes the next revision of a keyset from the export's.
func (w *restoring) move(ctx context.Context, kek KEK, k *exportedKeyset) (move, error) {
	_, old, err := k.open(ctx, w.kek, w.ring)
	if err != nil {
		return move{}, err
	}
	rec, ks, err := wrapRevision(ctx, kek, w.ring, k.Name, revision{old.number + 1, old.set})
	return move{rec, ks}, err
}
