//go:build unix

package consent

import (
	"errors"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/keyring"
	"github.com/rahasia/rahasia/pseudo/risk"
)

const killRenamed = "Claudia S. Dewantara"

func killJobs() []killJob {
	return slices.Concat(recordKills(), consentKills(), keyKills())
}

// fieldNames are the fields that a record opens to.
func (s *killScene) fieldNames() (names []string) {
	for _, f := range s.r.plan.Fields {
		names = append(names, f.Name)
	}
	return names
}

// opened is what is told of a record that was opened.
func (s *killScene) opened(p *person) account {
	return account{Action: "open", Subject: p.ID, Fields: s.fieldNames(), Values: p}
}

// stored are n rows of three patients, of whom citra takes part in no study.
func (s *killScene) stored(n int) (rows []stored) {
	for i := range n {
		id := []string{ayu.ID, killBudi, killCitra}[i%3]
		rows = append(rows, stored{id, s.world.Rows[id]})
	}
	return rows
}

// tellOf tells what came out as one of many: of those in the middle of a page
// there is no point.
func (s *killScene) tellOf(i int, x account) {
	if i%pageSize < 3 {
		s.tell(x)
	} else {
		s.note(x)
	}
}

// count is how many entries of an action a process wrote.
func (s *killScene) count(actor, action string) (n int) {
	for _, e := range s.log {
		if e.Actor == actor && e.Action == action && e.Outcome == "done" {
			n++
		}
	}
	return n
}

// recordKills are jobs on records.
func recordKills() []killJob {
	nothing := func(*killScene, bool) {}
	return []killJob{
		{"seal", func(s *killScene) error {
			row, err := s.r.Seal(s.ctx(), killPerson(killNew), Tag{Purpose: Treatment, Basis: Consented, Actor: s.actor})
			if err == nil {
				s.tell(account{Action: "seal", Subject: killNew, Row: row.Sealed})
			}
			return err
		}, func(s *killScene, acked bool) {
			alive, err := s.alive(killNew)
			require.True(s.t, alive || !acked && errors.Is(err, keyring.ErrNoSubjectKey), err)
		}},
		{"sealall", func(s *killScene) error {
			rows, err := s.r.SealAll(s.ctx(), []*person{killPerson(killBudi), killPerson(killNew)}, Tag{Purpose: Treatment, Basis: Consented, Actor: s.actor})
			for i, row := range rows {
				s.tell(account{Action: "seal", Subject: []string{killBudi, killNew}[i], Row: row.Sealed})
			}
			return err
		}, func(s *killScene, acked bool) {
			for _, actor := range []string{"first", "second", "again"} {
				require.NotEqual(s.t, 1, s.count(actor, "seal"), "half of them are logged")
			}
		}},
		{"open", func(s *killScene) error {
			got, err := open(s.r, ayu.ID, s.world.Rows[ayu.ID], s.care(s.actor))
			if err == nil {
				s.tell(s.opened(&got))
			}
			return err
		}, nothing},
		{"openall", openAllKill(3), nothing},
		{"openall pages", openAllKill(pageSize + 2), nothing},
		{"update", func(s *killScene) error {
			row, err := s.r.Update(s.ctx(), s.world.Rows[ayu.ID], &person{ID: ayu.ID, Name: killRenamed}, s.care(s.actor), "Name")
			if err == nil {
				s.tell(account{Action: "update", Subject: ayu.ID, Fields: []string{"Name"}, Row: row.Sealed})
			}
			return err
		}, func(s *killScene, _ bool) { require.True(s.t, s.opens(ayu.ID), "the old row") }},
		{"lookup", func(s *killScene) error {
			tokens, err := s.r.Lookup(s.ctx(), "NIK", ayu.NIK, s.care(s.actor))
			if err == nil {
				require.Len(s.t, tokens, 1)
				s.tell(account{Action: "lookup", Fields: []string{"NIK"}})
			}
			return err
		}, nothing},
		{"export", exportKill(3, Gate{Ungated: "a test"}), nothing},
		{"export pages", exportKill(pageSize+2, Gate{Ungated: "a test"}), nothing},
		{"export gated", exportKill(3, Gate{K: 2, Quasi: []risk.Quasi{}}), nothing},
		{"accept", acceptKill, acceptedKill},
		{"rebind", func(s *killScene) error {
			row, err := s.r.Rebind(s.ctx(), s.world.Rows[killDouble], &person{ID: killDouble}, &person{ID: ayu.ID}, Request{Purpose: Operations, Actor: s.actor, Role: "doctor"})
			if err == nil {
				s.tell(account{Action: "rebind", Subject: ayu.ID, Row: row})
			}
			return err
		}, func(s *killScene, acked bool) {
			history, err := s.cfg.Log.History(s.ctx(), ayu.ID)
			require.NoError(s.t, err)
			moved := slices.ContainsFunc(history, func(e Entry) bool { return e.Action == "rebind" })
			require.True(s.t, moved || !acked)
			require.True(s.t, !moved || s.live(ayu.ID, "no-pay"), "it moves after what was refused")
			all, err := s.cfg.Ledger.of(s.ctx(), ayu.ID)
			require.NoError(s.t, err)
			require.LessOrEqual(s.t, len(all), 3, "carried once")
			require.True(s.t, s.opens(killDouble), "the old row")
		}},
		{"review", func(s *killScene) error {
			err := s.cfg.Review(s.ctx(), Review{Decision: s.world.Emergency, By: s.actor, Justified: true})
			if errors.Is(err, ErrReview) && s.actor != "first" {
				return nil // done before
			}
			return err
		}, func(s *killScene, acked bool) {
			open, err := s.cfg.AwaitingReview(s.ctx(), maps.Keys(s.world.Rows))
			require.NoError(s.t, err)
			require.Equal(s.t, s.logged("review", justified) == 1, len(open) == 0)
			require.True(s.t, !acked || len(open) == 0)
		}},
	}
}

