package pseudo

import (
	"fmt"
	"strconv"
	"time"
)

// topAge is where ages are no longer told apart: HIPAA Safe Harbor aggregates
// all ages over 89 and every date that would reveal one
// (45 CFR 164.514(b)(2)(i)(C)).
const topAge = 90

// Year returns the year of a birth date in four digits, such as "1947". Who is
// or will be 90 or older in the year of now is given one common text, such as
// "1936 or earlier": the decision rests on the two years alone, because a
// decision by the birthday would tell on which side of now the birthday lies.
// Each time counts by the date in its own location. It returns [ErrRange] for
// a zero time and for a date after now.
//
// A year of birth beside a region and a sex still singles people out; the k
// gate of an export decides whether it may leave.
func Year(born, now time.Time) (string, error) {
	if err := orderly(born, now); err != nil {
		return "", err
	}
	if last := now.Year() - topAge; born.Year() <= last {
		return fmt.Sprintf("%04d or earlier", last), nil
	}
	return fmt.Sprintf("%04d", born.Year()), nil
}

// AgeBand returns the band of width years that the age at the time at lies in,
// such as "40-44" for a width of 5, or "42" for a width of 1. Bands are counted
// from 0; "90+" holds everybody of 90 and older, and the band below it ends at
// 89. An age is a number of full years by the date in each time's own location;
// who is born on 29 February is a year older from 1 March in a common year. It
// returns [ErrRange] for a zero time, for a date of birth after at, and for a
// width below 1 or above 90.
func AgeBand(born, at time.Time, width int) (string, error) {
	if err := orderly(born, at); err != nil {
		return "", err
	}
	if width < 1 || width > topAge {
		return "", fmt.Errorf("%w: want a band of 1 to 90 years", ErrRange)
	}
	age := at.Year() - born.Year()
	if before(at, born) {
		age--
	}
	if age >= topAge {
		return strconv.Itoa(topAge) + "+", nil
	}
	low := age / width * width
	high := min(low+width, topAge) - 1
	if low == high {
		return strconv.Itoa(low), nil
	}
	return strconv.Itoa(low) + "-" + strconv.Itoa(high), nil
}

// before reports whether the month and day of t come earlier in a year than
// those of u.
func before(t, u time.Time) bool {
	return t.Month() < u.Month() || t.Month() == u.Month() && t.Day() < u.Day()
}

// orderly returns ErrRange unless born can be a date of birth at now. Dates
// are compared as calendar dates, because a birth date has no time zone.
func orderly(born, now time.Time) error {
	if born.IsZero() || now.IsZero() {
		return fmt.Errorf("%w: no date", ErrRange)
	}
	if born.Year() > now.Year() || born.Year() == now.Year() && before(now, born) {
		return fmt.Errorf("%w: the birth date lies in the future", ErrRange)
	}
	return nil
}
