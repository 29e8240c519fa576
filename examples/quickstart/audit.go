package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rahasia/rahasia/consent"
)

// audit is chapter 9: who did what, and whether anybody has changed the record
// of it.
func (s *story) audit(ctx context.Context) error {
	log := s.clinic.cfg.Log
	checkpoint, err := log.Checkpoint(ctx)
	if err != nil {
		return err
	}
	entries, err := checkLog(ctx, log, s.clinic.acts.Load(), checkpoint)
	if err := s.check("the audit log is whole and has an entry for everything that was done", err); err != nil {
		return err
	}
	s.say("The audit log has %s entries, one for each act of this story. All are verified against the signed checkpoint, of which a clinic keeps copies elsewhere.",
		count(entries))
	history, err := s.tellHistory(ctx, checkpoint)
	if err != nil {
		return err
	}
	if err := s.tamper(ctx, history[len(history)-1].Index); err != nil {
		return err
	}
	return s.stealAgain()
}

// tellHistory gives a patient an account of who looked.
func (s *story) tellHistory(ctx context.Context, checkpoint []byte) ([]consent.Entry, error) {
	log := s.clinic.cfg.Log
	verifier, err := log.VerifierKey(ctx) // public: who checks proofs needs nothing else
	if err != nil {
		return nil, err
	}
	history, err := log.History(ctx, hero)
	if err == nil {
		err = checkHistory(ctx, log, history, hero, verifier, checkpoint)
	}
	if err := s.check("every entry of a patient's history is proved to be in the log", err); err != nil {
		return nil, err
	}
	did := map[string]int{}
	for _, e := range history {
		did[strings.TrimSuffix(e.Action+" "+e.Outcome, " done")]++
	}
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(did)) {
		parts = append(parts, fmt.Sprintf("%s %s", what, count(did[what])))
	}
	s.say("%s asks who looked: %s entries (%s), each with its proof of being in the log.",
		s.patient(hero).Name, count(len(history)), strings.Join(parts, ", "))
	_, err = log.History(ctx, leaver)
	if err := s.check("nobody can say any more which entries were the erased patient's", checkErased(err)); err != nil {
		return nil, err
	}
	return history, nil
}

// tamper changes one bit of an entry, at index or written together with it, in a
// copy of the log.
func (s *story) tamper(ctx context.Context, index int64) error {
	changed := filepath.Join(s.dir, "changed.db")
	if err := copyDatabase(ctx, s.clinic.file("consent.db"), changed); err != nil {
		return err
	}
	db, err := openSQLite(changed)
	if err != nil {
		return err
	}
	defer db.Close()
	var leaves []byte // what was written together is in one row
	if err := db.QueryRowContext(ctx, `SELECT seq, leaves FROM consent_log WHERE seq <= ? ORDER BY seq DESC LIMIT 1`, index).Scan(&index, &leaves); err != nil {
		return err
	}
	leaves[44] ^= 1 // in the first of them
	if _, err := db.ExecContext(ctx, `UPDATE consent_log SET leaves = ? WHERE seq = ?`, leaves, index); err != nil {
		return err
	}
	log, err := consent.OpenLog(ctx, s.clinic.cfg.Ring, db)
	if err != nil {
		return err
	}
	_, found := log.Verify(ctx)
	if err := s.check("a changed entry is detected and named", checkTampered(found, index)); err != nil {
		return err
	}
	s.say("In a copy of the log, one bit of entry %s is changed. Verification of the copy says:", count(index))
	s.quote(found)
	return nil
}

// stealAgain searches the folder once more, after all that was done in it.
func (s *story) stealAgain() error {
	list, _ := secrets(s.bundles) // the newcomer's too
	l, err := newThief(list).searchAll(os.DirFS(s.clinic.folder))
	if err != nil {
		return err
	}
	if err := s.check("nothing is in the files after all that was done", checkNothingFound(l)); err != nil {
		return err
	}
	s.say("The thief comes again, after all that was done: %s files, %s bytes, %s values, %s found.", count(l.Files), count(l.Bytes), count(len(list)), count(len(l.Findings)))
	return nil
}