func openAllKill(n int) func(*killScene) error {
	return func(s *killScene) error {
		i := 0
		for p, err := range s.r.OpenAll(s.ctx(), each(s.stored(n)), s.care(s.actor)) {
			if err != nil {
				return err
			}
			s.tellOf(i, s.opened(p))
			i++
		}
		return nil
	}
}

func exportKill(n int, gate Gate) func(*killScene) error {
	return func(s *killScene) error {
		table, err := s.r.Export(s.ctx(), each(s.stored(n)), Request{Purpose: Research, Actor: s.actor, Role: "doctor", Recipient: study.Recipient, Gate: gate})
		if err != nil {
			return err
		}
		i := 0 // of the record: each third is citra's
		for row, err := range table.Rows() {
			if err != nil {
				return err
			}
			require.Len(s.t, row, len(table.Columns))
			s.tellOf(i, account{Action: "export", Subject: []string{ayu.ID, killBudi}[i%3], Fields: table.Columns[1:]})
			if i++; i%3 == 2 {
				i++
			}
		}
		require.Equal(s.t, n/3, table.Suppressed())
		return nil
	}
}

func acceptKill(s *killScene) error {
	inbox, err := envelope.NewInbox("branches", s.cfg.Ring)
	require.NoError(s.t, err)
	tx, err := s.app.BeginTx(s.ctx(), nil)
	require.NoError(s.t, err)
	defer tx.Rollback()
	got, err := s.r.Accept(s.ctx(), tx, inbox, s.world.Item)
	if errors.Is(err, envelope.ErrReplayed) && s.actor != "first" {
		return nil // it is stored
	}
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(s.ctx(), `INSERT INTO results (id, sealed) VALUES ($1, $2)`, got.Record.ID, []byte(got.Sealed)); err != nil {
		return err
	}
	s.tell(account{Action: "accept", Subject: killEka, Row: got.Sealed})
	return tx.Commit()
}

// acceptedKill: a row is stored where the item is noted, once, and opens.
func acceptedKill(s *killScene, acked bool) {
	var rows, noted int
	require.NoError(s.t, s.app.QueryRow(`SELECT (SELECT count(*) FROM results), (SELECT count(*) FROM rahasia_accepted)`).Scan(&rows, &noted))
	require.Equal(s.t, noted, rows)
	require.True(s.t, rows == 1 || rows == 0 && !acked)
	alive, err := s.alive(killEka)
	require.True(s.t, alive || rows == 0 && errors.Is(err, keyring.ErrNoSubjectKey), err)
	if rows == 1 {
		var row []byte
		require.NoError(s.t, s.app.QueryRow(`SELECT sealed FROM results`).Scan(&row))
		s.audited(account{Actor: "branch-2", Action: "accept", Subject: killEka, Row: row})
	}
}

