package pseudo

import (
	"time"

	"github.com/rahasia/rahasia/pseudo/region"
)

// The rules of a NIK, PPKKCC DDMMYY SSSS: region of first registration, birth
// date with 40 added to the day for a woman, serial number. Only what cannot
// be any NIK is refused, which is also what a format-preserving token cannot
// represent: day and month. All else warns, because region codes change over
// the years and a NIK stays valid for life even where its date is wrong
// (PP 40/2019 art. 30). There is no check digit.
const (
	ruleNIKDigits = "want 16 digits"
	ruleNIKDay    = "want digits 7 and 8 from 01 to 31, or from 41 to 71 for a woman"
	ruleNIKMonth  = "want digits 9 and 10 from 01 to 12"
)

const nikDigits = 16

// femaleDay is what is added to the day of birth of a woman.
const femaleDay = 40

func normalNIK(value string) (normal, broken string) {
	normal, ok := digitsOf(value, nikDigits)
	if !ok {
		return "", ruleNIKDigits
	}
	day, month := pair(normal, 6), pair(normal, 8)
	if day > femaleDay {
		day -= femaleDay
	}
	switch {
	case day < 1 || day > 31:
		return "", ruleNIKDay
	case month < 1 || month > 12:
		return "", ruleNIKMonth
	}
	return normal, ""
}

// A Warning is a doubt about a NIK that is no reason to refuse it.
type Warning string

const (
	WarnRegion Warning = "the region is not one that is known to issue numbers"   // province, regency or district
	WarnDay    Warning = "the day does not exist in that month"                   // such as 30 February
	WarnBorn   Warning = "the date in the number differs from the recorded birth" // frequent in true records
	WarnSerial Warning = "the serial number is 0000"                              // serials begin at 0001
)

// InspectNIK returns what is unusual about a NIK, and the error of
// [Kind.Normalize] if it is not one. born is the recorded date of birth, of
// which the date in its own location counts; a zero time means that none is
// known. A warning contains nothing of the number. Never refuse a patient for
// a warning: all ten test patients of the Ministry of Health's own sandbox
// have [WarnBorn].
func InspectNIK(nik string, born time.Time) ([]Warning, error) {
	nik, err := NIK.Normalize(nik)
	if err != nil {
		return nil, err
	}
	var found []Warning
	if !issues(nik[:4]) || pair(nik, 4) == 0 {
		found = append(found, WarnRegion)
	}
	day, month, year := pair(nik, 6), pair(nik, 8), pair(nik, 10)
	if day > femaleDay {
		day -= femaleDay
	}
	if day > longest(month, year) {
		found = append(found, WarnDay)
	}
	if y, m, d := born.Date(); !born.IsZero() && (y%100 != year || int(m) != month || d != day) {
		found = append(found, WarnBorn)
	}
	if nik[12:] == "0000" {
		found = append(found, WarnSerial)
	}
	return found, nil
}

// longest returns the last day of a month in a year of which two digits are
// known. Of the centuries that the living are born in, 2000 was a leap year
// and 1900 was not: 00 has a 29 February.
func longest(month, year int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 {
			return 29
		}
		return 28
	}
	return 31
}

// issues reports whether the regency or city of a code of 4 digits is known to
// have issued numbers: one of the lists of package region has it, or it lost
// its code before the first of them. Those are the codes of East Timor, and
// the ones that the lists leave out in the middle of a province's sequence,
// where a province was split: North Kalimantan in 2012, West Sulawesi in 2004.
func issues(code string) bool {
	switch code {
	case "6404", "6405", "6406", "6410", "6473", "7319", "7320", "7321", "7323", "7325":
		return true
	}
	if code[:2] == "54" {
		return code[2:] != "00"
	}
	_, ok := region.Find(code)
	return ok
}
