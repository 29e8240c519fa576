package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkLeftOut demands one row for each patient who consented to research, and
// that the others are counted.
func checkLeftOut(e *exported, patients int) error {
	if len(e.rows) != len(e.subjects) || len(e.rows) == 0 {
		return fmt.Errorf("%d rows, and %d patients consented", len(e.rows), len(e.subjects))
	}
	if e.suppressed != patients-len(e.subjects) {
		return fmt.Errorf("%d left out, and %d did not consent", e.suppressed, patients-len(e.subjects))
	}
	return nil
}

// checkNoIdentifiers searches the table's text for what says whose a row is,
// patients' ids among it, and returns how much it found.
func checkNoIdentifiers(e *exported, direct *thief) (found int, err error) {
	if found := direct.search(e.recipient, e.csv); len(found) > 0 {
		return len(found), fmt.Errorf("a %s is in the table for %s, at byte %d", found[0].Kind, e.recipient, found[0].Offset)
	}
	for _, id := range e.subjects {
		if strings.Contains(string(e.csv), id) {
			return 1, fmt.Errorf("a patient's id is in the table for %s", e.recipient)
		}
	}
	return 0, nil
}

// checkYears demands of each birth date its year and nothing more; the years
// of people of 90 and older are told as one.
func checkYears(e *exported, patient func(id string) Patient) error {
	born := e.column("Born")
	for i, cell := range born {
		want := patient(e.subjects[i]).Born.Year()
		last, old := strings.CutSuffix(cell, " or earlier")
		year, err := strconv.Atoi(last)
		if err != nil || len(last) != 4 || !old && year != want || old && year < want {
			return fmt.Errorf("row %d of the table for %s: Born is not the year of birth", i+1, e.recipient)
		}
	}
	if len(born) == 0 {
		return errors.New("the table has no column Born")
	}
	return nil
}

// checkUnlinked demands that no pseudonym of one table is in the other, that
// each row has its own, and that the rows do not come in the same order. It
// returns how many pseudonyms the tables share.
func checkUnlinked(a, b *exported) (shared int, err error) {
	inA := map[string]bool{}
	for _, p := range a.column("pseudonym") {
		inA[p] = true
	}
	inB := map[string]bool{}
	for _, p := range b.column("pseudonym") {
		inB[p] = true
		if inA[p] {
			shared++
		}
	}
	switch {
	case shared > 0:
		err = fmt.Errorf("%d pseudonyms are in both tables", shared)
	case inA[""] || inB[""] || len(a.rows) == 0 || len(b.rows) == 0 || len(inA) != len(a.rows) || len(inB) != len(b.rows):
		err = errors.New("not every row has a pseudonym of its own")
	case len(a.subjects) > 9 && slices.Equal(a.subjects, b.subjects):
		err = errors.New("both tables come in the same order")
	}
	return shared, err
}
