package main

import (
	"context"
	"database/sql"
	"reflect"
	"strings"
	"time"

	"github.com/rahasia/rahasia/consent"
)

// seal is chapter 1: every record of the input goes into the database, sealed.
func (s *story) seal(ctx context.Context) error {
	in := sorted(s.bundles)
	total := len(in.patients) + len(in.observations) + len(in.conditions)
	s.say("Read as FHIR bundles: %s patients with %s observations and %s conditions.",
		count(len(in.patients)), count(len(in.observations)), count(len(in.conditions)))

	began := time.Now()
	fields, bytes, err := s.sealAll(ctx, in, s.progress("records sealed", total))
	if err != nil {
		return err
	}
	took := time.Since(began).Seconds()
	s.say("%s records with %s fields are now %s sealed bytes in the clinic's SQLite file. That took %.1f s, %s records a second, and each has its entry in the audit log.",
		count(total), count(fields), count(bytes), took, count(int(float64(total)/took)))
	if err := s.check("every record of the input is in the database", checkStored(ctx, s.clinic.db, in)); err != nil {
		return err
	}
	return s.giveConsents(ctx)
}

// input is what the bundles hold, by type of record.
type input struct {
	patients     []Patient
	observations []Observation
	conditions   []Condition
}

func sorted(bundles []bundle) (in input) {
	for _, b := range bundles {
		in.patients = append(in.patients, b.Patient)
		in.observations = append(in.observations, b.Observations...)
		in.conditions = append(in.conditions, b.Conditions...)
	}
	return in
}

func (s *story) sealAll(ctx context.Context, in input, progress func(int)) (fields, bytes int, err error) {
	done := 0
	stored := func(rows []consent.Row) {
		done += len(rows)
		for _, r := range rows {
			bytes += len(r.Sealed)
		}
		progress(done)
	}
	c := s.clinic
	err = sealPages(ctx, c, c.patients, in.patients, insertPatient, stored)
	if err == nil {
		err = sealPages(ctx, c, c.observations, in.observations, insertObservation, stored)
	}
	if err == nil {
		err = sealPages(ctx, c, c.conditions, in.conditions, insertCondition, stored)
	}
	fields = len(in.patients)*sealedFields[Patient]() + len(in.observations)*sealedFields[Observation]() + len(in.conditions)*sealedFields[Condition]()
	return fields, bytes, err
}

// pageSize is how many records share one write of the audit log and one
// transaction of the application.
const pageSize = 100

// sealPages seals records page by page, and inserts each page's rows.
func sealPages[T any](ctx context.Context, c *clinic, records *consent.Records[T], src []T,
	insert func(context.Context, *sql.Tx, *T, consent.Row) error, stored func([]consent.Row)) error {
	for len(src) > 0 {
		page := make([]*T, min(len(src), pageSize))
		for i := range page {
			page[i] = &src[i]
		}
		src = src[len(page):]
		// Why the data was collected, and on what legal basis, is sealed with it.
		rows, err := records.SealAll(ctx, page, consent.Tag{Purpose: consent.Treatment, Basis: consent.Consented})
		if err != nil {
			return err
		}
		c.acts.Add(int64(len(rows)))
		if err := insertPage(ctx, c.db, page, rows, insert); err != nil {
			return err
		}
		stored(rows)
	}
	return nil
}

func insertPage[T any](ctx context.Context, db *sql.DB, page []*T, rows []consent.Row,
	insert func(context.Context, *sql.Tx, *T, consent.Row) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	for i, p := range page {
		if err := insert(ctx, tx, p, rows[i]); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func insertObservation(ctx context.Context, tx *sql.Tx, o *Observation, row consent.Row) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO observations (id, patient, sealed) VALUES (?, ?, ?)`, o.ID, o.Patient, row.Sealed)
	return err
}

func insertCondition(ctx context.Context, tx *sql.Tx, c *Condition, row consent.Row) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO conditions (id, patient, sealed) VALUES (?, ?, ?)`, c.ID, c.Patient, row.Sealed)
	return err
}

// sealedFields is how many fields of T are sealed: all but ids and clear ones.
func sealedFields[T any]() (n int) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		role, _, _ := strings.Cut(f.Tag.Get("phi"), ",")
		if role != "subject" && role != "record" && role != "clear" {
			n++
		}
	}
	return n
}

// namesHIV and inResearch say what the patient at a place of the input
// consents to.
func (s *story) namesHIV(place int) bool { return place%3 == 2 || s.bundles[place].Origin == arrived }
func inResearch(place int) bool          { return place%3 != 0 }

// giveConsents records what each patient allows.
func (s *story) giveConsents(ctx context.Context) error {
	began := time.Now()
	hiv, research := 0, 0
	for i := range s.bundles {
		id := s.bundles[i].Patient.ID
		var labels []consent.Label
		if s.namesHIV(i) {
			labels = append(labels, "HIV")
			hiv++
		}
		if _, err := s.clinic.give(ctx, id, consent.Treatment, labels...); err != nil {
			return err
		}
		if !inResearch(i) {
			continue
		}
		if _, err := s.clinic.give(ctx, id, consent.Research); err != nil {
			return err
		}
		research++
	}
	s.say("Then the patients consent, in %.1f s: all %s to treatment, of whom %s let it see HIV results; %s to research; nobody to marketing.",
		time.Since(began).Seconds(), count(len(s.bundles)), count(hiv), count(research))
	return nil
}
