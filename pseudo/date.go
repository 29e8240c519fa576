package pseudo

import (
	"strings"
	"time"
)

const ruleDate = "want a date of the calendar as YYYY-MM-DD, or YYYY-MM, or YYYY"

// normalDate returns the date itself: FHIR's type date, whose precision is that
// of what is known. Other orders of day and month are refused and not guessed.
func normalDate(value string) (normal, broken string) {
	value = strings.TrimFunc(value, invisible)
	layout := time.DateOnly
	switch len(value) {
	case len("2006"), len("2006-01"), len("2006-01-02"):
		layout = layout[:len(value)]
	default:
		return "", ruleDate
	}
	if t, err := time.Parse(layout, value); err != nil || t.Year() < 1 {
		return "", ruleDate // without err, which quotes the value
	}
	return value, ""
}
