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
	if last := oldestYear(now); born.Year() <= last {
		return orEarlier(last), nil
	}
	return fmt.Sprintf("%04d", born.Year()), nil
}

// oldestYear is the last year of birth of those who are or will be 90 or older in
// the year of now.
func oldestYear(now time.Time) int { return now.Year() - topAge }

func orEarlier(year int) string { return fmt.Sprintf("%04d or earlier", year) }

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

// A partialDate is a date of which the day, or the month and the day, may be
// unknown and are then 0.
type partialDate struct{ year, month, day int }

func dateOf(t time.Time) partialDate {
	y, m, d := t.Date()
	return partialDate{y, int(m), d}
}

// parseDate reads YYYY, YYYY-MM or YYYY-MM-DD, the dates of HL7 FHIR R4.
func parseDate(text string) (partialDate, error) {
	text, err := Date.Normalize(text)
	if err != nil {
		return partialDate{}, err
	}
	t, err := time.Parse(time.DateOnly[:len(text)], text)
	if err != nil {
		return partialDate{}, ErrRange // without err, which quotes the text
	}
	d := dateOf(t)
	if len(text) < len(time.DateOnly) {
		d.day = 0
	}
	if len(text) < len("2006-01") {
		d.month = 0
	}
	return d, nil
}

// first is the first day that d can be.
func (d partialDate) first() time.Time {
	return time.Date(d.year, time.Month(max(d.month, 1)), max(d.day, 1), 0, 0, 0, 0, time.UTC)
}

// last is the last day that d can be.
func (d partialDate) last() time.Time {
	switch {
	case d.month == 0:
		return time.Date(d.year, time.December, 31, 0, 0, 0, 0, time.UTC)
	case d.day == 0:
		return time.Date(d.year, time.Month(d.month)+1, 0, 0, 0, 0, 0, time.UTC)
	}
	return d.first()
}

// after reports whether d lies after the day of t whatever its unknown parts are.
func (d partialDate) after(t time.Time) bool { return d.first().After(dateOf(t).first()) }

// month7 is YYYY-MM, or YYYY where no month is known.
func (d partialDate) month7() string {
	if d.month == 0 {
		return fmt.Sprintf("%04d", d.year)
	}
	return fmt.Sprintf("%04d-%02d", d.year, d.month)
}

// ageBand is AgeBand of a birth date, or ErrRange where its unknown parts leave
// two bands.
func (d partialDate) ageBand(at time.Time, width int) (string, error) {
	oldest, err := AgeBand(d.first(), at, width)
	if err != nil {
		return "", err
	}
	last := d.last()
	if day := dateOf(at).first(); last.After(day) {
		last = day // nobody is born later
	}
	youngest, err := AgeBand(last, at, width)
	if err != nil {
		return "", err
	}
	if oldest != youngest {
		return "", fmt.Errorf("%w: the year or month of birth leaves two age bands", ErrRange)
	}
	return oldest, nil
}

// truncateRegion returns the first digits of a region's code, or all of a shorter one: two
// are the province, four the regency or city, six the district, ten the village
// (Ministry of Home Affairs). Dots may stand where the ministry writes them,
// 31.71.01.1001.
func truncateRegion(code string, digits int) (string, error) {
	plain, err := Region.Normalize(code)
	if err != nil {
		return "", err
	}
	return plain[:min(len(plain), digits)], nil
}
