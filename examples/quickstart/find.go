package main

import (
	"context"
	"errors"
	"strings"

	"github.com/rahasia/rahasia/consent"
)

// find is chapter 3: patients are found by identifiers that the database does
// not have.
func (s *story) find(ctx context.Context) error {
	p := s.patient(hero)
	rows, err := s.clinic.find(ctx, "NIK", p.NIK, doctor())
	if err != nil {
		return err
	}
	if err := s.check("the NIK finds its patient and nobody else", checkFound(rows, hero)); err != nil {
		return err
	}
	byNIK := rows[0]
	s.say("A doctor looks for NIK %s. The database is asked for the token %s: %s row.", p.NIK, byNIK.FoundBy, count(len(rows)))

	spellings := threeSpellings(p.Phone)
	for _, phone := range spellings {
		rows, err := s.clinic.find(ctx, "Phone", phone, doctor())
		if err == nil {
			err = checkFound(rows, hero)
		}
		if err := s.check("a phone number finds its patient in every spelling", err); err != nil {
			return err
		}
	}
	s.say("By phone, written %s: the same patient each time.", listed(spellings))
	return s.openFound(ctx, byNIK, p)
}

// threeSpellings writes an Indonesian number in the ways that people do.
func threeSpellings(phone string) []string {
	parts := strings.Fields(phone) // +62 810 0000 0301
	if len(parts) != 4 {
		return []string{phone}
	}
	return []string{phone, "0" + strings.Join(parts[1:], "-"), "62" + strings.Join(parts[1:], "")}
}

// openFound opens what was found, and what somebody has put in its place.
func (s *story) openFound(ctx context.Context, row patientRow, want Patient) error {
	req := doctor()
	req.FoundBy = row.FoundBy
	got, err := s.clinic.open(ctx, row, req)
	if err == nil {
		err = checkSame(got, want)
	}
	if err := s.check("the record that was found is the one that was sealed", err); err != nil {
		return err
	}
	other, err := s.clinic.get(ctx, s.bundles[0].Patient.ID)
	if err != nil {
		return err
	}
	_, refusal := s.clinic.open(ctx, other, req)
	if err := s.check("a row filed under another patient's token is refused", checkMismatch(refusal)); err != nil {
		return err
	}
	s.say("On opening, the token is derived again from the record, and fits. With another patient's row put there:")
	s.quote(refusal)
	return nil
}

// open is chapter 4: who may open the record for what.
func (s *story) open(ctx context.Context) error {
	row, err := s.clinic.get(ctx, hero)
	if err != nil {
		return err
	}
	want := s.patient(hero)
	got, err := s.clinic.open(ctx, row, doctor())
	if err == nil {
		err = checkSame(got, want)
	}
	if err := s.check("the doctor gets the whole record for treatment", err); err != nil {
		return err
	}
	s.say("Treatment, asked by the doctor: %s, born %s, %s, %s. Diagnoses: %s.",
		got.Name, got.Born.Format("2 January 2006"), got.City, got.Clinic, strings.Join(got.Diagnosis, "; "))

	_, refusal := s.clinic.open(ctx, row, advertiser())
	if err := s.check("marketing is refused", checkRefused(refusal, consent.NoConsent)); err != nil {
		return err
	}
	s.say("Marketing, asked by an advertiser:")
	s.quote(refusal)
	if err := s.openPartly(ctx, row, want); err != nil {
		return err
	}
	return s.openSensitive(ctx)
}

// openPartly opens the record in a role that may not know whose it is.
func (s *story) openPartly(ctx context.Context, row patientRow, want Patient) error {
	got, partial := s.clinic.open(ctx, row, laboratory())
	if err := s.check("the laboratory gets the clinical fields and no identity", checkLaboratory(got, want, partial)); err != nil {
		return err
	}
	var withheld *consent.WithheldError
	errors.As(partial, &withheld)
	var names []string
	for _, w := range withheld.Fields {
		names = append(names, w.Field)
	}
	s.say("Treatment, asked by the laboratory: %s diagnoses, the serology, the notes. Withheld by name: %s (%s).",
		count(len(got.Diagnosis)), listed(names), withheld.Fields[0].Reason)
	return nil
}

// openSensitive opens every record with an HIV test.
func (s *story) openSensitive(ctx context.Context) error {
	tested, seen := 0, 0
	for i := range s.bundles {
		want := s.bundles[i].Patient
		if want.Serology == "" {
			continue
		}
		row, err := s.clinic.get(ctx, want.ID)
		if err != nil {
			return err
		}
		got, answer := s.clinic.open(ctx, row, doctor())
		if err := s.check("an HIV result is seen if the consent names it, and only then", checkSerology(got, want, answer, s.namesHIV(i))); err != nil {
			return err
		}
		tested++
		if got.Serology != "" {
			seen++
		}
	}
	s.say("Of %s patients with an HIV test the doctor sees %s results: the others' consents do not name HIV. The answer is the same where there was no test.",
		count(tested), count(seen))
	return nil
}
