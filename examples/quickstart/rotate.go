package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rahasia/rahasia/consent"
	"github.com/rahasia/rahasia/envelope"
	"github.com/rahasia/rahasia/pseudo"
)

// withdraw is chapter 6: a withdrawn consent closes the record at once.
func (s *story) withdraw(ctx context.Context) error {
	c := s.clinic
	row, err := c.get(ctx, hero)
	if err != nil {
		return err
	}
	given, err := c.cfg.Ledger.Of(ctx, hero)
	if err != nil {
		return err
	}
	for _, consented := range given {
		if consented.Purposes[0] != consent.Treatment {
			continue
		}
		c.acts.Add(1)
		if err := c.cfg.Withdraw(ctx, hero, consented.ID, "clerk"); err != nil {
			return err
		}
	}
	_, refusal := c.open(ctx, row, doctor())
	if err := s.check("the record does not open after the withdrawal", checkRefused(refusal, consent.Ended)); err != nil {
		return err
	}
	s.say("%s withdraws the consent to treatment. The doctor's next request is refused:", s.patient(hero).Name)
	s.quote(refusal)
	return s.consentAgain(ctx, row)
}

// consentAgain shows that a withdrawal rewrites no record.
func (s *story) consentAgain(ctx context.Context, before patientRow) error {
	c := s.clinic
	if _, err := c.give(ctx, hero, consent.Treatment, "HIV"); err != nil {
		return err
	}
	row, err := c.get(ctx, hero)
	if err == nil {
		err = checkSame(row, before)
	}
	if err := s.check("a withdrawal does not touch the record", err); err != nil {
		return err
	}
	got, err := c.open(ctx, row, doctor())
	if err == nil {
		err = checkSame(got, s.patient(hero))
	}
	if err := s.check("the record opens again after a new consent", err); err != nil {
		return err
	}
	s.say("Later the patient consents again, and the same row opens: neither step has rewritten a byte of it.")
	return nil
}

// arrived is the origin of who was not in the input.
const arrived = "arrived"

// newcomer arrives after the keys were rotated. She is invented, like her NIK:
// no region's code begins with 99.
func newcomer() Patient {
	return Patient{
		ID: envelope.NewID(), NIK: "9901024505900001", Name: "Melati Rekaan Pendatang", Phone: "+62 810 0000 0999",
		Born: time.Date(1990, time.May, 5, 0, 0, 0, 0, time.UTC), Sex: "female",
		Address: "Jalan Rekaan Melati Nomor 1", City: "Kota Kupang", Diagnosis: []string{"Allergic rhinitis"},
		Notes: "Datang setelah kunci diganti.", Clinic: "Klinik Harapan Dua",
	}
}

// rotate is chapter 7: every key that seals and finds gets a successor.
func (s *story) rotate(ctx context.Context) error {
	keysets := []string{"identity", "clinical", "audit", pseudo.LookupDomain("patient", "NIK")}
	for _, name := range keysets {
		if _, err := s.clinic.cfg.Ring.Rotate(ctx, name); err != nil {
			return err
		}
	}
	s.say("%s keysets get a new version: %s.", count(len(keysets)), listed(keysets))
	began := time.Now()
	opened, values, err := s.openAll(ctx)
	if err := s.check("every record still opens as it was sealed", err); err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	s.say("All %s records are opened and their %s permitted values compared with the input: equal. %.1f s, %s records a second, each logged before it opened.",
		count(opened), count(values), took, count(int(float64(opened)/took)))
	return s.arrive(ctx)
}

// arrive seals a patient under the new keys.
func (s *story) arrive(ctx context.Context) error {
	c, p := s.clinic, newcomer()
	err := sealPages(ctx, c, c.patients, []Patient{p}, insertPatient, func([]consent.Row) {})
	if err == nil {
		_, err = c.give(ctx, p.ID, consent.Treatment, "HIV")
	}
	if err != nil {
		return err
	}
	s.bundles = append(s.bundles, bundle{Origin: arrived, Patient: p})
	old, err := c.keyVersion(ctx, hero)
	if err != nil {
		return err
	}
	fresh, err := c.keyVersion(ctx, p.ID)
	if err == nil {
		err = checkNewer(fresh, old)
	}
	if err := s.check("keys created after the rotation use the new version", err); err != nil {
		return err
	}
	return s.findAcross(ctx, p, old, fresh)
}