// consentKills are jobs on the ledger. What opens is logged before it is in
// force; what closes is in force before it is logged.
func consentKills() []killJob {
	opening := func(action string, done func(*killScene) bool) func(*killScene, bool) {
		return func(s *killScene, acked bool) {
			require.True(s.t, done(s) || !acked)
			require.True(s.t, s.logged(action, "done") > 0 || !done(s), "in force and not logged")
		}
	}
	closing := func(action string, done func(*killScene) bool) func(*killScene, bool) {
		return func(s *killScene, acked bool) {
			require.True(s.t, done(s) || !acked)
			require.True(s.t, done(s) || s.logged(action, "done") == 0, "logged and not in force")
			require.True(s.t, s.logged(action, "done") > 0 || !acked)
		}
	}
	return []killJob{
		{"give", func(s *killScene) error {
			return s.again(s.cfg.Give(s.ctx(), Consent{ID: "new", Subject: killBudi, Purposes: []Purpose{Payment}, Recorder: s.actor}))
		}, opening("give", func(s *killScene) bool { return s.live(killBudi, "new") })},
		{"refuse", func(s *killScene) error {
			_, err := s.cfg.Give(s.ctx(), Consent{ID: "stop", Subject: killBudi, Purposes: []Purpose{Treatment}, Refused: true, Recorder: s.actor})
			return err
		}, closing("give", func(s *killScene) bool {
			require.NotEqual(s.t, s.live(killBudi, "stop"), s.opens(killBudi))
			return s.live(killBudi, "stop")
		})},
		{"renew", func(s *killScene) error {
			return s.again(s.cfg.Give(s.ctx(), Consent{ID: "new", Subject: ayu.ID, Supersedes: "care", Purposes: []Purpose{Treatment}, Sensitivity: []Label{AnyLabel}, Recorder: s.actor}))
		}, opening("give", func(s *killScene) bool {
			require.True(s.t, s.opens(ayu.ID), "there is no gap")
			require.NotEqual(s.t, s.live(ayu.ID, "care"), s.live(ayu.ID, "new"))
			return s.live(ayu.ID, "new")
		})},
		{"withdraw", func(s *killScene) error {
			return s.cfg.Withdraw(s.ctx(), ayu.ID, "care", s.actor)
		}, closing("withdraw", func(s *killScene) bool {
			require.True(s.t, s.live(ayu.ID, "study"))
			require.Equal(s.t, s.live(ayu.ID, "care"), s.opens(ayu.ID))
			return !s.live(ayu.ID, "care")
		})},
		{"withdrawall", func(s *killScene) error {
			return s.cfg.WithdrawAll(s.ctx(), ayu.ID, s.actor)
		}, closing("withdraw", func(s *killScene) bool {
			require.Equal(s.t, s.live(ayu.ID, "care"), s.opens(ayu.ID))
			require.Equal(s.t, s.live(ayu.ID, "care"), s.live(ayu.ID, "study"), "half of them")
			return !s.live(ayu.ID, "care")
		})},
		{"unrepresent", func(s *killScene) error {
			return s.cfg.EndRepresentation(s.ctx(), killBudi, "ibu-budi", s.actor)
		}, closing("unrepresent", func(s *killScene) bool {
			require.True(s.t, s.live(killBudi, "care"))
			return !s.live(killBudi, "study")
		})},
	}
}

// again takes it for done where a process before this one did it.
func (s *killScene) again(_ string, err error) error {
	if errors.Is(err, ErrExists) && s.actor != "first" {
		return nil
	}
	return err
}

// keyKills are jobs on a patient's keys: logged before, closed by a second entry.
func keyKills() []killJob {
	announced := func(action, subject string, want error, wasAlive bool) func(*killScene, bool) {
		return func(s *killScene, acked bool) {
			alive, err := s.alive(subject)
			done := errors.Is(err, want)
			if want == nil {
				done = alive
			}
			require.True(s.t, done || !acked, err)
			require.True(s.t, done || alive == wasAlive, err)
			require.True(s.t, !done || s.logged(action, "done") > 0, "done and not logged")
			require.True(s.t, !acked || s.logged(action, "done", "completed") > 1, "nothing is logged after it")
			require.False(s.t, !wasAlive && s.opens(subject), "no consent comes back")
		}
	}
	return []killJob{
		{"erase", func(s *killScene) error {
			_, err := s.cfg.Erase(s.ctx(), killBudi, s.actor)
			return err
		}, announced("erase", killBudi, keyring.ErrShredded, true)},
		{"retain", func(s *killScene) error {
			_, err := s.cfg.Retain(s.ctx(), killBudi, s.actor, s.world.Keep)
			if errors.Is(err, keyring.ErrRetained) && s.actor != "first" {
				return nil // done before
			}
			return err
		}, func(s *killScene, acked bool) {
			announced("retain", killBudi, keyring.ErrRetained, true)(s, acked)
			if alive, _ := s.alive(killBudi); !alive {
				require.False(s.t, s.live(killBudi, "care"))
				require.False(s.t, s.live(killBudi, "study"))
			}
		}},
		{"end retention", func(s *killScene) error {
			key, err := keyring.OpenCustodianKey(s.place.path("custodian"))
			require.NoError(s.t, err)
			err = s.cfg.EndRetention(s.ctx(), killDewi, s.actor, key)
			if errors.Is(err, keyring.ErrState) && s.actor != "first" {
				return nil // done before
			}
			return err
		}, func(s *killScene, acked bool) {
			announced("return", killDewi, nil, false)(s, acked)
			history, err := s.cfg.Log.History(s.ctx(), killDewi)
			require.True(s.t, !acked || err == nil && slices.ContainsFunc(history, func(e Entry) bool { return e.Action == "return" && e.Outcome == "completed" }), "by name")
		}},
		{"erase retained", func(s *killScene) error {
			_, err := s.cfg.EraseRetained(s.ctx(), killDewi, s.actor, "court 12/2026")
			return err
		}, announced("erase", killDewi, keyring.ErrShredded, false)},
	}
}
