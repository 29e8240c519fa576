package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rahasia/rahasia/keyring"
)

// leaver is the patient who asks to be erased, another of the sandbox's.
const leaver = "P00805884304"

// erase is chapter 8: a patient is erased, and old copies of the keys do not
// bring the patient back.
func (s *story) erase(ctx context.Context) error {
	backup := filepath.Join(s.dir, "backup-keys.db")
	if err := copyDatabase(ctx, s.clinic.file("keys.db"), backup); err != nil {
		return err
	}
	receipt, err := s.eraseLeaver(ctx)
	if err != nil {
		return err
	}
	if err := s.bringBackRows(ctx, backup, len(receipt.Compartments)); err != nil {
		return err
	}
	return s.bringBackFile(ctx, backup, len(receipt.Compartments))
}

func (s *story) eraseLeaver(ctx context.Context) (keyring.Receipt, error) {
	c := s.clinic
	c.acts.Add(2) // an erasure has an entry before it and one after
	receipt, err := c.cfg.Erase(ctx, leaver, "privacy-officer")
	if err != nil {
		return receipt, err
	}
	// The receipt says what the application has to do itself.
	if _, err := c.db.ExecContext(ctx, `UPDATE patients SET nik_token = NULL, phone_token = NULL WHERE id = ?`, leaver); err != nil {
		return receipt, err
	}
	gone, err := s.openLeaver(ctx)
	if err != nil {
		return receipt, err
	}
	s.say("%s asks to be erased: %s keys are destroyed (%s) and the lookup tokens deleted. Who opens the row gets:",
		s.patient(leaver).Name, count(len(receipt.Compartments)), listed(receipt.Compartments))
	s.quote(gone)
	s.say("The receipt (journal entry %d) also names %s things that no key store can erase, such as backups and copies.", receipt.Entry, count(len(receipt.Remains)))
	return receipt, nil
}

// openLeaver checks that the erased patient does not open, and returns the
// error that says so.
func (s *story) openLeaver(ctx context.Context) (gone, err error) {
	row, err := s.clinic.get(ctx, leaver)
	if err != nil {
		return nil, err
	}
	_, gone = s.clinic.open(ctx, row, doctor())
	return gone, s.check("an erased patient's record does not open", checkErased(gone))
}

// bringBackRows puts the destroyed keys' old rows back into the key store.
func (s *story) bringBackRows(ctx context.Context, backup string, want int) error {
	n, err := restoreRows(ctx, s.clinic.file("keys.db"), backup)
	if err == nil && n != want {
		err = fmt.Errorf("%d rows were put back, want %d", n, want)
	}
	if err := s.check("the attack put every old key row back", err); err != nil {
		return err
	}
	if _, err := s.openLeaver(ctx); err != nil {
		return err
	}
	if err := s.restart(ctx); err != nil {
		return err
	}
	if _, err := s.openLeaver(ctx); err != nil {
		return err
	}
	s.say("Somebody puts the %s old key rows back: still erased, in the running service and after a restart.", count(n))
	return nil
}

// bringBackFile puts the whole older key store back.
func (s *story) bringBackFile(ctx context.Context, backup string, want int) error {
	if err := s.clinic.stop(); err != nil {
		return err
	}
	store := s.clinic.file("keys.db")
	if err := replaceDatabase(store, backup); err != nil {
		return err
	}
	before, err := tombstones(ctx, store)
	if err == nil && before != 0 {
		err = errors.New("it knows of the erasure")
	}
	if err := s.check("the attack put an older key store back", err); err != nil {
		return err
	}
	if err := s.clinic.start(ctx); err != nil {
		return err
	}
	after, err := tombstones(ctx, store)
	if err := s.check("the key store is completed from the journal", errors.Join(err, checkCompleted(after, want))); err != nil {
		return err
	}
	if _, err := s.openLeaver(ctx); err != nil {
		return err
	}
	others, err := s.openOthers(ctx)
	if err := s.check("the other patients still open", err); err != nil {
		return err
	}
	s.say("Somebody puts the whole older key store back: at its start the service destroys the %s keys again, by its erasure journal. Still erased, and all %s other patients open.",
		count(after), count(others))
	return nil
}

// openOthers opens every patient but the erased one.
func (s *story) openOthers(ctx context.Context) (int, error) {
	err := each(len(s.bundles), func(i int) error {
		want := s.bundles[i].Patient
		if want.ID == leaver {
			return nil
		}
		row, err := s.clinic.get(ctx, want.ID)
		if err != nil {
			return err
		}
		got, answer := s.clinic.open(ctx, row, doctor())
		return checkSerology(got, want, answer, s.namesHIV(i))
	})
	return len(s.bundles) - 1, err
}

// restart closes what rahasia keeps, and opens it again.
func (s *story) restart(ctx context.Context) error {
	if err := s.clinic.stop(); err != nil {
		return err
	}
	return s.clinic.start(ctx)
}

func (c *clinic) file(name string) string { return filepath.Join(c.folder, name) }

// copyDatabase makes a backup of a SQLite file that is in use.
func copyDatabase(ctx context.Context, from, to string) error {
	db, err := openSQLite(from)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return errors.Join(err, db.Close())
}

// replaceDatabase puts a backup in the place of a SQLite file that is not open.
func replaceDatabase(file, backup string) error {
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + end); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Rename(backup, file)
}

// tombstones counts the destroyed keys in a key store.
func tombstones(ctx context.Context, store string) (n int, err error) {
	db, err := openSQLite(store)
	if err != nil {
		return 0, err
	}
	err = db.QueryRowContext(ctx, `SELECT count(*) FROM rahasia_keys WHERE state = 2`).Scan(&n)
	return n, errors.Join(err, db.Close())
}

// restoreRows replaces every tombstone of a key store by the row that a backup
// has in its place, as somebody could who may write the database.
func restoreRows(ctx context.Context, store, backup string) (int, error) {
	db, err := openSQLite(store)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx) // ATTACH is a matter of one connection
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `ATTACH ? AS backup`, backup); err != nil {
		return 0, err
	}
	done, err := conn.ExecContext(ctx, `INSERT OR REPLACE INTO main.rahasia_keys SELECT * FROM backup.rahasia_keys
		WHERE tag IN (SELECT tag FROM main.rahasia_keys WHERE state = 2)`)
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}