// keyVersion is the version of the keyset that wraps a patient's identity key.
func (c *clinic) keyVersion(ctx context.Context, id string) (uint32, error) {
	keys, err := c.cfg.Ring.Subject(ctx, id, "identity")
	if err != nil {
		return 0, err
	}
	return keys[0].Version(), nil
}

// findAcross finds who was stored before the rotation, and who after.
func (s *story) findAcross(ctx context.Context, fresh Patient, oldKey, freshKey uint32) error {
	var tokens []uint32
	for _, p := range []Patient{s.patient(hero), fresh} {
		rows, err := s.clinic.find(ctx, "NIK", p.NIK, doctor())
		if err == nil {
			err = checkFound(rows, p.ID)
		}
		if err == nil {
			req := doctor()
			req.FoundBy = rows[0].FoundBy
			var got Patient
			if got, err = s.clinic.open(ctx, rows[0], req); err == nil {
				err = checkSame(got, p)
			}
		}
		if err := s.check("lookups find old and new patients", err); err != nil {
			return err
		}
		tokens = append(tokens, rows[0].FoundBy.Version())
	}
	if err := s.check("tokens made after the rotation use the new version", checkNewer(tokens[1], tokens[0])); err != nil {
		return err
	}
	s.say("Who arrives now gets a key under version %d and a NIK token of version %d; the others keep version %d and %d. The same lookup finds both.",
		freshKey, tokens[1], oldKey, tokens[0])
	return nil
}

// openAll opens every record in the database as the doctor and compares it
// with the input.
func (s *story) openAll(ctx context.Context) (opened, values int, err error) {
	in, c := sorted(s.bundles), s.clinic
	var compared atomic.Int64
	err = each(len(in.patients), func(i int) error {
		want := in.patients[i]
		row, err := c.get(ctx, want.ID)
		if err != nil {
			return err
		}
		got, answer := c.open(ctx, row, doctor())
		compared.Add(int64(sealedFields[Patient]()))
		if answer != nil { // the serology
			compared.Add(-1)
		}
		return checkSerology(got, want, answer, s.namesHIV(i))
	})
	if err == nil {
		err = openEach(ctx, c, c.observations, "observations", in.observations, func(o *Observation) (id, patient *string) { return &o.ID, &o.Patient })
	}
	if err == nil {
		err = openEach(ctx, c, c.conditions, "conditions", in.conditions, func(o *Condition) (id, patient *string) { return &o.ID, &o.Patient })
	}
	opened = len(in.patients) + len(in.observations) + len(in.conditions)
	values = int(compared.Load()) + len(in.observations)*sealedFields[Observation]() + len(in.conditions)*sealedFields[Condition]()
	return opened, values, err
}

// openEach opens the record of each of want and compares.
func openEach[T comparable](ctx context.Context, c *clinic, records *consent.Records[T], table string, want []T, ids func(*T) (id, patient *string)) error {
	return each(len(want), func(i int) error {
		var got T
		gotID, gotPatient := ids(&got)
		id, patient := ids(&want[i])
		*gotID, *gotPatient = *id, *patient
		var sealed envelope.Sealed
		if err := c.db.QueryRowContext(ctx, `SELECT sealed FROM `+table+` WHERE id = ?`, *id).Scan(&sealed); err != nil {
			return err
		}
		c.acts.Add(1)
		if err := records.Open(ctx, &got, sealed, doctor()); err != nil {
			return err
		}
		if got != want[i] {
			return errors.New("one of the " + table + " differs from the input")
		}
		return nil
	})
}

// each does n things, several at a time as a server would: what is asked for
// at the same moment shares one write of the audit log.
func each(n int, do func(i int) error) error {
	const workers = 64
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, workers)
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					next.Store(int64(n)) // the others need not go on
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
